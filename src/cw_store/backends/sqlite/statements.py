"""What a job does with a connection: run statements, and say what SQLite refused.

Everything here runs in the connection's thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar, cast

from sqlalchemy import Column, Table, false, select, text
from sqlalchemy.dialects.sqlite import pysqlite

from cw_store.backends.long_lists import as_parameter, first_refused, looked_up, values_of
from cw_store.backends.sqlite.connection import Connection
from cw_store.backends.sqlite.errors import is_busy, locked_error
from cw_store.backends.sqlite.raw_connection import RawConnection
from cw_store.errors import (
    AlreadyExistsError,
    BrokenReferenceError,
    InvalidValueError,
    OutcomeUnknownError,
    ReadOnlyError,
    SchemaAheadError,
    SchemaError,
    StoreBusyError,
    StoreError,
    UnitOfWorkError,
)
from cw_store.inspection import READ_VERSIONS
from cw_store.revisions import revisions
from cw_store.statements.compiled import CompiledStatement, Parameters
from cw_store.statements.database import COUNT, MANY, RECORDS, Operation
from cw_store.statements.reading import Row

T = TypeVar("T")

ROWS_AT_A_TIME = 500
"""Rows that are written before a look whether anybody still wants them."""

ONE_OF_MANY = "cw_one_of_many"
"""The savepoint around a row that is expected to be refused."""

PROBE = pysqlite.dialect(paramstyle="qmark")

ALL_OF = text("SELECT value FROM json_each(?)")
"""Any number of ids, as one parameter: a list in JSON."""


def begin_immediate(cursor: sqlite3.Cursor) -> None:
    """Begin with the write lock; raises DatabaseLockedError when another process has it."""
    try:
        cursor.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        if is_busy(error):
            raise locked_error() from error
        raise plain_failure(error) from error


def inside(connection: Connection, work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    """Do the work unless the transaction is gone.

    SQLite rolls back by itself when the disk is full or fails ("Response To Errors Within A
    Transaction" in its documentation). Going on would store a part of the unit as if it were
    all.
    """
    if not connection.raw.in_transaction:
        raise UnitOfWorkError(
            "the database rolled this unit of work back by itself; nothing of it is stored"
        )
    return work(*arguments, connection.cursor_of_jobs)


def roll_back(connection: Connection) -> None:
    """Roll back if there is anything to roll back."""
    if connection.raw.in_transaction:
        connection.cursor_of_jobs.execute("ROLLBACK")


def drop_temporary(cursor: sqlite3.Cursor) -> None:
    """Drop the temporary tables, views and triggers, which would outlive the unit of work."""
    cursor.execute(
        "SELECT type, name FROM sqlite_temp_master WHERE type <> 'index' "
        "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid DESC"
    )
    for kind, name in cursor.fetchall():
        quoted = name.replace('"', '""')
        cursor.execute(f'DROP {kind} IF EXISTS temp."{quoted}"')


def commit(cursor: sqlite3.Cursor) -> None:
    """Commit; raises OutcomeUnknownError when nobody can know whether it is stored.

    After every other error nothing of the transaction is, and it has ended.
    """
    try:
        cursor.execute("COMMIT")
    except sqlite3.Error as error:
        if cursor.connection.in_transaction:
            cursor.execute("ROLLBACK")
        if not is_surely_undone(error, cursor):
            raise outcome_unknown() from error
        raise plain_failure(error) from error


UNDONE_BY_ITSELF = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_READ,
        sqlite3.SQLITE_IOERR_SHORT_READ,
    }
)
"""Failures of a commit that leave its last frame in the log incomplete, or out of it."""


def may_be_stored(error: BaseException | None) -> bool:
    """Whether what ended with this error of SQLite may be whole in the log all the same.

    A commit writes its frames, waits for the disk, and only then shows them to others ("The
    Write-Ahead Log"). When the waiting fails, SQLite says that nothing is stored, but the frames
    are there, and whoever recovers the log after a crash takes them for a commit.
    """
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return (
        code & 0xFF in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CANTOPEN)
        and code not in UNDONE_BY_ITSELF
    )


def is_surely_undone(error: BaseException | None, cursor: sqlite3.Cursor) -> bool:
    """Whether a commit that failed with this error is out of the log for good.

    If it may be whole there, it is written over: the next commit begins where it began, and none of
    its further frames fits to what stands before them any more. That commit changes nothing but has
    to write a page, and the version number that applications may keep in a file does.
    """
    if not may_be_stored(error):
        return True
    try:
        begin_immediate(cursor)
        (version,) = cursor.execute("PRAGMA user_version").fetchone()
        cursor.execute(f"PRAGMA user_version = {version}")
        cursor.execute("COMMIT")
    except (sqlite3.Error, StoreError):
        if cursor.connection.in_transaction:
            cursor.execute("ROLLBACK")
        return False
    return True


def outcome_unknown() -> OutcomeUnknownError:
    """Return the error for a commit that failed on the disk and could not be written over."""
    return OutcomeUnknownError(
        "the disk failed in the commit; whether it is stored is known only when the file has been "
        "opened anew"
    )


def run_sql(sql: str, cursor: sqlite3.Cursor) -> None:
    """Run one statement that has no parameters and no rows."""
    try:
        cursor.execute(sql)
    except sqlite3.Error as error:
        raise plain_failure(error) from error


def undo_to(name: str, cursor: sqlite3.Cursor) -> None:
    """Undo what was done since the savepoint, and forget it."""
    run_sql(f"ROLLBACK TO {name}", cursor)
    run_sql(f"RELEASE {name}", cursor)


def fetch_records(
    statement: CompiledStatement[Any], parameters: Parameters, cursor: sqlite3.Cursor
) -> list[Any]:
    """Run a statement to its end and return the records of its rows."""
    if statement.set_times is not None:
        statement.set_times(parameters)
    try:
        found = cursor.execute(statement.sql, parameters).fetchall()
    except sqlite3.Error as error:
        if _without_values(error) is not None:
            raise failure(statement, [parameters], cursor, error) from error
        found = _fetch_undecoded(statement, parameters, cursor)
    return statement.records(found)


def _fetch_undecoded(
    statement: CompiledStatement[Any], parameters: Parameters, cursor: sqlite3.Cursor
) -> list[Row]:
    """Fetch rows one of which holds text that is not UTF-8, for whoever makes records of them.

    A query is run anew; a write was done when its first row came, and that row is still there.
    """
    cursor.connection.text_factory = _decoded_if_it_can_be
    try:
        if not statement.writes:
            cursor.execute(statement.sql, parameters)
        return cursor.fetchall()
    finally:
        cursor.connection.text_factory = str


def _decoded_if_it_can_be(text: bytes) -> str | bytes:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text


def count_changes(
    statement: CompiledStatement[Any], parameters: Parameters, cursor: sqlite3.Cursor
) -> int:
    """Run a statement and return how many rows it changed."""
    if statement.set_times is not None:
        statement.set_times(parameters)
    try:
        return cursor.execute(statement.sql, parameters).rowcount
    except sqlite3.Error as error:
        raise failure(statement, [parameters], cursor, error) from error


def run_many(
    statement: CompiledStatement[Any], batch: Sequence[Parameters], cursor: sqlite3.Cursor
) -> None:
    """Run a statement once for each entry of the batch."""
    _refuse_a_row_of_many(statement, batch, cursor)
    try:
        if statement.set_times is not None:
            for parameters in batch:
                statement.set_times(parameters)
        for start in range(0, len(batch), ROWS_AT_A_TIME):
            if start and cast(RawConnection, cursor.connection).is_unwanted:
                # SQLite's own way would most often come between two of the rows, and be forgotten.
                raise StoreError("nobody waits for these rows any more")
            cursor.executemany(statement.sql, batch[start : start + ROWS_AT_A_TIME])
    except sqlite3.Error as error:
        raise failure(statement, batch, cursor, error) from error


OPERATIONS: dict[Operation[Any], Callable[..., Any]] = {
    RECORDS: fetch_records,
    COUNT: count_changes,
    MANY: run_many,
}
"""What a job does with a statement, its parameters and a cursor."""


def _refuse_a_row_of_many(
    statement: CompiledStatement[Any], batch: Sequence[Parameters], cursor: sqlite3.Cursor
) -> None:
    """Raise for the first row of a long list that SQLite would refuse, without storing the rest."""
    looked = looked_up(statement, batch)
    if not looked:
        return
    try:
        found = {one: _there(one.target, values_of(one, batch), cursor) for one in looked}
    except sqlite3.Error as error:
        raise failure(statement, batch[:1], cursor, error) from error
    refused = first_refused(statement, batch, found)
    if refused is None:
        return
    run_sql(f"SAVEPOINT {ONE_OF_MANY}", cursor)
    try:
        cursor.executemany(statement.sql, [refused.row] * refused.times)
    except sqlite3.IntegrityError as error:
        raise refused.error from error
    except sqlite3.Error as error:
        raise failure(statement, [refused.row], cursor, error) from error
    undo_to(ONE_OF_MANY, cursor)  # a trigger of the application's may have made what was missing


def _there(column: Column[Any], values: Collection[str], cursor: sqlite3.Cursor) -> set[str]:
    """Return which of the values the column of another table holds."""
    lookup = str(select(column).where(column.in_(ALL_OF)).compile(dialect=PROBE))
    return {value for (value,) in cursor.execute(lookup, [as_parameter(values)])}


def failure(
    statement: CompiledStatement[Any],
    batch: Sequence[Parameters],
    cursor: sqlite3.Cursor,
    error: sqlite3.Error,
) -> StoreError:
    """Say what SQLite refused, from its extended result code."""
    table = statement.query.table
    match getattr(error, "sqlite_errorcode", None):
        case sqlite3.SQLITE_CONSTRAINT_UNIQUE | sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
            return AlreadyExistsError(table.name, _named_columns(table, error))
        case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
            return BrokenReferenceError(table.name, _broken_columns(statement, batch, cursor))
        case code if (changed := _changed_schema(table, cursor, code)) is not None:
            return changed
        case sqlite3.SQLITE_CONSTRAINT_CHECK | sqlite3.SQLITE_CONSTRAINT_NOTNULL:
            column = ", ".join(_named_columns(table, error)) or "?"
            return InvalidValueError(table.name, column, None, "is not allowed by the schema")
        case _:
            return plain_failure(error)


OF_THE_SCHEMA = frozenset(
    {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_SCHEMA,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_CONSTRAINT,
    }
)
"""What SQLite says, among other things, where a table is not the one that was expected."""


def _changed_schema(table: Table, cursor: sqlite3.Cursor, code: int | None) -> SchemaError | None:
    """Return what to say when the schema was changed under the open store, else None.

    A newer cw_store may have brought the database up to date meanwhile.
    """
    if code is None or code & 0xFF not in OF_THE_SCHEMA:
        return None
    try:
        found = cursor.execute(READ_VERSIONS).fetchone()
        if found is None or found[0] in revisions():
            cursor.execute(str(select(table).where(false()).compile(dialect=PROBE)))
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR:
            return None
        return SchemaError(
            f"{table.name} is not as this cw_store knows it; another program changed the schema "
            "while the store was open"
        )
    if found is not None and found[0] not in revisions():
        return SchemaAheadError(str(found[0]))
    return None


def plain_failure(error: BaseException) -> StoreError:
    """Say what SQLite failed at, where no statement of a repository is known."""
    if not isinstance(error, sqlite3.Error):
        return StoreError(f"unexpected failure: {type(error).__name__}")
    if is_busy(error):
        return StoreBusyError("another program holds the lock on the database file")
    match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF:
        case sqlite3.SQLITE_FULL:
            return StoreError("the disk is full; nothing of this transaction is stored")
        case sqlite3.SQLITE_READONLY:
            return ReadOnlyError("the database cannot be written to")
        case _:
            if _without_values(error) is None:
                return StoreError("a column holds text that is not UTF-8")
            name = getattr(error, "sqlite_errorname", "an error without a name")
            return StoreError(f"SQLite failed with {name}: {error}")


def _without_values(error: sqlite3.Error) -> sqlite3.Error | None:
    """Return the error, unless it quotes what a row holds: Python's own, of text it can't decode.

    Those that SQLite gives have a code, and name columns, not values.
    """
    is_pythons = isinstance(error, sqlite3.OperationalError) and not hasattr(
        error, "sqlite_errorcode"
    )
    return None if is_pythons else error


def _named_columns(table: Table, error: sqlite3.Error) -> list[str]:
    """Return the columns SQLite's message names: `UNIQUE constraint failed: t.a, t.b`."""
    named = str(error).partition(": ")[2].split(", ")
    columns = [name.rpartition(".")[2] for name in named]
    return [column for column in columns if column in table.columns]


def _broken_columns(
    statement: CompiledStatement[Any], batch: Sequence[Parameters], cursor: sqlite3.Cursor
) -> list[str]:
    """Find which reference is broken, since SQLite does not say: look up all there are, by sets.

    The rows before the first that has one are stored.
    """
    references = {key.parent.name: key.column for key in statement.query.table.foreign_keys}
    places = [(place, name) for place, name in enumerate(statement.columns()) if name in references]
    missing: dict[str, set[str]] = {}
    for place, name in places:
        values = {row[place] for row in batch} - {None}
        missing[name] = values - _there(references[name], values, cursor)
    for row in batch:
        for place, name in places:
            if row[place] in missing[name]:
                return [name]
    return sorted(references)
