"""PostgreSQL through asyncpg: a pool of connections, any number of writers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import cache
from typing import Any, TypeVar

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
from sqlalchemy import ARRAY, TEXT, Column, Dialect, bindparam, func, select
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect

from cw_store.backends.cancellation import shielded
from cw_store.backends.long_lists import Looked, first_refused, looked_up, values_of
from cw_store.backends.postgres.connection import connect, forget_changes
from cw_store.backends.postgres.errors import (
    DRIVER_ERRORS,
    ended_for_idling,
    ends_deadlock,
    failure,
    is_interrupted,
    is_lost,
    may_be_of_the_schema,
    refuses_feature,
    was_never_sent,
)
from cw_store.backends.postgres.pool import CANCEL_SECONDS, Pool
from cw_store.backends.postgres.session import AdaptedConnection, StandIn
from cw_store.backends.session import SessionOwner, Sessions, UnitSession, WeakOwner
from cw_store.errors import (
    OutcomeUnknownError,
    ReadOnlyError,
    SchemaAheadError,
    StoreBusyError,
    StoreClosedError,
    StoreError,
    UnitOfWorkError,
    UnreadableError,
)
from cw_store.inspection import READ_VERSION
from cw_store.postgres_url import Server
from cw_store.revisions import revisions
from cw_store.schema import metadata
from cw_store.statements.database import Executor, Prepared, Query, Row
from cw_store.types import ValueRules, use_rules

R = TypeVar("R")
T = TypeVar("T")

STATEMENT_SECONDS = 5.0
"""How much longer than a lock is waited for, by the server, a statement is waited for."""

FORGET_SECONDS = 1.0
"""How long a server may take to forget what a session left, before it loses the connection."""

MOST_DEADLOCKS = 10
"""So often a call by itself is made again that the server chose to end a deadlock of others."""

BEGIN_WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
BEGIN_WITHOUT_WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"
BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
TAKE_TURNS = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
MAY_WRITE = """
SELECT bool_or(
    has_table_privilege(to_regclass(name), 'INSERT, UPDATE, DELETE')
    OR has_any_column_privilege(to_regclass(name), 'INSERT, UPDATE')
) FROM unnest($1::text[]) AS tables (name)
"""

LOOKUP = asyncpg_dialect()


class PostgresBackend:
    """One PostgreSQL database, as one process on one event loop uses it."""

    def __init__(
        self,
        server: Server,
        *,
        pool_size: int,
        busy_timeout: float,
        rules: ValueRules,
        read_only: bool = False,
    ) -> None:
        self._server = server
        self.timeout = busy_timeout
        self.command_timeout = busy_timeout + STATEMENT_SECONDS
        self.compiled: dict[Query[Any], Prepared[Any]] = {}
        # In a task of its own, since the time that it may take ends it by a cancellation.
        self.sessions = Sessions(
            "postgresql+asyncpg",
            lambda: asyncio.ensure_future(self._connect(busy_timeout or 1.0)),
        )
        self.dialect: Dialect = self.sessions.dialect
        use_rules(self.dialect, rules)
        self.pool = Pool(self._connect, size=pool_size, timeout=busy_timeout)
        self._begin = BEGIN_WRITING
        self._reason_not_to_write: str | None = None
        if read_only:
            self._only_read("that is how it was opened")

    def _only_read(self, reason: str) -> None:
        self._begin = BEGIN_WITHOUT_WRITING
        self._reason_not_to_write = reason

    def _connect(self, timeout: float) -> Awaitable[Any]:
        return connect(
            self._server,
            timeout=timeout,
            lock_timeout=self.timeout,
            command_timeout=self.command_timeout,
        )

    async def give_back(self, connection: Any) -> None:
        """Take a connection back after a transaction, without what a session left on it."""
        if connection.is_changed and not connection.is_closed():
            try:
                async with asyncio.timeout(FORGET_SECONDS):
                    await forget_changes(connection, self._server, self.timeout)
            except DRIVER_ERRORS:
                connection.terminate()
        self.pool.release(connection)

    async def open(self) -> None:
        """Connect; raises StoreBusyError when the server does not answer.

        Where the role may write to none of the tables, the store is open for reading only.
        """
        connection = await self.acquire()
        try:
            may_write = await connection.fetchval(MAY_WRITE, list(metadata.tables))
            if may_write is False and self._reason_not_to_write is None:
                self._only_read("its role has the right to write to none of its tables")
        except DRIVER_ERRORS as error:
            raise self.failure(None, error) from error
        finally:
            self.pool.release(connection)

    async def close(self) -> None:
        """Close every connection; what has not committed is rolled back.

        A COMMIT that is under way is waited for, other statements are cancelled on the server,
        and a server that does not answer is left behind.
        """
        await self.pool.close()

    @property
    def connections_in_use(self) -> int:
        """How many connections are held by units of work or calls at this moment."""
        return self.pool.in_use

    @property
    def is_closed(self) -> bool:
        """Whether nobody gets a connection any more."""
        return self.pool.is_closed

    def terminate(self) -> None:
        """Let go of everything without an event loop, because the store's own is gone."""
        self.pool.terminate()

    def prepare(self, query: Query[R]) -> Prepared[R]:
        """Return the query compiled for this database."""
        prepared = self.compiled.get(query)
        if prepared is None:
            if query.writes and self._reason_not_to_write is not None:
                raise ReadOnlyError(
                    f"{query.table.name} cannot be written: the store is open for reading only, "
                    f"as {self._reason_not_to_write}"
                )
            prepared = self.compiled[query] = query.prepare(self.dialect)
        return prepared

    async def erase_deleted(self) -> None:
        """Do nothing: the server keeps old rows until it is vacuumed, and its log until later."""

    def transaction(
        self, *, read_only: bool, label: str | None, block: object = None
    ) -> PostgresTransaction:
        """Return a transaction that has not begun; nobody waits for a turn, so no label is kept."""
        if read_only:
            return PostgresTransaction(self, BEGIN_READING)
        return PostgresTransaction(self, self._begin)

    async def acquire(self) -> Any:
        """Take a connection out of the pool; raises StoreBusyError when there is none in time."""
        try:
            return await self.pool.acquire()
        except DRIVER_ERRORS as error:
            if isinstance(error, StoreError):
                raise
            if isinstance(error, TimeoutError):
                raise self.pool.none_free() from error
            raise self.failure(None, error) from error

    def failure(self, prepared: Prepared[Any] | None, error: BaseException) -> StoreError:
        """Return what the driver's error means to a caller."""
        if self.is_closed:
            return StoreClosedError("the store was closed meanwhile")
        return failure(prepared, error)

    async def explained(self, told: StoreError, error: BaseException) -> StoreError:
        """Return what to tell of a refusal: that the schema is newer, where it is.

        It is looked up on a further connection: this one's transaction has failed.
        """
        if not may_be_of_the_schema(error) or self.is_closed:
            return told
        revision = await self._revision()
        return told if revision in (None, *revisions()) else SchemaAheadError(str(revision))

    async def _revision(self) -> object:
        try:
            connection = await self._connect(self.timeout or 1.0)
            try:
                return await connection.fetchval(READ_VERSION)
            finally:
                connection.terminate()
        except (*DRIVER_ERRORS, StoreError):
            return None

    # One call, one transaction: the executor of the store's own repositories.

    async def rows(self, prepared: Prepared[Any], parameters: Row) -> Sequence[Row]:
        """Run one statement by itself and return its rows."""
        return await self._alone(prepared, _rows, parameters)

    async def count(self, prepared: Prepared[Any], parameters: Row) -> int:
        """Run one statement by itself and return how many rows it changed."""
        return await self._alone(prepared, _count, parameters)

    async def many(self, prepared: Prepared[Any], batch: Sequence[Row]) -> None:
        """Run one statement for each entry, in a transaction of its own."""
        await self._alone(prepared, _many, batch)

    takes_turns = False

    async def lock(self, name: str) -> None:
        """Do nothing: a call by itself holds no turn."""

    def atomic(self) -> AbstractAsyncContextManager[Executor]:
        """Give a transaction of its own."""
        return self._atomic()

    @asynccontextmanager
    async def _atomic(self) -> AsyncGenerator[Executor]:
        transaction = PostgresTransaction(self, self._begin)
        try:
            yield transaction
        except BaseException:
            await transaction.rollback()
            raise
        await transaction.commit()

    async def _alone(
        self, prepared: Prepared[Any], run: Callable[..., Awaitable[T]], parameters: Row
    ) -> T:
        pool = self.pool
        may_be_stale = True
        circles = 0
        while True:
            connection = await self.acquire()
            try:
                result = await run(connection, prepared, parameters)
            except BaseException as error:
                # It may have been lost while nobody used it, which shows only now.
                repeats = may_be_stale and self._can_be_repeated(prepared, error)
                await pool.recover(connection, error)
                if repeats:
                    may_be_stale = False
                    continue
                # Those who wait in a circle are others; this call stood between two of them, and
                # was the first to look. Nothing of it is stored, and nobody else repeats it.
                if ends_deadlock(error) and not self.is_closed and circles < MOST_DEADLOCKS:
                    circles += 1
                    continue
                if isinstance(error, DRIVER_ERRORS):
                    told = self._failure_of_call(prepared, error)
                    raise await self.explained(told, error) from error
                raise
            pool.release(connection)
            return result

    def _can_be_repeated(self, prepared: Prepared[Any], error: BaseException) -> bool:
        return (
            is_lost(error)
            and not self.is_closed
            and (not prepared.query.writes or was_never_sent(error))
        )

    def _failure_of_call(self, prepared: Prepared[Any], error: BaseException) -> StoreError:
        in_doubt = is_lost(error) or is_interrupted(error)
        if prepared.query.writes and in_doubt and not was_never_sent(error):
            return OutcomeUnknownError(
                "the connection to the server was lost during a write, or the server did not "
                "answer in time; whether it is stored is not known"
            )
        return self.failure(prepared, error)


