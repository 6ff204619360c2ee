"""What stands in for aiosqlite in front of SQLAlchemy: the connection of a unit of work."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Sequence
from typing import Any, NoReturn, Protocol, TypeVar, cast

import aiosqlite
from aiosqlite.context import Result, contextmanager
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection
from sqlalchemy.util import await_only

from cw_store.backends.session import (
    NO_ISOLATION_LEVEL,
    SessionSavepoints,
    WeakOwner,
    refuse_transaction_control,
)
from cw_store.backends.sqlite.connection import Connection
from cw_store.errors import ReadOnlyError, UnitOfWorkError

T = TypeVar("T")


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


class SessionConnection(aiosqlite.Connection):
    """An aiosqlite connection whose statements run in the transaction of a unit of work.

    It has no thread and no connection of its own: what aiosqlite would run in its thread runs in
    the unit's turn on the store's. What ends the transaction, or would outlive it on a connection
    that others use after the unit, is a UnitOfWorkError.
    """

    def __init__(  # without aiosqlite's, which makes a thread
        self, transaction: Host, owner: WeakOwner
    ) -> None:
        self.unit_transaction = transaction
        self._owner = owner
        self._row_factory: Any = None
        self.savepoints = SessionSavepoints()
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
            cursor.execute(sql, _given(parameters))
            return cursor.execute("SELECT last_insert_rowid()").fetchone()

        return await self.run(lambda job: insert(self.new_cursor(job.connection)), sql=sql)

    @contextmanager
    async def execute_fetchall(
        self, sql: str, parameters: Iterable[Any] | None = None
    ) -> Iterable[sqlite3.Row]:
        """Run one statement, and return its rows."""

        def fetch(cursor: sqlite3.Cursor) -> list[Any]:
            return cursor.execute(sql, _given(parameters)).fetchall()

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

    # What would end the transaction, or change the connection for others.

    async def commit(self) -> None:
        """Raise UnitOfWorkError: it is the unit that commits."""
        self.refuse("commit")

    async def rollback(self) -> None:
        """Raise UnitOfWorkError: it is the unit that rolls back."""
        self.refuse("rollback")

    async def close(self) -> None:
        """Raise UnitOfWorkError: the connection is the store's."""
        self.refuse("close")

    def stop(self) -> None:
        """Raise UnitOfWorkError: the connection is the store's."""
        self.refuse("stop")

    async def set_authorizer(self, authorizer_callback: Any) -> None:
        """Raise UnitOfWorkError: it would hold for others too."""
        self.refuse("set_authorizer")

    async def set_progress_handler(self, handler: Any, n: int) -> None:
        """Raise UnitOfWorkError: it would hold for others too."""
        self.refuse("set_progress_handler")

    async def set_trace_callback(self, handler: Any) -> None:
        """Raise UnitOfWorkError: it would hold for others too."""
        self.refuse("set_trace_callback")

    async def enable_load_extension(self, value: bool) -> None:
        """Raise UnitOfWorkError: it would hold for others too."""
        self.refuse("enable_load_extension")

    async def load_extension(self, path: str) -> None:
        """Raise UnitOfWorkError: it would hold for others too."""
        self.refuse("load_extension")

    async def backup(self, *_arguments: Any, **_settings: Any) -> None:
        """Raise UnitOfWorkError: a copy is made beside a unit of work, by `copy_store`."""
        self.refuse("backup")

    @property
    def isolation_level(self) -> str | None:
        """None: what begins and ends the transaction is the unit."""
        return None

    @isolation_level.setter
    def isolation_level(self, value: Any) -> None:
        if value is not None:
            self.refuse("isolation_level")

    @property
    def text_factory(self) -> Any:
        """What makes text of the columns' bytes."""
        return str

    @text_factory.setter
    def text_factory(self, factory: Any) -> None:
        if factory is not str:
            self.refuse("text_factory")

    def refuse(self, what: str) -> NoReturn:
        """Raise UnitOfWorkError for what is the store's affair."""
        raise UnitOfWorkError(
            f"{what} is not for a unit of work's connection, which belongs to the store and which "
            "others use after this; it is the unit that commits, rolls back and ends"
        )

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
                return await self.unit_transaction.perform(work)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_READONLY:
                    raise ReadOnlyError("this unit of work only reads") from error
                raise

        return cast(T, await owner.in_turn(attempt, recovers=recovers))

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


