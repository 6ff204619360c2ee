"""How the feed is read: on SQLite by its order, on PostgreSQL by snapshots.

SQLite has one writer, so the order of the rows is that of the commits, and a cursor is the last row
that was seen. On PostgreSQL rows become visible in any order. A cursor there is a snapshot: what it
shows has been seen. The next window is what a newer one shows besides, so nobody waits for the
slowest writer (the idea is that of PgQ's ticks). A window that is long is read in parts; the
cursor has both snapshots until it is read.

Within a window transactions come in the order of their last rows. Whoever saw what another had
stored wrote a row after that, so a cause comes before its effects.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, cast

from sqlalchemy import bindparam, column, select, text
from sqlalchemy.types import TypeEngine

from cw_store.errors import InvalidValueError, ReadOnlyError, StaleCursorError
from cw_store.schema import changes
from cw_store.statements.database import Database
from cw_store.statements.query import Query
from cw_store.types import Flag, Id, Ids, LargeNumber, PlainText, UtcDateTime

R = TypeVar("R")

LEAST_AT_ONCE, MOST_AT_ONCE = 1_000, 100_000
"""So many rows are looked at to find the transactions that are whole."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which changes are wanted, all where nothing is said."""

    entities: tuple[str, ...] | None = None
    initiative_id: str | None = None

    @property
    def shape(self) -> tuple[bool, bool]:
        """What is asked for, whatever its value."""
        return self.entities is not None, self.initiative_id is not None

    def values(self) -> dict[str, Any]:
        """Return the parameters."""
        given: dict[str, Any] = {}
        if self.entities is not None:
            given["entities"] = list(self.entities)
        if self.initiative_id is not None:
            given["initiative_id"] = self.initiative_id
        return given


ALL = Filter()


@dataclass(frozen=True, slots=True)
class Told:
    """What a row of the feed tells; `addressee_id` is the agent that the row is addressed to."""

    entity: Any
    entity_id: str
    action: Any
    initiative_id: str | None
    addressee_id: str | None
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Part:
    """What was read, and the cursor behind it; `is_all` where nothing is behind that for now."""

    told: Sequence[Told]
    cursor: Cursor
    is_all: bool


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a reader is: a row that it knows, and what it has seen.

    `seen` and `window` are snapshots of PostgreSQL's, "" where there is none: what the reader has
    seen, and what it is reading, of which it has the transactions that end up to `border`.
    """

    seq: int = 0
    mark: int = 0
    life: str = ""
    seen: str = ""
    window: str = ""
    border: int = 0

    def __str__(self) -> str:
        """Return the text that `cursor_of` reads."""
        known = f"{self.seq}/{self.mark}"
        if not self.life:
            return known
        return f"{known}/{self.life}/{self.seen}/{self.window}/{self.border}"


_SNAPSHOT = r"[0-9]{1,19}:[0-9]{1,19}:(?:[0-9]{1,19}(?:,[0-9]{1,19})*)?"
_CURSOR = re.compile(
    r"(?P<seq>[0-9]{1,18})/(?P<mark>-?[0-9]{1,19})"
    rf"(?:/(?P<life>[0-9]+-[0-9A-F]+)/(?P<seen>{_SNAPSHOT})/(?P<window>(?:{_SNAPSHOT})?)"
    r"/(?P<border>[0-9]{1,18}))?"
)


def cursor_of(written: object) -> Cursor:
    """Read a cursor; raises InvalidValueError for what is none."""
    found = _CURSOR.fullmatch(written) if isinstance(written, str) else None
    parts = {} if found is None else found.groupdict(default="")
    if not parts or not _can_be_read(parts["seen"], parts["window"]):
        reason = "is no cursor; give one that read or position returned"
        raise InvalidValueError(changes.name, "cursor", written, reason)
    known = int(parts["seq"]), int(parts["mark"])
    border = int(parts["border"] or 0)
    return Cursor(*known, parts["life"], parts["seen"], parts["window"], border)


def _can_be_read(seen: str, window: str) -> bool:
    """Return whether the numbers are of 64 bits, and PostgreSQL takes the window."""
    if any(int(number) >= 2**63 for number in re.findall("[0-9]+", f"{seen},{window}")):
        return False
    if not window:
        return True
    start, end, still_open = _parts(window)
    return (
        0 < start <= end
        and still_open == sorted(still_open)
        and (not still_open or (start <= still_open[0] and still_open[-1] < end))
    )


async def read_feed(
    database: Database, after: Cursor | None, limit: int, wanted: Filter = ALL
) -> Part:
    """Return what is behind a cursor, or all there is: some `limit` rows, or up to the end.

    No transaction is told in part. Raises StaleCursorError.
    """
    if database.capabilities.has_concurrent_writers:
        return await _read_by_snapshots(database, after, limit, wanted)
    return await _read_in_order(database, after, wanted)


async def position_of(database: Database) -> Cursor:
    """Return the cursor behind all that is to be seen."""
    if database.capabilities.has_concurrent_writers:
        found = await database.first(_POSITION)
        assert found is not None
        if found.life is None:
            raise NoFeedError
        seen = _with_open(found.snapshot, found.own)
        return Cursor(found.newest or 0, found.newest_mark or 0, found.life, seen)
    newest = await database.first(_NEWEST)
    return Cursor() if newest is None else Cursor(newest.newest, newest.newest_mark)


def _query(record: type[R], sql: str, *parameters: tuple[str, TypeEngine[Any]]) -> Query[R]:
    """Return the query of a text, whose columns are the record's fields."""
    types = {field.name: _TYPES.get(field.name, PlainText()) for field in fields(cast(Any, record))}
    bound = text(sql).bindparams(*(bindparam(name, type_=type_) for name, type_ in parameters))
    found = bound.columns(*(column(name, type_) for name, type_ in types.items()))
    return Query(record, select(*found.subquery("found").c), changes)


