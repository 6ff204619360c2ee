"""Whole tables of a store, in and out in one transaction, and the digest that two sides agree on.

What moves house stands on it: a copy, and whatever else fills an empty store.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

from sqlalchemy import Table

from cw_store.backends.cancellation import shielded
from cw_store.backends.sqlite.table_copy import SqliteBulk
from cw_store.backends.table_copy import Bulk
from cw_store.errors import StoreError
from cw_store.location import Location
from cw_store.postgres_url import Server
from cw_store.schema import changes, metadata, record_columns
from cw_store.statements.reading import Row
from cw_store.types import Json

BATCH_ROWS = 1_000
BATCH_SIZE = 2 * 1024 * 1024
"""Characters of text, or bytes, after which a batch is full although it has few rows."""

Progress = Callable[[str, int, int], object]
"""Called with what is being done, how much of it is done, and how much there is in all."""

TABLES = [table for table in metadata.sorted_tables if table is not changes]
"""What is copied. The feed of a database is its own, and tells of the copy there."""


def refuse_same(source: Location, target: Location) -> None:
    """Refuse what cannot be copied. Two names for one database get past, and find it not empty."""
    if source.is_memory or target.is_memory:
        raise StoreError("a store in memory ends with its object and cannot be copied")
    if _place(source) == _place(target):
        raise StoreError(f"source and target are the same database: {source}; name another target")


def _place(location: Location) -> object:
    server = location.server
    if server is None:
        assert location.path is not None
        return os.path.realpath(location.path)  # where resolve() would fail, on a loop of links
    hosts = tuple((host, port or 5432) for host, port in server.hosts)
    return hosts, server.database, server.settings, server.startup_options


async def refuse_unless_empty(writer: Bulk, target: Location) -> None:
    """Raise StoreError when a table of the target holds rows."""
    for table in TABLES:
        if await writer.count(table):
            raise StoreError(
                f"{target} is not empty: {table.name} holds rows; name an empty database"
            )


@asynccontextmanager
async def open_tables(
    location: Location, *, writes: bool, batch_rows: int, busy_timeout: float
) -> AsyncGenerator[Bulk]:
    """Read or write whole tables in one transaction, rolled back unless it is committed.

    The database is at this schema: `bring_up_to_date` has looked.
    """
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


async def reported(
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


class TableDigest:
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
        """Add rows; both sides add theirs in one order, by key or as they were stored."""
        async for batch in batches:
            self.add_batch(batch)

    def add_batch(self, batch: list[Row]) -> None:
        """Add the rows that come next, at least one; also in a thread."""
        try:
            encoded = self._encode([self._canonical(row) for row in batch] if self._json else batch)
        except (TypeError, ValueError) as error:
            raise StoreError(
                f"{self._table.name} cannot be copied: it holds a value that the store cannot read"
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
