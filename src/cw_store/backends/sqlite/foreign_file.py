"""Another program's SQLite file, read as it is at one moment and never written.

It is opened as what it is, with its log ("mode=ro" in SQLite's documentation of URI filenames): one
that was told not to look at the log would miss the last commits. So an empty -wal and a -shm may
stay beside it. Text is given as its bytes, since other programs store what is no UTF-8.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from cw_store.backends.sqlite.connection import Connection
from cw_store.backends.sqlite.errors import is_busy, plain_failure, reason_of, shown, unusable
from cw_store.backends.sqlite.opening import open_with
from cw_store.backends.sqlite.raw_connection import (
    SHORT_BUSY_TIMEOUT,
    GivenUp,
    RawConnection,
    quoted,
    refuse_inherited,
    retry_while_busy,
    uri_of,
)
from cw_store.backends.thread.worker import LoopCallbacks
from cw_store.errors import StoreError

T = TypeVar("T")

Value = bytes | int | float | None
"""What a cell holds; text and blobs are both bytes."""

_ABOUT_VALUES = (
    b"NULL value in ",
    b"NUMERIC value in ",
    b"TEXT value in ",
    b"CHECK constraint failed in ",
    b"non-",
)
"""How messages of quick_check begin that tell of rows and not of damage."""

_ROW_NUMBERS = ("rowid", "_rowid_", "oid")


class ForeignTable(NamedTuple):
    """A table of another program's file.

    `number` is what its rows' numbers are called, None where they have none; `key` are the columns
    of the primary key.
    """

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    number: str | None


class ForeignContents(NamedTuple):
    """What another program's file holds, in order of name.

    `others` are the tables that cannot be read here: virtual ones, and names that are no text.
    """

    tables: tuple[ForeignTable, ...]
    views: tuple[str, ...]
    triggers: tuple[str, ...]
    others: tuple[str, ...]


class ForeignFile:
    """One transaction that reads another program's file."""

    def __init__(self, path: Path, connection: Connection) -> None:
        self._path = path
        self._connection = connection

    @classmethod
    async def open(cls, path: Path, *, busy_timeout: float) -> ForeignFile:
        """Open the file and take the snapshot.

        Raises SchemaError for what is no SQLite database, StoreBusyError after `busy_timeout`
        seconds of somebody else's lock, else StoreError.
        """
        real = regular_file(path)
        connection = await open_with(
            partial(_connect_with_retry, real, busy_timeout),
            real,
            loop_callbacks=LoopCallbacks(asyncio.get_running_loop()),
            name="source",
            busy_timeout=0.0,
        )
        return cls(real, connection)

    async def check(self) -> None:
        """Raise StoreError when the file is damaged; reads all of it."""
        damage = await self._run(_damage)
        if damage is not None:
            raise StoreError(
                f"{shown(self._path)} is damaged; nothing was written; restore it from a backup, "
                f"or let its own program repair it ({damage})"
            )

    async def contents(self) -> ForeignContents:
        """Return what it holds."""
        return await self._run(_contents)

    async def count(self, table: ForeignTable, column: str | None = None) -> int:
        """Return how many rows the table has, or how many of them hold a value in a column."""
        counted = "*" if column is None else quoted(column)
        sql = f"SELECT count({counted}) FROM {quoted(table.name)}"
        return await self._run(lambda raw: raw.execute(sql).fetchone()[0])

    async def has_blobs(self, table: ForeignTable, column: str) -> bool:
        """Whether a column holds a blob in any row."""
        name = quoted(column)
        sql = f"SELECT 1 FROM {quoted(table.name)} WHERE typeof({name}) = 'blob' LIMIT 1"
        return await self._run(lambda raw: raw.execute(sql).fetchone() is not None)

    async def repeated(self, table: ForeignTable, column: str) -> set[Value]:
        """Return the values that a column has in more than one row."""
        name = f"CAST({quoted(column)} AS BLOB)"
        sql = f"SELECT {name} FROM {quoted(table.name)} GROUP BY 1 HAVING count(*) > 1"
        return await self._run(lambda raw: {value for (value,) in raw.execute(sql)})

    async def read(
        self, table: ForeignTable, *, batch_rows: int, batch_size: int
    ) -> AsyncGenerator[list[tuple[Value, ...]]]:
        """Give every row, in the order of storing, in batches: its number, then its columns.

        Where the rows have no number, they come in the order of the key and are counted.
        """
        number = "NULL" if table.number is None else table.number
        columns = ", ".join((number, *map(quoted, table.columns)))
        order = "" if table.number is None else f" ORDER BY {table.number}"
        sql = f"SELECT {columns} FROM {quoted(table.name)}{order}"
        cursor = await self._run(lambda raw: raw.execute(sql))
        try:
            take = partial(_take, cursor, batch_rows, batch_size)
            while batch := await self._run(take):
                yield batch
        finally:
            await self._run(lambda _: cursor.close())

    async def close(self) -> None:
        """Close the file; done even when the caller is cancelled."""
        await self._connection.disconnect()

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def job() -> T:
            try:
                return work(self._connection.raw)
            except sqlite3.Error as error:
                if is_busy(error):
                    raise plain_failure(error) from error
                raise unusable(self._path, error) from error

        return await self._connection.run(job)


