"""The timeline: which agent was at which task, from when until when."""

from typing import Any

import pytest

from builders import add_account, add_agent, add_initiative, add_phase, add_task
from cw_store import InvalidValueError, NotFoundError, Store
from cw_store.testing import SteppableClock
from cw_store.views import timeline

CLAIM: dict[str, Any] = {"holder": "host/1", "worktree_id": "trees/1"}


async def test_an_initiative_at_which_nobody_was_has_an_empty_timeline(store: Store) -> None:
    phase = await add_phase(store)
    await add_task(store, phase_id=phase.id)
    found = await timeline(store, phase.initiative_id)
    assert (found.rows, found.accounts, found.start, found.end) == ((), (), None, None)
    assert not found.is_cut
    with pytest.raises(NotFoundError):
        await timeline(store, "unknown")
    with pytest.raises(InvalidValueError):
        await timeline(store, phase.initiative_id, limit=0)


async def test_retries_stand_side_by_side_with_their_ends(
    store: Store, clock: SteppableClock
) -> None:
    account = await add_account(store, email="ada@example.com")
    phase = await add_phase(store, name="Core")
    task = await add_task(store, phase_id=phase.id, name="Session store")
    first = await store.claims.take(task.id, **CLAIM)
    clock.advance(60)
    await store.claims.fail(first, exit_code=3)
    ended = (await store.agents.find_all())[0].updated_at
    clock.advance(60)
    second = await store.claims.take(task.id, **CLAIM)
    clock.advance(60)
    found = await timeline(store, phase.initiative_id)
    (row,) = found.rows
    assert (row.task_name, row.task_status, row.phase_name) == (
        *("Session store", "in_progress", "Core"),
    )
    assert [
        (bar.agent_name, bar.attempt, bar.start, bar.end, bar.outcome, bar.exit_code)
        for bar in row.bars
    ] == [
        (first.agent.name, 1, first.agent.created_at, ended, "stopped", 3),
        (second.agent.name, 2, second.agent.created_at, None, "running", None),
    ]
    assert (found.start, found.end) == (first.agent.created_at, clock.now)
    (band,) = found.accounts
    assert (band.account.id, band.bars) == (account.id, row.bars)
    assert band.bars[0].account_email == "ada@example.com"


async def test_a_timeline_that_is_over_ends_with_its_last_bar(
    store: Store, clock: SteppableClock
) -> None:
    task = await add_task(store, phase_id=(await add_phase(store)).id)
    taken = await store.claims.take(task.id, **CLAIM, provider=None)
    clock.advance(60)
    done = await store.claims.complete(taken)
    clock.advance(60)
    found = await timeline(store, str(taken.task.initiative_id))
    assert found.end == found.rows[0].bars[0].end
    assert found.end is not None and found.end < found.now
    assert (found.rows[0].task_status, done.task.status) == ("completed", "completed")


async def test_agents_of_other_initiatives_are_not_there_and_those_without_a_task_are(
    store: Store,
) -> None:
    initiative = await add_initiative(store)
    planner = await add_agent(store, initiative_id=initiative.id, mode="plan")
    task = await add_task(store, initiative_id=initiative.id)
    by_hand = await add_agent(store, task_id=task.id)
    await add_agent(store, initiative_id=(await add_initiative(store)).id)
    await add_agent(store)
    found = await timeline(store, initiative.id)
    assert [(row.task_id, [bar.agent_id for bar in row.bars]) for row in found.rows] == [
        (None, [planner.id]),
        (task.id, [by_hand.id]),
    ]
    assert [row.bars[0].attempt for row in found.rows] == [0, 1]


async def test_the_newest_agents_are_there_where_there_are_more_than_asked_for(
    store: Store,
) -> None:
    task = await add_task(store, phase_id=(await add_phase(store)).id)
    tries = [await add_agent(store, task_id=task.id) for _ in range(4)]
    found = await timeline(store, str(task.initiative_id), limit=3)
    assert [bar.agent_id for bar in found.rows[0].bars] == [one.id for one in tries[1:]]
    assert found.is_cut
    assert not (await timeline(store, str(task.initiative_id), limit=4)).is_cut
