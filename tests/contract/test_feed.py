"""What is written down of each change, whoever makes it: a repository, a session, a cascade."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Table, delete, select, text, update

from builders import (
    Repos,
    add_account,
    add_agent,
    add_chat_message,
    add_chat_session,
    add_conversation,
    add_initiative,
    add_message,
    add_page,
    add_phase,
    add_review_comment,
    add_task,
)
from claims import claimed
from cw_store import AccountChanges, InvalidValueError, Store
from cw_store.schema import agents, changes, metadata
from cw_store.testing import SteppableClock
from every_port import PORTS, Port, sample

TABLES = (
    "initiatives",
    "phases",
    "tasks",
    "agents",
    "accounts",
    "messages",
    "conversations",
    "proposals",
    "pages",
    "change_sets",
    "errands",
    "review_comments",
    "chat_messages",
)
FED = [port for port in PORTS if port.table in TABLES]
every_table = pytest.mark.parametrize("port", FED, ids=str)

EARLIER = datetime(2020, 1, 1, tzinfo=UTC)


class Told(NamedTuple):
    """A row of the feed, without its place."""

    entity: str
    entity_id: str
    action: str


class Interrupted(Exception):
    """Ends a block."""


async def rows(store: Store, *columns: str, after: int = 0) -> list[Any]:
    """Return these columns of the feed's rows, in their order."""
    asked = [changes.c[name] for name in columns]
    query = select(*asked).where(changes.c.seq > after).order_by(changes.c.seq)
    async with store.unit_of_work(read_only=True) as uow:
        return list((await uow.session.execute(query)).all())


@asynccontextmanager
async def told(store: Store) -> AsyncGenerator[list[Told]]:
    """Give a list that has, when the block ends, what the feed tells of it."""
    found: list[Told] = []
    seen = [seq for (seq,) in await rows(store, "seq")]
    yield found
    new = await rows(store, *Told._fields, after=seen[-1] if seen else 0)
    found += [Told(*row) for row in new]


def table_of(port: Port) -> Table:
    return metadata.tables[port.table]


async def in_session(store: Store, statement: Any) -> None:
    async with store.unit_of_work() as uow:
        await uow.session.execute(statement)


# One for each change.


def test_thirteen_tables_are_told_of() -> None:
    assert sorted(port.table for port in FED) == sorted(TABLES)


@every_table
async def test_a_row_leaves_one_change_for_each_call_on_its_repository(
    store: Store, port: Port
) -> None:
    values = await port.minimal(store)
    async with told(store) as found:
        row = await port.method(store, port.create)(**values)
        if port.changes is not None:
            column = port.free(port.changeable_columns())[0]
            await port.method(store, port.update)(row.id, **{column.name: sample(column)})
        if port.delete is not None:
            await port.method(store, port.delete)(row.id)
    actions = ["create"]
    actions += ["update"] if port.changes is not None else []
    actions += ["delete"] if port.delete is not None else []
    assert found == [Told(port.table, row.id, action) for action in actions]


@every_table
async def test_a_row_leaves_one_change_for_each_statement_of_a_session(
    store: Store, port: Port
) -> None:
    row = await port.add(store)
    table = table_of(port)
    copy = {**(await whole(store, table, row.id)), "id": "copy"}
    if "name" in copy:
        copy["name"] = "another"
    del copy["seq"]
    if port.table == "pages":  # an initiative has one root
        copy["parent_page_id"] = row.id
    async with told(store) as found:
        async with store.unit_of_work() as uow:
            await uow.session.execute(table.insert().values(**copy))
            await uow.session.execute(
                update(table).where(table.c.id == "copy").values(created_at=EARLIER)
            )
            await uow.session.execute(delete(table).where(table.c.id == "copy"))
    assert found == [Told(port.table, "copy", action) for action in ("create", "update", "delete")]


async def whole(store: Store, table: Table, id: str) -> dict[str, Any]:
    async with store.unit_of_work(read_only=True) as uow:
        found = await uow.session.execute(select(table).where(table.c.id == id))
        return dict(found.mappings().one())


SILENT = {
    "initiatives": {"dispatch_turn"},
    "phases": {"open_dependencies"},
    "tasks": {"open_dependencies", "epoch"},
    "agents": {"holder", "lease_expires_at", "epoch"},
}
"""What the store keeps up itself, besides `updated_at`."""


