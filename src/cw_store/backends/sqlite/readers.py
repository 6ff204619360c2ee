"""The connections that read a SQLite file."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from cw_store.backends.cancellation import BegunTask
from cw_store.backends.sqlite.connection import Connection, Job
from cw_store.backends.sqlite.deadlines import Deadlines, QueuedWaiter
from cw_store.backends.sqlite.errors import closed_error
from cw_store.backends.sqlite.file_watch import FileWatch
from cw_store.backends.thread.worker import LoopCallbacks
from cw_store.errors import StoreBusyError, StoreClosedError, StoreError

T = TypeVar("T")

logger = logging.getLogger(__name__)

GROUP_LIMIT = 256
"""Most reads that share one job."""

LOOK_EVERY = 2.0
"""Seconds between two looks for connections that are at rest."""

LOOKS_AT_REST = 3
"""A connection that was not used since so many looks is closed; to open one takes a millisecond."""

OPEN_AGAIN = 1.0
"""Seconds for which no further connection is opened after one could not be."""


class ReaderWait(QueuedWaiter):
    """The wait for one of the pool's connections."""

    __slots__ = ("_pool",)

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float, pool: ReaderPool) -> None:
        super().__init__(loop)
        self.deadline = loop.time() + timeout
        self._pool = pool

    def __repr__(self) -> str:
        """Say what this waits for, and behind whom."""
        return f"<{type(self).__name__} {self._pool.place_of(self)}>"


class ReadCall(ReaderWait):
    """A read that is a transaction by itself and waits for a connection."""

    __slots__ = ("_arguments", "_reader", "_work")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timeout: float,
        pool: ReaderPool,
        work: Callable[..., Any],
        arguments: tuple[Any, ...],
    ) -> None:
        super().__init__(loop, timeout, pool)
        self._work = work
        self._arguments = arguments
        self._reader: Connection | None = None

    def __repr__(self) -> str:
        """Say what this waits for, and behind whom, or how far it has come."""
        if self._reader is None:
            return super().__repr__()
        return f"<{type(self).__name__} {self._reader.place_of(self)}>"

    def run(self, reader: Connection) -> None:
        """Do the work unless nobody wants it; runs in the connection's thread."""
        self._reader = reader
        reader.running = self
        if self.given_up or reader.is_given_up:
            self.error = closed_error()
        else:
            arguments = (*self._arguments, reader.cursor_of_jobs)
            try:
                self.value = self._work(*arguments)
            except BaseException as error:
                reader.note_failure(self, error, self._work, arguments)
        reader.end_interruptible()

    def give_up(self) -> None:
        """Leave the queue, or be interrupted: the others of the same job go on."""
        self.given_up = True
        if self._reader is not None:
            self._reader.interrupt_job(self)


class Claim(ReaderWait):
    """The wait for a connection of one's own."""

    __slots__ = ()


