"""What keeps each open task from being claimed: in one question what `explain` says one by one."""

from typing import Any, get_args

import pytest

from builders import add_account, add_initiative, add_phase, add_task
from cw_store import Claimed, Obstacle, Reason, Standing, Store
from cw_store.testing import SteppableClock

CLAIM: dict[str, Any] = {"holder": "host/1", "worktree_id": "trees/1"}


def kind_of(reason: Reason) -> str:
    """Return what a reason is called as an obstacle: its class's name, in snake case."""
    name = type(reason).__name__
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


async def fill(store: Store, clock: SteppableClock) -> str:
    """Add tasks in every situation; return the id of the initiative that has most of them."""
    account = await add_account(store)
    plan, shelved = await add_initiative(store), await add_initiative(store, status="archived")
    full = await add_initiative(store, max_agents=1)
    first = await add_phase(store, initiative_id=plan.id)
    later = await add_phase(store, initiative_id=plan.id)
    closed = await add_phase(store, initiative_id=plan.id, status="pending_review")
    done = await add_phase(store, initiative_id=plan.id)
    await store.phases.create_dependency(later.id, first.id)
    await store.phases.create_dependency(done.id, first.id)
    await store.phases.update(done.id, status="completed")  # whose number is an old one from now on
    await add_task(store, initiative_id=full.id, name="claimed")
    assert await store.claims.next(**CLAIM, initiative_id=full.id) is not None
    await add_task(store, initiative_id=full.id, name="waits for room")
    ready = await add_task(store, phase_id=first.id, name="ready")
    await add_task(store, phase_id=first.id, name="first", priority="high", order=3)
    waits = await add_task(store, phase_id=first.id, name="waits", category="merge")
    await store.tasks.create_dependency(waits.id, ready.id)
    await add_task(store, phase_id=first.id, name="blocked", status="blocked", priority="low")
    await add_task(store, phase_id=first.id, name="done", status="completed")
    await add_task(store, phase_id=first.id, name="later", not_before=clock.after(60))
    await add_task(store, phase_id=first.id, name="by hand", status="in_progress")
    for phase in (later, closed, done):
        await add_task(store, phase_id=phase.id)
    await add_task(store, initiative_id=shelved.id, name="shelved")
    await add_task(store, name="of nobody")
    await store.accounts.update(account.id, max_agents=2)
    return plan.id


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"provider": None},
        {"provider": "codex"},
        {"categories": ["merge"]},
        {"phase_statuses": ["completed"], "provider": None},
    ],
    ids=str,
)
async def test_a_standing_is_the_first_reason_of_an_explanation(
    store: Store, clock: SteppableClock, options: dict[str, Any]
) -> None:
    plan = await fill(store, clock)
    for initiative_id in (None, plan):
        found = await store.claims.find_standings(initiative_id, **options)
        open_tasks = [
            task
            for task in await store.tasks.find_all()
            if task.status != "completed" and initiative_id in (None, task.initiative_id)
        ]
        assert {one.task_id for one in found} == {task.id for task in open_tasks}
        assert len(found) == len(open_tasks)
        for one in found:
            reasons = (await store.claims.explain(one.task_id, **options)).reasons
            assert one.obstacle == (kind_of(reasons[0]) if reasons else None)
        ready = await store.claims.find_ready(initiative_id, **options)
        assert {one.task_id for one in found if one.obstacle is None} == {t.id for t in ready}


async def test_standings_go_by_priority_then_order_then_age(store: Store) -> None:
    phase = await add_phase(store)
    low = await add_task(store, phase_id=phase.id, priority="low")
    second = await add_task(store, phase_id=phase.id, order=2)
    first = await add_task(store, phase_id=phase.id, order=1)
    third = await add_task(store, phase_id=phase.id, order=2)
    found = await store.claims.find_standings(phase.initiative_id, provider=None)
    assert found == [
        Standing(task.id, phase.id, phase.initiative_id, "pending", None)
        for task in (first, second, third, low)
    ]


async def test_every_kind_of_reason_is_an_obstacle() -> None:
    for reason in get_args(Reason):
        assert kind_of(object.__new__(reason)) in get_args(Obstacle)
    assert len(get_args(Reason)) == len(get_args(Obstacle))
    assert kind_of(object.__new__(Claimed)) == "claimed"


async def test_a_misspelt_option_is_refused(store: Store) -> None:
    wrong: Any = {"prowider": None}
    with pytest.raises(TypeError, match="takes no prowider"):
        await store.claims.find_standings(**wrong)


async def test_the_time_is_that_of_the_clock_of_the_store(
    store: Store, clock: SteppableClock
) -> None:
    assert await store.claims.now() == clock.now
    async with store.unit_of_work(read_only=True) as uow:
        clock.advance(5)
        assert await uow.claims.now() == clock.now
