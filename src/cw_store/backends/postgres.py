"""PostgreSQL through asyncpg: a pool of connections, any number of writers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    nullcontext,
    suppress,
)
from typing import Any, TypeVar

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
from sqlalchemy import URL, Dialect
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_connection

from cw_store.backends.cancellation import finish
from cw_store.backends.postgres_failures import (
    DRIVER_ERRORS,
    failure,
    is_lost,
    not_committed,
    refusals,
)
from cw_store.backends.postgres_session import StandIn
from cw_store.backends.session import SessionOwner, Sessions, UnitSession
from cw_store.errors import (
    StoreBusyError,
    StoreClosedError,
    StoreError,
    UnitOfWorkError,
)
from cw_store.repos.sql.accounts import ANY_SEALED
from cw_store.repos.sql.door import Executor, Prepared, Query, Row
from cw_store.types import ValueRules, read_json, use_rules

R = TypeVar("R")
T = TypeVar("T")

IDLE_SECONDS = 60.0
"""How long an idle connection is kept; what lies on the way may drop an older one silently."""

_driver: Any = asyncpg

BEGIN_WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
TAKE_TURNS = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"


def driver_url(server: URL) -> str:
    """Return the URL as asyncpg takes it, with the password in it."""
    return server.set(drivername="postgresql").render_as_string(hide_password=False)


async def prepare_connection(connection: Any) -> None:
    """Make a new connection take JSON text and give JSON values, for jsonb and json alike."""
    for name in ("jsonb", "json"):
        await connection.set_type_codec(
            name, encoder=str, decoder=read_json, schema="pg_catalog", format="text"
        )


def server_settings(timeout: float) -> dict[str, str]:
    """Return what every connection sets: a name to be found by, and an end to waiting for locks."""
    return {"application_name": "cw_store", "lock_timeout": str(max(1, int(timeout * 1000)))}


async def connect(server: URL, timeout: float) -> Any:
    """Open one connection beside any pool, for a migration or a copy."""
    return await _driver.connect(
        driver_url(server), timeout=timeout or 1.0, server_settings=server_settings(timeout)
    )


class PostgresBackend:
    """One PostgreSQL database, as one process on one event loop uses it."""

    def __init__(
        self, server: URL, *, pool_size: int, busy_timeout: float, rules: ValueRules
    ) -> None:
        self._dsn = driver_url(server)
        self._pool_size = pool_size
        self.timeout = busy_timeout
        self.compiled: dict[Query[Any], Prepared[Any]] = {}
        # In a task of its own, since the time that it may take ends it by a cancellation.
        self.sessions = Sessions(
            "postgresql+asyncpg", lambda: asyncio.ensure_future(connect(server, busy_timeout))
        )
        self.dialect: Dialect = self.sessions.dialect
        use_rules(self.dialect, rules)
        self._may_be_sealed = True
        self._has_keys = rules.seals
        self._pool: Any = None
        self._closed = False
        # asyncpg's own queue lets a task that gives a connection back overtake those who wait.
        self._places = asyncio.Semaphore(pool_size)
        self.connections_in_use = 0

    async def open(self) -> None:
        """Connect; raises StoreBusyError when the server does not answer."""
        with refusals():
            self._pool = await _driver.create_pool(
                self._dsn,
                min_size=1,
                max_size=self._pool_size,
                init=prepare_connection,
                # Every transaction ends before its connection comes back, so the round trip
                # that resets a connection would find nothing to do.
                reset=_nothing,
                max_inactive_connection_lifetime=IDLE_SECONDS,
                timeout=self.timeout or 1.0,
                # Longer than a wait for a lock, which the server ends by itself.
                command_timeout=self.timeout + 5.0,
                server_settings=server_settings(self.timeout),
            )
        any_sealed = self.prepare(ANY_SEALED)
        found = await self.rows(any_sealed, any_sealed.bind({}))
        self._may_be_sealed = self._has_keys or bool(found)

    async def close(self) -> None:
        """Close every connection; what has not committed is rolled back."""
        self._closed = True
        if self._pool is not None:
            if self.connections_in_use:
                self._pool.terminate()
                return
            try:
                await finish(self._pool.close())
            except DRIVER_ERRORS:
                # The server cut a connection just now, so there is nobody to say goodbye to.
                self._pool.terminate()

    @property
    def is_closed(self) -> bool:
        """Whether nobody gets a connection any more."""
        return self._closed

    def abandon(self) -> None:
        """Let go of everything without an event loop, because the store's own is gone."""
        self._closed = True

    def prepare(self, query: Query[R]) -> Prepared[R]:
        """Return the query compiled for this database."""
        prepared = self.compiled.get(query)
        if prepared is None:
            prepared = self.compiled[query] = query.prepare(self.dialect)
        return prepared

    def transaction(
        self, *, read_only: bool, label: str | None, block: object = None
    ) -> PostgresTransaction:
        """Return a transaction that has not begun; nobody waits for a turn, so no label is kept."""
        return PostgresTransaction(self, BEGIN_READING if read_only else BEGIN_WRITING)

    async def acquire(self) -> Any:
        """Take a connection out of the pool; raises StoreBusyError when there is none in time."""
        if not self.timeout and self._places.locked():
            raise self._none_free()
        try:
            async with asyncio.timeout(self.timeout or None):
                await self._places.acquire()
                try:
                    if self._closed:
                        raise StoreClosedError("the store is closed")
                    connection = await self._pool.acquire()
                except BaseException:
                    self._places.release()
                    raise
        except DRIVER_ERRORS as error:
            if isinstance(error, StoreError):
                raise
            if isinstance(error, TimeoutError):
                raise self._none_free() from error
            raise self.failure(None, error) from error
        self.connections_in_use += 1
        return connection

    def _none_free(self) -> StoreBusyError:
        return StoreBusyError(
            f"none of the {self._pool_size} connections was free within {self.timeout:g} s, "
            "or the server did not answer"
        )

    def failure(self, prepared: Prepared[Any] | None, error: BaseException) -> StoreError:
        """Return what the driver's error means to a caller."""
        if self._closed:
            return StoreClosedError("the store was closed meanwhile")
        return failure(prepared, error)

    async def release(self, connection: Any) -> None:
        """Put a connection back."""
        try:
            # A connection that was lost has left the pool by itself.
            with suppress(*DRIVER_ERRORS):
                await self._pool.release(connection)
        except asyncio.CancelledError:
            # Not this task's, which `finish` keeps from it: asyncpg does it in one of its own, and
            # if that was cancelled, the pool has not got the connection back.
            _drop(connection)
        finally:
            self.connections_in_use -= 1
            self._places.release()

    def abandon_connection(self, connection: Any) -> None:
        """Cut a connection that is in use, and let the next take its place."""
        _drop(connection)
        self.connections_in_use -= 1
        self._places.release()

    # One call, one transaction: the executor of the store's own repositories.

    async def rows(self, prepared: Prepared[Any], parameters: Row) -> Sequence[Row]:
        """Run one statement by itself and return its rows."""
        if prepared.fallible and prepared.query.writes and self._may_be_sealed:
            async with self._atomic() as transaction:  # a row that cannot be read undoes it
                return prepared.loaded(await transaction.rows(prepared, parameters))
        return await self._alone(prepared, _rows, parameters)

    async def count(self, prepared: Prepared[Any], parameters: Row) -> int:
        """Run one statement by itself and return how many rows it changed."""
        return await self._alone(prepared, _count, parameters)

    async def many(self, prepared: Prepared[Any], batch: Sequence[Row]) -> None:
        """Run one statement for each entry, in a transaction of its own."""
        await self._alone(prepared, _many, batch)

    takes_turns = False

    async def serialize(self, name: str) -> None:
        """Do nothing: a call by itself holds no turn."""

    def atomic(self) -> AbstractAsyncContextManager[Executor]:
        """Give a transaction of its own."""
        return self._atomic()

    @asynccontextmanager
    async def _atomic(self) -> AsyncGenerator[Executor]:
        transaction = PostgresTransaction(self, BEGIN_WRITING)
        try:
            yield transaction
        except BaseException:
            await transaction.rollback()
            raise
        await transaction.commit()

    async def _alone(
        self, prepared: Prepared[Any], run: Callable[..., Awaitable[T]], parameters: Row
    ) -> T:
        connection = await self.acquire()
        try:
            return await run(connection, prepared, parameters)
        except DRIVER_ERRORS as error:
            if is_lost(error):
                _drop(connection)
            if prepared.query.writes and is_lost(error):
                raise StoreError(
                    "the connection to the server was lost during a write; "
                    "whether it is stored is not known"
                ) from error
            raise self.failure(prepared, error) from error
        finally:
            await finish(self.release(connection))


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
        number = self._number
        while self._connection is None:
            connection = await self._backend.acquire()
            if number != self._number:
                await finish(self._backend.release(connection))
                raise UnitOfWorkError("the unit of work ended while this waited for a connection")
            self._connection = connection
            try:
                await connection.execute(self._begin)
            except DRIVER_ERRORS as error:
                self._connection = None
                if is_lost(error):
                    _drop(connection)
                await finish(self._backend.release(connection))
                if not is_lost(error) or self._backend.is_closed:
                    raise self._backend.failure(None, error) from error
        return self._connection

    def failure(self, error: BaseException) -> StoreError:
        """Return what an error of the driver means to a caller."""
        return self._backend.failure(None, error)

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

    async def serialize(self, name: str) -> None:
        """Take an advisory lock that the end of the transaction releases."""
        await self._execute(TAKE_TURNS, name)

    def atomic(self) -> AbstractAsyncContextManager[Executor]:
        """Give this transaction."""
        return nullcontext(self)

    def session(self, owner: SessionOwner) -> UnitSession:
        """Return a session in this transaction."""
        connection = StandIn(self, owner)

        async def adapted(driver: Any) -> AsyncAdapt_asyncpg_connection:
            return await AsyncAdapt_asyncpg_connection.create(driver, connected())

        async def connected() -> Any:
            return connection

        return self._backend.sessions.session_on(adapted, owner, connection.savepoints)

    async def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        await self._execute(f"SAVEPOINT {name}")

    async def release(self, name: str) -> None:
        """Keep what was done since the savepoint."""
        await self._execute(f"RELEASE {name}")

    async def undo(self, name: str) -> None:
        """Undo what was done since the savepoint; done even when the caller is cancelled."""
        await finish(self._execute(f"ROLLBACK TO {name}; RELEASE {name}"))

    async def commit(self) -> None:
        """Commit and give the connection back; done even when the caller is cancelled."""
        self._number += 1
        if self._connection is not None:
            self.committed = None
            await finish(self._end("COMMIT"))

    async def rollback(self) -> None:
        """Roll back and give the connection back; done even when the caller is cancelled."""
        self._number += 1
        if self._connection is not None:
            await finish(self._end("ROLLBACK"))

    def abandon(self) -> None:
        """Cut the connection, which rolls back, since nobody can wait for the server's answer."""
        self._number += 1
        connection, self._connection = self._connection, None
        if connection is not None:
            self.committed = False
            self._backend.abandon_connection(connection)

    async def _run(
        self, prepared: Prepared[Any], run: Callable[..., Awaitable[T]], parameters: Row
    ) -> T:
        async with self._lock:
            connection = await self.begun()
            try:
                return await run(connection, prepared, parameters)
            except DRIVER_ERRORS as error:
                raise self._backend.failure(prepared, error) from error

    async def _execute(self, sql: str, *parameters: Any) -> None:
        async with self._lock:
            connection = await self.begun()
            try:
                await connection.execute(sql, *parameters)
            except DRIVER_ERRORS as error:
                raise self._backend.failure(None, error) from error

    async def _end(self, sql: str) -> None:
        async with self._lock:
            connection, self._connection = self._connection, None
            if connection is None:
                return
            self.committed = False
            try:
                status = await connection.execute(sql)
            except DRIVER_ERRORS as error:
                _drop(connection)
                if sql == "COMMIT":
                    raise not_committed(error) from error
            else:
                self.committed = status == "COMMIT"
                if sql == "COMMIT" and not self.committed:
                    raise UnitOfWorkError(
                        "the database rolled this unit of work back; nothing of it is stored"
                    )
            finally:
                await self._backend.release(connection)


async def _nothing(_connection: Any) -> None:
    pass


async def _rows(connection: Any, prepared: Prepared[Any], parameters: Row) -> Sequence[Row]:
    return await connection.fetch(prepared.sql, *parameters)


async def _count(connection: Any, prepared: Prepared[Any], parameters: Row) -> int:
    status: str = await connection.execute(prepared.sql, *parameters)
    return int(status.rpartition(" ")[2])


async def _many(connection: Any, prepared: Prepared[Any], batch: Sequence[Row]) -> None:
    await connection.executemany(prepared.sql, batch)


def _drop(connection: Any) -> None:
    """Close a connection that is good for nothing, so that the pool forgets it."""
    with suppress(*DRIVER_ERRORS):
        connection.terminate()
