"""One SQLite connection and its thread, which is given a whole piece of work at a time: a `Job`.

aiosqlite makes a hop to its thread for every call on a cursor. A `Job` makes one for all that
belongs together (BEGIN, the statement, its rows), and it tells its end to the event loop even when
the one who waited for it was cancelled.

**Guarantees.** Jobs are done in the order in which they were queued, and each tells its end on the
loop, the one that comes too late as well. A job that nobody waits for any more is interrupted, and
no other is. After `leave` nothing is begun, what is open is rolled back, and the thread ends.

**Runs on.** The event loop: all but what says that it runs in the thread, which are the jobs and
what they call (`note_failure`, `told`, `let_aim`, `end_interruptible`).

**Order.** See `Connection` for the interruption. `leave` queues the closing before it ends the
thread, or what is queued would be left behind.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar, cast

from cw_store.backends.sqlite.errors import closed_error, is_busy, is_interrupted, out_of_memory
from cw_store.backends.sqlite.kept_connection import KeptConnection
from cw_store.backends.sqlite.raw_connection import (
    RawConnection,
    note_closed_file,
    note_open_file,
    while_busy,
)
from cw_store.backends.thread.future import Waiter
from cw_store.backends.thread.worker import JobQueue, LoopCallbacks, ThreadCallbacks
from cw_store.errors import StoreClosedError, StoreError

T = TypeVar("T")

logger = logging.getLogger(__name__)

INTERRUPT_AGAIN = 0.005
"""Seconds after which work that goes on although it was interrupted is interrupted again."""

GRACE = 0.05
"""Seconds in which what runs may come to its end by itself when a store is closed."""


class Job(Waiter[T]):
    """A piece of work on its way to a connection's thread and back.

    Whoever waits for it and is cancelled gives it up: if it has not begun it is not done, and if
    it runs it is interrupted. One whose end is waited for with `finished` is done, come what may.
    """

    __slots__ = ("_arguments", "_connection", "_then", "_work")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: Connection,
        then: Callable[[], None] | None,
        work: Callable[..., T],
        arguments: tuple[Any, ...],
    ) -> None:
        super().__init__(loop)
        self._connection = connection
        self._then = then
        self._work = work
        self._arguments = arguments

    def __call__(self) -> None:
        """Do the work; runs in the connection's thread."""
        connection = self._connection
        connection.running = self
        if not self.given_up:
            try:
                self.value = self._work(*self._arguments)
            except BaseException as error:
                connection.note_failure(self, error, self._work, self._arguments)
        else:
            self.error = closed_error()
        connection.running = None
        if connection.is_aimed_at:
            connection.let_aim()
        connection.callbacks.add(self._return)

    def _return(self) -> None:
        if self._then is not None:
            try:
                self._then()
            except Exception:
                logger.exception(
                    "what follows on %r failed", self, extra={"event": "callback_failed"}
                )
        self.settle_now()

    def give_up(self) -> None:
        """Let the work not be done, or no further; on the loop."""
        if not self.is_kept:
            self.given_up = True
            self._connection.interrupt_job(self)

    def __repr__(self) -> str:
        """Say what is to be done, where, and behind how much."""
        return f"<{self._work_name()} {self._connection.place_of(self)}>"

    def _work_name(self) -> str:
        return getattr(self._work, "__qualname__", repr(self._work))


