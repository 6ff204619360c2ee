"""The transactions of units of work on SQLite: one that writes, any number that read.

Guarantees
    An object is one transaction. Once `commit`, `rollback` or `terminate` was called nothing more
    is done in it: a BEGIN that is still on its way is followed by the end, and who waits for a
    turn or a connection to begin it is refused, and gives back what it was handed.
    The end is queued at once and brought to its end, whoever is cancelled; the turn or the
    connection is passed on in the same step, and exactly once.
    `committed` is True only when SQLite has said so. Where SQLite rolled back by itself, what comes
    after it is refused (`inside`), and never stored as if it were all.

Runs on
    The event loop, but for what ends in `_in_thread`, and `note_cursor` and `close_cursors`, which
    the connection's thread calls. It alone says that the transaction has begun.

Order
    Close a session's cursors before the COMMIT, or a statement that was not run to its end keeps
    the lock or the snapshot. Queue the end, then pass the turn on: the next one's first job stands
    behind the end. A new transaction may be asked for as soon as the end is queued.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from time import monotonic
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from cw_store.backends.cancellation import shielded
from cw_store.backends.session import UnitSession
from cw_store.backends.session_owner import SessionOwner, WeakOwner
from cw_store.backends.sqlite.connection import Connection, Job
from cw_store.backends.sqlite.errors import DatabaseLockedError, is_interrupted, locked_error
from cw_store.backends.sqlite.hosts import Host, ReadingHost, WritingHost
from cw_store.backends.sqlite.session import AdaptedConnection, SessionConnection
from cw_store.backends.sqlite.statements import (
    OPERATIONS,
    begin_immediate,
    commit,
    drop_temporary,
    inside,
    roll_back,
    run_sql,
    undo_to,
)
from cw_store.backends.sqlite.write_queue import Turn
from cw_store.errors import OutcomeUnknownError, StoreError, UnitOfWorkError
from cw_store.self_deadlock import Block
from cw_store.statements.compiled import CompiledStatement, Parameters
from cw_store.statements.database import Executor, Operation

T = TypeVar("T")


B = TypeVar("B", bound=Host)


class SqliteTransaction(Generic[B]):
    """What reading and writing transactions share: how statements and sessions use a connection.

    Cursors of a session outlive a job. They are closed when the transaction ends, because
    a statement that was not run to its end keeps the lock or the snapshot, and nothing else
    closes it while an exception's traceback holds its frame.
    """

    _backend: B
    _cursors: WeakSet[sqlite3.Cursor] | None = None  # None while no session was used
    _has_ended = False
    committed: bool | None = None
    waited = 0.0
    held = 0.0

    @property
    def connection(self) -> Connection | None:
        """The connection while the transaction is active; its end closes all cursors."""
        raise NotImplementedError

    def perform(self, work: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        """Do the work in the transaction, which begins with it when it has not begun."""
        raise NotImplementedError

    def run(
        self, operation: Operation[T], statement: CompiledStatement[Any], parameters: Parameters
    ) -> Awaitable[T]:
        """Run a statement in the transaction."""
        return self.perform(OPERATIONS[operation], statement, parameters)

    async def lock(self, name: str) -> None:
        """Do nothing: a writer has the whole database to itself."""

    def atomic(self) -> AbstractAsyncContextManager[Executor]:
        """Give this transaction."""
        return nullcontext(self)

    def session(self, owner: SessionOwner) -> UnitSession:
        """Return a session in this transaction."""
        weak = WeakOwner(owner)
        connection = SessionConnection(self, weak)
        return self._backend.sessions.session_on(
            lambda driver: AdaptedConnection(driver, connection, weak), weak, connection
        )

    def note_cursor(self, cursor: sqlite3.Cursor) -> None:
        """Close the cursor of a session when the transaction ends; in the connection's thread."""
        if self._cursors is None:
            self._cursors = WeakSet()
        self._cursors.add(cursor)

    async def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        await self.perform(run_sql, f"SAVEPOINT {name}")

    async def release(self, name: str) -> None:
        """Keep what was done since the savepoint."""
        await self.perform(run_sql, f"RELEASE {name}")

    async def undo(self, name: str) -> None:
        """Undo what was done since the savepoint."""
        await shielded(self._undo(name))

    async def _undo(self, name: str) -> None:
        await self.perform(self._undo_in_thread, name)

    def _undo_in_thread(self, name: str, cursor: sqlite3.Cursor) -> None:
        try:
            undo_to(name, cursor)
        except StoreError as error:
            if not is_interrupted(error):
                raise
            # What was interrupted is still on its way while any statement is, one whose rows a
            # session has not read to the end.
            self.close_cursors()
            undo_to(name, cursor)

    def close_cursors(self) -> None:
        """Close what a session left open; for the connection's thread."""
        if self._cursors:
            for cursor in list(self._cursors):
                cursor.close()


