"""What a SQLite file needs now and then, done so that no caller pays for it.

Left to itself SQLite runs a checkpoint within the COMMIT of whoever fills the write-ahead log's
thousandth page. Here the writing connection never does. Its log is copied into the database file
beside the writers, by a connection and a thread of their own; what remains for the writer's turn
is to begin the log anew, which is done seldom where it takes long. The planner's statistics are
made in a turn too; SQLite reads a few hundred rows of an index for them, however many it has.

Guarantees
    Nothing here raises into a caller. What fails is logged with its cause and tried again later;
    a reader of an old snapshot or another process in the way is no failure, and waited for.
    No more than one thing is under way, but for the turn that may be asked for while a copy runs.
    The file is one that the store has open: the checkpointer does not follow a path to another.

Runs on
    The event loop, with a timer while there are writes; what takes long is done by jobs for the
    checkpointer's thread (`Checkpointer`) and the writer's (`make_statistics`), which call back.

Order
    Copy, again until little is left, and only then ask for the turn: what is copied within it
    keeps the writers waiting, and so do the two fsyncs, one for the log and one for the file.
    Pass the turn on before anything that can fail.
    Look at the file's identity before and after a connection to it is opened: SQLite would make
    the file if there were none.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from cw_store.backends.cancellation import BegunTask
from cw_store.backends.sqlite.checkpointer import Checkpointer
from cw_store.backends.sqlite.connection import Connection
from cw_store.backends.sqlite.errors import is_busy
from cw_store.backends.sqlite.files import identity_of
from cw_store.backends.sqlite.maintenance_rules import (
    Copied,
    Counters,
    Look,
    Step,
    current_settings,
)
from cw_store.backends.sqlite.maintenance_turn import Attempt, MaintenanceTurn, make_statistics
from cw_store.backends.sqlite.writer import Writer
from cw_store.errors import StoreBusyError, StoreError

T = TypeVar("T")

logger = logging.getLogger(__name__)

SETTINGS_OF_THE_WRITER = ("PRAGMA wal_autocheckpoint = 0", "PRAGMA analysis_limit = 400")


class Maintenance:
    """Keeps the write-ahead log short and the statistics fresh."""

    def __init__(
        self, writer: Writer, open_connection: Callable[[], Awaitable[Connection]]
    ) -> None:
        self._path = path = writer.path
        self._log = path.with_name(path.name + "-wal")
        self._writer = writer
        self._open_connection = open_connection
        self._loop = writer.loop
        self._settings = current_settings()
        self._counters = Counters(self._settings, self._loop.time())
        self._failures = Failures(path.name, self._settings.tell_every)
        self._file: tuple[int, int] | None = None
        self._connection: Connection | None = None  # None before the start, and after the stop
        self._checkpointer: Checkpointer | None = None
        self._task: asyncio.Task[None] | None = None  # opens or closes the checkpointer
        self._timer: asyncio.TimerHandle | None = None
        self._is_working = False
        self._turn: MaintenanceTurn | None = None
        self._seconds_held = 0.0
        self.checkpoints = 0
        """How often the log was begun anew."""
        self._waiting = 0  # writers, when maintenance last gave its turn back

    async def start(self) -> None:
        """Take over from SQLite what it would do within a commit."""
        connection = self._writer.connection
        await connection.run(_apply_settings, connection.cursor_of_jobs)
        self._file = identity_of(self._path)
        self._connection = connection
        self._rest()

    def stop(self) -> None:
        """Look no more, write no more, and let what is under way end soon."""
        self._connection = None
        self._writer.on_next_commit = None
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
        return self._seconds_held + (0.0 if self._turn is None else self._turn.seconds_held)

    @property
    def log_bytes(self) -> int:
        """How long the log's file is."""
        return _length(self._log)

    # Looking, while there are writes.

    def _rest(self) -> None:
        self._writer.on_next_commit = self._look_soon

    def _look_soon(self) -> None:
        self._timer = self._loop.call_later(self._settings.look_every, self._look)

    def _look(self) -> None:
        self._timer = None
        writer = self._connection
        if writer is None:
            return
        step = Step.NOTHING
        try:
            step = self._do_what_is_due(writer)
        except Exception as error:
            self._failed(error)
        if step is Step.REST:
            self._rest()
        else:
            self._look_soon()

    def _do_what_is_due(self, writer: Connection) -> Step:
        self._counters.turns = self._writer.commits
        look = self._what_is_seen(writer)
        self._counters.note_look(look)
        if self._is_working:
            self._hurry(writer, look)
            return Step.NOTHING
        step = self._counters.due(look)
        self._counters.note_taken(step, look)
        self._begin(step, writer)
        return step

    def _what_is_seen(self, writer: Connection) -> Look:
        return Look(
            self._loop.time(),
            _length(self._log),
            writer.raw.total_changes,
            not self._writer.queue.is_free,
        )

    def _hurry(self, writer: Connection, look: Look) -> None:
        """Keep the writers from writing more than the disk can take, while it is still copying."""
        is_copying = self._turn is None and self._checkpointer is not None
        if is_copying and self._counters.is_overdue(look):
            self._begin(Step.BEGIN_ANEW, writer)

    def _begin(self, step: Step, writer: Connection) -> None:
        checkpointer = self._checkpointer
        match step:
            case Step.MAKE_STATISTICS:
                work = partial(make_statistics, writer, self._settings.wait_for_others)
                self._ask_for_turn(writer, writer, work, self._counted)
            case Step.COPY if checkpointer is None:
                self._is_working = True
                self._task = BegunTask(self._open_and_copy())
            case Step.COPY if checkpointer is not None:
                self._copy(checkpointer)
            case Step.BEGIN_ANEW if checkpointer is not None:
                work = checkpointer.begin_anew
                self._ask_for_turn(writer, checkpointer.connection, work, self._begun_anew)
            case Step.CUT if checkpointer is not None:
                work = checkpointer.cut
                self._ask_for_turn(writer, checkpointer.connection, work, self._cut)
            case Step.REST if checkpointer is not None:
                self._task = BegunTask(self._close_checkpointer())
            case Step.TRY_LATER:
                self._counters.postpone(self._loop.time())
            case _:
                pass

    def _failed(self, error: Exception) -> None:
        self._counters.postpone(self._loop.time())
        is_others = isinstance(error, sqlite3.Error) and is_busy(error)
        is_closing = self._connection is None
        if not is_closing and not is_others and not isinstance(error, StoreBusyError):
            self._failures.add(error)

    # Beside the writers.

    def _copy(self, checkpointer: Checkpointer) -> None:
        self._is_working = True
        attempt = Attempt(checkpointer.copy)
        checkpointer.connection.run(attempt, then=partial(self._copied, attempt))

    def _copied(self, attempt: Attempt[Copied]) -> None:
        writer = self._connection
        if writer is None or self._turn is not None:
            return  # a turn was asked for meanwhile, which goes on
        self._is_working = False
        self._counters.turns = self._writer.commits
        if attempt.error is not None:
            self._failed(attempt.error)
        elif attempt.value is not None:
            self._counters.note_copy(attempt.value)
            self._begin(self._counters.due_after(attempt.value, self._loop.time()), writer)

    # The connections for it: opened when they are needed, closed when nobody writes.

    async def _open_and_copy(self) -> None:
        try:
            self._checkpointer = await self._open()
        except Exception as error:
            self._failed(error)
        finally:
            self._task = None
            self._is_working = False
        if self._checkpointer is not None and self._connection is not None:
            self._copy(self._checkpointer)

    async def _open(self) -> Checkpointer:
        self._refuse_another_file()
        connection = await self._open_connection()
        checkpointer = Checkpointer(connection, self._path, self._settings)
        try:
            await connection.run(checkpointer.prepare)
            self._refuse_another_file()
        except BaseException:
            checkpointer.terminate()
            raise
        return checkpointer

    def _refuse_another_file(self) -> None:
        if identity_of(self._path) != self._file:
            raise StoreError(f"{self._path.name} was replaced by another file")

    async def _close_checkpointer(self) -> None:
        checkpointer, self._checkpointer = self._checkpointer, None
        if checkpointer is not None:
            await checkpointer.close()

    # In the writer's turn.

    def _ask_for_turn(
        self,
        writer: Connection,
        connection: Connection,
        work: Callable[[], T],
        then: Callable[[Attempt[T], float], None],
    ) -> None:
        self._is_working = True
        attempt = Attempt(work)
        ended = partial(self._ended, then=partial(then, attempt))
        self._turn = MaintenanceTurn(self._loop, writer, connection, attempt, ended)
        self._writer.queue.ask(self._turn)

    def _ended(self, turn: MaintenanceTurn, then: Callable[[float], None]) -> None:
        self._turn = None
        self._is_working = False
        self._waiting = len(self._writer.queue.queue)
        self._writer.queue.release(turn)  # before anything that can fail
        self._counters.turns = self._writer.commits
        if turn.acquired_at is not None:
            seconds = turn.seconds_held
            self._seconds_held += seconds
            then(seconds)

    def _begun_anew(self, attempt: Attempt[Copied], seconds: float) -> None:
        self._counters.note_begun_anew(seconds, self._loop.time(), waiting=self._waiting)
        logger.debug(
            "the log of %s was begun anew in %.3f s: %s",
            self._path.name,
            seconds,
            attempt.value,
            extra={"event": "checkpoint"},
        )
        if attempt.error is not None:
            self._failed(attempt.error)
        elif attempt.value is not None and not attempt.value.is_busy:
            self.checkpoints += 1

    def _cut(self, attempt: Attempt[Copied], seconds: float) -> None:
        if attempt.error is not None:
            self._failed(attempt.error)
        elif attempt.value is None or attempt.value.is_busy:
            self._counters.postpone(self._loop.time())

    def _counted(self, attempt: Attempt[int], seconds: float) -> None:
        if attempt.error is not None:
            self._failed(attempt.error)
        elif attempt.value is not None:
            self._counters.note_statistics(attempt.value)


class Failures:
    """Tells the log of what failed: when it is another failure than before, or after a while."""

    def __init__(self, file: str, tell_every: float) -> None:
        self._file = file
        self._tell_every = tell_every
        self._text = ""
        self._told = 0.0

    def add(self, error: Exception) -> None:
        """Tell, unless it was told already."""
        text = f"{type(error).__name__}: {error}"
        now = time.monotonic()
        if text != self._text or now - self._told >= self._tell_every:
            self._text, self._told = text, now
            logger.warning(
                "upkeep of %s failed and is tried again; until it succeeds the -wal file grows: %s",
                self._file,
                text,
                exc_info=error,
                extra={"event": "maintenance_failed"},
            )


def _length(log: Path) -> int:
    """Return the bytes of the file, which SQLite cuts to `WAL_LIMIT` when it begins it anew."""
    try:
        return os.stat(log).st_size  # opening it would drop SQLite's locks on it
    except FileNotFoundError:
        return 0


def _apply_settings(cursor: sqlite3.Cursor) -> None:
    for pragma in SETTINGS_OF_THE_WRITER:
        cursor.execute(pragma).fetchall()
