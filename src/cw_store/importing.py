"""Imports: an export becomes a store again, all of it or nothing."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import stat
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from sqlalchemy import Table

from cw_store.backends.cancellation import shielded
from cw_store.backends.table_copy import Bulk
from cw_store.errors import SchemaError, StoreError
from cw_store.export_format import FORMAT, ExportedTable, ExportReport, RowFormat
from cw_store.location import locate
from cw_store.migrations import bring_up_to_date
from cw_store.revisions import revisions
from cw_store.statements.reading import Row
from cw_store.types import Refused
from cw_store.whole_tables import (
    BATCH_ROWS,
    BATCH_SIZE,
    TABLES,
    Progress,
    TableDigest,
    open_tables,
    refuse_unless_empty,
)

_PLACES = {table.name: place for place, table in enumerate(TABLES)}

LONGEST_LINE = 512 * 1024 * 1024
"""Bytes. The longest row has a few texts of 16 MiB, each of which JSON can make longer."""


async def import_store(
    file: str | Path,
    url: str | Path | None = None,
    *,
    dry_run: bool = False,
    on_progress: Progress | None = None,
    busy_timeout: float = 30.0,
) -> ExportReport:
    """Fill the empty store at `url` with the export in `file`; return what that holds.

    `file` is one that `Store.export` wrote, at this schema. `url` is a SQLite file or a PostgreSQL
    database, which is created or brought up to date, and must hold no rows; None means
    `$CW_STORE_URL`, else `cw.db` in the working directory. Every row is as it was, in the same
    order, with the same times and ids. What an export leaves out is not there: the feed of changes
    begins anew; and where secrets were left out, all accounts are there without credentials and
    `config_json`, which have to be set again before they are of use. Encrypted text needs the keys
    it was encrypted with.

    The whole file is read before anything is written: one that was cut short or changed is refused,
    and the target neither created nor touched. Then all of it is written in one transaction, which
    is committed after the row count and digest of every table were found to be those of the
    export. Whatever breaks it before that leaves the target empty. `dry_run=True` reads the file,
    every row of it, and writes nothing.

    `on_progress(table, done, total)` is called for each batch; what it raises breaks the import.

    Raises SchemaError when the export is of another schema, StoreBusyError when the lock was not
    to be had in `busy_timeout` seconds, else StoreError, which names the line.
    """
    started = time.monotonic()
    target = locate(url)
    if target.is_memory:
        raise StoreError("a store in memory ends with its object; name a file or a server")
    async with _export_at(Path(file)) as export:
        held = await _in_thread(export.read_frame)
        if dry_run:
            await _read_through(export, held, on_progress)
        else:
            await bring_up_to_date(target, migrate=True, busy_timeout=busy_timeout)
            async with open_tables(
                target, writes=True, batch_rows=BATCH_ROWS, busy_timeout=busy_timeout
            ) as writer:
                await refuse_unless_empty(writer, target)
                await _write(writer, export, held, on_progress)
                await writer.commit()
    return ExportReport(
        held.tables, held.has_secrets, held.sha256, held.bytes, time.monotonic() - started
    )


class Held(NamedTuple):
    """What an export's first and last line say that it holds."""

    tables: tuple[ExportedTable, ...]
    has_secrets: bool
    sha256: str
    bytes: int


