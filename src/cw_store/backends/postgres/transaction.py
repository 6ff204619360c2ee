"""One transaction on a PostgreSQL server, from its first statement to its end.

Guarantees: the connection is taken with the first statement and given back once, by the end,
however that comes about; the end waits for a statement that another task has under way, and is
brought to its own end although the caller is cancelled; a COMMIT that was sent is never given up
by us but after `command_timeout`. `committed` is None from the moment that a COMMIT is sent until
it is known what became of it.

Runs on: the event loop, all of it. `terminate` does not wait, for who is torn out of the loop.

Order: whoever ends the transaction says so first, and takes the connection away from it before
it waits for anything: a task that the unit left behind finds neither, and does not begin anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from time import monotonic
from typing import Any, Protocol, TypeVar

from cw_store.backends.cancellation import shielded
from cw_store.backends.postgres.errors import (
    DRIVER_ERRORS,
    ends_deadlock,
    idled_error,
    is_interrupted,
    is_lost,
    leaves_in_doubt,
    refuses_feature,
    was_never_sent,
)
from cw_store.backends.postgres.pool import CANCEL_SECONDS, Pool
from cw_store.backends.postgres.session import session_of_unit
from cw_store.backends.postgres.statements import OPERATIONS, TAKE_TURNS, execute
from cw_store.backends.session import Sessions, UnitSession
from cw_store.backends.session_owner import SessionOwner
from cw_store.errors import (
    OutcomeUnknownError,
    StoreBusyError,
    StoreClosedError,
    StoreError,
    UnitOfWorkError,
)
from cw_store.statements.compiled import CompiledStatement, Parameters
from cw_store.statements.database import Executor, Operation

T = TypeVar("T")

BEGIN_WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
BEGIN_WITHOUT_WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"
BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

MOST_DEADLOCKS = 10
"""So often a first statement is made again that the server chose to end a deadlock of others."""


class Host(Protocol):
    """What a transaction needs of the backend that it is on."""

    @property
    def pool(self) -> Pool:
        """Where connections come from."""
        ...

    @property
    def sessions(self) -> Sessions:
        """Where sessions come from."""
        ...

    @property
    def command_timeout(self) -> float:
        """Seconds that a statement may take."""
        ...

    async def refusal_error(
        self, statement: CompiledStatement[Any] | None, error: Exception
    ) -> StoreError:
        """Return what the server's refusal means to a caller."""
        ...

    def note_commit(self) -> None:
        """Take note that something is stored, or may be."""
        ...


