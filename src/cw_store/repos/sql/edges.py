"""What phase and task dependencies share: edges between rows of one table, never in a circle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Table, bindparam, delete, exists, insert, select
from sqlalchemy.sql import Delete, Insert, Select

from cw_store.errors import BrokenReferenceError, NotFoundError
from cw_store.repos.sql.cycles import Cycles, Ends
from cw_store.repos.sql.listings import oldest_first
from cw_store.repos.sql.table import TableGateway, refuse_no_list, refuse_none
from cw_store.statements.database import Database
from cw_store.statements.query import Query

E = TypeVar("E")
R = TypeVar("R")


class Edges(Generic[E, R]):
    """The edges in `table`: the row in its first column waits for the row in its second."""

    def __init__(self, table: Table, edge: type[E], rows: TableGateway[R]) -> None:
        ends = self.ends = Ends(table, table)
        self._table = table
        self._rows = rows
        self._insert = Query(edge, insert(table), table)
        self._insert_unless_cycle = Query(edge, _insert_unless_cycle(ends), table)
        self._cycles = Cycles(ends)
        self._delete = Query(edge, _delete(ends), table)
        self._dependency_ids = Query(str, _dependency_ids(ends), table)
        self._dependencies = Query(rows.record, _dependencies(ends, rows), table)
        self._dependents = Query(rows.record, _dependents(ends, rows), table)
        self._of_initiative = Query(edge, _of_initiative(ends, rows.table), rows.table)

    async def create(self, database: Database, id: str, depends_on_id: str) -> E:
        """Add an edge and return it; raises DependencyCycleError when it would close a cycle."""
        edge = self.ends.values(id, depends_on_id)
        refuse_none(self._table, **edge)
        async with database.atomic() as database:
            # Two halves of a cycle, added at the same time, would not see each other.
            await database.lock(self._table.name)
            while True:
                stored = await database.first(self._insert_unless_cycle, **edge)
                if stored is not None:
                    return stored
                # Without a cycle the edge that closed it has just been deleted.
                await self._cycles.refuse(database, id, depends_on_id)

    async def set(self, database: Database, id: str, depends_on_ids: Sequence[str]) -> None:
        """Let a row wait for these and no others; what it waits for already stays untouched.

        Nothing is written before all is known to be right: a cycle does not spend a unit of work,
        which would go on with a half.
        """
        refuse_no_list("depends_on_ids", depends_on_ids)
        ends = self.ends
        database.check(self._insert, [ends.values(id, other) for other in depends_on_ids])
        wanted = dict.fromkeys(depends_on_ids)
        async with database.atomic() as database:
            await database.lock(self._table.name)
            found = await database.all(self._dependency_ids, **ends.from_dependent(id))
            kept = dict.fromkeys(found)
            new = [other for other in wanted if other not in kept]
            for other in new:
                await self._cycles.refuse(database, id, other)
            gone = [other for other in kept if other not in wanted]
            await database.many(self._delete, [ends.values(id, other) for other in gone])
            await database.many(self._insert, [ends.values(id, other) for other in new])
            if not (wanted or kept) and await self._rows.get(database, id) is None:
                raise BrokenReferenceError(self._table.name, [ends.dependent.name])

    async def delete(self, database: Database, id: str, depends_on_id: str) -> None:
        """Remove an edge; raises NotFoundError when there is none."""
        if await database.count(self._delete, **self.ends.values(id, depends_on_id)) == 0:
            raise NotFoundError(self._table.name, f"{id} -> {depends_on_id}")

    async def dependencies(self, database: Database, id: str) -> list[R]:
        """Return the rows that this one waits for."""
        return await database.all(self._dependencies, **self.ends.from_dependent(id))

    async def dependents(self, database: Database, id: str) -> list[R]:
        """Return the rows that wait for this one."""
        return await database.all(self._dependents, **self.ends.to_dependency(id))

    async def of_initiative(self, database: Database, initiative_id: str) -> list[E]:
        """Return every edge that starts at a row of the initiative."""
        return await database.all(self._of_initiative, initiative_id=initiative_id)


def _insert_unless_cycle(ends: Ends) -> Insert:
    """Insert an edge if its dependency does not wait for its dependent already."""
    reached = ends.reached()
    closes_cycle = exists(select(reached.c.id).where(reached.c.id == ends.dependent_id))
    edge = select(ends.dependent_id, ends.dependency_id).where(
        ends.dependent_id != ends.dependency_id, ~closes_cycle
    )
    names = [ends.dependent.name, ends.dependency.name]
    return insert(ends.table).from_select(names, edge).returning(*ends.table.columns)


def _delete(ends: Ends) -> Delete:
    return delete(ends.table).where(
        ends.dependent == ends.dependent_id, ends.dependency == ends.dependency_id
    )


def _dependency_ids(ends: Ends) -> Select[Any]:
    """Select the ids of what the row `dependent_id` waits for."""
    return select(ends.dependency).where(ends.dependent == ends.dependent_id)


def _dependencies(ends: Ends, rows: TableGateway[Any]) -> Select[Any]:
    """Select the rows that the row `dependent_id` waits for."""
    return (
        select(*rows.columns)
        .join(ends.table, ends.dependency == rows.table.c.id)
        .where(ends.dependent == ends.dependent_id)
        .order_by(*oldest_first(rows.table))
    )


def _dependents(ends: Ends, rows: TableGateway[Any]) -> Select[Any]:
    """Select the rows that wait for the row `dependency_id`."""
    return (
        select(*rows.columns)
        .join(ends.table, ends.dependent == rows.table.c.id)
        .where(ends.dependency == ends.dependency_id)
        .order_by(*oldest_first(rows.table))
    )


def _of_initiative(ends: Ends, owners: Table) -> Select[Any]:
    """Select the edges that start at a row of an initiative."""
    columns: list[ColumnElement[Any]] = [ends.dependent, ends.dependency]
    return (
        select(*columns)
        .join(owners, ends.dependent == owners.c.id)
        .where(owners.c.initiative_id == bindparam("initiative_id"))
        .order_by(ends.dependent, ends.dependency)
    )
