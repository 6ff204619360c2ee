"""Moving house: everything of one store into another, on the same database or the other."""

from __future__ import annotations

import time
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Table

from cw_store.backends.table_copy import Bulk
from cw_store.errors import StoreError
from cw_store.location import Location, locate
from cw_store.migrations import bring_up_to_date
from cw_store.whole_tables import (
    BATCH_ROWS,
    TABLES,
    Progress,
    TableDigest,
    open_tables,
    refuse_same,
    refuse_unless_empty,
    reported,
)


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
    source, target = locate(source_url), locate(target_url)
    refuse_same(source, target)
    return await copy_tables(
        source, target, on_progress=on_progress, batch_rows=batch_rows, busy_timeout=busy_timeout
    )


async def copy_tables(
    source: Location,
    target: Location,
    *,
    on_progress: Progress | None,
    batch_rows: int = BATCH_ROWS,
    busy_timeout: float,
) -> CopyReport:
    """Do what `copy_store` does, between two places that are not the same."""
    started = time.monotonic()
    await bring_up_to_date(source, migrate=False, busy_timeout=busy_timeout)
    await bring_up_to_date(target, migrate=True, busy_timeout=busy_timeout)
    with_batches = partial(open_tables, batch_rows=batch_rows, busy_timeout=busy_timeout)
    async with (
        with_batches(source, writes=False) as reader,
        with_batches(target, writes=True) as writer,
    ):
        await refuse_unless_empty(writer, target)
        for table in TABLES:
            total = await reader.count(table)
            async with aclosing(reported(reader, table, total, on_progress)) as batches:
                await writer.write(table, batches)
        left_behind = await reader.strangers()
        tables = [await _compared(reader, writer, table) for table in TABLES]
        await writer.commit()
    return CopyReport(tuple(tables), time.monotonic() - started, tuple(left_behind))


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
    digest = TableDigest(table)
    async with aclosing(bulk.read(table, by_key=True)) as batches:
        await digest.add(batches)
    return CopiedTable(table.name, digest.rows, digest.hexadecimal())