_TOLD = "entity, entity_id, action, initiative_id, addressee_id, at"
_NUMBERS = (
    "newest",
    "newest_mark",
    "known",
    "border",
    "border_mark",
    "number",
    "own",
    "pruned_xid",
)
_TYPES: dict[str, TypeEngine[Any]] = {
    **dict.fromkeys(_NUMBERS, LargeNumber()),
    "is_foreign": Flag(),
    "at": UtcDateTime(),
}
_WANTED: dict[bool, tuple[str, str]] = {
    True: ("entity = ANY (:entities)", "initiative_id = :initiative_id"),
    False: ("entity IN (SELECT value FROM json_each(:entities))", "initiative_id = :initiative_id"),
}
_PARAMETERS = ("entities", Ids()), ("initiative_id", Id())


class NoFeedError(ReadOnlyError):
    """A standby has the feed's rows, and no snapshots that could be compared with them."""

    def __init__(self) -> None:
        super().__init__("the feed of changes cannot be read on a standby; read it on the primary")


def _stale(reason: str) -> StaleCursorError:
    return StaleCursorError(
        f"the cursor cannot be followed, since {reason}; "
        "read the state itself, and go on from changes.position()"
    )


_ANOTHER_LIFE = "it is of another life of the database: a backup was put back, or a dump restored"
_PRUNED = "changes behind it were pruned"


# In the order of the rows.


@dataclass(frozen=True, slots=True)
class Newest:
    """The last row."""

    newest: int
    newest_mark: int


@dataclass(frozen=True, slots=True)
class InOrder:
    """A row behind the cursor, or none, and what there is to know of the feed.

    `known` is the mark of the row that the cursor knows, None when it is gone, and `pruned` the
    last row that was pruned.
    """

    known: int | None
    pruned: str | None
    newest: int
    newest_mark: int
    entity: Any
    entity_id: Any
    action: Any
    initiative_id: str | None
    addressee_id: str | None
    at: datetime | None


_LAST = "SELECT seq AS newest, mark AS newest_mark FROM changes ORDER BY seq DESC LIMIT 1"
_NEWEST = _query(Newest, _LAST)


@cache
def _in_order(of_entities: bool, of_initiative: bool) -> Query[InOrder]:
    shape = of_entities, of_initiative
    wanted = [f"AND {sql}" for sql, is_asked in zip(_WANTED[False], shape, strict=True) if is_asked]
    asked = [one for one, is_asked in zip(_PARAMETERS, shape, strict=True) if is_asked]
    return _query(
        InOrder,
        f"""
        SELECT (SELECT mark FROM changes WHERE seq = :after) AS known,
            (SELECT entity_id FROM changes WHERE seq = 0) AS pruned,
            newest, newest_mark, {_TOLD}
        FROM ({_LAST}) LEFT JOIN changes ON seq > :after {" ".join(wanted)} ORDER BY seq
        """,  # noqa: S608 -- of the lines above
        ("after", LargeNumber()),
        *asked,
    )