class WriteTransaction(SqliteTransaction[WritingHost]):
    """A transaction that holds the writer's turn from its first statement to its end."""

    def __init__(self, backend: WritingHost, label: str | None, block: Block | None = None) -> None:
        self._backend = backend
        self._writer = backend.writer
        self._label = label
        self._block = block
        self._turn: Turn | None = None
        self._is_begun = False  # set in the writer's thread
        self._locked_out = 0.0  # seconds that it had the turn, and another process the lock
        self.active = False
        """Whether anything may have reached the database, and the end has not been sent."""

    # On the event loop.

    @property
    def connection(self) -> Connection | None:
        """The writing connection while the transaction is active."""
        return self._writer.connection if self.active else None

    def perform(self, work: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        """Do the work in the transaction, which begins with it when it has not begun."""
        if self._is_begun and self.active:
            connection = self._writer.connection
            return connection.run(inside, connection, work, arguments)
        return self._begin_with(work, arguments)

    async def _begin_with(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        if self._has_ended:
            raise _ended_error()
        if self._turn is None:
            queue = self._writer.queue
            self._turn = queue.free_turn(self._label, self._block) or await self._wait_for_turn()
        self.active = True
        try:
            return await self._writer.connection.run(self._begin_first_in_thread, work, arguments)
        except DatabaseLockedError:
            self.active = False
        again = partial(self._begin_again, work, arguments)
        loop = self._writer.loop
        locked_out_at = loop.time()
        try:
            return await self._writer.when_unlocked(
                again, self._deadline(), check=self._refuse_ended
            )
        finally:
            self._locked_out = loop.time() - locked_out_at

    async def _begin_again(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        self.active = True
        try:
            return await self._writer.connection.run(self._begin_in_thread, work, arguments)
        except DatabaseLockedError:
            self.active = False
            raise

    async def _wait_for_turn(self) -> Turn:
        turn = await self._writer.queue.turn(self._label, self._block)
        if self._has_ended:
            self._writer.queue.release(turn)
            raise _ended_error()
        return turn

    def _deadline(self) -> float:
        return 0.0 if self._turn is None else self._turn.deadline

    def _refuse_ended(self) -> None:
        if self._has_ended:
            raise _ended_error()

    async def commit(self) -> None:
        """Commit and pass the turn on; done even when the caller is cancelled."""
        try:
            self._writer.queue.refuse_if_gone()
        except StoreError:
            await self.rollback()
            raise
        if self.active:
            self.committed = None
        # As the loop sees it now: what begins it may be on its way, for a task left behind.
        end = self._end(self._commit_in_thread, self._is_begun)
        if end is not None:
            await end.finished()

    def rollback(self) -> Coroutine[Any, Any, None]:
        """Roll back and pass the turn on; done even when the caller is cancelled."""
        return _finished(self._queue_rollback())

    def terminate(self) -> None:
        """Roll back and pass the turn on, without waiting for it."""
        self._queue_rollback()

    def _queue_rollback(self) -> Job[None] | None:
        if self.active:
            self.committed = False
        return self._end(self._roll_back_in_thread)

    def _end(self, work: Callable[..., None], *arguments: Any) -> Job[None] | None:
        """Queue the end and pass the turn on at once: who has it next stands behind this job."""
        end = None
        if self.active:
            end = self._writer.connection.run(work, *arguments, then=self._after_end)
            if end.is_done:
                self.committed = False  # the connection is closed, which has rolled back
        self._has_ended = True
        self.active = False
        turn, self._turn = self._turn, None
        if turn is not None:
            self._writer.queue.release(turn)
            self.waited = turn.waited + self._locked_out
            self.held = turn.held - self._locked_out
        return end

    def _after_end(self) -> None:
        if self.committed is not False:
            self._writer.note_commit()

    # In the writer's thread.

    def _begin_first_in_thread(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        """Begin unless other processes wait, which go first."""
        if not self._writer.nobody_waits():
            raise locked_error()
        return self._begin_in_thread(work, arguments)

    def _begin_in_thread(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        """Begin and do the first work in one job."""
        cursor = self._writer.connection.cursor_of_jobs
        begin_immediate(cursor)
        self._is_begun = True
        return work(*arguments, cursor)

    def _commit_in_thread(self, begun: bool) -> None:
        connection = self._writer.connection
        if self._cursors:
            self.close_cursors()
        try:
            if begun:
                if self._cursors is not None:
                    inside(connection, drop_temporary, ())
                inside(connection, commit, ())
            self.committed = begun
        except OutcomeUnknownError:
            raise
        except BaseException:
            self.committed = False
            raise
        finally:
            if connection.raw.in_transaction:
                roll_back(connection)

    def _roll_back_in_thread(self) -> None:
        self.close_cursors()
        roll_back(self._writer.connection)


async def _finished(end: Job[None] | None) -> None:
    if end is not None:
        await end.finished()


def _ended_error() -> UnitOfWorkError:
    """Return the error for a task that a unit left behind while it waited to write."""
    return UnitOfWorkError("the unit of work ended while this waited for its turn")


class ReadTransaction(SqliteTransaction[ReadingHost]):
    """A snapshot on a connection that only reads; it never waits for a writer."""

    def __init__(self, backend: ReadingHost) -> None:
        self._backend = backend
        self._reader: Connection | None = None
        self._since: float

    @property
    def connection(self) -> Connection | None:
        """The reading connection while a snapshot is held."""
        return self._reader

    @property
    def active(self) -> bool:
        """Whether a snapshot is held."""
        return self._reader is not None

    def perform(self, work: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        """Do the work on the snapshot, which is taken with it when it has not been."""
        if self._reader is not None:
            return self._reader.run(inside, self._reader, work, arguments)
        return self._begin_with(work, arguments)

    async def _begin_with(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        if self._has_ended:
            raise UnitOfWorkError("the unit of work ended while this waited")
        asked = monotonic()
        reader = self._backend.readers.idle()
        if reader is None:
            reader = await self._backend.readers.take()
            if self._has_ended:
                self._backend.readers.give(reader)
                raise UnitOfWorkError("the unit of work ended while this waited")
        self._reader = reader
        self._since = now = monotonic()
        self.waited = now - asked
        return await reader.run(self._begin_in_thread, reader, work, arguments)

    def _begin_in_thread(
        self, reader: Connection, work: Callable[..., T], arguments: tuple[Any, ...]
    ) -> T:
        if not reader.raw.in_transaction:  # this is tried again where the database was locked
            run_sql("BEGIN", reader.cursor_of_jobs)
        return work(*arguments, reader.cursor_of_jobs)

    async def commit(self) -> None:
        """Let the snapshot go."""
        self._end()
        self.committed = True

    async def rollback(self) -> None:
        """Let the snapshot go."""
        self.terminate()

    def terminate(self) -> None:
        """Let the snapshot go."""
        self._end()
        self.committed = False

    def _end(self) -> None:
        """Queue the end and do not wait: whoever is next on the connection stands behind it."""
        self._has_ended = True
        if self._reader is not None:
            self.held = monotonic() - self._since
            reader, self._reader = self._reader, None
            reader.run(self._let_go_in_thread, reader).is_kept = True
            self._backend.readers.give(reader)

    def _let_go_in_thread(self, reader: Connection) -> None:
        self.close_cursors()
        roll_back(reader)
