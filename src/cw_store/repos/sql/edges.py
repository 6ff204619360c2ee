"""What phase and task dependencies share: edges between rows of one table, never in a circle."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, Generic, TypeVar

from sqlalchemy import CTE, ColumnElement, Table, bindparam, delete, exists, insert, select
from sqlalchemy.sql import Delete, Insert, Select

from cw_store.errors import BrokenReferenceError, DependencyCycleError, NotFoundError
from cw_store.repos.sql.listings import oldest_first
from cw_store.repos.sql.table import TableGateway, refuse_no_list, refuse_none
from cw_store.statements.database import Database
from cw_store.statements.query import Query

E = TypeVar("E")
R = TypeVar("R")


class Ends:
    """The two columns of a table of edges, and the parameters that are compared with them.

    The row in the first column, the dependent, waits for the row in the second, the dependency.
    Parameters have the names of the columns, which errors tell.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.dependent, self.dependency = table.columns
        self.dependent_id = bindparam(self.dependent.name, type_=self.dependent.type)
        self.dependency_id = bindparam(self.dependency.name, type_=self.dependency.type)

    def values(self, dependent_id: str, dependency_id: str) -> dict[str, str]:
        """Return the parameters for one edge."""
        return {**self.from_dependent(dependent_id), **self.to_dependency(dependency_id)}

    def from_dependent(self, dependent_id: str) -> dict[str, str]:
        """Return the parameter for the edges that start at a row."""
        return {self.dependent.name: dependent_id}

    def to_dependency(self, dependency_id: str) -> dict[str, str]:
        """Return the parameter for the edges that lead to a row."""
        return {self.dependency.name: dependency_id}


class Edges(Generic[E, R]):
    """The edges in `table`: the row in its first column waits for the row in its second."""

    def __init__(self, table: Table, edge: type[E], rows: TableGateway[R]) -> None:
        ends = self._ends = Ends(table)
        self._table = table
        self._rows = rows
        self._insert = Query(edge, insert(table), table)
        self._insert_unless_cycle = Query(edge, _insert_unless_cycle(ends), table)
        self._delete = Query(edge, _delete(ends), table)
        self._dependency_ids = Query(str, _dependency_ids(ends), table)
        self._edges_reached = Query(edge, _edges_reached(ends), table)
        self._dependencies = Query(rows.record, _dependencies(ends, rows), table)
        self._dependents = Query(rows.record, _dependents(ends, rows), table)
        self._of_initiative = Query(edge, _of_initiative(ends, rows.table), rows.table)

    async def create(self, database: Database, id: str, depends_on_id: str) -> E:
        """Add an edge and return it; raises DependencyCycleError when it would close a cycle."""
        edge = self._ends.values(id, depends_on_id)
        refuse_none(self._table, **edge)
        async with database.atomic() as database:
            # Two halves of a cycle, added at the same time, would not see each other.
            await database.lock(self._table.name)
            while True:
                stored = await database.first(self._insert_unless_cycle, **edge)
                if stored is not None:
                    return stored
                # Without a cycle the edge that closed it has just been deleted.
                await self._refuse_cycle(database, id, depends_on_id)

    async def set(self, database: Database, id: str, depends_on_ids: Sequence[str]) -> None:
        """Let a row wait for these and no others; what it waits for already stays untouched.

        Nothing is written before all is known to be right: a cycle does not spend a unit of work,
        which would go on with a half.
        """
        refuse_no_list("depends_on_ids", depends_on_ids)
        ends = self._ends
        database.check(self._insert, [ends.values(id, other) for other in depends_on_ids])
        wanted = dict.fromkeys(depends_on_ids)
        async with database.atomic() as database:
            await database.lock(self._table.name)
            found = await database.all(self._dependency_ids, **ends.from_dependent(id))
            kept = dict.fromkeys(found)
            new = [other for other in wanted if other not in kept]
            for other in new:
                await self._refuse_cycle(database, id, other)
            gone = [other for other in kept if other not in wanted]
            await database.many(self._delete, [ends.values(id, other) for other in gone])
            await database.many(self._insert, [ends.values(id, other) for other in new])
            if not (wanted or kept) and await self._rows.get(database, id) is None:
                raise BrokenReferenceError(self._table.name, [ends.dependent.name])

    async def delete(self, database: Database, id: str, depends_on_id: str) -> None:
        """Remove an edge; raises NotFoundError when there is none."""
        if await database.count(self._delete, **self._ends.values(id, depends_on_id)) == 0:
            raise NotFoundError(self._table.name, f"{id} -> {depends_on_id}")

    async def dependencies(self, database: Database, id: str) -> list[R]:
        """Return the rows that this one waits for."""
        return await database.all(self._dependencies, **self._ends.from_dependent(id))

    async def dependents(self, database: Database, id: str) -> list[R]:
        """Return the rows that wait for this one."""
        return await database.all(self._dependents, **self._ends.to_dependency(id))

    async def of_initiative(self, database: Database, initiative_id: str) -> list[E]:
        """Return every edge that starts at a row of the initiative."""
        return await database.all(self._of_initiative, initiative_id=initiative_id)

    async def _refuse_cycle(self, database: Database, id: str, depends_on_id: str) -> None:
        path = await self._path(database, id, depends_on_id)
        if path is not None:
            raise DependencyCycleError(self._table.name, self._ends.dependency.name, path)

    async def _path(self, database: Database, id: str, depends_on_id: str) -> list[str] | None:
        if id == depends_on_id:
            return [id, id]
        ends = self._ends
        edges = await database.all(self._edges_reached, **ends.to_dependency(depends_on_id))
        both = attrgetter(ends.dependent.name, ends.dependency.name)
        back = _shortest_path(map(both, edges), depends_on_id, id)
        return None if back is None else [id, *back]


