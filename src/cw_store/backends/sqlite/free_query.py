"""A person's own query of a SQLite file, on a connection of its own that can do nothing but read.

Three fences, each of which is enough for what the store's tests try: the file is opened for
reading, `query_only` is on, and every action of a statement has to be one of those listed here
("Compile-Time Authorization Callbacks" in SQLite's documentation), however it is written.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from cw_store.backends.free_query import (
    BATCH_SIZE,
    LONGEST_VALUE,
    QueryRow,
    not_run,
    refuse_unless_reading,
    size_of,
)
from cw_store.backends.sqlite.connection import Connection
from cw_store.backends.sqlite.errors import is_busy, is_interrupted, plain_failure
from cw_store.backends.sqlite.opening import open_with
from cw_store.backends.sqlite.raw_connection import GivenUp
from cw_store.backends.sqlite.unlocked import connect_to_read_with_retry
from cw_store.backends.thread.worker import LoopCallbacks
from cw_store.errors import ReadOnlyError

_WORDS = ("SELECT", "WITH", "VALUES", "EXPLAIN", "PRAGMA")

_READING = frozenset(
    (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)
)

_FORBIDDEN_FUNCTIONS = frozenset(("load_extension", "fts3_tokenizer", "writefile", "edit"))

_PRAGMAS_OF_ANYTHING = frozenset(
    (
        "foreign_key_check",
        "foreign_key_list",
        "function_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "integrity_check",
        "quick_check",
        "table_info",
        "table_list",
        "table_xinfo",
    )
)
"""Those that only tell, whatever they are asked about."""

_PRAGMAS_OF_NOTHING = frozenset(
    (
        "application_id",
        "compile_options",
        "data_version",
        "encoding",
        "freelist_count",
        "journal_mode",
        "page_count",
        "page_size",
        "schema_version",
        "user_version",
    )
)
"""Those that tell when they are given nothing, and set otherwise."""

_TABLES_OF_FUNCTIONS = (
    "json_each",
    "json_tree",
    "dbstat",
    *(f"pragma_{name}" for name in sorted(_PRAGMAS_OF_ANYTHING)),
)
"""Tables that SQLite declares when a connection first uses them, which no statement may do later.
"""


@asynccontextmanager
async def run_query(path: Path, sql: str, *, busy_timeout: float) -> AsyncGenerator[SqliteAnswer]:
    """Run one statement that reads, and give its rows; raises ReadOnlyError for any other."""
    refuse_unless_reading(sql, _WORDS, nested=False)
    connection = await open_with(
        partial(_connect, path, busy_timeout),
        path,
        loop_callbacks=LoopCallbacks(asyncio.get_running_loop()),
        name="query",
        busy_timeout=busy_timeout,
    )
    try:
        cursor = await connection.run(lambda: _execute(connection.raw, sql))
        try:
            yield SqliteAnswer(connection, cursor, sql)
        finally:
            await connection.run(cursor.close)
    finally:
        await connection.disconnect()


class SqliteAnswer:
    """The rows of a statement on a connection of its own, which goes on when it is asked to."""

    def __init__(self, connection: Connection, cursor: sqlite3.Cursor, sql: str) -> None:
        self.columns = tuple(name for name, *_ in cursor.description or ())
        self._connection = connection
        self._cursor = cursor
        self._sql = sql

    async def fetch(self, most: int) -> list[QueryRow]:
        """Return the next rows, none at the end."""
        return await self._connection.run(lambda: _fetch(self._cursor, self._sql, most))


# What follows runs in the connection's thread.


def _connect(path: Path, timeout: float, given_up: GivenUp | None = None) -> sqlite3.Connection:
    raw = connect_to_read_with_retry(path.resolve(), timeout, given_up)
    raw.text_factory = _decoded
    raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
    for table in _TABLES_OF_FUNCTIONS:
        with suppress(sqlite3.OperationalError):  # not every build has each
            raw.execute(f"SELECT 1 FROM {table} LIMIT 0").close()  # noqa: S608 -- of _TABLES_OF_FUNCTIONS
    raw.set_authorizer(_authorize)
    return raw


def _decoded(text: bytes) -> str:
    return text.decode(errors="replace")


def _authorize(action: int, first: Any, second: Any, _database: Any, _source: Any) -> int:
    """Allow what reads and nothing else."""
    if action == sqlite3.SQLITE_FUNCTION:
        is_allowed = str(second).lower() not in _FORBIDDEN_FUNCTIONS
    elif action == sqlite3.SQLITE_PRAGMA:
        name = str(first).lower()
        is_allowed = name in _PRAGMAS_OF_ANYTHING or (
            second is None and name in _PRAGMAS_OF_NOTHING
        )
    else:
        is_allowed = action in _READING
    return sqlite3.SQLITE_OK if is_allowed else sqlite3.SQLITE_DENY


def _execute(raw: sqlite3.Connection, sql: str) -> sqlite3.Cursor:
    try:
        return raw.execute(sql)
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        raise _refusal(sql, error) from error


def _fetch(cursor: sqlite3.Cursor, sql: str, most: int) -> list[QueryRow]:
    rows: list[QueryRow] = []
    size = 0
    try:
        while len(rows) < most and size < BATCH_SIZE and (row := cursor.fetchone()) is not None:
            rows.append(row)
            size += size_of(row)
    except (sqlite3.Error, ValueError) as error:
        raise _refusal(sql, error) from error
    return rows


def _refusal(sql: str, error: Exception) -> Exception:
    code = getattr(error, "sqlite_errorcode", None)
    if code in (sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY):
        return ReadOnlyError("the statement would do more than read, and was not run")
    if isinstance(error, sqlite3.Error) and (is_busy(error) or is_interrupted(error)):
        return plain_failure(error)
    return not_run("SQLite", sql, str(error))
