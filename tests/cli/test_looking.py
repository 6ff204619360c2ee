"""Looking: lists, one thing, logs, what is ready, and what happens."""

import asyncio
import json
import shlex
import threading
from datetime import timedelta

import pytest
from command_line import CommandLine
from stores import BOTH, prepared

from builders import (
    add_account,
    add_agent,
    add_change_set,
    add_chat_session,
    add_phase,
    add_task,
)
from cw_store import Store
from cw_store.testing import SteppableClock

pytestmark = BOTH


async def five_tasks(store: Store) -> list[str]:
    names = ("b", "a", "c", "e", "d")
    priorities = ("low", "high", "medium", "high", "low")
    phase = await add_phase(store, name="Core")
    return [
        (await add_task(store, name=name, priority=priority, phase_id=phase.id)).id
        for name, priority in zip(names, priorities, strict=True)
    ]


def names(typed: CommandLine, *words: str) -> list[str]:
    return [row["name"] for row in typed("ls", "tasks", *words).rows]


def test_a_list_is_in_the_order_of_storing_and_goes_on_where_it_was_cut(
    typed: CommandLine,
) -> None:
    ids = prepared(typed.url, five_tasks)
    assert names(typed) == ["b", "a", "c", "e", "d"]
    first = typed("ls", "tasks", "--limit", "2")
    assert [row["id"] for row in first.rows] == ids[:2]
    assert first.err == f"cw-store: there are more than 2; --after={ids[1]} shows the next\n"
    assert typed("ls", "tasks", "--limit", "2", "-q").err == ""
    assert names(typed, f"--after={ids[1]}", "--limit", "3") == ["c", "e", "d"]
    assert typed("ls", "tasks", f"--after={ids[1]}", "--limit", "3").err == ""


def test_a_list_is_sorted_by_any_column(typed: CommandLine) -> None:
    prepared(typed.url, five_tasks)
    assert names(typed, "--sort", "name") == ["a", "b", "c", "d", "e"]
    assert names(typed, "--sort=-name") == ["e", "d", "c", "b", "a"]
    assert names(typed, "--sort", "priority") == ["a", "e", "c", "b", "d"]
    assert names(typed, "--sort", "not_before") == ["b", "a", "c", "e", "d"], "as stored"
    assert names(typed, "--sort", "phase", "--limit", "2") == ["b", "a"]


def test_a_list_is_filtered_by_what_rows_belong_to(typed: CommandLine) -> None:
    async def fill(store: Store) -> tuple[str, str]:
        agent = await add_agent(store, name="brave-otter")
        other = await add_agent(store, name="calm-heron")
        for asked, asking in ((agent, other), (other, agent), (other, other)):
            await store.conversations.create(
                from_agent_id=asking.id, to_agent_id=asked.id, question=asking.name
            )
        return agent.id, other.id

    prepared(typed.url, fill)
    rows = typed("ls", "conversations", "--agent", "brave-otter").rows
    assert [row["from_agent"] for row in rows] == ["calm-heron", "brave-otter"]
    assert len(typed("ls", "conversations").rows) == 3
    assert typed("ls", "conversations", "--status", "answered").rows == []
    assert typed("ls", "conversations", "--project", "x").code == 2


def test_as_json_a_list_has_the_columns_that_were_asked_for(typed: CommandLine) -> None:
    ids = prepared(typed.url, five_tasks)
    data = typed("ls", "tasks", "--columns", "id, phase,not_before", "--limit", "1", "--json").data
    assert data == [{"id": ids[0], "phase": "Core", "not_before": None}]


def test_a_name_finds_one_and_not_two(typed: CommandLine) -> None:
    ids = prepared(typed.url, five_tasks)
    assert typed("show", "c", "--json").data["record"]["id"] == ids[2]
    prepared(typed.url, lambda store: add_task(store, name="c"))
    done = typed("show", "c")
    assert done.code == 1 and done.err.startswith("cw-store: 'c' could be task ")
    assert typed("show", ids[2]).code == 0


