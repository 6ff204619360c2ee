"""What PostgreSQL's and asyncpg's errors mean to a caller."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
from sqlalchemy import Index
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.schema import ColumnCollectionConstraint

from cw_store.errors import (
    AlreadyExistsError,
    BrokenReferenceError,
    InvalidValueError,
    ReadOnlyError,
    SchemaError,
    StoreBusyError,
    StoreError,
    UnitOfWorkError,
    UnreadableError,
)
from cw_store.schema import metadata
from cw_store.statements.compiled import CompiledStatement

_driver: Any = asyncpg

DRIVER_ERRORS: tuple[type[Exception], ...] = (
    _driver.PostgresError,
    _driver.InterfaceError,
    _driver.InternalClientError,
    TimeoutError,
    OSError,
)

_ENDS_CONNECTION = ("57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25P04")
"""SQLSTATEs with which a server ends a connection."""

_NOTHING_STORED = ("25P03", "25P04", "57P05")
"""Those of them that undo the transaction, or come when nothing was asked of the connection."""

_BEFORE_SENDING = "cannot switch to state "
"""How the driver refuses to send when the server has said goodbye and not closed the socket yet."""

_OF_THE_SCHEMA = ("23502", "23514", "3F000", "P0001")
"""SQLSTATEs of rules for values, of a schema that is gone, and of what a trigger raises."""

_constraint_columns: dict[str, tuple[str, ...]] = {
    str(constraint.name): tuple(str(column.name) for column in constraint.columns)
    for table in metadata.tables.values()
    for constraint in (*table.constraints, *table.indexes)
    if isinstance(constraint, (ColumnCollectionConstraint, Index))
}


def unreadable_time_error(table: str) -> UnreadableError:
    """Return the error for a row that the driver cannot make a datetime of; it was done.

    The driver does not say in which row it is.
    """
    return UnreadableError(table, None, "a time", "it is not from the year 1 to 9999")


@contextmanager
def refusals() -> Generator[None]:
    """Turn the driver's errors, also those that SQLAlchemy has wrapped, into ours."""
    try:
        yield
    except DBAPIError as error:
        cause = error.orig.__cause__ if error.orig is not None else None
        raise store_error(None, cause or error) from error
    except DRIVER_ERRORS as error:
        if isinstance(error, StoreError):
            raise
        raise store_error(None, error) from error


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone (SQLSTATE class 08, a shutdown, a closed socket)."""
    state = _state(error)
    if state:
        return state.startswith("08") or state in _ENDS_CONNECTION
    if isinstance(error, (TimeoutError, _driver.DataError)):
        return False
    # asyncpg's confusion about the state of a connection is what a server that goes away in
    # the wrong moment looks like.
    return isinstance(error, (OSError, _driver.InterfaceError, _driver.InternalClientError))


def was_never_sent(error: BaseException) -> bool:
    """Whether the server cannot have done what was asked of it.

    The driver knew before that the connection is closed or is being closed, or the server says
    why it ended the connection, and that it stored nothing.
    """
    if isinstance(error, _driver.InternalClientError):
        return str(error).startswith(_BEFORE_SENDING)
    return isinstance(error, _driver.InterfaceError) or _ending(error) is not None


def ends_deadlock(error: BaseException) -> bool:
    """Whether the server undid the transaction to let others go on that waited in a circle."""
    return _state(error) == "40P01"


def refuses_feature(error: BaseException) -> bool:
    """Whether the server cannot do such a thing at all, as a standby cannot begin to write."""
    return _state(error) == "0A000"


def may_be_tried_again(error: BaseException) -> bool:
    """Whether the server might do at another time what it refused.

    It had no room or no time for it, or others were in the way: SQLSTATE class 40, 53, 55 or 57.
    """
    return _state(error)[:2] in ("40", "53", "55", "57")


def cannot_listen(error: BaseException) -> bool:
    """Whether the server refuses LISTEN, as a standby does."""
    return _state(error) in ("25006", "0A000")


def may_be_of_the_schema(error: BaseException) -> bool:
    """Whether a schema that is not the one of this cw_store would account for the refusal."""
    state = _state(error)
    return state in _OF_THE_SCHEMA or (state[:2] in ("22", "42") and state != "42501")


def is_interrupted(error: BaseException) -> bool:
    """Whether the statement may still be running on the server, and is being cancelled there."""
    return isinstance(error, TimeoutError) and not isinstance(error, StoreError)


def leaves_in_doubt(error: BaseException) -> bool:
    """Whether the server may have done what was asked of it, although it did not say so.

    The connection was lost, or the caller gave up or was cancelled, after it was sent.
    """
    return (
        is_lost(error) or is_interrupted(error) or isinstance(error, asyncio.CancelledError)
    ) and not was_never_sent(error)


def store_error(statement: CompiledStatement[Any] | None, error: BaseException) -> StoreError:
    """Say what PostgreSQL refused, from the SQLSTATE and the name of the constraint."""
    # A procedure runs statements for several tables, of which only the server knows which it was.
    named: str | None = getattr(error, "table_name", None)
    table = named or ("?" if statement is None else statement.query.table.name)
    columns = _constraint_columns.get(getattr(error, "constraint_name", None) or "", ())
    match _ending(error) or _state(error):
        case "23505":
            return AlreadyExistsError(table, columns)
        case "23503":
            return BrokenReferenceError(table, columns)
        case "23514" | "23502":
            column = getattr(error, "column_name", None) or ", ".join(columns) or "?"
            return InvalidValueError(table, column, None, "is not allowed by the schema")
        case "54000":
            column = ", ".join(columns) or "?"
            return InvalidValueError(table, column, None, "is too long for an index")
        case "40001" | "40P01":
            return StoreBusyError(
                "another transaction was in the way, and the database chose this one to give up"
            )
        case "55P03":
            return StoreBusyError("another transaction held a lock for too long")
        case "57014":
            return StoreBusyError("the server gave the statement up")
        case "25006":
            return ReadOnlyError("this unit of work, or the server, only reads")
        case "25P02":
            return UnitOfWorkError("an earlier statement failed, and the transaction with it")
        case "25P03":
            return idled_error()
        case "25P04":
            return StoreError(
                "the server ended the transaction, because it took too long "
                "(transaction_timeout); nothing of it is stored"
            )
        case "42P01" | "42703" | "3F000":
            return SchemaError(f"the schema does not fit this cw_store: {error}")
        case "42501" if statement is not None and statement.writes:
            return ReadOnlyError(
                f"{table} cannot be written: the role lacks a right on the server that "
                f"{statement.sql.split(maxsplit=1)[0]} needs: {error}"
            )
        case "42501":
            return StoreError(f"the role lacks a right on the server: {error}")
        case "28000" | "28P01" | "3D000":
            return StoreError(f"the server refused the connection: {error}")
        case "53100" | "53400":
            return StoreError(f"the server has no room: {error}")
        case "57P04":
            return StoreError("the database was dropped")
        case "57P05":
            return StoreBusyError("the server ended a connection that had nothing to do")
        case state:
            return _connection_error(state, error)


def idled_error(seconds: float | None = None, limit: float | None = None) -> StoreError:
    """Return what to tell a unit of work that idled so long that the server ended it."""
    how_long = "" if seconds is None else f" for {seconds:.3g} s, and it allows {limit:.3g}"
    return StoreError(
        f"the server ended the transaction, because it was idle{how_long} "
        "(idle_in_transaction_session_timeout); nothing of it is stored. Do what takes long "
        "before the unit of work or after it"
    )


def _connection_error(state: str, error: BaseException) -> StoreError:
    if isinstance(error, _driver.InvalidCachedStatementError):
        return StoreBusyError("the schema changed under a prepared statement")
    if isinstance(error, _driver.ClientConfigurationError):
        return StoreError(f"the connection cannot be made as it is described: {error}")
    if isinstance(error, ssl.SSLError | PermissionError) or type(error) is ConnectionError:
        return StoreError(f"the server cannot be talked to: {error}")
    if isinstance(error, socket.gaierror) and error.errno != socket.EAI_AGAIN:
        return StoreError(f"the server's name is not known: {error}")
    if state[:2] in ("53", "57") or is_lost(error):
        return StoreBusyError(f"the server is not there or has no room: {error}")
    if isinstance(error, TimeoutError):
        return StoreBusyError("the server did not answer in time")
    return StoreError(f"PostgreSQL failed with {state or type(error).__name__}: {error}")


def _state(error: BaseException) -> str:
    return getattr(error, "sqlstate", None) or ""


def _ending(error: BaseException) -> str | None:
    """Return what the server said when it ended the connection and stored nothing, if it did."""
    states = (_state(each) for each in _causes(error))
    return next((state for state in states if state in _NOTHING_STORED), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
