"""The feed read by snapshots, as on PostgreSQL, where rows become visible in any order.

A cursor is a snapshot: what it shows has been seen. The next window is what a newer one shows
besides, so nobody waits for the slowest writer (the idea is that of PgQ's ticks). A window that is
long is read in parts; the cursor has both snapshots until it is read.

Within a window transactions come in the order of their last rows. Whoever saw what another had
stored wrote a row after that, so a cause comes before its effects.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from cw_store.errors import ReadOnlyError
from cw_store.repos.sql.feed_rows import (
    ANOTHER_LIFE,
    PRUNED,
    TOLD,
    Cursor,
    Filter,
    Part,
    Shape,
    Told,
    conditions_of,
    parameters_of,
    parts_of,
    query_of,
    stale_error,
    told_of,
)
from cw_store.statements.database import Database
from cw_store.statements.query import Query
from cw_store.types import LargeNumber, PlainText

LEAST_AT_ONCE, MOST_AT_ONCE = 1_000, 100_000
"""So many rows are looked at to find the transactions that are whole."""


class NoFeedError(ReadOnlyError):
    """A standby has the feed's rows, and no snapshots that could be compared with them."""

    def __init__(self) -> None:
        super().__init__("the feed of changes cannot be read on a standby; read it on the primary")


_LIFE = """(
    (SELECT oid FROM pg_database WHERE datname = current_database())::text || '-' ||
    CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END
)"""
"""What no other database has, and none that was restored to an earlier state: its timeline.

NULL on a standby.
"""

_OWN = "pg_current_xact_id_if_assigned()::text::bigint"


@dataclass(frozen=True, slots=True)
class Position:
    """The snapshot of a statement, and the newest row that it shows.

    `own` is the transaction's own number, if it has one: what it writes is seen by nobody yet.
    """

    life: str | None
    snapshot: str
    own: int | None
    newest: int | None
    newest_mark: int | None


_POSITION = query_of(
    Position,
    f"""
    SELECT {_LIFE} AS life, pg_current_snapshot()::text AS snapshot, {_OWN} AS own,
        newest, newest_mark
    FROM (SELECT 1) AS one LEFT JOIN (
        SELECT seq AS newest, mark AS newest_mark FROM changes
        WHERE xid IS DISTINCT FROM {_OWN} ORDER BY seq DESC LIMIT 1
    ) AS last ON true
    """,  # noqa: S608 -- of constants of these files; what a caller gives is a parameter
)


@dataclass(frozen=True, slots=True)
class BySnapshots:
    """A row behind the cursor, or none, and what there is to know of the feed and this part of it.

    `known` is the mark of the row that the cursor knows, None when it is gone; `pruned` and
    `pruned_xid` say what was pruned. `number` rows up to `border` were looked at to find whole
    transactions. `is_foreign` says that rows are of transactions that this server has not had.
    """

    life: str | None
    snapshot: str
    own: int | None
    is_foreign: bool
    known: int | None
    pruned: str | None
    pruned_xid: int | None
    border: int | None
    border_mark: int | None
    number: int
    entity: Any
    entity_id: Any
    action: Any
    initiative_id: str | None
    addressee_id: str | None
    at: datetime | None