class Export:
    """An export that is being read; in threads, one call at a time."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._number = 0
        self._next: dict[str, Any] = {}
        self._place = 0

    def read_frame(self) -> Held:
        """Read the first and the last line, and see that nothing between was changed or cut off.

        Raises StoreError where that is not so.
        """
        head = self._line()
        has_secrets = self._check_head(head)
        digest, size, last = hashlib.sha256(head), len(head), self._line()
        while line := self._line():
            digest.update(last)
            size += len(last)
            last = line
        tables = self._tables(self._parsed(last), digest.hexdigest())
        self._file.seek(0)
        self._number = 0
        self._line()
        self._advance()
        return Held(tables, has_secrets, digest.hexdigest(), size + len(last))

    def take(self, form: RowFormat) -> list[Row]:
        """Return the next rows of a table, none when they are all read; raises StoreError."""
        batch: list[Row] = []
        beginning = self._file.tell()
        while self._next.get("table") == form.table:
            with self._refusals():
                batch.append(form.row(self._next.get("row")))
            self._advance()
            if len(batch) >= BATCH_ROWS or self._file.tell() - beginning >= BATCH_SIZE:
                break
        return batch

    def check_end(self) -> None:
        """Raise StoreError unless the last line has come."""
        if "sha256" not in self._next or self._line():
            raise self._error("is not where it belongs: it comes before the last one")

    def _advance(self) -> None:
        self._next = self._parsed(self._line())
        if "sha256" in self._next:
            return
        table = self._next.get("table")
        place = _PLACES.get(table, -1) if isinstance(table, str) else -1
        if place < self._place:
            raise self._error("is not where it belongs: tables come in one order")
        self._place = place

    def _line(self) -> bytes:
        self._number += 1
        line = self._file.readline(LONGEST_LINE)
        if line and not line.endswith(b"\n"):
            raise self._error("is cut off: the export is not whole")
        return line

    def _parsed(self, line: bytes) -> dict[str, Any]:
        try:
            value = json.loads(line, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise self._error("is no line of an export")
        return cast(dict[str, Any], value)

    def _check_head(self, line: bytes) -> bool:
        """Return whether secrets are in it; raises StoreError where it cannot be read here."""
        try:
            head = self._parsed(line)
        except StoreError:
            head = {}
        if "format" not in head or "schema" not in head:
            raise StoreError(f"{self._name} is no export of a store")
        if head["format"] != FORMAT:
            raise StoreError(
                f"{self._name} is an export in format {head['format']!r}, which this cw_store does "
                f"not read; it reads format {FORMAT}"
            )
        if head["schema"] != revisions()[-1]:
            raise SchemaError(
                f"{self._name} was exported at schema {head['schema']!r}, and this cw_store is at "
                f"{revisions()[-1]}; import it with the cw_store that it came from, and open that "
                "store with this one"
            )
        return head.get("secrets") is True

    def _tables(self, tail: dict[str, Any], sha256: str) -> tuple[ExportedTable, ...]:
        if "sha256" not in tail:
            raise self._error("ends the file, and is not the last of an export: it was cut short")
        if tail["sha256"] != sha256:
            raise StoreError(
                f"{self._name} was changed since it was exported: its digest is another one"
            )
        try:
            return tuple(
                ExportedTable(
                    table.name,
                    int(tail["tables"][table.name]["rows"]),
                    str(tail["tables"][table.name]["digest"]),
                )
                for table in TABLES
            )
        except (KeyError, TypeError, ValueError) as error:
            raise self._error("does not say how many rows each table has") from error

    @contextmanager
    def _refusals(self) -> Generator[None]:
        try:
            yield
        except Refused as refused:
            raise self._error(str(refused)) from None

    def _error(self, reason: str) -> StoreError:
        return StoreError(f"line {self._number} of {self._name} {reason}")


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


async def _write(writer: Bulk, export: Export, held: Held, on_progress: Progress | None) -> None:
    for table, expected in zip(TABLES, held.tables, strict=True):
        async with aclosing(_batches(export, table, expected.rows, on_progress)) as batches:
            await writer.write(table, batches)
    export.check_end()
    for table, expected in zip(TABLES, held.tables, strict=True):
        digest = TableDigest(table)
        async with aclosing(writer.read(table, by_key=False)) as batches:
            await digest.add(batches)
        _compare(expected, digest)


async def _read_through(export: Export, held: Held, on_progress: Progress | None) -> None:
    digests = [TableDigest(table) for table in TABLES]
    for table, expected, digest in zip(TABLES, held.tables, digests, strict=True):
        async with aclosing(_batches(export, table, expected.rows, on_progress)) as batches:
            await digest.add(batches)
    export.check_end()
    for expected, digest in zip(held.tables, digests, strict=True):
        _compare(expected, digest)


def _compare(expected: ExportedTable, digest: TableDigest) -> None:
    if digest.rows != expected.rows:
        raise StoreError(
            f"{expected.name} was not imported: the export says {expected.rows} rows, and there "
            f"are {digest.rows}"
        )
    if digest.hexadecimal() != expected.digest:
        raise StoreError(f"{expected.name} was not imported: its rows are not the export's")


async def _batches(
    export: Export, table: Table, total: int, on_progress: Progress | None
) -> AsyncGenerator[list[Row]]:
    form, done = RowFormat(table), 0
    if on_progress is not None:
        on_progress(table.name, done, total)
    while batch := await _in_thread(export.take, form):
        yield batch
        done += len(batch)
        if on_progress is not None:
            on_progress(table.name, done, total)


async def _in_thread(work: Callable[..., Any], *arguments: object) -> Any:
    """Have a thread do it to its end: the file is closed after that."""
    return await shielded(asyncio.to_thread(work, *arguments))


@asynccontextmanager
async def _export_at(path: Path) -> AsyncGenerator[Export]:
    opened: list[BinaryIO] = []  # what is opened for one who is cancelled meanwhile is closed too
    try:
        await _in_thread(_open, path, opened)
        yield Export(opened[0], repr(path.name))
    finally:
        for file in opened:
            await _in_thread(file.close)


def _open(path: Path, opened: list[BinaryIO]) -> None:
    try:
        # NONBLOCK, should it be a fifo that nobody writes to.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(f"{str(path)!r} cannot be read: {reason}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StoreError(f"{str(path)!r} is no file; an export is read twice")
    opened.append(os.fdopen(descriptor, "rb"))
