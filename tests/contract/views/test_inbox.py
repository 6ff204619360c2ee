"""The inbox: what waits for a person, across all tables, oldest first."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import update

from builders import (
    add_account,
    add_agent,
    add_conversation,
    add_errand,
    add_initiative,
    add_message,
    add_phase,
    add_proposal,
    add_review_comment,
    add_task,
)
from cw_store import InvalidValueError, NotFoundError, Store, metadata
from cw_store.testing import SteppableClock
from cw_store.views import Inbox, InboxItem, inbox


async def only_item(store: Store) -> InboxItem:
    (item,) = (await inbox(store)).items
    return item


async def test_an_empty_store_has_an_empty_inbox(store: Store, clock: SteppableClock) -> None:
    assert await inbox(store) == Inbox(now=clock.now, initiative_id=None, items=(), counts={})


async def fill(store: Store, clock: SteppableClock) -> dict[str, str]:
    """Add one of each kind, a second apart; return their ids by kind, the oldest first."""
    initiative = await add_initiative(store, id="i", name="User auth")
    phase = await add_phase(store, id="p", initiative_id="i", name="Core")
    task = await add_task(store, id="t", phase_id="p", name="Session store")
    agent = await add_agent(store, name="cosmic-jackal", task_id="t", initiative_id="i")
    gone = await add_agent(store, name="awake-raven", status="crashed")
    ids: dict[str, str] = {}

    async def add(kind: str, adding: Awaitable[Any]) -> None:
        clock.advance(1)
        ids[kind] = (await adding).id

    asks = {"sender_type": "agent", "sender_id": agent.id, "requires_response": True}
    await add("account", add_account(store, email="leslie@example.com", is_exhausted=True))
    await add("message", add_message(store, **asks, type="question", content="15 or 30 minutes?"))
    question = {"from_agent_id": agent.id, "to_agent_id": gone.id, "question": "Which table?"}
    await add("question", add_conversation(store, **question))
    await add("task", add_task(store, phase_id="p", name="Unit tests", status="blocked"))
    await add("phase", add_phase(store, initiative_id="i", name="Release", status="pending_review"))
    await add("initiative", add_initiative(store, name="Billing", status="pending_review"))
    await add("errand", add_errand(store, description="Bump it\nnow", status="conflict"))
    await add("proposal", add_proposal(store, agent_id=agent.id, initiative_id="i", title="Split"))
    await add("comment", add_review_comment(store, phase_id="p", file_path="a.py", line_number=7))
    waits = {"status": "waiting_for_input", "pending_questions": ["Which port?"]}
    await add("agent", add_agent(store, name="peppy-magpie", task_id=task.id, **waits))
    assert phase.initiative_id == initiative.id
    return ids


async def test_whatever_waits_is_there_oldest_first_with_what_answers_it(
    store: Store, clock: SteppableClock
) -> None:
    ids = await fill(store, clock)
    found = await inbox(store)
    assert [(item.kind, item.id) for item in found.items] == list(ids.items())
    assert found.counts == dict.fromkeys(ids, 1)
    assert found.total == len(ids)
    assert [(item.title, item.text, item.who, item.command) for item in found.items] == [
        ("leslie@example.com", "", None, "cw-store account available leslie@example.com"),
        (
            *("cosmic-jackal asks you", "15 or 30 minutes?", "cosmic-jackal"),
            shown("answer", ids["message"], " TEXT"),
        ),
        (
            *("cosmic-jackal asks awake-raven, which has crashed", "Which table?"),
            *("cosmic-jackal", shown("answer", ids["question"], " TEXT")),
        ),
        ("Unit tests", "", None, shown("retry", ids["task"])),
        ("Release", "", None, shown("show", ids["phase"])),
        ("Billing", "", None, shown("show", ids["initiative"])),
        ("Bump it", "errand/bump is in conflict", None, shown("show", ids["errand"])),
        ("Split", "", "cosmic-jackal", shown("accept", ids["proposal"])),
        ("a.py:7", "Why?", "you", shown("resolve", ids["comment"])),
        ("peppy-magpie", "Which port?", "peppy-magpie", shown("show", ids["agent"])),
    ]
    since = [item.since for item in found.items]
    assert since == sorted(since) and all(isinstance(each, datetime) for each in since)
    message = found.items[1]
    assert (message.initiative_name, message.phase_name, message.task_name) == (
        *("User auth", "Core", "Session store"),
    )


def shown(word: str, id: str, rest: str = "") -> str:
    """Return the command line about an id, which may begin as an option does."""
    return f"cw-store {word}{' --' if id.startswith('-') else ''} {id}{rest}"


async def test_the_oldest_are_there_where_there_are_more_than_asked_for(
    store: Store, clock: SteppableClock
) -> None:
    ids = await fill(store, clock)
    found = await inbox(store, limit=3)
    assert [item.id for item in found.items] == list(ids.values())[:3]
    assert found.total == len(ids)


async def test_an_initiative_has_an_inbox_of_its_own(store: Store, clock: SteppableClock) -> None:
    ids = await fill(store, clock)
    found = await inbox(store, initiative_id="i")
    elsewhere = ("account", "errand", "initiative")
    assert [item.kind for item in found.items] == [kind for kind in ids if kind not in elsewhere]
    assert {item.initiative_id for item in found.items} == {"i"}
    assert (await inbox(store, initiative_id=ids["initiative"])).total == 1
    with pytest.raises(NotFoundError):
        await inbox(store, initiative_id="unknown")


async def test_of_one_time_they_are_in_the_order_of_storing(
    store: Store, clock: SteppableClock
) -> None:
    ids = [
        (await add_review_comment(store, id=id, phase_id=phase_id)).id
        for id, phase_id in (
            ("z", (await add_phase(store)).id),
            ("a", (await add_phase(store)).id),
        )
    ]
    async with store.unit_of_work() as uow:
        comments = metadata.tables["review_comments"]
        await uow.session.execute(update(comments).values(created_at=clock.now))
    assert [item.id for item in (await inbox(store)).items] == ids == ["z", "a"]


async def test_what_is_dealt_with_is_gone(store: Store, clock: SteppableClock) -> None:
    ids = await fill(store, clock)
    answers: list[Callable[[], Awaitable[Any]]] = [
        lambda: store.accounts.mark_available(ids["account"]),
        lambda: store.messages.respond(ids["message"], content="30"),
        lambda: store.conversations.answer(ids["question"], "devices"),
        lambda: store.tasks.update(ids["task"], status="pending"),
        lambda: store.phases.update(ids["phase"], status="approved"),
        lambda: store.initiatives.update(ids["initiative"], status="active"),
        lambda: store.errands.update(ids["errand"], status="merged"),
        lambda: store.proposals.update(ids["proposal"], status="accepted"),
        lambda: store.review_comments.resolve(ids["comment"]),
        lambda: store.agents.update(ids["agent"], status="running"),
    ]
    for left, answer in enumerate(answers, start=1):
        await answer()
        assert (await inbox(store)).total == len(ids) - left


async def test_a_message_waits_until_it_is_read_or_if_it_asks_until_it_is_answered(
    store: Store,
) -> None:
    told = await add_message(store, content="done")
    asked = await add_message(store, content="how?", requires_response=True)
    for message in (told, asked):
        await store.messages.update(message.id, status="read")
    assert (await only_item(store)).id == asked.id
    await store.messages.update(asked.id, status="responded")
    assert (await inbox(store)).items == ()


async def test_an_account_that_rests_until_a_time_waits_for_nobody(
    store: Store, clock: SteppableClock
) -> None:
    account = await add_account(store)
    await store.accounts.mark_exhausted(account.id, until=clock.after(60))
    assert (await inbox(store)).items == ()
    await store.accounts.mark_exhausted(account.id)
    assert (await only_item(store)).kind == "account"


async def test_what_belongs_to_an_archived_initiative_waits_for_nobody(store: Store) -> None:
    phase = await add_phase(store)
    await add_task(store, phase_id=phase.id, status="blocked")
    assert (await only_item(store)).kind == "task"
    await store.initiatives.update(phase.initiative_id, status="archived")
    assert (await inbox(store)).items == ()


async def test_a_command_is_quoted_for_a_shell(store: Store) -> None:
    await add_account(store, email="a b'$(reboot)@example.com", is_exhausted=True)
    assert (await only_item(store)).command == (
        "cw-store account available 'a b'\"'\"'$(reboot)@example.com'"
    )
    await store.accounts.mark_available((await store.accounts.find_all())[0].id)
    await add_task(store, id="-x", status="blocked")
    assert (await only_item(store)).command == "cw-store retry -- -x"


@pytest.mark.parametrize(
    ("questions", "text"),
    [
        (None, ""),
        ("Which port?", "Which port?"),
        (["Which?", {"question": "And who?", "options": ["a"]}], "Which?\nAnd who?"),
        ({"questions": [{"id": 1, "question": "Who?"}]}, "Who?"),
        ({"a": [1, None]}, '{"a": [1, null]}'),
    ],
)
async def test_what_an_agent_waits_for_is_told_in_whatever_form_it_asks(
    store: Store, questions: Any, text: str
) -> None:
    await add_agent(store, status="waiting_for_input", pending_questions=questions)
    assert (await only_item(store)).text == text


async def test_a_long_text_is_cut(store: Store) -> None:
    await add_message(store, content="ä" * 100_000)
    assert (await only_item(store)).text == "ä" * 4_000


@pytest.mark.parametrize("limit", [0, -1, True, 2.5, "5"])
async def test_a_limit_is_a_whole_number_above_zero(store: Store, limit: Any) -> None:
    with pytest.raises(InvalidValueError, match="at least 1"):
        await inbox(store, limit=limit)


async def test_a_view_is_of_the_unit_of_work_that_it_is_read_in(store: Store) -> None:
    async with store.unit_of_work(read_only=True) as uow:
        assert (await inbox(uow)).items == ()
        await add_task(store, status="blocked")
        assert (await inbox(uow)).items == ()
    assert (await only_item(store)).kind == "task"
