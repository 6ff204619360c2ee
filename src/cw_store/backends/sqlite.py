"""SQLite: one writing connection whose turns are handed out in order, and a few that read."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

from sqlalchemy import Dialect

from cw_store.backends.cancellation import finish
from cw_store.backends.gate import Turn, WriteGate
from cw_store.backends.neighbours import Neighbours, Ticket
from cw_store.backends.session import SessionOwner, Sessions, UnitSession
from cw_store.backends.sqlite_connection import (
    BUSY_PAUSE,
    Connection,
    Visit,
    open_connection,
)
from cw_store.backends.sqlite_maintenance import Maintenance
from cw_store.backends.sqlite_readers import ReaderPool, closed_meanwhile
from cw_store.backends.sqlite_session import StandIn
from cw_store.backends.sqlite_statements import (
    begin_immediate,
    count_changes,
    fetch_rows,
    inside,
    plain_failure,
    roll_back,
    run_many,
    run_sql,
    undo_to,
)
from cw_store.errors import (
    StoreBusyError,
    StoreError,
    UnitOfWorkError,
)
from cw_store.repos.sql.door import Executor, Prepared, Query
from cw_store.types import ValueRules, use_rules

R = TypeVar("R")
T = TypeVar("T")

GROUP_LIMIT = 256
"""Most single-statement writes that share one commit."""


class _Busy:
    """What a visit brings back when another process holds the lock."""


_BUSY = _Busy()


class SqliteBackend:
    """One SQLite file, open in one process on one event loop."""

    def __init__(
        self,
        path: Path,
        *,
        synchronous: str,
        readers: int,
        busy_timeout: float,
        rules: ValueRules,
    ) -> None:
        # SQLite follows a link too, and keeps its log beside the file itself.
        self.path = path = path.resolve()
        self._loop = asyncio.get_running_loop()
        self._timeout = busy_timeout
        self._prepared: dict[Query[Any], Prepared[Any]] = {}
        self.sessions = Sessions("sqlite+aiosqlite")
        self.dialect: Dialect = self.sessions.dialect
        use_rules(self.dialect, rules)
        self._open = partial(open_connection, path, synchronous=synchronous, timeout=busy_timeout)
        self.gate = WriteGate(self._loop, busy_timeout)
        self.readers = ReaderPool(partial(self._open, read_only=True), readers, busy_timeout)
        self.maintenance = Maintenance(path, self.gate, busy_timeout)
        self.neighbours: Neighbours | None = None
        self._writer: Connection | None = None

    async def open(self) -> None:
        """Open the writing connection."""
        self._writer = await self._open(read_only=False)
        await self.maintenance.start(self._writer)
        self.neighbours = Neighbours(self.path.with_name(self.path.name + "-turns"))

    async def close(self) -> None:
        """Close every connection; what has not committed is rolled back."""
        self.maintenance.stop()
        self.gate.close()
        try:
            await self.readers.close()
        finally:
            try:
                if self._writer is not None:
                    await self._writer.closed()
            finally:
                if self.neighbours is not None:
                    self.neighbours.close()
                    self.neighbours = None

    def abandon(self) -> None:
        """Let go of everything without an event loop, because the store's own is gone."""
        self.readers.abandon()
        if self._writer is not None:
            self._writer.abandon()
        if self.neighbours is not None:
            self.neighbours.close()
            self.neighbours = None

    def prepare(self, query: Query[R]) -> Prepared[R]:
        """Return the query compiled for this database."""
        prepared = self._prepared.get(query)
        if prepared is None:
            prepared = self._prepared[query] = query.prepare(self.dialect)
        return prepared

    def transaction(
        self, *, read_only: bool, label: str | None
    ) -> ReadTransaction | WriteTransaction:
        """Return a transaction that has not begun."""
        if read_only:
            return ReadTransaction(self)
        return WriteTransaction(self, label)

    @property
    def writer(self) -> Connection:
        """The one connection that writes."""
        assert self._writer is not None
        return self._writer

    def nobody_waits(self) -> bool:
        """Whether no other process waits for its turn to write."""
        return self.neighbours is None or self.neighbours.nobody_waits()

    def pass_turn_on(self, turn: Turn) -> None:
        """Give the turn to the one who has waited longest."""
        self.maintenance.note_write()
        self.gate.release(turn)

    @property
    def connections_in_use(self) -> int:
        """How many connections somebody holds or is visiting."""
        is_written = not self.gate.is_free and not self.maintenance.has_the_turn
        return self.readers.in_use + is_written

    # One call, one transaction: the executor of the store's own repositories.

    def rows(self, prepared: Prepared[R], parameters: Sequence[Any]) -> Awaitable[list[R]]:
        """Run one statement by itself and return its rows as records."""
        if prepared.query.writes:
            return self._write(fetch_rows, prepared, parameters, compound=prepared.fallible)
        return self.readers.read(fetch_rows, prepared, parameters)

    def count(self, prepared: Prepared[Any], parameters: Sequence[Any]) -> Awaitable[int]:
        """Run one statement by itself and return how many rows it changed."""
        return self._write(count_changes, prepared, parameters)

    def many(self, prepared: Prepared[Any], batch: Sequence[Sequence[Any]]) -> Awaitable[None]:
        """Run one statement for each entry, in a transaction of its own."""
        return self._write(run_many, prepared, batch, compound=True)

    async def serialize(self, name: str) -> None:
        """Do nothing: a call by itself holds no turn."""

    def atomic(self) -> AbstractAsyncContextManager[Executor]:
        """Give a transaction of its own."""
        return self._atomic()

    @asynccontextmanager
    async def _atomic(self) -> AsyncGenerator[Executor]:
        transaction = WriteTransaction(self, None)
        try:
            yield transaction
        except BaseException:
            await transaction.rollback()
            raise
        await transaction.commit()

    def _write(
        self, work: Callable[..., T], *arguments: Any, compound: bool = False
    ) -> Awaitable[T]:
        call = Call(self, self._loop, self._timeout, work, arguments, compound)
        self.gate.ask(call)
        return call


