"""From a location to an open database: looked at, brought up to date, opened to write or to read.

What cannot be written is opened for reading only, by itself; its writes say why.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cw_store.backends.port import Backend
from cw_store.backends.sqlite.backend import SqliteBackend
from cw_store.backends.sqlite.files import reason_not_to_write
from cw_store.backends.sqlite.read_only import ReadOnlySqliteBackend
from cw_store.location import Location
from cw_store.migrations import bring_up_to_date, failures_of_opening
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
    rules: ValueRules


async def open_backend(location: Location, opening: Opening, *, is_new: bool = False) -> Backend:
    """Return the open database; whatever stands in the way is a StoreError.

    `is_new` says that this process made it just now, at the newest schema.
    """
    reads = opening.read_only or location.read_only
    if not is_new:
        await bring_up_to_date(
            location, migrate=opening.migrate and not reads, busy_timeout=opening.busy_timeout
        )
    with failures_of_opening(location):
        backend = _backend(location, opening, reads)
        try:
            await backend.open()
        except BaseException:
            await backend.close()
            raise
        return backend


def _backend(location: Location, opening: Opening, reads: bool) -> Backend:
    if location.path is None:
        return _postgres_backend(location, opening, reads)
    reason = ASKED_FOR if reads else reason_not_to_write(location.path)
    if reason is None:
        return _sqlite_backend(location.path, opening)
    return ReadOnlySqliteBackend(
        location.path,
        readers=opening.readers,
        busy_timeout=opening.busy_timeout,
        rules=opening.rules,
        pin_threads=opening.pin_threads,
        reason=reason,
    )


def _sqlite_backend(path: Path, opening: Opening) -> Backend:
    return SqliteBackend(
        path,
        synchronous=opening.synchronous,
        readers=opening.readers,
        busy_timeout=opening.busy_timeout,
        rules=opening.rules,
        pin_threads=opening.pin_threads,
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
    )
