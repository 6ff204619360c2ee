"""What SQLite refuses, told apart by its result code."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import pysqlite

from cw_store import (
    AlreadyExistsError,
    BrokenReferenceError,
    Initiative,
    InvalidValueError,
    ReadOnlyError,
    Store,
    StoreBusyError,
    StoreError,
    schema,
)
from cw_store.backends.sqlite.errors import DatabaseLockedError, plain_failure
from cw_store.backends.sqlite.statements import (
    begin_immediate,
    count_changes,
    fetch_records,
    run_many,
    run_sql,
    undo_to,
)
from cw_store.statements.compiled import CompiledStatement, compile_for
from cw_store.statements.query import Query
from cw_store.types import ValueRules, use_rules
from programs import run_program
from slow_disk import environment_of_slow_disk, why_not

DIALECT = pysqlite.dialect(paramstyle="qmark")
use_rules(DIALECT, ValueRules())


@pytest.fixture
def cursor(migrated_file: Path, tmp_path: Path) -> Iterator[sqlite3.Cursor]:
    path = tmp_path / "cw.db"
    path.write_bytes(migrated_file.read_bytes())
    raw = sqlite3.connect(path, isolation_level=None, timeout=0)
    raw.execute("PRAGMA foreign_keys = ON")
    yield raw.cursor()
    raw.close()


def insert(table: sa.Table, *columns: str) -> CompiledStatement[Initiative]:
    statement = sa.insert(table).values({name: sa.bindparam(name) for name in columns})
    return compile_for(DIALECT, Query(Initiative, statement, table))


INITIATIVE = insert(schema.initiatives, "id", "name", "status", "created_at", "updated_at")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PAIR = insert(schema.initiative_projects, "initiative_id", "project_id")
TASK = insert(schema.tasks, *(column.name for column in schema.record_columns(schema.tasks)))


def test_a_row_that_is_there_names_its_columns(cursor: sqlite3.Cursor) -> None:
    row = ["one", "a", "active", 1, 1]
    assert count_changes(INITIATIVE, row, cursor) == 1
    with pytest.raises(AlreadyExistsError) as raised:
        count_changes(INITIATIVE, row, cursor)
    assert (raised.value.table, list(raised.value.columns)) == ("initiatives", ["id"])
    assert isinstance(raised.value.__cause__, sqlite3.IntegrityError)


def test_rows_become_records_where_they_are_fetched(cursor: sqlite3.Cursor) -> None:
    columns = schema.record_columns(schema.initiatives)
    every = compile_for(DIALECT, Query(Initiative, sa.select(*columns), schema.initiatives))
    for number in (1, 2, 3):
        count_changes(INITIATIVE, [f"{number}", "a", "active", 1, 1], cursor)
        found = fetch_records(every, [], cursor)
        assert {type(one) for one in found} == {Initiative}
        assert [one.id for one in found] == ["1", "2", "3"][:number]


def test_a_pair_that_is_there_names_both_columns(cursor: sqlite3.Cursor) -> None:
    cursor.execute("PRAGMA foreign_keys = OFF")
    values = {"initiative_id": "i", "project_id": "p"}
    row = PAIR.bind(values)
    count_changes(PAIR, row, cursor)
    with pytest.raises(AlreadyExistsError) as raised:
        run_many(PAIR, [row], cursor)
    assert list(raised.value.columns) == ["initiative_id", "project_id"]


@pytest.mark.parametrize(
    ("row", "column"),
    [(["one", "a", "nonsense", 1, 1], "?"), (["one", None, "active", 1, 1], "name")],
)
def test_what_the_schema_does_not_allow_is_an_invalid_value(
    cursor: sqlite3.Cursor, row: list[Any], column: str
) -> None:
    with pytest.raises(InvalidValueError) as raised:
        count_changes(INITIATIVE, row, cursor)
    error = raised.value
    assert (error.table, error.column, error.value) == ("initiatives", column, None)
    assert error.reason == "is not allowed by the schema"


def test_of_several_references_the_broken_one_is_named(cursor: sqlite3.Cursor) -> None:
    cursor.execute(
        "INSERT INTO initiatives (id, name, status, created_at, updated_at)"
        " VALUES ('there', 'a', 'active', 1, 1)"
    )
    row: dict[str, Any] = {
        column.name: column.default.arg if isinstance(column.default, sa.ColumnDefault) else None
        for column in schema.record_columns(schema.tasks)
    }
    row |= {"name": "a", "initiative_id": "there", "created_at": NOW, "updated_at": NOW}
    good = TASK.bind({**row, "id": "t1"})
    for column in ("initiative_id", "phase_id", "parent_task_id"):
        bad = TASK.bind({**row, "id": "t2", column: "nowhere"})
        with pytest.raises(BrokenReferenceError) as raised:
            run_many(TASK, [good, bad], cursor)
        assert (raised.value.table, list(raised.value.columns)) == ("tasks", [column])
        with pytest.raises(BrokenReferenceError) as raised:
            fetch_records(TASK, bad, cursor)
        assert isinstance(raised.value.__cause__, sqlite3.IntegrityError)
        assert list(raised.value.columns) == [column]
        cursor.execute("DELETE FROM tasks")


def test_when_no_reference_is_seen_to_be_broken_all_are_named(cursor: sqlite3.Cursor) -> None:
    columns = ("id", "name", "status", "created_at", "updated_at")
    cursor.execute(
        f"INSERT INTO initiatives ({', '.join(columns)}) VALUES ('there', 'a', 'active', 1, 1)"
    )
    cursor.execute(
        "INSERT INTO phases (id, initiative_id, name, status, created_at, updated_at)"
        " VALUES ('p', 'there', 'a', 'pending', 1, 1)"
    )
    cursor.execute("CREATE TABLE keeps (p REFERENCES phases (id))")
    cursor.execute("INSERT INTO keeps VALUES ('p')")
    statement = sa.delete(schema.phases).where(schema.phases.c.id == sa.bindparam("id"))
    query = Query(Initiative, statement, schema.phases)
    with pytest.raises(BrokenReferenceError) as raised:
        count_changes(compile_for(DIALECT, query), ["p"], cursor)
    assert list(raised.value.columns) == ["initiative_id"]


def test_another_connections_lock_is_no_error_of_begin(
    cursor: sqlite3.Cursor, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "cw.db", isolation_level=None, timeout=0)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseLockedError):
        begin_immediate(cursor)
    assert not cursor.connection.in_transaction
    with pytest.raises(StoreBusyError):
        run_sql("BEGIN IMMEDIATE", cursor)
    with pytest.raises(StoreBusyError):
        count_changes(INITIATIVE, ["one", "a", "active", 1, 1], cursor)
    other.execute("COMMIT")
    other.close()
    begin_immediate(cursor)
    assert cursor.connection.in_transaction
    with pytest.raises(StoreError, match="within a transaction") as raised:
        begin_immediate(cursor)
    assert type(raised.value) is StoreError
    assert isinstance(raised.value.__cause__, sqlite3.OperationalError)


def test_a_full_disk_and_a_file_only_to_be_read_are_told_apart(cursor: sqlite3.Cursor) -> None:
    cursor.execute("PRAGMA query_only = ON")
    with pytest.raises(ReadOnlyError) as read_only:
        count_changes(INITIATIVE, ["one", "a", "active", 1, 1], cursor)
    assert isinstance(read_only.value.__cause__, sqlite3.Error)
    cursor.execute("PRAGMA query_only = OFF")
    (pages,) = cursor.execute("PRAGMA page_count").fetchone()
    cursor.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="disk is full") as full:
        count_changes(INITIATIVE, ["one", "a" * 100_000, "active", 1, 1], cursor)
    assert type(full.value) is StoreError


def test_any_other_failure_is_named(cursor: sqlite3.Cursor) -> None:
    with pytest.raises(StoreError, match="SQLITE_ERROR: no such table: nowhere"):
        run_sql("SELECT * FROM nowhere", cursor)
    assert type(plain_failure(sqlite3.Error("bare"))) is StoreError
    assert "an error without a name: bare" in str(plain_failure(sqlite3.Error("bare")))
    quoting = sqlite3.OperationalError("Could not decode 'secret'")
    assert str(plain_failure(quoting)) == "a column holds text that is not UTF-8"
    assert str(plain_failure(ValueError("secret"))) == "unexpected failure: ValueError"


def test_undoing_to_a_savepoint_forgets_it(cursor: sqlite3.Cursor) -> None:
    begin_immediate(cursor)
    run_sql("SAVEPOINT one", cursor)
    count_changes(INITIATIVE, ["one", "a", "active", 1, 1], cursor)
    undo_to("one", cursor)
    assert cursor.execute("SELECT count(*) FROM initiatives").fetchone() == (0,)
    with pytest.raises(StoreError, match="no such savepoint"):
        run_sql("RELEASE one", cursor)
    cursor.execute("COMMIT")


# A commit that the disk refuses.

TESTS = Path(__file__).parents[2]

REFUSED_BY_THE_DISK = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from cw_store import Store, StoreError
from slow_disk import SlowDisk

async def unit(store):
    uow = store.unit_of_work()
    try:
        async with uow:
            await uow.initiatives.create(id="a", name="x")
    except StoreError as error:
        return type(error).__name__, uow.committed

async def call(store, id="a"):
    try:
        await store.initiatives.create(id=id, name="x")
    except StoreError as error:
        return type(error).__name__, None

async def shared(store):
    # The first runs alone, and those that wait for it share a commit.
    told = await asyncio.gather(store.initiatives.find_all(), *(call(store, id) for id in "zab"))
    return told[2]

async def main():
    path = Path(sys.argv[1])
    disk = SlowDisk(path)
    store = await Store.open(path, synchronous="FULL")
    await store.initiatives.create(id="before", name="x")
    disk.fail_syncs(int(sys.argv[4]))
    print(*(await globals()[sys.argv[3]](store) or ("stored", True)), flush=True)
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


@pytest.mark.parametrize("times", [1, 1000])
@pytest.mark.parametrize("what", ["unit", "call", "shared"])
async def test_a_commit_that_the_disk_refused_is_not_there_after_a_crash(
    tmp_path: Path, what: str, times: int
) -> None:
    missing = why_not()
    if missing is not None:
        pytest.skip(missing)
    path = tmp_path / "cw.db"
    variables = environment_of_slow_disk(tmp_path)
    done = run_program(
        REFUSED_BY_THE_DISK, path, TESTS, what, times, cwd=tmp_path, variables=variables
    )
    told, committed = done.stdout.split()
    async with Store(path) as store:
        stored = await store.initiatives.find_by_id("a") is not None
    if times > 1:
        assert (told, committed) == ("OutcomeUnknownError", "None")
    elif what == "shared":  # the first of them was refused, and these were not
        assert (told, stored) == ("stored", True)
    else:
        assert (told, stored) == ("StoreError", False)
