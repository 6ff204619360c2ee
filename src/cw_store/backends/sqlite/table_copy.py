"""Whole tables in and out of a SQLite file, for `copy_store`."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Insert, Select, Table, bindparam, func, select
from sqlalchemy.dialects.sqlite import pysqlite

from cw_store.backends.sqlite.connection import Connection
from cw_store.backends.sqlite.files import reason_not_to_write
from cw_store.backends.sqlite.opening import open_connection, open_with
from cw_store.backends.sqlite.raw_connection import GivenUp, retry_while_busy
from cw_store.backends.sqlite.statements import begin_immediate
from cw_store.backends.sqlite.unlocked import check_unchanged, connect_to_read_with_retry
from cw_store.backends.table_copy import in_order, strangers_among
from cw_store.backends.thread.worker import LoopCallbacks
from cw_store.errors import StoreError
from cw_store.schema import record_columns
from cw_store.statements.reading import Row

T = TypeVar("T")

CACHE = 16 * 1024
"""KiB of pages that the writing connection keeps, since every row goes into several indexes."""

_dialect = pysqlite.dialect(paramstyle="qmark")


class SqliteBulk:
    """One transaction on a SQLite file that reads or writes whole tables."""

    def __init__(
        self, path: Path, *, writes: bool, batch_rows: int, batch_size: int, busy_timeout: float
    ) -> None:
        self._path = path
        self._writes = writes
        self._batch_rows = batch_rows
        self._batch_size = batch_size
        self._timeout = busy_timeout
        self._connection: Connection | None = None

    async def begin(self) -> None:
        """Connect and begin."""
        given_up = threading.Event()
        self._connection = await self._connected(LoopCallbacks(asyncio.get_running_loop()))
        self._connection.busy_timeout = 0.0  # it is the work that waits, and says for what
        try:
            await self._run(partial(self._begin_in_thread, given_up))
        except BaseException:
            given_up.set()
            raise

    async def _connected(self, loop_callbacks: LoopCallbacks) -> Connection:
        if not self._writes and reason_not_to_write(self._path) is not None:
            connect = partial(connect_to_read_with_retry, self._path.resolve(), self._timeout)
            return await open_with(
                connect,
                self._path,
                loop_callbacks=loop_callbacks,
                name="reader",
                busy_timeout=self._timeout,
            )
        return await open_connection(
            self._path,
            loop_callbacks=loop_callbacks,
            read_only=not self._writes,
            synchronous="FULL",
            timeout=self._timeout,
        )

    async def count(self, table: Table) -> int:
        """Return how many rows the table has."""
        sql = _sql(select(func.count()).select_from(table))
        return await self._run(lambda raw: raw.execute(sql).fetchone()[0], table)

    async def strangers(self) -> list[str]:
        """Return what is not the store's: columns of its tables as table.column, and tables."""
        return await self._run(_strangers)

    async def read(self, table: Table, *, by_key: bool) -> AsyncGenerator[list[Row]]:
        """Give every row, in batches."""
        sql = _sql(in_order(table, select(*record_columns(table)), by_key=by_key))
        cursor = await self._run(lambda raw: raw.execute(sql), table)
        try:
            while batch := await self._run(lambda _: self._take(cursor), table):
                yield batch
        finally:
            await self._run(lambda _: cursor.close())

    async def write(self, table: Table, batches: AsyncIterator[list[Row]]) -> None:
        """Insert the rows."""
        columns = record_columns(table)
        sql = _sql(
            table.insert().values({column.name: bindparam(column.name) for column in columns})
        )
        async for batch in batches:
            await self._run(partial(_insert, sql, batch), table)

    async def commit(self) -> None:
        """Commit; done even when the caller is cancelled."""
        assert self._connection is not None
        await self._connection.run(self._commit).finished()

    async def close(self) -> None:
        """Close the connection; what was not committed is rolled back."""
        if self._connection is not None:
            await self._connection.disconnect()

    async def _run(self, work: Callable[[sqlite3.Connection], T], table: Table | None = None) -> T:
        connection = self._connection
        assert connection is not None

        def job() -> T:
            with _refusals(table):
                return work(connection.raw)

        return await connection.run(job)

    # What follows runs in the connection's thread.

    def _begin_in_thread(self, given_up: GivenUp, raw: sqlite3.Connection) -> None:
        """Begin when no other program is in the way; nobody else's work stands behind this."""
        retry_while_busy(
            partial(_begin_to_write if self._writes else _begin_to_read, raw),
            timeout=self._timeout,
            given_up=given_up,
            too_late=f"another program held the lock on {self._path.name} for {self._timeout:g} s",
        )

    def _take(self, cursor: sqlite3.Cursor) -> list[Row]:
        """Return the next rows: not too many, and not too much text unless it is a single row."""
        batch: list[Row] = []
        size = 0
        for row in cursor:
            batch.append(row)
            size += sum([len(value) for value in row if isinstance(value, str)])
            if len(batch) >= self._batch_rows or size >= self._batch_size:
                break
        assert self._connection is not None
        check_unchanged(self._connection.raw)
        return batch

    def _commit(self) -> None:
        assert self._connection is not None
        raw = self._connection.raw
        try:
            with _refusals(None):
                raw.execute("COMMIT")
        except StoreError as error:
            broken = raw.execute("PRAGMA foreign_key_check").fetchone()
            if broken is None:
                raise
            raise StoreError(
                f"{broken[0]} cannot be copied: it holds references to rows of {broken[2]} that "
                "do not exist"
            ) from error.__cause__


def _begin_to_write(raw: sqlite3.Connection) -> None:
    raw.execute(f"PRAGMA cache_size = -{CACHE}")
    begin_immediate(raw.cursor())
    # References are counted and looked at when the transaction is committed, so rows may come
    # before those that they point to. It ends with the transaction.
    raw.execute("PRAGMA defer_foreign_keys = ON")


def _begin_to_read(raw: sqlite3.Connection) -> None:
    raw.execute("BEGIN")
    try:
        raw.execute("SELECT 1 FROM sqlite_schema").fetchall()  # takes the snapshot; BEGIN does not
    except sqlite3.Error:
        raw.execute("ROLLBACK")
        raise


def _strangers(raw: sqlite3.Connection) -> list[str]:
    tables = raw.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    columns = {
        name: [row[1] for row in raw.execute("SELECT * FROM pragma_table_xinfo(?)", [name])]
        for (name,) in tables
        if not name.startswith("sqlite_")
    }
    return strangers_among(columns)


def _insert(sql: str, batch: list[Row], raw: sqlite3.Connection) -> None:
    raw.executemany(sql, batch)


def _sql(statement: Select[Any] | Insert) -> str:
    return str(statement.compile(dialect=_dialect))


@contextmanager
def _refusals(table: Table | None) -> Generator[None]:
    try:
        yield
    except sqlite3.Error as error:
        what = "the database" if table is None else table.name
        # The message of a text that is no UTF-8 holds the text.
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        raise StoreError(f"{what} cannot be copied: SQLite failed with {name}") from error
