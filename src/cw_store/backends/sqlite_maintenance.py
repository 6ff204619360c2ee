"""What a SQLite file needs now and then, done in turns of its own so that no caller pays for it.

Left to itself SQLite runs a checkpoint within the COMMIT of whoever fills the write-ahead log's
thousandth page. Here the writing connection never does. While there are writes, the log is looked
at from the event loop, and one that was written to a lot asks for the writer's turn like any other
writer. The file keeps its length when the log is begun anew, so its growth tells only of a log that
has become longer than ever; the turns taken and the rows changed tell of the rest. The checkpoint
then holds SQLite's write lock (its modes RESTART and TRUNCATE), so that no other process writes
meanwhile: SQLite 3.7.0 to 3.51.2 can lose pages when one connection begins the log anew while
another copies it ("Write-Ahead Logging", on the WAL-reset bug).

A checkpoint is milliseconds of work, in which reads go on. It has a connection and a thread of its
own, which steps back a little where the event loop and the readers are on the same core.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from cw_store.backends.gate import Turn, WriteGate
from cw_store.backends.sqlite_connection import PATIENCE, Connection

LOOK_EVERY = 0.05
"""Seconds between two looks at the log while there are writes."""

QUIET_LOOKS = 100
"""After so many looks in a row without a write, nobody is in the way of some housework.

Five seconds: whoever writes next has to lengthen the log again, which a program that writes every
now and then would pay for each time.
"""

LONG_LOG = 8 * 1024 * 1024
"""Bytes by which the log has grown that are worth a turn although others wait."""

MANY_TURNS = 250
"""So many turns of writers are worth one as well; a short log stays in the processor's cache."""

MANY_CHANGES = 1000
"""So many rows changed are, too."""

SHORT_LOG = 1024 * 1024
"""Bytes of log that are left alone while nobody writes."""

CHANGES_BEFORE_STATISTICS = 10_000
"""Rows changed before the planner's statistics are made, and then again after twice as many.

Not sooner: statistics of tables that were nearly empty mislead the planner once they are large.
"""

WAIT_FOR_OTHERS = 0.05
"""Seconds that housework waits for readers of old snapshots or another process, and writers behind
it."""

NICENESS = 3
"""How much the checkpoints' thread steps back: a third of a core that it shares with one other.

More would keep the writers waiting behind it on a machine that is busy with something else.
"""

SETTINGS = ("PRAGMA wal_autocheckpoint = 0", "PRAGMA analysis_limit = 400")
# Quick, since it reads at most `analysis_limit` rows of an index. Before SQLite 3.46
# `PRAGMA optimize` passes over tables that were never analyzed.
MAKE_STATISTICS = "ANALYZE"
# RESTART also waits for readers to leave the log; among readers that overlap, nothing would
# ever begin it anew.
CHECKPOINT = "PRAGMA wal_checkpoint(RESTART)"
CHECKPOINT_AND_TRUNCATE = "PRAGMA wal_checkpoint(TRUNCATE)"


class Work(NamedTuple):
    """The checkpoint to be made, if any, and whether there are to be new statistics."""

    checkpoint: str | None
    statistics: bool


NOTHING = Work(None, False)


