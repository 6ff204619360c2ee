"""What a SQLite file needs now and then, done so that no caller pays for it.

Left to itself SQLite runs a checkpoint within the COMMIT of whoever fills the write-ahead log's
thousandth page. Here the writing connection never does. Its log is copied into the database file
beside the writers, by a connection and a thread of their own; what remains for the writer's turn
is to begin the log anew, which is done seldom where it takes long. The planner's statistics are
made in a turn too; SQLite reads a few hundred rows of an index for them, however many it has.

Guarantees
    Nothing here raises into a caller. What fails is logged with its cause and tried again later;
    a reader of an old snapshot or another process in the way is no failure, and waited for.
    A checkpoint runs only while this process holds a snapshot that was taken before it. That
    excludes what SQLite 3.7.0 to 3.51.2 can do ("Write-Ahead Logging", on the WAL-reset bug):
    while one connection copies the log, another begins it anew, and the first takes the new frames
    for copied ones. A snapshot is one of two things. It is on the log, when anything was uncopied
    as it was taken: then nobody, in whatever process, can begin the log anew before it ends. Or it
    is beside the log, which was wholly copied: then others may begin it anew, but nobody can copy
    anything, since that would change the file under the snapshot (SQLite's comments in wal.c, on
    WAL_READ_LOCK(0)). The checkpoints that other programs make by themselves hold no such snapshot
    and are as safe as their SQLite is.
    The file is one that the store has open: the checkpointer does not follow a path to another.

Runs on
    `Maintenance` and `MaintenanceTurn` on the event loop; the methods of `Checkpointer` in its
    thread, which steps back a little where the loop and the readers are on the same core.

Order
    Copy, again until little is left, and only then ask for the turn: what is copied within it
    keeps the writers waiting, and so do the two fsyncs, one for the log and one for the file.
    In the turn, copy under a snapshot on the log, let it go, and only then wait for the readers
    under one beside the log: the first would be waited for as well.
    Pass the turn on before anything that can fail.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from math import inf
from pathlib import Path
from time import monotonic
from typing import Generic, NamedTuple, TypeVar

from cw_store.backends.cancellation import BegunTask
from cw_store.backends.sqlite.connection import Connection
from cw_store.backends.sqlite.errors import is_busy
from cw_store.backends.sqlite.raw_connection import SHORT_BUSY_TIMEOUT, connect
from cw_store.backends.sqlite.write_queue import Turn, WriteQueue
from cw_store.errors import StoreBusyError, StoreError

T = TypeVar("T")

logger = logging.getLogger(__name__)

LOOK_EVERY = 0.05
"""Seconds between two looks at the log while there are writes."""

PAUSE = 5.0
"""Seconds without a write after which the log is cut, and after which what failed is tried again.

Whoever writes next has to lengthen the log again, which a program that writes every now and then
would pay for each time.
"""

SHORT_LOG = 1024 * 1024
"""Bytes of log that are left alone while nobody writes, and that may be copied within a turn."""

LONG_LOG = 4 * 1024 * 1024
"""Bytes written to the log that are worth copying; a short log stays in the processor's cache.

If so many cannot be copied, somebody reads an old snapshot.
"""

PAGE = 4096
PAGES_OF_A_TURN = 4
"""So many pages a turn adds to the log, and one for each row; large rows lengthen the file."""

MOST_OF_THE_TIME = 1 / 20
"""The part of the writers' time that they may wait for the log to be begun anew, and once more for
each `LENGTH_FOR_MORE` of the log.

So the log is short on a quick disk, and on a slow one it grows until that is worth the wait: about
with the square root of what it costs, not in proportion.
"""

LENGTH_FOR_MORE = 128 * 1024 * 1024
AT_ALL = 1 / 5
"""However long the log is, it takes no larger part of the time."""

MOST_PASSES = 3
"""How often the log is copied before a turn, if so much is written meanwhile."""

CHANGES_BEFORE_STATISTICS = 10_000
"""Rows changed before the planner's statistics are made, and then again after twice as many.

Not sooner: statistics of tables that were nearly empty mislead the planner once they are large.
"""

WAIT_FOR_OTHERS = 0.02
"""Seconds that a step of a turn waits for readers of old snapshots or another process."""

NICENESS = 3
"""How much the checkpoints' thread steps back: a third of a core that it shares with one other.

