"""The feed read in the order of its rows, as on SQLite: one writer, so they are in that of commits.

A cursor is the last row that was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from cw_store.repos.sql.feed_rows import (
    ANOTHER_LIFE,
    PRUNED,
    TOLD,
    Cursor,
    Filter,
    Part,
    Shape,
    conditions_of,
    parameters_of,
    query_of,
    stale_error,
    told_of,
)
from cw_store.statements.database import Database
from cw_store.statements.query import Query
from cw_store.types import LargeNumber


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
_NEWEST = query_of(Newest, _LAST)


@cache
def _in_order(shape: Shape) -> Query[InOrder]:
    wanted = conditions_of(shape, "entity IN (SELECT value FROM json_each(:entities))")
    return query_of(
        InOrder,
        f"""
        SELECT (SELECT mark FROM changes WHERE seq = :after) AS known,
            (SELECT entity_id FROM changes WHERE seq = 0) AS pruned,
            newest, newest_mark, {TOLD}
        FROM ({_LAST}) LEFT JOIN changes ON seq > :after {wanted} ORDER BY seq
        """,  # noqa: S608 -- of constants of these files; what a caller gives is a parameter
        after=LargeNumber(),
        **parameters_of(shape),
    )


async def position_in_order(database: Database) -> Cursor:
    """Return the cursor behind all that is to be seen."""
    newest = await database.first(_NEWEST)
    return Cursor() if newest is None else Cursor(newest.newest, newest.newest_mark)


async def read_in_order(database: Database, after: Cursor | None, wanted: Filter) -> Part:
    """Return what is behind a cursor, up to the end; raises StaleCursorError."""
    start = after or Cursor()
    found = await database.all(_in_order(wanted.shape), after=start.seq, **wanted.values())
    if not found:  # somebody has emptied the feed
        return Part((), start, is_all=True)
    head = found[0]
    if after is not None:
        pruned = int(head.pruned or 0)
        if after.seq < pruned:  # the feed's very first row is always there, and says nothing
            raise stale_error(PRUNED)
        # The last that was pruned was the last that was seen: nothing is missing.
        is_all_pruned = head.known is None and after.seq == pruned
        if after.life or not (head.known == after.mark or is_all_pruned):
            raise stale_error(ANOTHER_LIFE)
    told = [told_of(row) for row in found if row.entity is not None]
    return Part(told, Cursor(head.newest, head.newest_mark), is_all=True)
