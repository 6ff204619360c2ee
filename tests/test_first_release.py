"""A database of the first release comes up to date with every row, in its order, and back.

`migrations/first_release/` holds one for each database, as SQL: a few rows in every table, stored
by six programs whose clocks stood apart, so that the order of `created_at` and `id`, by which that
release listed, is not the order in which the rows lie there.
"""

import asyncio
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from builders import collected
from cw_store import SchemaError, Store, copy_store
from cw_store.testing.postgres_server import PostgresServer
from old_database import (
    KEY,
    OWN,
    TRIGGERS,
    WITH_ID,
    Database,
    kept,
    own,
    schema_of,
)
from programs import start_program


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of the first release."""
    with kept("first_release", request, tmp_path / "cw.db") as database:
        yield database


def test_every_row_is_kept_and_numbered_by_the_order_that_it_had(old: Database) -> None:
    before = old.rows()
    assert all(before.values()), "each is to hold rows"
    lying = old.query("SELECT id FROM tasks")
    assert lying != [(row[0],) for row in before["tasks"]], "or the order would come by itself"
    old.upgrade()
    assert old.rows() == before
    for table in WITH_ID:
        numbered = old.query(f"SELECT id, seq FROM {table.name} ORDER BY seq")
        assert [id for id, _ in numbered] == [row[0] for row in before[table.name]], table.name
        assert [seq for _, seq in numbered] == [*range(1, len(numbered) + 1)]


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
