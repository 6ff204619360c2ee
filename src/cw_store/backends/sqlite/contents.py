"""What a SQLite file holds, found out before anything is changed in it."""

from __future__ import annotations

import os
import sqlite3
from functools import partial
from pathlib import Path

from cw_store.backends.sqlite.errors import is_busy, is_in_use, no_database, unusable
from cw_store.backends.sqlite.files import is_there, reason_not_to_write
from cw_store.backends.sqlite.raw_connection import (
    SHORT_BUSY_TIMEOUT,
    GivenUp,
    retry_while_busy,
    uri_of,
)
from cw_store.backends.sqlite.unlocked import connect_to_read
from cw_store.errors import StoreError
from cw_store.inspection import EMPTY, ORIGINALS_COLUMNS, READ_VERSIONS, VERSION_TABLE, Contents


def look(path: Path, *, timeout: float, given_up: GivenUp | None = None) -> Contents | None:
    """Return what the file holds, None where there is none; changes nothing.

    Blocks; for a thread. Raises SchemaError for what is no SQLite database, StoreBusyError after
    `timeout` seconds of somebody else's lock, else StoreError.
    """
    if not is_there(path):
        return None
    real = Path(os.path.realpath(path))  # SQLite keeps its log beside the file itself
    return retry_while_busy(
        partial(_look, real),
        timeout=timeout,
        given_up=given_up,
        too_late=f"another program kept {path.name} locked for {timeout:g} s",
    )


def _look(path: Path) -> Contents:
    size = os.stat(path).st_size
    if size == 0 and not is_in_use(path):  # where SQLite may not even look
        return EMPTY
    if size == 1:  # which SQLite takes for an empty database, and would write over
        raise no_database(path)
    try:
        raw = connect_to_read(path, SHORT_BUSY_TIMEOUT)
    except StoreError:
        if not _finish_own_write(path):
            raise
        raw = connect_to_read(path, SHORT_BUSY_TIMEOUT)
    try:
        return contents_of(raw)
    except sqlite3.Error as error:
        if is_busy(error):
            raise
        raise unusable(path, error) from error
    finally:
        raw.close()


def _finish_own_write(path: Path) -> bool:
    """Roll back what somebody was killed over without the write-ahead log, in a store.

    Another program's database is left to that program: to roll back is to write to it.
    """
    if not os.path.exists(f"{path}-journal") or reason_not_to_write(path) is not None:
        return False
    raw = sqlite3.connect(uri_of(path, "ro&immutable=1"), uri=True)
    try:
        raw.execute("PRAGMA writable_schema = ON")  # so that half a write is no reason to stop
        is_store = VERSION_TABLE in contents_of(raw).relations
    except sqlite3.Error:
        return False
    finally:
        raw.close()
    if is_store:
        raw = sqlite3.connect(uri_of(path, "rw"), uri=True)
        try:
            raw.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
        finally:
            raw.close()
    return is_store


def contents_of(raw: sqlite3.Connection) -> Contents:
    """Return what the database holds."""
    cursor = raw.cursor()
    # A name that is not UTF-8 is nobody's of ours.
    names = cursor.execute(
        "SELECT CAST(lower(name) AS BLOB), type FROM sqlite_schema WHERE type != 'trigger'"
    ).fetchall()
    relations = {name.decode(errors="replace"): kind for name, kind in names}
    if VERSION_TABLE in relations:
        return Contents(relations, _versions(cursor))
    columns = {table: _columns(cursor, table) for table in ORIGINALS_COLUMNS if table in relations}
    return Contents(relations, None, columns)


def _versions(cursor: sqlite3.Cursor) -> list[object] | None:
    if _columns(cursor, VERSION_TABLE) != ["version_num"]:
        return None
    return [version for (version,) in cursor.execute(READ_VERSIONS).fetchall()]


def _columns(cursor: sqlite3.Cursor, table: str) -> list[str]:
    try:
        found = cursor.execute("SELECT name FROM pragma_table_info(?)", [table]).fetchall()
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
            return []  # made by a module that only its own program has
        raise
    return [name for (name,) in found]
