"""Databases of earlier schemas, kept as SQL in `migrations/`, and what an application may add."""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from cw_store import ensure_schema
from cw_store.backends.sqlite.migrating import sqlite_connection
from cw_store.inspection import VERSION_TABLE
from cw_store.migrations import scripts
from cw_store.schema import metadata, metadata_on
from cw_store.testing.postgres_server import PostgresServer

T = TypeVar("T")
Rows = dict[str, list[tuple[Any, ...]]]

KEPT = Path(__file__).parent / "migrations"
KEY = "pJ2iZ0bZ6m0sN0p2aBv5v0l3m1b0Yk1Q8m6rJ1p9Qk4="
"""Half of the secrets are encrypted under it."""
WITH_ID = [table for table in metadata.sorted_tables if "id" in table.columns]


class Database(NamedTuple):
    """A database, and a way to it beside the store."""

    url: str
    dialect: str
    columns: Mapping[str, list[str]] = MappingProxyType({})

    def run(self, work: Callable[[Connection], T]) -> T:
        """Do the work in a transaction, which is committed unless it raises."""
        if self.dialect == "sqlite":
            with sqlite_connection(Path(self.url), timeout=5) as connection:
                return work(connection)
        return run(self._run_on_server(work))

    async def _run_on_server(self, work: Callable[[Connection], T]) -> T:
        engine = create_async_engine(self.url.replace("postgresql:", "postgresql+asyncpg:"))
        try:
            async with engine.begin() as connection:
                return await connection.run_sync(work)
        finally:
            await engine.dispose()

    def execute(self, *statements: str) -> None:
        """Run an application's own SQL."""

        def execute(connection: Connection) -> None:
            for statement in statements:
                connection.exec_driver_sql(statement)

        self.run(execute)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows."""
        return self.run(lambda connection: [tuple(row) for row in connection.exec_driver_sql(sql)])

    def upgrade(self) -> None:
        """Bring it up to date."""
        run(ensure_schema(self.url))

    def downgrade(self, revision: str = "0001") -> None:
        """Bring it back to the first release, or to another revision."""

        def downgrade(connection: Connection) -> None:
            config = Config()
            config.set_main_option("script_location", str(scripts()))
            config.attributes["connection"] = connection
            command.downgrade(config, revision)

        self.run(downgrade)

    def rows(self) -> Rows:
        """Return every row of every table without its place, in the order of the first release."""

        def read(connection: Connection) -> Rows:
            return {
                table.name: [tuple(row) for row in connection.execute(self._in_old_order(table))]
                for table in metadata.sorted_tables
                if table.name in self.columns
            }

        return self.run(read)

    def _in_old_order(self, table: sa.Table) -> sa.Select[Any]:
        columns: list[sa.ColumnElement[Any]] = [
            sa.column(name) for name in self.columns[table.name]
        ]
        query = sa.select(*columns).select_from(sa.table(table.name))
        if "id" not in table.columns:
            return query.order_by(*columns)
        return query.order_by(sa.column("created_at"), sa.column("id"))


def columns_of(connection: Connection) -> dict[str, list[str]]:
    """Return the columns of every table, in their order."""
    inspector = sa.inspect(connection)
    return {
        table: [column["name"] for column in inspector.get_columns(table)]
        for table in inspector.get_table_names()
    }


def with_columns(database: Database) -> Database:
    """Return the database as one that reads what is there now, whatever is added later."""
    return database._replace(columns=database.run(columns_of))


def run(work: Coroutine[Any, Any, T]) -> T:
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, work).result()


async def fill_server(url: str, folder: str) -> None:
    connection = await cast(Any, asyncpg).connect(url)
    try:
        await connection.execute((KEPT / folder / "postgresql.sql").read_text())
    finally:
        await connection.close()


@contextmanager
def kept_file(folder: str, path: Path) -> Generator[Database]:
    """Give a file of what is kept in this folder."""
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript((KEPT / folder / "sqlite.sql").read_text())
    yield with_columns(Database(str(path), "sqlite"))


@contextmanager
def kept_on_server(folder: str, server: PostgresServer) -> Generator[Database]:
    """Give a database of what is kept in this folder."""
    url = server.create_database()
    run(fill_server(url, folder))
    yield with_columns(Database(url, "postgresql"))
    server.drop_database(url)


@contextmanager
def kept(folder: str, request: pytest.FixtureRequest, path: Path) -> Generator[Database]:
    """Give what is kept in this folder, in a file or on a `server`, as the parameter says."""
    if request.param == "sqlite":
        with kept_file(folder, path) as database:
            yield database
    else:
        with kept_on_server(folder, request.getfixturevalue("server")) as database:
            yield database


def schema_of(database: Database) -> set[Any]:
    """Return the text of everything in the database, where order does not matter."""
    if database.dialect == "sqlite":
        found = database.query("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
        return {(kind, name, sql.replace('"', "")) for kind, name, sql in found}
    columns = (
        "SELECT relname, attname, attnotnull::text, attidentity::text FROM pg_attribute "
        "JOIN pg_class ON pg_class.oid = attrelid "
        "WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped"
    )
    constraints = (
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE connamespace = 'public'::regnamespace"
    )
    indexes = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    triggers = (
        # How many parentheses there are depends on whether it was restored from a dump.
        "SELECT tgname, tgenabled::text, translate(pg_get_triggerdef(pg_trigger.oid), '()', '') "
        "FROM pg_trigger "
        "JOIN pg_class ON pg_class.oid = tgrelid "
        "WHERE relnamespace = 'public'::regnamespace AND NOT tgisinternal"
    )
    functions = (
        "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    )
    everything = (columns, constraints, indexes, triggers, functions)
    return {row for sql in everything for row in database.query(sql)}


def differences(database: Database) -> list[Any]:
    """Return what autogenerate would change, to make the database what the schema says."""

    def compare(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "compare_server_default": True,
                "version_table": VERSION_TABLE,
            },
        )
        return compare_metadata(context, metadata_on(database.dialect))

    return database.run(compare)


OWN = (
    "ALTER TABLE tasks ADD COLUMN ticket TEXT DEFAULT 'none'",
    "UPDATE tasks SET ticket = 'X-1' WHERE id = 'm-task'",
    "CREATE INDEX app_tickets ON tasks (ticket)",
    "CREATE UNIQUE INDEX app_lower ON tasks (lower(id))",
    "CREATE TABLE app_notes (task_id TEXT REFERENCES tasks (id), note TEXT)",
    "INSERT INTO app_notes VALUES ('m-task', 'mind the gap')",
    "CREATE VIEW app_view AS SELECT id, ticket, note FROM tasks JOIN app_notes ON task_id = id",
)
TRIGGERS = {
    "sqlite": (
        "CREATE TRIGGER app_trigger AFTER UPDATE ON tasks BEGIN "
        "INSERT INTO app_notes VALUES (new.id, 'changed 100%'); END",
        "CREATE TRIGGER app_new AFTER INSERT ON app_notes BEGIN "
        "UPDATE tasks SET ticket = 'noted' WHERE id = new.task_id; END",
    ),
    "postgresql": (
        "CREATE FUNCTION app_note() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN INSERT INTO app_notes VALUES (new.id, 'changed 100%'); RETURN new; END$$",
        "CREATE TRIGGER app_trigger AFTER UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION app_note()",
        "CREATE TRIGGER app_off AFTER UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION app_note()",
        "ALTER TABLE tasks DISABLE TRIGGER app_off",
        "CREATE TRIGGER app_always AFTER DELETE ON tasks FOR EACH ROW EXECUTE FUNCTION app_note()",
        "ALTER TABLE tasks ENABLE ALWAYS TRIGGER app_always",
    ),
}


def own(database: Database) -> set[Any]:
    """Return what the application has in the database."""
    if database.dialect == "sqlite":
        return set(database.query("SELECT type, sql FROM sqlite_schema WHERE name LIKE 'app%'"))
    return {
        *database.query("SELECT indexname, indexdef FROM pg_indexes WHERE indexname LIKE 'app%'"),
        *database.query("SELECT tgname, tgenabled::text FROM pg_trigger WHERE tgname LIKE 'app%'"),
        *database.query("SELECT viewname, definition FROM pg_views WHERE viewname LIKE 'app%'"),
    }
