"""What SQLite and the operating system refused, said in this package's own errors."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from cw_store.errors import SchemaError, StoreBusyError, StoreClosedError, StoreError


class DatabaseLockedError(StoreBusyError):
    """Another process has the write lock, or waits for it first: nothing was begun."""


def locked_error() -> DatabaseLockedError:
    """Return the error for one who has to let another process go first."""
    return DatabaseLockedError("another program holds the lock on the database file")


def closed_error() -> StoreClosedError:
    """Return the error for one who waited when the store was closed."""
    return StoreClosedError("the store was closed while this waited")


def out_of_memory(error: MemoryError) -> StoreError:
    """Return the error for work that found no memory."""
    told = StoreError("there was not enough memory; nothing of this call is stored")
    told.__cause__ = error
    return told


def is_interrupted(error: BaseException | None) -> bool:
    """Whether SQLite was interrupted at a statement."""
    while error is not None:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
            return True
        error = error.__cause__
    return False


def is_busy(error: BaseException | None) -> bool:
    """Tell whether another connection's lock is what stood in the way."""
    while error is not None:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return True
        error = error.__cause__
    return False


def reason_of(error: BaseException) -> str:
    """Say what the operating system refused, without the path, which may be long."""
    return getattr(error, "strerror", None) or str(error)


def shown(path: Path) -> str:
    """Return the file's name as it can be printed, whatever it holds."""
    return repr(path.name or str(path))


def is_in_use(path: Path) -> bool:
    """Whether somebody has the file open to write, or was killed: then its log is beside it."""
    return any(os.path.exists(f"{path}{suffix}") for suffix in ("-wal", "-journal"))


def no_database(path: Path) -> SchemaError:
    """Say that the file is something else."""
    return SchemaError(
        f"{shown(path)} is no SQLite database, or an encrypted one; nothing was changed; "
        "name another file"
    )


def unusable(path: Path, error: sqlite3.Error) -> StoreError:
    """Say why SQLite cannot use the file at all."""
    match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF:
        case sqlite3.SQLITE_NOTADB:
            return no_database(path)
        case sqlite3.SQLITE_CORRUPT:
            return StoreError(f"{shown(path)} is damaged; restore it from a backup ({error})")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY if is_in_use(path):
            return StoreError(
                f"{shown(path)} has a log beside it that was not brought into it, and this "
                "process cannot do that; open the store once as a user who may write there"
            )
        case _:
            return StoreError(f"SQLite cannot open {shown(path)}: {error}")