class Call(Turn):
    """A write that is a transaction by itself; those that wait together are committed together."""

    __slots__ = ("_arguments", "_backend", "_ran", "_work", "compound")

    def __init__(
        self,
        backend: SqliteBackend,
        loop: asyncio.AbstractEventLoop,
        timeout: float,
        work: Callable[..., Any],
        arguments: tuple[Any, ...],
        compound: bool,
    ) -> None:
        super().__init__(loop, None, timeout)
        self._backend = backend
        self._work = work
        self._arguments = arguments
        self._ran = False
        self.compound = compound

    def granted(self) -> None:
        """Run, together with those that wait right behind."""
        rest = self._backend.gate.take_while(Call, GROUP_LIMIT - 1)
        if rest or self.compound or not self._backend.nobody_waits():
            Group(self._backend, self, [self, *rest]).start()
        else:
            self._backend.writer.post(self)

    def __call__(self) -> None:
        """Run without BEGIN, since a statement is a transaction by itself; in the thread."""
        self.run_alone(self._backend.writer.cursor_of_visits)
        try:
            self._loop.call_soon_threadsafe(self._return)
        except RuntimeError:
            pass  # the loop is closed, so nobody waits

    def _return(self) -> None:
        if self._ran:
            self._backend.pass_turn_on(self)
            self.settle()
        else:
            Group(self._backend, self, [self]).wait_in_line()

    def run_alone(self, cursor: sqlite3.Cursor) -> bool:
        """Do the work as a transaction by itself; False when another process has the lock."""
        try:
            self.run(cursor)
        except StoreBusyError:
            return False
        except Exception as error:
            self.error = error
        self._ran = True
        return True

    def run(self, cursor: sqlite3.Cursor) -> None:
        """Do the work; runs in the writer's thread."""
        self.value = self._work(*self._arguments, cursor)

    def cancel(self, msg: object = None) -> bool:
        """Leave the queue, or let the work be done without anybody waiting for it."""
        self.give_up()
        return super().cancel(msg)


