"""Bringing a database's schema up to date: once, whoever comes first.

Any number of processes may open a store at the same time. Each looks first, without a
lock, whether there is anything to do; who finds something takes SQLite's write lock (or
PostgreSQL's advisory lock), looks again, and applies all missing steps in one transaction.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from cw_store.backends.cancellation import shielded
from cw_store.backends.sqlite.errors import reason_of, shown
from cw_store.backends.sqlite.files import contents_of, look, reason_not_to_write
from cw_store.backends.sqlite.raw_connection import (
    BUSY_PAUSE,
    connect_with_retry,
    create_private_file,
    retry_while_busy,
)
from cw_store.backends.sqlite.statements import plain_failure
from cw_store.errors import (
    SchemaAheadError,
    SchemaBehindError,
    SchemaError,
    StoreError,
)
from cw_store.inspection import EMPTY, HIDDEN_TABLE, VERSION_TABLE, Contents, revision_of
from cw_store.location import Location, locate
from cw_store.memory import MemoryFolder
from cw_store.postgres_url import Server
from cw_store.revisions import revisions, scripts

SILENCE_SECONDS = 5.0
"""How much longer than for a lock a server is waited for that is looked at."""

READ_ONLY = "25006"
"""The SQLSTATE of a server, a standby mostly, that cannot be written to."""

_ADVISORY_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('cw_store.migrations', 0))")
# Where the store's tables are, else where they would be made: the first schema of the path. A
# table makes a type of its name, so that a type is in its way as well.
_RELATIONS = text(
    """
    WITH place (oid) AS (
        SELECT coalesce(
            (SELECT relnamespace FROM pg_class WHERE oid = to_regclass(:version_table)),
            (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
        )
    )
    SELECT typname, 'type' FROM pg_type, place WHERE typnamespace = place.oid AND typrelid = 0
    UNION ALL
    SELECT relname, CASE WHEN relkind IN ('r', 'p') AND NOT pg_table_is_visible(pg_class.oid)
        THEN :hidden_table ELSE CASE relkind
        WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view'
        WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'I' THEN 'index'
        WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' ELSE 'type' END END
    FROM pg_class JOIN place ON relnamespace = place.oid
    """
).bindparams(version_table=VERSION_TABLE, hidden_table=HIDDEN_TABLE)
_VERSION_COLUMNS = text(
    "SELECT attname FROM pg_attribute "
    "WHERE attrelid = to_regclass(:version_table) AND attnum > 0 AND NOT attisdropped"
).bindparams(version_table=VERSION_TABLE)
# A table's name cannot be a parameter.
_READ_VERSIONS = text(f"SELECT version_num FROM {VERSION_TABLE} LIMIT 9")  # noqa: S608


_alembic = threading.Lock()
"""Held while Alembic runs: what its scripts import (`op`, `context`) is one for the process, so two
databases that were brought up to date at once would be written to through each other's connection.
"""


@asynccontextmanager
async def _alembic_on_the_loop() -> AsyncGenerator[None]:
    """Hold the lock without keeping the event loop, in which its holder may have to go on."""
    while not _alembic.acquire(blocking=False):  # noqa: ASYNC110 -- a thread may hold it
        await asyncio.sleep(BUSY_PAUSE)
    try:
        yield
    finally:
        _alembic.release()


async def ensure_schema(url: str | Path | None = None, *, busy_timeout: float = 30.0) -> None:
    """Bring the database at `url` to the schema of this cw_store, creating it if need be.

    Safe to call from any number of processes at once; returns when the schema is there,
    whoever brought it. `busy_timeout` is how many seconds to wait for a lock. Raises
    SchemaAheadError when the database is newer than the code, SchemaError when it is another
    program's or not whole, of which nothing is changed, SchemaBehindError when it may only be
    read, StoreBusyError when the lock was not to be had in time, and StoreError for whatever
    else stands in the way.
    """
    await bring_up_to_date(locate(url), migrate=True, busy_timeout=busy_timeout)


async def bring_up_to_date(location: Location, *, migrate: bool, busy_timeout: float) -> None:
    """Do what `ensure_schema` does, or only look and raise SchemaBehindError."""
    if location.path is None and location.server is None:
        raise SchemaError("a store in memory ends with its object; there is nothing to prepare")
    with failures_of_opening(location):
        if location.server is not None:
            await _bring_server_up_to_date(location.server, migrate, busy_timeout)
        elif location.path is not None:
            if location.must_exist and not location.path.exists():
                raise SchemaError(
                    f"there is no file {str(location.path)!r}, and the mode in its URL makes none"
                )
            await _bring_file_up_to_date_in_thread(location.path, migrate, busy_timeout)


@contextmanager
def failures_of_opening(location: Location) -> Generator[None]:
    """Turn whatever an opening can fail with into an error of the store's own."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        raise _failure_of_opening(location, error) from error


def _failure_of_opening(location: Location, error: Exception) -> StoreError:
    """Say what happened; what is unknown is only named, as its text may hold a password."""
    match error:
        case DBAPIError(orig=sqlite3.Error() as refused):
            if getattr(refused, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
                return SchemaError(
                    f"the schema of {location} cannot be brought up to date: {refused}"
                )
            return plain_failure(refused)
        case sqlite3.Error():
            return plain_failure(error)
        case OSError() | RuntimeError():
            reason = reason_of(error)
        case MemoryError():
            reason = "there is no memory left"
        case _:
            reason = f"unexpected failure: {type(error).__name__}"
    return StoreError(f"cannot open {str(location)!r}: {reason}")


async def _bring_file_up_to_date_in_thread(path: Path, migrate: bool, busy_timeout: float) -> None:
    given_up = threading.Event()
    work = asyncio.to_thread(_bring_file_up_to_date, path, migrate, busy_timeout, given_up)
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        given_up.set()
        await shielded(_settled(task))
        raise


_template = threading.Lock()


def empty_database() -> bytes:
    """Return the file of an empty database at the head, for stores that end with their object.

    Made once in a process, however many ask for it at once; blocks.
    """
    with _template:
        return _empty_database()


@cache
def _empty_database() -> bytes:
    folder = MemoryFolder()
    try:
        _bring_file_up_to_date(folder.database, True, 30.0, threading.Event())
        return folder.database.read_bytes()
    finally:
        folder.remove()


async def _settled(task: asyncio.Task[None]) -> None:
    await asyncio.wait([task])


def is_current(found: Contents, place: str, *, migrate: bool) -> bool:
    """Whether nothing is to be done.

    Raises SchemaAheadError or SchemaBehindError, and SchemaError for what is no whole store.
    """
    known = revisions()
    current = revision_of(found, place, known)
    if current == known[-1]:
        return True
    if current is not None and current not in known:
        raise SchemaAheadError(current)
    if not migrate:
        raise SchemaBehindError(current, known[-1])
    return False


def upgrade(connection: Connection, revision: str = "head", folder: Path | None = None) -> None:
    """Apply the missing steps on a connection whose transaction has begun; blocks."""
    with _alembic:
        _upgrade(connection, revision, folder)


def _upgrade(connection: Connection, revision: str = "head", folder: Path | None = None) -> None:
    # Alembic takes a tenth of a second to import, and is rarely needed.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(folder or scripts()).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


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


def _bring_file_up_to_date(
    path: Path, migrate: bool, timeout: float, given_up: threading.Event
) -> None:
    found = look(path, timeout=timeout, given_up=given_up)
    place = shown(path)
    if is_current(found or EMPTY, place, migrate=migrate):
        return
    reason = None if found is None else reason_not_to_write(path)
    if reason is not None:
        raise SchemaBehindError(
            revision_of(found or EMPTY, place, revisions()), revisions()[-1], reason
        )
    with sqlite_connection(path, timeout=timeout, given_up=given_up) as connection:
        raw: Any = connection.connection.driver_connection
        if not is_current(contents_of(raw), place, migrate=True):
            upgrade(connection)


async def _bring_server_up_to_date(server: Server, migrate: bool, timeout: float) -> None:
    try:
        from cw_store.backends.postgres.connection import ConnectionBesidePool
        from cw_store.backends.postgres.errors import refusals
    except ImportError as error:
        raise StoreError(
            "PostgreSQL needs the extra postgres: install cw-store[postgres]"
        ) from error
    raw = ConnectionBesidePool(server, timeout)
    engine = create_async_engine(
        "postgresql+asyncpg://", poolclass=NullPool, async_creator=raw.make
    )
    # A server that falls silent during the look; the steps may take as long as they need.
    limit = asyncio.get_running_loop().call_later(timeout + SILENCE_SECONDS, raw.give_up)
    work = _look_and_upgrade(engine, f"the database {server.database}", migrate, limit.cancel)
    try:
        with refusals():
            await shielded(work, on_cancellation=raw.give_up)
    finally:
        limit.cancel()


async def _look_and_upgrade(
    engine: AsyncEngine, place: str, migrate: bool, looked: Callable[[], None]
) -> None:
    async with engine.connect() as connection:
        found = await connection.run_sync(_contents_of_server)
        if is_current(found, place, migrate=migrate):
            return
        # Ends the look's transaction: the next one must see what others committed meanwhile.
        await connection.rollback()
        looked()
        try:
            await connection.execute(_ADVISORY_LOCK)
            found = await connection.run_sync(_contents_of_server)
            if not is_current(found, place, migrate=True):
                async with _alembic_on_the_loop():
                    await connection.run_sync(_upgrade)
            await connection.commit()
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == READ_ONLY:
                current = revision_of(found, place, revisions())
                raise SchemaBehindError(current, revisions()[-1]) from error
            raise


def _contents_of_server(connection: Connection) -> Contents:
    relations = {str(name): str(kind) for name, kind in connection.execute(_RELATIONS)}
    if VERSION_TABLE not in relations:
        return Contents(relations)
    if list(connection.scalars(_VERSION_COLUMNS)) != ["version_num"]:
        return Contents(relations)
    return Contents(relations, list(connection.scalars(_READ_VERSIONS)))


def _triggers(connection: Connection) -> dict[str, str]:
    """Return the SQL of every trigger by its name; all of them are an application's."""
    found = connection.exec_driver_sql("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
    return {name: sql for name, sql in found}


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
        statements = {f"the view {name}": f"SELECT * FROM {quoted}"}  # noqa: S608 -- quoted
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
        "UPDATE": f"UPDATE {table} SET {same}",  # noqa: S608 -- quoted
        "DELETE": f"DELETE FROM {table}",  # noqa: S608 -- quoted
    }


def _broken_references(connection: Connection) -> set[tuple[Any, ...]]:
    return {tuple(row) for row in connection.exec_driver_sql("PRAGMA foreign_key_check")}
