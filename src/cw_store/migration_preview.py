"""The SQL that brings a store up to date, for whoever wants to read it before it is run.

It is what the migrations run on a database without rows that is at the same revision, made for it
and gone afterwards; they ask a database what it has, so their SQL cannot be written without one.
What an application has added to the store's tables is not in it, and `ensure_schema` looks after
that as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, NullPool, event, text
from sqlalchemy.ext.asyncio import create_async_engine

from cw_store.backends.sqlite.migrating import sqlite_connection
from cw_store.errors import SchemaBehindError
from cw_store.location import locate
from cw_store.memory import MemoryFolder
from cw_store.migrations import bring_up_to_date, failures_of_opening, upgrade, upgrade_server
from cw_store.postgres_url import Server

PREVIEW = "cw_store_preview"
"""The schema in which a server's tables are made, and which is rolled back."""

_WRITES = ("CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE", "SET", "LOCK", "COMMENT")


async def migration_sql(url: str | Path | None = None, *, busy_timeout: float = 30.0) -> list[str]:
    """Return the statements that would bring the store at `url` up to date; none if it is.

    Nothing of the store is changed or locked. On PostgreSQL the role needs the right to create a
    schema in the database, which is rolled back. Raises SchemaBehindError where there is no store,
    and what `ensure_schema` raises.
    """
    location = locate(url)
    try:
        await bring_up_to_date(location, migrate=False, busy_timeout=busy_timeout)
        return []
    except SchemaBehindError as error:
        if error.current is None:
            raise
        current, head = error.current, error.head
    with failures_of_opening(location):
        if location.server is None:
            return await asyncio.to_thread(_on_sqlite, current, head)
        return await _on_server(location.server, current, head, busy_timeout)


def _on_sqlite(current: str, head: str) -> list[str]:
    folder = MemoryFolder()
    try:
        with sqlite_connection(folder.database, timeout=30.0) as connection:
            upgrade(connection, current)
            with _written_down(connection) as statements:
                upgrade(connection, head)
        return statements
    finally:
        folder.remove()


async def _on_server(server: Server, current: str, head: str, timeout: float) -> list[str]:
    # What reads the store's schema has loaded the driver, or failed for the lack of it.
    from cw_store.backends.postgres.connection import ConnectionBesidePool
    from cw_store.backends.postgres.errors import refusals

    raw = ConnectionBesidePool(server, timeout)
    engine = create_async_engine(
        "postgresql+asyncpg://", poolclass=NullPool, async_creator=raw.make
    )
    with refusals():
        async with engine.connect() as connection:
            place = await connection.scalar(text("SELECT quote_ident(current_schema())"))
            await connection.exec_driver_sql(f"CREATE SCHEMA {PREVIEW}")
            await connection.exec_driver_sql(f"SET LOCAL search_path TO {PREVIEW}")
            await upgrade_server(connection, current)
            with _written_down(connection.sync_connection) as statements:
                await upgrade_server(connection, head)
            await connection.rollback()
    return [statement.replace(PREVIEW, str(place)) for statement in statements]


@contextmanager
def _written_down(connection: Connection | None) -> Generator[list[str]]:
    """Give the list to which each statement is added that is run and not only asked."""
    assert connection is not None
    statements: list[str] = []

    def note(
        connection: Connection, cursor: Any, statement: str, parameters: Any, *_: object
    ) -> None:
        if statement.lstrip().upper().startswith(_WRITES):
            statements.append(_filled_in(statement.strip(), parameters))

    event.listen(connection, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(connection, "before_cursor_execute", note)


def _filled_in(statement: str, parameters: Any) -> str:
    """Return the statement as it can be run by itself; the migrations pass no values apart."""
    assert not parameters, "a step of a migration has its values in its statement"
    return statement
