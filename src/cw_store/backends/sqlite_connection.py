"""One SQLite connection and its thread, visited with a whole piece of work at a time.

aiosqlite makes a hop to its thread for every call on a cursor. A `Visit` makes one for
all that belongs together (BEGIN, the statement, its rows), and it tells its end to the
event loop even when the one who waited for it was cancelled.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar, cast

import aiosqlite

from cw_store.backends.handover import Completions, Jobs, Returns
from cw_store.backends.waiting import Waiting
from cw_store.errors import SchemaError, StoreBusyError, StoreClosedError, StoreError

T = TypeVar("T")

PATIENCE = 0.005
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


class Visit(Waiting[T]):
    """A piece of work on its way to a connection's thread and back."""

    __slots__ = ("_arguments", "_completions", "_then", "_work")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        completions: Completions,
        then: Callable[[], None] | None,
        work: Callable[..., T],
        arguments: tuple[Any, ...],
    ) -> None:
        # Everything at once: the way through the base class would take as long again.
        self._asyncio_future_blocking = False
        self._cancelled = False
        self._loop = loop
        self._wake = self._context = self.error = None
        self.done = False
        self._completions = completions
        self._then = then
        self._work = work
        self._arguments = arguments

    def __call__(self) -> None:
        """Do the work; runs in the connection's thread."""
        try:
            self.value = self._work(*self._arguments)
        except BaseException as error:
            self.error = error
        self._completions.add(self._return)

    def _return(self) -> None:
        if self._then is not None:
            self._then()
        self.settle_now()


class Connection(aiosqlite.Connection):
    """An aiosqlite connection that takes visits, and nothing else: they have its thread.

    A job that is put among `jobs` directly tells its end to `completions`.

    The uses of what aiosqlite keeps to itself are all in this class: `_tx`, `_thread`,
    `_connection` and `_connector`, checked against aiosqlite 0.22.1.
    """

    raw: sqlite3.Connection
    cursor_of_visits: sqlite3.Cursor

    def __init__(
        self,
        path: Path,
        connector: Callable[[], sqlite3.Connection],
        returns: Returns,
    ) -> None:
        super().__init__(connector, iter_chunk_size=64)
        self._file = str(path.resolve())
        self._owner = returns.loop
        self.jobs = Jobs()
        try:
            self.completions = Completions(returns)
        except BaseException:
            self.jobs.abandon()
            raise
        self._queue: SimpleQueue[tuple[None, Callable[[], Any]]] = cast(Any, self)._tx
        self._queue.put_nowait((None, self.jobs.serve))
        self._stopped = False
        # A store that nobody closed must not keep the interpreter from ending.
        self._thread.daemon = True

    async def opened(self) -> Connection:
        """Start the thread and connect; raises StoreError when no thread is to be had."""
        try:
            self._thread.start()
        except RuntimeError as error:
            self._forget_thread()
            raise StoreError(f"no thread for a connection to the database: {error}") from error
        try:
            await self.visit(self._connect_here)
        except BaseException:
            self.abandon()
            raise
        return self

    def _forget_thread(self) -> None:
        """Close what leads to a thread that never ran, and so cannot close its own ends."""
        self._stopped = True
        self.jobs.abandon()
        self.completions.stop()
        self.completions.end()

    def _connect_here(self) -> None:
        """Connect, in the thread: whoever waits may be gone, but `_let_go` finds what to close."""
        self.raw = self._connection = self._connector()
        _opened.add((self._file, id(self)))
        # One cursor for all visits: a statement is always run to its end within one, so
        # none is left open to hold a lock or a snapshot.
        self.cursor_of_visits = self.raw.cursor()

    def stop(self) -> None:
        """Close and end the thread once it has done what is queued.

        The thread is told by itself: aiosqlite would have it answer to the event loop of
        whoever calls, which may be closed before the answer comes.
        """
        self.jobs.end()
        self._queue.put_nowait((None, self.completions.end))
        self._queue.put_nowait((None, cast(Any, super()).stop))

    def visit(
        self,
        work: Callable[..., T],
        *arguments: Any,
        then: Callable[[], None] | None = None,
    ) -> Visit[T]:
        """Queue `work` for the thread; `then` runs on the loop after it, come what may."""
        visit = Visit(self._owner, self.completions, then, work, arguments)
        if self._stopped:
            visit.error = StoreClosedError("the store was closed meanwhile")
            visit.done = True
            if then is not None:
                self._owner.call_soon(then)
        else:
            self.jobs.add(visit)
        return visit

    async def closed(self) -> None:
        """Roll back what is open, close and end the thread, even when cancelled."""
        if self._stopped:
            return
        end = self.visit(self._let_go, then=self.completions.stop)
        self._stopped = True
        self.stop()
        await end.finished()

    def abandon(self) -> None:
        """Close without an event loop; returns before the thread has ended."""
        if not self._stopped:
            self.visit(self._let_go, then=self.completions.stop)
            self._stopped = True
            self.stop()

    def _let_go(self) -> None:
        if self._connection is None:
            return  # it could not be opened
        self.cursor_of_visits.close()
        if self.raw.in_transaction:
            self.raw.execute("ROLLBACK")
        self.raw.close()
        _opened.discard((self._file, id(self)))


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether another connection's lock is what stood in the way."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


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