class ReaderPool:
    """The connections that read, opened as they are needed; first come first served.

    Where a further one cannot be opened, for want of a descriptor, a thread or memory, those that
    are open serve all. Those that were not used for some seconds are closed.

    Reads that are a transaction by themselves and find all connections taken share the next
    job, since the way to the thread and back costs more than most of them.
    """

    def __init__(
        self,
        open_reader: Callable[[], Awaitable[Connection]],
        loop_callbacks: LoopCallbacks,
        limit: int,
        timeout: float,
    ) -> None:
        self._open_reader = open_reader
        self._callbacks = loop_callbacks
        self._limit = limit
        self._timeout = timeout
        self._loop = loop_callbacks.loop
        self._all: list[Connection] = []
        self._idle: list[Connection] = []
        self._outdated: set[Connection] = set()
        self._opening = 0
        self._waiting: deque[ReadCall | Claim] = deque()
        self._deadlines = Deadlines(self._loop, self._waiting, self._too_late)
        self._closed = False
        self.watch = FileWatch()
        self._open_again_at = 0.0
        self._look: asyncio.TimerHandle | None = None
        self._leaving: list[Job[None]] = []
        self._replacement: asyncio.Future[None] | None = None

    @property
    def in_use(self) -> int:
        """How many connections somebody holds or is using."""
        return len(self._all) - len(self._idle)

    @property
    def open(self) -> int:
        """How many there are."""
        return len(self._all)

    @property
    def limit(self) -> int:
        """How many there may be."""
        return self._limit

    def place_of(self, waiter: ReaderWait) -> str:
        """Say for people what one waits for, and behind whom."""
        queued = tuple(self._waiting)
        if waiter not in queued:
            return "waits for no connection any more"
        before = sum(not other.given_up for other in queued[: queued.index(waiter)])
        return (
            f"waits for a connection that reads, behind {before} others; "
            f"{self.in_use} of {self._limit} are in use"
        )

    def read(self, work: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        """Run one read by itself."""
        if self._loop.time() > self.watch.due:
            self._refuse_if_gone()
        if self._idle:
            reader = self._idle.pop()
            reader.looks_at_rest = 0
            return reader.run(
                work, *arguments, reader.cursor_of_jobs, then=partial(self.give, reader)
            )
        return self._read_later(work, arguments)

    async def _read_later(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        opened = await self._open_if_possible()
        if opened is not None:
            self.give(opened)
        if self._idle:
            return await self.read(work, *arguments)
        self._refuse_closed()
        call = ReadCall(self._loop, self._timeout, self, work, arguments)
        self._deadlines.queue_up(call)
        return await call

    def idle(self) -> Connection | None:
        """Return a connection for the caller alone if one is free at once."""
        self._refuse_if_gone()
        if not self._idle:
            return None
        reader = self._idle.pop()
        reader.looks_at_rest = 0
        return reader

    async def take(self) -> Connection:
        """Return a connection for the caller alone, to be given back with `give`."""
        reader = await self._open_if_possible() or self.idle()
        if reader is not None:
            return reader
        self._refuse_closed()
        claim = Claim(self._loop, self._timeout, self)
        self._deadlines.queue_up(claim)
        try:
            return await claim
        except asyncio.CancelledError:
            claim.given_up = True
            if claim.is_done and claim.error is None:
                self.give(claim.value)  # handed over in the moment of the cancellation
            raise

    def give(self, reader: Connection) -> None:
        """Pass the connection to the one who has waited longest."""
        if self._outdated and reader in self._outdated:
            self._outdated.remove(reader)
            self._retire(reader)
            return
        calls: list[ReadCall] = []
        while self._waiting and len(calls) < GROUP_LIMIT:
            waiting = self._waiting[0]
            if waiting.given_up:
                self._waiting.popleft()
            elif isinstance(waiting, ReadCall):
                self._waiting.popleft()
                calls.append(waiting)
            elif calls:
                break
            else:
                self._waiting.popleft()
                waiting.value = reader
                waiting.settle()
                return
        if calls:
            shared = reader.run(_read_all, calls, reader, then=partial(self._settle, calls, reader))
            shared.is_kept = True  # each of the calls is given up by itself
        else:
            self._idle.append(reader)

    def renew(self) -> None:
        """Use new connections from now on; those that are taken are closed when they come back."""
        while self._idle:
            self._retire(self._idle.pop())
        self._outdated.update(self._all)

    def _retire(self, reader: Connection) -> None:
        self._all.remove(reader)
        reader.terminate()
        if self._waiting and self._may_open():
            self._replacement = BegunTask(self._open_for_those_who_wait())

    def _settle(self, calls: list[ReadCall], reader: Connection) -> None:
        self.give(reader)
        self._callbacks.add_all(call.settle_now for call in calls)

    async def close(self) -> None:
        """Close every connection and refuse those who wait."""
        self._begin_to_close()
        self._deadlines.reject_all(closed_error)
        for reader in self._all:
            reader.give_up_soon()
        while self._all:
            await self._all.pop().disconnect()
        while self._leaving:
            await self._leaving.pop().finished()

    def terminate(self) -> None:
        """Close without an event loop."""
        self._begin_to_close()
        while self._all:
            self._all.pop().terminate()

    def _begin_to_close(self) -> None:
        self._closed = True
        self._idle.clear()
        if self._look is not None:
            self._look.cancel()

    def _close_those_at_rest(self) -> None:
        self._look = None
        self._leaving = [end for end in self._leaving if not end.is_done]
        for reader in tuple(self._idle):
            reader.looks_at_rest += 1
            if reader.looks_at_rest >= LOOKS_AT_REST:
                self._idle.remove(reader)
                self._all.remove(reader)
                self._leaving.append(reader.leave())
        self._look_again()

    def _look_again(self) -> None:
        if self._all and self._look is None and not self._closed:
            self._look = self._loop.call_later(LOOK_EVERY, self._close_those_at_rest)

    def _may_open(self) -> bool:
        has_room = not self._closed and len(self._all) + self._opening < self._limit
        return has_room and (not self._all or self._loop.time() >= self._open_again_at)

    async def _open_if_possible(self) -> Connection | None:
        """Open one if there may be more; None when those that are open have to do."""
        if not self._may_open():
            return None
        try:
            return await self._open()
        except StoreError as error:
            if self._closed:  # the file may be gone by now
                raise closed_error() from error
            if not self._all:
                raise
            logger.warning(
                "those that read share %d connections: %s",
                len(self._all),
                error,
                extra={"event": "readers_shared"},
            )
            return None

    async def _open(self) -> Connection:
        self._opening += 1
        try:
            reader = await self._open_reader()
        except BaseException as error:
            self._opening -= 1
            if isinstance(error, StoreError):
                self._open_again_at = self._loop.time() + OPEN_AGAIN
            if self._waiting and self._may_open():
                # Those who stand behind count on the connection that this one was opening.
                self._replacement = BegunTask(self._open_for_those_who_wait())
            raise
        self._opening -= 1
        if self._closed:
            reader.terminate()
            self._refuse_closed()
        self._all.append(reader)
        self._look_again()
        return reader

    async def _open_for_those_who_wait(self) -> None:
        try:
            self.give(await self._open())
        except StoreError as error:
            while self._waiting:
                waiting = self._waiting.popleft()
                if not waiting.given_up:
                    waiting.rejected(error)
                    break

    def _refuse_if_gone(self) -> None:
        gone = self.watch.refusal(self._loop.time())
        if gone is not None:
            raise gone

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StoreClosedError("the store is closed")

    def _too_late(self, _waiting: ReadCall | Claim) -> StoreBusyError:
        return StoreBusyError(
            f"none of the {self._limit} reading connections was free within "
            f"{self._timeout:g} s; long units of work hold them"
        )


def _read_all(calls: list[ReadCall], reader: Connection) -> None:
    for call in calls:
        call.run(reader)