class Connection(KeptConnection):
    """An aiosqlite connection whose thread does jobs, in order.

    What aiosqlite's own methods would have its thread do is a job as well. A job that is put among
    `jobs` directly tells its end to `callbacks`.

    A job that nobody wants any more is interrupted, alone. The thread says what may be interrupted
    in `running`: nothing between jobs, and nothing while it commits or rolls back. The event loop
    says in `is_aimed_at` that it is about to interrupt, then looks at `running`; the thread clears
    `running`, then looks at `is_aimed_at`. One of the two sees the other, so the thread never goes
    on to something else while an interruption of the former is on its way, and neither pays for a
    lock.

    The uses of what aiosqlite keeps to itself are all in this class: `_tx`, `_thread`,
    `_connection`, `_connector` and `_execute`, checked against aiosqlite 0.22.1.
    """

    raw: RawConnection
    cursor_of_jobs: sqlite3.Cursor

    def __init__(
        self,
        path: Path,
        connector: Callable[[], sqlite3.Connection],
        loop_callbacks: LoopCallbacks,
        *,
        name: str,
        busy_timeout: float,
        pin_threads: bool,
    ) -> None:
        super().__init__(connector, iter_chunk_size=64)
        self._file = str(path.resolve())
        self._owner = loop_callbacks.loop
        self._name = f"{name} of {path.name}"
        self._thread.name = f"cw_store-{self._name}"
        # A store that nobody closed must not keep the interpreter from ending.
        self._thread.daemon = True
        self.busy_timeout = busy_timeout
        """Seconds that work which finds the database locked is tried again, in the thread."""
        self.running: Waiter[Any] | None = None
        """What may be interrupted at this moment; set in the thread."""
        self.is_aimed_at = False
        self._aim = threading.Lock()
        self.looks_at_rest = 0
        """How often its pool has found it idle since it was used."""
        self.is_given_up = False
        """Whether all that runs is interrupted, since the store is being closed."""
        self._stopped = False
        self._queue: SimpleQueue[tuple[None, Callable[[], Any]]] = cast(Any, self)._tx
        self.jobs = JobQueue(pin_threads=pin_threads)
        try:
            self.callbacks = ThreadCallbacks(loop_callbacks)
        except BaseException:
            self.jobs.terminate()
            raise
        self._queue.put_nowait((None, self.jobs.serve))

    async def connect(self) -> Connection:
        """Start the thread and connect; raises StoreError when no thread is to be had."""
        try:
            self._thread.start()
        except RuntimeError as error:
            self._forget_thread()
            raise StoreError(f"no thread for a connection to the database: {error}") from error
        try:
            await self.run(self._connect_here)
        except BaseException:
            self.terminate()
            raise
        return self

    def _forget_thread(self) -> None:
        """Close what leads to a thread that never ran, and so cannot close its own ends."""
        self._stopped = True
        self.jobs.terminate()
        self.callbacks.stop()
        self.callbacks.end()

    def _connect_here(self) -> None:
        """Connect, in the thread: whoever waits may be gone, but `_let_go` finds what to close."""
        self.raw = self._connection = cast(RawConnection, self._connector())
        note_open_file(self._file, self)
        # One cursor for all jobs: a statement is always run to its end within one, so
        # none is left open to hold a lock or a snapshot.
        self.cursor_of_jobs = self.raw.cursor()

    def stop(self) -> None:
        """Close and end the thread once it has done what is queued.

        The thread is told by itself: aiosqlite would have it answer to the event loop of
        whoever calls, which may be closed before the answer comes.
        """
        self.jobs.end()
        self._queue.put_nowait((None, self.callbacks.end))
        self._queue.put_nowait((None, cast(Any, super()).stop))

    async def _execute(self, fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Have the thread do what a method of aiosqlite's asks of it."""
        return await self.run(partial(fn, *args, **kwargs))

    def run(
        self,
        work: Callable[..., T],
        *arguments: Any,
        then: Callable[[], None] | None = None,
    ) -> Job[T]:
        """Queue `work` for the thread; `then` runs on the loop after it, come what may."""
        job = Job(self._owner, self, then, work, arguments)
        if self._stopped:
            job.error = StoreClosedError("the store was closed meanwhile")
            job.is_done = True
            if then is not None:
                self._owner.call_soon(then)
        else:
            self.jobs.add(job)
        return job

    def note_failure(
        self,
        job: Waiter[Any],
        error: BaseException,
        work: Callable[..., Any],
        arguments: tuple[Any, ...],
    ) -> None:
        """Have the job bring back its error, or try again while the database is locked.

        In the thread. Only a program that recovers or closes the file can keep a reader waiting,
        and those behind it as well.
        """
        if is_busy(error) and self.busy_timeout:
            try:
                job.value = while_busy(
                    partial(work, *arguments),
                    timeout=self.busy_timeout,
                    is_given_up=lambda: self.is_aimed_at,
                )
                return
            except BaseException as again:
                error = again
        job.error = self.told(error)

    def told(self, error: BaseException) -> BaseException:
        """Return what a caller is told of an error: of an interruption, why there was one."""
        if self.is_given_up and is_interrupted(error):
            return closed_error()
        return out_of_memory(error) if isinstance(error, MemoryError) else error

    def interrupt_job(self, job: Waiter[Any]) -> None:
        """Interrupt the job if it runs, until it does so no more, and nothing else; on the loop.

        Once is not enough: SQLite forgets an interruption that comes between two statements.
        """
        if self.running is not job or self._owner.is_closed():
            return
        with self._aim:
            self._aim_at(True)
            if self.running is job:
                if self._connection is not None:
                    self.raw.interrupt()
            else:
                self._aim_at(False)
        self._owner.call_later(INTERRUPT_AGAIN, self.interrupt_job, job)

    def let_aim(self) -> None:
        """Wait until the loop has interrupted what ran; in the thread, which runs nothing now."""
        with self._aim:
            self._aim_at(False)

    def _aim_at(self, is_aimed_at: bool) -> None:
        self.is_aimed_at = is_aimed_at
        if self._connection is not None:
            self.raw.is_unwanted = is_aimed_at

    def end_interruptible(self) -> None:
        """Let nothing be interrupted from here on; in the thread."""
        self.running = None
        if self.is_aimed_at:
            self.let_aim()

    def give_up_soon(self) -> None:
        """Interrupt what still runs in a moment, and let what has not begun be; on the loop."""
        if not self._stopped:
            self._owner.call_later(GRACE, self.give_up)

    def give_up(self) -> None:
        """Interrupt what runs, and let what has not begun be, unless its end is waited for."""
        self.is_given_up = True
        for job in (*tuple(self.jobs.waiting), self.running):
            if isinstance(job, Waiter):
                job.give_up()

    def place_of(self, job: object) -> str:
        """Say for people how far a job has come."""
        if self.running is job:
            return f"runs on the {self._name}"
        waiting = tuple(self.jobs.waiting)
        if job in waiting:
            return f"waits for the {self._name}, behind {waiting.index(job)} and {self.running!r}"
        return f"is done or on its way back from the {self._name}"

    async def disconnect(self) -> None:
        """Roll back what is open, close and end the thread, even when cancelled."""
        if not self._stopped:
            self.give_up_soon()
            await self.leave().finished()

    def terminate(self) -> None:
        """Close without an event loop; returns before the thread has ended."""
        if not self._stopped:
            self.leave()

    def leave(self) -> Job[None]:
        """Close once what is queued is done, and end the thread; returns what tells when."""
        end = self.run(self._let_go, then=self.callbacks.stop)
        end.is_kept = True
        self._stopped = True
        self.stop()
        return end

    def _let_go(self) -> None:
        if self._connection is None:
            return  # it could not be opened
        self.end_interruptible()
        try:
            self.cursor_of_jobs.close()
            if self.raw.in_transaction:
                self.raw.execute("ROLLBACK")
        finally:
            self.raw.close()
            note_closed_file(self._file, self)