def test_a_task_says_why_it_does_not_start(typed: CommandLine) -> None:
    async def fill(store: Store) -> str:
        await add_account(store, provider="claude")
        first = await add_task(store, name="Session store")
        second = await add_task(store, name="Load test")
        await store.tasks.create_dependency(second.id, first.id)
        return second.id

    id = prepared(typed.url, fill)
    assert typed("show", id, "--json").data["why"] == ["it waits for task Session store (pending)"]
    [row] = [row for row in typed("ready", "--explain").rows if row["id"] == id]
    assert row["why"] == "it waits for task Session store (pending)"
    assert [row["name"] for row in typed("ready").rows] == ["Session store"]
    assert [row["name"] for row in typed("ready", "--provider", "codex").rows] == []


def test_what_is_ready_asks_for_any_account(typed: CommandLine) -> None:
    prepared(typed.url, add_task)
    assert len(typed("ready").rows) == 1, "a store without accounts needs none"
    prepared(typed.url, lambda store: add_account(store, email="a@example.com", provider="codex"))
    assert len(typed("ready").rows) == 1
    typed("account", "exhaust", "a@example.com")
    assert typed("ready").rows == []
    [row] = typed("ready", "--explain").rows
    assert row["why"] == "no account of codex is free"
    shown = typed.on_terminal("ready")
    assert shown.out == "nothing is ready; --explain says what holds each task\n"


def test_a_log_is_shown_session_by_session(typed: CommandLine, clock: SteppableClock) -> None:
    async def fill(store: Store) -> str:
        agent = await add_agent(store, name="brave-otter")
        for session, text in ((1, "one"), (1, "two"), (2, "three")):
            line = json.dumps({"type": "assistant", "text": text})
            await store.log_chunks.insert_chunk(agent.id, agent.name, session, f"{line}\n")
            clock.advance(60)
        return agent.id

    id = prepared(typed.url, fill, clock=clock)

    def texts(*words: str) -> list[str]:
        done = typed("logs", *words)
        assert done.code == 0
        return [line.split("\t")[3] for line in done.out.splitlines()]

    assert texts("brave-otter") == ["one", "two", "three"]
    assert texts(id[:8], "--session", "2") == ["three"]
    assert texts("brave-otter", "--since", "61s") == ["three"]
    assert texts("brave-otter", "--grep", "T") == ["two", "three"]
    raw = typed("logs", "brave-otter", "--raw", "--grep", "two")
    assert raw.out == '{"type": "assistant", "text": "two"}\n'
    [line] = typed("logs", "brave-otter", "--grep", "two", "--json").out.splitlines()
    assert json.loads(line)["data"] == {
        "at": "2026-01-15T12:01:00.000000Z",
        "session": 1,
        "kind": "says",
        "text": "two",
    }
    shown = typed.on_terminal("logs", "brave-otter", "--session", "1")
    assert shown.out == "01-15 12:00:00  1 says   one\n01-15 12:01:00  1 says   two\n"


def test_the_log_of_a_deleted_agent_is_found_by_its_id(typed: CommandLine) -> None:
    async def fill(store: Store) -> str:
        agent = await add_agent(store)
        await store.log_chunks.insert_chunk(agent.id, agent.name, 1, "gone\n")
        await store.agents.delete(agent.id)
        return agent.id

    id = prepared(typed.url, fill)
    assert typed("logs", id).out.endswith("\tgone\n")
    assert typed("logs", id[:10]).code == 1


def test_an_agent_is_shown_with_what_it_wrote_last(typed: CommandLine) -> None:
    async def fill(store: Store) -> None:
        agent = await add_agent(store, name="brave-otter", status="crashed")
        for number in range(30):
            await store.log_chunks.insert_chunk(agent.id, agent.name, 1, f"line {number}\n")
        await store.log_chunks.insert_chunk(agent.id, agent.name, 1, '{"type": "assist')

    prepared(typed.url, fill)
    last = typed("show", "brave-otter", "--json").data["last_lines"]
    assert last[-2:] == ["writes line 29", 'writes {"type": "assist']
    assert len(last) == 10