More would keep the writers waiting behind it on a machine that is busy with something else.
"""

TELL_EVERY = 60.0
"""Seconds between two records of the same failure."""

SETTINGS = ("PRAGMA wal_autocheckpoint = 0", "PRAGMA analysis_limit = 400")
# Quick, since it reads at most `analysis_limit` rows of an index. Before SQLite 3.46
# `PRAGMA optimize` passes over tables that were never analyzed.
MAKE_STATISTICS = "ANALYZE"


class Copied(NamedTuple):
    """What a checkpoint found and did, in bytes of log, and the seconds that it took."""

    is_busy: bool
    """Whether another process, or a reader of an old snapshot, was in the way."""
    log: int
    left: int
    newly: int
    seconds: float


class Job(Generic[T]):
    """A piece of work for a thread, and what became of it: both are None when it was not run."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self.value: T | None = None
        self.error: Exception | None = None

    def __call__(self) -> None:
        """Do the work; in the thread."""
        try:
            self.value = self._work()
        except Exception as error:
            self.error = error


class Checkpointer:
    """The connection that copies the log, and another that holds a snapshot meanwhile.

    All is for the connection's thread, but for `terminate` and `closed`.
    """

    def __init__(self, connection: Connection, path: Path) -> None:
        self.connection = connection
        self._path = path
        self._holder: sqlite3.Connection | None = None
        self._copied = 0

    def prepare(self) -> None:
        """Open the other connection, and make the thread that this is run in step back."""
        self._holder = connect(self._path, read_only=True, synchronous="NORMAL")
        self.connection.raw.execute(_busy_timeout(WAIT_FOR_OTHERS))
        if sys.platform == "linux":  # where a thread has a priority, not only the process
            with suppress(OSError):  # it may not be allowed, and all that it costs is time
                os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)

    def copy(self) -> Copied:
        """Copy what is in the log by now, beside the writers."""
        with self._snapshot():
            return self._checkpoint("PASSIVE")

    def begin_anew(self) -> Copied:
        """Copy the rest, so that the next writer begins the log anew; in the writer's turn."""
        return self._finish("RESTART")

    def cut(self) -> Copied:
        """Copy the rest and leave an empty log; in the writer's turn."""
        return self._finish("TRUNCATE")

    def terminate(self) -> None:
        """Close both without waiting for it; on the loop, or without one."""
        self.connection.run(self._close_holder).is_kept = True
        self.connection.terminate()

    async def closed(self) -> None:
        """Close both once what has begun is done; on the loop."""
        self.connection.run(self._close_holder).is_kept = True
        await self.connection.closed()

    def _close_holder(self) -> None:
        if self._holder is not None:
            self._holder.close()

    def _finish(self, mode: str) -> Copied:
        with self._snapshot():
            copied = self._checkpoint("FULL")
        if not copied.is_busy:
            with self._snapshot():
                copied = self._checkpoint(mode)
        return copied

    def _checkpoint(self, mode: str) -> Copied:
        began = monotonic()
        (row,) = self.connection.raw.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
        log, copied = (max(0, frames) * PAGE for frames in row[1:])  # -1 when it could not begin
        # More was copied before only if the log was begun anew since.
        newly = copied - self._copied if copied >= self._copied else copied
        self._copied = copied
        return Copied(bool(row[0]), log, log - copied, newly, monotonic() - began)

    @contextmanager
    def _snapshot(self) -> Generator[None]:
        assert self._holder is not None
        self._holder.execute("BEGIN")
        try:
            self._holder.execute("PRAGMA user_version").fetchall()  # BEGIN alone takes none
            yield
        finally:
            self._holder.execute("ROLLBACK")


