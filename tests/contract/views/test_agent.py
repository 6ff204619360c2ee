"""One agent: what it is at, what it wrote last, and whom it waits for."""

from typing import Any

import pytest

from builders import (
    add_account,
    add_agent,
    add_conversation,
    add_log_chunk,
    add_message,
    add_phase,
    add_task,
)
from cw_store import InvalidValueError, NotFoundError, Store
from cw_store.testing import SteppableClock
from cw_store.views import agent

CLAIM: dict[str, Any] = {"holder": "host/1", "worktree_id": "trees/1"}


async def test_an_agent_is_found_by_its_id_or_its_name(store: Store) -> None:
    one = await add_agent(store, id="an-id", name="cosmic-jackal")
    assert (await agent(store, "cosmic-jackal")).agent.id == one.id
    assert (await agent(store, "an-id")).agent.name == one.name
    for unknown in ("an-", "cosmic", ""):
        with pytest.raises((NotFoundError, InvalidValueError)):
            await agent(store, unknown)


async def test_an_id_goes_before_a_name(store: Store) -> None:
    await add_agent(store, id="first", name="second")
    await add_agent(store, id="second", name="first")
    assert (await agent(store, "first")).agent.id == "first"


async def test_everything_about_an_agent_is_told_at_once(
    store: Store, clock: SteppableClock
) -> None:
    await add_account(store, email="ada@example.com")
    phase = await add_phase(store, name="Core")
    task = await add_task(store, phase_id=phase.id, name="Session store")
    before = await store.claims.take(task.id, **CLAIM)
    await store.claims.release(before)
    taken = await store.claims.take(task.id, **CLAIM)
    await store.agents.update(taken.agent.id, pid=4711, session_id="s", pending_questions=["Who?"])
    clock.advance(121)
    found = await agent(store, taken.agent.name)
    assert (found.agent.pid, found.session_id, found.pending_questions) == (4711, "s", ["Who?"])
    assert (found.initiative_name, found.phase_name, found.agent.task_name) == (
        *("User auth", "Core", "Session store"),
    )
    assert (found.task_status, found.retry_count, found.max_retries) == ("in_progress", 0, 3)
    assert found.account is not None and found.account.email == "ada@example.com"
    assert found.claim is not None and found.claim.is_over
    assert (found.claim.task_id, found.claim.epoch, found.claim.holder) == (task.id, 2, "host/1")
    assert [one.id for one in found.tries] == [before.agent.id, taken.agent.id]
    assert (await agent(store, before.agent.id)).claim is None


async def test_an_agent_without_anything_is_told_as_well(store: Store) -> None:
    await add_agent(store)
    one = await add_agent(store)
    found = await agent(store, one.id)
    assert (found.account, found.claim, found.task_status, found.phase_id) == (None,) * 4
    assert (found.tries, found.sessions, found.messages, found.asked) == ((),) * 4
    assert found.last_lines == ""


async def test_the_log_is_told_by_sessions_and_its_end(store: Store, clock: SteppableClock) -> None:
    one, other = await add_agent(store), await add_agent(store)
    chunks = [
        await add_log_chunk(store, agent_id=one.id, session_number=number, content=f"{n}\n")
        for n, number in enumerate((1, 1, 2, 2, 2, 1), start=1)
        if clock.advance(1)
    ]
    await add_log_chunk(store, agent_id=other.id, content="of another\n")
    found = await agent(store, one.id)
    assert [(each.number, each.chunks, each.first_at, each.last_at) for each in found.sessions] == [
        (1, 3, chunks[0].created_at, chunks[5].created_at),
        (2, 3, chunks[2].created_at, chunks[4].created_at),
    ]
    assert found.last_lines == "1\n2\n3\n4\n5\n6\n"
    assert found.agent.last_line_at == chunks[5].created_at
    for n in range(12):
        await add_log_chunk(store, agent_id=one.id, content=f"{n};" + "ä" * 15_000)
    last_lines = (await agent(store, one.id)).last_lines
    assert len(last_lines) == 20_000
    assert last_lines.endswith("11;" + "ä" * 15_000)


async def test_questions_both_ways_are_told_the_pending_ones_all(store: Store) -> None:
    one, other = await add_agent(store, name="one"), await add_agent(store, name="other")
    await store.agents.update(other.id, status="crashed")
    asks = {"from_agent_id": one.id, "to_agent_id": other.id}
    pending = await add_conversation(store, **asks)
    answered = [await add_conversation(store, **asks) for _ in range(3)]
    for question in answered:
        await store.conversations.answer(question.id, "yes")
    asked = await add_conversation(store, from_agent_id=other.id, to_agent_id=one.id)
    found = await agent(store, "one", limit=2)
    assert [question.id for question in found.asked] == [
        pending.id,
        *[question.id for question in answered[1:]],
    ]
    assert [question.is_unanswerable for question in found.asked] == [True, False, False]
    assert [question.answer for question in found.asked] == [None, "yes", "yes"]
    assert [(question.id, question.is_in_circle) for question in found.asked_of_it] == [
        (asked.id, True)
    ]


async def test_messages_both_ways_are_told_the_newest_of_them(store: Store) -> None:
    one, other = await add_agent(store, name="one"), await add_agent(store, name="other")
    mine = {"sender_type": "agent", "sender_id": one.id}
    to_me = {"recipient_type": "agent", "recipient_id": one.id}
    await add_message(store, **mine, content="first")
    await add_message(store, **mine, content="to you", requires_response=True)
    await add_message(store, **to_me, content="from you")
    to_other = {"recipient_type": "agent", "recipient_id": other.id}
    await add_message(store, **mine, **to_other, content="to the other")
    await add_message(store, **mine, **to_me, content="to myself")
    found = await agent(store, "one", limit=4)
    assert [
        (message.content, message.is_from_agent, message.other_agent_name)
        for message in found.messages
    ] == [
        ("to you", True, None),
        ("from you", False, None),
        ("to the other", True, "other"),
        ("to myself", True, "one"),
    ]
    assert [message.requires_response for message in found.messages][:2] == [True, False]
    with pytest.raises(InvalidValueError):
        await agent(store, "one", limit=0)
