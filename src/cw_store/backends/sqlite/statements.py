"""What a job does with a connection: run statements.

Everything here runs in the connection's thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from cw_store.backends.long_lists import first_refused, looked_up, values_of
from cw_store.backends.sqlite.connection import Connection
from cw_store.backends.sqlite.errors import (
    failure,
    is_busy,
    locked_error,
    may_be_stored,
    outcome_unknown,
    plain_failure,
    values_there,
    without_values,
)
from cw_store.backends.sqlite.raw_connection import RawConnection, quoted
from cw_store.errors import (
    StoreError,
    UnitOfWorkError,
    UnreadableError,
)
from cw_store.statements.compiled import CompiledStatement, Parameters, Statements
from cw_store.statements.database import COUNT, MANY, RECORDS, STEPS, Operation
from cw_store.statements.procedure import Begin, InsertAll, Run, Step, advance
from cw_store.statements.reading import Row

T = TypeVar("T")

ROWS_AT_A_TIME = 500
"""Rows that are written before a look whether anybody still wants them."""

ONE_OF_MANY = "cw_one_of_many"
"""The savepoint around a row that is expected to be refused."""


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
        cursor.execute(f"DROP {kind} IF EXISTS temp.{quoted(name)}")


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
        if without_values(error) is not None:
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


def run_steps(
    statement: CompiledStatement[Any], parameters: Parameters, cursor: sqlite3.Cursor
) -> Any:
    """Run a procedure to its end; nobody else writes meanwhile, so nothing has to be locked."""
    statements, begin = cast("tuple[Statements, Begin[Any]]", parameters)
    procedure, answer = begin(), None
    try:
        while True:
            answer = _take_step(statements, advance(procedure, answer), cursor)
    except StopIteration as end:
        return end.value


def _take_step(
    statements: Statements, step: Step, cursor: sqlite3.Cursor
) -> list[Any] | UnreadableError | None:
    if isinstance(step, InsertAll):
        return _insert_all(statements, step, cursor)
    if not isinstance(step, Run):
        return None
    statement = statements[step.query]
    try:
        return fetch_records(statement, statement.bind(step.values), cursor)
    except UnreadableError as error:
        return error


def _insert_all(statements: Statements, step: InsertAll, cursor: sqlite3.Cursor) -> list[Any]:
    statement = statements[step.query]
    bound = statement.bind_all(step.batch)
    run_many(statement, bound, cursor)
    return statement.records(bound)


OPERATIONS: dict[Operation[Any], Callable[..., Any]] = {
    RECORDS: fetch_records,
    COUNT: count_changes,
    MANY: run_many,
    STEPS: run_steps,
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
        found = {one: values_there(one.target, values_of(one, batch), cursor) for one in looked}
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
