"""The board: where each task stands, why, and who is at it."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from builders import (
    add_account,
    add_agent,
    add_conversation,
    add_initiative,
    add_log_chunk,
    add_message,
    add_phase,
    add_task,
)
from cw_store import Claim, InvalidValueError, NotFoundError, Store
from cw_store.testing import SteppableClock
from cw_store.views import LANES, Board, LaneCounts, TaskCard, board


async def claim(store: Store, task_id: str, **options: Any) -> Claim:
    arguments: dict[str, Any] = {"provider": None, **options}
    return await store.claims.take(task_id, holder="host/1", worktree_id="trees/1", **arguments)


def cards(found: Board) -> Iterable[TaskCard]:
    """Give all cards of a board."""
    for initiative in found.initiatives:
        for phase in initiative.phases:
            for lane in phase.lanes:
                yield from lane.cards


def card(found: Board, id: str) -> TaskCard:
    (one,) = [each for each in cards(found) if each.id == id]
    return one


async def test_an_empty_store_has_an_empty_board(store: Store, clock: SteppableClock) -> None:
    assert await board(store) == Board(
        now=clock.now,
        counts=LaneCounts(),
        initiatives=(),
        agents=(),
        questions=(),
        circles=(),
        accounts=(),
    )


async def test_a_task_is_in_the_lane_in_which_it_stands(store: Store) -> None:
    phase = await add_phase(store, name="Core")
    ready = await add_task(store, phase_id=phase.id, name="first")
    waits = await add_task(store, phase_id=phase.id)
    await store.tasks.create_dependency(waits.id, ready.id)
    running = await add_task(store, phase_id=phase.id)
    agent = (await claim(store, running.id)).agent
    blocked = await add_task(store, phase_id=phase.id, status="blocked")
    done = await add_task(store, phase_id=phase.id, status="completed")

    found = await board(store)
    (initiative,) = found.initiatives
    (shown,) = initiative.phases
    assert (initiative.name, shown.name, shown.status) == ("User auth", "Core", "in_progress")
    assert {lane.lane: [one.id for one in lane.cards] for lane in shown.lanes} == {
        "needs_you": [blocked.id],
        "running": [running.id],
        "ready": [ready.id],
        "waiting": [waits.id],
        "done": [done.id],
    }
    assert [lane.lane for lane in shown.lanes] == list(LANES)
    assert found.counts == initiative.counts == shown.counts
    assert found.counts == LaneCounts(needs_you=1, running=1, ready=1, waiting=1, done=1)
    assert found.counts.total == 5
    assert initiative.agents_at_work == 1
    assert (card(found, waits.id).why, card(found, waits.id).waits_for) == (
        *("waits for first", (ready.id,)),
    )
    at_it = card(found, running.id).agent
    assert at_it is not None and at_it.id == agent.id and at_it == found.agents[0]
    assert card(found, blocked.id).why == "blocked"
    assert card(found, ready.id).why is card(found, running.id).why is None


async def test_a_task_needs_you_when_the_agent_at_it_does(store: Store) -> None:
    asks, waits, tells = [await add_task(store) for _ in range(3)]
    asking = (await claim(store, asks.id)).agent
    waiting = (await claim(store, waits.id)).agent
    telling = (await claim(store, tells.id)).agent
    to_user = {"sender_type": "agent", "recipient_type": "user"}
    await add_message(store, **to_user, sender_id=asking.id, requires_response=True)
    await add_message(store, **to_user, sender_id=telling.id)
    await store.agents.update(waiting.id, status="waiting_for_input")
    found = await board(store)
    assert found.counts == LaneCounts(needs_you=2, running=1)
    assert card(found, asks.id).why == f"{asking.name} asks you"
    assert card(found, waits.id).why == f"{waiting.name} waits for input"
    assert card(found, tells.id).lane == "running"


async def test_a_waiting_task_says_why(store: Store, clock: SteppableClock) -> None:
    initiative = await add_initiative(store)
    design = await add_phase(store, initiative_id=initiative.id, name="Design")
    core = await add_phase(store, initiative_id=initiative.id)
    closed = await add_phase(store, initiative_id=initiative.id, status="pending_review")
    await store.phases.create_dependency(core.id, design.id)
    shelved = await add_initiative(store, status="pending_review")
    full = await add_initiative(store, max_agents=1)
    await claim(store, (await add_task(store, initiative_id=full.id)).id)
    others = [await add_task(store, phase_id=design.id, name=f"no. {n}") for n in range(5)]
    several = await add_task(store, phase_id=design.id)
    await store.tasks.set_dependencies(several.id, [task.id for task in others])
    why = {
        several.id: "waits for no. 0, no. 1, no. 2 and 2 more",
        (await add_task(store, phase_id=core.id)).id: "its phase waits for Design",
        (await add_task(store, phase_id=closed.id)).id: "its phase is pending_review",
        (await add_task(store, not_before=clock.after(60))).id: (
            f"not before {clock.after(60):%Y-%m-%d %H:%M:%S} UTC"
        ),
        (await add_task(store, initiative_id=shelved.id)).id: "its initiative is pending_review",
        (await add_task(store, initiative_id=full.id)).id: (
            "its initiative has as many agents at work as it may, 1"
        ),
    }
    found = await board(store)
    assert {id: card(found, id).why for id in why} == why
    (shown,) = [one for one in found.initiatives[0].phases if one.id == core.id]
    assert shown.waits_for == ("Design",)


async def test_accounts_decide_only_where_there_are_any(store: Store) -> None:
    task = await add_task(store)
    assert (await board(store)).counts.ready == 1
    account = await add_account(store, provider="codex")
    assert (await board(store)).counts.ready == 1
    await store.accounts.mark_exhausted(account.id)
    assert card(await board(store), task.id).why == "no account of codex is free"
    assert (await board(store, provider=None)).counts.ready == 1
    await add_account(store, provider="claude")
    assert (await board(store)).counts.ready == 1
    found = await board(store, provider="codex")
    assert card(found, task.id).why == "no account of codex is free"
    assert (await board(store, account_id=account.id)).counts.waiting == 1


async def test_the_options_are_those_of_find_ready(store: Store) -> None:
    phase = await add_phase(store, status="approved")
    task = await add_task(store, phase_id=phase.id, category="merge")
    assert (await board(store, phase_statuses=["approved"])).counts.ready == 1
    assert (await board(store, phase_statuses=["pending"])).counts.waiting == 1
    found = await board(store, categories=["execute"])
    assert card(found, task.id).why == "its category is merge"
    wrong: Any = {"phase_statuses": ["open"]}
    with pytest.raises(InvalidValueError, match="must be one of"):
        await board(store, **wrong)


async def test_the_ready_are_those_that_would_be_claimed_in_this_order(store: Store) -> None:
    phase = await add_phase(store)
    for order, priority in ((2, "low"), (3, "high"), (1, "medium"), (0, "medium")):
        await add_task(store, phase_id=phase.id, order=order, priority=priority)
    found = await board(store)
    ready = await store.claims.find_ready(provider=None)
    assert [one.id for one in cards(found)] == [task.id for task in ready]


async def test_counts_are_of_all_tasks_however_many_cards_there_are(
    store: Store, clock: SteppableClock
) -> None:
    phase = await add_phase(store)
    for n in range(4):
        await add_task(store, phase_id=phase.id, order=n, name=f"ready {n}")
        done = await add_task(store, phase_id=phase.id, name=f"done {n}")
        clock.advance(1)
        await store.tasks.update(done.id, status="completed")
    found = await board(store, cards=2)
    assert found.counts == LaneCounts(ready=4, done=4)
    names = ["ready 0", "ready 1", "done 3", "done 2"]
    assert [one.name for one in cards(found)] == names
    assert len(list(cards(await board(store, cards=None)))) == 8
    by_lane = await board(store, cards={"ready": 1, "running": None})
    assert by_lane.counts == found.counts
    assert [one.name for one in cards(by_lane)] == ["ready 0"]
    for wrong in (0, -1, True, "2", {"ready": 0}):
        with pytest.raises(InvalidValueError, match="at least 1"):
            await board(store, cards=wrong)  # pyright: ignore[reportArgumentType] -- that is tested
    with pytest.raises(InvalidValueError, match="takes lanes, which are needs_you, running"):
        await board(store, cards={"reddy": 1})  # pyright: ignore[reportArgumentType] -- the same
    assert len(list(cards(await board(store, cards=2**62 - 1)))) == 8
    with pytest.raises(InvalidValueError, match="62 bits"):
        await board(store, cards={"done": 2**62})


async def test_a_board_is_of_one_initiative_or_of_all_that_are_not_archived(store: Store) -> None:
    first, shelved = await add_initiative(store), await add_initiative(store, status="archived")
    await add_task(store, initiative_id=first.id)
    await add_task(store, initiative_id=shelved.id)
    alone = await add_task(store)
    found = await board(store)
    assert [one.id for one in found.initiatives] == [first.id, None]
    assert [one.id for one in (await board(store, first.id)).initiatives] == [first.id]
    assert (await board(store, shelved.id)).counts.waiting == 1
    assert found.initiatives[1].phases[0].lanes[2].cards[0].id == alone.id
    with pytest.raises(NotFoundError):
        await board(store, "unknown")


async def test_phases_without_tasks_are_there_and_places_without_tasks_are_not(
    store: Store,
) -> None:
    phase = await add_phase(store)
    (initiative,) = (await board(store)).initiatives
    assert [one.id for one in initiative.phases] == [phase.id]
    await add_task(store, initiative_id=phase.initiative_id)
    (initiative,) = (await board(store)).initiatives
    assert [one.id for one in initiative.phases] == [phase.id, None]


async def test_an_agent_was_seen_when_it_last_wrote_or_was_changed(
    store: Store, clock: SteppableClock
) -> None:
    taken = await claim(store, (await add_task(store)).id)
    (agent,) = (await board(store)).agents
    assert (agent.last_line_at, agent.seen_at) == (None, taken.agent.updated_at)
    clock.advance(10)
    await add_log_chunk(store, agent_id=agent.id)
    clock.advance(10)
    chunk = await add_log_chunk(store, agent_id=agent.id)
    (agent,) = (await board(store)).agents
    assert agent.last_line_at == agent.seen_at == chunk.created_at
    clock.advance(10)
    changed = await store.agents.update(agent.id, pid=4711)
    (agent,) = (await board(store)).agents
    assert (agent.last_line_at, agent.seen_at) == (chunk.created_at, changed.updated_at)


async def test_a_lease_that_ran_out_is_told(store: Store, clock: SteppableClock) -> None:
    task = await add_task(store)
    taken = await claim(store, task.id)
    clock.advance(121)
    found = card(await board(store), task.id)
    assert (found.lane, found.why) == ("running", f"the lease of {taken.agent.name} ran out")


async def test_a_blocked_task_shows_who_was_at_it_last(store: Store) -> None:
    task = await add_task(store)
    await store.claims.fail(await claim(store, task.id), block=True)
    await store.tasks.update(task.id, status="pending")
    last = await claim(store, task.id)
    await store.claims.fail(last, block=True)
    found = card(await board(store), task.id)
    assert found.agent is not None and found.agent.id == last.agent.id
    assert found.agent.status == "stopped"


async def test_a_task_that_failed_too_often_says_how_often(store: Store) -> None:
    task = await add_task(store, max_retries=0)
    await store.claims.fail(await claim(store, task.id))
    assert card(await board(store), task.id).why == "blocked after 1 failed try"


async def test_accounts_say_until_when_they_rest_and_who_works_under_them(
    store: Store, clock: SteppableClock
) -> None:
    free = await add_account(store, email="free@example.com", max_agents=1)
    rests, ends = await add_account(store), await add_account(store)
    task = await add_task(store)
    taken = await claim(store, task.id, provider="claude", account_id=free.id)
    await store.accounts.mark_exhausted(rests.id, until=clock.after(60))
    await store.accounts.mark_exhausted(ends.id)
    found = (await board(store)).accounts
    assert [(one.id, one.state, one.until) for one in found] == [
        (free.id, "available", None),
        (rests.id, "exhausted_until", clock.after(60)),
        (ends.id, "exhausted", None),
    ]
    assert (found[0].agent_names, found[0].has_room) == ((taken.agent.name,), False)
    clock.advance(60)
    assert (await board(store)).accounts[1].state == "available"
    assert not hasattr(found[0], "credentials")


async def test_questions_between_agents_are_shown_and_those_around_a_circle(store: Store) -> None:
    a, b, c, gone = [await add_agent(store, name=name) for name in ("a", "b", "c", "gone")]
    await store.agents.update(gone.id, status="crashed")
    for asking, asked in ((a, b), (b, c), (c, a), (a, gone)):
        await add_conversation(store, from_agent_id=asking.id, to_agent_id=asked.id)
    answered = await add_conversation(store, from_agent_id=b.id, to_agent_id=a.id)
    await store.conversations.answer(answered.id, "yes")
    found = await board(store)
    assert found.circles == (("a", "b", "c", "a"),)
    assert [
        (one.from_agent_name, one.to_agent_name, one.is_in_circle, one.is_unanswerable)
        for one in found.questions
    ] == [
        ("a", "b", True, False),
        ("b", "c", True, False),
        ("c", "a", True, False),
        ("a", "gone", False, True),
    ]
    other = await add_initiative(store)
    alone = await board(store, other.id)
    assert (alone.questions, alone.circles) == ((), ())


async def test_whatever_text_is_stored_comes_out_as_it_is(store: Store) -> None:
    hostile = "\x1b]0;x\x07[/bold] \u202e\u2028%s {0} '; DROP TABLE tasks;--"
    phase = await add_phase(store, name=hostile)
    first = await add_task(store, phase_id=phase.id, name=hostile)
    second = await add_task(store, phase_id=phase.id)
    await store.tasks.create_dependency(second.id, first.id)
    found = await board(store)
    assert card(found, first.id).name == found.initiatives[0].phases[0].name == hostile
    assert card(found, second.id).why == f"waits for {hostile}"


async def test_views_in_one_unit_of_work_are_of_one_snapshot(store: Store) -> None:
    task = await add_task(store)
    async with store.unit_of_work(read_only=True) as uow:
        before = await board(uow)
        await store.tasks.update(task.id, status="blocked")
        assert await board(uow) == before
    assert (await board(store)).counts == LaneCounts(needs_you=1)


async def test_many_look_at_once(store: Store) -> None:
    await add_task(store)
    found = await asyncio.gather(*[board(store) for _ in range(8)])
    assert all(one.counts == LaneCounts(ready=1) for one in found)


async def test_a_board_is_whole_whatever_is_written_meanwhile(store: Store) -> None:
    phase = await add_phase(store)
    tasks = [await add_task(store, phase_id=phase.id) for _ in range(20)]

    async def work() -> None:
        for task in tasks:
            await store.claims.complete(await claim(store, task.id))

    working = asyncio.ensure_future(work())
    while not working.done():
        found = await board(store)
        assert found.counts.total == 20
        assert len(list(cards(found))) == 20
        assert len(found.agents) == found.counts.running
    await working
