"""The driver's connection to a SQLite file: how one is opened, and with which settings.

Everything here blocks, and runs in a connection's thread or while a file is looked at.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from cw_store.backends.sqlite.errors import is_busy, reason_of, unusable
from cw_store.errors import StoreBusyError, StoreClosedError, StoreError

T = TypeVar("T")

SHORT_BUSY_TIMEOUT = 0.005
"""Seconds that SQLite itself waits for the write lock.

It waits inside the connection's thread, where no timeout or cancellation reaches it and
others stand behind, so longer waiting is done on the event loop.
"""

BUSY_PAUSE = 0.002
"""Seconds between two looks at a lock that another process holds."""

WAL_LIMIT = 16 * 1024 * 1024
"""Bytes to which SQLite cuts the -wal file back when it begins it anew.

What is left is written over, which costs a commit a few microseconds less than a longer file.
"""

CACHE_KIBIBYTES = 4096
"""Most that each connection keeps of the database's pages; twice what SQLite does by itself.

A call that finds rows by id reads two pages for each that the others do not share, so in a table
of a million a few hundred rows, asked for again and again, would push each other out.
"""


class RawConnection(sqlite3.Connection):
    """The driver's connection, which tells what runs in several steps that nobody wants it."""

    is_unwanted = False


class GivenUp(Protocol):
    """What tells a thread that nobody waits for it any more: a `threading.Event`, say."""

    def is_set(self) -> bool:
        """Whether nobody does."""
        ...


def create_private_file(path: Path) -> None:
    """Create the file so that only its owner can read it, unless it exists.

    SQLite gives -wal and -shm the permissions of the database file (its documentation,
    "Temporary Files", and the source comment on findCreateFileMode). An existing file is
    not opened here: closing it would drop the locks that SQLite holds on it in this
    process ("How To Corrupt An SQLite Database File", on POSIX advisory locks).
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        pass
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot create the database file: {reason_of(error)}") from error


def uri_of(path: Path, mode: str) -> str:
    """Return what SQLite opens the file by, in this mode, and never creates it."""
    return f"{path.as_uri()}?mode={mode}"


def connect(path: Path, *, read_only: bool, synchronous: str) -> sqlite3.Connection:
    """Open one connection with the settings that every connection of a store has."""
    refuse_inherited(path)
    raw = sqlite3.connect(
        uri_of(path, "rw"),  # whoever may create it has done so, for its owner alone
        uri=True,
        timeout=SHORT_BUSY_TIMEOUT,
        factory=RawConnection,
        isolation_level=None,  # BEGIN is ours: sqlite3's own way loses DDL and savepoints
        check_same_thread=False,
        cached_statements=512,
    )
    try:
        apply_settings(raw)
        raw.execute(f"PRAGMA synchronous = {'FULL' if synchronous == 'FULL' else 'NORMAL'}")
        raw.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
        if read_only:
            raw.execute("PRAGMA query_only = ON")
        else:
            # What is deleted shall be gone. Some builds of SQLite do so by themselves; in others
            # it costs a seventh of the time that it takes to delete many rows, and little else.
            raw.execute("PRAGMA secure_delete = ON")
            use_wal(raw)
    except BaseException:
        raw.close()
        raise
    return raw


def apply_settings(raw: sqlite3.Connection) -> None:
    """Set what every connection has, be it for writing or not."""
    raw.execute("PRAGMA foreign_keys = ON")
    raw.execute("PRAGMA temp_store = MEMORY")
    raw.execute(f"PRAGMA cache_size = -{CACHE_KIBIBYTES}")


def connect_with_retry(
    path: Path,
    *,
    read_only: bool,
    synchronous: str,
    timeout: float,
    given_up: GivenUp | None = None,
) -> sqlite3.Connection:
    """Connect, wait out another process that is just opening or closing the same file.

    Blocks; for a thread. Raises StoreBusyError after `timeout` seconds, or once `given_up`.
    """
    try:
        return retry_while_busy(
            partial(connect, path, read_only=read_only, synchronous=synchronous),
            timeout=timeout,
            given_up=given_up,
            too_late=f"another program kept {path.name} locked for {timeout:g} s",
        )
    except sqlite3.Error as error:
        raise unusable(path, error) from error


def retry_while_busy(
    attempt: Callable[[], T], *, timeout: float, given_up: GivenUp | None, too_late: str
) -> T:
    """Repeat an attempt while another process has the lock, and return what it gives.

    Blocks; for a thread. Raises StoreBusyError, which says `too_late`, after `timeout` seconds
    or once `given_up`; what else SQLite refuses is raised as it is.
    """

    def is_locked(error: Exception) -> bool:
        return isinstance(error, StoreBusyError) or (
            isinstance(error, sqlite3.Error) and is_busy(error)
        )

    try:
        return while_busy(
            attempt,
            timeout=timeout,
            is_given_up=lambda: given_up is not None and given_up.is_set(),
            is_locked=is_locked,
        )
    except (sqlite3.Error, StoreBusyError) as error:
        if is_locked(error):
            raise StoreBusyError(too_late) from error
        raise


def quoted(name: str) -> str:
    """Return a name as SQL has it, whatever it is made of."""
    return '"' + name.replace('"', '""') + '"'


def while_busy(
    attempt: Callable[[], T],
    *,
    timeout: float,
    is_given_up: Callable[[], bool],
    is_locked: Callable[[Exception], bool] = is_busy,
) -> T:
    """Repeat an attempt while another process has the lock, and return what it gives.

    Blocks; for a thread. Whatever stands in the way is raised as it is, the lock too after
    `timeout` seconds or once it is given up.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            return attempt()
        except Exception as error:
            if not is_locked(error) or is_given_up() or time.monotonic() > deadline:
                raise
        time.sleep(BUSY_PAUSE)  # in a thread: nobody tells when another process lets go


def use_wal(raw: sqlite3.Connection) -> None:
    """Switch the file to write-ahead logging unless it is; changing it needs a lock of its own."""
    (mode,) = raw.execute("PRAGMA journal_mode").fetchone()
    if mode != "wal":
        (mode,) = raw.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StoreError(f"the database cannot use write-ahead logging, only {mode!r}")


_opened: set[tuple[str, int]] = set()  # file and connection
_inherited: frozenset[str] = frozenset()


def note_open_file(file: str, connection: object) -> None:
    """Remember that this connection has the file open, for a child that is forked off."""
    _opened.add((file, id(connection)))


def note_closed_file(file: str, connection: object) -> None:
    """Forget what was noted of it."""
    _opened.discard((file, id(connection)))


def _after_fork() -> None:
    global _inherited
    _inherited = _inherited.union(file for file, _ in _opened)
    _opened.clear()


os.register_at_fork(after_in_child=_after_fork)


def refuse_inherited(path: Path) -> None:
    """Raise StoreClosedError for a file that was open when this process was forked off.

    A child inherits what SQLite remembers of its locks on the file, but not the locks ("How To
    Corrupt An SQLite Database File", on carrying an open database across a fork): what it
    writes can be lost.
    """
    if str(path.resolve()) in _inherited:
        raise StoreClosedError(
            f"{path.name} was open when this process was forked, so it cannot be opened here; "
            "start the process with spawn, or fork before the store is opened"
        )
