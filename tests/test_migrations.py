"""Bringing a database up to date: once, whoever comes first, and never at the cost of a row."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, Connection, Index, UniqueConstraint, inspect, make_url
from sqlalchemy.schema import CreateIndex

from builders import add_initiative
from cw_store import (
    SchemaAheadError,
    SchemaBehindError,
    SchemaError,
    Store,
    StoreBusyError,
    ensure_schema,
)
from cw_store.backends.sqlite.migrating import sqlite_connection
from cw_store.inspection import VERSION_TABLE
from cw_store.migrations import revisions, scripts
from cw_store.schema import metadata_on
from cw_store.testing.postgres_server import PostgresServer
from other_program import rows, tables
from programs import start_program

metadata = metadata_on("sqlite")

LATER = Path(__file__).parent / "migrations"
"""A folder of migrations that continues the library's own."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cw.db"


@pytest.fixture
def current(path: Path, migrated_file: Path) -> Path:
    """A database that is up to date and empty."""
    path.write_bytes(migrated_file.read_bytes())
    return path


@pytest.fixture
def connection(current: Path) -> Iterator[Connection]:
    with sqlite_connection(current, timeout=5) as connection:
        yield connection


def configured(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(scripts()))
    config.attributes["connection"] = connection
    return config


def is_there(path: Path) -> bool:
    return path.exists()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


# The library's own migrations.


async def test_upgrade_downgrade_and_upgrade_again_lead_to_the_same_schema(path: Path) -> None:
    await ensure_schema(path)
    first = tables(path)
    assert set(metadata.tables) < set(first)
    with sqlite_connection(path, timeout=5) as connection:
        command.downgrade(configured(connection), "base")
    assert set(tables(path)) == {"cw_store_version"}
    await ensure_schema(path)
    assert tables(path) == first


def test_autogenerate_finds_no_difference_to_the_schema(connection: Connection) -> None:
    context = MigrationContext.configure(
        connection,
        opts={
            "compare_type": True,
            "compare_server_default": True,
            "version_table": VERSION_TABLE,
        },
    )
    assert compare_metadata(context, metadata) == []


@pytest.mark.parametrize("table", metadata.tables)
def test_the_database_checks_what_the_schema_says(connection: Connection, table: str) -> None:
    expected = {
        (str(check.name), str(check.sqltext))
        for check in metadata.tables[table].constraints
        if isinstance(check, CheckConstraint)
    }
    found = {
        (str(check["name"]), check["sqltext"])
        for check in inspect(connection).get_check_constraints(table)
    }
    assert found == expected


@pytest.mark.parametrize("table", metadata.tables)
def test_the_database_has_the_indexes_of_the_schema(connection: Connection, table: str) -> None:
    described = metadata.tables[table]

    def where(index: Index) -> str | None:
        clause = index.dialect_options["sqlite"]["where"]
        return None if clause is None else str(clause)

    expected = {
        (
            str(index.name),
            tuple(column.name for column in index.columns),
            index.unique,
            where(index),
        )
        for index in described.indexes
        if not is_of_expression(index)
    }
    inspector = inspect(connection)
    found = {
        (
            str(index["name"]),
            tuple(index["column_names"]),
            bool(index["unique"]),
            None
            if (clause := index.get("dialect_options", {}).get("sqlite_where")) is None
            else str(clause),
        )
        for index in inspector.get_indexes(table)
    }
    assert found == expected
    unique = {
        (str(constraint.name), tuple(column.name for column in constraint.columns))
        for constraint in described.constraints
        if isinstance(constraint, UniqueConstraint)
    }
    assert unique == {
        (str(constraint["name"]), tuple(constraint["column_names"]))
        for constraint in inspector.get_unique_constraints(table)
    }


def is_of_expression(index: Index) -> bool:
    """Whether it has more than columns, which SQLAlchemy does not read on SQLite."""
    return len(index.expressions) > len(index.columns)


def test_the_database_has_the_indexes_of_expressions(connection: Connection) -> None:
    expected = {
        str(CreateIndex(index).compile(dialect=connection.dialect))
        for table in metadata.tables.values()
        for index in table.indexes
        if is_of_expression(index)
    }
    found = connection.exec_driver_sql(
        "SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql LIKE '%CASE%'"
    ).scalars()
    assert {*found} == expected
    assert expected


def test_a_task_lets_go_of_an_agent_that_is_deleted(connection: Connection) -> None:
    """SQLAlchemy does not read the action of a reference that stands behind its column."""
    found = connection.exec_driver_sql("PRAGMA foreign_key_list(tasks)").all()
    [action] = [key.on_delete for key in found if key[3] == "claimed_by_agent_id"]
    assert action == "SET NULL"


@pytest.mark.parametrize("table", metadata.tables)
def test_the_database_has_the_foreign_keys_of_the_schema(
    connection: Connection, table: str
) -> None:
    expected = {
        (
            str(key.name),
            key.column_keys[0],
            key.elements[0].target_fullname,
            key.ondelete,
        )
        for key in metadata.tables[table].foreign_key_constraints
    }
    found = {
        (
            str(key["name"]),
            key["constrained_columns"][0],
            f"{key['referred_table']}.{key['referred_columns'][0]}",
            key.get("options", {}).get("ondelete"),
        )
        for key in inspect(connection).get_foreign_keys(table)
    }
    assert found == expected


@pytest.mark.parametrize("table", metadata.tables)
def test_the_database_has_the_primary_keys_of_the_schema(
    connection: Connection, table: str
) -> None:
    found = inspect(connection).get_pk_constraint(table)
    described = metadata.tables[table].primary_key
    assert found["name"] == described.name
    assert found["constrained_columns"] == [column.name for column in described.columns]


