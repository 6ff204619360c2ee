"""Lists in the order of storing, whole or page by page."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Table, bindparam, select
from sqlalchemy.sql import Select

from cw_store.errors import InvalidValueError, NotFoundError
from cw_store.statements.database import Database
from cw_store.statements.expressions import PRESENT
from cw_store.statements.query import Query
from cw_store.types import PlainText, WholeNumber

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
        self, database: Database, limit: int | None, after: str | None, **filters: Any
    ) -> list[R]:
        """Return the rows; raises NotFoundError when there is no row `after`."""
        if limit is not None:
            filters["limit"] = checked_limit(self._table, limit)
        if after is not None:
            filters["after"] = after
        query = self._queries[after is not None, limit is not None]
        found = await database.all(query, **filters)
        # Nothing is behind a row that does not exist, so this is seldom asked.
        if (
            not found
            and after is not None
            and await database.first(self._exists, after=after) is None
        ):
            raise NotFoundError(self._table.name, after)
        return found


class Ids:
    """The ids of a table that begin with a prefix, by a range of the index that each id has."""

    def __init__(self, table: Table) -> None:
        self._table = table
        id = table.c.id
        begins = limited(
            select(id).where(id >= bindparam("prefix", type_=PlainText())).order_by(id)
        )
        ends = begins.where(id < bindparam("end", type_=PlainText()))
        self._from = Query(str, begins, table)
        self._between = Query(str, ends, table)
        self.queries = (self._from, self._between)

    async def read(self, database: Database, prefix: str, limit: int | None) -> list[str]:
        """Return the ids in the order of their bytes, at most `limit`."""
        most = LARGEST_LIMIT if limit is None else checked_limit(self._table, limit)
        end = _after_all_with(prefix)
        if end is None:
            return await database.all(self._from, prefix=prefix, limit=most)
        return await database.all(self._between, prefix=prefix, end=end, limit=most)


def _after_all_with(prefix: object) -> str | None:
    """Return the first text behind all that begin with the prefix, or None when there is none."""
    if not isinstance(prefix, str):
        return None
    shorter = prefix.rstrip("\U0010ffff")
    if not shorter:
        return None
    last = ord(shorter[-1])
    return shorter[:-1] + chr(0xE000 if last == 0xD7FF else last + 1)


def checked_limit(table: Table, limit: object) -> int:
    """Return a limit that both databases take; raises InvalidValueError."""
    if not isinstance(limit, int) or isinstance(limit, bool):
        reason = f"takes an integer, not {type(limit).__name__}"
        raise InvalidValueError(table.name, "limit", limit, reason)
    if limit < 1:
        raise InvalidValueError(table.name, "limit", limit, "must be at least 1")
    if limit.bit_length() > 63:
        raise InvalidValueError(table.name, "limit", limit, "does not fit into 64 bits")
    return min(limit, LARGEST_LIMIT)


def _behind(table: Table, newest: bool) -> ColumnElement[bool]:
    seen = table.alias("seen")
    after = bindparam("after", type_=table.c.id.type)
    last_seen = select(seen.c.seq).where(seen.c.id == after).scalar_subquery()
    return table.c.seq < last_seen if newest else table.c.seq > last_seen
