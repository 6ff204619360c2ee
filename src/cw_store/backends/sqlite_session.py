"""What stands in for aiosqlite in front of SQLAlchemy: the connection of a unit of work."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar, cast
from weakref import WeakSet

from cw_store.backends.session import SessionOwner
from cw_store.backends.sqlite_connection import Connection
from cw_store.errors import ReadOnlyError

T = TypeVar("T")


class Host(Protocol):
    """The transaction that the session's statements run in."""

    @property
    def connection(self) -> Connection | None:
        """The connection while the transaction is active."""
        ...

    def visit(self, work: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        """Do the work in the transaction."""
        ...


class StandIn:
    """Stands in for an aiosqlite connection in front of SQLAlchemy's adapter."""

    _connection = True  # the adapter asks whether the connection is open
    isolation_level = None

    def __init__(
        self, transaction: Host, owner: SessionOwner, cursors: WeakSet[sqlite3.Cursor]
    ) -> None:
        self._transaction = transaction
        self._owner = owner
        self._cursors = cursors

    def cursor(self) -> StandInCursor:
        """Return a cursor that runs in the unit of work's transaction."""
        return StandInCursor(self)

    async def commit(self) -> None:
        """Commit the unit of work."""
        await self._owner.commit_from_session()

    async def rollback(self) -> None:
        """Roll the unit of work back."""
        await self._owner.rollback_from_session()

    async def close(self) -> None:
        """Leave the connection to the unit of work."""

    def stop(self) -> None:
        """Leave the connection to the unit of work."""

    async def create_function(self, *args: Any, **settings: Any) -> None:
        """Give SQL a function, as SQLAlchemy does for regular expressions."""
        await self.run(lambda cursor: cursor.connection.create_function(*args, **settings))

    async def run(self, work: Callable[[sqlite3.Cursor], T], *, recovers: bool = False) -> T:
        """Run in the unit's turn; a write where only reading is allowed is refused as ours."""

        async def attempt() -> T:
            try:
                return await self._transaction.visit(work)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_READONLY:
                    raise ReadOnlyError("this unit of work only reads") from error
                raise

        return cast(T, await self._owner.in_turn(attempt, recovers=recovers))

    def new_cursor(self, raw: sqlite3.Connection) -> sqlite3.Cursor:
        """Return a cursor that the end of the transaction closes."""
        cursor = raw.cursor()
        self._cursors.add(cursor)
        return cursor

    def close_cursor(self, cursor: sqlite3.Cursor) -> None:
        """Queue the closing, which needs no turn and is good in a spent unit too."""
        connection = self._transaction.connection
        if connection is not None:
            connection.visit(cursor.close)


class StandInCursor:
    """Stands in for an aiosqlite cursor."""

    def __init__(self, connection: StandIn) -> None:
        self._connection = connection
        self._cursor: sqlite3.Cursor | None = None
        self.arraysize = 1

    async def __aenter__(self) -> StandInCursor:
        return self

    @property
    def description(self) -> Any:
        """The columns of the last statement's rows, or None."""
        return None if self._cursor is None else self._cursor.description

    @property
    def rowcount(self) -> int:
        """How many rows the last statement changed."""
        return -1 if self._cursor is None else self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        """The last row's internal number."""
        return None if self._cursor is None else self._cursor.lastrowid

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run one statement."""
        await self._connection.run(
            lambda visit: self._fresh(visit).execute(sql, parameters),
            recovers=sql.startswith("ROLLBACK TO"),
        )

    async def executemany(self, sql: str, batch: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each entry."""
        await self._connection.run(lambda visit: self._fresh(visit).executemany(sql, batch))

    async def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        return await self._connection.run(lambda _: self._open().fetchall())

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return the next rows."""
        return await self._connection.run(lambda _: self._open().fetchmany(size or self.arraysize))

    async def fetchone(self) -> Any:
        """Return the next row, or None."""
        return await self._connection.run(lambda _: self._open().fetchone())

    async def close(self) -> None:
        """Close the cursor."""
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            self._connection.close_cursor(cursor)

    def _fresh(self, visit: sqlite3.Cursor) -> sqlite3.Cursor:
        if self._cursor is None:
            self._cursor = self._connection.new_cursor(visit.connection)
        return self._cursor

    def _open(self) -> sqlite3.Cursor:
        if self._cursor is None:
            raise sqlite3.ProgrammingError("the cursor is closed")
        return self._cursor