class PostgresTransaction:
    """One transaction, which takes a connection with its first statement."""

    def __init__(self, host: Host, begin: str) -> None:
        self._host = host
        self._pool = host.pool
        self._begin_sql = begin
        self._connection: Any = None
        # A statement that another task has under way must end before the transaction can.
        self._lock = asyncio.Lock()
        # A task that the unit left behind may still wait to begin.
        self._has_ended = False
        # Whether a statement was given up that may still be running on the server.
        self._is_interrupted = False
        # Whether nothing is held or done yet that another beginning would lose.
        self._has_just_begun = False
        # When the last statement began, and how long before that the one before.
        self._used_at = 0.0
        self._idle = 0.0
        self.committed: bool | None = None
        self.waited = self.held = 0.0
        self._since: float  # since when it has a connection

    def __repr__(self) -> str:
        """Show where it stands."""
        if self._connection is not None:
            state = "open"
        else:
            state = "ended" if self._has_ended else "not begun"
        return f"<{self._begin_sql}: {state}; {self._pool!r}>"

    @property
    def active(self) -> bool:
        """Whether a connection is held."""
        return self._connection is not None

    # The executor.

    def run(
        self, operation: Operation[T], statement: CompiledStatement[Any], parameters: Parameters
    ) -> Awaitable[T]:
        """Run a statement in the transaction."""
        return self._run(statement, OPERATIONS[operation], statement, parameters)

    async def lock(self, name: str) -> None:
        """Take an advisory lock that the end of the transaction releases."""
        await self._run(None, execute, TAKE_TURNS, name)

    def atomic(self) -> AbstractAsyncContextManager[Executor]:
        """Give this transaction."""
        return nullcontext(self)

    # The session.

    def session(self, owner: SessionOwner) -> UnitSession:
        """Return a session in this transaction."""
        return session_of_unit(self._host.sessions, self, owner)

    async def run_for_session(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Do the work of an application's on the connection, in this transaction.

        What the server refuses is raised as the driver raises it, for SQLAlchemy; what leaves
        nothing to go on with is a StoreError.
        """
        async with self._lock:
            connection = await self._ready_connection()
            connection.is_changed = True
            self._has_just_begun = False
            try:
                return await work(connection)
            except asyncio.CancelledError as error:
                self._note_interruption(error)
                raise
            except DRIVER_ERRORS as error:
                if is_lost(error) or is_interrupted(error) or self._pool.is_closed:
                    raise await self._error(None, error) from error
                raise

    # Savepoints.

    async def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        await self._run(None, execute, f"SAVEPOINT {name}")

    async def release(self, name: str) -> None:
        """Keep what was done since the savepoint."""
        await self._run(None, execute, f"RELEASE {name}")

    async def undo(self, name: str) -> None:
        """Undo what was done since the savepoint; done even when the caller is cancelled."""
        await self._to_its_end(self._run(None, execute, f"ROLLBACK TO {name}; RELEASE {name}"))
        self._is_interrupted = False

    # The end.

    async def commit(self) -> None:
        """Commit and give the connection back.

        A COMMIT that has begun is waited for, whoever is cancelled meanwhile. `committed` is None
        after an OutcomeUnknownError, and False after every other error.
        """
        self._has_ended = True
        if self._connection is not None:
            async with self._lock:
                await shielded(self._commit())

    async def rollback(self) -> None:
        """Roll back and give the connection back; done even when the caller is cancelled.

        A server that does not answer soon after somebody gave up loses the connection, and rolls
        back by that.
        """
        self._has_ended = True
        if self._connection is not None:
            await self._to_its_end(self._rollback())

    def terminate(self) -> None:
        """Cut the connection, which rolls back, since nobody can wait for the server's answer."""
        self._has_ended = True
        connection = self._take_away()
        if connection is not None:
            self.committed = False
            connection.terminate()
            self._pool.release(connection)

    def _take_away(self) -> Any:
        """Return the connection, or None, which it has no more from now on."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self.held = monotonic() - self._since
        return connection

    async def _commit(self) -> None:
        connection = self._take_away()
        if connection is None:
            return  # terminated in this very moment
        self.committed = None
        try:
            with self._pool.committing():
                await self._send_commit(connection)
        finally:
            await self._pool.give_back(connection)

    async def _send_commit(self, connection: Any) -> None:
        writes = self._begin_sql == BEGIN_WRITING
        try:
            status = await connection.execute("COMMIT")
        except DRIVER_ERRORS as error:
            connection.terminate()
            if writes:
                raise self._error_of_commit(connection, error) from error
            status = "COMMIT"  # it was read from one snapshot, whether the server says so or not
        self.committed = status == "COMMIT"
        if not self.committed:
            raise UnitOfWorkError(
                "the database rolled this unit of work back; nothing of it is stored"
            )
        if writes:
            self._host.note_commit()

    def _error_of_commit(self, connection: Any, error: Exception) -> StoreError:
        if leaves_in_doubt(error):
            self._host.note_commit()
            return OutcomeUnknownError(
                "the connection to the server was lost at COMMIT, or the server did not "
                "answer in time; whether the unit of work is stored is not known"
            )
        self.committed = False
        if was_never_sent(error):
            self._note_use()
            return self._error_of_ended_connection(connection)
        return self._pool.store_error(None, error)

    async def _rollback(self) -> None:
        async with self._lock:
            connection = self._take_away()
            if connection is None:
                return
            self.committed = False
            try:
                await connection.execute("ROLLBACK")
            except DRIVER_ERRORS:
                connection.terminate()
            finally:
                await self._pool.give_back(connection)

    async def _to_its_end(self, work: Coroutine[Any, Any, None]) -> None:
        connection = self._connection
        if connection is None:
            await shielded(work)
            return
        task = asyncio.current_task()
        hurries = self._is_interrupted or (task is not None and task.cancelling() > 0)
        seconds = CANCEL_SECONDS if hurries else self._host.command_timeout
        await self._pool.within(seconds, connection, work, hurry=True)

    # Running statements.

    async def _run(
        self,
        statement: CompiledStatement[Any] | None,
        work: Callable[..., Awaitable[T]],
        *arguments: Any,
    ) -> T:
        """Do the work in this transaction; `statement` is what an error tells of.

        The first is done again when the server undid it to end a deadlock: it held nothing, so
        those who wait in a circle are others, and it stood between two of them. What comes later
        may be a part of the circle, and what was done before it is known to the caller alone.
        """
        async with self._lock:
            connection = await self._ready_connection()
            deadlocks_left = MOST_DEADLOCKS if self._has_just_begun else 0
            begins_again = self._has_just_begun = False
            while True:
                try:
                    if begins_again:  # in one message, so that nothing is between
                        await connection.execute(f"ROLLBACK; {self._begin_sql}")
                    return await work(connection, *arguments)
                except asyncio.CancelledError as error:
                    self._note_interruption(error)
                    raise
                except DRIVER_ERRORS as error:
                    if not deadlocks_left or not ends_deadlock(error) or self._pool.is_closed:
                        raise await self._error(statement, error) from error
                deadlocks_left -= 1
                begins_again = True

    async def _ready_connection(self) -> Any:
        """Return the connection, in its transaction, which begins when it has not begun."""
        connection = self._connection
        if connection is None:
            return await self._begin()
        self._note_use()
        if connection.is_closed():
            raise self._error_of_ended_connection(connection)
        return connection

    async def _begin(self) -> Any:
        """Begin on the first connection that answers, and return it.

        BEGIN is also the question whether a connection still lives: when it does not, nothing has
        happened yet, and another one is tried.
        """
        asked = monotonic()
        while not self._has_ended:
            connection = await self._pool.acquire()
            if self._has_ended:
                self._pool.release(connection)
                break
            self._since = monotonic()
            self.waited = self._since - asked
            if await self._has_begun_on(connection):
                self._note_use()
                self._idle = 0.0
                self._has_just_begun = True
                return connection
        raise UnitOfWorkError("the unit of work ended while this waited for a connection")

    async def _has_begun_on(self, connection: Any) -> bool:
        self._connection = connection
        try:
            await connection.execute(self._begin_sql)
        except asyncio.CancelledError as error:
            self._note_interruption(error)
            raise
        except DRIVER_ERRORS as error:
            self._connection = None
            await self._pool.recover(connection, error)
            if self._begin_sql == BEGIN_WRITING and refuses_feature(error):
                self._begin_sql = BEGIN_WITHOUT_WRITING  # on a standby, which only reads
            elif not is_lost(error) or self._pool.is_closed:
                raise self._pool.store_error(None, error) from error
            return False
        return True

    def _note_use(self) -> None:
        now = asyncio.get_running_loop().time()
        self._idle, self._used_at = now - self._used_at, now

    def _note_interruption(self, error: BaseException) -> None:
        """Remember that a statement may still be running, so that its end is not waited for."""
        if isinstance(error, asyncio.CancelledError) or is_interrupted(error):
            self._is_interrupted = True

    async def _error(
        self, statement: CompiledStatement[Any] | None, error: Exception
    ) -> StoreError:
        """Return what an error of the driver means to a caller, after a statement that failed."""
        self._note_interruption(error)
        if is_lost(error) and self._connection is not None:
            return self._error_of_ended_connection(self._connection, error)
        return await self._host.refusal_error(statement, error)

    def _error_of_ended_connection(
        self, connection: Any, error: Exception | None = None
    ) -> StoreError:
        """Return why the connection is gone although a transaction was open on it."""
        if self._pool.is_closed:
            return StoreClosedError("the store was closed meanwhile")
        if 0 < connection.idle_limit <= self._idle:
            return idled_error(self._idle, connection.idle_limit)
        if error is not None:
            return self._pool.store_error(None, error)
        return StoreBusyError(
            "the connection to the server was lost during the unit of work; nothing of it is stored"
        )
