"""What SQLite and the operating system refused, said in this package's own errors."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Table, false, select, text
from sqlalchemy.dialects.sqlite import pysqlite

from cw_store.backends.long_lists import as_parameter
from cw_store.errors import (
    AlreadyExistsError,
    BrokenReferenceError,
    InvalidValueError,
    OutcomeUnknownError,
    ReadOnlyError,
    SchemaAheadError,
    SchemaError,
    StoreBusyError,
    StoreClosedError,
    StoreError,
)
from cw_store.inspection import READ_VERSIONS
from cw_store.revisions import revisions
from cw_store.statements.compiled import CompiledStatement, Parameters


class DatabaseLockedError(StoreBusyError):
    """Another process has the write lock, or waits for it first: nothing was begun."""


def locked_error() -> DatabaseLockedError:
    """Return the error for one who has to let another process go first."""
    return DatabaseLockedError("another program holds the lock on the database file")


def closed_error() -> StoreClosedError:
    """Return the error for one who waited when the store was closed."""
    return StoreClosedError("the store was closed while this waited")


def out_of_memory(error: MemoryError) -> StoreError:
    """Return the error for work that found no memory."""
    told = StoreError("there was not enough memory; nothing of this call is stored")
    told.__cause__ = error
    return told


def is_interrupted(error: BaseException | None) -> bool:
    """Whether SQLite was interrupted at a statement."""
    while error is not None:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
            return True
        error = error.__cause__
    return False


def is_busy(error: BaseException | None) -> bool:
    """Tell whether another connection's lock is what stood in the way."""
    while error is not None:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return True
        error = error.__cause__
    return False


def reason_of(error: BaseException) -> str:
    """Say what the operating system refused, without the path, which may be long."""
    return getattr(error, "strerror", None) or str(error)


def shown(path: Path) -> str:
    """Return the file's name as it can be printed, whatever it holds."""
    return repr(path.name or str(path))


def is_in_use(path: Path) -> bool:
    """Whether somebody has the file open to write, or was killed: then its log is beside it."""
    return any(os.path.exists(f"{path}{suffix}") for suffix in ("-wal", "-journal"))


def no_database(path: Path) -> SchemaError:
    """Say that the file is something else."""
    return SchemaError(
        f"{shown(path)} is no SQLite database, or an encrypted one; nothing was changed; "
        "name another file"
    )


def unusable(path: Path, error: sqlite3.Error) -> StoreError:
    """Say why SQLite cannot use the file at all."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code == sqlite3.SQLITE_IOERR_SHMSIZE:
        return StoreError(
            f"SQLite cannot make the index that it needs beside {shown(path)}, a file whose name "
            "ends with -shm; the disk is full: make room"
        )
    match code & 0xFF:
        case sqlite3.SQLITE_NOTADB:
            return no_database(path)
        case sqlite3.SQLITE_FULL:
            return StoreError(f"the disk is full: {shown(path)} cannot be written; make room")
        case sqlite3.SQLITE_CORRUPT:
            return StoreError(f"{shown(path)} is damaged; restore it from a backup ({error})")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY if is_in_use(path):
            return StoreError(
                f"{shown(path)} has a log beside it that was not brought into it, and this "
                "process cannot do that; open the store once as a user who may write there"
            )
        case _:
            return StoreError(f"SQLite cannot open {shown(path)}: {error}")


PROBE = pysqlite.dialect(paramstyle="qmark")

ALL_OF = text("SELECT value FROM json_each(?)")
"""Any number of ids, as one parameter: a list in JSON."""


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


def outcome_unknown() -> OutcomeUnknownError:
    """Return the error for a commit that failed on the disk and could not be written over."""
    return OutcomeUnknownError(
        "the disk failed in the commit; whether it is stored is known only when the file has been "
        "opened anew"
    )


def values_there(column: Column[Any], values: Collection[str], cursor: sqlite3.Cursor) -> set[str]:
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
            if without_values(error) is None:
                return StoreError("a column holds text that is not UTF-8")
            name = getattr(error, "sqlite_errorname", "an error without a name")
            return StoreError(f"SQLite failed with {name}: {error}")


def without_values(error: sqlite3.Error) -> sqlite3.Error | None:
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
        missing[name] = values - values_there(references[name], values, cursor)
    for row in batch:
        for place, name in places:
            if row[place] in missing[name]:
                return [name]
    return sorted(references)