class Group:
    """Calls that share one commit; each is answered after it, a failing one undoes only itself."""

    def __init__(self, backend: SqliteBackend, turn: Turn, calls: list[Call]) -> None:
        self._backend = backend
        self._turn = turn
        self._calls = calls
        self._committed: bool | None = None
        self._retry: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Visit the writer, unless another process waits for its turn."""
        if self._backend.nobody_waits():
            self._visit()
        else:
            self.wait_in_line()

    def _visit(self) -> Visit[None]:
        return self._backend.writer.visit(self._run, then=self._after_visit)

    def _run(self) -> None:
        """Run in the writer's thread."""
        cursor = self._backend.writer.cursor_of_visits
        raw = self._backend.writer.raw
        alone = self._calls[0] if len(self._calls) == 1 else None
        if alone is not None and not alone.compound:
            self._committed = alone.run_alone(cursor)
            return
        if not begin_immediate(cursor):
            return
        if alone is not None:
            _run_to_commit(alone, cursor, raw)
            self._committed = True
            return
        for call in self._calls:
            _run_in_group(call, cursor, raw)
            if not raw.in_transaction:
                break
        else:
            try:
                cursor.execute("COMMIT")
            except sqlite3.Error:
                if raw.in_transaction:
                    cursor.execute("ROLLBACK")
            else:
                self._committed = True
                return
        # The database undid the whole group (the disk is full, say): each has to try alone.
        for call in self._calls:
            call.error = None
            _run_in_transaction(call, cursor, raw)
        self._committed = True

    def _after_visit(self) -> None:
        if self._committed:
            self._settle()
        else:
            self.wait_in_line()

    def _settle(self) -> None:
        self._backend.pass_turn_on(self._turn)
        for call in self._calls:
            call.settle()

    def wait_in_line(self) -> None:
        """Try again when the lock may be free."""
        if self._retry is None:
            self._retry = asyncio.ensure_future(self._take_turns())

    async def _take_turns(self) -> None:
        try:
            async with _line(self._backend, self._calls[0].deadline) as line:
                while not self._committed:
                    await line.next()
                    # The task is the group's own and nobody cancels it but a closing loop.
                    visit = self._backend.writer.visit(self._run)
                    await visit.finished()
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
        cursor.execute("COMMIT")
    except Exception as error:
        call.error = error if isinstance(error, StoreError) else plain_failure(error)
        if raw.in_transaction:
            cursor.execute("ROLLBACK")


class _Line:
    """The wait for a lock that another process holds, out of the way of the loop."""

    def __init__(self, backend: SqliteBackend, deadline: float) -> None:
        self._backend = backend
        self._deadline = deadline
        self._loop = asyncio.get_running_loop()
        self._ticket: Ticket | None = None
        self._tried = False

    async def next(self) -> None:
        """Return when the lock is worth a try; raises StoreBusyError past the deadline."""
        while True:
            if self._backend.gate.is_closed:
                raise closed_meanwhile()
            if self._loop.time() > self._deadline:
                raise StoreBusyError(
                    f"another program held the lock on {self._backend.path.name} "
                    "for too long; nothing was written"
                )
            if self._ticket is None and self._backend.neighbours is not None:
                self._ticket = self._backend.neighbours.join()
            if self._tried:
                await asyncio.sleep(BUSY_PAUSE)
            self._tried = True
            if self._ticket is None or self._ticket.is_first():
                return

    def leave(self) -> None:
        if self._ticket is not None and self._backend.neighbours is not None:
            self._ticket.leave()


@asynccontextmanager
async def _line(backend: SqliteBackend, deadline: float) -> AsyncGenerator[_Line]:
    line = _Line(backend, deadline)
    try:
        yield line
    finally:
        line.leave()


