"""Putting a backup back."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cw_store.backends.cancellation import shielded
from cw_store.backends.sqlite.contents import look
from cw_store.backends.sqlite.errors import shown
from cw_store.backends.sqlite.file_copy import FileCheck, Holding
from cw_store.backends.sqlite.files import is_there
from cw_store.backends.sqlite.seizing import SeizedFile
from cw_store.backing_up import TableRows, copy_file, table_rows
from cw_store.copying import copy_tables
from cw_store.errors import SchemaError, StoreError
from cw_store.inspection import EMPTY, revision_of
from cw_store.location import Location, locate
from cw_store.migrations import failures_of_opening, is_current
from cw_store.partial_file import exists_error, whole_file
from cw_store.revisions import revisions
from cw_store.whole_tables import Progress

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What `restore_store` put where.

    `url` is the place, without a password, `revision` that of the schema. `kept_as` is the file
    that was there before, under its new name; None where there was none.
    """

    url: str
    tables: tuple[TableRows, ...]
    revision: str
    seconds: float
    kept_as: Path | None = None

    @property
    def rows(self) -> int:
        """How many rows all tables have together."""
        return sum(table.rows for table in self.tables)


async def restore_store(
    file: str | Path,
    url: str | Path | None = None,
    *,
    force: bool = False,
    on_progress: Progress | None = None,
    busy_timeout: float = 30.0,
) -> RestoreReport:
    """Make the store at `url` what the backup `file` holds; return what that is.

    `file` is the file of a store, as `Store.backup` writes it, and stays as it is. `url` is a path
    or a URL; None means `$CW_STORE_URL`, else `cw.db` in the working directory. The backup is
    read through and checked before anything is done, and the copy of it again before it gets its
    name. That is SQLite's quick check, which finds pages that are lost or do not belong together,
    and not a letter that has become another: only a digest of the file tells of that.

    After an error, a full disk, a cancellation or a killed process there is what was before, or all
    of the backup. A backup of an older schema is brought up to date when the store is opened.

    Onto a file: nobody may have it open, in this program or another, and nobody can open it
    meanwhile. One that is there is only replaced with `force`, and is kept beside, as
    `NAME.before-restore`, or with a number behind that if there is one already. It may be damaged;
    a log of SQLite's that lies beside it goes with it. The new file gets its owner and mode, or
    else can be read by its owner alone.

    Onto a server: into an empty database, by `copy_store`, whatever `force` says; what an
    application has in the backup besides stays there.

    Cursors of the feed from after the backup was made are a StaleCursorError from then on.
    `on_progress(what, done, total)` is called as by `Store.backup`.

    Raises StoreBusyError when somebody has the file open; SchemaError when the backup is no store,
    SchemaAheadError when it is newer than this cw_store, SchemaBehindError when it is older and
    `url` is a server; and StoreError when it is damaged, there is a file already, or the new one
    cannot be written.
    """
    started = time.monotonic()
    source, target = _backup_at(file), locate(url)
    if target.is_memory:
        raise StoreError("a store in memory ends with its object; name a file or a server")
    with failures_of_opening(source):
        await _checked(source, busy_timeout)
    if target.path is None:
        tables, revision, kept = await _onto_server(source, target, on_progress, busy_timeout)
    else:
        held, kept = await _onto_file(source, target.path, force, on_progress, busy_timeout)
        tables, revision = table_rows(held), held.revision
    seconds = time.monotonic() - started
    logger.info(
        "%s was put back at %s in %.3g s", source, target, seconds, extra={"event": "restored"}
    )
    return RestoreReport(str(target), tables, revision, seconds, kept)


def _backup_at(file: str | Path) -> Location:
    source = locate(file)
    if source.path is None:
        raise StoreError(f"a backup is a file, and not {source}")
    if not is_there(source.path):
        raise StoreError(f"there is no file {str(source.path)!r}")
    return source


async def _checked(source: Location, busy_timeout: float) -> None:
    """Raise SchemaError for what is no store's file, and StoreError for one that is damaged."""
    assert source.path is not None
    await asyncio.to_thread(_refuse_unless_a_store, source.path, busy_timeout)
    check = FileCheck(source.path, busy_timeout=busy_timeout)
    await shielded(asyncio.to_thread(check.run), on_cancellation=check.stop)


def _refuse_unless_a_store(path: Path, busy_timeout: float) -> None:
    found = look(path, timeout=busy_timeout) or EMPTY
    if revision_of(found, shown(path), revisions()) is None:
        raise SchemaError(f"{shown(path)} is no backup: it holds no store")
    is_current(found, shown(path), migrate=True)  # raises SchemaAheadError


async def _onto_server(
    source: Location, target: Location, on_progress: Progress | None, busy_timeout: float
) -> tuple[tuple[TableRows, ...], str, None]:
    report = await copy_tables(source, target, on_progress=on_progress, busy_timeout=busy_timeout)
    tables = tuple(TableRows(table.name, table.rows) for table in report.tables)
    return tables, revisions()[-1], None


async def _onto_file(
    source: Location,
    path: Path,
    force: bool,
    on_progress: Progress | None,
    busy_timeout: float,
) -> tuple[Holding, Path | None]:
    assert source.path is not None
    is_new = not _is_taken(source.path, path, force)
    async with _seized(None if is_new else path), whole_file(path, keeps=not is_new) as file:
        held = await copy_file(source.path, file.path, on_progress, busy_timeout)
    return held, file.kept_as


def _is_taken(source: Path, path: Path, force: bool) -> bool:
    """Whether a file is to be replaced; raises StoreError where it must not be."""
    if not os.path.lexists(path):
        return False
    if os.path.exists(path) and os.path.samefile(source, path):
        raise StoreError(f"{str(path)!r} is the backup itself; name the store's file")
    if not force:
        raise exists_error(path)
    _refuse_unless_writable(path)
    return is_there(path)


def _refuse_unless_writable(path: Path) -> None:
    """Say so of a file that cannot be replaced, of which SQLite says that the disk fails."""
    for place, named in ((os.path.dirname(os.path.realpath(path)), "its folder"), (path, "it")):
        if not os.access(place, os.W_OK):
            raise StoreError(f"{str(path)!r} cannot be replaced: {named} is not writable for you")


@asynccontextmanager
async def _seized(path: Path | None) -> AsyncGenerator[None]:
    """Have the file, if there is one, for oneself until the block has ended."""
    if path is None:
        yield
        return
    file = SeizedFile(path)
    try:
        await shielded(asyncio.to_thread(file.seize))
        yield
    finally:
        await shielded(asyncio.to_thread(file.release))