def test_a_chat_and_a_change_set_are_shown_with_what_they_are_made_of(typed: CommandLine) -> None:
    async def fill(store: Store) -> tuple[str, str]:
        chat = await add_chat_session(store)
        await store.chat_sessions.create_message(
            chat_session_id=chat.id, role="user", content="Split it"
        )
        change_set = await add_change_set(
            store, entries=[{"entity_type": "task", "entity_id": "t1", "action": "create"}]
        )
        return chat.id, change_set.id

    chat, change_set = prepared(typed.url, fill)
    [message] = typed("show", chat, "--json").data["messages"]
    assert (message["role"], message["what"]) == ("user", "Split it")
    [entry] = typed("show", change_set, "--json").data["entries"]
    assert entry == {"action": "create", "entity_type": "task", "id": "t1"}
    assert "create  task         t1" in typed.on_terminal("show", change_set).out


async def add_one_task(store: Store) -> tuple[str, str]:
    """Create an initiative of one task, and return their ids."""
    initiative = await store.initiatives.create(name="User auth")
    task = await store.tasks.create(initiative_id=initiative.id, name="a")
    return initiative.id, task.id


def test_who_watches_sees_it_end(typed: CommandLine) -> None:
    initiative, task = prepared(typed.url, add_one_task)

    async def finish(store: Store) -> None:
        await asyncio.sleep(0.5)
        await store.tasks.update(task, status="completed")
        await store.initiatives.update(initiative, status="completed")

    work = threading.Thread(target=prepared, args=(typed.url, finish))
    work.start()
    done = typed("watch", "User auth", "--every", "100ms")
    work.join()
    assert (done.code, done.err) == (0, "")
    lines = [line.split("\t")[2] for line in done.out.splitlines()]
    assert lines[0] == "User auth: 0 of 1 done, 0 running, 1 ready, 0 waiting, 0 need you"
    assert lines[-1] == "User auth: 1 of 1 done, 0 running, 0 ready, 0 waiting, 0 need you"


def test_who_watches_minds_nobody_who_opens_and_closes_the_store(typed: CommandLine) -> None:
    initiative, task = prepared(typed.url, add_one_task)

    async def finish(store: Store) -> None:
        async with store.unit_of_work() as uow:
            await uow.tasks.update(task, status="completed")
            await uow.initiatives.update(initiative, status="completed")

    def come_and_go() -> None:
        for number in range(60):
            prepared(typed.url, lambda store, n=number: store.tasks.update(task, order=n))
        prepared(typed.url, finish)

    work = threading.Thread(target=come_and_go)
    work.start()
    done = typed("watch", "User auth", "--every", "100ms")
    work.join()
    assert done.err == ""
    assert done.code == 0


def test_who_watches_is_told_when_nothing_goes_on(typed: CommandLine) -> None:
    async def fill(store: Store) -> None:
        initiative = await store.initiatives.create(name="User auth")
        await store.tasks.create(initiative_id=initiative.id, name="a", status="blocked")

    prepared(typed.url, fill)
    done = typed("watch")
    assert done.code == 1
    assert (
        done.err == "cw-store: nothing goes on until somebody answers; cw-store inbox says what\n"
    )
    assert [line.split("\t")[1] for line in done.out.splitlines()] == ["tasks", "task"]
    for line in typed("watch", "--json").out.splitlines():
        assert set(json.loads(line)["data"]) <= {"at", "counts", "item"}


