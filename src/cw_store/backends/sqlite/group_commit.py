"""Calls that are a transaction by themselves; writes that wait together share one commit.

Guarantees
    A call is answered after the commit that stores it, never before, and its error is its own: what
    one call breaks costs the others of its group nothing but time. A group that SQLite undid as a
    whole is done again, without those that nobody waits for, or each call alone.
    The turn is passed on once, whatever happens; what has begun is brought to its end or rolled
    back before that, also when the event loop ends.

Runs on
    What ends in `_in_thread` in the writer's thread, and so does calling a `Call`, as the job that
    it is. All else on the event loop. A job and its `then` never overlap, so what one has written
    the other may read.

Order
    Nothing may be interrupted from a call's end until its transaction's (`end_interruptible`), or
    an interruption that comes late would undo those before it. Pass the turn on before the answers,
    since whoever is answered may ask for it at once, behind those who wait.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from cw_store.backends.cancellation import BegunTask
from cw_store.backends.sqlite.connection import Connection, Job
from cw_store.backends.sqlite.errors import (
    DatabaseLockedError,
    closed_error,
    is_interrupted,
    outcome_unknown,
    plain_failure,
)
from cw_store.backends.sqlite.readers import ReaderPool
from cw_store.backends.sqlite.statements import (
    OPERATIONS,
    begin_immediate,
    commit,
    is_surely_undone,
    roll_back,
)
from cw_store.backends.sqlite.write_queue import Turn
from cw_store.backends.sqlite.writer import Writer
from cw_store.errors import OutcomeUnknownError, StoreBusyError, StoreError, UnreadableError
from cw_store.statements.compiled import CompiledStatement, Parameters
from cw_store.statements.database import MANY, STEPS, Operation

T = TypeVar("T")

COMPOUND = (MANY, STEPS)
"""The operations of more than one statement."""

GROUP_LIMIT = 256
"""Most single-statement writes that share one commit."""

LONG_JOB = 0.0001
"""Seconds after which a group lets the event loop have a round, with its transaction open.

