"""The triggers in a database are those of the list, and count rightly whoever writes at once."""

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from cw_store import (
    AlreadyExistsError,
    BrokenReferenceError,
    NotFoundError,
    StaleStateError,
    Store,
    StoreBusyError,
    UnitOfWork,
    ensure_schema,
)
from cw_store.testing.postgres_server import PostgresServer
from cw_store.triggers import PREFIX, put_back, take_away, triggers_on
from other_program import rows

Refusal: type[Exception] = cast(Any, asyncpg).IntegrityConstraintViolationError
TRIGGERS_OF_SQLITE = "SELECT name, tbl_name, sql FROM sqlite_schema WHERE type = 'trigger'"


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_every_trigger_has_a_name_of_its_own_that_is_the_stores(dialect: str) -> None:
    names = [trigger.name for trigger in triggers_on(dialect)]
    assert len({*names}) == len(names)
    assert all(
        name.removeprefix(f"{PREFIX}changes_").removeprefix(PREFIX).startswith(f"{trigger.table}_")
        for name, trigger in zip(names, triggers_on(dialect), strict=True)
    )


EARLIER = [
    "ALTER TABLE accounts DROP COLUMN max_agents",
    "DROP TABLE errands",
    "INSERT INTO accounts (id, email, created_at, updated_at) VALUES ('a', 'a@b.example', {}, {})",
]
"""Make a database one of a schema that has neither, with an account."""

CHANGE = "UPDATE accounts SET email = 'c@d.example'"
TOLD = "SELECT entity, entity_id, action FROM changes WHERE action <> ''"


# What is in the database.


async def test_a_file_has_the_triggers_of_the_list(tmp_path: Path) -> None:
    path = tmp_path / "cw.db"
    await ensure_schema(path)
    assert {*rows(path, TRIGGERS_OF_SQLITE)} == {
        (trigger.name, trigger.table, trigger.ddl) for trigger in triggers_on("sqlite")
    }


