"""Backups: what a store holds at one moment, in a file that is whole or not there."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from cw_store.backends.cancellation import shielded
from cw_store.backends.sqlite.file_copy import FileCheck, FileCopy, Holding
from cw_store.copying import copy_tables
from cw_store.errors import StoreError
from cw_store.inspection import VERSION_TABLE
from cw_store.location import Location
from cw_store.partial_file import BESIDE, whole_file
from cw_store.schema import metadata
from cw_store.whole_tables import Progress

logger = logging.getLogger(__name__)

LOOK_EVERY = 0.1
"""Seconds between two looks how far a file has grown."""


class TableRows(NamedTuple):
    """How many rows one table has."""

    name: str
    rows: int


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What a backup holds: the tables, the store's first, then an application's by name.

    `bytes` is the length of the file at `path`, `revision` that of the schema. `left_behind` is
    what the application has on a server besides, tables and `table.column`, which is not in it.
    """

    path: Path
    tables: tuple[TableRows, ...]
    bytes: int
    revision: str
    seconds: float
    left_behind: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows all tables have together."""
        return sum(table.rows for table in self.tables)


async def back_up(
    source: Location,
    path: Path,
    *,
    force: bool,
    on_progress: Progress | None,
    busy_timeout: float,
) -> BackupReport:
    """Do what `Store.backup` does."""
    started = time.monotonic()
    left_behind: tuple[str, ...] = ()
    if source.path is not None:
        _refuse_itself(source.path, path)
    async with whole_file(path, replaces=force) as file:
        target = file.path
        if source.path is not None:
            held = await copy_file(source.path, target, on_progress, busy_timeout)
        else:
            held, left_behind = await _copy_server(source, target, on_progress, busy_timeout)
        size = _size(target)
    seconds = time.monotonic() - started
    report = BackupReport(
        _absolute(path), table_rows(held), size, held.revision, seconds, left_behind
    )
    logger.info(
        "%s was backed up to %s: %d bytes in %.3g s",
        source,
        report.path,
        size,
        seconds,
        extra={"event": "backed_up"},
    )
    return report


async def copy_file(
    source: Path, target: Path, on_progress: Progress | None, busy_timeout: float
) -> Holding:
    """Write what a SQLite file holds into an empty one; return what both hold."""
    copy = FileCopy(source, target, busy_timeout=busy_timeout)

    def tell() -> None:
        if on_progress is not None and copy.total:
            on_progress("file", min(_size(target), copy.total), copy.total)

    with _Telling(tell, copy.stop) as telling:
        held = await shielded(asyncio.to_thread(copy.run), on_cancellation=copy.stop)
        telling.tell()
    return held


class _Telling:
    """Tells how far a thread is, on the event loop, while a block waits for it.

    What the telling raises stops the thread, and is raised at the end of the block in place of the
    error that comes of that.
    """

    def __init__(self, tell: Callable[[], None], stop: Callable[[], None]) -> None:
        self._tell = tell
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        self._timer = self._loop.call_later(LOOK_EVERY, self._look)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        failed, self._error = self._error, None
        if failed is not None and (kind is None or issubclass(kind, StoreError)):
            raise failed

    def tell(self) -> None:
        """Tell once more."""
        if self._error is None:
            self._tell()

    def _look(self) -> None:
        try:
            self._tell()
        except BaseException as error:
            self._error = error
            self._stop()
        else:
            self._timer = self._loop.call_later(LOOK_EVERY, self._look)


async def _copy_server(
    source: Location, target: Path, on_progress: Progress | None, busy_timeout: float
) -> tuple[Holding, tuple[str, ...]]:
    report = await copy_tables(
        source, Location(path=target), on_progress=on_progress, busy_timeout=busy_timeout
    )
    check = FileCheck(target, busy_timeout=busy_timeout)
    held = await shielded(asyncio.to_thread(check.run), on_cancellation=check.stop)
    for table in report.tables:
        if held.rows.get(table.name) != table.rows:
            raise StoreError(f"{table.name} was not copied: not all of its rows are in the file")
    return held, report.left_behind


def table_rows(held: Holding) -> tuple[TableRows, ...]:
    """Return how many rows each table has: the store's, in their order, then the others."""
    ours = [table.name for table in metadata.sorted_tables if table.name in held.rows]
    others = [name for name in held.rows if name not in metadata.tables and name != VERSION_TABLE]
    return tuple(TableRows(name, held.rows[name]) for name in [*ours, *others])


def _refuse_itself(source: Path, path: Path) -> None:
    with suppress(OSError):
        if os.path.samefile(source, path):
            raise StoreError(f"{str(path)!r} is the store itself; name another file")
    place, store = os.path.realpath(path), os.path.realpath(source)
    if place in {f"{store}{suffix}" for suffix in (*BESIDE, "-turns")}:
        raise StoreError(f"{str(path)!r} is a name that the store itself uses; name another file")


def _absolute(path: Path) -> Path:
    return path.absolute()


def _size(path: Path) -> int:
    """Return the bytes of the file, which is not opened for that."""
    with suppress(OSError):
        return os.stat(path).st_size
    return 0