def _reached_from(ends: Ends) -> CTE:
    """Collect the ids of all that the row `dependency_id` waits for, directly or not."""
    reached = select(ends.dependency.label("id")).where(ends.dependent == ends.dependency_id)
    reached = reached.cte("reached", recursive=True)
    further = ends.table.alias("further")
    # UNION, not UNION ALL: each row once, however many ways lead to it.
    return reached.union(
        select(further.c[ends.dependency.name]).join(
            reached, further.c[ends.dependent.name] == reached.c.id
        )
    )


def _insert_unless_cycle(ends: Ends) -> Insert:
    """Insert an edge if its dependency does not wait for its dependent already."""
    reached = _reached_from(ends)
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


def _edges_reached(ends: Ends) -> Select[Any]:
    """Select the edges on all ways that start at the row `dependency_id`."""
    reached = _reached_from(ends)
    is_on_the_way = ends.dependent.in_(select(reached.c.id))
    return (
        _edges(ends)
        .where((ends.dependent == ends.dependency_id) | is_on_the_way)
        .order_by(ends.dependent, ends.dependency)
    )


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
    return (
        _edges(ends)
        .join(owners, ends.dependent == owners.c.id)
        .where(owners.c.initiative_id == bindparam("initiative_id"))
        .order_by(ends.dependent, ends.dependency)
    )


def _edges(ends: Ends) -> Select[Any]:
    columns: list[ColumnElement[Any]] = [ends.dependent, ends.dependency]
    return select(*columns)


def _shortest_path(edges: Iterable[tuple[str, str]], start: str, goal: str) -> list[str] | None:
    following: dict[str, list[str]] = {}
    for dependent_id, dependency_id in edges:
        following.setdefault(dependent_id, []).append(dependency_id)
    came_from: dict[str, str | None] = {start: None}
    waiting = deque([start])
    while waiting and goal not in came_from:
        here = waiting.popleft()
        for further in following.get(here, ()):
            if further not in came_from:
                came_from[further] = here
                waiting.append(further)
    if goal not in came_from:
        return None
    path: list[str] = []
    step: str | None = goal
    while step is not None:
        path.append(step)
        step = came_from[step]
    return path[::-1]
