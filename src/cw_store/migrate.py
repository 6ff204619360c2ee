"""Bringing a database's schema up to date: once, whoever comes first.

Any number of processes may open a store at the same time. Each looks first, without a
lock, whether there is anything to do; who finds something takes SQLite's write lock (or
PostgreSQL's advisory lock), looks again, and applies all missing steps in one transaction.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, NullPool, create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from cw_store.backends.cancellation import finish
from cw_store.backends.sqlite_connection import (
    connect_patiently,
    create_private_file,
    try_patiently,
)
from cw_store.errors import (
    SchemaAheadError,
    SchemaBehindError,
    SchemaError,
    StoreError,
)
from cw_store.url import Location, locate

VERSION_TABLE = "cw_store_version"
"""Where the revision is kept; Alembic's own name is left to the application's migrations."""

_ADVISORY_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('cw_store.migrate', 0))")
# A table's name cannot be a parameter.
_READ_VERSION = f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608 -- the constant above


async def ensure_schema(url: str | Path | None = None, *, busy_timeout: float = 30.0) -> None:
    """Bring the database at `url` to the schema of this cw_store, creating it if need be.

    Safe to call from any number of processes at once; returns when the schema is there,
    whoever brought it. `busy_timeout` is how many seconds to wait for a lock. Raises
    SchemaAheadError when the database is newer than the code, StoreBusyError when the lock
    was not to be had in time.
    """
    await bring_up_to_date(locate(url), migrate=True, busy_timeout=busy_timeout)


async def bring_up_to_date(location: Location, *, migrate: bool, busy_timeout: float) -> None:
    """Do what `ensure_schema` does, or only look and raise SchemaBehindError."""
    if location.server is not None:
        await _bring_server_up_to_date(location.server, migrate, busy_timeout)
        return
    if location.path is None:
        raise SchemaError("a store in memory ends with its object; there is nothing to prepare")
    given_up = threading.Event()
    work = asyncio.to_thread(_bring_file_up_to_date, location.path, migrate, busy_timeout, given_up)
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        given_up.set()
        await finish(_settled(task))
        raise


@cache
def empty_database() -> bytes:
    """Return the file of an empty database at the head, for stores that end with their object."""
    with tempfile.TemporaryDirectory(prefix="cw-store-") as folder:
        path = Path(folder) / "empty.db"
        _bring_file_up_to_date(path, True, 30.0, threading.Event())
        return path.read_bytes()


async def _settled(task: asyncio.Task[None]) -> None:
    await asyncio.wait([task])


@cache
def scripts() -> Path:
    """Return the folder of the migrations: inside the installed package, or beside src/."""
    package = Path(__file__).parent
    installed = package / "alembic"
    return installed if installed.is_dir() else package.parents[1] / "alembic"


@cache
def revisions() -> tuple[str, ...]:
    """Return the revisions in order: the numbers that the files in versions/ begin with."""
    return tuple(
        sorted(path.stem.partition("_")[0] for path in (scripts() / "versions").glob("[0-9]*.py"))
    )


def is_current(current: str | None, *, migrate: bool) -> bool:
    """Whether nothing is to be done; raises SchemaAheadError or SchemaBehindError."""
    known = revisions()
    if current == known[-1]:
        return True
    if current is not None and current not in known:
        raise SchemaAheadError(current)
    if not migrate:
        raise SchemaBehindError(current, known[-1])
    return False


def upgrade(connection: Connection, revision: str = "head", folder: Path | None = None) -> None:
    """Apply the missing steps on a connection whose transaction has begun."""
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
    the migration broke are looked for before the commit, and roll it back.
    """
    create_private_file(path)
    engine = create_engine(
        "sqlite://",
        creator=lambda: connect_patiently(
            path, read_only=False, synchronous="FULL", timeout=timeout, given_up=given_up
        ),
        poolclass=NullPool,
    )
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        raw: Any = connection.connection.driver_connection
        try_patiently(
            partial(raw.execute, "BEGIN IMMEDIATE"),
            timeout=timeout,
            given_up=given_up,
            too_late=f"another program held the lock on {path.name} for {timeout:g} s; "
            "the schema was not brought up to date",
        )
        broken_before = _broken_references(connection)
        try:
            yield connection
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
    if not path.parent.is_dir():
        raise SchemaError(f"there is no folder {str(path.parent)!r} to keep the database in")
    if is_current(_version_of_file(path, timeout, given_up), migrate=migrate):
        return
    with sqlite_connection(path, timeout=timeout, given_up=given_up) as connection:
        if not is_current(_version(connection), migrate=True):
            upgrade(connection)


async def _bring_server_up_to_date(server: URL, migrate: bool, timeout: float) -> None:
    try:
        from cw_store.backends.postgres import connect
        from cw_store.backends.postgres_failures import refusals
    except ImportError as error:
        raise StoreError(
            "PostgreSQL needs the extra postgres: install cw-store[postgres]"
        ) from error
    engine = create_async_engine(
        server,
        poolclass=NullPool,
        async_creator=lambda: connect(server, timeout),
    )
    with refusals():
        async with engine.connect() as connection:
            if is_current(await connection.run_sync(_version_of_server), migrate=migrate):
                return
            # Ends the look's transaction: the next one must see what others committed meanwhile.
            await connection.rollback()
            await connection.execute(_ADVISORY_LOCK)
            if not is_current(await connection.run_sync(_version_of_server), migrate=True):
                await connection.run_sync(upgrade)
            await connection.commit()


def _version_of_server(connection: Connection) -> str | None:
    if connection.scalar(text(f"SELECT to_regclass('{VERSION_TABLE}')")) is None:
        return None
    return connection.scalar(text(_READ_VERSION))


def _version_of_file(path: Path, timeout: float, given_up: threading.Event) -> str | None:
    if not path.exists():
        return None
    raw = connect_patiently(
        path, read_only=False, synchronous="NORMAL", timeout=timeout, given_up=given_up
    )
    try:
        if raw.execute(
            "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", [VERSION_TABLE]
        ).fetchone():
            row = raw.execute(_READ_VERSION).fetchone()
            return row[0] if row else None
        return None
    finally:
        raw.close()


def _version(connection: Connection) -> str | None:
    from alembic.migration import MigrationContext

    options = {"version_table": VERSION_TABLE}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def _broken_references(connection: Connection) -> set[tuple[Any, ...]]:
    return {tuple(row) for row in connection.exec_driver_sql("PRAGMA foreign_key_check")}
