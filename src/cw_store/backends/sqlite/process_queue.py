"""Fair turns between processes that write to one SQLite file.

SQLite lets whoever asks at the right moment have its lock, so a busy process can starve
the others. Here those who found the lock taken put a ticket, the time they began to wait,
into a small file beside the database, and everyone lets the oldest ticket go first: the
idea of L. Lamport, "A New Solution of Dijkstra's Concurrent Programming Problem" (1974).
The lock itself stays SQLite's, so a lost or stale ticket costs fairness for a moment and
never correctness.

Therefore nothing that happens to the file may be worse than that. It is read and not mapped, for
whoever cuts a mapped file short kills those who look at it. What cannot be a queue (a link, a
folder, a file of somebody who may not write to the database) is left alone, and so is one that
cannot be opened: then chance decides. Whoever has to wait looks whether the file is still the one
at its name, and goes over to the one that is.

Guarantees
    Nothing here keeps anybody from writing for longer than a quarter of a second after the process
    that stood before it was killed, and nothing raises. A ticket keeps its place until it is left.
    The file is read and written by whole slots of one process each, so no lock is needed but to
    find a free one, and that is never waited for.

Runs on
    Any thread, but for `join`, `close` and tickets, which one thread at a time may use.

Order
    The slots are read before the clock is, or a sign of life would seem to be of the future. A
    look that found the queue empty is good for a moment, unless this process has written to such a
    file since: its own stores have to let each other go first too.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

logger = logging.getLogger(__name__)

_SLOT = struct.Struct("<qq")  # ticket, last sign of life: nanoseconds of the monotonic clock
_SLOTS = 64
_LENGTH = _SLOT.size * _SLOTS
_EMPTY = bytes(_LENGTH)
_STALE = 250_000_000  # nanoseconds without a sign of life after which a ticket does not count
_GOOD_FOR = 200_000
"""Nanoseconds that a look at an empty queue is good for.

To read the file takes a microsecond or more, which in a row of writes would be a thirtieth of
each. Whoever waits looks ten times less often than that.
"""
_NEVER = -_GOOD_FOR

_writes = 0
"""How often this process has written to such a file: then no look of before is good any more."""


class ProcessQueue:
    """The queue of the processes that write to the same database.

    The file is given the owner and the mode of the database, as SQLite does with its -wal file;
    without one, it is the user's own. `clock` gives nanoseconds, and the same to all processes.
    """

    def __init__(
        self,
        path: Path,
        database: Path | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._path = path
        self.clock = clock
        self._database = database
        self._descriptor = -1
        self._closed = False
        self._looked = _NEVER
        self._writes_seen = _writes
        try:
            self._descriptor = _open(path, database)
        except OSError as error:
            logger.warning(
                "processes that write to this database take no fair turns: cannot use %s: %s",
                path.name,
                error.strerror or error,
                extra={"event": "process_queue_missing"},
            )

    def nobody_waits(self) -> bool:
        """Whether a newcomer may try the lock at once; also from a connection's thread."""
        now = self.clock()
        if now - self._looked < _GOOD_FOR and self._writes_seen == _writes:
            return True
        self._looked, self._writes_seen = _NEVER, _writes
        found = self._read()
        if found != _EMPTY and found.strip(b"\0"):
            if self.oldest() is not None:
                return False
            self._clear_dead()
        self._looked = now
        return True

    def join(self) -> Ticket | None:
        """Queue up; None when no slot could be had, which leaves chance to decide."""
        if self._closed:
            return None
        try:
            self._go_over()
            # Two processes that look for a free slot at once must not find the same one.
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return None
        try:
            now, slots = self._slots()
            for slot, (_, alive) in enumerate(slots):
                if _is_dead(now - alive):
                    ticket = Ticket(self, slot, now)
                    ticket.keep()
                    return ticket
            return None
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file; who still waits finds the queue empty."""
        self._closed = True
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def write(self, slot: int, ticket: int, alive: int) -> None:
        """Fill one slot."""
        global _writes
        if self._descriptor < 0:
            return
        with suppress(OSError):
            os.pwrite(self._descriptor, _SLOT.pack(ticket, alive), slot * _SLOT.size)
        _writes += 1

    def oldest(self) -> int | None:
        """Return the slot with the oldest ticket whose holder lives."""
        waiting = self._waiting()
        return min(waiting)[1] if waiting else None

    def waiting_before(self, ticket: int, slot: int) -> int:
        """Return how many live tickets are older than this one."""
        return sum(each < (ticket, slot) for each in self._waiting())

    def _waiting(self) -> list[tuple[int, int]]:
        """Return the tickets whose holders live, and their slots."""
        now, slots = self._slots()
        return [
            (ticket, slot)
            for slot, (ticket, alive) in enumerate(slots)
            if ticket and 0 <= now - alive <= _STALE
        ]

    def _clear_dead(self) -> None:
        """Empty the slots of processes that were killed while they waited."""
        now, slots = self._slots()
        for slot, (ticket, alive) in enumerate(slots):
            if (ticket or alive) and _is_dead(now - alive):
                self.write(slot, 0, 0)

    def _slots(self) -> tuple[int, list[tuple[int, int]]]:
        """Return the time, and the ticket and the last sign of life in each slot."""
        found = self._read().ljust(_LENGTH, b"\0")
        # The time is read last, or what is written meanwhile would be of the future.
        return self.clock(), [*_SLOT.iter_unpack(found)]

    def _read(self) -> bytes:
        try:
            return os.pread(self._descriptor, _LENGTH, 0)
        except OSError:
            return b""  # it was closed, or cannot be read

    def _go_over(self) -> None:
        """Make the descriptor one of the file that is at the path now; raises OSError."""
        if self._descriptor >= 0:
            with suppress(FileNotFoundError):
                if os.path.samestat(os.lstat(self._path), os.fstat(self._descriptor)):
                    return
        opened = _open(self._path, self._database)
        if self._descriptor < 0:
            self._descriptor = opened
            return
        try:
            # The number stays: the connection's thread may be about to use it.
            os.dup2(opened, self._descriptor, inheritable=False)
        finally:
            os.close(opened)


class Ticket:
    """A process's place in the queue."""

    __slots__ = ("_number", "_process_queue", "_slot")

    def __init__(self, process_queue: ProcessQueue, slot: int, number: int) -> None:
        self._process_queue = process_queue
        self._slot = slot
        self._number = number

    def is_first(self) -> bool:
        """Show that this process lives, and tell whether nobody has waited longer."""
        self.keep()
        return self._process_queue.oldest() in (self._slot, None)

    def keep(self) -> None:
        """Show that this process lives."""
        queue = self._process_queue
        queue.write(self._slot, self._number, queue.clock())

    def leave(self) -> None:
        """Leave the queue."""
        self._process_queue.write(self._slot, 0, 0)

    def __repr__(self) -> str:
        """Say behind how many processes this one waits."""
        before = self._process_queue.waiting_before(self._number, self._slot)
        return f"<Ticket in slot {self._slot}, behind {before} others>"