@pytest.mark.parametrize("port", [port for port in FED if port.table != "accounts"], ids=str)
async def test_each_column_leaves_a_change_but_for_what_the_store_keeps_up(
    store: Store, port: Port
) -> None:
    row = await port.add(store)
    table = table_of(port)
    silent: set[str] = set()
    for column in table.columns:
        async with told(store) as found:
            statement = update(table).where(table.c.id == row.id).values({column: column})
            await in_session(store, statement)
        if not found:
            silent.add(column.name)
        else:
            assert found == [Told(port.table, row.id, "update")], column.name
    expected = {"seq", "updated_at"} & {*table.columns.keys()}
    assert silent == expected | SILENT.get(port.table, set())


@every_table
async def test_each_of_many_rows_leaves_one(store: Store, port: Port) -> None:
    row = await port.add(store)
    others = [await port.add(store) for _ in range(3)]
    table = table_of(port)
    async with told(store) as found:
        await in_session(
            store,
            update(table)
            .where(table.c.id.in_([other.id for other in others]))
            .values(created_at=EARLIER),
        )
    assert sorted(found) == sorted(Told(port.table, other.id, "update") for other in others)
    assert row.id not in {one.entity_id for one in found}


async def test_many_that_are_created_at_once_are_told_in_their_order(store: Store) -> None:
    async with told(store) as found:
        created = await store.tasks.create_many([{"name": f"{n}"} for n in range(700)])
    assert found == [Told("tasks", task.id, "create") for task in created]


# Nothing of what was rolled back.


async def test_what_was_rolled_back_leaves_none(store: Store) -> None:
    task = await add_task(store)
    async with told(store) as found:
        with suppress(Interrupted):
            async with store.unit_of_work() as uow:
                await add_task(uow)
                await uow.tasks.update(task.id, status="completed")
                raise Interrupted
    assert found == []


async def test_of_a_unit_what_its_savepoints_undid_leaves_none(store: Store) -> None:
    task = await add_task(store)
    async with told(store) as found:
        async with store.unit_of_work() as uow:
            await uow.tasks.update(task.id, name="first")
            with suppress(Interrupted):
                async with uow.savepoint():
                    await uow.tasks.update(task.id, name="undone")
                    await add_task(uow)
                    raise Interrupted
            async with uow.savepoint():
                await uow.tasks.delete(task.id)
    assert found == [Told("tasks", task.id, "update"), Told("tasks", task.id, "delete")]


# Nothing of what the store keeps up.


async def test_a_renewal_leaves_none(store: Store) -> None:
    claim = await claimed(store)
    async with told(store) as found:
        assert len(await store.claims.renew([claim], lease=timedelta(hours=1))) == 1
    assert found == []


async def test_the_stamp_of_a_rotation_leaves_none(store: Store) -> None:
    await add_account(store)
    async with told(store) as found:
        account = await store.accounts.find_next_available()
    assert account is not None and account.last_used_at is not None
    assert found == []


async def test_what_a_rotation_ends_leaves_one(store: Store, clock: SteppableClock) -> None:
    account = await add_account(store)
    exhausted = [Told("accounts", account.id, "update")]
    async with told(store) as found:
        await store.accounts.mark_exhausted(account.id, clock.after(60))
    assert found == exhausted
    clock.advance(61)
    for expected in (exhausted, []):
        async with told(store) as found:
            assert await store.accounts.find_next_available() is not None
        assert found == expected


@pytest.mark.parametrize("name", [*AccountChanges.__annotations__, "is_exhausted", "created_at"])
async def test_each_column_of_an_account_that_changes_leaves_one(store: Store, name: str) -> None:
    account = await add_account(store)
    table = metadata.tables["accounts"]
    values: dict[str, Any] = {
        "is_exhausted": True,
        "created_at": EARLIER,
        "sort_order": 7,
        "max_agents": 7,
    }
    change = {name: values.get(name, "changed"), "last_used_at": table.c.created_at}
    for expected in ([Told("accounts", account.id, "update")], []):
        async with told(store) as found:
            statement = update(table).where(table.c.id == account.id)
            await in_session(store, statement.values(change))
        assert found == expected
        change = {"last_used_at": None}


async def test_a_log_chunk_leaves_none(store: Store) -> None:
    async with told(store) as found:
        await store.log_chunks.insert_chunk("agent", "otter", 1, "line\n")
    assert found == []


async def test_a_claim_leaves_its_agent_its_task_and_its_phase_and_no_turn(store: Store) -> None:
    phase = await add_phase(store)
    task = await add_task(store, phase_id=phase.id, initiative_id=phase.initiative_id)
    async with told(store) as found:
        claim = await store.claims.next(holder="host/1", worktree_id="w", provider=None)
    assert claim is not None and claim.task.id == task.id
    assert sorted(found) == [
        Told("agents", claim.agent.id, "create"),
        Told("phases", phase.id, "update"),
        Told("tasks", task.id, "update"),
    ]


