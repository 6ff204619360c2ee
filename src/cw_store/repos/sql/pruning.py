"""What is deleted of the feed and of the logs when they are pruned, in SQL.

Changes go from the beginning on, up to where the first is that is not old enough. A change has the
time of its row, which says little: a deletion has none, what a cascade or another program wrote may
have that of an earlier change, and a clock may have been ahead. So what goes ends with a change
whose time is old, and has none whose time is new; a time that lies ahead says nothing.

On PostgreSQL rows become visible in any order. Those of transactions that are open when it is
decided, or begin later, stay: nobody can have read them yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    bindparam,
    cast,
    delete,
    func,
    literal_column,
    or_,
    select,
    update,
)

from cw_store.schema import agent_log_chunks, changes
from cw_store.statements.database import Database
from cw_store.statements.expressions import NOW
from cw_store.statements.query import NEW_VALUE, Query, new_values
from cw_store.types import LargeNumber, UtcDateTime, WholeNumber

chunks = agent_log_chunks

NO_TRANSACTION = 2**62
"""More than the number of any transaction."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that are next: how many, the last of them, and the newest transaction of theirs."""

    number: int
    last: int | None
    newest_xid: int | None


@dataclass(frozen=True, slots=True)
class Window:
    """Some rows in the order of storing, the last of them, and how many of them are to go."""

    number: int
    last: int | None
    old: int


@dataclass(frozen=True, slots=True)
class Marker:
    """What the feed's first row tells: the last that was pruned, and its newest transaction."""

    entity_id: str
    xid: int | None


def _number(name: str) -> ColumnElement[Any]:
    return bindparam(name, type_=LargeNumber())


def _time(name: str) -> ColumnElement[Any]:
    return bindparam(name, type_=UtcDateTime())


_ROWS = bindparam("rows", type_=WholeNumber())
_FIRST: ColumnElement[int] = literal_column("0")

TIME = Query(datetime, select(NOW.label("time")), changes)
"""The time of the store's clock."""

OLDEST_OPEN = Query(
    int,
    select(
        cast(literal_column("pg_snapshot_xmin(pg_current_snapshot())::text"), BigInteger()).label(
            "oldest_open"
        )
    ),
    changes,
)

seq, xid, at = changes.c.seq, func.coalesce(changes.c.xid, literal_column("0")), changes.c.at

_first_new = (
    select(func.min(seq))
    .where(
        seq > _FIRST, or_(at.between(_time("before"), _time("time")), xid >= _number("oldest_open"))
    )
    .scalar_subquery()
)
_newest = select(func.max(seq)).scalar_subquery()

LAST_OLD = Query(
    int,
    select(seq)
    .where(seq > _FIRST, seq < func.coalesce(_first_new, _newest), at < _time("before"))
    .order_by(seq.desc())
    .limit(literal_column("1")),
    changes,
)

OLD = Query(
    int,
    select(func.count()).where(seq > _FIRST, seq <= _number("last_old")),
    changes,
)
"""How many changes there are up to the last that is to go."""

MARKER = Query(
    Marker,
    select(*[changes.c.entity_id, changes.c.xid]).where(seq == _FIRST).with_for_update(),
    changes,
    locks=True,
)

_next = (
    select(seq, changes.c.xid)
    .where(seq > _FIRST, seq <= _number("last_old"), xid < _number("oldest_open"))
    .order_by(seq)
    .limit(_ROWS)
    .subquery("next")
)

BATCH = Query(
    Batch,
    select(
        *[
            func.count().label("number"),
            func.max(_next.c.seq).label("last"),
            func.max(_next.c.xid).label("newest_xid"),
        ]
    ).select_from(_next),
    changes,
)

DELETE_BATCH = Query(
    int,
    delete(changes).where(seq > _FIRST, seq <= _number("last"), xid < _number("oldest_open")),
    changes,
)

NOTE = Query(
    int,
    update(changes)
    .values(entity_id=bindparam(NEW_VALUE + "entity_id"), xid=bindparam(NEW_VALUE + "xid"))
    .where(seq == _FIRST),
    changes,
)

_window = (
    select(chunks.c.seq, chunks.c.created_at)
    .where(chunks.c.seq > _number("after"))
    .order_by(chunks.c.seq)
    .limit(_ROWS)
    .subquery("window")
)

CHUNKS = Query(int, select(func.count()).select_from(chunks), chunks)

WINDOW = Query(
    Window,
    select(
        *[
            func.count().label("number"),
            func.max(_window.c.seq).label("last"),
            func.count().filter(_window.c.created_at < _time("before")).label("old"),
        ]
    ).select_from(_window),
    chunks,
)

DELETE_CHUNKS = Query(
    int,
    delete(chunks).where(
        chunks.c.seq > _number("after"),
        chunks.c.seq <= _number("last"),
        chunks.c.created_at < _time("before"),
    ),
    chunks,
)


async def time_of(database: Database) -> datetime:
    """Return the time of the store's clock."""
    time = await database.first(TIME)
    assert time is not None
    return time


async def oldest_open(database: Database) -> int:
    """Return the number below which every transaction has ended."""
    if not database.capabilities.has_concurrent_writers:
        return NO_TRANSACTION
    oldest = await database.first(OLDEST_OPEN)
    assert oldest is not None
    return oldest


async def delete_changes(database: Database, last_old: int, open_from: int, rows: int) -> int:
    """Delete the next changes up to `last_old`, in this transaction; return how many.

    The marker takes note of them, for those who have not read them.
    """
    marker = await database.first(MARKER)
    batch = await database.first(BATCH, last_old=last_old, oldest_open=open_from, rows=rows)
    if marker is None or batch is None or batch.last is None:
        return 0
    known = int(marker.entity_id), marker.xid or 0
    noted = {
        "entity_id": str(max(batch.last, known[0])),
        "xid": max(batch.newest_xid or 0, known[1]),
    }
    await database.count(NOTE, **new_values(noted))
    return await database.count(DELETE_BATCH, last=batch.last, oldest_open=open_from)