class Maintenance:
    """Keeps the write-ahead log short and the statistics fresh."""

    def __init__(
        self,
        path: Path,
        gate: WriteGate,
        open_checkpointer: Callable[[], Awaitable[Connection]],
        timeout: float,
    ) -> None:
        self._log = path.with_name(path.name + "-wal")
        self._gate = gate
        self._open_checkpointer = open_checkpointer
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._writer: Connection | None = None
        self._checkpointer: Connection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._turns = 0  # since the last checkpoint
        self._turns_seen = 0
        self._many_changes = MANY_CHANGES  # of rows, by this connection
        self._quiet_looks = 0
        self._turn: MaintenanceTurn | None = None
        self._long_from = LONG_LOG
        self._statistics_from = CHANGES_BEFORE_STATISTICS

    async def start(self, writer: Connection) -> None:
        """Take over from SQLite what it would do within a commit."""
        await writer.visit(_apply, SETTINGS, writer.cursor_of_visits)
        self._checkpointer = checkpointer = await self._open_checkpointer()
        await checkpointer.visit(_prepare_checkpointer, checkpointer.cursor_of_visits)
        self._writer = writer

    async def close(self) -> None:
        """Close the connection once what it has begun is done."""
        if self._checkpointer is not None:
            await self._checkpointer.closed()

    def abandon(self) -> None:
        """Close the connection without an event loop."""
        if self._checkpointer is not None:
            self._checkpointer.abandon()

    def stop(self) -> None:
        """Look no more."""
        self._writer = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def has_the_turn(self) -> bool:
        """Whether the writer's turn is taken by housework at this moment."""
        return self._turn is not None and self._turn.is_granted

    def note_write(self) -> None:
        """Begin to look, unless that has begun already."""
        self._turns += 1
        writer = self._writer
        if writer is None:
            return
        if self._timer is None:
            self._timer = self._loop.call_later(LOOK_EVERY, self._look, writer)
        # What `_is_long` says, for every write.
        if self._turns >= MANY_TURNS or writer.raw.total_changes >= self._many_changes:
            self._ask_if_due(writer, False)

    def _look(self, writer: Connection) -> None:
        self._timer = None
        self._quiet_looks = 0 if self._turns != self._turns_seen else self._quiet_looks + 1
        self._turns_seen = self._turns
        is_quiet = self._quiet_looks >= QUIET_LOOKS and self._gate.is_free
        self._ask_if_due(writer, is_quiet)
        if not is_quiet:
            self._timer = self._loop.call_later(LOOK_EVERY, self._look, writer)

    def _ask_if_due(self, writer: Connection, is_quiet: bool) -> None:
        checkpointer = self._checkpointer
        if self._turn is None and checkpointer is not None:
            work = self._due(writer, is_quiet)
            if work != NOTHING:
                self._turn = MaintenanceTurn(
                    self, self._loop, self._timeout, writer, checkpointer, work
                )
                self._gate.ask(self._turn)

    def _due(self, writer: Connection, is_quiet: bool) -> Work:
        length = self._length()
        self._long_from = min(self._long_from, length + LONG_LOG)
        is_long = length >= self._long_from or self._is_long(writer)
        changes = writer.raw.total_changes
        checkpoint = None
        if length > SHORT_LOG and (is_quiet or is_long):
            checkpoint = CHECKPOINT_AND_TRUNCATE if is_quiet else CHECKPOINT
            self._long_from = length + LONG_LOG
            self._turns = self._turns_seen = 0
            self._many_changes = changes + MANY_CHANGES
        has_time = is_quiet or checkpoint is not None
        statistics = has_time and changes >= self._statistics_from
        if statistics:
            self._statistics_from = 2 * changes
        return Work(checkpoint, statistics)

    def _is_long(self, writer: Connection) -> bool:
        return self._turns >= MANY_TURNS or writer.raw.total_changes >= self._many_changes

    def _length(self) -> int:
        """Return the bytes of the log, which SQLite cuts to `WAL_LIMIT` when it begins it anew."""
        try:
            return os.stat(self._log).st_size  # opening it would drop SQLite's locks on it
        except FileNotFoundError:
            return 0

    def ended(self, turn: MaintenanceTurn) -> None:
        """Pass the turn on, if it came; what was not done is due again some later time."""
        self._turn = None
        self._gate.release(turn)


class MaintenanceTurn(Turn):
    """The writer's turn for housework, for which nobody waits, nor for what goes wrong with it.

    A snapshot or another process may be in the way, which is no reason to complain.
    """

    __slots__ = ("_checkpointer", "_maintenance", "_work", "_writer", "is_granted")

    def __init__(
        self,
        maintenance: Maintenance,
        loop: asyncio.AbstractEventLoop,
        timeout: float,
        writer: Connection,
        checkpointer: Connection,
        work: Work,
    ) -> None:
        super().__init__(loop, "maintenance", timeout)
        self._maintenance = maintenance
        self._writer = writer
        self._checkpointer = checkpointer
        self._work = work
        self.is_granted = False

    def granted(self) -> None:
        """Do the housework."""
        self.is_granted = True
        # Whoever had the turn before may still be committing: the checkpoint stands behind that.
        self._writer.visit(
            _make_statistics if self._work.statistics else _do_nothing,
            self._writer.cursor_of_visits,
            then=self._make_checkpoint,
        )

    def _make_checkpoint(self) -> None:
        if self._work.checkpoint is None:
            self._leave()
        else:
            self._checkpointer.visit(
                _apply,
                [self._work.checkpoint],
                self._checkpointer.cursor_of_visits,
                then=self._leave,
            )

    def _leave(self) -> None:
        self._maintenance.ended(self)

    def refused(self, error: Exception) -> None:
        """Leave it for another time."""
        self._leave()


def _apply(pragmas: Sequence[str], cursor: sqlite3.Cursor) -> None:
    """Run them in the connection's thread."""
    for pragma in pragmas:
        cursor.execute(pragma).fetchall()


def _prepare_checkpointer(cursor: sqlite3.Cursor) -> None:
    """Make the thread that this is run in the one for checkpoints."""
    _apply([_busy_timeout(WAIT_FOR_OTHERS)], cursor)
    if sys.platform == "linux":  # where a thread has a priority, not only the process
        with suppress(OSError):  # it may not be allowed, and all that it costs is time
            os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)


def _do_nothing(cursor: sqlite3.Cursor) -> None:
    pass


def _make_statistics(cursor: sqlite3.Cursor) -> None:
    try:
        _apply([_busy_timeout(WAIT_FOR_OTHERS), MAKE_STATISTICS], cursor)
    finally:
        _apply([_busy_timeout(PATIENCE)], cursor)


def _busy_timeout(seconds: float) -> str:
    return f"PRAGMA busy_timeout = {int(seconds * 1000)}"