def reason_of(error: BaseException) -> str:
    """Say what the operating system refused, without the path, which may be long."""
    return getattr(error, "strerror", None) or str(error)


def shown(path: Path) -> str:
    """Return the file's name as it can be printed, whatever it holds."""
    return repr(path.name or str(path))


def is_in_use(path: Path) -> bool:
    """Whether somebody has the file open to write, or was killed: then its log is beside it."""
    return any(os.path.exists(f"{path}{suffix}") for suffix in ("-wal", "-journal"))


def uri_of(path: Path, mode: str) -> str:
    """Return what SQLite opens the file by, in this mode, and never creates it."""
    return f"{path.as_uri()}?mode={mode}"


def unusable(path: Path, error: sqlite3.Error) -> StoreError:
    """Say why SQLite cannot use the file at all."""
    match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF:
        case sqlite3.SQLITE_NOTADB:
            return SchemaError(
                f"{shown(path)} is no SQLite database, or an encrypted one; nothing was changed; "
                "name another file"
            )
        case sqlite3.SQLITE_CORRUPT:
            return StoreError(f"{shown(path)} is damaged; restore it from a backup ({error})")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY if is_in_use(path):
            return StoreError(
                f"{shown(path)} has a log beside it that was not brought into it, and this "
                "process cannot do that; open the store once as a user who may write there"
            )
        case _:
            return StoreError(f"SQLite cannot open {shown(path)}: {error}")


def connect(path: Path, *, read_only: bool, synchronous: str, timeout: float) -> sqlite3.Connection:
    """Open one connection with the settings that every connection of a store has.

    A reader may wait for a lock in its thread: only a program that recovers or closes the
    file can make it, and nobody stands behind it.
    """
    refuse_inherited(path)
    raw = sqlite3.connect(
        uri_of(path, "rw"),  # whoever may create it has done so, for its owner alone
        uri=True,
        timeout=timeout if read_only else PATIENCE,
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


def connect_patiently(
    path: Path,
    *,
    read_only: bool,
    synchronous: str,
    timeout: float,
    given_up: threading.Event | None = None,
) -> sqlite3.Connection:
    """Connect, wait out another process that is just opening or closing the same file.

    Blocks; for a thread. Raises StoreBusyError after `timeout` seconds, or once `given_up`.
    """
    try:
        return try_patiently(
            partial(connect, path, read_only=read_only, synchronous=synchronous, timeout=timeout),
            timeout=timeout,
            given_up=given_up,
            too_late=f"another program kept {path.name} locked for {timeout:g} s",
        )
    except sqlite3.Error as error:
        raise unusable(path, error) from error


def try_patiently(
    attempt: Callable[[], T], *, timeout: float, given_up: threading.Event | None, too_late: str
) -> T:
    """Repeat an attempt while another process has the lock, and return what it gives.

    Blocks; for a thread. Raises StoreBusyError, which says `too_late`, after `timeout` seconds
    or once `given_up`; what else SQLite refuses is raised as it is.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            return attempt()
        except (sqlite3.Error, StoreBusyError) as error:
            if isinstance(error, sqlite3.Error) and not is_busy(error):
                raise
            if time.monotonic() > deadline or (given_up is not None and given_up.is_set()):
                raise StoreBusyError(too_late) from error
        time.sleep(BUSY_PAUSE)  # in a thread: the lock is another process's, and tells nobody


def use_wal(raw: sqlite3.Connection) -> None:
    """Switch the file to write-ahead logging unless it is; changing it needs a lock of its own."""
    (mode,) = raw.execute("PRAGMA journal_mode").fetchone()
    if mode != "wal":
        (mode,) = raw.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StoreError(f"the database cannot use write-ahead logging, only {mode!r}")


_opened: set[tuple[str, int]] = set()  # file and connection
_inherited: frozenset[str] = frozenset()


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


async def open_connection(
    path: Path,
    *,
    returns: Returns,
    read_only: bool,
    synchronous: str,
    timeout: float,
) -> Connection:
    """Open a connection with a thread of its own."""
    connector = partial(
        connect_patiently, path, read_only=read_only, synchronous=synchronous, timeout=timeout
    )
    try:
        connection = Connection(path, connector, returns)
    except OSError as error:
        raise StoreError(
            f"no descriptors for a connection to the database: {error.strerror}"
        ) from error
    return await connection.opened()
