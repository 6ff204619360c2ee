"""What stands in for aiosqlite in front of SQLAlchemy: the connection of a unit of work."""

from __future__ import annotations

import re
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, NoReturn, Protocol, TypeVar, cast

import aiosqlite
from aiosqlite.context import Result, contextmanager
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_cursor,
)
from sqlalchemy.util import await_only

from cw_store.backends.session import SessionSavepoints
from cw_store.backends.session_owner import WeakOwner
from cw_store.backends.sqlite.connection import Connection
from cw_store.backends.sqlite.kept_connection import KeptConnection
from cw_store.backends.sqlite.session_cursor import SessionCursor, WholeCursor, given
from cw_store.backends.transaction_control import NO_ISOLATION_LEVEL, refuse_transaction_control
from cw_store.errors import ReadOnlyError, UnitOfWorkError

T = TypeVar("T")

_Function = Callable[[sqlite3.Connection], None]
"""What gives SQL a function, in the connection's thread."""


class Host(Protocol):
    """The transaction that the session's statements run in."""

    @property
    def connection(self) -> Connection | None:
        """The connection while the transaction is active."""
        ...

    def perform(self, work: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        """Do the work in the transaction."""
        ...

    def note_cursor(self, cursor: sqlite3.Cursor) -> None:
        """Close the cursor when the transaction ends; in the connection's thread."""
        ...


class SessionConnection(KeptConnection):
    """An aiosqlite connection whose statements run in the transaction of a unit of work.

    It has no thread and no connection of its own: what aiosqlite would run in its thread runs in
    the unit's turn on the store's.
    """

    def __init__(  # without aiosqlite's, which makes a thread
        self, transaction: Host, owner: WeakOwner
    ) -> None:
        self.unit_transaction = transaction
        self._owner = owner
        self._row_factory: Any = None
        self.savepoints = SessionSavepoints()
        self._functions: deque[_Function] = deque()
        self._iter_chunk_size = 64

    def __del__(self) -> None:
        """Leave the connection to the store."""

    _running = True

    @property
    def _connection(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] -- SQLAlchemy only asks whether there is one
        return True

    @property
    def _conn(self) -> NoReturn:
        self.refuse("the connection behind it")

    # What runs statements.

    def cursor(self) -> Result[aiosqlite.Cursor]:
        """Return a cursor that runs in the unit of work's transaction; it may be awaited."""
        return cast(Any, SessionCursor(self))

    def whole_cursor(self) -> WholeCursor:
        """Return a cursor that brings all rows back with the statement."""
        return WholeCursor(self)

    @contextmanager
    async def execute(self, sql: str, parameters: Iterable[Any] | None = None) -> aiosqlite.Cursor:
        """Run one statement, and return its cursor."""
        return await SessionCursor(self).execute(sql, parameters)

    @contextmanager
    async def executemany(self, sql: str, parameters: Iterable[Iterable[Any]]) -> aiosqlite.Cursor:
        """Run one statement for each entry, and return its cursor."""
        return await SessionCursor(self).executemany(sql, parameters)

    @contextmanager
    async def executescript(self, sql_script: str) -> aiosqlite.Cursor:
        """Run statements that are divided by semicolons, in the unit's transaction."""
        return await SessionCursor(self).executescript(sql_script)

    @contextmanager
    async def execute_insert(
        self, sql: str, parameters: Iterable[Any] | None = None
    ) -> sqlite3.Row | None:
        """Run an INSERT, and return the number of the new row."""

        def insert(cursor: sqlite3.Cursor) -> Any:
            cursor.execute(sql, given(parameters))
            return cursor.execute("SELECT last_insert_rowid()").fetchone()

        return await self.run(lambda job: insert(self.new_cursor(job.connection)), sql=sql)

    @contextmanager
    async def execute_fetchall(
        self, sql: str, parameters: Iterable[Any] | None = None
    ) -> Iterable[sqlite3.Row]:
        """Run one statement, and return its rows."""

        def fetch(cursor: sqlite3.Cursor) -> list[Any]:
            return cursor.execute(sql, given(parameters)).fetchall()

        return await self.run(lambda job: fetch(self.new_cursor(job.connection)), sql=sql)

    async def create_function(
        self, name: str, num_params: int, func: Callable[..., Any], deterministic: bool = False
    ) -> None:
        """Give SQL a function, as SQLAlchemy does for regular expressions."""
        await self.run(
            lambda cursor: cursor.connection.create_function(
                name, num_params, func, deterministic=deterministic
            )
        )

    def bring_function(self, function: _Function) -> None:
        """Have the next statement's job give SQL a function before it runs."""
        self._functions.append(function)

    async def iterdump(self) -> AsyncIterator[str]:
        """Return the database as SQL, as this transaction sees it."""
        for line in await self.run(lambda cursor: list(cursor.connection.iterdump())):
            yield line

    async def interrupt(self) -> None:
        """End the statement that is running in this unit, if one is."""
        connection = self.unit_transaction.connection
        if connection is not None:
            connection.raw.interrupt()

    @property
    def in_transaction(self) -> bool:
        """Whether the unit has begun its transaction."""
        return self.unit_transaction.connection is not None

    @property
    def total_changes(self) -> int:
        """How many rows have been changed on this connection since it was opened."""
        connection = self.unit_transaction.connection
        return 0 if connection is None else connection.raw.total_changes

    @property
    def row_factory(self) -> Any:
        """What makes the rows of this connection's cursors; the repositories' are not touched."""
        return self._row_factory

    @row_factory.setter
    def row_factory(self, factory: Any) -> None:
        self._row_factory = factory

    def stop(self) -> None:
        """Raise UnitOfWorkError: the connection is the store's."""
        self.refuse("stop")

    # The way to the connection's thread.

    async def run(
        self, work: Callable[[sqlite3.Cursor], T], *, sql: str = "", recovers: bool = False
    ) -> T:
        """Run in the unit's turn; a write where only reading is allowed is refused as ours."""
        owner = self._owner()
        owner.check_owner()
        if sql:
            refuse_transaction_control(sql, owner)
            _refuse_setting(sql)

        async def attempt() -> T:
            try:
                return await self.unit_transaction.perform(self._with_functions, work)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_READONLY:
                    raise ReadOnlyError("this unit of work only reads") from error
                raise

        return cast(T, await owner.in_turn(attempt, recovers=recovers))

    def _with_functions(self, work: Callable[[sqlite3.Cursor], T], cursor: sqlite3.Cursor) -> T:
        """Do the work on a connection that has the functions; in the connection's thread."""
        while self._functions:
            self._functions.popleft()(cursor.connection)
        return work(cursor)

    def new_cursor(self, raw: sqlite3.Connection) -> sqlite3.Cursor:
        """Return a cursor that the end of the transaction closes."""
        cursor = raw.cursor()
        cursor.row_factory = self._row_factory
        self.unit_transaction.note_cursor(cursor)
        return cursor

    def close_cursor(self, cursor: sqlite3.Cursor) -> None:
        """Queue the closing, which needs no turn and is good in a spent unit too."""
        connection = self.unit_transaction.connection
        if connection is not None:
            connection.run(cursor.close)


class AdaptedCursor(AsyncAdapt_aiosqlite_cursor):
    """SQLAlchemy's view of a cursor that is read to its end at once."""

    __slots__ = ()

    def _make_new_cursor(self, connection: Any) -> Any:
        return connection.whole_cursor()


class AdaptedConnection(AsyncAdapt_aiosqlite_connection):
    """SQLAlchemy's view of it, whose commit and rollback are the unit's."""

    __slots__ = ("_owner", "_session_connection")

    _cursor_cls = AdaptedCursor

    def __init__(self, dbapi: Any, connection: SessionConnection, owner: WeakOwner) -> None:
        super().__init__(dbapi, cast(Any, connection))
        self._session_connection = connection
        self._owner = owner

    def create_function(self, *description: Any, **settings: Any) -> None:
        """Give SQL a function, with the next statement.

        SQLAlchemy brings two to each connection, and a job for each would take as long as the
        statement.
        """
        self._session_connection.bring_function(
            lambda raw: raw.create_function(*description, **settings)
        )

    def commit(self) -> None:
        """Commit the unit of work."""
        await_only(self._owner().commit_from_session())

    def rollback(self) -> None:
        """Roll the unit of work back."""
        await_only(self._owner().rollback_from_session())

    def close(self) -> None:
        """Leave the connection to the unit of work."""

    def terminate(self) -> None:
        """Leave the connection to the unit of work."""

    @property
    def isolation_level(self) -> str | None:
        """None: the unit of work is the transaction."""
        return None

    @isolation_level.setter
    def isolation_level(self, value: str | None) -> None:
        raise UnitOfWorkError(NO_ISOLATION_LEVEL)


_PRAGMA = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/|;)*(?:(ATTACH|DETACH)\b|PRAGMA\s+(?:\w+\s*\.\s*)?(\w+)\s*([=(]?))",
    re.IGNORECASE | re.DOTALL,
)

_PRAGMAS_WITH_VALUE = frozenset(
    """
    application_id defer_foreign_keys foreign_key_check foreign_key_list incremental_vacuum
    index_info index_list index_xinfo integrity_check optimize quick_check read_uncommitted
    table_info table_list table_xinfo user_version
    """.split()
)
"""Those that ask, end with the transaction, or are part of the data."""


def _refuse_setting(sql: str) -> None:
    """Raise UnitOfWorkError for what would change the connection for those who use it later."""
    found = _PRAGMA.match(sql)
    if found is None:
        return
    command, pragma, value = found.groups()
    if command is None and (not value or pragma.lower() in _PRAGMAS_WITH_VALUE):
        return
    raise UnitOfWorkError(
        f"{command or f'PRAGMA {pragma} with a value'} would change the connection for others, "
        "who use it after this unit of work; it was not sent"
    )
