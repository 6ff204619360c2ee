"""The triggers of the feed under a program that knows nothing of the store."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
import pytest

from builders import add_agent, add_initiative, add_phase, add_task
from claims import claimed
from cw_store import Store
from cw_store.testing.postgres_server import PostgresServer
from other_program import rows

driver = cast(Any, asyncpg)

TOLD = "SELECT entity, entity_id, action FROM changes WHERE seq > 0 ORDER BY seq"

NEW = (
    "INSERT INTO tasks (id, name, created_at, updated_at{seq}) SELECT name, name, {now}, {now}"
    "{number} FROM (SELECT 'a' AS name, 1 AS number UNION ALL SELECT 'b', 2) AS new"
)
PROGRAM = (
    "INSERT INTO task_dependencies (task_id, depends_on_task_id) VALUES ('b', 'a')",
    "UPDATE tasks SET open_dependencies = 1 WHERE id = 'b'",
    "UPDATE tasks SET status = 'completed' WHERE id = 'a'",
    "DELETE FROM tasks WHERE id = 'a'",
)
"""What another program does, besides creating two tasks."""

EXPECTED = [
    ("tasks", "a", "create"),
    ("tasks", "b", "create"),
    ("tasks", "b", "update"),  # it waits
    ("tasks", "a", "update"),
    ("tasks", "b", "update"),  # it waits no more
    ("tasks", "a", "delete"),
]


def test_another_programs_writes_to_a_file_are_told(migrated_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "cw.db"
    path.write_bytes(migrated_file.read_bytes())
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA foreign_keys = ON")
        raw.execute(NEW.format(now="1", seq=", seq", number=", number"))
        for statement in PROGRAM:
            raw.execute(statement)
        assert rows(path, TOLD) == [], "nothing is told before it is committed"
        raw.commit()
    assert rows(path, TOLD) == EXPECTED


def test_what_replaces_a_row_is_told(migrated_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "cw.db"
    path.write_bytes(migrated_file.read_bytes())
    insert = "INTO errands (id, description, branch, created_at, updated_at) VALUES {} {}"
    row = "('a', 'a', 'a', 1, 1)"
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("INSERT " + insert.format(row, ""))
        raw.execute(
            "INSERT "
            + insert.format(row, "ON CONFLICT (id) DO UPDATE SET branch = excluded.branch")
        )
        raw.execute("INSERT OR IGNORE " + insert.format(row, ""))
        raw.execute("INSERT OR REPLACE " + insert.format(row, ""))
        raw.commit()
    told = [action for _, _, action in rows(path, TOLD)]
    assert told == ["create", "update", "create"]


@pytest.fixture
async def place(postgres_server: PostgresServer, migrated_template: str) -> AsyncIterator[str]:
    """The URL of a database at the newest schema."""
    url = postgres_server.create_database(migrated_template)
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
async def server(place: str) -> AsyncIterator[Any]:
    """A connection to that database."""
    connection = await driver.connect(place)
    yield connection
    await connection.close()


async def test_another_programs_writes_to_a_server_are_told(place: str, server: Any) -> None:
    # A search_path of its own, in which other tables have our names.
    await server.execute("CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.changes (a int)")
    await server.execute("CREATE TEMP TABLE phases (id text)")
    reader = await driver.connect(place)
    async with server.transaction():
        await server.execute(NEW.format(now="now()", seq="", number=""))
        await server.execute("SET LOCAL search_path = public, elsewhere")
        for statement in PROGRAM:
            await server.execute(statement)
        assert await reader.fetch(TOLD) == [], "nothing is told before it is committed"
    assert await reader.fetch(TOLD) == EXPECTED
    await server.execute("SET search_path = elsewhere")
    await server.execute("UPDATE public.tasks SET name = 'new'")
    assert (await reader.fetch(TOLD))[len(EXPECTED) :] == [("tasks", "b", "update")]
    [xids] = await reader.fetch("SELECT count(DISTINCT xid), count(*) FROM changes WHERE seq > 0")
    assert tuple(xids) == (2, len(EXPECTED) + 1)
    await reader.close()


@asynccontextmanager
async def notifications(place: str) -> AsyncGenerator[list[str]]:
    """Give a list of the payloads of all notifications, complete when the block ends."""
    heard: list[str] = []
    ended = asyncio.Event()

    def hear(_connection: Any, _pid: int, _channel: str, payload: str) -> None:
        ended.set() if payload == "end" else heard.append(payload)

    listener = await driver.connect(place)
    await listener.add_listener("cw_store", hear)
    yield heard
    async with asyncio.timeout(30):
        other = await driver.connect(place)
        await other.execute("SELECT pg_notify('cw_store', 'end')")
        await other.close()
        await ended.wait()
    await listener.close()


async def test_a_transaction_of_many_changes_notifies_once(place: str, server: Any) -> None:
    async with notifications(place) as heard:
        async with server.transaction():
            await server.execute(NEW.format(now="now()", seq="", number=""))
            for statement in PROGRAM:
                await server.execute(statement)
    assert heard == [""]
    async with Store(place) as store:
        async with notifications(place) as heard:
            async with store.unit_of_work() as uow:
                initiative = await add_initiative(uow)
                for _ in range(50):
                    phase = await add_phase(uow, initiative_id=initiative.id)
                    await add_task(uow, phase_id=phase.id)
                await uow.initiatives.delete(initiative.id)
            await store.tasks.create_many([{"name": "x"} for _ in range(700)])
    assert heard == ["", ""]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO projects (id, name, url, created_at, updated_at) "
        "VALUES ('p', 'p', 'p', now(), now())",
        "INSERT INTO task_dependencies VALUES ('b', 'a')",
        "UPDATE tasks SET name = 'new'",
        "DELETE FROM tasks",
    ],
)
async def test_each_change_that_somebody_may_wait_for_notifies(
    place: str, server: Any, statement: str
) -> None:
    await server.execute(NEW.format(now="now()", seq="", number=""))
    async with notifications(place) as heard:
        await server.execute(statement)
    assert heard == [""]


async def test_what_nobody_waits_for_notifies_nobody(place: str) -> None:
    async with Store(place) as store:
        await store.accounts.create(email="ada@example.org")
        claim = await claimed(store)
        agent = await add_agent(store)
        async with notifications(place) as heard:
            await store.log_chunks.insert_chunk(agent.id, agent.name, 1, "line\n")
            assert await store.claims.renew([claim])
            assert await store.accounts.find_next_available()
            async with store.unit_of_work() as uow:
                await uow.tasks.find_all()
    assert heard == []


async def test_notifications_can_be_turned_off(place: str, server: Any) -> None:
    name = place.rpartition("/")[2].partition("?")[0]
    await server.execute(f'ALTER DATABASE "{name}" SET cw_store.notify = off')
    async with Store(place) as store:
        async with notifications(place) as heard:
            await add_task(store)
            await store.tasks.create_many([{"name": "x"}])
            await store.projects.create(name="p", url="u")
    assert heard == []
    assert len(await server.fetch(TOLD)) == 2, "they are told all the same"
    async with notifications(place) as heard:
        await server.execute("SET cw_store.notify = on")
        await server.execute("UPDATE tasks SET name = 'new'")
    assert heard == [""]
