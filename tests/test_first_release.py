"""A database of the first release comes up to date with every row, in its order, and back.

`migrations/first_release/` holds one for each database, as SQL: a few rows in every table, stored
by six programs whose clocks stood apart, so that the order of `created_at` and `id`, by which that
release listed, is not the order in which the rows lie there.
"""

import asyncio
import shutil
import signal
import sqlite3
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
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

from builders import collected
from cw_store import SchemaError, Store, copy_store, ensure_schema
from cw_store.backends.sqlite.migrating import sqlite_connection
from cw_store.inspection import VERSION_TABLE
from cw_store.migrations import scripts
from cw_store.schema import metadata, metadata_on
from postgres_server import PostgresServer
from programs import start_program

T = TypeVar("T")
Rows = dict[str, list[tuple[Any, ...]]]

FIRST_RELEASE = Path(__file__).parent / "migrations" / "first_release"
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

    def downgrade(self) -> None:
        """Bring it back to the first release."""

        def downgrade(connection: Connection) -> None:
            config = Config()
            config.set_main_option("script_location", str(scripts()))
            config.attributes["connection"] = connection
            command.downgrade(config, "0001")

        self.run(downgrade)

    def rows(self) -> Rows:
        """Return every row of every table without its place, in the order of the first release."""

        def read(connection: Connection) -> Rows:
            return {
                table.name: [tuple(row) for row in connection.execute(self._in_old_order(table))]
                for table in metadata.sorted_tables
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


async def fill_server(url: str) -> None:
    connection = await cast(Any, asyncpg).connect(url)
    try:
        await connection.execute((FIRST_RELEASE / "postgresql.sql").read_text())
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of the first release."""
    if request.param == "sqlite":
        path = tmp_path / "cw.db"
        with closing(sqlite3.connect(path)) as raw:
            raw.executescript((FIRST_RELEASE / "sqlite.sql").read_text())
        yield with_columns(Database(str(path), "sqlite"))
        return
    server: PostgresServer = request.getfixturevalue("server")
    url = server.create_database()
    run(fill_server(url))
    yield with_columns(Database(url, "postgresql"))
    server.drop_database(url)


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
    return {row for sql in (columns, constraints, indexes) for row in database.query(sql)}


def test_every_row_is_kept_and_numbered_by_the_order_that_it_had(old: Database) -> None:
    before = old.rows()
    assert all(before[table.name] for table in metadata.sorted_tables), "each is to hold rows"
    lying = old.query("SELECT id FROM tasks")
    assert lying != [(row[0],) for row in before["tasks"]], "or the order would come by itself"
    old.upgrade()
    assert old.rows() == before
    for table in WITH_ID:
        numbered = old.query(f"SELECT id, seq FROM {table.name} ORDER BY seq")
        assert [id for id, _ in numbered] == [row[0] for row in before[table.name]], table.name
        assert [seq for _, seq in numbered] == [*range(1, len(numbered) + 1)]


def test_autogenerate_finds_no_difference_to_the_schema(old: Database) -> None:
    old.upgrade()

    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "compare_server_default": True,
                "version_table": VERSION_TABLE,
            },
        )
        return compare_metadata(context, metadata_on(old.dialect))

    assert old.run(differences) == []


def test_an_old_database_becomes_what_a_new_one_is(
    old: Database, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    old.upgrade()
    if old.dialect == "sqlite":
        new = Database(str(tmp_path / "new.db"), "sqlite")
    else:
        server: PostgresServer = request.getfixturevalue("server")
        new = Database(server.create_database(), "postgresql")
    new.upgrade()
    assert schema_of(old) == schema_of(new)


async def test_lists_go_on_where_they_were(old: Database) -> None:
    before = old.rows()
    async with Store(old.url, encryption_keys=[KEY]) as store:
        chunks = [row[0] for row in before["agent_log_chunks"]]
        assert [chunk.id for chunk in await store.log_chunks.find_by_agent_id("agent")] == chunks
        assert [
            chunk.id for chunk in await collected(store.log_chunks.stream_by_agent_id("agent"))
        ] == (chunks)
        new = await store.log_chunks.insert_chunk("agent", "otter", 1, "new")
        further = await store.log_chunks.find_by_agent_id("agent", after=chunks[-1])
        assert further == [new]
        page = await store.log_chunks.find_by_agent_id("agent", after=chunks[3], limit=2)
        assert [chunk.id for chunk in page] == chunks[4:6]
        accounts = await store.accounts.find_all()
        assert [account.id for account in accounts] == [row[0] for row in before["accounts"]]
        assert {account.credentials for account in accounts} == {f"token {n}" for n in range(6)}
        assert [errand.id for errand in await store.errands.find_all()] == [
            row[0] for row in before["errands"]
        ][::-1]
        created = await store.agents.create(worktree_id="w", task_id="z-task")
        assert await store.agents.find_by_task_id("z-task") == created
        errand = await store.errands.create(id="free", description="d", branch="b")
        assert (await store.errands.find_all(limit=1)) == [errand]
        assert errand.project_id is None


def test_there_and_back_and_there_again_is_the_same(old: Database) -> None:
    before, first = old.rows(), schema_of(old)
    old.upgrade()
    second = schema_of(old)
    old.downgrade()
    assert (old.rows(), schema_of(old)) == (before, first)
    assert old.query("SELECT version_num FROM cw_store_version") == [("0001",)]
    old.upgrade()
    assert (old.rows(), schema_of(old)) == (before, second)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE errands SET project_id = NULL WHERE id = 'm-errand'", "1 errands have no project"),
        (
            "UPDATE accounts SET credentials = 'cw-store:bound:x' WHERE id = 'm-account'",
            "1 accounts",
        ),
        ("UPDATE accounts SET config_json = 'cw-store:bound:x'", "6 accounts"),
    ],
)
def test_what_the_first_release_cannot_hold_does_not_go_back(
    old: Database, statement: str, told: str
) -> None:
    old.upgrade()
    old.execute(statement)
    before, schema = old.rows(), schema_of(old)
    with pytest.raises(SchemaError, match=told):
        old.downgrade()
    assert (old.rows(), schema_of(old)) == (before, schema)


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


def test_what_an_application_added_is_kept(old: Database) -> None:
    old.execute(*OWN, *TRIGGERS[old.dialect])
    theirs = own(old)
    tickets = old.query("SELECT id, ticket FROM tasks ORDER BY id")
    notes = old.query("SELECT * FROM app_notes")
    for change in (old.upgrade, old.downgrade, old.upgrade):
        change()
        assert own(old) == theirs
        assert old.query("SELECT id, ticket FROM tasks ORDER BY id") == tickets
        assert old.query("SELECT * FROM app_notes") == notes, "no row changed for the triggers"
        assert old.query("SELECT * FROM app_view") == [("m-task", "X-1", "mind the gap")]
    old.execute("UPDATE tasks SET summary = 'new' WHERE id = 'k-task'")
    assert len(old.query("SELECT * FROM app_notes WHERE note = 'changed 100%'")) >= 1


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("ALTER TABLE tasks ADD COLUMN seq INTEGER", "tasks has a column seq"),
        ("CREATE TABLE ix_conversations_pending (x INTEGER)", "ix_conversations_pending"),
        ("CREATE INDEX {} ON tasks (status)", "ix_tasks_status"),
    ],
)
def test_what_is_in_the_way_is_named_and_nothing_is_changed(
    old: Database, statement: str, told: str
) -> None:
    new = "ix_tasks_status" if old.dialect == "sqlite" else "ix_tasks_status_seq"
    old.execute(statement.format(new))
    before, schema = old.rows(), schema_of(old)
    with pytest.raises(SchemaError, match=told):
        old.upgrade()
    assert (old.rows(), schema_of(old)) == (before, schema)


USES_OF_PLACES = {
    "sqlite": (
        "CREATE VIEW app AS SELECT id, seq FROM tasks",
        "CREATE TRIGGER app AFTER UPDATE ON tasks BEGIN DELETE FROM tasks WHERE seq = -1; END",
    ),
    "postgresql": (
        "CREATE VIEW app AS SELECT * FROM tasks",
        "CREATE INDEX app ON tasks (seq, name)",
        "ALTER TABLE tasks ADD CONSTRAINT app CHECK (seq > 0)",
        "CREATE TABLE app (place BIGINT REFERENCES tasks (seq))",
        "ALTER TABLE tasks ADD COLUMN app BIGINT GENERATED ALWAYS AS (seq + 1) STORED",
        "CREATE POLICY app ON tasks USING (seq > 0)",
    ),
}


@pytest.mark.parametrize("number", range(6))
def test_what_uses_the_places_is_named_before_they_go(old: Database, number: int) -> None:
    uses = USES_OF_PLACES[old.dialect]
    if number >= len(uses):
        pytest.skip("there are no more ways here")
    old.upgrade()
    old.execute(uses[number])
    before, schema = old.rows(), schema_of(old)
    with pytest.raises(SchemaError, match=r"what the application has made.*[Nn]othing was changed"):
        old.downgrade()
    assert (old.rows(), schema_of(old)) == (before, schema)


@pytest.mark.parametrize(
    "broken",
    [
        "CREATE VIEW app ({columns}) AS SELECT * FROM review_comments",
        "CREATE TRIGGER app AFTER {verb} ON tasks BEGIN "
        "INSERT INTO app_copies SELECT * FROM review_comments; END",
    ],
)
@pytest.mark.parametrize("verb", ["INSERT", "UPDATE OF status", "DELETE"])
def test_views_and_triggers_that_one_column_more_would_break_are_named(
    old: Database, broken: str, verb: str
) -> None:
    if old.dialect == "postgresql":
        pytest.skip("a view there has the columns that it had when it was made")
    columns = ", ".join(
        f"c{n}" for n, _ in enumerate(old.query("PRAGMA table_info(review_comments)"))
    )
    with closing(sqlite3.connect(old.url)) as raw:
        raw.execute(f"CREATE TABLE app_copies ({columns})")
        raw.execute("CREATE VIEW app_broken_before AS SELECT x FROM nowhere")
        raw.execute(broken.format(columns=columns, verb=verb))
    before, schema = old.rows(), schema_of(old)
    with pytest.raises(SchemaError, match=r"would break what the application has made: .*columns"):
        old.upgrade()
    assert (old.rows(), schema_of(old)) == (before, schema)
    kind = "VIEW" if "VIEW" in broken else "TRIGGER"
    with closing(sqlite3.connect(old.url)) as raw:
        raw.execute(f"DROP {kind} app")
    old.upgrade()


def test_a_table_that_was_changed_otherwise_is_left_alone(old: Database) -> None:
    if old.dialect == "postgresql":
        pytest.skip("PostgreSQL changes a table where it is")
    old.execute(
        "DROP TABLE review_comments", "CREATE TABLE review_comments (id, created_at, updated_at)"
    )
    before = schema_of(old)
    with pytest.raises(SchemaError, match="review_comments is not as cw_store made it"):
        old.upgrade()
    assert schema_of(old) == before


def test_room_is_looked_for_before_anything_is_begun(
    old: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    if old.dialect == "postgresql":
        pytest.skip("what room a server has nobody can see from here")
    before = old.rows()
    usage = shutil.disk_usage(old.url)

    def almost_full(_: object) -> object:
        return usage._replace(free=3 << 18)

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", almost_full)
        with pytest.raises(
            SchemaError, match=r"takes \d\.\d MiB of room .*, and 0\.8 MiB are free"
        ):
            old.upgrade()
    assert old.rows() == before
    old.upgrade()


async def test_a_copy_keeps_the_order(
    old: Database, tmp_path: Path, server: PostgresServer
) -> None:
    await asyncio.to_thread(old.upgrade)
    other = Database(str(tmp_path / "copy.db"), "sqlite")
    if old.dialect == "sqlite":
        other = Database(server.create_database(), "postgresql")
    await copy_store(old.url, other.url)
    for table in WITH_ID:
        query = f"SELECT id FROM {table.name} ORDER BY seq"
        assert other.query(query) == old.query(query), table.name
    async with Store(other.url) as store:
        last = (await store.initiatives.find_all())[-1]
        new = await store.initiatives.create(name="new")
        assert await store.initiatives.find_all(after=last.id) == [new]


UPGRADE = """
import sys, time
from pathlib import Path
from cw_store.backends.sqlite.migrating import sqlite_connection
from cw_store.migrations import upgrade

with sqlite_connection(Path(sys.argv[1]), timeout=5) as connection:
    upgrade(connection)
    print("all but committed", flush=True)
    time.sleep(60)
"""


def test_an_upgrade_that_was_killed_can_be_done_again(old: Database, tmp_path: Path) -> None:
    if old.dialect == "postgresql":
        pytest.skip("there a killed client ends its transaction, as any other")
    before, schema = old.rows(), schema_of(old)
    process = start_program(UPGRADE, old.url, cwd=tmp_path)
    try:
        assert process.stdout and process.stdout.readline() == "all but committed\n"
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert (old.rows(), schema_of(old)) == (before, schema)
    old.upgrade()
    assert old.rows() == before
