"""What a person does on the page: each changes what was seen, or nothing, and says so."""

from datetime import timedelta

import pytest
from browsing import Answer, Browser

from builders import (
    add_account,
    add_agent,
    add_conversation,
    add_message,
    add_phase,
    add_proposal,
    add_task,
)
from cw_store import Store
from cw_store.live.actions import ACTS

pytestmark = pytest.mark.parametrize("database", ["file", "postgres"], indirect=True)


def faster(answer: Answer) -> bool:
    return answer.status == 409 and '"told":"someone was faster: ' in answer.text


async def add_question_to_you(store: Store) -> str:
    agent = await add_agent(store, name="brave-otter")
    message = await add_message(
        store, sender_type="agent", sender_id=agent.id, recipient_type="user", content="15 or 30?"
    )
    return message.id


async def test_a_message_to_you_is_answered_once(store: Store, acting: Browser) -> None:
    id = await add_question_to_you(store)
    done = await acting.act("answer-message", id, text="30\r\nfor all")
    assert (done.status, done.text) == (200, '{"told":"replied to brave-otter"}')
    assert faster(await acting.act("answer-message", id, text="15"))
    assert [reply.content for reply in await store.messages.find_replies(id)] == ["30\nfor all"]


async def test_an_agents_question_is_answered_once(store: Store, acting: Browser) -> None:
    id = (await add_conversation(store)).id
    assert (await acting.act("answer-question", id, text="opaque")).status == 200
    assert faster(await acting.act("answer-question", id, text="JWT"))
    conversation = await store.conversations.find_by_id(id)
    assert conversation is not None and conversation.answer == "opaque"


async def test_a_blocked_task_begins_anew(store: Store, acting: Browser) -> None:
    task = await add_task(store, name="Unit tests", status="blocked", max_retries=1)
    await store.tasks.increment_retry_count(task.id)
    done = await acting.act("retry", task.id)
    assert (done.status, done.text) == (200, '{"told":"Unit tests begins anew"}')
    found = await store.tasks.find_by_id(task.id)
    assert found is not None and (found.status, found.retry_count) == ("pending", 0)
    assert faster(await acting.act("retry", task.id))


async def test_an_account_is_brought_back_by_whoever_saw_it_exhausted(
    store: Store, acting: Browser
) -> None:
    account = await add_account(store, email="ada@example.com")
    await store.accounts.mark_exhausted(account.id)
    done = await acting.act("account-available", account.id, expected="exhausted")
    assert (done.status, done.text) == (200, '{"told":"ada@example.com is available"}')
    found = await store.accounts.find_by_id(account.id)
    assert found is not None and not found.is_exhausted
    assert faster(await acting.act("account-available", account.id, expected="exhausted"))


async def test_an_account_is_taken_out_until_a_time(store: Store, acting: Browser) -> None:
    account = await add_account(store)
    begun = await store.claims.now()
    done = await acting.act("account-exhausted", account.id, until="2h", expected="available")
    assert done.status == 200
    found = await store.accounts.find_by_id(account.id)
    assert found is not None and found.exhausted_until is not None
    assert timedelta(0) <= found.exhausted_until - begun - timedelta(hours=2) < timedelta(minutes=1)
    assert faster(await acting.act("account-exhausted", account.id, expected="available"))
    assert (await acting.act("account-exhausted", account.id)).status == 200
    found = await store.accounts.find_by_id(account.id)
    assert found is not None and (found.is_exhausted, found.exhausted_until) == (True, None)
    done = await acting.act("account-exhausted", account.id, until="1h")
    assert "for longer than that" in done.text


@pytest.mark.parametrize("until", ["yesterday", "2020-01-01T00:00", "-1h", "0s"])
async def test_a_rest_ends_at_a_time_to_come(store: Store, acting: Browser, until: str) -> None:
    account = await add_account(store)
    assert (await acting.act("account-exhausted", account.id, until=until)).status == 400
    found = await store.accounts.find_by_id(account.id)
    assert found is not None and not found.is_exhausted


async def test_a_proposal_is_decided_once(store: Store, acting: Browser) -> None:
    first = (await add_proposal(store, title="Split it")).id
    second = (await add_proposal(store, title="Join it")).id
    assert (await acting.act("accept", first)).text == '{"told":"accepted: Split it"}'
    assert (await acting.act("dismiss", second)).text == '{"told":"dismissed: Join it"}'
    assert faster(await acting.act("dismiss", first))
    found = await store.proposals.find_by_id(first)
    assert found is not None and found.status == "accepted"


async def test_a_comment_is_resolved_once(store: Store, acting: Browser) -> None:
    comment = await store.review_comments.create(
        phase_id=(await add_phase(store)).id,
        file_path="src/prices.py",
        line_number=14,
        line_type="added",
        body="Which currency?",
    )
    done = await acting.act("resolve", comment.id)
    assert done.text == '{"told":"resolved the comment on src/prices.py:14"}'
    found = await store.review_comments.find_by_id(comment.id)
    assert found is not None and found.resolved
    assert faster(await acting.act("resolve", comment.id))


async def test_a_crashed_agent_is_dismissed_once(store: Store, acting: Browser) -> None:
    agent = await add_agent(store, name="brave-otter", status="crashed")
    done = await acting.act("dismiss-agent", agent.id)
    assert (done.status, done.text) == (200, '{"told":"brave-otter is dismissed"}')
    found = await store.agents.find_by_id(agent.id)
    assert found is not None and found.user_dismissed_at is not None
    assert found.status == "crashed"
    assert faster(await acting.act("dismiss-agent", agent.id))


async def test_an_agent_at_work_is_not_dismissed(store: Store, acting: Browser) -> None:
    agent = await add_agent(store, status="running")
    assert faster(await acting.act("dismiss-agent", agent.id))
    found = await store.agents.find_by_id(agent.id)
    assert found is not None and found.user_dismissed_at is None


@pytest.mark.parametrize("what", sorted(ACTS))
async def test_what_is_not_there_is_told_of(acting: Browser, what: str) -> None:
    answer = await acting.act(what, "nothing/such", text="x")
    assert answer.status == 404 and "gone" in answer.text


async def test_there_are_no_other_actions(store: Store, acting: Browser) -> None:
    assert sorted(ACTS) == [
        "accept",
        "account-available",
        "account-exhausted",
        "answer-message",
        "answer-question",
        "dismiss",
        "dismiss-agent",
        "resolve",
        "retry",
    ]
    assert (await acting.act("delete", (await add_task(store)).id)).status == 404


@pytest.mark.parametrize("text", ["", "  \r\n "])
async def test_an_answer_has_some_text(store: Store, acting: Browser, text: str) -> None:
    id = await add_question_to_you(store)
    assert (await acting.act("answer-message", id, text=text)).status == 400
    assert await store.messages.find_replies(id) == []


async def test_what_is_for_an_agent_is_not_answered_by_a_person(
    store: Store, acting: Browser
) -> None:
    agent = await add_agent(store)
    message = await add_message(
        store, sender_type="user", sender_id=None, recipient_type="agent", recipient_id=agent.id
    )
    answer = await acting.act("answer-message", message.id, text="x")
    assert answer.status == 400 and "is for an agent" in answer.text
