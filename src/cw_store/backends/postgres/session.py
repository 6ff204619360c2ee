"""What stands in for asyncpg in front of SQLAlchemy: the connection of a unit of work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_connection

from cw_store.backends.session import Sessions, SessionSavepoints, UnitSession
from cw_store.backends.session_owner import SessionOwner, WeakOwner
from cw_store.backends.transaction_control import NO_ISOLATION_LEVEL, refuse_transaction_control
from cw_store.errors import ReadOnlyError, UnitOfWorkError

T = TypeVar("T")

_driver: Any = asyncpg


class Host(Protocol):
    """The transaction that a session's statements run in."""

    async def run_for_session(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Do the work on the driver's connection, in the transaction.

        What the server refuses is raised as the driver raises it, for SQLAlchemy; what leaves
        nothing to go on with is a StoreError.
        """
        ...


def session_of_unit(sessions: Sessions, transaction: Host, owner: SessionOwner) -> UnitSession:
    """Return a session of a unit of work that runs in this transaction."""
    weak = WeakOwner(owner)
    connection = SessionConnection(transaction, weak)
    return sessions.session_on(
        lambda driver: AdaptedConnection(driver, connection), weak, connection
    )


class AdaptedConnection(AsyncAdapt_asyncpg_connection):
    """SQLAlchemy's view of what stands in for asyncpg's connection, which it never closes."""

    __slots__ = ()

    def close(self) -> None:
        """Leave the connection to the unit of work."""

    def terminate(self) -> None:
        """Leave the connection to the unit of work."""

    def set_isolation_level(self, level: str) -> None:
        """Raise UnitOfWorkError."""
        raise UnitOfWorkError(NO_ISOLATION_LEVEL)


class SessionConnection:
    """Stands in for an asyncpg connection in front of SQLAlchemy's adapter."""

    def __init__(self, transaction: Host, owner: WeakOwner) -> None:
        self.unit_transaction = transaction
        self._owner = owner
        self.savepoints = SessionSavepoints()

    async def run(
        self,
        work: Callable[[Any], Awaitable[T]],
        *,
        sql: str | None = None,
        transaction: Host | None = None,
    ) -> T:
        """Run in the unit's turn, on the connection of its transaction.

        What was begun in one transaction goes on there or nowhere: in the unit's next one it would
        run on a connection that has become somebody else's.
        """
        owner = self._owner()
        owner.check_owner()
        if sql is not None:
            refuse_transaction_control(sql, owner)

        async def attempt() -> T:
            try:
                return await (transaction or self.unit_transaction).run_for_session(work)
            except _driver.ReadOnlySQLTransactionError as error:
                raise ReadOnlyError("this unit of work only reads") from error

        recovers = sql is not None and sql.startswith("ROLLBACK TO")
        return await owner.in_turn(attempt, recovers=recovers)

    def transaction(self, **_settings: Any) -> SessionTransaction:
        """Return what SQLAlchemy takes for its transaction: the unit's own."""
        return SessionTransaction(self._owner)

    async def prepare(
        self, sql: str, *, name: str | None = None
    ) -> SessionStatement | UnsentStatement:
        """Prepare a statement."""
        if self.savepoints.is_nothing_to_send(sql):
            return UnsentStatement()

        async def prepare(connection: Any) -> SessionStatement:
            statement = await connection.prepare(sql, name=name)
            return SessionStatement(self, self.unit_transaction, statement, sql)

        return await self.run(prepare, sql=sql)

    async def executemany(self, sql: str, batch: Sequence[Any]) -> None:
        """Run one statement for each entry."""
        await self.run(lambda connection: connection.executemany(sql, batch), sql=sql)

    async def set_type_codec(self, name: str, **_settings: Any) -> None:
        """Leave the codecs as `prepare_connection` made them."""

    async def reload_schema_state(self) -> None:
        """Forget what was known of types, after DDL."""
        await self.run(lambda connection: connection.reload_schema_state())

    def is_closed(self) -> bool:
        """Tell SQLAlchemy that the connection is there; the unit of work knows better."""
        return False

    async def close(self, timeout: float | None = None) -> None:
        """Leave the connection to the unit of work."""

    def terminate(self) -> None:
        """Leave the connection to the unit of work."""


class SessionTransaction:
    """Stands in for asyncpg's transaction: the unit of work's."""

    def __init__(self, owner: WeakOwner) -> None:
        self._owner = owner

    async def start(self) -> None:
        """Leave the beginning to the first statement."""

    async def commit(self) -> None:
        """Commit the unit of work."""
        await self._owner().commit_from_session()

    async def rollback(self) -> None:
        """Roll the unit of work back."""
        await self._owner().rollback_from_session()


class SessionStatement:
    """Stands in for asyncpg's prepared statement."""

    def __init__(
        self, connection: SessionConnection, transaction: Host, statement: Any, sql: str
    ) -> None:
        self._connection = connection
        self._transaction = transaction
        self._statement = statement
        self._attributes = statement.get_attributes()  # later the connection may be closed
        self._sql = sql

    def get_attributes(self) -> Any:
        """Return the columns of the statement's rows."""
        return self._attributes

    def get_statusmsg(self) -> str:
        """Return what the server said at the end."""
        return self._statement.get_statusmsg()

    async def fetch(self, *parameters: Any) -> Any:
        """Run the statement and return its rows."""
        return await self._connection.run(
            lambda _: self._statement.fetch(*parameters),
            sql=self._sql,
            transaction=self._transaction,
        )

    async def cursor(self, *parameters: Any) -> SessionCursor:
        """Run the statement and return a cursor on the server."""

        async def declare(_connection: Any) -> Any:
            return await self._statement.cursor(*parameters)

        cursor = await self._connection.run(declare, transaction=self._transaction)
        return SessionCursor(self._connection, self._transaction, cursor)


class UnsentStatement:
    """Stands in for a statement that the unit of work has done in its own way."""

    def get_attributes(self) -> tuple[()]:
        """Return no columns."""
        return ()

    def get_statusmsg(self) -> str:
        """Return that nothing was done."""
        return ""

    async def fetch(self, *_parameters: Any) -> list[Any]:
        """Return no rows."""
        return []


class SessionCursor:
    """Stands in for asyncpg's cursor."""

    def __init__(self, connection: SessionConnection, transaction: Host, cursor: Any) -> None:
        self._connection = connection
        self._transaction = transaction
        self._cursor = cursor

    async def fetch(self, size: int) -> Any:
        """Return the next rows."""
        return await self._connection.run(
            lambda _: self._cursor.fetch(size), transaction=self._transaction
        )
