"""What PostgreSQL's and asyncpg's errors mean to a caller."""

from __future__ import annotations

from collections.abc import Generator
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
)
from cw_store.repos.sql.door import Prepared
from cw_store.schema import metadata

_driver: Any = asyncpg

DRIVER_ERRORS: tuple[type[Exception], ...] = (
    _driver.PostgresError,
    _driver.InterfaceError,
    _driver.InternalClientError,
    TimeoutError,
    OSError,
)

_constraint_columns: dict[str, tuple[str, ...]] = {
    str(constraint.name): tuple(str(column.name) for column in constraint.columns)
    for table in metadata.tables.values()
    for constraint in (*table.constraints, *table.indexes)
    if isinstance(constraint, (ColumnCollectionConstraint, Index))
}


@contextmanager
def refusals() -> Generator[None]:
    """Turn the driver's errors, also those that SQLAlchemy has wrapped, into ours."""
    try:
        yield
    except DBAPIError as error:
        cause = error.orig.__cause__ if error.orig is not None else None
        raise failure(None, cause or error) from error
    except DRIVER_ERRORS as error:
        if isinstance(error, StoreError):
            raise
        raise failure(None, error) from error


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone (SQLSTATE class 08, a shutdown, a closed socket)."""
    state: str = getattr(error, "sqlstate", None) or ""
    if state:
        return state.startswith("08") or state in ("57P01", "57P02", "57P03")
    if isinstance(error, TimeoutError):
        return False
    # asyncpg's confusion about the state of a connection is what a server that goes away in
    # the wrong moment looks like.
    return isinstance(error, (OSError, _driver.InterfaceError, _driver.InternalClientError))


def not_committed(error: Exception) -> StoreError:
    """Return what an error at COMMIT means to a caller."""
    if is_lost(error) or isinstance(error, TimeoutError):
        return UnitOfWorkError(
            "the connection to the server was lost at COMMIT; whether the unit of work is "
            "stored is not known"
        )
    return failure(None, error)


def failure(prepared: Prepared[Any] | None, error: BaseException) -> StoreError:
    """Say what PostgreSQL refused, from the SQLSTATE and the name of the constraint."""
    table = "?" if prepared is None else prepared.query.table.name
    state: str = getattr(error, "sqlstate", None) or ""
    columns = _constraint_columns.get(getattr(error, "constraint_name", None) or "", ())
    match state:
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
            return ReadOnlyError("this unit of work only reads")
        case "25P02":
            return UnitOfWorkError("an earlier statement failed, and the transaction with it")
        case "42P01" | "42703" | "3F000":
            return SchemaError(f"the schema does not fit this cw_store: {error}")
        case "28000" | "28P01" | "3D000":
            return StoreError(f"the server refused the connection: {error}")
        case _:
            pass
    if isinstance(error, _driver.InvalidCachedStatementError):
        return StoreBusyError("the schema changed under a prepared statement")
    if state[:2] in ("53", "57") or is_lost(error):
        return StoreBusyError(f"the server is not there or has no room: {error}")
    if isinstance(error, TimeoutError):
        return StoreBusyError("the server did not answer in time")
    return StoreError(f"PostgreSQL failed with {state or type(error).__name__}: {error}")