class SqliteTransaction:
    """What reading and writing transactions share: how statements and sessions use a connection.

    Cursors of a session outlive a visit. They are closed when the transaction ends, because
    a statement that was not run to its end keeps the lock or the snapshot, and nothing else
    closes it while an exception's traceback holds its frame.
    """

    def __init__(self, backend: SqliteBackend) -> None:
        self._backend = backend
        self._cursors: WeakSet[sqlite3.Cursor] | None = None
        self.committed: bool | None = None

    @property
    def connection(self) -> Connection | None:
        """The connection while the transaction is active; its end closes all cursors."""
        raise NotImplementedError

    def visit(self, work: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        """Do the work in the transaction, which begins with it when it has not begun."""
        raise NotImplementedError

    def prepare(self, query: Query[R]) -> Prepared[R]:
        """Return the query compiled for this database."""
        return self._backend.prepare(query)

    def rows(self, prepared: Prepared[R], parameters: Sequence[Any]) -> Awaitable[list[R]]:
        """Run a statement and return its rows as records."""
        return self.visit(fetch_rows, prepared, parameters)

    def count(self, prepared: Prepared[Any], parameters: Sequence[Any]) -> Awaitable[int]:
        """Run a statement and return how many rows it changed."""
        return self.visit(count_changes, prepared, parameters)

    def many(self, prepared: Prepared[Any], batch: Sequence[Sequence[Any]]) -> Awaitable[None]:
        """Run a statement once for each entry of the batch, all or nothing."""
        return self.visit(run_many, prepared, batch)

    async def serialize(self, name: str) -> None:
        """Do nothing: a writer has the whole database to itself."""

    def atomic(self) -> AbstractAsyncContextManager[Executor]:
        """Give this transaction."""
        return nullcontext(self)

    def session(self, owner: SessionOwner) -> UnitSession:
        """Return a session in this transaction."""
        self._cursors = WeakSet()
        return self._backend.sessions.session_on(StandIn(self, owner, self._cursors), owner)

    async def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        await self.visit(run_sql, f"SAVEPOINT {name}")

    async def release(self, name: str) -> None:
        """Keep what was done since the savepoint."""
        await self.visit(run_sql, f"RELEASE {name}")

    async def undo(self, name: str) -> None:
        """Undo what was done since the savepoint."""
        await finish(self._undo(name))

    async def _undo(self, name: str) -> None:
        await self.visit(undo_to, name)

    def close_cursors(self) -> None:
        """Close what a session left open; for the connection's thread."""
        if self._cursors:
            for cursor in list(self._cursors):
                cursor.close()


class WriteTransaction(SqliteTransaction):
    """A transaction that holds the writer's turn from its first statement to its end."""

    def __init__(self, backend: SqliteBackend, label: str | None) -> None:
        super().__init__(backend)
        self._label = label
        self._turn: Turn | None = None
        # Transactions of this unit are numbered, since a cancelled BEGIN may still be on its
        # way when the next one starts.
        self._number = 0
        self._begun = -1
        self._visited = False

    @property
    def connection(self) -> Connection | None:
        """The writing connection while the transaction is active."""
        return self._backend.writer if self._visited else None

    @property
    def active(self) -> bool:
        """Whether anything may have reached the database since the last commit or rollback."""
        return self._visited

    def visit(self, work: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        """Do the work in the transaction, which begins with it when it has not begun."""
        if self._begun == self._number:
            return self._backend.writer.visit(inside, self._backend.writer, work, arguments)
        return self._begin_with(work, arguments)

    async def _begin_with(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        number = self._number
        if self._turn is None:
            turn = await self._backend.gate.turn(self._label)
            if number != self._number:
                self._backend.gate.release(turn)
                raise _ended_meanwhile()
            self._turn = turn
        if self._backend.nobody_waits():
            outcome = await self._try(work, arguments)
            if not isinstance(outcome, _Busy):
                return outcome
        async with _line(self._backend, self._deadline()) as line:
            while number == self._number:
                await line.next()
                if number == self._number:
                    outcome = await self._try(work, arguments)
                    if not isinstance(outcome, _Busy):
                        return outcome
        raise _ended_meanwhile()

    def _deadline(self) -> float:
        return 0.0 if self._turn is None else self._turn.deadline

    async def _try(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> T | _Busy:
        self._visited = True
        number = self._number
        outcome = await self._backend.writer.visit(self._begin, number, work, arguments)
        if isinstance(outcome, _Busy) and number == self._number:
            self._visited = False
        return outcome

    def _begin(self, number: int, work: Callable[..., T], arguments: tuple[Any, ...]) -> T | _Busy:
        """Begin and do the first work in one visit; runs in the writer's thread."""
        cursor = self._backend.writer.cursor_of_visits
        if not begin_immediate(cursor):
            return _BUSY
        self._begun = number
        return work(*arguments, cursor)

    async def commit(self) -> None:
        """Commit and pass the turn on; done even when the caller is cancelled."""
        await self._end(self._commit, self._begun == self._number)

    async def rollback(self) -> None:
        """Roll back and pass the turn on; done even when the caller is cancelled."""
        await self._end(self._rollback)

    async def _end(self, work: Callable[..., None], *arguments: Any) -> None:
        """Queue the end and pass the turn on at once: who has it next stands behind this visit."""
        end = None
        if self._visited:
            self.committed = False  # until the visit says otherwise; the store may be closed
            end = self._backend.writer.visit(work, *arguments)
        self._number += 1
        self._visited = False
        turn, self._turn = self._turn, None
        if turn is not None:
            self._backend.pass_turn_on(turn)
        if end is not None:
            await end.finished()

    def _commit(self, begun: bool) -> None:
        writer = self._backend.writer
        self.close_cursors()
        try:
            if begun:
                inside(writer, run_sql, ("COMMIT",))
                self.committed = True
        finally:
            roll_back(writer)

    def _rollback(self) -> None:
        self.close_cursors()
        roll_back(self._backend.writer)


def _ended_meanwhile() -> UnitOfWorkError:
    """Return the error for a task that a unit left behind while it waited to write."""
    return UnitOfWorkError("the unit of work ended while this waited for its turn")


class ReadTransaction(SqliteTransaction):
    """A snapshot on a connection that only reads; it never waits for a writer."""

    def __init__(self, backend: SqliteBackend) -> None:
        super().__init__(backend)
        self._reader: Connection | None = None
        self._number = 0
        self._begun = False

    @property
    def connection(self) -> Connection | None:
        """The reading connection while a snapshot is held."""
        return self._reader

    @property
    def active(self) -> bool:
        """Whether a snapshot is held."""
        return self._reader is not None

    def visit(self, work: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        """Do the work on the snapshot, which is taken with it when it has not been."""
        if self._reader is not None:
            if self._begun:
                return self._reader.visit(inside, self._reader, work, arguments)
            return self._reader.visit(self._begin, self._reader, work, arguments)
        return self._begin_with(work, arguments)

    async def _begin_with(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        reader = self._backend.readers.idle()
        if reader is None:
            number = self._number
            reader = await self._backend.readers.take()
            if number != self._number:
                self._backend.readers.give(reader)
                raise UnitOfWorkError("the unit of work ended while this waited")
        self._reader = reader
        return await reader.visit(self._begin, reader, work, arguments)

    def _begin(self, reader: Connection, work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        run_sql("BEGIN", reader.cursor_of_visits)
        self._begun = True
        return work(*arguments, reader.cursor_of_visits)

    async def commit(self) -> None:
        """Let the snapshot go."""
        self._end()
        self.committed = True

    async def rollback(self) -> None:
        """Let the snapshot go."""
        self._end()
        self.committed = False

    def _end(self) -> None:
        """Queue the end and do not wait: whoever is next on the connection stands behind it."""
        self._number += 1
        self._begun = False
        if self._reader is not None:
            reader, self._reader = self._reader, None
            reader.visit(self._let_go, reader)
            self._backend.readers.give(reader)

    def _let_go(self, reader: Connection) -> None:
        self.close_cursors()
        roll_back(reader)
