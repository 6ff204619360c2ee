"""Writes that are a transaction by themselves; those that wait together share one commit."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from cw_store.backends.cancellation import BegunTask
from cw_store.backends.sqlite.connection import Connection, Job
from cw_store.backends.sqlite.errors import closed_error, is_interrupted
from cw_store.backends.sqlite.lock_wait import lock_wait
from cw_store.backends.sqlite.statements import (
    begin_immediate,
    commit,
    is_surely_undone,
    outcome_unknown,
    plain_failure,
)
from cw_store.backends.sqlite.write_queue import Turn
from cw_store.errors import StoreBusyError, StoreError

if TYPE_CHECKING:
    from cw_store.backends.sqlite.backend import SqliteBackend

GROUP_LIMIT = 256
"""Most single-statement writes that share one commit."""

LONG_JOB = 0.0001
"""Seconds after which a group lets the event loop have a round, with its transaction open.

The scheduler is in no hurry to take the core from a thread that is at work, so a timer would wait
for all of a group, and for another that was started meanwhile.
"""


class Call(Turn):
    """A write that is a transaction by itself; those that wait together are committed together."""

    __slots__ = ("_arguments", "_backend", "_ran", "_work", "_writer", "compound")

    def __init__(
        self,
        backend: SqliteBackend,
        work: Callable[..., Any],
        arguments: tuple[Any, ...],
        compound: bool,
    ) -> None:
        super().__init__(backend.loop, None, backend.timeout)
        self._backend = backend
        self._writer = backend.writer
        self._work = work
        self._arguments = arguments
        self._ran = False
        self.compound = compound

    def acquired(self) -> None:
        """Run, together with those that wait right behind."""
        write_queue = self._backend.write_queue
        rest = write_queue.take_while(Call, GROUP_LIMIT - 1) if write_queue.queue else []
        if rest:
            Group(self._backend, self, [self, *rest]).start()
        else:
            self._writer.jobs.add(self)

    def __call__(self) -> None:
        """Run unless another process waits for its turn; in the thread."""
        writer = self._writer
        if self._backend.nobody_waits():
            self.run_alone(writer)
        writer.callbacks.add(self._return)

    def _return(self) -> None:
        if self._ran:
            self._backend.pass_turn_on(self)
            self.settle_now()
        else:
            Group(self._backend, self, [self]).wait_in_lock_line()

    def run_alone(self, writer: Connection) -> bool:
        """Do the work as a transaction by itself; False when another process has the lock."""
        cursor = writer.cursor_of_jobs
        writer.running = self
        try:
            if self.given_up:
                self.error = closed_error()
            elif not self.compound:  # without BEGIN: a statement is a transaction by itself
                self.value = self._work(*self._arguments, cursor)
            elif begin_immediate(cursor):
                _run_to_commit(self, writer)
            else:
                return False
        except StoreBusyError:
            return False
        except Exception as error:
            writer.end_interruptible()
            self.error = writer.told(error)
            if not is_surely_undone(error.__cause__, cursor):
                self.error = outcome_unknown()
                self.error.__cause__ = error.__cause__
        finally:
            writer.running = None
            if writer.is_aimed_at:
                writer.let_aim()
        self._ran = True
        return True

    def run(self, writer: Connection) -> None:
        """Do the work, which is not interruptible any more when it has ended; in the thread."""
        writer.running = self
        try:
            self.value = self._work(*self._arguments, writer.cursor_of_jobs)
        finally:
            writer.end_interruptible()

    def give_up(self) -> None:
        """Leave the queue, or be interrupted, which undoes all of the transaction."""
        self.given_up = True
        self._writer.interrupt_job(self)


class Group:
    """Calls that share one commit; each is answered after it, a failing one undoes only itself.

    Where SQLite undoes the transaction because one of them was interrupted, which nobody waits for
    any more, the others are run again.
    """

    def __init__(self, backend: SqliteBackend, turn: Turn, calls: list[Call]) -> None:
        self._backend = backend
        self._turn = turn
        self._calls = calls
        self._is_single = len(calls) == 1
        self._left = iter(calls)
        self._begun = False
        self._done = False
        self._active: Job[None] | None = None
        self._retry: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Give the writer a job, unless another process waits for its turn."""
        if self._backend.nobody_waits():
            self._queue_job()
        else:
            self.wait_in_lock_line()

    def _queue_job(self) -> None:
        self._active = self._backend.writer.run(self._run, then=self._after_job)
        self._active.is_kept = True  # each of the calls is given up by itself

    def _run(self) -> None:
        """Do all that is left, or as much as one job may take; in the writer's thread."""
        writer = self._backend.writer
        if self._is_single:
            self._done = self._calls[0].run_alone(writer)
            return
        raw = writer.raw
        end = monotonic() + LONG_JOB
        while not self._done:
            if not self._begun:
                if not begin_immediate(writer.cursor_of_jobs):
                    return
                self._begun = True
            while raw.in_transaction and not writer.is_given_up:
                call = next(self._left, None)
                if call is None:
                    self._done = self._commit(writer)
                    break
                try:
                    _run_in_group(call, writer)
                except sqlite3.Error:  # of its savepoint
                    _roll_back(writer)
                if monotonic() > end:
                    return
            if not self._done:
                self._after_undoing(writer)

    def _after_undoing(self, writer: Connection) -> None:
        """Go on after the whole group was undone; in the writer's thread."""
        if writer.is_given_up:
            _roll_back(writer)
            for call in self._calls:
                call.error = closed_error()
            self._done = True
            return
        was_interrupted = any(is_interrupted(call.error) for call in self._calls)
        self._calls = [call for call in self._calls if not call.given_up]
        for call in self._calls:
            call.error = None
        if was_interrupted:
            self._left = iter(self._calls)
            self._begun = False
        else:
            # By SQLite itself (the disk is full, say): each has to try alone.
            for call in self._calls:
                _run_in_transaction(call, writer)
            self._done = True

    def _commit(self, writer: Connection) -> bool:
        """Commit; False when it is undone, so that each can try alone; in the writer's thread."""
        cursor = writer.cursor_of_jobs
        try:
            cursor.execute("COMMIT")
        except sqlite3.Error as error:
            _roll_back(writer)
            if is_surely_undone(error, cursor):
                return False
            for call in self._calls:
                call.error = outcome_unknown()
                call.error.__cause__ = error
        return True

    def _after_job(self) -> None:
        job, self._active = self._active, None  # it leads back here: a cycle
        if self._done:
            self._settle()
        elif self._begun and job is not None and job.error is None:
            self._backend.loop.call_soon(self._queue_job)
        else:
            self.wait_in_lock_line()

    def _settle(self) -> None:
        self._backend.pass_turn_on(self._turn)
        self._backend.loop_callbacks.add_all(call.settle_now for call in self._calls)

    def _is_wanted(self) -> bool:
        return not all(call.given_up for call in self._calls)

    def wait_in_lock_line(self) -> None:
        """Try again when the lock may be free."""
        if self._retry is None:
            self._retry = BegunTask(self._take_turns())

    async def _take_turns(self) -> None:
        try:
            async with lock_wait(
                self._backend, self._turn.deadline, is_wanted=self._is_wanted
            ) as line:
                while not self._done:
                    if not self._begun:
                        await line.next()
                    try:
                        await self._backend.writer.run(self._run).finished()
                    except asyncio.CancelledError:
                        # The task is the group's own, so it is the loop that ends. What has begun
                        # is brought to its end, or the next to write would go on in it.
                        if not self._begun and not self._done:
                            raise
        except BaseException as error:
            for call in self._calls:
                call.error = error if isinstance(error, StoreError) else closed_error()
            if not isinstance(error, (StoreError, asyncio.CancelledError)):
                raise
        finally:
            self._settle()


def _run_in_group(call: Call, writer: Connection) -> None:
    if call.given_up:
        return  # nobody asks for its answer
    if not call.compound:
        try:
            call.run(writer)
        except Exception as error:
            call.error = writer.told(error)
        return
    cursor, raw = writer.cursor_of_jobs, writer.raw
    cursor.execute("SAVEPOINT call")
    try:
        call.run(writer)
    except Exception as error:
        call.error = writer.told(error)
        if raw.in_transaction:
            cursor.execute("ROLLBACK TO call")
    if raw.in_transaction:
        cursor.execute("RELEASE call")


def _run_in_transaction(call: Call, writer: Connection) -> None:
    try:
        writer.cursor_of_jobs.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        call.error = plain_failure(error)
    else:
        _run_to_commit(call, writer)


def _run_to_commit(call: Call, writer: Connection) -> None:
    try:
        call.run(writer)
        commit(writer.cursor_of_jobs)
    except Exception as error:
        is_plain = isinstance(error, StoreError | MemoryError)
        call.error = writer.told(error if is_plain else plain_failure(error))
        _roll_back(writer)


def _roll_back(writer: Connection) -> None:
    if writer.raw.in_transaction:
        writer.cursor_of_jobs.execute("ROLLBACK")
