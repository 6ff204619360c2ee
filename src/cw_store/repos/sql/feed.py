"""How the feed is read: in the order of its rows, or by snapshots where many write at once."""

from __future__ import annotations

from cw_store.repos.sql.feed_by_snapshots import position_by_snapshots, read_by_snapshots
from cw_store.repos.sql.feed_in_order import position_in_order, read_in_order
from cw_store.repos.sql.feed_rows import ALL, Cursor, Filter, Part
from cw_store.statements.database import Database


async def read_feed(
    database: Database, after: Cursor | None, limit: int, wanted: Filter = ALL
) -> Part:
    """Return what is behind a cursor, or all there is: some `limit` rows, or up to the end.

    No transaction is told in part. Raises StaleCursorError.
    """
    if database.capabilities.has_concurrent_writers:
        return await read_by_snapshots(database, after, limit, wanted)
    return await read_in_order(database, after, wanted)


async def position_of(database: Database) -> Cursor:
    """Return the cursor behind all that is to be seen."""
    if database.capabilities.has_concurrent_writers:
        return await position_by_snapshots(database)
    return await position_in_order(database)
