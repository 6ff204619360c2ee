"""What stands in for asyncpg in front of SQLAlchemy: the connection of a unit of work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_connection

from cw_store.backends.postgres.errors import DRIVER_ERRORS
from cw_store.backends.session import (
    NO_ISOLATION_LEVEL,
    SessionSavepoints,
    WeakOwner,
    refuse_transaction_control,
)
from cw_store.errors import ReadOnlyError, UnitOfWorkError

if TYPE_CHECKING:
    from cw_store.backends.postgres.backend import PostgresTransaction

T = TypeVar("T")

_driver: Any = asyncpg


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


class StandIn:
    """Stands in for an asyncpg connection in front of SQLAlchemy's adapter."""

    def __init__(self, transaction: PostgresTransaction, owner: WeakOwner) -> None:
        self.unit_transaction = transaction
        self._owner = owner
        self.savepoints = SessionSavepoints()

    async def run(self, work: Callable[[Any], Awaitable[T]], *, sql: str | None = None) -> T:
        """Run in the unit's turn, on the connection of its transaction."""
        owner = self._owner()
        owner.check_owner()
        if sql is not None:
            refuse_transaction_control(sql, owner)

        async def attempt() -> T:
            connection = await self.unit_transaction.begun()
            connection.is_changed = True
            try:
                return await work(connection)
            except _driver.ReadOnlySQLTransactionError as error:
                raise ReadOnlyError("this unit of work only reads") from error
            except asyncio.CancelledError as error:
                self.unit_transaction.note(error)
                raise
            except DRIVER_ERRORS as error:
                if self.unit_transaction.is_over(error):
                    raise self.unit_transaction.failure(error) from error
                raise  # what the server refused comes as SQLAlchemy's error

        recovers = sql is not None and sql.startswith("ROLLBACK TO")
        return await owner.in_turn(attempt, recovers=recovers)

    def transaction(self, **_settings: Any) -> StandInTransaction:
        """Return what SQLAlchemy takes for its transaction: the unit's own."""
        return StandInTransaction(self._owner)

    async def prepare(
        self, sql: str, *, name: str | None = None
    ) -> StandInStatement | UnsentStatement:
        """Prepare a statement."""
        if self.savepoints.is_nothing_to_send(sql):
            return UnsentStatement()

        async def prepare(connection: Any) -> StandInStatement:
            return StandInStatement(self, await connection.prepare(sql, name=name), sql)

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


class StandInTransaction:
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


class StandInStatement:
    """Stands in for asyncpg's prepared statement."""

    def __init__(self, connection: StandIn, statement: Any, sql: str) -> None:
        self._connection = connection
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
            lambda _: self._statement.fetch(*parameters), sql=self._sql
        )

    async def cursor(self, *parameters: Any) -> StandInCursor:
        """Run the statement and return a cursor on the server."""

        async def declare(_connection: Any) -> Any:
            return await self._statement.cursor(*parameters)

        return StandInCursor(self._connection, await self._connection.run(declare))


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


class StandInCursor:
    """Stands in for asyncpg's cursor."""

    def __init__(self, connection: StandIn, cursor: Any) -> None:
        self._connection = connection
        self._cursor = cursor

    async def fetch(self, size: int) -> Any:
        """Return the next rows."""
        return await self._connection.run(lambda _: self._cursor.fetch(size))
