"""A person's own query of a PostgreSQL database, in a transaction that only reads.

A READ ONLY transaction writes to no table, but a function may do more: end other sessions, read
files of the server, notify, go to another server. So a function that is volatile, and not among
those known to be harmless, is refused, whether the statement names it or what the server makes of
the statement does (EXPLAIN runs nothing; it shows what is behind a view, and not what is behind a
LIMIT). What a function does that calls itself stable is not seen: the real fence is a role that has
no rights but to read.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

from cw_store.backends.cancellation import shielded
from cw_store.backends.free_query import (
    BATCH_SIZE,
    LONGEST_VALUE,
    QueryRow,
    QueryValue,
    not_run,
    refuse_unless_reading,
    size_of,
)
from cw_store.backends.postgres.connection import connect_beside_pool
from cw_store.backends.postgres.errors import DRIVER_ERRORS, refusals
from cw_store.backends.postgres.transaction import BEGIN_READING
from cw_store.errors import ReadOnlyError, StoreError
from cw_store.postgres_url import Server

_WORDS = ("SELECT", "WITH", "VALUES", "TABLE")

_HARMLESS = (
    "clock_timestamp",
    "gen_random_uuid",
    "pg_lock_status",
    "pg_table_size",
    "pg_indexes_size",
    "pg_relation_size",
    "pg_total_relation_size",
    "pg_database_size",
    "pg_size_pretty",
    "random",
    "random_normal",
    "statement_timestamp",
    "timeofday",
    "uuidv4",
    "uuidv7",
)

_VOLATILE = """
SELECT DISTINCT proname FROM pg_catalog.pg_proc
WHERE proname = ANY ($1::text[]) AND NOT proname = ANY ($2::text[])
    -- The others call themselves stable, and take a transaction id.
    AND (provolatile = 'v' OR proname IN ('txid_current', 'pg_current_xact_id'))
ORDER BY proname
"""

_CALL = re.compile(
    r"""(?<![\w$])([^\W\d][\w$]*+)"?\s*+(?=\(|/\*|--)|(?="([^"]+)"\s*+(?:\(|/\*|--))"""
)
"""A name and what a call may have next: written plainly, or in quotes, where it is as it stands.
Texts and comments are looked through like all else: who skips them can be led astray about where
they end. Each character is looked at a few times, however long the words are."""

_ESCAPED_NAME = re.compile(r"""\bu&\s*\"""", re.IGNORECASE)

_END_WITH_THE_CLIENT = "SET client_connection_check_interval = '500ms'"
"""Has the server look now and then whether anybody still waits for what it works on."""

_OF_THE_STATEMENT = ("22", "42")
"""Classes of errors that say what is wrong with it: its values, and its syntax and names."""

_READ_ONLY = "25006"


MOST_AT_ONCE = 250
"""Rows that are fetched at once; the driver holds all of them, however large they are."""

FIRST_AT_ONCE = 10


@asynccontextmanager
async def run_query(
    server: Server, sql: str, *, busy_timeout: float
) -> AsyncGenerator[PostgresAnswer]:
    """Run one statement that reads, and give its rows; raises ReadOnlyError for any other."""
    refuse_unless_reading(sql, _WORDS, nested=True)
    if "\0" in sql:
        raise not_run("PostgreSQL", sql, "it contains a null character")
    if _ESCAPED_NAME.search(sql):
        raise ReadOnlyError('a name that is written with escapes (U&"…") is not run here')
    with refusals():
        connection = await connect_beside_pool(server, busy_timeout)
    try:
        with suppress(*DRIVER_ERRORS):  # not every server can tell that a client has gone
            await connection.execute(_END_WITH_THE_CLIENT)
        with refusals():
            await connection.execute(BEGIN_READING)
        yield await _begin(connection, sql)
    finally:
        await shielded(_end(connection))


async def _end(connection: Any) -> None:
    connection.terminate()


class PostgresAnswer:
    """The rows of a statement that the server goes on with when it is asked to, in a cursor."""

    def __init__(self, columns: tuple[str, ...], cursor: Any, sql: str) -> None:
        self.columns = columns
        self._cursor = cursor
        self._sql = sql
        self._at_once = FIRST_AT_ONCE

    async def fetch(self, most: int) -> list[QueryRow]:
        """Return the next rows, fewer when the last ones were large, and none at the end."""
        try:
            found = await self._cursor.fetch(min(most, self._at_once))
        except (*DRIVER_ERRORS, ValueError) as error:
            raise _refusal(self._sql, error) from error
        rows = [tuple(map(self._value, row)) for row in found]
        size = 1 + sum(map(size_of, rows))
        self._at_once = max(1, min(MOST_AT_ONCE, len(rows) * BATCH_SIZE // size))
        return rows

    def _value(self, value: Any) -> QueryValue:
        plain: QueryValue = value if isinstance(value, QueryValue) else str(value)
        if size_of((plain,)) > LONGEST_VALUE:
            reason = f"a value of it is too big, with more than {LONGEST_VALUE:,} characters"
            raise not_run("PostgreSQL", self._sql, reason)
        return plain


async def _begin(connection: Any, sql: str) -> PostgresAnswer:
    try:
        statement = await connection.prepare(sql)  # and so it is one and no more
        if statement.get_parameters():
            raise not_run("PostgreSQL", sql, "it has parameters, for which there are no values")
        plan = await connection.fetch(f"EXPLAIN (VERBOSE, COSTS OFF) {sql}")
        await _refuse_volatile(connection, sql, *(line for (line,) in plan))
        columns = tuple(attribute.name for attribute in statement.get_attributes())
        cursor = await statement.cursor()
    except (*DRIVER_ERRORS, ValueError) as error:
        raise _refusal(sql, error) from error
    return PostgresAnswer(columns, cursor, sql)


async def _refuse_volatile(connection: Any, *texts: str) -> None:
    called = {name for text in texts for name in names_called(text)}
    found = await connection.fetch(_VOLATILE, sorted(called), list(_HARMLESS))
    if found:
        names = ", ".join(name for (name,) in found)
        raise ReadOnlyError(f"a function that may do more than read is not run here: {names}")


def names_called(text: str) -> set[str]:
    """Return the names of all that may be a function that is called in the text."""
    found = _CALL.findall(text)
    plain = {name.lower() for name, _ in found}
    return (plain | {quoted for _, quoted in found}) - {""}


def _refusal(sql: str, error: Exception) -> Exception:
    state = getattr(error, "sqlstate", None) or ""
    if state == _READ_ONLY:
        return ReadOnlyError("the statement would do more than read, and was not run")
    if state.startswith(_OF_THE_STATEMENT) or isinstance(error, ValueError):
        return not_run("PostgreSQL", sql, str(error))
    with_state = f" with {state}" if state else ""
    return StoreError(f"PostgreSQL failed{with_state}: {error}")
