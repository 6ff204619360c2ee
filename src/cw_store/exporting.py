"""Exports: every row as a line of JSON, readable without any database."""

from __future__ import annotations

import asyncio
import hashlib
import io
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Protocol

from sqlalchemy import Table

from cw_store.backends.cancellation import shielded
from cw_store.backends.table_copy import Bulk
from cw_store.export_format import ExportedTable, ExportReport, RowFormat, head_line, tail_line
from cw_store.location import Location
from cw_store.partial_file import failures_of_writing, whole_file
from cw_store.revisions import revisions
from cw_store.statements.reading import Row
from cw_store.whole_tables import (
    BATCH_ROWS,
    TABLES,
    Progress,
    TableDigest,
    open_tables,
    reported,
)


class BinaryStream(Protocol):
    """What takes bytes."""

    def write(self, data: bytes, /) -> object:
        """Write them; a number that it returns is how many it took."""
        ...


class Lines:
    """Lines on their way out, counted and hashed; in threads, one call at a time."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._hash = hashlib.sha256()
        self.bytes = 0

    @property
    def sha256(self) -> str:
        """The digest of all lines so far."""
        return self._hash.hexdigest()

    def add(self, lines: bytes) -> None:
        """Write lines."""
        self._hash.update(lines)
        self.bytes += len(lines)
        self._write(lines)


async def export(
    source: Location,
    destination: str | Path | BinaryStream | io.TextIOBase,
    *,
    include_secrets: bool,
    on_progress: Progress | None,
    busy_timeout: float,
) -> ExportReport:
    """Do what `Store.export` does."""
    async with (
        _open(destination) as write,
        open_tables(
            source, writes=False, batch_rows=BATCH_ROWS, busy_timeout=busy_timeout
        ) as reader,
    ):
        return await _export(reader, Lines(write), include_secrets, on_progress)


async def _export(
    reader: Bulk, lines: Lines, include_secrets: bool, on_progress: Progress | None
) -> ExportReport:
    started = time.monotonic()
    await _in_thread(lines.add, head_line(revisions()[-1], has_secrets=include_secrets))
    tables = tuple(
        [
            await _export_table(reader, table, lines, include_secrets, on_progress)
            for table in TABLES
        ]
    )
    sha256 = lines.sha256
    await _in_thread(lines.add, tail_line(tables, sha256))
    seconds = time.monotonic() - started
    return ExportReport(tables, include_secrets, sha256, lines.bytes, seconds)


async def _export_table(
    reader: Bulk,
    table: Table,
    lines: Lines,
    include_secrets: bool,
    on_progress: Progress | None,
) -> ExportedTable:
    digest, form = TableDigest(table), RowFormat(table)

    def write(batch: list[Row]) -> None:
        rows = batch if include_secrets else form.without_secrets(batch)
        digest.add_batch(rows)
        lines.add(form.lines(rows))

    total = await reader.count(table)
    async with aclosing(reported(reader, table, total, on_progress)) as batches:
        async for batch in batches:
            await _in_thread(write, batch)
    return ExportedTable(table.name, digest.rows, digest.hexadecimal())


async def _in_thread(work: Callable[..., None], argument: object) -> None:
    """Have a thread do it to its end: what it writes to may be closed after that."""
    await shielded(asyncio.to_thread(work, argument))


@asynccontextmanager
async def _open(
    destination: str | Path | BinaryStream | io.TextIOBase,
) -> AsyncGenerator[Callable[[bytes], object]]:
    """Give what writes bytes to the destination; a file is there only once it is whole."""
    if isinstance(destination, str | Path):
        async with whole_file(Path(destination)) as file:

            def write_to_file(data: bytes) -> None:
                with failures_of_writing(file.target):
                    _write_all(file.write, data)

            yield write_to_file
    elif isinstance(destination, io.TextIOBase):
        yield lambda data: destination.write(data.decode())
    else:
        yield lambda data: _write_all(destination.write, data)


def _write_all(write: Callable[[bytes], object], data: bytes) -> None:
    """Write all of it, also to what takes a part at a time and says how much."""
    while data:
        taken = write(data)
        data = data[taken:] if isinstance(taken, int) else b""
