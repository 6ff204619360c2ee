"""The wait for the write lock while another process has it.

SQLite's own way to wait blocks the thread, where no timeout or cancellation reaches it, and lets
whoever asks at the right moment overtake. So it is told to wait a few milliseconds only. What was
refused is tried again from the event loop, in the order of the processes' tickets. A lock that is
held for moments, as somebody opens or closes the file, is waited for in the thread of whoever is
opening it (`retry_while_busy`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from cw_store.backends.sqlite.process_queue import ProcessQueue, Ticket
from cw_store.backends.sqlite.raw_connection import BUSY_PAUSE
from cw_store.errors import StoreBusyError


class LockWait:
    """One wait for the write lock, out of the way of the loop and in the queue of processes."""

    def __init__(
        self,
        process_queue: ProcessQueue | None,
        *,
        deadline: float,
        check: Callable[[], None],
        too_late: Callable[[], StoreBusyError],
    ) -> None:
        self._process_queue = process_queue
        self._deadline = deadline
        self._check = check
        self._too_late = too_late
        self._ticket: Ticket | None = None
        self._tries = 0

    async def next(self) -> None:
        """Return when the lock is worth a try.

        Raises what `too_late` makes past the deadline, in the loop's time, and what `check` raises
        before every look.
        """
        loop = asyncio.get_running_loop()
        while True:
            if self._tries:
                await asyncio.sleep(BUSY_PAUSE)
            self._tries += 1
            self._check()
            if loop.time() > self._deadline:
                raise self._too_late()
            if self._ticket is None and self._process_queue is not None:
                self._ticket = self._process_queue.join()
            if self._ticket is None or self._ticket.is_first():
                return

    def leave(self) -> None:
        """Leave the queue of processes."""
        if self._ticket is not None:
            self._ticket.leave()

    def __repr__(self) -> str:
        """Say behind whom this waits, and how often it has looked."""
        place = "another program's lock" if self._ticket is None else repr(self._ticket)
        return f"<LockWait behind {place}, tried {self._tries} times>"
