"""Reading a SQLite file without leaving anything beside it.

SQLite makes a -wal and a -shm for whoever reads a file in its write-ahead mode, who may not even be
able to remove them again. So a file that nobody is using is read as one that does not change
("immutable" in SQLite's documentation of URI filenames), or, where a killed program left a log and
no -shm, with the log's index in memory ("Use of WAL Without Shared-Memory"). Neither takes a lock,
so whether anything changed meanwhile is looked at afterwards.
"""

from __future__ import annotations

import os
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from cw_store.backends.sqlite.errors import is_busy, shown, unusable
from cw_store.backends.sqlite.raw_connection import (
    GivenUp,
    RawConnection,
    apply_settings,
    refuse_inherited,
    retry_while_busy,
    uri_of,
)
from cw_store.errors import StoreBusyError


class State(NamedTuple):
    """What changes with a file: which one it is, its length, and when it was written to."""

    device: int
    inode: int
    size: int
    written: int


def state_of(path: str | Path) -> State | None:
    """Return what is so of the file at this moment, None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return State(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


class UnusedFile:
    """A database that nobody is using, and whether that is still so.

    SQLite takes no lock on it, so what was read is worth something only if nothing was written
    meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = f"{path}-wal"
        self.index = f"{path}-shm"
        self._state = state_of(path)
        self._log_state = state_of(self.log)

    @property
    def has_log(self) -> bool:
        """Whether a killed program left a log that belongs to what is stored.

        One that was cut to nothing holds nothing, and SQLite would remove it when it is closed.
        """
        return self._log_state is not None and self._log_state.size > 0

    def is_current(self) -> bool:
        """Whether all is as it was, and nobody has begun to use it."""
        return (
            state_of(self.path) == self._state
            and state_of(self.log) == self._log_state
            and not os.path.exists(self.index)
            and not os.path.exists(f"{self.path}-journal")
        )

    def check(self) -> None:
        """Raise StoreBusyError if what was read just now may be of two states.

        A log that somebody begins is in nobody's way who does not read it.
        """
        if state_of(self.path) != self._state or (
            self.has_log and state_of(self.log) != self._log_state
        ):
            raise StoreBusyError(
                f"another program wrote to {shown(self.path)} while it was read; read it again"
            )


def unused(path: Path) -> UnusedFile | None:
    """Return the file as one that nobody uses, or None: who writes has an index or a journal."""
    if os.path.exists(f"{path}-shm") or os.path.exists(f"{path}-journal"):
        return None
    return UnusedFile(path)


class UnlockedConnection(RawConnection):
    """A connection to a file that nobody uses; each fetch checks that the file has not changed."""

    file: UnusedFile

    def cursor(self, *args: Any, **settings: Any) -> sqlite3.Cursor:
        """Return a cursor that checks."""
        return super().cursor(_CheckingCursor)

    def close(self) -> None:
        """Close, unless that could take locks from somebody in this process.

        To close any descriptor of a file drops all locks that the process has on it ("How To
        Corrupt An SQLite Database File", on POSIX advisory locks). SQLite sees to that, but not
        where it was told to lock nothing.
        """
        if self.file.has_log and os.path.exists(self.file.index):
            _never_closed.append(self)
        else:
            super().close()


_never_closed: list[sqlite3.Connection] = []


def check_unchanged(raw: sqlite3.Connection) -> None:
    """Raise StoreBusyError if what was read just now without a lock may be of two states."""
    if isinstance(raw, UnlockedConnection):
        raw.file.check()


class _CheckingCursor(sqlite3.Cursor):
    def fetchall(self) -> list[Any]:
        found = super().fetchall()
        check_unchanged(self.connection)
        return found

    def fetchmany(self, size: int | None = None) -> list[Any]:
        found = super().fetchmany(self.arraysize if size is None else size)
        check_unchanged(self.connection)
        return found

    def fetchone(self) -> Any:
        found = super().fetchone()
        check_unchanged(self.connection)
        return found


def connect_to_read(path: Path, timeout: float) -> sqlite3.Connection:
    """Open a connection that needs no right to write, and makes no file where nobody writes.

    `path` is the file itself and no link. Raises StoreError when the file was left by a killed
    process, and SQLite may not make what it needs to read it; what is busy is sqlite3's own error.
    """
    refuse_inherited(path)
    file = unused(path)
    mode = "ro" if file is None else "ro&vfs=unix-none" if file.has_log else "ro&immutable=1"
    raw = sqlite3.connect(
        uri_of(path, mode),
        uri=True,
        timeout=timeout,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=512,
        factory=RawConnection if file is None else UnlockedConnection,
    )
    try:
        if isinstance(raw, UnlockedConnection) and file is not None:
            raw.file = file
            raw.execute("PRAGMA locking_mode = EXCLUSIVE")  # the log's index is kept in memory
        apply_settings(raw)
        raw.execute("PRAGMA query_only = ON")
        raw.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
        if file is not None and not file.is_current():
            raise StoreBusyError(f"another program is opening {shown(path)}")
    except sqlite3.Error as error:
        raw.close()
        if is_busy(error):
            raise
        raise unusable(path, error) from error
    except BaseException:
        raw.close()
        raise
    return raw


def connect_to_read_with_retry(
    path: Path, timeout: float, given_up: GivenUp | None = None
) -> sqlite3.Connection:
    """Do what `connect_to_read` does, and wait out another process that opens or closes the file.

    Blocks; for a thread. Raises StoreBusyError after `timeout` seconds, or once `given_up`.
    """
    return retry_while_busy(
        partial(connect_to_read, path, timeout),
        timeout=timeout,
        given_up=given_up,
        too_late=f"another program kept {path.name} locked for {timeout:g} s",
    )
