"""A SQLite file while its schema is changed: locked, and looked through before the commit."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from cw_store.backends.sqlite.contents import look
from cw_store.backends.sqlite.errors import plain_failure, shown
from cw_store.backends.sqlite.raw_connection import (
    connect_with_retry,
    create_private_file,
    retry_while_busy,
)
from cw_store.errors import SchemaError, StoreError
from cw_store.inspection import revision_of
from cw_store.revisions import revisions
from cw_store.triggers import PREFIX


@contextmanager
def sqlite_connection(
    path: Path, *, timeout: float, given_up: threading.Event | None = None
) -> Generator[Connection]:
    """Give a connection for migrating a SQLite file, in a transaction that holds the write lock.

    Commits at the end. Foreign keys are off meanwhile: SQLite changes a table by building a
    new one and dropping the old, and with foreign keys on the drop deletes every row that
    points to it. They cannot be switched inside a transaction. In return, references that
    the migration broke are looked for before the commit, and roll it back. Raises SchemaError,
    with nothing changed, for what is no store and can be none.
    """
    found = look(path, timeout=timeout, given_up=given_up)
    if found is None:
        create_private_file(path)
    else:
        revision_of(found, shown(path), revisions())
    path = path.resolve()
    engine = create_engine(
        "sqlite://",
        creator=lambda: connect_with_retry(
            path, read_only=False, synchronous="FULL", timeout=timeout, given_up=given_up
        ),
        poolclass=NullPool,
    )
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        # A view of the application's must not stop the table it shows from being built anew.
        connection.exec_driver_sql("PRAGMA legacy_alter_table = ON")
        raw: Any = connection.connection.driver_connection
        retry_while_busy(
            partial(raw.execute, "BEGIN IMMEDIATE"),
            timeout=timeout,
            given_up=given_up,
            too_late=f"another program held the lock on {path.name} for {timeout:g} s; "
            "the schema was not brought up to date",
        )
        broken_before = _broken_references(connection)
        triggers = _triggers(connection)
        unusable_before = _unusable_objects(connection)
        try:
            yield connection
            _put_back(connection, triggers)
            unusable_now = _unusable_objects(connection)
            for name in unusable_now.keys() - unusable_before.keys():
                raise SchemaError(
                    f"the migration would break what the application has made: {name} "
                    f"({unusable_now[name]}); drop it first, and make it anew afterwards. "
                    "Nothing was changed"
                )
            broken = _broken_references(connection) - broken_before
            if broken:
                raise SchemaError(
                    f"the migration would leave {len(broken)} references to rows that do not "
                    f"exist, in {', '.join(sorted({str(row[0]) for row in broken}))}; "
                    "nothing was changed"
                )
        except BaseException:
            connection.rollback()
            raise
        connection.commit()


def _triggers(connection: Connection) -> dict[str, str]:
    """Return the SQL of every trigger of the application's by its name."""
    found = connection.exec_driver_sql("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
    return {name: sql for name, sql in found if not name.startswith(PREFIX)}


def _put_back(connection: Connection, triggers: dict[str, str]) -> None:
    """Create those anew that went with a table which was built anew."""
    still_there = _triggers(connection)
    for name, sql in triggers.items():
        if name not in still_there:
            connection.exec_driver_sql(sql)


def _unusable_objects(connection: Connection) -> dict[str, str]:
    """Return the views, and the tables for their triggers, that SQLite cannot use, and why.

    Their text is not looked at when a table changes under it, but when a statement is compiled
    that needs it. That is all that happens here.
    """
    found = connection.exec_driver_sql(
        "SELECT 'view', name FROM sqlite_schema WHERE type = 'view' "
        "UNION SELECT 'trigger', tbl_name FROM sqlite_schema WHERE type = 'trigger'"
    )
    quote = connection.dialect.identifier_preparer.quote
    unusable: dict[str, str] = {}
    for kind, name in found.all():
        quoted = quote(name)
        statements = {f"the view {name}": f"SELECT * FROM {quoted}"}  # noqa: S608 -- a quoted name
        if kind == "trigger":
            statements = {
                f"a trigger on {verb} of {name}": statement
                for verb, statement in _changes_of(connection, quoted).items()
            }
        for described, statement in statements.items():
            try:
                connection.exec_driver_sql(f"EXPLAIN {statement}").close()
            except DBAPIError as error:
                unusable[described] = str(error.orig)
    return unusable


def _changes_of(connection: Connection, table: str) -> dict[str, str]:
    columns = connection.exec_driver_sql(f"PRAGMA table_info({table})").all()
    quote = connection.dialect.identifier_preparer.quote
    same = ", ".join(f"{quote(column.name)} = {quote(column.name)}" for column in columns)
    return {
        "INSERT": f"INSERT INTO {table} DEFAULT VALUES",
        "UPDATE": f"UPDATE {table} SET {same}",  # noqa: S608 -- quoted names, and only explained
        "DELETE": f"DELETE FROM {table}",  # noqa: S608 -- the same
    }


def _broken_references(connection: Connection) -> set[tuple[Any, ...]]:
    return {tuple(row) for row in connection.exec_driver_sql("PRAGMA foreign_key_check")}


def refusal_of(error: Exception, file: object) -> StoreError | None:
    """Say what SQLite refused of an opening or a migration; None for what is not SQLite's."""
    refused = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(refused, sqlite3.Error):
        return None
    is_of_migration = refused is not error
    if is_of_migration and getattr(refused, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
        return SchemaError(f"the schema of {file} cannot be brought up to date: {refused}")
    return plain_failure(refused)