def test_triggers_that_are_gone_or_others_are_put_back(migrated_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "cw.db"
    path.write_bytes(migrated_file.read_bytes())
    before = rows(path, TRIGGERS_OF_SQLITE)
    with sqlite3.connect(path) as raw:
        raw.execute("DROP TRIGGER cw_store_tasks_released")
        raw.execute("DROP TRIGGER cw_store_tasks_deleted")
        raw.execute(
            "CREATE TRIGGER cw_store_tasks_deleted AFTER DELETE ON tasks BEGIN SELECT 1; END"
        )
        raw.execute("CREATE TRIGGER cw_store_former AFTER DELETE ON tasks BEGIN SELECT 1; END")
        raw.execute("CREATE TRIGGER mine AFTER DELETE ON tasks BEGIN SELECT 1; END")
    raw.close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        put_back(connection)
    engine.dispose()
    after = rows(path, TRIGGERS_OF_SQLITE)
    assert {*after} - {*before} == {row for row in after if row[0] == "mine"}
    assert {*before} <= {*after}


def test_what_a_schema_does_not_have_yet_no_trigger_names(
    migrated_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "cw.db"
    path.write_bytes(migrated_file.read_bytes())
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        take_away(connection)
        assert connection.exec_driver_sql(TRIGGERS_OF_SQLITE).all() == []
        for statement in EARLIER:
            connection.exec_driver_sql(statement.format(0, 0))
        put_back(connection)
        connection.exec_driver_sql(CHANGE)
        assert [*connection.exec_driver_sql(TOLD)] == [("accounts", "a", "update")]
    engine.dispose()


TRIGGERS_OF_SERVER = """
SELECT tgname, tgrelid::regclass::text, tgenabled::text, pg_get_triggerdef(pg_trigger.oid),
    proname, prosrc, proconfig
FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
WHERE NOT tgisinternal ORDER BY tgname
"""
FUNCTIONS_OF_SERVER = "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"


async def connect(url: str) -> Any:
    return await cast(Any, asyncpg).connect(url)


@pytest.fixture
async def place(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The URL of a database at the newest schema."""
    url = postgres_server.create_database()
    await ensure_schema(url)
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
async def server(place: str) -> AsyncIterator[Any]:
    """A connection to that database."""
    connection = await connect(place)
    yield connection
    await connection.close()


async def test_a_server_has_the_triggers_of_the_list(server: Any) -> None:
    listed = {trigger.name: trigger for trigger in triggers_on("postgresql")}
    found = await server.fetch(TRIGGERS_OF_SERVER)
    assert [row[0] for row in found] == sorted(listed)
    for name, table, enabled, definition, function, body, settings in found:
        expected = str(listed[name].function).replace("{place}", "public")
        assert (table, function, body) == (listed[name].table, name, expected)
        assert enabled == "O"
        settled = ["search_path=public, pg_temp", "enable_seqscan=off"]
        assert settings == (settled if listed[name].settings else None)
        event = listed[name].ddl.partition(" ON ")[0]
        assert sorted(definition.partition(" ON ")[0].split()) == sorted(event.split())
    functions = await server.fetch(FUNCTIONS_OF_SERVER)
    assert {name for (name,) in functions} == {*listed}


async def test_triggers_of_a_server_that_are_gone_or_others_are_put_back(
    place: str, server: Any
) -> None:
    before = await server.fetch(TRIGGERS_OF_SERVER)
    await server.execute("DROP FUNCTION cw_store_task_dependencies_changed() CASCADE")
    await server.execute("ALTER TABLE tasks DISABLE TRIGGER cw_store_tasks_changed")
    await server.execute("ALTER FUNCTION cw_store_tasks_taken() RESET ALL")
    await server.execute(
        "CREATE OR REPLACE FUNCTION cw_store_tasks_deleted() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN RETURN NULL; END'"
    )
    await server.execute(
        "CREATE TRIGGER cw_store_former AFTER DELETE ON tasks FOR EACH ROW "
        "EXECUTE FUNCTION cw_store_tasks_deleted()"
    )
    engine = create_async_engine(place.replace("postgresql:", "postgresql+asyncpg:"))
    async with engine.begin() as connection:
        await connection.run_sync(put_back)
    await engine.dispose()
    assert await server.fetch(TRIGGERS_OF_SERVER) == before


async def test_what_a_schema_of_a_server_does_not_have_yet_no_trigger_names(
    place: str, server: Any
) -> None:
    engine = create_async_engine(place.replace("postgresql:", "postgresql+asyncpg:"))
    async with engine.begin() as connection:
        await connection.run_sync(take_away)
        assert (await connection.exec_driver_sql(TRIGGERS_OF_SERVER)).all() == []
        for statement in EARLIER:
            await connection.exec_driver_sql(statement.format("now()", "now()"))
        await connection.run_sync(put_back)
    await engine.dispose()
    await server.execute(CHANGE)
    assert [*map(tuple, await server.fetch(TOLD))] == [("accounts", "a", "update")]


async def test_what_is_counted_does_not_depend_on_the_search_path(server: Any) -> None:
    await server.execute(
        "INSERT INTO tasks (id, name, created_at, updated_at) VALUES "
        "('a', 'a', now(), now()), ('b', 'b', now(), now())"
    )
    await server.execute("CREATE TEMP TABLE tasks (id text); CREATE SCHEMA elsewhere")
    await server.execute("SET search_path = elsewhere")
    await server.execute("INSERT INTO public.task_dependencies VALUES ('b', 'a')")
    number = "SELECT open_dependencies FROM public.tasks WHERE id = 'b'"
    assert await server.fetchval(number) == 1
    await server.execute("UPDATE public.tasks SET status = 'completed' WHERE id = 'a'")
    assert await server.fetchval(number) == 0
    await server.execute("DELETE FROM public.tasks WHERE id = 'a'")
    assert await server.fetchval(number) == 0


async def test_a_store_in_a_schema_of_its_own_has_its_functions_there(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.create_database()
    server = await connect(url)
    await server.execute('CREATE SCHEMA "own place"')
    own = f"{url}&options=-csearch_path%3D%22own%5C%20place%22"
    async with Store(own) as store:
        await store.tasks.create(id="a", name="a")
        await store.tasks.create(id="b", name="b")
        await store.tasks.create_dependency("b", "a")
        waiting = await store.tasks.find_by_id("b")
        assert waiting and waiting.open_dependencies == 1
    places = "SELECT DISTINCT pronamespace::regnamespace::text FROM pg_proc WHERE proname ~ '^cw_'"
    assert await server.fetch(places) == [('"own place"',)]
    await server.close()
    postgres_server.drop_database(url)


WRONG = """
SELECT id FROM tasks WHERE claimed_by_agent_id IS NULL AND status <> 'completed'
    AND open_dependencies <> (
        SELECT count(*) FROM task_dependencies
        JOIN tasks AS other ON other.id = depends_on_task_id
        WHERE task_id = tasks.id AND other.status <> 'completed'
    )
"""


# Two at once, one of which comes while the other has not committed.

GRAPH = """
DELETE FROM task_dependencies; DELETE FROM tasks; DELETE FROM agents;
INSERT INTO agents (id, name, worktree_id, lease_expires_at, created_at, updated_at)
    VALUES ('agent', 'agent', 'w', now(), now(), now());
INSERT INTO tasks (id, name, status, claimed_by_agent_id, created_at, updated_at)
    SELECT id, id, status, agent, now(), now() FROM (VALUES
        ('open', 'pending', NULL), ('done', 'completed', NULL), ('alone', 'pending', NULL),
        ('waiting', 'blocked', NULL), ('held', 'in_progress', 'agent'),
        ('finished', 'completed', NULL), ('last', 'pending', NULL)
    ) AS row (id, status, agent);
INSERT INTO task_dependencies SELECT dependent, prerequisite
    FROM unnest(ARRAY['waiting', 'held', 'finished', 'last']) AS dependent,
        unnest(ARRAY['open', 'done']) AS prerequisite;
INSERT INTO task_dependencies VALUES ('last', 'waiting'), ('last', 'held'), ('last', 'finished');
"""
"""Tasks of every kind that wait for one that is open and for one that is completed."""

STATUS = "UPDATE tasks SET status = '{}' WHERE id = '{}'"
END = "UPDATE tasks SET status = '{}', claimed_by_agent_id = NULL WHERE id = 'held'"
CHANGES = {
    "complete a prerequisite": STATUS.format("completed", "open"),
    "open a prerequisite": STATUS.format("pending", "done"),
    "open what is completed": STATUS.format("pending", "finished"),
    "complete what waits": STATUS.format("completed", "waiting"),
    "end a claim": END.format("pending"),
    "complete a claim": END.format("completed"),
    "lose a claim": "UPDATE tasks SET claimed_by_agent_id = NULL WHERE id = 'held'",
    "delete an agent": "DELETE FROM agents",
    "let it wait": "INSERT INTO task_dependencies VALUES ('waiting', 'alone')",
    "let the claimed wait": "INSERT INTO task_dependencies VALUES ('held', 'alone')",
    "let the completed wait": "INSERT INTO task_dependencies VALUES ('finished', 'alone')",
    "complete what is waited for": STATUS.format("completed", "alone"),
    "wait no longer": "DELETE FROM task_dependencies WHERE task_id = 'waiting'",
    "let the claimed wait no longer": "DELETE FROM task_dependencies WHERE task_id = 'held'",
    "let the completed wait no longer": "DELETE FROM task_dependencies WHERE task_id = 'finished'",
    "delete an open prerequisite": "DELETE FROM tasks WHERE id = 'open'",
    "delete a completed prerequisite": "DELETE FROM tasks WHERE id = 'done'",
    "delete what waits": "DELETE FROM tasks WHERE id = 'waiting'",
    "delete what is claimed": "DELETE FROM tasks WHERE id = 'held'",
}


@pytest.mark.parametrize("first", CHANGES)
async def test_of_two_changes_at_once_both_are_counted(place: str, server: Any, first: str) -> None:
    other = await connect(place)
    pid = other.get_server_pid()
    for second, statement in CHANGES.items():
        await server.execute(GRAPH)
        await server.execute("BEGIN")
        await server.execute(CHANGES[first])
        await other.execute("BEGIN")
        changing = asyncio.create_task(other.execute(statement))
        while not changing.done():
            if await server.fetchval("SELECT cardinality(pg_blocking_pids($1)) > 0", pid):
                break
        await server.execute("COMMIT")
        with suppress(Refusal):  # an edge that is there, or one of a task that is gone
            await changing
        await other.execute("COMMIT")
        assert await server.fetch(WRONG) == [], second
    await other.close()


# Many at once.

NUMBER = 12
"""How many tasks there are, of which each waits for some that were stored before it."""


async def change(uow: UnitOfWork, chance: random.Random) -> None:
    """Change what is counted in one of all ways."""
    first, second = sorted(chance.sample(range(NUMBER), 2))
    task, other = f"task-{second:02}", f"task-{first:02}"
    match chance.choice(("status", "status", "edge", "no edge", "edges", "delete", "claim", "end")):
        case "status":
            status = chance.choice(("pending", "completed", "completed", "blocked"))
            await uow.tasks.update(task, expected={"claimed_by_agent_id": None}, status=status)
        case "edge":
            await uow.tasks.create_dependency(task, other)
        case "no edge":
            await uow.tasks.delete_dependency(task, other)
        case "edges":
            numbers = chance.sample(range(second), min(2, second))
            await uow.tasks.set_dependencies(task, [f"task-{number:02}" for number in numbers])
        case "delete":
            await uow.tasks.delete(task)
            await uow.tasks.create(id=task, name="again")
        case "claim":
            await claim(uow, task)
        case _:
            await end_claim(uow, chance.choice(("pending", "completed", "blocked")))
    for _ in range(chance.randrange(3)):
        await asyncio.sleep(0)


async def claim(uow: UnitOfWork, task: str) -> None:
    found = await uow.session.execute(
        text(
            "SELECT 1 FROM tasks WHERE id = :id AND status = 'pending' "
            "FOR NO KEY UPDATE SKIP LOCKED"
        ),
        {"id": task},
    )
    if found.first() is None:
        return
    agent = await uow.agents.create(worktree_id="w", task_id=task)
    await uow.session.execute(
        text(
            "UPDATE tasks SET status = 'in_progress', claimed_by_agent_id = :agent, "
            "epoch = epoch + 1 WHERE id = :id"
        ),
        {"id": task, "agent": agent.id},
    )


async def end_claim(uow: UnitOfWork, status: str) -> None:
    await uow.session.execute(
        text(
            "UPDATE tasks SET status = :status, claimed_by_agent_id = NULL WHERE id = ("
            "SELECT id FROM tasks WHERE claimed_by_agent_id IS NOT NULL "
            "ORDER BY seq LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)"
        ),
        {"status": status},
    )


async def test_whoever_changes_what_at_once_the_numbers_are_right(place: str) -> None:
    told: Counter[str] = Counter()

    async def work(store: Store, number: int) -> None:
        chance = random.Random(number)

        async def step(uow: UnitOfWork) -> None:
            told["attempts"] += 1
            try:
                await change(uow, chance)
            except DBAPIError as error:  # of the session, which shows errors as they are
                assert "deadlock" in str(error)
                raise StoreBusyError(str(error)) from error

        for _ in range(40):
            try:
                await store.run(step, attempts=20)
                told["done"] += 1
            except (AlreadyExistsError, BrokenReferenceError, NotFoundError, StaleStateError):
                told["refused"] += 1  # an edge that is there or not, a task that is claimed

    async with Store(place, pool_size=8) as store:
        for number in range(NUMBER):
            await store.tasks.create(id=f"task-{number:02}", name="n")
        await asyncio.gather(*(work(store, number) for number in range(8)))
        async with store.unit_of_work(read_only=True) as uow:
            assert (await uow.session.execute(text(WRONG))).all() == []
    assert told["done"] + told["refused"] == 8 * 40
    assert told["done"] > 8 * 10
