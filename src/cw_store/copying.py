"""Moving house: everything of one store into another, on the same database or the other."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Table

from cw_store.backends.cancellation import shielded
from cw_store.backends.sqlite.table_copy import SqliteBulk
from cw_store.backends.table_copy import Bulk
from cw_store.errors import StoreError
from cw_store.location import Location, locate
from cw_store.migrations import bring_up_to_date
from cw_store.postgres_url import Server
from cw_store.schema import changes, metadata, record_columns
from cw_store.statements.reading import Row
from cw_store.types import Json

BATCH_ROWS = 1_000
BATCH_SIZE = 2 * 1024 * 1024
"""Characters of text, or bytes, after which a batch is full although it has few rows."""

Progress = Callable[[str, int, int], object]


class CopiedTable(NamedTuple):
    """One table of a copy: how many rows it has, and the digest that both stores agree on.

    The digest is the SHA-256, in hexadecimal, of the table as a JSON array of its rows in the
    order of their primary keys' bytes; each row is an array of its values as they are stored.
    """

    name: str
    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class CopyReport:
    """What `copy_store` did: every table, parents before children, and how long it took.

    `left_behind` is what the application has in the source besides, and has to copy itself: tables
    of its own, and columns of its own on the store's tables as `table.column`; in order of name.
    """

    tables: tuple[CopiedTable, ...]
    seconds: float
    left_behind: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows all tables have together."""
        return sum(table.rows for table in self.tables)


_TABLES = [table for table in metadata.sorted_tables if table is not changes]
"""What is copied. The feed of a database is its own, and tells of the copy there."""


async def copy_store(
    source_url: str | Path,
    target_url: str | Path,
    *,
    on_progress: Progress | None = None,
    batch_rows: int = BATCH_ROWS,
    busy_timeout: float = 30.0,
) -> CopyReport:
    """Copy every table of the store at `source_url` into the empty one at `target_url`.

    Either may be a SQLite file or a PostgreSQL database. The source is read as it is at one
    moment, and may be written to meanwhile. The target is brought up to date, or created. Rows
    are copied as they are stored: times, JSON and encrypted text do not change, and no keys are
    needed. They are stored in the order in which they were, so every list is as before. What an
    application added, tables of its own and columns on the store's, is not copied; the report
    names it.

    Everything is written in one transaction, which is committed after row count and digest of
    every table were found equal on both sides. Whatever breaks the copy before that, be it an
    error, a cancellation or a killed process, leaves the target empty, and the copy can be
    started again.

    `on_progress(table, done, total)` is called for each batch with the rows copied so far; what
    it raises breaks the copy. `batch_rows` is the most rows held in memory at a time; a batch
    with long texts has fewer. `busy_timeout` is how many seconds to wait for a lock.

    Raises StoreError when the target holds rows, when source and target are the same, or when
    a table cannot be copied or differs afterwards; SchemaBehindError or SchemaAheadError when
    the source is not at the schema of this cw_store, StoreBusyError when a lock was not to be
    had in time.
    """
    if batch_rows < 1:
        raise ValueError("batch_rows is at least 1")
    started = time.monotonic()
    source, target = locate(source_url), locate(target_url)
    _refuse_same(source, target)
    await bring_up_to_date(source, migrate=False, busy_timeout=busy_timeout)
    await bring_up_to_date(target, migrate=True, busy_timeout=busy_timeout)
    opened = partial(_opened, batch_rows=batch_rows, busy_timeout=busy_timeout)
    async with opened(source, writes=False) as reader, opened(target, writes=True) as writer:
        for table in _TABLES:
            if await writer.count(table):
                raise StoreError(
                    f"{target} is not empty: {table.name} holds rows; copy into a new database"
                )
        for table in _TABLES:
            total = await reader.count(table)
            async with aclosing(_reported(reader, table, total, on_progress)) as batches:
                await writer.write(table, batches)
        left_behind = await reader.strangers()
        tables = [await _compared(reader, writer, table) for table in _TABLES]
        await writer.commit()
    return CopyReport(tuple(tables), time.monotonic() - started, tuple(left_behind))


def _refuse_same(source: Location, target: Location) -> None:
    """Refuse what cannot be copied. Two names for one database get past, and find it not empty."""
    if source.is_memory or target.is_memory:
        raise StoreError("a store in memory ends with its object and cannot be copied")
    if _place(source) == _place(target):
        raise StoreError(f"source and target are the same database: {source}")


