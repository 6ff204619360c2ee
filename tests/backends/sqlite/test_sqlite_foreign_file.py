"""Another program's file: read as it is at one moment, and never written."""

import shutil
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, closing
from pathlib import Path

import pytest

from cw_store import SchemaError, StoreBusyError, StoreError
from cw_store.backends.sqlite.foreign_file import ForeignFile, ForeignTable, Value


@asynccontextmanager
async def opened(path: Path) -> AsyncGenerator[ForeignFile]:
    file = await ForeignFile.open(path, busy_timeout=0.1)
    try:
        yield file
    finally:
        await file.close()


def made(path: Path, script: str, mode: str = "WAL") -> Path:
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"PRAGMA journal_mode = {mode}")
        other.executescript(script)
    return path


async def rows_of(
    file: ForeignFile, table: ForeignTable, **sizes: int
) -> list[list[tuple[Value, ...]]]:
    sizes = {"batch_rows": 1_000, "batch_size": 1_000} | sizes
    async with aclosing(file.read(table, **sizes)) as batches:
        return [batch async for batch in batches]


async def test_it_tells_what_there_is(tmp_path: Path) -> None:
    path = made(
        tmp_path / "other.db",
        'CREATE TABLE "a ""b" (x, y INTEGER PRIMARY KEY);'
        "CREATE TABLE keyed (a, b, PRIMARY KEY (b, a)) WITHOUT ROWID;"
        "CREATE TABLE named (rowid TEXT, id TEXT PRIMARY KEY);"
        "CREATE VIRTUAL TABLE found USING fts5(body);"
        "CREATE VIEW seen AS SELECT 1;"
        "CREATE TRIGGER told AFTER INSERT ON named BEGIN SELECT 1; END",
    )
    async with opened(path) as file:
        contents = await file.contents()
    tables = {table.name: table for table in contents.tables}
    assert tables['a "b'] == ('a "b', ("x", "y"), ("y",), "rowid")
    assert tables["keyed"].number is None and set(tables["keyed"].key) == {"a", "b"}
    assert tables["named"].number == "_rowid_"
    assert (contents.views, contents.triggers) == (("seen",), ("told",))
    assert contents.others == ("found",)


async def test_rows_come_as_they_are_in_the_order_of_storing(tmp_path: Path) -> None:
    path = made(
        tmp_path / "other.db",
        "CREATE TABLE t (id TEXT PRIMARY KEY, x);"
        "INSERT INTO t VALUES ('b', 1), ('a', 2.5), ('c', NULL), ('d', X'FF'), "
        "(CAST(X'61FF' AS TEXT), 'a' || char(0) || 'b')",
    )
    async with opened(path) as file:
        (table,) = (await file.contents()).tables
        (batch,) = await rows_of(file, table)
        assert await file.count(table) == 5 and await file.count(table, "x") == 4
    assert batch == [
        (1, b"b", 1),
        (2, b"a", 2.5),
        (3, b"c", None),
        (4, b"d", b"\xff"),
        (5, b"a\xff", b"a\0b"),
    ]


async def test_batches_are_limited_in_rows_and_in_size(tmp_path: Path) -> None:
    path = made(
        tmp_path / "other.db",
        "CREATE TABLE t (x); INSERT INTO t SELECT printf('%.*c', 400, 'x') FROM "
        "(WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10) "
        "SELECT i FROM n)",
    )
    async with opened(path) as file:
        (table,) = (await file.contents()).tables
        assert [len(each) for each in await rows_of(file, table, batch_rows=4)] == [3, 3, 3, 1]
        assert [len(each) for each in await rows_of(file, table, batch_rows=2)] == [2] * 5
        assert len(await rows_of(file, table, batch_size=1)) == 10


async def test_what_is_committed_meanwhile_is_not_seen(tmp_path: Path) -> None:
    path = made(tmp_path / "other.db", "CREATE TABLE t (x); INSERT INTO t VALUES (1)")
    async with opened(path) as file:
        (table,) = (await file.contents()).tables
        made(path, "INSERT INTO t VALUES (2)")
        assert await rows_of(file, table) == [[(1, 1)]]


async def test_values_that_are_there_twice_are_found(tmp_path: Path) -> None:
    path = made(
        tmp_path / "other.db",
        "CREATE TABLE t (id TEXT); INSERT INTO t VALUES ('a'), (X'61'), ('b'), ('c'), ('c')",
    )
    async with opened(path) as file:
        (table,) = (await file.contents()).tables
        assert await file.has_blobs(table, "id")
        assert await file.repeated(table, "id") == {b"a", b"c"}


async def test_a_null_where_the_table_takes_none_is_no_damage(tmp_path: Path) -> None:
    path = made(
        tmp_path / "other.db",
        "CREATE TABLE t (x TEXT); INSERT INTO t VALUES (NULL); PRAGMA writable_schema = ON;"
        "UPDATE sqlite_schema SET sql = 'CREATE TABLE t (x TEXT NOT NULL CHECK (x > 1))'",
    )
    async with opened(path) as file:
        await file.check()


async def test_a_page_that_is_overwritten_is_damage(tmp_path: Path) -> None:
    path = made(
        tmp_path / "other.db", "CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(9000))", "DELETE"
    )
    content = bytearray(path.read_bytes())
    content[4096:4196] = b"\xff" * 100
    path.write_bytes(content)
    async with opened(path) as file:
        with pytest.raises(StoreError, match="is damaged"):
            await file.check()


async def test_what_was_left_in_the_middle_of_a_write_is_told(tmp_path: Path) -> None:
    path = made(tmp_path / "other.db", "CREATE TABLE t (x)", "DELETE")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.executescript("PRAGMA cache_size = 1; BEGIN IMMEDIATE")
        for _ in range(50):
            other.execute("INSERT INTO t VALUES (zeroblob(4000))")
        (tmp_path / "killed").mkdir()
        for name in ("other.db", "other.db-journal"):
            shutil.copyfile(tmp_path / name, tmp_path / "killed" / name)
    before = {file.name: file.read_bytes() for file in (tmp_path / "killed").iterdir()}
    with pytest.raises(StoreError, match="left in the middle of a write"):
        await ForeignFile.open(tmp_path / "killed" / "other.db", busy_timeout=0.1)
    assert {file.name: file.read_bytes() for file in (tmp_path / "killed").iterdir()} == before


async def test_a_lock_is_waited_for_and_what_is_no_database_is_named(tmp_path: Path) -> None:
    path = made(tmp_path / "other.db", "CREATE TABLE t (x)", "DELETE")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreBusyError, match=r"kept other\.db locked"):
            await ForeignFile.open(path, busy_timeout=0.05)
    (tmp_path / "text").write_text("no database" * 1_000)
    with pytest.raises(SchemaError, match="no SQLite database"):
        await ForeignFile.open(tmp_path / "text", busy_timeout=0.05)
