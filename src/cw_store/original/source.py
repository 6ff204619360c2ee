"""The source of an import: looked at, refused if it is anything else, and read."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from cw_store.backends.cancellation import shielded
from cw_store.backends.sqlite.foreign_file import (
    ForeignContents,
    ForeignFile,
    ForeignTable,
    regular_file,
)
from cw_store.errors import SchemaError, StoreError
from cw_store.original.findings import Draft, Findings
from cw_store.original.report import OriginalMigrations
from cw_store.original.shape import (
    IMPORTED,
    MIGRATIONS,
    SourceTable,
    SourceValue,
    find_table,
    is_original,
    is_store,
    matched,
)
from cw_store.original.times import microseconds
from cw_store.types import timestamp_of
from cw_store.whole_tables import BATCH_ROWS, BATCH_SIZE

PIECE = 1 << 20


class Fingerprint(NamedTuple):
    """The SHA-256, in hexadecimal, of the file and of its -wal, None where that is empty."""

    file: str
    log: str | None


class Source:
    """The original's database at one moment."""

    def __init__(self, file: ForeignFile, contents: ForeignContents) -> None:
        self._file = file
        self._contents = contents
        self._stored: Mapping[str, ForeignTable] = {
            table.name: stored
            for table in IMPORTED
            if isinstance(stored := find_table(table, contents.tables), ForeignTable)
        }
        self.tables: Mapping[str, SourceTable] = {
            table.name: matched(table, self._stored.get(table.name)) for table in IMPORTED
        }

    async def count(self, table: str) -> int:
        """Return how many rows it has of a table of the store's."""
        stored = self._stored.get(table)
        return 0 if stored is None else await self._file.count(stored)

    async def read(self, table: str) -> AsyncGenerator[list[Draft]]:
        """Give the rows of a table of the store's, in the order of storing."""
        stored = self._stored.get(table)
        if stored is None:
            return
        source = self.tables[table]
        counted = 0
        async with aclosing(self._rows(stored)) as batches:
            async for batch in batches:
                yield [
                    Draft(source, number if isinstance(number, int) else counted + place, values)
                    for place, (number, *rest) in enumerate(batch)
                    for values in [tuple(rest)]
                ]
                counted += len(batch)

    def _rows(self, stored: ForeignTable) -> AsyncGenerator[list[tuple[SourceValue, ...]]]:
        return self._file.read(stored, batch_rows=BATCH_ROWS, batch_size=BATCH_SIZE)

    async def repeated_ids(self, table: str) -> set[bytes]:
        """Return the ids that a table has more than once, be it once as text and once as a blob."""
        stored = self._stored.get(table)
        place = self.tables[table].places.get("id")
        if stored is None or place is None:
            return set()
        column = stored.columns[place]
        if stored.key == (column,) and not await self._file.has_blobs(stored, column):
            return set()
        found = await self._file.repeated(stored, column)
        return {value for value in found if isinstance(value, bytes)}

    async def migrations(self) -> OriginalMigrations | None:
        """Return what it says of its migrations, None if it says nothing."""
        stored = next((each for each in self._contents.tables if each.name == MIGRATIONS), None)
        if stored is None:
            return None
        times: list[int] = []
        place = stored.columns.index("created_at") + 1 if "created_at" in stored.columns else 0
        async for batch in self._rows(stored):
            times += [time for row in batch if (time := microseconds(row[place])) is not None]
        newest = timestamp_of(max(times)) if times and place else None
        return OriginalMigrations(await self._file.count(stored), newest)

    async def tell_of_strangers(self, findings: Findings) -> None:
        """Say what is missing, once for each, and name what the store has no place for."""
        for name, source in self.tables.items():
            stored = self._stored.get(name)
            if stored is None:
                findings.note("missing_table", "the source has no such table", table=name)
                continue
            rows = await self._file.count(stored)
            for column in source.missing:
                reason = "the source has no such column; its rows have the default"
                findings.note("missing_column", reason, table=name, column=column, count=rows)
            for column in source.unknown:
                if values := await self._file.count(stored, column):
                    reason = "the store has no such column; its values stay behind"
                    findings.note("unknown_column", reason, table=name, column=column, count=values)
        await self._tell_of_others(findings)

    async def _tell_of_others(self, findings: Findings) -> None:
        known = {stored.name for stored in self._stored.values()} | {MIGRATIONS}
        for stored in self._contents.tables:
            if stored.name not in known:
                rows = await self._file.count(stored)
                reason = "the store has no such table; its rows stay behind"
                findings.note("unknown_table", reason, table=stored.name, count=rows)
        for code, names, kind in (
            ("view", self._contents.views, "a view of the source's"),
            ("trigger", self._contents.triggers, "a trigger of the source's"),
            ("unknown_table", self._contents.others, "a table that only its program can read"),
        ):
            for name in names:
                findings.note(code, f"{kind}; it stays behind", table=name)


@asynccontextmanager
async def open_source(path: Path, *, busy_timeout: float) -> AsyncGenerator[Source]:
    """Open the original's database for reading, and only that.

    Raises SchemaError for anything else, StoreError for a damaged one.
    """
    file = await ForeignFile.open(path, busy_timeout=busy_timeout)
    try:
        contents = await file.contents()
        _refuse_others(path, contents)
        await file.check()
        yield Source(file, contents)
    finally:
        await file.close()


def _refuse_others(path: Path, contents: ForeignContents) -> None:
    name = repr(path.name)
    if is_store(contents.tables):
        raise SchemaError(
            f"{name} is a store of cw_store already; nothing was changed; copy_store copies one"
        )
    if not is_original(contents.tables):
        raise SchemaError(
            f"{name} is not the database of the TypeScript program: it lacks its tables "
            "initiatives, phases, tasks and agents, or their columns; nothing was changed"
        )


async def fingerprint(path: Path) -> Fingerprint:
    """Read the file and its -wal as files.

    Before either is opened as a database: to close a descriptor drops all the locks that the
    process has on the file ("How To Corrupt An SQLite Database File", on POSIX advisory locks).
    """
    given_up = threading.Event()
    work = asyncio.to_thread(_fingerprint, regular_file(path), given_up)
    return await shielded(work, on_cancellation=given_up.set)


def _fingerprint(path: Path, given_up: threading.Event) -> Fingerprint:
    digest = _digest(path, given_up)
    if digest is None:
        raise StoreError(f"cannot read {path.name!r}: it is empty")
    return Fingerprint(digest, _digest(Path(f"{path}-wal"), given_up))


def _digest(path: Path, given_up: threading.Event) -> str | None:
    """Return the SHA-256 of a file, None for none or an empty one."""
    digest = hashlib.sha256()
    size = 0
    try:
        with path.open("rb") as file:
            while not given_up.is_set() and (piece := file.read(PIECE)):
                digest.update(piece)
                size += len(piece)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {path.name!r}: {error.strerror}") from error
    return digest.hexdigest() if size else None
