"""Writes that are a transaction by themselves; those that wait together share one commit."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from cw_store.backends.cancellation import BegunTask
from cw_store.backends.gate import Turn
from cw_store.backends.sqlite_connection import Visit
from cw_store.backends.sqlite_lock import lock_line
from cw_store.backends.sqlite_readers import closed_meanwhile
from cw_store.backends.sqlite_statements import (
    begin_immediate,
    commit,
    is_surely_undone,
    outcome_unknown,
    plain_failure,
)
from cw_store.errors import StoreBusyError, StoreError

if TYPE_CHECKING:
    from cw_store.backends.sqlite import SqliteBackend

GROUP_LIMIT = 256
"""Most single-statement writes that share one commit."""

LONG_VISIT = 0.0001
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
        # Everything at once: the way through the base classes costs more than most of a call.
        self._asyncio_future_blocking = False
        self._cancelled = False
        self._loop = loop = backend.loop
        self._wake = self._context = self.error = None
        self.done = self.given_up = False
        self.since = now = loop.time()
        self.deadline = now + backend.timeout
        self.label = self.task_name = self.block = None  # the task is the one that waits
        self.within = ()
        self._backend = backend
        self._writer = backend.writer
        self._work = work
        self._arguments = arguments
        self._ran = False
        self.compound = compound

    def granted(self) -> None:
        """Run, together with those that wait right behind."""
        gate = self._backend.gate
        rest = gate.take_while(Call, GROUP_LIMIT - 1) if gate.queue else []
        if rest:
            Group(self._backend, self, [self, *rest]).start()
        else:
            self._writer.jobs.add(self)

    def __call__(self) -> None:
        """Run unless another process waits for its turn; in the thread."""
        writer = self._writer
        if self._backend.nobody_waits():
            self.run_alone(writer.cursor_of_visits, writer.raw)
        writer.completions.add(self._return)

    def _return(self) -> None:
        if self._ran:
            backend = self._backend
            backend.maintenance.note_write()
            backend.gate.release(self)
            self.settle_now()
        else:
            Group(self._backend, self, [self]).wait_in_lock_line()

    def run_alone(self, cursor: sqlite3.Cursor, raw: sqlite3.Connection) -> bool:
        """Do the work as a transaction by itself; False when another process has the lock."""
        try:
            if not self.compound:  # without BEGIN: a statement is a transaction by itself
                self.value = self._work(*self._arguments, cursor)
            elif begin_immediate(cursor):
                _run_to_commit(self, cursor, raw)
            else:
                return False
        except StoreBusyError:
            return False
        except Exception as error:
            self.error = error
            if not is_surely_undone(error.__cause__, cursor):
                self.error = outcome_unknown()
                self.error.__cause__ = error.__cause__
        self._ran = True
        return True

    def run(self, cursor: sqlite3.Cursor) -> None:
        """Do the work; runs in the writer's thread."""
        self.value = self._work(*self._arguments, cursor)

    def cancel(self, msg: object = None) -> bool:
        """Leave the queue, or let the work be done without anybody waiting for it."""
        self.given_up = True
        return super().cancel(msg)


class Group:
    """Calls that share one commit; each is answered after it, a failing one undoes only itself."""

    def __init__(self, backend: SqliteBackend, turn: Turn, calls: list[Call]) -> None:
        self._backend = backend
        self._turn = turn
        self._calls = calls
        self._left = iter(calls)
        self._begun = False
        self._committed = False
        self._visited: Visit[None] | None = None
        self._retry: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Visit the writer, unless another process waits for its turn."""
        if self._backend.nobody_waits():
            self._visit()
        else:
            self.wait_in_lock_line()

    def _visit(self) -> None:
        self._visited = self._backend.writer.visit(self._run, then=self._after_visit)

    def _run(self) -> None:
        """Do all that is left, or as much as one visit may take; in the writer's thread."""
        cursor = self._backend.writer.cursor_of_visits
        raw = self._backend.writer.raw
        if len(self._calls) == 1:
            self._committed = self._calls[0].run_alone(cursor, raw)
            return
        if not self._begun:
            if not begin_immediate(cursor):
                return
            self._begun = True
        end = monotonic() + LONG_VISIT
        while raw.in_transaction:
            call = next(self._left, None)
            if call is None:
                self._committed = self._commit(cursor, raw)
                break
            try:
                _run_in_group(call, cursor, raw)
            except sqlite3.Error:  # of its savepoint
                _roll_back(cursor, raw)
            if monotonic() > end:
                return
        if not self._committed:
            # The whole group is undone (the disk is full, say): each has to try alone.
            for call in self._calls:
                call.error = None
                _run_in_transaction(call, cursor, raw)
            self._committed = True

    def _commit(self, cursor: sqlite3.Cursor, raw: sqlite3.Connection) -> bool:
        """Commit; False when it is undone, so that each can try alone; in the writer's thread."""
        try:
            cursor.execute("COMMIT")
        except sqlite3.Error as error:
            _roll_back(cursor, raw)
            if is_surely_undone(error, cursor):
                return False
            for call in self._calls:
                call.error = outcome_unknown()
                call.error.__cause__ = error
        return True

    def _after_visit(self) -> None:
        visited, self._visited = self._visited, None  # it leads back here: a cycle
        if self._committed:
            self._settle()
        elif self._begun and visited is not None and visited.error is None:
            self._backend.loop.call_soon(self._visit)
        else:
            self.wait_in_lock_line()

    def _settle(self) -> None:
        self._backend.pass_turn_on(self._turn)
        self._backend.returns.add_all(call.settle_now for call in self._calls)

    def wait_in_lock_line(self) -> None:
        """Try again when the lock may be free."""
        if self._retry is None:
            self._retry = BegunTask(self._take_turns())

    async def _take_turns(self) -> None:
        try:
            async with lock_line(self._backend, self._calls[0].deadline) as line:
                while not self._committed:
                    if not self._begun:
                        await line.next()
                    try:
                        await self._backend.writer.visit(self._run).finished()
                    except asyncio.CancelledError:
                        # The task is the group's own, so it is the loop that ends. What has begun
                        # is brought to its end, or the next to write would go on in it.
                        if not self._begun and not self._committed:
                            raise
        except BaseException as error:
            for call in self._calls:
                call.error = error if isinstance(error, StoreError) else closed_meanwhile()
            if not isinstance(error, (StoreError, asyncio.CancelledError)):
                raise
        finally:
            self._settle()


def _run_in_group(call: Call, cursor: sqlite3.Cursor, raw: sqlite3.Connection) -> None:
    if not call.compound:
        try:
            call.run(cursor)
        except Exception as error:
            call.error = error
        return
    cursor.execute("SAVEPOINT call")
    try:
        call.run(cursor)
    except Exception as error:
        call.error = error
        if raw.in_transaction:
            cursor.execute("ROLLBACK TO call")
    if raw.in_transaction:
        cursor.execute("RELEASE call")


def _run_in_transaction(call: Call, cursor: sqlite3.Cursor, raw: sqlite3.Connection) -> None:
    try:
        cursor.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        call.error = plain_failure(error)
    else:
        _run_to_commit(call, cursor, raw)


def _run_to_commit(call: Call, cursor: sqlite3.Cursor, raw: sqlite3.Connection) -> None:
    try:
        call.run(cursor)
        commit(cursor)
    except Exception as error:
        call.error = error if isinstance(error, StoreError) else plain_failure(error)
        _roll_back(cursor, raw)


def _roll_back(cursor: sqlite3.Cursor, raw: sqlite3.Connection) -> None:
    if raw.in_transaction:
        cursor.execute("ROLLBACK")
