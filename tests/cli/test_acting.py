"""What people do to a store: each act changes what was seen, or nothing, and says so."""

import shlex
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import pytest
from command_line import CommandLine
from stores import BOTH, prepared

from builders import (
    add_account,
    add_agent,
    add_conversation,
    add_message,
    add_proposal,
    add_review_comment,
    add_task,
)
from cw_store import Store
from cw_store.testing import START, SteppableClock

T = TypeVar("T")
pytestmark = BOTH


def done_in(typed: CommandLine, work: Callable[[Store], Awaitable[T]]) -> T:
    return prepared(typed.url, work)


def test_a_message_to_the_user_gets_a_reply(typed: CommandLine) -> None:
    async def ask(store: Store) -> tuple[str, str]:
        agent = await add_agent(store, name="brave-otter")
        message = await add_message(
            store,
            sender_type="agent",
            sender_id=agent.id,
            recipient_type="user",
            content="15 or 30?",
        )
        return agent.id, message.id

    agent_id, id = done_in(typed, ask)
    done = typed("answer", id[:12], "30")
    assert (done.code, done.out, done.err) == (0, "replied to brave-otter\n", "")

    async def look(store: Store) -> tuple[str, list[tuple[str, str | None]]]:
        message = await store.messages.find_by_id(id)
        assert message is not None
        replies = await store.messages.find_replies(id)
        return message.status, [(each.content, each.recipient_id) for each in replies]

    assert done_in(typed, look) == ("responded", [("30", agent_id)])
    again = typed("answer", id, "15")
    assert again.code == 4 and again.err.startswith("cw-store: someone was faster: ")
    assert done_in(typed, look) == ("responded", [("30", agent_id)])


def test_an_agents_question_is_answered_once(typed: CommandLine) -> None:
    id = done_in(typed, add_conversation).id
    assert typed("answer", id, "-", stdin="opaque\nto all\n").code == 0
    assert typed("answer", id, "JWT").code == 4
    assert typed("show", id, "--json").data["record"]["answer"] == "opaque\nto all"


def test_what_is_for_an_agent_is_not_answered_by_a_person(typed: CommandLine) -> None:
    async def ask(store: Store) -> str:
        agent = await add_agent(store)
        message = await add_message(
            store, sender_type="user", sender_id=None, recipient_type="agent", recipient_id=agent.id
        )
        return message.id

    done = typed("answer", done_in(typed, ask), "x")
    assert done.code == 2 and "is for an agent" in done.err


def test_an_answer_from_stdin_has_some_text(typed: CommandLine) -> None:
    id = done_in(typed, add_conversation).id
    assert typed("answer", id, "-", stdin="\n").code == 2
    assert typed("show", id, "--json").data["record"]["status"] == "pending"


def test_blocked_tasks_begin_anew_all_or_none(typed: CommandLine) -> None:
    async def block(store: Store) -> list[str]:
        tasks = [await add_task(store, status="blocked", max_retries=1) for _ in range(3)]
        for task in tasks:
            await store.tasks.increment_retry_count(task.id)
        return [task.id for task in tasks]

    first, second, third = done_in(typed, block)
    assert [row["status"] for row in typed("retry", first).rows] == ["pending"]
    assert typed("show", first, "--json").data["record"]["retry_count"] == 0
    done = typed("retry", second, first)
    assert done.code == 4 and f"task {first} is pending and not blocked" in done.err
    assert typed("show", second, "--json").data["record"]["status"] == "blocked"
    assert [row["id"] for row in typed("retry", "--blocked").rows] == [second, third]
    nothing = typed.on_terminal("retry", "--blocked")
    assert (nothing.code, nothing.out) == (0, "nothing is blocked\n")


def test_blocked_tasks_of_one_initiative_begin_anew(typed: CommandLine) -> None:
    async def block(store: Store) -> tuple[str, str]:
        mine = await store.initiatives.create(name="User auth")
        task = await store.tasks.create(initiative_id=mine.id, name="a", status="blocked")
        other = await add_task(store, status="blocked")
        return task.id, other.id

    mine, other = done_in(typed, block)
    rows = typed("retry", "--blocked", "--initiative", "User auth").rows
    assert [row["id"] for row in rows] == [mine]
    assert typed("show", other, "--json").data["record"]["status"] == "blocked"


def test_an_account_is_taken_out_and_brought_back(
    typed: CommandLine, clock: SteppableClock
) -> None:
    done_in(typed, lambda store: add_account(store, email="ada@example.com", provider="claude"))
    [row] = typed("account", "exhaust", "ada@example.com", "--until", "2h", "--json").data
    assert row["is_exhausted"] and row["exhausted_until"] == "2026-01-15T14:00:00.000000Z"
    [row] = typed("account", "exhaust", "ada@example.com", "--json").data
    assert row["is_exhausted"] and row["exhausted_until"] is None
    [row] = typed("account", "exhaust", "ada@example.com", "--until", "1h", "--json").data
    assert row["exhausted_until"] is None, "what was reported is not shortened"
    [row] = typed("account", "available", "ada@example.com", "--json").data
    assert not row["is_exhausted"]
    assert clock.now == START