class Failures:
    """Tells the log of what failed: when it is another failure than before, or after a minute."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._text = ""
        self._told = 0.0

    def add(self, error: Exception) -> None:
        """Tell, unless it was told already."""
        text = f"{type(error).__name__}: {error}"
        now = monotonic()
        if text != self._text or now - self._told >= TELL_EVERY:
            self._text, self._told = text, now
            logger.warning(
                "upkeep of %s failed and is tried again; until it succeeds the -wal file grows: %s",
                self._file,
                text,
                exc_info=error,
            )


class Maintenance:
    """Keeps the write-ahead log short and the statistics fresh."""

    def __init__(
        self,
        path: Path,
        write_queue: WriteQueue,
        open_connection: Callable[[], Awaitable[Connection]],
        timeout: float,
    ) -> None:
        self._path = path
        self.logger = path.with_name(path.name + "-wal")
        self._write_queue = write_queue
        self._open_connection = open_connection
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._file: tuple[int, int] | None = None
        self._writer: Connection | None = None
        self._checkpointer: Checkpointer | None = None
        self._task: asyncio.Task[None] | None = None  # opens or closes the checkpointer
        self._timer: asyncio.TimerHandle | None = None
        self._is_working = False  # something is under way; there is never more than one thing
        self._turn: MaintenanceTurn | None = None
        self._failures = Failures(path.name)
        self._not_before = 0.0
        self._turns = self._turns_seen = 0
        self._last_write = 0.0
        self._pages_copied = self._length_copied = 0  # what had been written at the last copy
        self._passes = 0
        self._last_begun = self._loop.time()
        self._costs: deque[float] = deque(maxlen=2)
        self._shortest_copy = inf
        self._is_another_in_the_way = False
        self._statistics_from = CHANGES_BEFORE_STATISTICS
        self._seconds_held = 0.0

    async def start(self, writer: Connection) -> None:
        """Take over from SQLite what it would do within a commit."""
        await writer.run(_apply, SETTINGS, writer.cursor_of_jobs)
        self._file = _identity(self._path)
        self._writer = writer

    def stop(self) -> None:
        """Look no more, write no more, and let what is under way end soon."""
        self._writer = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._checkpointer is not None:
            self._checkpointer.connection.raw.interrupt()

    async def close(self) -> None:
        """Close the connections once what they have begun is done."""
        self.stop()
        if self._task is not None:
            await asyncio.wait([self._task])
        await self._close_checkpointer()

    def terminate(self) -> None:
        """Close the connections without an event loop."""
        checkpointer, self._checkpointer = self._checkpointer, None
        if checkpointer is not None:
            checkpointer.terminate()

    @property
    def has_the_turn(self) -> bool:
        """Whether the writer's turn is taken by maintenance at this moment."""
        return self._turn is not None and self._turn.acquired_at is not None

    @property
    def seconds_held(self) -> float:
        """For how long the writer's turn has been taken by maintenance, all in all."""
        turn = self._turn
        if turn is None or turn.acquired_at is None:
            return self._seconds_held
        return self._seconds_held + self._loop.time() - turn.acquired_at

    def note_write(self) -> None:
        """Begin to look, unless that has begun already; does not raise."""
        self._turns += 1
        if self._timer is None and self._writer is not None:
            self._timer = self._loop.call_later(LOOK_EVERY, self._look)

    def _look(self) -> None:
        self._timer = None
        writer = self._writer
        if writer is None:
            return
        goes_on = True
        try:
            goes_on = self._do_what_is_due(writer)
        except Exception as error:
            self._failed(error)
        if goes_on:
            self._timer = self._loop.call_later(LOOK_EVERY, self._look)

    def _do_what_is_due(self, writer: Connection) -> bool:
        """Return whether to look again."""
        now = self._loop.time()
        if self._turns != self._turns_seen or not self._write_queue.is_free:
            self._turns_seen = self._turns
            self._last_write = now
        length = self._length()
        if self._is_working:
            self._hurry(writer, length, now)
            return True
        if now < self._not_before:
            return True
        changes = writer.raw.total_changes
        is_quiet = self._is_quiet(now)
        if changes >= self._statistics_from:
            self._ask_for_turn(writer, writer, partial(_make_statistics, writer), self._counted)
        elif length > SHORT_LOG and (is_quiet or self._is_much_written(changes, length)):
            self._pages_copied = self._turns * PAGES_OF_A_TURN + changes
            self._length_copied = length
            self._passes = 0
            self._copy()
        elif is_quiet:
            self._rest()
            return False
        return True

    def _is_quiet(self, now: float) -> bool:
        return self._turns == self._turns_seen and now - self._last_write >= PAUSE

    def _is_much_written(self, changes: int, length: int) -> bool:
        """Whether the log has become much longer since it was copied, as far as can be seen.

        SQLite does not say where its end is, and what is written over leaves the file as it is.
        """
        pages = self._turns * PAGES_OF_A_TURN + changes - self._pages_copied
        return pages * PAGE >= LONG_LOG or length - self._length_copied >= LONG_LOG

    def _length(self) -> int:
        """Return the bytes of the file, which SQLite cuts to `WAL_LIMIT` when it begins it anew."""
        try:
            return os.stat(self.logger).st_size  # opening it would drop SQLite's locks on it
        except FileNotFoundError:
            return 0

    def _failed(self, error: Exception) -> None:
        self._not_before = self._loop.time() + PAUSE
        is_others = isinstance(error, sqlite3.Error) and is_busy(error)
        if self._writer is not None and not is_others and not isinstance(error, StoreBusyError):
            self._failures.add(error)

    # Beside the writers.

    def _copy(self) -> None:
        self._is_working = True
        if self._checkpointer is None:
            self._task = BegunTask(self._open_and_copy())
            return
        self._passes += 1
        job = Job(self._checkpointer.copy)
        self._checkpointer.connection.run(job, then=partial(self._copied, job))

    def _hurry(self, writer: Connection, length: int, now: float) -> None:
        """Keep the writers from writing more than the disk can take, while it is still copying."""
        checkpointer = self._checkpointer
        if self._turn is not None or checkpointer is None or self._is_another_in_the_way:
            return
        if self._is_worth_it(length, now, 2):
            self._ask_for_turn(
                writer, checkpointer.connection, checkpointer.begin_anew, self._begun
            )

    def _copied(self, job: Job[Copied]) -> None:
        writer, checkpointer = self._writer, self._checkpointer
        if self._turn is not None or writer is None or checkpointer is None:
            return
        self._is_working = False
        if job.error is not None:
            self._failed(job.error)
        elif job.value is not None:
            self._decide(writer, checkpointer, job.value)

    def _decide(self, writer: Connection, checkpointer: Checkpointer, copied: Copied) -> None:
        """Copy again, or ask for the turn to begin the log anew, or leave it as it is."""
        now = self._loop.time()
        if copied.newly:
            self._shortest_copy = min(self._shortest_copy, copied.seconds)
        # A little may be left that was written after the snapshot.
        self._is_another_in_the_way = copied.is_busy or copied.left > LONG_LOG
        is_quiet = self._is_quiet(now)
        if self._is_another_in_the_way:
            if is_quiet:
                self._not_before = now + PAUSE
        elif is_quiet:
            self._ask_for_turn(writer, checkpointer.connection, checkpointer.cut, self._cut)
        elif self._is_worth_it(self._log_by_now(copied, now), now):
            # The longer the copy took, the more was written meanwhile.
            was_long = copied.newly > SHORT_LOG and copied.seconds > 2 * self._shortest_copy
            if was_long and self._passes < MOST_PASSES:
                self._copy()
            else:
                work = checkpointer.begin_anew
                self._ask_for_turn(writer, checkpointer.connection, work, self._begun)

    def _log_by_now(self, copied: Copied, now: float) -> float:
        """Return about how long the log is after a copy, which began with it as it was then."""
        elapsed = now - self._last_begun
        return copied.log * elapsed / max(elapsed - copied.seconds, 0.001)

    def _is_worth_it(self, log: float, now: float, times: int = 1) -> bool:
        """Whether a log of so many bytes is to be begun anew, were it so many times as costly."""
        # The lesser of two, since once the machine may have been busy with something else. Before
        # it was measured: three fsyncs, of which a copy makes one.
        cost = min(self._costs) if self._costs else 3 * self._shortest_copy
        share = min(MOST_OF_THE_TIME * (1 + log / LENGTH_FOR_MORE), max(AT_ALL, MOST_OF_THE_TIME))
        return log > SHORT_LOG and times * cost <= share * (now - self._last_begun)

    # The connections for it: opened when they are needed, closed when nobody writes.

    async def _open_and_copy(self) -> None:
        try:
            self._checkpointer = await self._open()
        except Exception as error:
            self._failed(error)
        finally:
            self._task = None
            self._is_working = False
        if self._checkpointer is not None and self._writer is not None:
            self._copy()

    async def _open(self) -> Checkpointer:
        self._refuse_another_file()  # which SQLite would make, if there were none
        connection = await self._open_connection()
        checkpointer = Checkpointer(connection, self._path)
        try:
            await connection.run(checkpointer.prepare)
            self._refuse_another_file()
        except BaseException:
            checkpointer.terminate()
            raise
        return checkpointer

    def _refuse_another_file(self) -> None:
        if _identity(self._path) != self._file:
            raise StoreError(f"{self._path.name} was replaced by another file")

    def _rest(self) -> None:
        if self._checkpointer is not None:
            self._task = BegunTask(self._close_checkpointer())

    async def _close_checkpointer(self) -> None:
        checkpointer, self._checkpointer = self._checkpointer, None
        if checkpointer is not None:
            await checkpointer.closed()

    # In the writer's turn.

    def _ask_for_turn(
        self,
        writer: Connection,
        connection: Connection,
        work: Callable[[], T],
        then: Callable[[Job[T], float], None],
    ) -> None:
        self._is_working = True
        job = Job(work)
        ended = partial(self._ended, then=partial(then, job))
        self._turn = MaintenanceTurn(self._loop, self._timeout, writer, connection, job, ended)
        self._write_queue.ask(self._turn)

    def _ended(self, turn: MaintenanceTurn, then: Callable[[float], None]) -> None:
        self._turn = None
        self._is_working = False
        self._write_queue.release(turn)  # before anything that can fail
        if turn.acquired_at is not None:
            seconds = self._loop.time() - turn.acquired_at
            self._seconds_held += seconds
            then(seconds)

    def _begun(self, job: Job[Copied], seconds: float) -> None:
        self._last_begun = self._loop.time()
        self._costs.append(1.5 * seconds)  # the third fsync is that of the next commit
        if job.error is not None:
            self._failed(job.error)

    def _cut(self, job: Job[Copied], seconds: float) -> None:
        if job.error is not None:
            self._failed(job.error)
        elif job.value is None or job.value.is_busy:
            self._not_before = self._loop.time() + PAUSE

    def _counted(self, job: Job[int], seconds: float) -> None:
        if job.error is not None:
            self._failed(job.error)
        elif job.value is not None:
            self._statistics_from = 2 * job.value