The scheduler is in no hurry to take the core from a thread that is at work, so a timer would wait
for all of a group, and for another that was started meanwhile.
"""


class Call(Turn):
    """A write that is a transaction by itself; those that wait together are committed together.

    `is_compound` is work of several statements. A single one needs no BEGIN where it is alone, and
    no savepoint among others.
    """

    __slots__ = ("_arguments", "_has_run", "_is_compound", "_work", "_writer")

    def __init__(
        self,
        writer: Writer,
        work: Callable[..., Any],
        arguments: tuple[Any, ...],
        *,
        is_compound: bool,
    ) -> None:
        super().__init__(writer.loop)
        self._writer = writer
        self._work = work
        self._arguments = arguments
        self._is_compound = is_compound
        self._has_run = False

    # On the event loop.

    def acquired(self) -> None:
        """Run, together with those that wait right behind."""
        queue = self._writer.queue
        rest = queue.take_while(Call, GROUP_LIMIT - 1) if queue.queue else []
        if rest:
            Group(self._writer, self, [self, *rest]).start()
        else:
            self._writer.connection.jobs.add(self)

    def _return(self) -> None:
        if self._has_run:
            writer = self._writer
            writer.queue.release(self)
            if self.error is None or self.may_be_stored:
                writer.note_commit()
            self.settle_now()
        else:
            Group(self._writer, self, [self]).wait_for_lock()

    @property
    def may_be_stored(self) -> bool:
        """Whether it is, or nobody knows, once it has run; a row is stored that cannot be read."""
        return self.error is None or isinstance(self.error, OutcomeUnknownError | UnreadableError)

    def give_up(self) -> None:
        """Leave the queue, or be interrupted, which undoes all of the transaction."""
        self.given_up = True
        self._writer.connection.interrupt_job(self)

    # In the writer's thread.

    def __call__(self) -> None:
        """Run as a job of its own, unless another process waits for its turn."""
        writer = self._writer
        connection = writer.connection
        if writer.nobody_waits():
            self._has_run = self.run_alone_in_thread(connection)
        connection.callbacks.add(self._return)

    def run_alone_in_thread(self, connection: Connection) -> bool:
        """Do the work as a transaction by itself; False when another process has the lock."""
        connection.running = self
        try:
            if self.given_up:
                self.error = closed_error()
            elif self._is_compound:
                begin_immediate(connection.cursor_of_jobs)
                self.run_to_commit_in_thread(connection)
            else:
                self.value = self._work(*self._arguments, connection.cursor_of_jobs)
        except StoreBusyError:
            return False
        except Exception as error:
            connection.end_interruptible()
            self._fail_in_thread(error, connection)
        finally:
            connection.running = None
            if connection.is_aimed_at:
                connection.let_aim()
        return True

    def _fail_in_thread(self, error: Exception, connection: Connection) -> None:
        """Keep what a statement by itself failed with, which may have been its commit."""
        self.error = connection.told(error)
        if not is_surely_undone(error.__cause__, connection.cursor_of_jobs):
            self.error = outcome_unknown()
            self.error.__cause__ = error.__cause__

    def run_to_commit_in_thread(self, connection: Connection) -> None:
        """Do the work in the transaction that has begun for it alone, and commit."""
        try:
            self._run_in_thread(connection)
            commit(connection.cursor_of_jobs)
        except Exception as error:
            is_plain = isinstance(error, StoreError | MemoryError)
            self.error = connection.told(error if is_plain else plain_failure(error))
            roll_back(connection)

    def run_in_group_in_thread(self, connection: Connection) -> None:
        """Do the work as a part of a transaction, and undo no more than that if it fails."""
        if self.given_up:
            return  # nobody asks for its answer
        if self._is_compound:
            self._run_in_savepoint_in_thread(connection)
            return
        try:
            self._run_in_thread(connection)
        except Exception as error:
            self.error = connection.told(error)

    def _run_in_savepoint_in_thread(self, connection: Connection) -> None:
        cursor, raw = connection.cursor_of_jobs, connection.raw
        cursor.execute("SAVEPOINT call")
        try:
            self._run_in_thread(connection)
        except Exception as error:
            self.error = connection.told(error)
            if raw.in_transaction:
                cursor.execute("ROLLBACK TO call")
        if raw.in_transaction:
            cursor.execute("RELEASE call")

    def _run_in_thread(self, connection: Connection) -> None:
        """Do the work, which is not interruptible any more when it has ended."""
        connection.running = self
        try:
            self.value = self._work(*self._arguments, connection.cursor_of_jobs)
        finally:
            connection.end_interruptible()


class Calls:
    """Runs statements, each in a transaction of its own."""

    __slots__ = ("_readers", "_writer")

    def __init__(self, writer: Writer, readers: ReaderPool) -> None:
        self._writer = writer
        self._readers = readers

    def run(
        self, operation: Operation[T], statement: CompiledStatement[Any], parameters: Parameters
    ) -> Awaitable[T]:
        """Run one statement, one for each entry, or a procedure."""
        work = OPERATIONS[operation]
        if not statement.writes:
            return self._readers.read(work, statement, parameters)
        writer = self._writer
        call = Call(writer, work, (statement, parameters), is_compound=operation in COMPOUND)
        writer.queue.ask(call)
        return call


class Group:
    """Calls that share one commit, or one that has to wait for the lock of another process.

    It has a turn, that of the first call, and asks for the lock as often as it takes.
    """

    def __init__(self, writer: Writer, turn: Turn, calls: list[Call]) -> None:
        self._writer = writer
        self._turn = turn
        self._calls = calls
        self._left = iter(calls)
        self._is_begun = False
        self._is_done = False
        self._job: Job[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        """Say how many calls share the turn, and whose it is."""
        return f"<Group of {len(self._calls)} in the turn of {self._turn!r}>"

    # On the event loop.

    def start(self) -> None:
        """Give the writer a job, unless another process waits for its turn."""
        self._writer.note_group(len(self._calls))
        if self._writer.nobody_waits():
            self._queue_job()
        else:
            self.wait_for_lock()

    def _queue_job(self) -> None:
        self._job = self._writer.connection.run(self._run_in_thread, then=self._after_job)
        self._job.is_kept = True  # each of the calls is given up by itself

    def _after_job(self) -> None:
        job, self._job = self._job, None  # it leads back here: a cycle
        error = None if job is None else job.error
        if isinstance(error, DatabaseLockedError):
            self.wait_for_lock()
        elif error is not None:
            self._reject(error)
            self._settle()
        elif self._is_done:
            self._settle()
        else:
            self._writer.loop.call_soon(self._queue_job)

    def wait_for_lock(self) -> None:
        """Try again when the lock may be free, in a task of the group's own."""
        self._task = BegunTask(self._run_in_line())

    async def _run_in_line(self) -> None:
        try:
            await self._writer.when_unlocked(
                self._run_job, self._turn.deadline, check=self._refuse_if_given_up
            )
            while not self._is_done:
                await self._run_job()
        except BaseException as error:
            self._reject(error)
            if not isinstance(error, (StoreError, asyncio.CancelledError)):
                raise
        finally:
            self._settle()

    async def _run_job(self) -> None:
        try:
            await self._writer.connection.run(self._run_in_thread).finished()
        except asyncio.CancelledError:
            # The task is the group's own, so it is the loop that ends. What has begun is brought
            # to its end, or the next to write would go on in it.
            if not self._is_begun and not self._is_done:
                raise

    def _refuse_if_given_up(self) -> None:
        if all(call.given_up for call in self._calls):
            raise closed_error()

    def _reject(self, error: BaseException) -> None:
        for call in self._calls:
            call.error = error if isinstance(error, StoreError) else closed_error()

    def _settle(self) -> None:
        self._writer.queue.release(self._turn)
        if any(call.may_be_stored for call in self._calls):
            self._writer.note_commit()
        self._writer.callbacks.add_all(call.settle_now for call in self._calls)

    # In the writer's thread.

    def _run_in_thread(self) -> None:
        """Do all that is left, or as much as one job may take."""
        connection = self._writer.connection
        end = self._writer.clock() + LONG_JOB
        try:
            while not self._is_done:
                if not self._is_begun:
                    begin_immediate(connection.cursor_of_jobs)
                    self._is_begun = True
                if not self._run_some_in_thread(connection, end):
                    return
                self._conclude_in_thread(connection)
        except BaseException:
            roll_back(connection)
            raise

    def _run_some_in_thread(self, connection: Connection, end: float) -> bool:
        """Run the calls that are left; False when there is no time for the rest."""
        raw, clock = connection.raw, self._writer.clock
        for call in self._left:
            if not raw.in_transaction or connection.is_given_up:
                break
            try:
                call.run_in_group_in_thread(connection)
            except sqlite3.Error:  # of its savepoint
                roll_back(connection)
            if clock() > end:
                return False
        return True

    def _conclude_in_thread(self, connection: Connection) -> None:
        """Commit, or see to it that the others are stored when SQLite has undone them all."""
        if connection.is_given_up:
            roll_back(connection)
            self._reject(closed_error())
            self._is_done = True
        elif connection.raw.in_transaction and self._try_commit_in_thread(connection):
            self._is_done = True
        else:
            self._go_on_after_undoing_in_thread(connection)

    def _try_commit_in_thread(self, connection: Connection) -> bool:
        """Commit; False when it is undone."""
        try:
            commit(connection.cursor_of_jobs)
        except OutcomeUnknownError as error:
            for call in self._calls:
                call.error = outcome_unknown()
                call.error.__cause__ = error.__cause__
        except StoreError:
            return False
        return True

    def _go_on_after_undoing_in_thread(self, connection: Connection) -> None:
        was_interrupted = any(is_interrupted(call.error) for call in self._calls)
        self._calls = [call for call in self._calls if not call.given_up]
        for call in self._calls:
            call.error = None
        if was_interrupted and self._calls:
            self._left = iter(self._calls)
            self._is_begun = False
        else:  # by SQLite itself (the disk is full, say): each has to try alone
            self._run_each_alone_in_thread(connection)
            self._is_done = True

    def _run_each_alone_in_thread(self, connection: Connection) -> None:
        for call in self._calls:
            try:
                begin_immediate(connection.cursor_of_jobs)
            except StoreError as error:
                call.error = plain_failure(error.__cause__ or error)
            else:
                call.run_to_commit_in_thread(connection)
