"""What phase and task dependencies share: edges between rows of one table, never in a circle."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

from sqlalchemy import CTE, Column, Table, bindparam, delete, exists, insert, select

from cw_store.errors import BrokenReferenceError, DependencyCycleError, NotFoundError
from cw_store.repos.sql.listings import oldest_first
from cw_store.repos.sql.table import TableGateway, refuse_no_list, refuse_none
from cw_store.statements.database import Database
from cw_store.statements.query import Query

E = TypeVar("E")
R = TypeVar("R")


class Edges(Generic[E, R]):
    """The edges in `table`: the row in its first column waits for the row in its second."""

    def __init__(self, table: Table, edge: type[E], rows: TableGateway[R]) -> None:
        dependent, dependency = table.columns
        owners = rows.table
        self._table = table
        self._rows = rows
        self._dependent: str = dependent.name
        self._dependency: str = dependency.name
        one = bindparam(dependent.name, type_=dependent.type)
        other = bindparam(dependency.name, type_=dependency.type)
        reached = _reached_from(dependent, dependency)
        self._insert_unless_cycle = Query(
            edge,
            insert(table)
            .from_select(
                [dependent.name, dependency.name],
                select(one, other).where(
                    one != other,
                    ~exists(select(reached.c.id).where(reached.c.id == one)),
                ),
            )
            .returning(*table.columns),
            table,
        )
        self._insert = Query(edge, insert(table), table)
        self._edges_reached = Query(
            edge,
            select(*table.columns)
            .where((dependent == other) | dependent.in_(select(reached.c.id)))
            .order_by(dependent, dependency),
            table,
        )
        self._delete = Query(
            edge, delete(table).where(dependent == one, dependency == other), table
        )
        self._waited_for = Query(str, select(dependency).where(dependent == one), table)
        self._dependencies = Query(
            rows.record,
            select(*rows.columns)
            .join(table, dependency == owners.c.id)
            .where(dependent == one)
            .order_by(*oldest_first(owners)),
            table,
        )
        self._dependents = Query(
            rows.record,
            select(*rows.columns)
            .join(table, dependent == owners.c.id)
            .where(dependency == other)
            .order_by(*oldest_first(owners)),
            table,
        )
        self._of_initiative = Query(
            edge,
            select(*table.columns)
            .join(owners, dependent == owners.c.id)
            .where(owners.c.initiative_id == bindparam("initiative_id"))
            .order_by(dependent, dependency),
            owners,
        )

    async def create(self, database: Database, id: str, depends_on_id: str) -> E:
        """Add an edge and return it; raises DependencyCycleError when it would close a cycle."""
        pair = self._pair(id, depends_on_id)
        refuse_none(self._table, **pair)
        async with database.atomic() as database:
            # Two halves of a cycle, added at the same time, would not see each other.
            await database.lock(self._table.name)
            while True:
                stored = await database.first(self._insert_unless_cycle, **pair)
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
        database.check(self._insert, [self._pair(id, other) for other in depends_on_ids])
        wanted = dict.fromkeys(depends_on_ids)
        async with database.atomic() as database:
            await database.lock(self._table.name)
            kept = dict.fromkeys(await database.all(self._waited_for, **{self._dependent: id}))
            new = [other for other in wanted if other not in kept]
            for other in new:
                await self._refuse_cycle(database, id, other)
            gone = [other for other in kept if other not in wanted]
            await database.many(self._delete, [self._pair(id, other) for other in gone])
            await database.many(self._insert, [self._pair(id, other) for other in new])
            if not (wanted or kept) and await self._rows.get(database, id) is None:
                raise BrokenReferenceError(self._table.name, [self._dependent])

    async def delete(self, database: Database, id: str, depends_on_id: str) -> None:
        """Remove an edge; raises NotFoundError when there is none."""
        if await database.count(self._delete, **self._pair(id, depends_on_id)) == 0:
            raise NotFoundError(self._table.name, f"{id} -> {depends_on_id}")

    async def dependencies(self, database: Database, id: str) -> list[R]:
        """Return the rows that this one waits for."""
        return await database.all(self._dependencies, **{self._dependent: id})

    async def dependents(self, database: Database, id: str) -> list[R]:
        """Return the rows that wait for this one."""
        return await database.all(self._dependents, **{self._dependency: id})

    async def of_initiative(self, database: Database, initiative_id: str) -> list[E]:
        """Return every edge that starts at a row of the initiative."""
        return await database.all(self._of_initiative, initiative_id=initiative_id)

    def _pair(self, id: str, depends_on_id: str) -> dict[str, str]:
        return {self._dependent: id, self._dependency: depends_on_id}

    async def _refuse_cycle(self, database: Database, id: str, depends_on_id: str) -> None:
        path = await self._path(database, id, depends_on_id)
        if path is not None:
            raise DependencyCycleError(self._table.name, self._dependency, path)

    async def _path(self, database: Database, id: str, depends_on_id: str) -> list[str] | None:
        if id == depends_on_id:
            return [id, id]
        edges = await database.all(self._edges_reached, **{self._dependency: depends_on_id})
        pairs = ((getattr(e, self._dependent), getattr(e, self._dependency)) for e in edges)
        back = _shortest_path(pairs, depends_on_id, id)
        return None if back is None else [id, *back]


def _reached_from(dependent: Column[Any], dependency: Column[Any]) -> CTE:
    """Collect the ids of all that the parameter named like `dependency` waits for."""
    start = bindparam(dependency.name, type_=dependency.type)
    reached = select(dependency.label("id")).where(dependent == start)
    reached = reached.cte("reached", recursive=True)
    further = dependent.table.alias("further")
    # UNION, not UNION ALL: each row once, however many ways lead to it.
    return reached.union(
        select(further.c[dependency.name]).join(reached, further.c[dependent.name] == reached.c.id)
    )


def _shortest_path(edges: Iterable[tuple[str, str]], start: str, goal: str) -> list[str] | None:
    following: dict[str, list[str]] = {}
    for one, other in edges:
        following.setdefault(one, []).append(other)
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