def test_the_revisions_are_those_that_alembic_sees() -> None:
    directory = ScriptDirectory(str(scripts()))
    walked = [script.revision for script in directory.walk_revisions()]
    assert list(revisions()) == walked[::-1]
    assert directory.get_heads() == [revisions()[-1]]


# Opening.


async def test_opening_brings_a_new_file_up_to_date_and_says_what_it_is(path: Path) -> None:
    await ensure_schema(path)
    await ensure_schema(f"sqlite:///{path}")
    assert rows(path, "SELECT version_num FROM cw_store_version") == [(revisions()[-1],)]
    async with Store(path, migrate=False) as store:
        await add_initiative(store)


async def test_a_database_that_is_behind_is_left_alone_without_migrate(path: Path) -> None:
    for create in (False, True):
        if create:
            sqlite3.connect(path).close()
        with pytest.raises(SchemaBehindError) as raised:
            await Store.open(path, migrate=False)
        assert (raised.value.current, raised.value.head) == (None, revisions()[-1])
        assert is_there(path) == create
    assert tables(path) == {}


@pytest.mark.parametrize("migrate", [True, False])
async def test_a_database_that_is_ahead_is_refused_and_left_alone(
    current: Path, migrate: bool
) -> None:
    other = sqlite3.connect(current)
    other.execute("UPDATE cw_store_version SET version_num = '9999'")
    other.commit()
    other.close()
    before = tables(current)
    with pytest.raises(SchemaAheadError, match="9999") as raised:
        await Store.open(current, migrate=migrate)
    assert raised.value.current == "9999"
    with pytest.raises(SchemaAheadError):
        await ensure_schema(current)
    assert tables(current) == before


async def test_tables_of_the_application_are_left_alone(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE mine (x)")
    other.execute("INSERT INTO mine VALUES (1)")
    other.commit()
    other.close()
    await ensure_schema(path)
    assert rows(path, "SELECT x FROM mine") == [(1,)]


async def test_a_database_that_is_up_to_date_is_opened_while_another_writes(current: Path) -> None:
    other = sqlite3.connect(current, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("UPDATE cw_store_version SET version_num = version_num")
    async with asyncio.timeout(5), Store(current, busy_timeout=0) as store:
        assert await store.initiatives.find_all() == []
    await ensure_schema(current, busy_timeout=0)
    other.execute("ROLLBACK")
    other.close()


async def test_a_lock_that_is_not_to_be_had_is_store_busy(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA journal_mode = WAL")
    other.execute("BEGIN IMMEDIATE")
    for attempt in (ensure_schema(path, busy_timeout=0.05), Store.open(path, busy_timeout=0.05)):
        with pytest.raises(StoreBusyError):
            await attempt
    other.execute("ROLLBACK")
    other.close()
    await ensure_schema(path)


@pytest.mark.parametrize("lock", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
async def test_who_waits_for_the_lock_can_be_cancelled(path: Path, mode: str, lock: str) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute(f"PRAGMA journal_mode = {mode}")
    other.execute(lock)
    task = asyncio.create_task(ensure_schema(path))
    await asyncio.wait([task], timeout=0.2)
    assert not task.done()
    task.cancel()
    await asyncio.wait([task], timeout=10)
    prompt = task.cancelled()
    other.execute("ROLLBACK")
    other.close()
    await asyncio.wait([task])
    assert prompt
    assert "initiatives" not in tables(path)


OPEN = """
import asyncio, sys
from cw_store import Store

async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    # The last of them waits for all the others, on a machine that may have a lot to do.
    async with Store(sys.argv[1], busy_timeout=300) as store:
        await store.initiatives.create(name="a")

asyncio.run(main())
"""


@pytest.mark.parametrize("repetition", [1, 2])
def test_any_number_of_processes_may_open_a_new_file_at_once(path: Path, repetition: int) -> None:
    processes = [start_program(OPEN, path, cwd=path.parent) for _ in range(8)]
    try:
        for process in processes:
            assert process.stdout and process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        failures = [process.communicate(timeout=300)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert failures == [""] * 8
    assert [process.returncode for process in processes] == [0] * 8
    assert rows(path, "SELECT count(*) FROM initiatives") == [(8,)]
    assert rows(path, "SELECT count(*) FROM cw_store_version") == [(1,)]


async def test_any_number_of_tasks_may_open_a_new_file_at_once(path: Path) -> None:
    async def use() -> None:
        async with Store(path) as store:
            await add_initiative(store)

    await asyncio.gather(*(use() for _ in range(8)))
    assert rows(path, "SELECT count(*) FROM initiatives") == [(8,)]


async def test_as_many_new_databases_as_there_are_may_be_opened_at_once(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    files = [str(tmp_path / f"{number}.db") for number in range(6)]
    servers = [postgres_server.create_database() for _ in range(3)]
    async with asyncio.timeout(60):
        await asyncio.gather(*map(ensure_schema, [*files, *servers]))
    for url in [*files, *servers]:
        async with Store(url, migrate=False) as store:
            await add_initiative(store)
            assert len(await store.initiatives.find_all()) == 1


async def test_a_file_created_by_migrating_is_private(path: Path) -> None:
    await ensure_schema(path)
    assert mode(path) == 0o600


async def test_memory_has_no_schema_to_bring_up_to_date() -> None:
    with pytest.raises((SchemaError, ValueError)):
        await ensure_schema(":memory:")


async def test_limits_that_a_role_has_for_its_transactions_end_no_migration(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.create_database()
    driver: Any = asyncpg
    server = await driver.connect(url)
    name = make_url(url).database
    await server.execute(f'ALTER DATABASE "{name}" SET idle_in_transaction_session_timeout = 1')
    await server.close()
    await ensure_schema(url)
    postgres_server.drop_database(url)