def _is_dead(age: int) -> bool:
    """Whether the slot is free; signs of life to come are of the time before the last boot."""
    return not 0 <= age <= 4 * _STALE


def _open(path: Path, database: Path | None) -> int:
    """Return a descriptor of the file, which is created if need be; raises OSError."""
    owner = None if database is None else os.stat(database)
    try:
        # Before it is opened: to open and close a name of the database itself would drop the
        # locks that SQLite holds on it ("How To Corrupt An SQLite Database File", on POSIX
        # advisory locks).
        _refuse_unless_a_queue(os.lstat(path), owner)
    except FileNotFoundError:
        with suppress(FileExistsError):  # somebody was quicker
            return _create(path, owner)
    # NONBLOCK, should it have become a fifo or a device meanwhile.
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags)
    try:
        file = os.fstat(descriptor)
        _refuse_unless_a_queue(file, owner)
        if file.st_uid == os.geteuid() and file.st_size == _LENGTH:
            _give_to(descriptor, owner)  # the database's may have been changed
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _create(path: Path, owner: os.stat_result | None) -> int:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    with suppress(OSError):  # the disk is full, say: an empty file is an empty queue too
        os.pwrite(descriptor, _EMPTY, 0)
    _give_to(descriptor, owner)
    return descriptor


def _refuse_unless_a_queue(file: os.stat_result, owner: os.stat_result | None) -> None:
    """Raise OSError for what is something else, or another's who may not write to the database."""
    if not stat.S_ISREG(file.st_mode):
        raise OSError("it is no regular file")
    if file.st_nlink > 1:
        raise OSError("the file has another name as well")
    if file.st_uid in (0, os.geteuid()):
        return
    if owner is not None and (
        file.st_uid == owner.st_uid
        or (file.st_gid == owner.st_gid and owner.st_mode & stat.S_IWGRP)
        or owner.st_mode & stat.S_IWOTH
    ):
        return
    raise OSError("it belongs to somebody who may not write to the database")


def _give_to(descriptor: int, owner: os.stat_result | None) -> None:
    """Make owner, group and mode those of the database, as far as the user may."""
    if owner is None:
        return
    file = os.fstat(descriptor)
    if (file.st_uid, file.st_gid) != (owner.st_uid, owner.st_gid):
        uid = owner.st_uid if os.geteuid() == 0 else -1
        with suppress(OSError):
            os.fchown(descriptor, uid, owner.st_gid)
    mode = stat.S_IMODE(owner.st_mode) & 0o666
    if stat.S_IMODE(file.st_mode) != mode:
        with suppress(OSError):
            os.fchmod(descriptor, mode)