def _place(location: Location) -> object:
    server = location.server
    if server is None:
        assert location.path is not None
        return location.path.resolve()
    hosts = tuple((host, port or 5432) for host, port in server.hosts)
    return hosts, server.database, server.settings, server.startup_options


@asynccontextmanager
async def _opened(
    location: Location, *, writes: bool, batch_rows: int, busy_timeout: float
) -> AsyncGenerator[Bulk]:
    settings: dict[str, Any] = {
        "writes": writes,
        "batch_rows": batch_rows,
        "batch_size": BATCH_SIZE,
        "busy_timeout": busy_timeout,
    }
    bulk: Bulk
    if location.path is not None:
        bulk = SqliteBulk(location.path, **settings)
    else:
        assert location.server is not None
        bulk = _postgres_bulk(location.server, settings)
    try:
        await bulk.begin()
        yield bulk
    finally:
        await shielded(bulk.close())


def _postgres_bulk(server: Server, settings: dict[str, Any]) -> Bulk:
    # bring_up_to_date has imported the driver, which is an extra, or failed for the lack of it.
    from cw_store.backends.postgres.table_copy import PostgresBulk

    return PostgresBulk(server, **settings)


async def _reported(
    reader: Bulk, table: Table, total: int, on_progress: Progress | None
) -> AsyncGenerator[list[Row]]:
    """Give the source's batches and report each when the target has taken it."""
    report = on_progress or _nothing
    done = 0
    report(table.name, done, total)
    async with aclosing(reader.read(table, by_key=False)) as batches:
        async for batch in batches:
            yield batch
            done += len(batch)
            report(table.name, done, total)


def _nothing(table: str, done: int, total: int) -> None:
    pass


async def _compared(reader: Bulk, writer: Bulk, table: Table) -> CopiedTable:
    """Return what the table is on both sides; raises StoreError when that differs."""
    original = await _summary(reader, table)
    copy = await _summary(writer, table)
    if copy.rows != original.rows:
        raise StoreError(
            f"{table.name} was not copied: {original.rows} rows in the source and {copy.rows} in "
            "the target"
        )
    if copy != original:
        raise StoreError(f"{table.name} was not copied: its rows differ from the source's")
    return copy


async def _summary(bulk: Bulk, table: Table) -> CopiedTable:
    digest = _Digest(table)
    async with aclosing(bulk.read(table, by_key=True)) as batches:
        await digest.add(batches)
    return CopiedTable(table.name, digest.rows, digest.hexadecimal())


class _Digest:
    """SHA-256 of a table's rows as one JSON array, whoever stores them."""

    def __init__(self, table: Table) -> None:
        self.rows = 0
        self._table = table
        self._json = [
            index
            for index, column in enumerate(record_columns(table))
            if isinstance(column.type, Json)
        ]
        self._hash = hashlib.sha256(b"[")
        self._encode = json.JSONEncoder(
            ensure_ascii=False, sort_keys=True, separators=(",", ":")
        ).encode

    async def add(self, batches: AsyncIterator[list[Row]]) -> None:
        """Add rows, which come in the order of their primary keys."""
        async for batch in batches:
            try:
                encoded = self._encode(
                    [self._canonical(row) for row in batch] if self._json else batch
                )
            except (TypeError, ValueError) as error:
                raise StoreError(
                    f"{self._table.name} cannot be copied: it holds a value that the store "
                    "cannot read"
                ) from error
            if self.rows:
                self._hash.update(b",")
            self._hash.update(encoded[1:-1].encode())
            self.rows += len(batch)

    def hexadecimal(self) -> str:
        """Return the digest of the rows so far."""
        final = self._hash.copy()
        final.update(b"]")
        return final.hexdigest()

    def _canonical(self, row: Row) -> list[Any]:
        values = list(row)
        for index in self._json:
            if values[index] is not None:
                values[index] = json.loads(values[index], parse_int=_integer, parse_float=_number)
        return values


def _integer(digits: str) -> int | float:
    number = int(digits)
    return number if -(1 << 63) <= number < 1 << 63 else _number(digits)


def _number(digits: str) -> int | float:
    """Make 1.0, 1e0 and 1 the same; jsonb keeps numbers as decimals and has no negative zero."""
    number = float(digits)
    return int(number) if number.is_integer() else number
