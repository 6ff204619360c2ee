"""The wait for SQLite's write lock while another process has it."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cw_store.backends.sqlite.errors import closed_error
from cw_store.backends.sqlite.process_queue import Ticket
from cw_store.backends.sqlite.raw_connection import BUSY_PAUSE
from cw_store.errors import StoreBusyError, TurnHolder

if TYPE_CHECKING:
    from cw_store.backends.sqlite.backend import SqliteBackend


_open: list[weakref.ref[SqliteBackend]] = []
"""The databases that are open for writing in this process, in whatever loop and thread."""

os.register_at_fork(after_in_child=_open.clear)


def note_opened(backend: SqliteBackend) -> None:
    """Let other stores of this process on the same file know of this one."""
    _open.append(weakref.ref(backend, _open.remove))


def note_closed(backend: SqliteBackend) -> None:
    """Let them forget it."""
    for known in tuple(_open):
        if known() is backend:
            _open.remove(known)


def holder_elsewhere(backend: SqliteBackend) -> TurnHolder | None:
    """Describe who holds the turn of another store of this process on the same file, or None."""
    holders = [
        (other.is_in_transaction, holder.seconds, holder)
        for known in tuple(_open)
        if (other := known()) is not None
        and other is not backend
        and other.file == backend.file
        and (holder := other.write_queue.holder()) is not None
    ]
    # Whoever waits for the lock as well has the turn of a store too.
    return max(holders, key=lambda each: each[:2])[2] if holders else None


class LockWait:
    """The wait for a lock that another process holds, out of the way of the loop."""

    def __init__(
        self, backend: SqliteBackend, deadline: float, is_wanted: Callable[[], bool]
    ) -> None:
        self._backend = backend
        self._is_wanted = is_wanted
        self._deadline = deadline
        self._loop = asyncio.get_running_loop()
        self._ticket: Ticket | None = None
        self._tried = False

    async def next(self) -> None:
        """Return when the lock is worth a try; raises StoreBusyError past the deadline."""
        while True:
            if self._backend.write_queue.is_closed or not self._is_wanted():
                raise closed_error()
            self._backend.write_queue.refuse_if_gone()
            if self._loop.time() > self._deadline:
                raise self._too_late()
            if self._ticket is None and self._backend.process_queue is not None:
                self._ticket = self._backend.process_queue.join()
            if self._tried:
                await asyncio.sleep(BUSY_PAUSE)
            self._tried = True
            if self._ticket is None or self._ticket.is_first():
                return

    def _too_late(self) -> StoreBusyError:
        holder = holder_elsewhere(self._backend)
        who = "another program" if holder is None else "another store of this program"
        return StoreBusyError(
            f"{who} held the lock on {self._backend.path.name} for too long; nothing was written",
            holder,
        )

    def leave(self) -> None:
        """Leave the queue of processes."""
        if self._ticket is not None and self._backend.process_queue is not None:
            self._ticket.leave()


@asynccontextmanager
async def lock_wait(
    backend: SqliteBackend, deadline: float, *, is_wanted: Callable[[], bool]
) -> AsyncGenerator[LockWait]:
    """Give the wait, and leave the queue of processes when the block ends."""
    line = LockWait(backend, deadline, is_wanted)
    try:
        yield line
    finally:
        line.leave()
