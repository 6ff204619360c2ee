"""The cursors of a unit of work's connection, as aiosqlite has them and as SQLAlchemy uses them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, NoReturn, Protocol, TypeVar, cast

import aiosqlite

from cw_store.backends.session import SessionSavepoints

T = TypeVar("T")


class CursorHost(Protocol):
    """The connection that a cursor is on."""

    @property
    def savepoints(self) -> SessionSavepoints:
        """Those for which nothing is sent."""
        ...

    @property
    def row_factory(self) -> Any:
        """What makes the rows."""
        ...

    async def run(
        self, work: Callable[[sqlite3.Cursor], T], *, sql: str = "", recovers: bool = False
    ) -> T:
        """Do the work in the unit's turn."""
        ...

    def new_cursor(self, raw: sqlite3.Connection) -> sqlite3.Cursor:
        """Return a cursor that the end of the transaction closes."""
        ...

    def close_cursor(self, cursor: sqlite3.Cursor) -> None:
        """Queue the closing of a cursor."""
        ...

    def refuse(self, what: str) -> NoReturn:
        """Raise UnitOfWorkError for what is the store's affair."""
        ...


class SessionCursor(aiosqlite.Cursor):
    """An aiosqlite cursor in the transaction of a unit of work.

    The cursor in the connection's thread is made with the first statement, in the same job.
    """

    def __init__(self, connection: CursorHost) -> None:
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
                lambda job: self._execute_here(job, sql, parameters),
                sql=sql,
                recovers=sql.startswith("ROLLBACK TO"),
            )
        return self

    def _execute_here(self, job: sqlite3.Cursor, sql: str, parameters: Any) -> None:
        """Run the statement, in the connection's thread."""
        self._fresh(job).execute(sql, given(parameters))

    async def executemany(self, sql: str, parameters: Iterable[Iterable[Any]]) -> SessionCursor:
        """Run one statement for each entry."""
        batch = cast("Iterable[Sequence[Any]]", parameters)
        await self._in.run(lambda job: self._fresh(job).executemany(sql, batch), sql=sql)
        return self

    async def executescript(self, sql_script: str) -> SessionCursor:
        """Run statements that are divided by semicolons; the driver's own would commit first."""
        for sql in statements_of(sql_script):
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


class WholeCursor(SessionCursor):
    """A cursor that brings all rows back with the statement, in one job, and is closed in it.

    That is what SQLAlchemy does with every result that is no stream: it fetches all at once.
    """

    def __init__(self, connection: CursorHost) -> None:
        super().__init__(connection)
        self._rows: list[Any] = []

    def _execute_here(self, job: sqlite3.Cursor, sql: str, parameters: Any) -> None:
        self._made = cursor = self._in.new_cursor(job.connection)
        try:
            cursor.execute(sql, given(parameters))
            self._rows = cursor.fetchall() if cursor.description else []
        finally:
            cursor.close()  # which leaves what it tells of the statement

    async def executemany(self, sql: str, parameters: Iterable[Iterable[Any]]) -> SessionCursor:
        """Run one statement for each entry."""
        batch = cast("Iterable[Sequence[Any]]", parameters)

        def run_here(job: sqlite3.Cursor) -> None:
            self._made = cursor = self._in.new_cursor(job.connection)
            try:
                cursor.executemany(sql, batch)
            finally:
                cursor.close()

        await self._in.run(run_here, sql=sql)
        return self

    async def fetchall(self) -> list[Any]:
        """Return the rows, once."""
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        """Do nothing: it was closed in the thread."""


def given(parameters: Any) -> Any:
    """Return what sqlite3 takes where aiosqlite takes None."""
    return () if parameters is None else parameters


def statements_of(script: str) -> list[str]:
    """Divide a script as SQLite's shell does, where a semicolon ends a whole statement."""
    statements: list[str] = []
    rest = ""
    for part in re.split(r"(?<=;)", script):
        rest += part
        if sqlite3.complete_statement(rest):
            statements.append(rest)
            rest = ""
    return [*statements, rest] if rest.strip() else statements
