"""PostgreSQL through asyncpg: a pool of connections, any number of writers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Literal, TypeVar

from sqlalchemy import Dialect

from cw_store.backends.postgres.connection import connect, connect_beside_pool, forget_changes
from cw_store.backends.postgres.errors import (
    DRIVER_ERRORS,
    ends_deadlock,
    is_lost,
    leaves_in_doubt,
    may_be_of_the_schema,
    refusals,
    was_never_sent,
)
from cw_store.backends.postgres.functions import Functions
from cw_store.backends.postgres.notifications import Notifications
from cw_store.backends.postgres.pool import Pool
from cw_store.backends.postgres.statements import AT_ONCE, OPERATIONS
from cw_store.backends.postgres.transaction import (
    BEGIN_READING,
    BEGIN_WITHOUT_WRITING,
    BEGIN_WRITING,
    MOST_DEADLOCKS,
    PostgresTransaction,
)
from cw_store.backends.session import Sessions
from cw_store.backends.watching import never_raising
from cw_store.errors import (
    OutcomeUnknownError,
    SchemaAheadError,
    StoreError,
    UnreadableError,
)
from cw_store.inspection import READ_VERSIONS
from cw_store.postgres_url import Server
from cw_store.revisions import revisions
from cw_store.schema import agent_log_chunks, changes, metadata
from cw_store.self_deadlock import Block
from cw_store.statements.capabilities import Capabilities
from cw_store.statements.compiled import CompiledStatement, Parameters, Statements
from cw_store.statements.database import ATTEMPT, STEPS, Executor, Operation
from cw_store.statements.procedure import NotAtOnceError
from cw_store.stats import DatabaseStats
from cw_store.types import ValueRules, use_rules

T = TypeVar("T")

STATEMENT_SECONDS = 5.0
"""How much longer than a lock is waited for, by the server, a statement is waited for."""

MAY_WRITE = """
SELECT bool_or(
    has_table_privilege(to_regclass(name), 'INSERT, UPDATE, DELETE')
    OR has_any_column_privilege(to_regclass(name), 'INSERT, UPDATE')
) FROM unnest($1::text[]) AS tables (name)
"""

IS_RESTORED = """
SELECT has_table_privilege('changes', 'UPDATE') AND EXISTS (
    SELECT FROM changes WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint
)
"""
BEGIN_ANEW = """
UPDATE changes SET xid = 0
WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint
"""
# A dump brings the feed's rows along, with the numbers that transactions had on another server.
# This one will come to them, and readers would take them for new. From now on they are of one
# transaction that was before all others.

CAPABILITIES = Capabilities(
    has_concurrent_writers=True, has_advisory_locks=True, has_insert_or_ignore=False
)

_VACUUM = f"VACUUM {changes.name}, {agent_log_chunks.name}"


class PostgresBackend:
    """One PostgreSQL database, as one process on one event loop uses it."""

    path = None

    def __init__(
        self,
        server: Server,
        *,
        pool_size: int,
        busy_timeout: float,
        rules: ValueRules,
        read_only: bool = False,
        wakeups: Literal["notify", "poll"] = "notify",
    ) -> None:
        self._server = server
        self.timeout = busy_timeout
        self.command_timeout = busy_timeout + STATEMENT_SECONDS
        self.sessions = Sessions("postgresql+asyncpg", self._connect_for_dialect)
        self.dialect: Dialect = self.sessions.dialect
        use_rules(self.dialect, rules)
        self.capabilities = CAPABILITIES
        self.statements = Statements(self.dialect)
        self.pool = Pool(self._connect, self._forget, size=pool_size, timeout=busy_timeout)
        self.commits = 0
        """How often something was stored, or may have been, since this was opened."""
        self._on_commit: Callable[[], None] | None = None
        self._notifications = Notifications(self._connect, listens=wakeups == "notify")
        self._begin = BEGIN_WRITING
        self._functions = Functions(self.dialect, BEGIN_WRITING)
        if read_only:
            self._only_read("that is how it was opened")

    # Opening and closing.

    async def open(self) -> None:
        """Connect; raises StoreBusyError when the server does not answer.

        Where the role may write to none of the tables, the store is open for reading only.
        """
        connection = await self.pool.acquire()
        try:
            may_write = await connection.fetchval(MAY_WRITE, list(metadata.tables))
            if may_write and await connection.fetchval(IS_RESTORED):
                await connection.execute(BEGIN_ANEW)
        except DRIVER_ERRORS as error:
            raise self.pool.store_error(None, error) from error
        finally:
            self.pool.release(connection)
        if may_write is False and self.statements.refusal is None:
            self._only_read("its role has the right to write to none of its tables")

    def _only_read(self, reason: str) -> None:
        self._begin = BEGIN_WITHOUT_WRITING
        self.statements.refusal = f"the store is open for reading only, as {reason}"

    async def close(self) -> None:
        """Close every connection; what has not committed is rolled back.

        A COMMIT that is under way is waited for, other statements are cancelled on the server,
        and a server that does not answer is left behind.
        """
        self.stop_watching()
        try:
            await self._notifications.close()
        finally:
            await self.pool.close()

    def terminate(self) -> None:
        """Let go of everything without an event loop, because the store's own is gone."""
        self._notifications.terminate()
        self.pool.terminate()

    @property
    def connections_in_use(self) -> int:
        """How many connections are held by units of work or calls at this moment."""
        return self.pool.in_use

    def stats(self) -> DatabaseStats:
        """Return what was counted since this was opened."""
        pool = self.pool
        return DatabaseStats(
            turns=pool.turns,
            waits=pool.waits,
            waited=pool.waited,
            held=pool.held,
            commits=self.commits,
            connections=pool.open,
            connections_in_use=pool.in_use,
            connections_limit=pool.size,
        )

    def _connect(self, timeout: float) -> Coroutine[Any, Any, Any]:
        return connect(
            self._server,
            timeout=timeout,
            lock_timeout=self.timeout,
            command_timeout=self.command_timeout,
        )

    def _connect_for_dialect(self) -> asyncio.Task[Any]:
        # In a task of its own, since the time that it may take ends it by a cancellation.
        return asyncio.create_task(
            self._connect(self.timeout or 1.0), name="cw_store asks for the server's version"
        )

    def _forget(self, connection: Any) -> Awaitable[None]:
        return forget_changes(connection, self._server, self.timeout)

    # What a unit of work needs.

    def reading(self) -> PostgresTransaction:
        """Return a transaction that only reads and has not begun."""
        return PostgresTransaction(self, BEGIN_READING)

    def writing(self, label: str | None = None, block: Block | None = None) -> PostgresTransaction:
        """Return a transaction that has not begun; nobody waits for a turn, so no label is kept."""
        return PostgresTransaction(self, self._begin)

    async def erase_deleted(self) -> None:
        """Do nothing: the server keeps old rows until it is vacuumed, and its log until later."""

    async def give_back_room(self) -> None:
        """Vacuum what is pruned, beside the pool, where it may take as long as it needs.

        Nobody waits for it. What the role does not own is passed by, with a warning of the server.
        """
        with refusals():
            connection = await connect_beside_pool(self._server, self.timeout)
            try:
                await connection.execute(_VACUUM)
            finally:
                connection.terminate()

    # Who is told of commits.

    def start_watching(self, told: Callable[[], None]) -> None:
        """Call `told` whenever something may have been committed, by whomever."""
        self._on_commit = never_raising(told)
        self._notifications.start(self._on_commit)

    def stop_watching(self) -> None:
        """Call nobody any more."""
        self._on_commit = None
        self._notifications.stop()

    def note_commit(self) -> None:
        """Take note that something is stored: whoever is to be told of commits is told here.

        Every commit of this store on the server comes here once, on the event loop, before the one
        who waits for it goes on: when the server has answered that a unit's COMMIT is done, or a
        call's only statement, with which the server commits by itself before it answers. Others
        can see by then what was stored. It is called too when the answer is missing, because the
        connection was lost, the time was up or the caller was cancelled: nobody knows then whether
        there is anything to see, or will be in a moment. What was rolled back, and what only read,
        does not come here. Must not raise, as the answer goes out behind it.
        """
        self.commits += 1
        if self._on_commit is not None:
            self._on_commit()

    async def refusal_error(
        self, statement: CompiledStatement[Any] | None, error: Exception
    ) -> StoreError:
        """Return what the server's refusal means to a caller: that the schema is newer, if it is.

        That is looked up on a further connection, as this one's transaction has failed.
        """
        told = self.pool.store_error(statement, error)
        if not may_be_of_the_schema(error) or self.pool.is_closed:
            return told
        revision = await self._revision()
        return told if revision in (None, *revisions()) else SchemaAheadError(str(revision))

    async def _revision(self) -> object:
        try:
            connection = await self._connect(self.timeout or 1.0)
            try:
                return await connection.fetchval(READ_VERSIONS)
            finally:
                connection.terminate()
        except (*DRIVER_ERRORS, StoreError):
            return None

    # One call, one transaction: the executor of the store's own repositories.

    async def run(
        self, operation: Operation[T], statement: CompiledStatement[Any], parameters: Parameters
    ) -> T:
        """Run a statement that is a transaction by itself, again where that can only help."""
        if operation is STEPS:
            return await self._perform(statement, parameters)
        if operation is ATTEMPT:
            parameters = [*parameters, self._functions]
        work = OPERATIONS[operation]
        may_be_stale = True
        deadlocks_left = MOST_DEADLOCKS
        while True:
            connection = await self.pool.acquire()
            try:
                result = await work(connection, statement, parameters)
            except DRIVER_ERRORS as error:
                await self._take_back(connection, statement, error)
                if may_be_stale and self._can_be_repeated(statement, error):
                    # The connection was lost while nobody used it, which shows only now.
                    may_be_stale = False
                elif deadlocks_left and ends_deadlock(error) and not self.pool.is_closed:
                    # Those who wait in a circle are others; this call stood between two of them,
                    # and was the first to look. Nothing of it is stored, nobody else repeats it.
                    deadlocks_left -= 1
                else:
                    raise await self._error_of_call(statement, error) from error
            except BaseException as error:
                await self._take_back(connection, statement, error)
                raise
            else:
                self.pool.release(connection)
                if statement.writes:
                    self.note_commit()
                return result

    async def _perform(self, statement: CompiledStatement[Any], parameters: Parameters) -> Any:
        """Run a procedure in a transaction of its own, at once if it can be."""
        try:
            async with self._atomic() as transaction:
                at_once = [*parameters, self._functions]
                return await transaction.run(AT_ONCE, statement, at_once)
        except NotAtOnceError:
            pass
        async with self._atomic() as transaction:
            return await transaction.run(STEPS, statement, parameters)

    async def lock(self, name: str) -> None:
        """Do nothing: a call by itself holds no turn."""

    def atomic(self) -> AbstractAsyncContextManager[Executor]:
        """Give a transaction of its own."""
        return self._atomic()

    @asynccontextmanager
    async def _atomic(self) -> AsyncGenerator[Executor]:
        transaction = self.writing()
        try:
            yield transaction
        except BaseException:
            await transaction.rollback()
            raise
        await transaction.commit()

    async def _take_back(
        self, connection: Any, statement: CompiledStatement[Any], error: BaseException
    ) -> None:
        """Take back a connection on which a statement failed, which may be stored nevertheless."""
        try:
            await self.pool.recover(connection, error)
        finally:
            # What cannot be read was done.
            is_done = isinstance(error, UnreadableError) or leaves_in_doubt(error)
            if statement.writes and is_done:
                self.note_commit()

    def _can_be_repeated(self, statement: CompiledStatement[Any], error: BaseException) -> bool:
        return (
            is_lost(error)
            and not self.pool.is_closed
            and (not statement.writes or was_never_sent(error))
        )

    async def _error_of_call(
        self, statement: CompiledStatement[Any], error: Exception
    ) -> StoreError:
        if statement.writes and leaves_in_doubt(error):
            return OutcomeUnknownError(
                "the connection to the server was lost during a write, or the server did not "
                "answer in time; whether it is stored is not known"
            )
        return await self.refusal_error(statement, error)