class PostgresTransaction:
    """One transaction after another; each takes a connection with its first statement."""

    def __init__(self, backend: PostgresBackend, begin: str) -> None:
        self._backend = backend
        self._begin = begin
        self._connection: Any = None
        # Transactions of this unit are numbered: a task it left behind may still wait to begin.
        self._number = 0
        # A statement that another task has under way must end before the transaction can.
        self._lock = asyncio.Lock()
        self._interrupted = False
        # When the last statement began, and how long before that the one before.
        self._used_at = 0.0
        self._idle = 0.0
        self.committed: bool | None = None

    @property
    def active(self) -> bool:
        """Whether a connection is held."""
        return self._connection is not None

    async def begun(self) -> Any:
        """Return the connection, in its transaction.

        BEGIN is also the question whether the connection still lives: when it does not,
        nothing has happened yet, and another connection is tried.
        """
        now = asyncio.get_running_loop().time()
        connection = self._connection
        if connection is not None:
            self._idle, self._used_at = now - self._used_at, now
            if connection.is_closed():
                raise self._ended_by_server(connection)
            return connection
        number = self._number
        pool = self._backend.pool
        while self._connection is None:
            connection = await self._backend.acquire()
            if number != self._number:
                pool.release(connection)
                raise UnitOfWorkError("the unit of work ended while this waited for a connection")
            self._connection = connection
            self._interrupted = False
            try:
                await connection.execute(self._begin)
            except asyncio.CancelledError:
                self._interrupted = True
                raise
            except DRIVER_ERRORS as error:
                self._connection = None
                await pool.recover(connection, error)
                if self._begin == BEGIN_WRITING and refuses_feature(error):
                    self._begin = BEGIN_WITHOUT_WRITING  # on a standby, which only reads
                elif not is_lost(error) or self._backend.is_closed:
                    raise self._backend.failure(None, error) from error
        self._idle, self._used_at = 0.0, asyncio.get_running_loop().time()
        return self._connection

    def failure(self, error: BaseException, prepared: Prepared[Any] | None = None) -> StoreError:
        """Return what an error of the driver means to a caller, after a statement that failed."""
        self.note(error)
        if is_lost(error) and self._connection is not None:
            return self._ended_by_server(self._connection, error)
        return self._backend.failure(prepared, error)

    def is_over(self, error: BaseException) -> bool:
        """Whether nothing more can be done on the connection, whatever the statement was."""
        return is_lost(error) or is_interrupted(error) or self._backend.is_closed

    def note(self, error: BaseException) -> None:
        """Remember that a statement may still be running, so that its end is not waited for."""
        if isinstance(error, asyncio.CancelledError) or is_interrupted(error):
            self._interrupted = True

    def _ended_by_server(self, connection: Any, error: BaseException | None = None) -> StoreError:
        """Return why the connection is gone although a transaction was open on it."""
        if self._backend.is_closed:
            return StoreClosedError("the store was closed meanwhile")
        if 0 < connection.idle_limit <= self._idle:
            return ended_for_idling(self._idle, connection.idle_limit)
        if error is not None:
            return self._backend.failure(None, error)
        return StoreBusyError(
            "the connection to the server was lost during the unit of work; nothing of it is stored"
        )

    def prepare(self, query: Query[R]) -> Prepared[R]:
        """Return the query compiled for this database."""
        return self._backend.prepare(query)

    async def rows(self, prepared: Prepared[Any], parameters: Row) -> Sequence[Row]:
        """Run a statement and return its rows."""
        return await self._run(prepared, _rows, parameters)

    async def count(self, prepared: Prepared[Any], parameters: Row) -> int:
        """Run a statement and return how many rows it changed."""
        return await self._run(prepared, _count, parameters)

    async def many(self, prepared: Prepared[Any], batch: Sequence[Row]) -> None:
        """Run a statement once for each entry of the batch, all or nothing."""
        await self._run(prepared, _many, batch)

    takes_turns = True

    async def lock(self, name: str) -> None:
        """Take an advisory lock that the end of the transaction releases."""
        await self._execute(TAKE_TURNS, name)

    def atomic(self) -> AbstractAsyncContextManager[Executor]:
        """Give this transaction."""
        return nullcontext(self)

    def session(self, owner: SessionOwner) -> UnitSession:
        """Return a session in this transaction."""
        weak = WeakOwner(owner)
        connection = StandIn(self, weak)
        return self._backend.sessions.session_on(
            lambda driver: AdaptedConnection(driver, connection), weak, connection
        )

    async def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        await self._execute(f"SAVEPOINT {name}")

    async def release(self, name: str) -> None:
        """Keep what was done since the savepoint."""
        await self._execute(f"RELEASE {name}")

    async def undo(self, name: str) -> None:
        """Undo what was done since the savepoint; done even when the caller is cancelled."""
        await self._to_its_end(self._execute(f"ROLLBACK TO {name}; RELEASE {name}"))
        self._interrupted = False

    async def commit(self) -> None:
        """Commit and give the connection back.

        A COMMIT that has begun is waited for, whoever is cancelled meanwhile. `committed` is None
        after an OutcomeUnknownError, and False after every other error.
        """
        self._number += 1
        async with self._lock:
            if self._connection is not None:
                await shielded(self._commit())

    async def rollback(self) -> None:
        """Roll back and give the connection back; done even when the caller is cancelled.

        A server that does not answer soon after somebody gave up loses the connection, and rolls
        back by that.
        """
        self._number += 1
        if self._connection is not None:
            await self._to_its_end(self._rollback())

    async def _to_its_end(self, work: Coroutine[Any, Any, None]) -> None:
        connection = self._connection
        if connection is None:
            await shielded(work)
            return
        task = asyncio.current_task()
        hurries = self._interrupted or (task is not None and task.cancelling() > 0)
        seconds = CANCEL_SECONDS if hurries else self._backend.command_timeout
        await self._backend.pool.within(seconds, connection, work, hurry=True)

    def terminate(self) -> None:
        """Cut the connection, which rolls back, since nobody can wait for the server's answer."""
        self._number += 1
        connection, self._connection = self._connection, None
        if connection is not None:
            self.committed = False
            connection.terminate()
            self._backend.pool.release(connection)

    async def _run(
        self, prepared: Prepared[Any], run: Callable[..., Awaitable[T]], parameters: Row
    ) -> T:
        async with self._lock:
            connection = await self.begun()
            try:
                return await run(connection, prepared, parameters)
            except asyncio.CancelledError as error:
                self.note(error)
                raise
            except DRIVER_ERRORS as error:
                told = self.failure(error, prepared)
                raise await self._backend.explained(told, error) from error

    async def _execute(self, sql: str, *parameters: Any) -> None:
        async with self._lock:
            connection = await self.begun()
            try:
                await connection.execute(sql, *parameters)
            except asyncio.CancelledError as error:
                self.note(error)
                raise
            except DRIVER_ERRORS as error:
                raise self.failure(error) from error

    async def _commit(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return  # terminated in this very moment
        pool = self._backend.pool
        self.committed = None
        pool.commit_begins()
        try:
            await self._send_commit(connection)
        except DRIVER_ERRORS as error:
            if isinstance(error, StoreError):
                raise
            connection.terminate()
            if self._may_be_stored(error):
                raise OutcomeUnknownError(
                    "the connection to the server was lost at COMMIT, or the server did not "
                    "answer in time; whether the unit of work is stored is not known"
                ) from error
            self.committed = False
            if was_never_sent(error):
                self._idle = asyncio.get_running_loop().time() - self._used_at
                raise self._ended_by_server(connection) from error
            raise self._backend.failure(None, error) from error
        finally:
            pool.commit_ends()
            await self._backend.give_back(connection)

    async def _send_commit(self, connection: Any) -> None:
        only_read = self._begin != BEGIN_WRITING
        if connection.is_closed():
            self.committed = only_read
            self._idle = asyncio.get_running_loop().time() - self._used_at
            if not only_read:
                raise self._ended_by_server(connection)
            return
        try:
            status = await connection.execute("COMMIT")
        except DRIVER_ERRORS as error:
            # What was read was read from one snapshot, whether the server says so or not.
            if not (only_read and is_lost(error)):
                raise
            status = "COMMIT"
        self.committed = status == "COMMIT"
        if not self.committed:
            raise UnitOfWorkError(
                "the database rolled this unit of work back; nothing of it is stored"
            )

    def _may_be_stored(self, error: Exception) -> bool:
        return (is_lost(error) or is_interrupted(error)) and not was_never_sent(error)

    async def _rollback(self) -> None:
        async with self._lock:
            connection, self._connection = self._connection, None
            if connection is None:
                return
            self.committed = False
            try:
                await connection.execute("ROLLBACK")
            except DRIVER_ERRORS:
                connection.terminate()
            finally:
                await self._backend.give_back(connection)


async def _rows(connection: Any, prepared: Prepared[Any], parameters: Row) -> Sequence[Row]:
    if prepared.set_times is not None:
        prepared.set_times(parameters)
    try:
        return await connection.fetch(prepared.sql, *parameters)
    except OverflowError as error:
        # asyncpg cannot make a datetime of it, and does not say in which row. It was done.
        raise UnreadableError(
            prepared.query.table.name, None, "a time", "it is not from the year 1 to 9999"
        ) from error


async def _count(connection: Any, prepared: Prepared[Any], parameters: Row) -> int:
    if prepared.set_times is not None:
        prepared.set_times(parameters)
    status: str = await connection.execute(prepared.sql, *parameters)
    return int(status.rpartition(" ")[2])


async def _many(connection: Any, prepared: Prepared[Any], batch: Sequence[Row]) -> None:
    await _refuse_a_row_of_many(connection, prepared, batch)
    if prepared.set_times is not None:
        for parameters in batch:
            prepared.set_times(parameters)
    await connection.executemany(prepared.sql, batch)


async def _refuse_a_row_of_many(
    connection: Any, prepared: Prepared[Any], batch: Sequence[Row]
) -> None:
    """Raise for the first row of a long list that would be refused, without storing the rest."""
    found: dict[Looked, set[str]] = {}
    for looked in looked_up(prepared, batch):
        values = values_of(looked, batch)
        rows = await connection.fetch(_lookup(looked.target), list(values)) if values else ()
        found[looked] = {value for (value,) in rows}
    refused = first_refused(prepared, batch, found)
    if refused is None:
        return
    try:
        # Twice, so that nothing is stored if what was missing is just being stored by another.
        await connection.executemany(prepared.sql, [refused.row] * 2)
    except asyncpg.IntegrityConstraintViolationError as error:
        raise refused.error from error


@cache
def _lookup(column: Column[Any]) -> str:
    values = bindparam("values", type_=ARRAY(TEXT))
    return str(select(column).where(column == func.any(values)).compile(dialect=LOOKUP))
