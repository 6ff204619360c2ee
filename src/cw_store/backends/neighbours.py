"""Fair turns between processes that write to one SQLite file.

SQLite lets whoever asks at the right moment have its lock, so a busy process can starve
the others. Here those who found the lock taken put a ticket, the time they began to wait,
into a small file beside the database, and everyone lets the oldest ticket go first: the
idea of L. Lamport, "A New Solution of Dijkstra's Concurrent Programming Problem" (1974).
The lock itself stays SQLite's, so a lost or stale ticket costs fairness for a moment and
never correctness. A writer whom nobody waits for pays one look at the file, which is mapped
into memory as SQLite does with its -shm file.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
from contextlib import suppress
from pathlib import Path

_SLOT = struct.Struct("<qq")  # ticket, last sign of life: nanoseconds of the monotonic clock
_SLOTS = 64
_LENGTH = _SLOT.size * _SLOTS
_EMPTY = bytes(_LENGTH)
_STALE = 250_000_000  # nanoseconds without a sign of life after which a ticket does not count


class Neighbours:
    """The queue of the processes that write to the same database."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        if os.fstat(self._descriptor).st_size < _LENGTH:
            os.pwrite(self._descriptor, _EMPTY, 0)
        self._slots = mmap.mmap(self._descriptor, _LENGTH, access=mmap.ACCESS_READ)

    def nobody_waits(self) -> bool:
        """Whether a newcomer may try the lock at once; also from a connection's thread."""
        try:
            if self._slots[:] == _EMPTY:
                return True
        except ValueError:
            return True  # it was closed
        if self.oldest() is not None:
            return False
        self._clear_dead()
        return True

    def join(self) -> Ticket | None:
        """Queue up; None when no slot could be had, which leaves chance to decide."""
        if self._descriptor < 0:
            return None
        try:
            # Two processes that look for a free slot at once must not find the same one.
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return None
        try:
            now = time.monotonic_ns()
            for slot, (_, alive) in enumerate(_SLOT.iter_unpack(self._read())):
                if now - alive > 4 * _STALE or alive > now:
                    ticket = Ticket(self, slot, now)
                    ticket.keep()
                    return ticket
            return None
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file; who still waits finds the queue empty."""
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)
        self._slots.close()

    def _read(self) -> bytes:
        try:
            return self._slots[:]
        except ValueError:
            return _EMPTY  # it was closed

    def write(self, slot: int, ticket: int, alive: int) -> None:
        """Fill one slot."""
        if self._descriptor < 0:
            return
        with suppress(OSError):
            os.pwrite(self._descriptor, _SLOT.pack(ticket, alive), slot * _SLOT.size)

    def _clear_dead(self) -> None:
        """Empty the slots of processes that were killed while they waited."""
        now = time.monotonic_ns()
        for slot, (ticket, alive) in enumerate(_SLOT.iter_unpack(self._read())):
            if ticket and now - alive > 4 * _STALE:
                self.write(slot, 0, 0)

    def oldest(self) -> int | None:
        """Return the slot with the oldest ticket whose holder lives."""
        now = time.monotonic_ns()
        waiting = [
            (ticket, slot)
            for slot, (ticket, alive) in enumerate(_SLOT.iter_unpack(self._read()))
            if ticket and 0 <= now - alive <= _STALE
        ]
        return min(waiting)[1] if waiting else None


class Ticket:
    """A process's place among its neighbours."""

    __slots__ = ("_neighbours", "_number", "_slot")

    def __init__(self, neighbours: Neighbours, slot: int, number: int) -> None:
        self._neighbours = neighbours
        self._slot = slot
        self._number = number

    def is_first(self) -> bool:
        """Show that this process lives, and tell whether nobody has waited longer."""
        self.keep()
        return self._neighbours.oldest() in (self._slot, None)

    def keep(self) -> None:
        """Show that this process lives."""
        self._neighbours.write(self._slot, self._number, time.monotonic_ns())

    def leave(self) -> None:
        """Leave the queue."""
        self._neighbours.write(self._slot, 0, 0)