async def _read_in_order(database: Database, after: Cursor | None, wanted: Filter) -> Part:
    start = after or Cursor()
    found = await database.all(_in_order(*wanted.shape), after=start.seq, **wanted.values())
    if not found:  # somebody has emptied the feed
        return Part((), start, is_all=True)
    head = found[0]
    if after is not None:
        pruned = int(head.pruned or 0)
        if after.seq < pruned:  # the feed's very first row is always there, and says nothing
            raise _stale(_PRUNED)
        # The last that was pruned was the last that was seen: nothing is missing.
        is_all_pruned = head.known is None and after.seq == pruned
        if after.life or not (head.known == after.mark or is_all_pruned):
            raise _stale(_ANOTHER_LIFE)
    told = [_told(row) for row in found if row.entity is not None]
    return Part(told, Cursor(head.newest, head.newest_mark), is_all=True)


def _told(row: InOrder | BySnapshots) -> Told:
    return Told(row.entity, row.entity_id, row.action, row.initiative_id, row.addressee_id, row.at)


# By snapshots.

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


_POSITION = _query(
    Position,
    f"""
    SELECT {_LIFE} AS life, pg_current_snapshot()::text AS snapshot, {_OWN} AS own,
        newest, newest_mark
    FROM (SELECT 1) AS one LEFT JOIN (
        SELECT seq AS newest, mark AS newest_mark FROM changes
        WHERE xid IS DISTINCT FROM {_OWN} ORDER BY seq DESC LIMIT 1
    ) AS last ON true
    """,  # noqa: S608 -- of the lines above
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
def _by_snapshots(of_entities: bool, of_initiative: bool) -> Query[BySnapshots]:
    shape = of_entities, of_initiative
    wanted = [f"AND {sql}" for sql, is_asked in zip(_WANTED[True], shape, strict=True) if is_asked]
    asked = [one for one, is_asked in zip(_PARAMETERS, shape, strict=True) if is_asked]
    return _query(
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
            number, {_TOLD}
        FROM looked CROSS JOIN border LEFT JOIN told ON true {" ".join(wanted)}
        ORDER BY last, seq
        """,  # noqa: S608 -- of the lines above
        ("window", PlainText()),
        ("seen_end", LargeNumber()),
        ("seen_open", PlainText()),
        ("border", LargeNumber()),
        ("most", LargeNumber()),
        ("seq", LargeNumber()),
        *asked,
    )


async def _read_by_snapshots(
    database: Database, after: Cursor | None, limit: int, wanted: Filter
) -> Part:
    cursor, told = after or _BEGINNING, list[Told]()
    most = min(max(limit, LEAST_AT_ONCE), MOST_AT_ONCE)
    while True:
        found = await _look(database, cursor, most, wanted)
        told += [_told(row) for row in found if row.entity is not None]
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
    start, end, still_open = _parts(cursor.seen)
    found = await database.all(
        _by_snapshots(*wanted.shape),
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
        raise _stale(_ANOTHER_LIFE)
    if (head.pruned_xid or 0) >= start:
        raise _stale(_PRUNED)
    return found


_BEGINNING = Cursor(seen="0:0:")
"""Behind nothing."""


def _parts(snapshot: str) -> tuple[int, int, list[int]]:
    """Return the first transaction that was open, the first that had not begun, and all open."""
    if not snapshot:  # of a cursor of SQLite's
        raise _stale(_ANOTHER_LIFE)
    start, end, still_open = snapshot.split(":")
    return int(start), int(end), [int(xid) for xid in still_open.split(",") if xid]


def _with_open(snapshot: str, own: int | None) -> str:
    """Return the snapshot as others see it, for whom this transaction is open as well."""
    start, end, still_open = _parts(snapshot)
    if own is None or own >= end:
        return snapshot
    listed = sorted({*still_open, own})
    return f"{min(start, own)}:{end}:{','.join(map(str, listed))}"
