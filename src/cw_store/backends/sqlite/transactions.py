"""The transactions of units of work on SQLite: one that writes, any number that read."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from weakref import WeakSet

from cw_store.backends.cancellation import shielded
from cw_store.backends.session import SessionOwner, Sessions, UnitSession, WeakOwner
from cw_store.backends.sqlite.connection import Connection, Job
from cw_store.backends.sqlite.errors import is_interrupted
from cw_store.backends.sqlite.lock_wait import lock_wait
from cw_store.backends.sqlite.readers import ReaderPool
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
from cw_store.errors import OutcomeUnknownError, StoreClosedError, StoreError, UnitOfWorkError
from cw_store.statements.compiled import CompiledStatement, Parameters
from cw_store.statements.database import Executor, Operation
from cw_store.statements.query import Query

if TYPE_CHECKING:
    from cw_store.backends.sqlite.backend import SqliteBackend

T = TypeVar("T")


class _Busy:
    """What a job brings back when another process holds the lock."""


_BUSY = _Busy()


class Host(Protocol):
    """What a transaction needs of the backend that it is on."""

    @property
    def sessions(self) -> Sessions:
        """Where sessions come from."""
        ...


class ReadingHost(Host, Protocol):
    """What a reading transaction needs of it."""

    @property
    def readers(self) -> ReaderPool:
        """The connections that read."""
        ...


B = TypeVar("B", bound=Host)


class SqliteTransaction(Generic[B]):
    """What reading and writing transactions share: how statements and sessions use a connection.

    Cursors of a session outlive a job. They are closed when the transaction ends, because
    a statement that was not run to its end keeps the lock or the snapshot, and nothing else
    closes it while an exception's traceback holds its frame.
    """

    def __init__(self, backend: B) -> None:
        self._backend = backend
        self._cursors: WeakSet[sqlite3.Cursor] | None = None  # None while no session was used
        self._has_ended = False
        self.committed: bool | None = None

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

    def check(self, query: Query[Any]) -> None:
        """Do nothing: the unit of work looks after that."""

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
        await self.perform(self._undo_here, name)

    def _undo_here(self, name: str, cursor: sqlite3.Cursor) -> None:
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


class WriteTransaction(SqliteTransaction["SqliteBackend"]):
    """A transaction that holds the writer's turn from its first statement to its end."""

    def __init__(self, backend: SqliteBackend, label: str | None, block: object = None) -> None:
        super().__init__(backend)
        self._label = label
        self._block = block
        self._turn: Turn | None = None
        self._is_begun = False  # set in the writer's thread
        self._is_active = False

    @property
    def connection(self) -> Connection | None:
        """The writing connection while the transaction is active."""
        return self._backend.writer if self._is_active else None

    @property
    def active(self) -> bool:
        """Whether anything may have reached the database, and the end has not been sent."""
        return self._is_active

    def perform(self, work: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        """Do the work in the transaction, which begins with it when it has not begun."""
        if self._is_begun and self._is_active:
            return self._backend.writer.run(inside, self._backend.writer, work, arguments)
        return self._begin_with(work, arguments)

    async def _begin_with(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        if self._has_ended:
            raise _ended_error()
        if self._turn is None:
            await self._take_turn()
        self._is_active = True
        outcome = await self._backend.writer.run(self._begin_if_nobody_waits, work, arguments)
        if isinstance(outcome, _Busy):
            return await self._begin_in_line(work, arguments)
        return outcome

    async def _take_turn(self) -> None:
        turn = self._backend.write_queue.free_turn(self._label)
        if turn is None:
            turn = await self._backend.write_queue.turn(self._label)
            if self._has_ended:
                self._backend.write_queue.release(turn)
                raise _ended_error()
        turn.block = self._block
        self._turn = turn

    async def _begin_in_line(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        self._is_active = False
        async with lock_wait(
            self._backend, self._deadline(), is_wanted=lambda: not self._has_ended
        ) as line:
            while not self._has_ended:
                await line.next()
                if self._has_ended:
                    break
                self._is_active = True
                outcome = await self._backend.writer.run(self._begin, work, arguments)
                if not isinstance(outcome, _Busy):
                    return outcome
                self._is_active = False
        raise _ended_error()

    def _deadline(self) -> float:
        return 0.0 if self._turn is None else self._turn.deadline

    def _begin_if_nobody_waits(
        self, work: Callable[..., T], arguments: tuple[Any, ...]
    ) -> T | _Busy:
        """Let other processes go first that wait for their turn; in the writer's thread."""
        return self._begin(work, arguments) if self._backend.nobody_waits() else _BUSY

    def _begin(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> T | _Busy:
        """Begin and do the first work in one job; runs in the writer's thread."""
        cursor = self._backend.writer.cursor_of_jobs
        if not begin_immediate(cursor):
            return _BUSY
        self._is_begun = True
        return work(*arguments, cursor)

    async def commit(self) -> None:
        """Commit and pass the turn on; done even when the caller is cancelled."""
        try:
            self._backend.write_queue.refuse_if_gone()
        except StoreError:
            await self.rollback()
            raise
        # As the loop sees it now: what begins it may be on its way, for a task left behind.
        await self._end(self._commit, self._is_begun)

    def rollback(self) -> Coroutine[Any, Any, None]:
        """Roll back and pass the turn on; done even when the caller is cancelled."""
        return self._end(self._rollback)

    def terminate(self) -> None:
        """Roll back and pass the turn on, without waiting for it."""
        self._queue_end(self._rollback)

    async def _end(self, work: Callable[..., None], *arguments: Any) -> None:
        end = self._queue_end(work, *arguments)
        if end is not None:
            try:
                await end.finished()
            except StoreClosedError:
                self.committed = False  # the connection is closed, which has rolled back
                raise

    def _queue_end(self, work: Callable[..., None], *arguments: Any) -> Job[None] | None:
        """Queue the end and pass the turn on at once: who has it next stands behind this job."""
        end = None
        if self._is_active:
            self.committed = None if work == self._commit else False
            end = self._backend.writer.run(work, *arguments)
        self._has_ended = True
        self._is_active = False
        turn, self._turn = self._turn, None
        if turn is not None:
            self._backend.pass_turn_on(turn)
        return end

    def _commit(self, begun: bool) -> None:
        writer = self._backend.writer
        if self._cursors:
            self.close_cursors()
        try:
            if begun:
                if self._cursors is not None:
                    inside(writer, drop_temporary, ())
                inside(writer, commit, ())
            self.committed = begun
        except OutcomeUnknownError:
            raise
        except BaseException:
            self.committed = False
            raise
        finally:
            if writer.raw.in_transaction:
                roll_back(writer)

    def _rollback(self) -> None:
        self.close_cursors()
        roll_back(self._backend.writer)


def _ended_error() -> UnitOfWorkError:
    """Return the error for a task that a unit left behind while it waited to write."""
    return UnitOfWorkError("the unit of work ended while this waited for its turn")


class ReadTransaction(SqliteTransaction[ReadingHost]):
    """A snapshot on a connection that only reads; it never waits for a writer."""

    def __init__(self, backend: ReadingHost) -> None:
        super().__init__(backend)
        self._reader: Connection | None = None

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
        reader = self._backend.readers.idle()
        if reader is None:
            reader = await self._backend.readers.take()
            if self._has_ended:
                self._backend.readers.give(reader)
                raise UnitOfWorkError("the unit of work ended while this waited")
        self._reader = reader
        return await reader.run(self._begin, reader, work, arguments)

    def _begin(self, reader: Connection, work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
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
            reader, self._reader = self._reader, None
            reader.run(self._let_go, reader).is_kept = True
            self._backend.readers.give(reader)

    def _let_go(self, reader: Connection) -> None:
        self.close_cursors()
        roll_back(reader)