def test_who_watches_is_told_where_to_look_when_the_inbox_is_empty(
    typed: CommandLine,
) -> None:
    async def fill(store: Store) -> None:
        initiative = await store.initiatives.create(name="User auth")
        first, second = [
            await store.phases.create(initiative_id=initiative.id, name=name)
            for name in ("Core", "Checks")
        ]
        await store.phases.create_dependency(second.id, first.id)
        await store.tasks.create(phase_id=first.id, name="a", status="completed")
        await store.tasks.create(phase_id=second.id, name="b")

    prepared(typed.url, fill)
    done = typed("watch")
    assert done.code == 1
    assert done.err == "cw-store: nothing goes on by itself; cw-store ready --explain says why\n"
    assert "its phase waits for phase Core" in typed("ready", "--explain").out
    assert typed("inbox").out.splitlines()[1:] == []


def test_the_inbox_says_what_answers_and_that_answers_it(typed: CommandLine) -> None:
    async def fill(store: Store) -> None:
        agent = await add_agent(store, name="brave-otter")
        await store.messages.create(
            sender_type="agent",
            sender_id=agent.id,
            recipient_type="user",
            content="15 or 30?",
            requires_response=True,
        )
        await add_task(store, status="blocked", name="a")
        await store.accounts.mark_exhausted((await add_account(store, email="a@example.com")).id)

    prepared(typed.url, fill)
    commands = [shlex.split(row["command"]) for row in typed("inbox").rows]
    assert len(commands) == 3
    for _, *words in commands:
        assert typed(*("30" if word == "TEXT" else word for word in words)).code == 0, words
    assert typed.on_terminal("inbox").out == "nothing waits for you\n"


@pytest.mark.parametrize("form", ["mermaid", "dot"])
def test_a_picture_has_every_task_and_who_waits_for_whom(typed: CommandLine, form: str) -> None:
    async def fill(store: Store) -> None:
        phase = await add_phase(store, name='Core "one"')
        first = await add_task(store, name="a]b|c", phase_id=phase.id)
        second = await add_task(store, name="d", phase_id=phase.id)
        await store.tasks.create_dependency(second.id, first.id)

    prepared(typed.url, fill)
    out = typed("graph", "--format", form).out
    if form == "mermaid":
        assert 'n0["Core #34;one#34;"]' in out and 'n1["a#93;b#124;c"]:::ready' in out
        assert "  n1 --> n2\n" in out
    else:
        assert 'label="Core \\"one\\""' in out and 'n1 [label="a]b|c"' in out
        assert "  n1 -> n2;\n" in out


def test_times_of_a_list_are_counted_from_the_clock(
    typed: CommandLine, clock: SteppableClock
) -> None:
    prepared(typed.url, add_task, clock=clock)
    clock.advance(timedelta(minutes=5).total_seconds())
    assert "5 min ago" in typed.on_terminal("ls", "tasks").out


@pytest.mark.parametrize(("hours", "begins"), [(3, "15 Jan 22:00"), (100, "15 Jan"), (1, "22:00")])
@pytest.mark.parametrize("width", [70, 80, 140])
def test_a_timeline_tells_when_it_begins_and_ends_at_any_width(
    typed: CommandLine, clock: SteppableClock, width: int, hours: int, begins: str
) -> None:
    clock.advance(timedelta(hours=10).total_seconds())

    async def work(store: Store) -> None:
        phase = await add_phase(store, name="Core")
        task = await add_task(store, name="Draw the login page", phase_id=phase.id)
        await add_agent(
            store,
            name="brave-badger",
            task_id=task.id,
            initiative_id=phase.initiative_id,
            status="running",
        )

    prepared(typed.url, work, clock=clock)
    clock.advance(timedelta(hours=hours).total_seconds())
    [head] = [
        line
        for line in typed.on_terminal("timeline", width=width).out.splitlines()
        if line.startswith("task ")
    ]
    assert f" {begins} " in head
    assert " UTC " in head, "and when it ends"


def test_a_graph_of_nothing_says_so(typed: CommandLine) -> None:
    prepared(typed.url, nothing)
    assert typed.on_terminal("graph").out == "no initiatives\n"


async def nothing(store: Store) -> None:
    """Store nothing."""