class MaintenanceTurn(Turn):
    """The writer's turn for maintenance, for which nobody waits."""

    __slots__ = ("_connection", "_ended", "_job", "_writer", "acquired_at")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timeout: float,
        writer: Connection,
        connection: Connection,
        job: Callable[[], None],
        ended: Callable[[MaintenanceTurn], None],
    ) -> None:
        super().__init__(loop, "maintenance", timeout)
        self._writer = writer
        self._connection = connection
        self._job = job
        self._ended = ended
        self.acquired_at: float | None = None

    def acquired(self) -> None:
        """Do the work."""
        self.acquired_at = self._loop.time()
        # Whoever had the turn before may still be committing: the work stands behind that.
        self._writer.run(_do_nothing, then=self._work)

    def _work(self) -> None:
        self._connection.run(self._job, then=self._leave)

    def _leave(self) -> None:
        self._ended(self)

    def rejected(self, error: Exception) -> None:
        """Leave it for another time."""
        self._leave()


def _identity(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _apply(pragmas: Sequence[str], cursor: sqlite3.Cursor) -> None:
    """Run them in the connection's thread."""
    for pragma in pragmas:
        cursor.execute(pragma).fetchall()


def _do_nothing() -> None:
    pass


def _make_statistics(writer: Connection) -> int:
    """Return how many rows had been changed when they were made."""
    cursor = writer.cursor_of_jobs
    changes = writer.raw.total_changes
    try:
        _apply([_busy_timeout(WAIT_FOR_OTHERS), MAKE_STATISTICS], cursor)
    finally:
        _apply([_busy_timeout(SHORT_BUSY_TIMEOUT)], cursor)
    return changes


def _busy_timeout(seconds: float) -> str:
    return f"PRAGMA busy_timeout = {int(seconds * 1000)}"