def regular_file(path: Path) -> Path:
    """Return the file itself, without links; raises StoreError when there is none."""
    try:
        real = path.resolve(strict=True)
        is_file = stat.S_ISREG(real.stat().st_mode)
    except (OSError, RuntimeError, ValueError) as error:
        raise StoreError(f"cannot read {shown(path)}: {reason_of(error)}") from error
    if not is_file:
        raise StoreError(f"cannot read {shown(path)}: it is no file")
    return real


# What follows runs in the connection's thread.


def _connect_with_retry(
    path: Path, timeout: float, given_up: GivenUp | None = None
) -> RawConnection:
    try:
        return retry_while_busy(
            partial(_connect, path),
            timeout=timeout,
            given_up=given_up,
            too_late=f"another program kept {path.name} locked for {timeout:g} s",
        )
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: sqlite3.Error) -> StoreError:
    """Say why SQLite cannot read the file without writing to it, or beside it."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        return unusable(path, error)
    if os.path.exists(f"{path}-journal"):
        return StoreError(
            f"{shown(path)} was left in the middle of a write; nothing was changed; open it once "
            "with its own program, which undoes that, and then try again"
        )
    return StoreError(
        f"SQLite may not make the -shm beside {shown(path)} that it needs to read it; copy the "
        "file and its -wal into a folder of your own, and name that copy"
    )


def _connect(path: Path) -> RawConnection:
    refuse_inherited(path)
    raw = sqlite3.connect(
        uri_of(path, "ro"),
        uri=True,
        timeout=SHORT_BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
        factory=RawConnection,
    )
    try:
        raw.text_factory = bytes
        raw.execute("PRAGMA query_only = ON")
        raw.execute("PRAGMA trusted_schema = OFF")  # what the file itself defines is not run
        raw.execute("BEGIN")
        raw.execute("SELECT 1 FROM sqlite_schema").fetchall()  # takes the snapshot
    except BaseException:
        raw.close()
        raise
    return raw


def _damage(raw: sqlite3.Connection) -> str | None:
    """Return the first thing that is wrong with the file's structure."""
    # The number is how many messages are given at most.
    for (message,) in raw.execute("PRAGMA quick_check(1000000)"):
        if message != b"ok" and not message.startswith(_ABOUT_VALUES):
            return _name(message).splitlines()[0][:200]
    return None


def _contents(raw: sqlite3.Connection) -> ForeignContents:
    tables: list[ForeignTable] = []
    others: list[str] = []
    named: dict[bytes, list[str]] = {b"view": [], b"trigger": []}
    found = raw.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name").fetchall()
    for kind, name, sql in found:
        if kind in named:
            named[kind].append(_name(name))
        elif kind == b"table" and not name.startswith(b"sqlite_"):
            if (sql or b"").lstrip()[:14].upper() == b"CREATE VIRTUAL" or not _is_text(name):
                others.append(_name(name))
            else:
                tables.append(_table(raw, _name(name)))
    return ForeignContents(
        tuple(tables), tuple(named[b"view"]), tuple(named[b"trigger"]), tuple(others)
    )


def _table(raw: sqlite3.Connection, name: str) -> ForeignTable:
    described = [
        column
        for column in raw.execute("SELECT name, pk FROM pragma_table_xinfo(?)", [name]).fetchall()
        if _is_text(column[0])
    ]
    columns = tuple(_name(column) for column, _ in described)
    key = tuple(_name(column) for column, place in described if place)
    taken = {column.lower() for column in columns}
    numbers = [number for number in _ROW_NUMBERS if number not in taken]
    return ForeignTable(name, columns, key, _number(raw, name, numbers))


def _number(raw: sqlite3.Connection, name: str, numbers: Sequence[str]) -> str | None:
    for number in numbers:
        try:
            raw.execute(f"SELECT {number} FROM {quoted(name)} LIMIT 0")
            return number
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR:
                raise
            break  # a table WITHOUT ROWID
    return None


def _take(
    cursor: sqlite3.Cursor, batch_rows: int, batch_size: int, _raw: sqlite3.Connection
) -> list[tuple[Value, ...]]:
    """Return the next rows: not too many, and not too much text unless it is a single row."""
    batch: list[tuple[Value, ...]] = []
    size = 0
    for row in cursor:
        batch.append(row)
        size += sum([len(value) for value in row if isinstance(value, bytes)])
        if len(batch) >= batch_rows or size >= batch_size:
            break
    return batch


def _is_text(name: bytes) -> bool:
    """Whether SQL can say the name: the driver takes it as text."""
    return _name(name).encode() == name


def _name(name: bytes) -> str:
    return name.decode(errors="replace")