@cache
def _by_snapshots(shape: Shape) -> Query[BySnapshots]:
    wanted = conditions_of(shape, "entity = ANY (:entities)")
    return query_of(
        BySnapshots,
        f"""
        WITH looked AS MATERIALIZED (
            SELECT coalesce(
                nullif(CAST(:window AS text), '')::pg_snapshot, pg_current_snapshot()
            ) AS snapshot, {_OWN} AS own
        ), candidates AS MATERIALIZED (
            SELECT seq, xid FROM changes, looked
            WHERE (xid >= :seen_end OR xid = ANY (CAST(CAST(:seen_open AS text) AS bigint[])))
                AND seq > :border AND xid IS DISTINCT FROM own
                AND pg_visible_in_snapshot(xid::text::xid8, snapshot)
            ORDER BY seq LIMIT :most
        ), border AS MATERIALIZED (
            SELECT max(seq) AS border, count(*) AS number FROM candidates
        ), whole AS MATERIALIZED (
            SELECT xid FROM (SELECT DISTINCT xid FROM candidates) AS candidate, border
            WHERE NOT EXISTS (
                SELECT FROM changes AS other
                WHERE other.xid = candidate.xid AND other.seq > border
            )
        ), told AS (
            SELECT changes.*, max(seq) OVER (PARTITION BY xid) AS last
            FROM changes WHERE seq > 0 AND xid IN (SELECT xid FROM whole)
        )
        SELECT {_LIFE} AS life, snapshot::text AS snapshot, own,
            EXISTS (
                SELECT FROM changes WHERE xid IS DISTINCT FROM own
                    AND xid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint
            ) AS is_foreign,
            (SELECT mark FROM changes WHERE seq = :seq) AS known,
            (SELECT entity_id FROM changes WHERE seq = 0) AS pruned,
            (SELECT xid FROM changes WHERE seq = 0) AS pruned_xid,
            border, (SELECT mark FROM changes WHERE seq = border) AS border_mark,
            number, {TOLD}
        FROM looked CROSS JOIN border LEFT JOIN told ON true {wanted}
        ORDER BY last, seq
        """,  # noqa: S608 -- of constants of these files; what a caller gives is a parameter
        window=PlainText(),
        seen_end=LargeNumber(),
        seen_open=PlainText(),
        border=LargeNumber(),
        most=LargeNumber(),
        seq=LargeNumber(),
        **parameters_of(shape),
    )


async def position_by_snapshots(database: Database) -> Cursor:
    """Return the cursor behind all that is to be seen."""
    found = await database.first(_POSITION)
    assert found is not None
    if found.life is None:
        raise NoFeedError
    seen = _with_open(found.snapshot, found.own)
    return Cursor(found.newest or 0, found.newest_mark or 0, found.life, seen)


async def read_by_snapshots(
    database: Database, after: Cursor | None, limit: int, wanted: Filter
) -> Part:
    """Return what is behind a cursor, or all there is: some `limit` rows, or up to the end.

    Raises StaleCursorError.
    """
    cursor, told = after or _BEGINNING, list[Told]()
    most = min(max(limit, LEAST_AT_ONCE), MOST_AT_ONCE)
    while True:
        found = await _look(database, cursor, most, wanted)
        told += [told_of(row) for row in found if row.entity is not None]
        head, is_newest = found[0], not cursor.window
        if head.life is None:
            raise NoFeedError
        window = cursor.window or _with_open(head.snapshot, head.own)
        seen = cursor.seen
        if cursor is _BEGINNING:  # what is gone by now is not missed, what goes later is
            seen = f"{(head.pruned_xid or 0) + 1}:0:"
        seq, mark = cursor.seq, cursor.mark if after is not None else head.known or 0
        if head.border is not None and head.border_mark is not None:
            seq, mark = head.border, head.border_mark
        is_read = head.number < most
        if is_read:
            cursor = Cursor(seq, mark, head.life, window)
        else:
            cursor = Cursor(seq, mark, head.life, seen, window, head.border or 0)
        is_all = is_read and is_newest
        if is_all or len(told) >= limit:
            return Part(told, cursor, is_all)


async def _look(database: Database, cursor: Cursor, most: int, wanted: Filter) -> list[BySnapshots]:
    """Read the next transactions of the cursor's window, or of a new one; at least one row."""
    start, end, still_open = parts_of(cursor.seen)
    found = await database.all(
        _by_snapshots(wanted.shape),
        window=cursor.window,
        seen_end=end,
        seen_open="{" + ",".join(map(str, still_open)) + "}",
        border=cursor.border,
        most=most,
        seq=cursor.seq,
        **wanted.values(),
    )
    if cursor is _BEGINNING:
        return found
    head = found[0]
    is_known = head.known == cursor.mark
    if head.known is None:
        is_known = cursor.seq <= int(head.pruned or 0)
    if head.life != cursor.life or head.is_foreign or not is_known:
        raise stale_error(ANOTHER_LIFE)
    if (head.pruned_xid or 0) >= start:
        raise stale_error(PRUNED)
    return found


_BEGINNING = Cursor(seen="0:0:")
"""Behind nothing."""


def _with_open(snapshot: str, own: int | None) -> str:
    """Return the snapshot as others see it, for whom this transaction is open as well."""
    start, end, still_open = parts_of(snapshot)
    if own is None or own >= end:
        return snapshot
    listed = sorted({*still_open, own})
    return f"{min(start, own)}:{end}:{','.join(map(str, listed))}"