# Who waits for others.

Add = Callable[[Repos], Awaitable[Any]]


@pytest.fixture(params=["phases", "tasks"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


async def add_three(store: Store, kind: str) -> tuple[Any, list[str]]:
    """Return the repository, and the ids of three of its rows, which do not wait yet."""
    initiative_id = (await add_initiative(store)).id
    add = add_phase if kind == "phases" else add_task
    added = [await add(store, initiative_id=initiative_id) for _ in range(3)]
    return (store.phases if kind == "phases" else store.tasks), [one.id for one in added]


async def test_who_begins_or_ceases_to_wait_leaves_one_and_a_counter_none(
    store: Store, kind: str
) -> None:
    repository, (waiting, first, second) = await add_three(store, kind)
    begins = [Told(kind, waiting, "update")]
    for prerequisite, expected in ((first, begins), (second, [])):
        async with told(store) as found:
            await repository.create_dependency(waiting, prerequisite)
        assert found == expected
    for prerequisite, expected in ((first, []), (second, begins)):
        async with told(store) as found:
            await repository.delete_dependency(waiting, prerequisite)
        assert found == expected


async def test_a_cause_is_told_before_what_follows_from_it(store: Store, kind: str) -> None:
    repository, (waiting, first, second) = await add_three(store, kind)
    for prerequisite in (first, second):
        await repository.create_dependency(waiting, prerequisite)
    async with told(store) as found:
        await repository.update(first, status="completed")
    assert found == [Told(kind, first, "update")]
    async with told(store) as found:
        await repository.update(second, status="completed")
    assert found == [Told(kind, second, "update"), Told(kind, waiting, "update")]
    async with told(store) as found:
        await repository.update(first, status="pending")
    assert found == [Told(kind, first, "update"), Told(kind, waiting, "update")]
    async with told(store) as found:
        await repository.delete(first)
    assert found == [Told(kind, first, "delete"), Told(kind, waiting, "update")]


async def test_a_deletion_is_told_before_what_it_takes_along(store: Store) -> None:
    initiative = await add_initiative(store)
    phase = await add_phase(store, initiative_id=initiative.id)
    task = await add_task(store, phase_id=phase.id, initiative_id=initiative.id)
    agent = await add_agent(store, initiative_id=initiative.id, task_id=task.id)
    page = await add_page(store, initiative_id=initiative.id)
    comment = await add_review_comment(store, phase_id=phase.id)
    session = await add_chat_session(store, initiative_id=initiative.id)
    message = await add_chat_message(store, chat_session_id=session.id)
    async with told(store) as found:
        await store.initiatives.delete(initiative.id)
    assert found[0] == Told("initiatives", initiative.id, "delete")
    places = {one: place for place, one in enumerate(found)}
    of_phase, of_task, of_agent, of_page, of_comment, of_message = (
        places[one]
        for one in (
            Told("phases", phase.id, "delete"),
            Told("tasks", task.id, "delete"),
            Told("agents", agent.id, "update"),
            Told("pages", page.id, "delete"),
            Told("review_comments", comment.id, "delete"),
            Told("chat_messages", message.id, "delete"),
        )
    )
    assert of_phase < of_comment
    assert min(of_task, of_agent, of_page, of_message) > 0
    updates = {one for one in found if one.action == "update"}
    assert updates <= {Told("agents", agent.id, "update"), Told("tasks", task.id, "update")}
    others = [one for one in found if one.action != "update"]
    assert len(others) == len({*others}) == 6


async def test_a_deleted_agent_is_told_before_the_task_that_it_gives_back(store: Store) -> None:
    claim = await claimed(store)
    async with told(store) as found:
        await in_session(store, delete(agents).where(agents.c.id == claim.agent.id))
    assert found[0] == Told("agents", claim.agent.id, "delete")
    assert {*found[1:]} == {Told("tasks", claim.task.id, "update")}


# What is told.


async def of(store: Store, entity: str, entity_id: str) -> list[Any]:
    """Return what the feed tells of the row besides the actions."""
    told = await rows(store, "entity", "entity_id", "initiative_id", "addressee_id")
    return [tuple(row[2:]) for row in told if tuple(row[:2]) == (entity, entity_id)]


async def test_the_initiative_is_told_that_a_row_belongs_to(store: Store) -> None:
    initiative = await add_initiative(store)
    phase = await add_phase(store, initiative_id=initiative.id)
    task = await add_task(store, phase_id=phase.id)
    orphan = await add_task(store)
    agent = await add_agent(store, initiative_id=initiative.id)
    page = await add_page(store, initiative_id=initiative.id)
    comment = await add_review_comment(store, phase_id=phase.id)
    session = await add_chat_session(store, initiative_id=initiative.id)
    message = await add_chat_message(store, chat_session_id=session.id)
    account = await add_account(store)
    await store.review_comments.resolve(comment.id)
    await store.tasks.update(task.id, status="completed")
    await store.tasks.delete(task.id)
    for entity, id, number in (
        ("initiatives", initiative.id, 1),
        ("phases", phase.id, 1),
        ("tasks", task.id, 3),
        ("agents", agent.id, 1),
        ("pages", page.id, 1),
        ("review_comments", comment.id, 2),
        ("chat_messages", message.id, 1),
    ):
        assert await of(store, entity, id) == [(initiative.id, None)] * number, entity
    assert await of(store, "tasks", orphan.id) == [(None, None)]
    assert await of(store, "accounts", account.id) == [(None, None)]


async def test_a_task_that_has_only_a_phase_is_told_with_the_phases_initiative(
    store: Store,
) -> None:
    phase = await add_phase(store)
    task = await add_task(store, phase_id=phase.id)
    await in_session(
        store,
        text("UPDATE tasks SET initiative_id = NULL WHERE id = :id").bindparams(id=task.id),
    )
    assert await of(store, "tasks", task.id) == [(phase.initiative_id, None)] * 2


async def test_the_agent_is_told_that_a_row_is_addressed_to(store: Store) -> None:
    recipient = await add_agent(store)
    message = await add_message(store, recipient_type="agent", recipient_id=recipient.id)
    conversation = await add_conversation(store, to_agent_id=recipient.id)
    await store.conversations.answer(conversation.id, "8080")
    assert await of(store, "messages", message.id) == [(None, recipient.id)]
    assert await of(store, "conversations", conversation.id) == [(None, recipient.id)] * 2


async def test_the_rows_own_time_is_told_but_of_a_deletion(
    store: Store, clock: SteppableClock
) -> None:
    task = await add_task(store)
    clock.advance(3600)
    changed = await store.tasks.update(task.id, status="completed")
    await store.tasks.delete(task.id)
    message = await add_chat_message(store)
    found = await rows(store, "entity_id", "at", "mark")
    times = [row.at for row in found if row.entity_id == task.id]
    assert times == [task.updated_at, changed.updated_at, None]
    assert [row.at for row in found if row.entity_id == message.id] == [message.created_at]
    assert len({row.mark for row in found}) == len(found)


async def test_the_feed_begins_with_a_marker_that_no_change_touches(store: Store) -> None:
    query = text("SELECT seq, entity_id, action FROM changes ORDER BY seq LIMIT 1")
    await add_task(store)
    async with store.unit_of_work(read_only=True) as uow:
        assert tuple((await uow.session.execute(query)).one()) == (0, "0", "")


# What is no question to the feed.

NO_QUESTIONS: list[dict[str, Any]] = [
    {"after": ""},
    {"after": "0"},
    {"after": "1/2/3"},
    {"after": "-1/0"},
    {"after": 7},
    {"after": "9" * 40 + "/0"},
    {"after": "1/1/5-00000001/1:3:/5:3:/0"},
    {"after": "1/1/5-00000001/1:3:/0:0:/0"},
    {"after": "1/1/5-00000001/1:3:/1:3:9/0"},
    {"after": "1/1/5-00000001/1:3:" + "9" * 19 + "//0"},
    {"after": None, "limit": 0},
    {"after": None, "limit": True},
    {"after": None, "limit": None},
    {"after": None, "entities": "tasks"},
    {"after": None, "entities": ["projects"]},
    {"after": None, "entities": [None]},
    {"after": None, "entities": 7},
    {"after": None, "initiative_id": 7},
    {"after": None, "initiative_id": "a\x00"},
]


@pytest.mark.parametrize("arguments", NO_QUESTIONS, ids=str)
async def test_what_is_no_question_is_refused(store: Store, arguments: dict[str, Any]) -> None:
    await add_task(store)
    async with store.unit_of_work(read_only=True) as uow:
        with pytest.raises(InvalidValueError):
            await uow.changes.read(**arguments)
        assert len((await uow.changes.read(None)).changes) == 1
