"""Lists in the order of storing, whole or page by page."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Table, bindparam, select
from sqlalchemy.sql import Select

from cw_store.errors import InvalidValueError, NotFoundError
from cw_store.repos.sql.door import Door, Query
from cw_store.repos.sql.expressions import PRESENT
from cw_store.types import WholeNumber

R = TypeVar("R")

LARGEST_LIMIT = (1 << 31) - 1


def oldest_first(table: Table) -> tuple[ColumnElement[Any]]:
    """Order as the rows were stored, whatever a clock said."""
    return (table.c.seq,)


def newest_first(table: Table) -> tuple[ColumnElement[Any]]:
    """Order the other way round."""
    return (table.c.seq.desc(),)


def limited(statement: Select[Any]) -> Select[Any]:
    """Take at most the parameter `limit` rows."""
    return statement.limit(bindparam("limit", type_=WholeNumber()))


class Listing(Generic[R]):
    """Rows of a table in the order of storing; `after` a row given by its id, at most `limit`.

    The page begins behind a key, not at an offset, so rows that come and go do not shift it.
    """

    def __init__(
        self, record: type[R], rows: Select[Any], table: Table, *, newest: bool = False
    ) -> None:
        self._table = table
        ordered = rows.order_by(*(newest_first(table) if newest else oldest_first(table)))
        behind = ordered.where(_behind(table, newest))
        self._queries = {
            # (with after, with limit)
            (False, False): Query(record, ordered, table),
            (False, True): Query(record, limited(ordered), table),
            (True, False): Query(record, behind, table),
            (True, True): Query(record, limited(behind), table),
        }
        self._exists = Query(int, select(PRESENT).where(table.c.id == bindparam("after")), table)

    async def read(
        self, door: Door, limit: int | None, after: str | None, **filters: Any
    ) -> list[R]:
        """Return the rows; raises NotFoundError when there is no row `after`."""
        if limit is not None:
            filters["limit"] = self._checked(limit)
        if after is not None:
            filters["after"] = after
        query = self._queries[after is not None, limit is not None]
        found = await door.all(query, **filters)
        # Nothing is behind a row that does not exist, so this is seldom asked.
        if not found and after is not None and await door.first(self._exists, after=after) is None:
            raise NotFoundError(self._table.name, after)
        return found

    def _checked(self, limit: object) -> int:
        if not isinstance(limit, int) or isinstance(limit, bool):
            reason = f"takes an integer, not {type(limit).__name__}"
            raise InvalidValueError(self._table.name, "limit", limit, reason)
        if limit < 1:
            raise InvalidValueError(self._table.name, "limit", limit, "must be at least 1")
        if limit.bit_length() > 63:
            raise InvalidValueError(self._table.name, "limit", limit, "does not fit into 64 bits")
        return min(limit, LARGEST_LIMIT)


def _behind(table: Table, newest: bool) -> ColumnElement[bool]:
    seen = table.alias("seen")
    after = bindparam("after", type_=table.c.id.type)
    last_seen = select(seen.c.seq).where(seen.c.id == after).scalar_subquery()
    return table.c.seq < last_seen if newest else table.c.seq > last_seen