def test_an_address_of_two_accounts_is_not_guessed(typed: CommandLine) -> None:
    async def add(store: Store) -> list[str]:
        return [
            (await add_account(store, email="ada@example.com", provider=provider)).id
            for provider in ("claude", "codex")
        ]

    first, second = done_in(typed, add)
    done = typed("account", "exhaust", "ada@example.com")
    assert done.code == 1 and first in done.err and second in done.err
    assert typed("account", "exhaust", second).code == 0


def test_an_account_whose_secrets_nobody_can_read_is_marked(
    typed: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cryptography.fernet import Fernet

    key = Fernet.generate_key()

    async def add(store: Store) -> str:
        return (await add_account(store, credentials="secret")).id

    id = prepared(typed.url, add, encryption_keys=[key])
    [row] = typed("account", "exhaust", id, "--json").data
    assert row["is_exhausted"]
    [row] = typed("account", "available", id, "--json").data
    assert not row["is_exhausted"]
    assert typed("ls", "accounts").code == typed("show", id).code == 0


def test_a_proposal_is_decided_once(typed: CommandLine) -> None:
    id = done_in(typed, lambda store: add_proposal(store, title="Split it")).id
    done = typed("accept", id)
    assert (done.code, done.out) == (0, "accepted: Split it\n")
    again = typed("dismiss", id)
    assert again.code == 4
    assert again.err == f"cw-store: someone was faster: proposal {id} is accepted already\n"
    other = done_in(typed, lambda store: add_proposal(store, title="Join it")).id
    assert typed("dismiss", other).out == "dismissed: Join it\n"


def test_a_crashed_agent_is_dismissed_once(typed: CommandLine, clock: SteppableClock) -> None:
    async def crash(store: Store) -> list[str]:
        names = ("brave-otter", "awake-vole", "cosmic-jackal")
        agents = [await add_agent(store, name=name, status="crashed") for name in names]
        return [agent.id for agent in agents]

    first, second, third = done_in(typed, crash)
    clock.advance(60)
    done = typed("dismiss", "brave-otter")
    assert (done.code, done.out, done.err) == (0, "brave-otter is dismissed\n", "")
    record = typed("show", first, "--json").data["record"]
    assert (record["status"], record["user_dismissed_at"]) == (
        *("crashed", "2026-01-15T12:01:00.000000Z"),
    )
    again = typed("dismiss", first)
    assert again.code == 4
    assert again.err == "cw-store: someone was faster: agent brave-otter is dismissed already\n"
    assert typed("dismiss", second).out == "awake-vole is dismissed\n"
    assert typed("dismiss", third[:12]).out == "cosmic-jackal is dismissed\n"


def test_what_is_dismissed_is_given_as_json(typed: CommandLine) -> None:
    async def make(store: Store) -> tuple[str, str]:
        agent = await add_agent(store, status="crashed")
        return agent.id, (await add_proposal(store, agent_id=agent.id)).id

    agent, proposal = done_in(typed, make)
    found = typed("dismiss", agent, "--json").data
    assert (found["id"], found["user_dismissed_at"]) == (agent, "2026-01-15T12:00:00.000000Z")
    found = typed("dismiss", proposal, "--json").data
    assert (found["id"], found["status"]) == (proposal, "dismissed")
    again = typed("dismiss", agent, "--json")
    assert (again.code, again.out, again.error["code"]) == (4, "", "stale")


def test_an_agent_at_work_is_not_dismissed(typed: CommandLine) -> None:
    id = done_in(typed, lambda store: add_agent(store, name="brave-otter", status="running")).id
    done = typed("dismiss", "brave-otter")
    assert (done.code, done.err) == (
        4,
        "cw-store: someone was faster: agent brave-otter is running and not crashed\n",
    )
    assert typed("show", id, "--json").data["record"]["user_dismissed_at"] is None


def test_review_comments_are_resolved_all_or_none(typed: CommandLine) -> None:
    async def comment(store: Store) -> list[str]:
        return [
            (await add_review_comment(store, file_path="src/prices.py", line_number=line)).id
            for line in (14, 31, 57)
        ]

    def is_resolved(id: str) -> bool:
        return typed("show", id, "--json").data["record"]["resolved"]

    first, second, third = done_in(typed, comment)
    done = typed("resolve", first[:12])
    assert (done.code, done.err) == (0, "")
    assert done.rows == [
        {"id": first, "file_path": "src/prices.py", "line_number": "14", "resolved": "true"}
    ]
    again = typed("resolve", second, first)
    assert (again.code, again.out) == (4, "")
    assert again.err == f"cw-store: someone was faster: comment {first} is resolved already\n"
    assert not is_resolved(second)
    assert typed("resolve", second, "nobody").code == 1
    assert not is_resolved(second)
    rows = typed("resolve", third, second, third, "--json").data
    assert [(row["id"], row["line_number"], row["resolved"]) for row in rows] == [
        *((third, 57, True), (second, 31, True)),
    ]
    assert is_resolved(second) and is_resolved(third)
    again = typed("resolve", third, "--json")
    assert (again.code, again.out, again.error["code"]) == (4, "", "stale")


def test_the_commands_of_the_inbox_deal_with_what_they_stand_beside(typed: CommandLine) -> None:
    async def make(store: Store) -> None:
        await add_review_comment(store, id="-one")
        await add_review_comment(store, id="a b'c")

    done_in(typed, make)
    shown = [shlex.split(item["command"]) for item in typed("inbox", "--json").data["items"]]
    assert [words[-1] for words in shown] == ["-one", "a b'c"]
    for words in shown:
        assert typed(*words[words.index("resolve") :]).code == 0
    assert typed("inbox", "--json").data["items"] == []


@pytest.mark.parametrize(
    "words",
    [
        ("answer", "nobody", "x"),
        ("retry", "nobody"),
        ("account", "available", "nobody"),
        ("accept", "nobody"),
        ("dismiss", "nobody"),
        ("resolve", "nobody"),
        ("show", "nobody"),
        ("logs", "nobody"),
        ("inbox", "nobody"),
        ("ls", "tasks", "--phase", "nobody"),
        ("ls", "tasks", "--after", "nobody"),
    ],
)
def test_what_is_not_there_is_told_of(typed: CommandLine, words: tuple[str, ...]) -> None:
    done = typed(*words)
    assert done.code == 1 and "with the id or name 'nobody'" in done.err


def test_an_id_may_begin_like_an_option(typed: CommandLine) -> None:
    async def block(store: Store) -> None:
        await add_task(store, id="-q-is-its-id", status="blocked")
        await add_task(store, id="--json", status="blocked")

    done_in(typed, block)
    assert typed("show", "-q-is").code == 0
    assert typed("retry", "-q-is-its-id").code == 0
    assert typed("show", "--", "--json").code == 0
    assert typed("retry", "--", "--json").code == 0


def test_times_are_those_of_the_clock(typed: CommandLine, clock: SteppableClock) -> None:
    id = done_in(typed, lambda store: add_proposal(store)).id
    clock.advance(timedelta(days=400).total_seconds())
    assert typed("accept", id).code == 0
    record = typed("show", id, "--json").data["record"]
    assert record["updated_at"] == "2027-02-19T12:00:00.000000Z"


def test_what_is_answered_already_says_so(typed: CommandLine) -> None:
    id = done_in(typed, add_conversation).id
    assert typed("answer", id, "opaque").code == 0
    done = typed("answer", id, "JWT")
    assert done.err == (
        f"cw-store: someone was faster: question {id} is answered already; "
        f"cw-store show {id} says how\n"
    )


def test_an_id_of_something_else_is_told_for_what_it_is(typed: CommandLine) -> None:
    async def make(store: Store) -> str:
        await add_agent(store, name="brave-otter")
        return (await add_task(store, status="blocked", name="Unit tests")).id

    task_id = done_in(typed, make)
    told = {
        ("answer", "brave-otter", "x"): "'brave-otter' is the name or id of an agent, and no "
        "message or conversation",
        ("accept", "Unit tests"): "'Unit tests' is the name or id of a task, and no proposal",
        ("dismiss", "Unit tests"): "'Unit tests' is the name or id of a task, and no "
        "proposal or agent",
        ("resolve", "brave-otter"): "'brave-otter' is the name or id of an agent, and no "
        "review comment",
        ("accept", task_id): f"{task_id!r} is the name or id of a task, and no proposal",
        ("retry", "Unit test"): "there is no task with the id or name 'Unit test'; "
        "try cw-store search",
    }
    for words, sentence in told.items():
        done = typed(*words)
        assert (done.code, done.err) == (1, f"cw-store: {sentence}\n")


def test_an_account_that_stays_out_for_longer_says_so(typed: CommandLine) -> None:
    done_in(typed, lambda store: add_account(store, email="ada@example.com"))
    assert typed("account", "exhaust", "ada@example.com", "--until", "2h").err == ""
    assert "longer" in typed("account", "exhaust", "ada@example.com", "--until", "1h").err


def test_an_account_shows_who_holds_it(typed: CommandLine) -> None:
    async def make(store: Store) -> None:
        account = await add_account(store, email="ada@example.com")
        for status in ("running", "waiting_for_input", "stopped", "crashed"):
            await add_agent(store, name=status, status=status, account_id=account.id)

    done_in(typed, make)
    held = typed("show", "ada@example.com", "--json").data["held_by"]
    assert [agent["name"] for agent in held] == ["running", "waiting_for_input"]
