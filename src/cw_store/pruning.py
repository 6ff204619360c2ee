"""Pruning: old changes and log chunks are deleted, while others work on.

What is deleted goes in batches, each a transaction of its own, so nobody waits for longer than one
takes, and what broke off can be begun again: there is no state but what is stored. What is to go is
looked for without a writer's turn.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import NamedTuple

from cw_store.backends.port import Backend
from cw_store.errors import InvalidValueError
from cw_store.opening import check_counts
from cw_store.repos.sql.pruning import (
    CHUNKS,
    DELETE_CHUNKS,
    LAST_OLD,
    OLD,
    WINDOW,
    delete_changes,
    oldest_open,
    time_of,
)
from cw_store.statements.database import Database
from cw_store.statements.query import Query
from cw_store.whole_tables import Progress

logger = logging.getLogger(__name__)


class Pruned(NamedTuple):
    """How many rows were deleted."""

    changes: int
    log_chunks: int


async def prune(
    database: Database,
    backend: Backend,
    changes_kept: timedelta | None,
    log_chunks_before: datetime | None,
    batch_rows: int,
    on_progress: Progress | None,
) -> Pruned:
    """Do what `Store.prune` does."""
    _check(changes_kept, log_chunks_before)
    check_counts(batch_rows=batch_rows)
    database.check(DELETE_CHUNKS, ())  # that the store is open for writing
    changes = log_chunks = 0
    if changes_kept is not None:
        changes = await _prune_changes(database, changes_kept, batch_rows, on_progress)
    if log_chunks_before is not None:
        log_chunks = await _prune_log_chunks(database, log_chunks_before, batch_rows, on_progress)
    logger.debug(
        "pruned %d changes and %d log chunks", changes, log_chunks, extra={"event": "pruned"}
    )
    room = Told("room", 1, on_progress)
    room.tell(0)
    await backend.give_back_room()
    room.tell(1)
    return Pruned(changes, log_chunks)


def _check(changes_kept: object, log_chunks_before: object) -> None:
    """Raise InvalidValueError for what is no length of time, or no time."""
    if not isinstance(changes_kept, timedelta | None):
        reason = f"takes a timedelta, not {type(changes_kept).__name__}"
        raise InvalidValueError("Store", "changes_kept", changes_kept, reason)
    if changes_kept is not None and changes_kept < timedelta():
        reason = "is how long changes are kept, at least no time at all"
        raise InvalidValueError("Store", "changes_kept", changes_kept, reason)
    if not isinstance(log_chunks_before, datetime | None):
        reason = f"takes a datetime, not {type(log_chunks_before).__name__}"
        raise InvalidValueError("Store", "log_chunks_before", log_chunks_before, reason)
    if log_chunks_before is not None and log_chunks_before.utcoffset() is None:
        reason = "takes a datetime with a time zone"
        raise InvalidValueError("Store", "log_chunks_before", log_chunks_before, reason)


class Told:
    """Tells somebody, if anybody, how many of the rows there are were looked at."""

    def __init__(self, what: str, total: int, on_progress: Progress | None) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._on_progress = on_progress

    def tell(self, more: int) -> None:
        """Tell that it is so many more; there may be more than there were."""
        self._done += more
        if self._on_progress is not None:
            self._total = max(self._total, self._done)
            self._on_progress(self._what, self._done, self._total)


async def _told(
    database: Database, on_progress: Progress | None, counted: Query[int], **values: object
) -> Told:
    """Count what is to be looked at, where somebody wants to know."""
    total = 0 if on_progress is None else await database.first(counted, **values) or 0
    told = Told(counted.table.name, total, on_progress)
    told.tell(0)
    return told


async def _prune_changes(
    database: Database, kept: timedelta, batch_rows: int, on_progress: Progress | None
) -> int:
    time = await time_of(database)
    try:
        before = time - kept
    except OverflowError:  # nothing is that old
        return 0
    open_from = await oldest_open(database)
    last_old = await database.first(LAST_OLD, before=before, time=time, oldest_open=open_from)
    if last_old is None:
        return 0
    told = await _told(database, on_progress, OLD, last_old=last_old)
    pruned = 0
    while True:
        async with database.atomic() as transaction:
            number = await delete_changes(transaction, last_old, open_from, batch_rows)
        pruned += number
        told.tell(number)
        if number < batch_rows:
            return pruned


async def _prune_log_chunks(
    database: Database, before: datetime, batch_rows: int, on_progress: Progress | None
) -> int:
    told = await _told(database, on_progress, CHUNKS)
    pruned, after = 0, 0
    while True:
        window = await database.first(WINDOW, after=after, before=before, rows=batch_rows)
        if window is None or window.last is None:
            return pruned
        if window.old:
            pruned += await database.count(
                DELETE_CHUNKS, after=after, last=window.last, before=before
            )
        told.tell(window.number)
        after = window.last
