"""From a location to an open database: looked at, brought up to date, opened to write or to read.

What cannot be written is opened for reading only, by itself; its writes say why.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Literal

from cw_store.backends.port import Backend
from cw_store.backends.sqlite.backend import SqliteBackend
from cw_store.backends.sqlite.files import reason_not_to_write
from cw_store.backends.sqlite.raw_connection import create_private_file
from cw_store.backends.sqlite.read_only import ReadOnlySqliteBackend
from cw_store.location import Location
from cw_store.memory import MemoryFolder, sweep
from cw_store.migrations import bring_up_to_date, empty_database, failures_of_opening
from cw_store.types import ValueRules

ASKED_FOR = "that is how it was opened"


@dataclass(frozen=True, slots=True)
class Opening:
    """What a store is opened with."""

    migrate: bool
    read_only: bool
    synchronous: str
    readers: int
    busy_timeout: float
    pool_size: int
    pin_threads: bool
    wakeups: Literal["notify", "poll"]
    rules: ValueRules


async def open_backend(
    location: Location, opening: Opening, *, is_new: bool = False, is_private: bool = False
) -> Backend:
    """Return the open database; whatever stands in the way is a StoreError.

    `is_new` says that this process made it just now, at the newest schema, `is_private` that nobody
    else will ever open it.
    """
    reads = opening.read_only or location.read_only
    if not is_new:
        await bring_up_to_date(
            location, migrate=opening.migrate and not reads, busy_timeout=opening.busy_timeout
        )
    with failures_of_opening(location):
        backend = _backend(location, opening, reads, is_private)
        try:
            await backend.open()
        except BaseException:
            await backend.close()
            raise
        return backend


async def open_in_memory(opening: Opening) -> tuple[MemoryFolder, Backend]:
    """Return the open database of a `:memory:` store, and the folder that ends with it."""
    with failures_of_opening(Location()):
        folder = MemoryFolder()
    try:
        with failures_of_opening(Location()):
            template = await asyncio.to_thread(_sweep_and_make)
            if opening.migrate:
                create_private_file(folder.database)
                folder.database.write_bytes(template)
        location = Location(folder.database)
        is_new = opening.migrate
        return folder, await open_backend(location, opening, is_new=is_new, is_private=True)
    except BaseException:
        folder.remove()
        raise


def _sweep_and_make() -> bytes:
    sweep()
    return empty_database()


def _backend(location: Location, opening: Opening, reads: bool, is_private: bool) -> Backend:
    if location.path is None:
        return _postgres_backend(location, opening, reads)
    reason = ASKED_FOR if reads else reason_not_to_write(location.path)
    if reason is None:
        return _sqlite_backend(location.path, opening, is_private)
    return ReadOnlySqliteBackend(
        location.path,
        readers=opening.readers,
        busy_timeout=opening.busy_timeout,
        rules=opening.rules,
        pin_threads=opening.pin_threads,
        reason=reason,
    )


def _sqlite_backend(path: Path, opening: Opening, is_private: bool) -> Backend:
    return SqliteBackend(
        path,
        synchronous=opening.synchronous,
        readers=opening.readers,
        busy_timeout=opening.busy_timeout,
        rules=opening.rules,
        pin_threads=opening.pin_threads,
        is_private=is_private,
    )


def _postgres_backend(location: Location, opening: Opening, reads: bool) -> Backend:
    """Return the backend for a PostgreSQL server, whose driver is an extra."""
    assert location.server is not None
    from cw_store.backends.postgres.backend import PostgresBackend

    return PostgresBackend(
        location.server,
        pool_size=opening.pool_size,
        busy_timeout=opening.busy_timeout,
        rules=opening.rules,
        read_only=reads,
        wakeups=opening.wakeups,
    )


def check_counts(**settings: object) -> None:
    """Raise TypeError or ValueError for a setting that is no number from 1 on."""
    for name, value in settings.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} takes an integer, not {type(value).__name__}")
        if value < 1:
            raise ValueError(f"{name} is at least 1, not {value}")


def check_seconds(**settings: object) -> None:
    """Raise TypeError or ValueError for a setting that is no number of seconds from 0 on."""
    for name, value in settings.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise TypeError(f"{name} takes a number of seconds, not {type(value).__name__}")
        if not 0 <= value < inf:
            raise ValueError(f"{name} is a number of seconds from 0 on, not {value}")


def check_switches(**settings: object) -> None:
    """Raise TypeError for a setting that is neither True nor False."""
    for name, value in settings.items():
        if not isinstance(value, bool):
            raise TypeError(f"{name} is True or False, not {type(value).__name__}")
