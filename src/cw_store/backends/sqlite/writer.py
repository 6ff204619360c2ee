"""The right to write to a SQLite file: its one connection, the two queues for it, the one commit.

Guarantees
    One at a time writes, in this process by the turn of `WriteQueue` and among processes by
    SQLite's lock, for which `ProcessQueue` keeps the order. Who was refused by the lock has written
    nothing, and is tried again until its deadline.
    Every commit comes past `note_commit`, once, in the order in which they were made; what was
    rolled back does not.

Runs on
    The event loop, but for `nobody_waits`, `is_in_transaction` and the queue's `holder()`, which
    any thread may ask, also that of another store on the same file.

Order
    The turn first, then the lock: the other way round a process would keep the others from writing
    while it waits for a turn of its own. Whoever ends a transaction queues the end in the
    connection's thread and passes the turn on at once, for the next one's first job stands behind
    it. The turn is passed on before a commit is noted, since nothing of the latter may keep it.
    The connection is closed before the queue of processes: its thread looks into the file.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import TypeVar

from cw_store.backends.sqlite.connection import Connection
from cw_store.backends.sqlite.errors import DatabaseLockedError, closed_error
from cw_store.backends.sqlite.lock_wait import LockWait
from cw_store.backends.sqlite.process_queue import ProcessQueue
from cw_store.backends.sqlite.write_queue import WriteQueue
from cw_store.backends.thread.worker import LoopCallbacks
from cw_store.errors import StoreBusyError, StoreError, TurnHolder

T = TypeVar("T")

logger = logging.getLogger(__name__)

_open: list[weakref.ref[Writer]] = []
"""Those that are open in this process, in whatever loop and thread."""

os.register_at_fork(after_in_child=_open.clear)


def _nobody_waits_yet() -> bool:
    return True


def _accept() -> None:
    """Check nothing."""


class Writer:
    """What group commit, transactions and maintenance need to write to one file."""

    def __init__(
        self,
        path: Path,
        queue: WriteQueue,
        callbacks: LoopCallbacks,
        open_connection: Callable[[], Awaitable[Connection]],
    ) -> None:
        self.path = path
        self.queue = queue
        self.callbacks = callbacks
        self.loop = callbacks.loop
        self.timeout = queue.timeout
        self.clock: Callable[[], float] = monotonic
        """What tells, in seconds, how long a group of calls keeps the thread at work."""
        self._open_connection = open_connection
        self.commits = 0
        """How often something was stored, or may have been, since this was opened."""
        self.groups = self.grouped_calls = self.largest_group = 0
        self.busy_retries = 0
        """How often something was tried again because another process had the lock."""
        self.on_commit: Callable[[], None] | None = None
        """Called after each, by whoever watches for them; must not raise."""
        self.on_next_commit: Callable[[], None] | None = None
        """Called after the next one, and then no more: by it what is at rest is woken."""
        self.nobody_waits: Callable[[], bool] = _nobody_waits_yet
        """Whether no other process waits for its turn to write."""
        self.process_queue: ProcessQueue | None = None
        self.connection: Connection
        """The one connection that writes."""
        self._opened: Connection | None = None
        self._file: tuple[int, int]  # what the operating system knows it by, whatever its path

    async def open(self) -> None:
        """Open the connection, and the queue of processes."""
        self.connection = self._opened = await self._open_connection()
        turns = self.path.with_name(self.path.name + "-turns")
        self.process_queue = ProcessQueue(turns, self.path)
        self.nobody_waits = self.process_queue.nobody_waits
        self._file = _identity(self.path)
        self.queue.watch.begin(self.path, self.loop.time())
        _open.append(weakref.ref(self, _open.remove))

    def stop(self) -> None:
        """Refuse whoever waits or comes, and interrupt what still runs in a moment."""
        self._forget()
        self.queue.close()
        if self._opened is not None:
            self._opened.give_up_soon()

    async def close(self) -> None:
        """Close the connection; what has not committed is rolled back, a COMMIT is waited for."""
        if self._opened is None:
            return
        try:
            await self._opened.disconnect()
        finally:
            self._leave_process_queue()

    def terminate(self) -> None:
        """Do the same without an event loop, because the store's own is gone."""
        self._forget()
        if self._opened is not None:
            # In the thread, which may be looking into the file right now.
            self._opened.run(self._leave_process_queue)
            self._opened.terminate()

    def _leave_process_queue(self) -> None:
        if self.process_queue is not None:
            self.process_queue.close()

    def _forget(self) -> None:
        for known in tuple(_open):
            if known() is self:
                _open.remove(known)

    # Commits.

    def note_commit(self) -> None:
        """Take note that something is stored: whoever is to be told of commits is told here.

        On the event loop, once the COMMIT is in the log, and before the one who waits for it goes
        on: after the statement of a call by itself, once for a group of calls, after a unit of
        work (its session's part too) and after the file was written anew. Called as well when
        nobody knows the outcome, since to look in vain costs less than to miss it. Must not raise,
        as those stand behind it who wait for the answer.
        """
        self.commits += 1
        if self.on_commit is not None:
            self.on_commit()
        if self.on_next_commit is not None:
            wake, self.on_next_commit = self.on_next_commit, None
            try:
                wake()
            except Exception:
                logger.exception(
                    "the write-ahead log of %s is not looked at",
                    self.path.name,
                    extra={"event": "maintenance_not_woken"},
                )

    def note_group(self, calls: int) -> None:
        """Take note that so many calls share one commit."""
        self.groups += 1
        self.grouped_calls += calls
        self.largest_group = max(self.largest_group, calls)

    # The lock.

    @property
    def is_in_transaction(self) -> bool:
        """Whether the connection has begun one."""
        try:
            return self.connection.raw.in_transaction
        except sqlite3.Error:
            return False  # it was closed

    async def when_unlocked(
        self,
        attempt: Callable[[], Awaitable[T]],
        deadline: float,
        check: Callable[[], None] = _accept,
    ) -> T:
        """Repeat an attempt until the lock was free for it; for who has the turn.

        `attempt` raises DatabaseLockedError while another process has the lock. Raises
        StoreBusyError past the deadline, in the loop's time, StoreClosedError when the store is
        closed, and what `check` raises when the attempt is not wanted any more.
        """
        wait = LockWait(
            self.process_queue,
            deadline=deadline,
            check=lambda: self._check(check),
            too_late=self._too_late,
        )
        try:
            while True:
                await wait.next()
                try:
                    self.busy_retries += 1
                    return await attempt()
                except DatabaseLockedError:
                    logger.debug("%r goes on", wait, extra={"event": "lock_busy"})
        finally:
            wait.leave()

    def _check(self, check: Callable[[], None]) -> None:
        if self.queue.is_closed:
            raise closed_error()
        check()
        self.queue.refuse_if_gone()

    def _too_late(self) -> StoreBusyError:
        holder = self._holder_elsewhere()
        who = "another program" if holder is None else "another store of this program"
        return StoreBusyError(
            f"{who} held the lock on {self.path.name} for too long; nothing was written", holder
        )

    def _holder_elsewhere(self) -> TurnHolder | None:
        """Describe who holds the turn of another store of this process on the file, or None."""
        holders = [
            (other.is_in_transaction, holder.seconds, holder)
            for known in tuple(_open)
            if (other := known()) is not None
            and other is not self
            and other._file == self._file
            and (holder := other.queue.holder()) is not None
        ]
        # Whoever waits for the lock as well has the turn of a store too.
        return max(holders, key=lambda each: each[:2])[2] if holders else None

    def __repr__(self) -> str:
        """Name the file, and who has the turn."""
        return f"<Writer of {self.path.name}, held by {self.queue.holder()}>"


def _identity(path: Path) -> tuple[int, int]:
    try:
        there = os.stat(path)
    except OSError as error:
        raise StoreError(f"{path.name} is gone: {error.strerror}") from error
    return there.st_dev, there.st_ino
