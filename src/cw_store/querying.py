"""A person's own query of a store, of which nothing but reading comes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from cw_store.backends.free_query import (
    BATCH_ROWS,
    Answer,
    QueryResult,
    QueryRow,
    QueryRows,
    QueryValue,
)
from cw_store.errors import SchemaAheadError, SchemaBehindError, StoreError
from cw_store.location import Location, locate
from cw_store.migrations import bring_up_to_date

MOST_ROWS = 1_000

__all__ = ["QueryResult", "QueryRows", "QueryValue", "query_store", "stream_query"]


async def query_store(
    url: str | Path | None, sql: str, *, limit: int | None = MOST_ROWS, busy_timeout: float = 30.0
) -> QueryResult:
    """Run one SQL statement that reads on the store at `url`, and return what it gives.

    It sees one state of the database. Values are as they are stored: on SQLite times are
    microseconds since 1970 and JSON is text, and what is encrypted stays so. `limit` is the most
    rows that are fetched, None for all. The store may be of another version than this cw_store;
    nothing is brought up to date and nothing is made. `busy_timeout` is how many seconds to wait
    for a lock; a cancellation ends the statement.

    On SQLite nothing that writes, attaches or loads gets through: the connection is opened for
    reading, and each action of the statement is looked at. On PostgreSQL it runs in a READ ONLY
    transaction, and functions that may do more than read are refused as far as the server tells
    of them; only a role without other rights is certain.

    Raises ReadOnlyError for a statement that does anything else, InvalidValueError for one that the
    database cannot make sense of, SchemaError when there is no store, and StoreError for whatever
    else stands in the way.
    """
    if limit is not None and limit < 1:
        raise ValueError("limit is at least 1")
    rows: list[QueryRow] = []
    most = None if limit is None else limit + 1
    async with _answer(url, sql, busy_timeout) as answer:
        while most is None or len(rows) < most:
            more = await answer.fetch(BATCH_ROWS if most is None else most - len(rows))
            if not more:
                break
            rows += more
        return QueryResult(answer.columns, tuple(rows[:limit]), len(rows) == most)


@asynccontextmanager
async def stream_query(
    url: str | Path | None, sql: str, *, busy_timeout: float = 30.0
) -> AsyncGenerator[QueryRows]:
    """Run one SQL statement that reads, as `query_store` does, and give its rows as they come.

        async with stream_query("cw.db", "SELECT id, name FROM tasks") as rows:
            async for id, name in rows:
                ...

    However many rows there are, few of them are in memory. All are of one state of the database,
    which is kept until the block ends: on SQLite the write-ahead log cannot be begun anew before.
    Raises what `query_store` raises, also while rows are read.
    """
    async with _answer(url, sql, busy_timeout) as answer:
        yield QueryRows(answer)


@asynccontextmanager
async def _answer(url: str | Path | None, sql: str, busy_timeout: float) -> AsyncGenerator[Answer]:
    location = locate(url)
    if location.is_memory:
        raise StoreError("a store in memory ends with its object; there is nothing to query")
    try:
        await bring_up_to_date(location, migrate=False, busy_timeout=busy_timeout)
    except SchemaAheadError:
        pass
    except SchemaBehindError as error:
        if error.current is None:
            raise
    async with _run(location, sql, busy_timeout) as answer:
        yield answer


def _run(location: Location, sql: str, busy_timeout: float) -> AbstractAsyncContextManager[Answer]:
    # Most programs ask nothing of their own, and PostgreSQL's driver is an extra.
    if location.path is not None:
        from cw_store.backends.sqlite.free_query import run_query

        return run_query(location.path, sql, busy_timeout=busy_timeout)
    assert location.server is not None
    from cw_store.backends.postgres.free_query import run_query as run_query_on_server

    return run_query_on_server(location.server, sql, busy_timeout=busy_timeout)
