"""What a unit of work reads: which tables, and whether the time decides as well."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, get_args

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql import visitors

from cw_store.repos.changes import ChangedEntity
from cw_store.statements.query import Query
from cw_store.uow import UnitOfWork
from cw_store.waiter import ANYTHING, Key, of_table

FED = frozenset(get_args(ChangedEntity))
"""The tables that the feed tells of."""

KEPT_UP = frozenset({"store_state"})
"""What the store keeps up for itself, which changes no answer by itself: whose turn it is."""


@cache
def tables_of(query: Query[Any]) -> frozenset[str]:
    """Return the names of the tables that a query reads."""
    found = {
        element.name for element in visitors.iterate(query.statement) if isinstance(element, Table)
    }
    return frozenset(found | {query.table.name})


class Reads:
    """The tables that were read; all of them where nobody can know which."""

    def __init__(self) -> None:
        self.tables: set[str] = set()
        self.is_anything = False
        self.asks_time = False

    def keys(self) -> Iterable[Key]:
        """Return what to wait for."""
        tables = self.tables - KEPT_UP
        if self.is_anything or not tables or not tables <= FED:
            return [ANYTHING]
        return [of_table(name) for name in tables]


class _Noted(dict[Query[Any], Any]):
    """Compiled statements, and a note of which were looked up."""

    def __init__(self, statements: dict[Query[Any], Any], reads: Reads) -> None:
        self._statements = statements
        self._reads = reads

    def __getitem__(self, query: Query[Any]) -> Any:
        statement = self._statements[query]
        self._reads.tables |= tables_of(query)
        self._reads.asks_time = self._reads.asks_time or bool(statement.driver.times)
        return statement


class ReadingUnit(UnitOfWork):
    """A unit of work that only reads, and knows what."""

    reads: Reads

    async def __aenter__(self) -> ReadingUnit:
        self.reads = Reads()
        await super().__aenter__()
        database = self._database
        database.use(_Noted(database.statements, self.reads), database.capabilities)
        return self

    @property
    def session(self) -> AsyncSession:
        """The session, of which nobody knows what it reads."""
        self.reads.is_anything = True
        return super().session
