"""Bringing a database's schema up to date: once, whoever comes first.

Any number of processes may open a store at the same time. Each looks first, without a
lock, whether there is anything to do; who finds something takes SQLite's write lock (or
PostgreSQL's advisory lock), looks again, and applies all missing steps in one transaction.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, NullPool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from cw_store.backends.cancellation import shielded
from cw_store.backends.postgres.contents import contents_of as contents_of_server
from cw_store.backends.sqlite.contents import contents_of, look
from cw_store.backends.sqlite.errors import reason_of, shown
from cw_store.backends.sqlite.files import reason_not_to_write
from cw_store.backends.sqlite.migrating import refusal_of, sqlite_connection
from cw_store.backends.sqlite.raw_connection import BUSY_PAUSE
from cw_store.errors import (
    SchemaAheadError,
    SchemaBehindError,
    SchemaError,
    StoreError,
)
from cw_store.inspection import EMPTY, Contents, revision_of
from cw_store.location import Location, locate
from cw_store.memory import MemoryFolder
from cw_store.postgres_url import Server
from cw_store.revisions import revisions, scripts

SILENCE_SECONDS = 5.0
"""How much longer than for a lock a server is waited for that is looked at."""

logger = logging.getLogger(__name__)

READ_ONLY = "25006"
"""The SQLSTATE of a server, a standby mostly, that cannot be written to."""

_ADVISORY_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('cw_store.migrations', 0))")
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


async def ensure_schema(
    url: str | Path | None = None, *, busy_timeout: float = 30.0, revision: str | None = None
) -> None:
    """Bring the database at `url` to the schema of this cw_store, creating it if need be.

    Safe to call from any number of processes at once; returns when the schema is there,
    whoever brought it. `busy_timeout` is how many seconds to wait for a lock. With `revision` it
    goes only so far, and a database that is there already, or further, stays as it is; one that
    this cw_store does not know is a ValueError. Raises SchemaAheadError when the database is newer
    than the code, SchemaError when it is another program's or not whole, of which nothing is
    changed, SchemaBehindError when it may only be read, StoreBusyError when the lock was not to be
    had in time, and StoreError for whatever else stands in the way.
    """
    if revision is not None and revision not in revisions():
        known = ", ".join(revisions())
        raise ValueError(f"there is no schema {revision!r}; this cw_store knows {known}")
    target = revision or revisions()[-1]
    await bring_up_to_date(locate(url), migrate=True, busy_timeout=busy_timeout, target=target)


async def bring_up_to_date(
    location: Location, *, migrate: bool, busy_timeout: float, target: str | None = None
) -> None:
    """Do what `ensure_schema` does, or only look and raise SchemaBehindError."""
    target = target or revisions()[-1]
    if location.path is None and location.server is None:
        raise SchemaError("a store in memory ends with its object; there is nothing to prepare")
    with failures_of_opening(location):
        if location.server is not None:
            await _bring_server_up_to_date(location.server, migrate, busy_timeout, target)
        elif location.path is not None:
            if location.must_exist and not location.path.exists():
                raise SchemaError(
                    f"there is no file {str(location.path)!r}, and the mode in its URL makes none"
                )
            await _bring_file_up_to_date_in_thread(location.path, migrate, busy_timeout, target)


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
    refused = refusal_of(error, location)
    if refused is not None:
        return refused
    match error:
        case OSError() | RuntimeError():
            reason = reason_of(error)
        case MemoryError():
            reason = "there is no memory left"
        case _:
            reason = f"unexpected failure: {type(error).__name__}"
    return StoreError(f"cannot open {str(location)!r}: {reason}")


async def _bring_file_up_to_date_in_thread(
    path: Path, migrate: bool, busy_timeout: float, target: str
) -> None:
    given_up = threading.Event()
    work = asyncio.to_thread(_bring_file_up_to_date, path, migrate, busy_timeout, given_up, target)
    await shielded(work, on_cancellation=given_up.set)


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
        _bring_file_up_to_date(folder.database, True, 30.0, threading.Event(), revisions()[-1])
        return folder.database.read_bytes()
    finally:
        folder.remove()


def is_current(found: Contents, place: str, *, migrate: bool, target: str | None = None) -> bool:
    """Whether nothing is to be done: it is at the newest revision, or at `target` or behind it.

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
    return current is not None and current >= (target or known[-1])


def upgrade(connection: Connection, revision: str = "head", folder: Path | None = None) -> None:
    """Apply the missing steps on a connection whose transaction has begun; blocks."""
    with _alembic:
        _upgrade(connection, revision, folder)


async def upgrade_server(connection: AsyncConnection, revision: str) -> None:
    """Apply the missing steps on a connection to a server, in its transaction."""
    async with _alembic_on_the_loop():
        await connection.run_sync(_upgrade, revision)


def _upgrade(connection: Connection, revision: str = "head", folder: Path | None = None) -> None:
    # Alembic takes a tenth of a second to import, and is rarely needed.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(folder or scripts()).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _bring_file_up_to_date(
    path: Path, migrate: bool, timeout: float, given_up: threading.Event, target: str
) -> None:
    found = look(path, timeout=timeout, given_up=given_up)
    place = shown(path)
    if is_current(found or EMPTY, place, migrate=migrate, target=target):
        return
    reason = None if found is None else reason_not_to_write(path)
    if reason is not None:
        raise SchemaBehindError(
            revision_of(found or EMPTY, place, revisions()), revisions()[-1], reason
        )
    with sqlite_connection(path, timeout=timeout, given_up=given_up) as connection:
        raw: Any = connection.connection.driver_connection
        found = contents_of(raw)
        if is_current(found, place, migrate=True, target=target):
            return
        started = time.monotonic()
        upgrade(connection, target)
    _tell(found, place, target, started)


def _tell(found: Contents, place: str, target: str, started: float) -> None:
    """Log that a database was brought from what was found to another schema."""
    logger.info(
        "%s was brought from %s to schema %s in %.3g s",
        place,
        revision_of(found, place, revisions()) or "nothing",
        target,
        time.monotonic() - started,
        extra={"event": "migrated"},
    )


async def _bring_server_up_to_date(
    server: Server, migrate: bool, timeout: float, target: str
) -> None:
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
    place = f"the database {server.database}"
    work = _look_and_upgrade(engine, place, migrate, limit.cancel, target)
    try:
        with refusals():
            await shielded(work, on_cancellation=raw.give_up)
    finally:
        limit.cancel()


async def _look_and_upgrade(
    engine: AsyncEngine, place: str, migrate: bool, looked: Callable[[], None], target: str
) -> None:
    async with engine.connect() as connection:
        found = await connection.run_sync(contents_of_server)
        if is_current(found, place, migrate=migrate, target=target):
            return
        # Ends the look's transaction: the next one must see what others committed meanwhile.
        await connection.rollback()
        looked()
        try:
            await connection.execute(_ADVISORY_LOCK)
            found = await connection.run_sync(contents_of_server)
            is_there = is_current(found, place, migrate=True, target=target)
            started = time.monotonic()
            if not is_there:
                await upgrade_server(connection, target)
            await connection.commit()
            if not is_there:
                _tell(found, place, target, started)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == READ_ONLY:
                current = revision_of(found, place, revisions())
                raise SchemaBehindError(current, revisions()[-1]) from error
            raise