class SessionCursor(aiosqlite.Cursor):
    """An aiosqlite cursor in the transaction of a unit of work.

    The cursor in the connection's thread is made with the first statement, in the same job.
    """

    def __init__(self, connection: SessionConnection) -> None:
        self._in = connection
        self._made: sqlite3.Cursor | None = None
        self._arraysize = 1
        self.iter_chunk_size = 64

    def __await__(self) -> Generator[Any, None, SessionCursor]:
        """Return itself, as there is nothing to wait for."""
        return self
        yield

    async def execute(self, sql: str, parameters: Iterable[Any] | None = None) -> SessionCursor:
        """Run one statement."""
        if not self._in.savepoints.is_nothing_to_send(sql):
            await self._in.run(
                lambda job: self._fresh(job).execute(sql, _given(parameters)),
                sql=sql,
                recovers=sql.startswith("ROLLBACK TO"),
            )
        return self

    async def executemany(self, sql: str, parameters: Iterable[Iterable[Any]]) -> SessionCursor:
        """Run one statement for each entry."""
        batch = cast("Iterable[Sequence[Any]]", parameters)
        await self._in.run(lambda job: self._fresh(job).executemany(sql, batch), sql=sql)
        return self

    async def executescript(self, sql_script: str) -> SessionCursor:
        """Run statements that are divided by semicolons; the driver's own would commit first."""
        for sql in _statements(sql_script):
            await self.execute(sql)
        return self

    async def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        return await self._in.run(lambda _: self._cursor.fetchall())

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return the next rows."""
        return await self._in.run(lambda _: self._cursor.fetchmany(size or self._arraysize))

    async def fetchone(self) -> Any:
        """Return the next row, or None."""
        return await self._in.run(lambda _: self._cursor.fetchone())

    async def close(self) -> None:
        """Close the cursor."""
        cursor, self._made = self._made, None
        if cursor is not None:
            self._in.close_cursor(cursor)

    @property
    def description(self) -> Any:
        """The columns of the last statement's rows, or None."""
        return None if self._made is None else self._made.description

    @property
    def rowcount(self) -> int:
        """How many rows the last statement changed."""
        return -1 if self._made is None else self._made.rowcount

    @property
    def lastrowid(self) -> int | None:
        """The last row's internal number."""
        return None if self._made is None else self._made.lastrowid

    @property
    def arraysize(self) -> int:
        """How many rows `fetchmany` returns unless it is told."""
        return self._arraysize

    @arraysize.setter
    def arraysize(self, value: int) -> None:
        self._arraysize = value

    @property
    def row_factory(self) -> Any:
        """What makes this cursor's rows."""
        return self._in.row_factory if self._made is None else self._made.row_factory

    @row_factory.setter
    def row_factory(self, factory: Any) -> None:
        self._cursor.row_factory = factory

    @property
    def connection(self) -> NoReturn:
        """Raise UnitOfWorkError: the connection behind it is the store's."""
        self._in.refuse("the connection behind it")

    def _fresh(self, job: sqlite3.Cursor) -> sqlite3.Cursor:
        if self._made is None:
            self._made = self._in.new_cursor(job.connection)
        return self._made

    @property
    def _cursor(self) -> sqlite3.Cursor:  # pyright: ignore[reportIncompatibleVariableOverride] -- made later
        if self._made is None:
            raise sqlite3.ProgrammingError("the cursor is closed")
        return self._made


class AdaptedConnection(AsyncAdapt_aiosqlite_connection):
    """SQLAlchemy's view of it, whose commit and rollback are the unit's."""

    __slots__ = ("_owner",)

    def __init__(self, dbapi: Any, connection: SessionConnection, owner: WeakOwner) -> None:
        super().__init__(dbapi, cast(Any, connection))
        self._owner = owner

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


def _given(parameters: Any) -> Any:
    return () if parameters is None else parameters


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


def _statements(script: str) -> list[str]:
    """Divide a script as SQLite's shell does, where a semicolon ends a whole statement."""
    statements: list[str] = []
    rest = ""
    for part in re.split(r"(?<=;)", script):
        rest += part
        if sqlite3.complete_statement(rest):
            statements.append(rest)
            rest = ""
    return [*statements, rest] if rest.strip() else statements
