"""Who waits for whom, directly or not, and the circle that one edge more would close."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CTE, ColumnElement, FromClause, Table, bindparam, select
from sqlalchemy.sql import Select

from cw_store.errors import DependencyCycleError
from cw_store.statements.database import Database
from cw_store.statements.query import Query


class Ends:
    """The two columns of `edges`, and the parameters that are compared with them.

    The row in the first column, the dependent, waits for the row in the second, the dependency.
    Parameters have the names of the columns, which errors tell. `edges` are a table's, or those
    rows of `table` that count as edges.
    """

    def __init__(self, table: Table, edges: FromClause) -> None:
        self.table = table
        self.edges = edges
        self.dependent, self.dependency = edges.columns
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

    def reached(self) -> CTE:
        """Collect the ids of all that the row `dependency_id` waits for, directly or not."""
        reached = select(self.dependency.label("id")).where(self.dependent == self.dependency_id)
        reached = reached.cte("reached", recursive=True)
        further = self.edges.alias("further")
        dependent, dependency = further.columns
        # UNION, not UNION ALL: each row once, however many ways lead to it.
        return reached.union(select(dependency).join(reached, dependent == reached.c.id))


@dataclass(frozen=True, slots=True)
class _Edge:
    dependent_id: str
    dependency_id: str


class Cycles:
    """The circles that edges would close."""

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        self._edges_reached = Query(_Edge, _edges_reached(ends), ends.table)

    async def refuse(self, database: Database, id: str, depends_on_id: str) -> None:
        """Raise DependencyCycleError when an edge from `id` to `depends_on_id` would close one."""
        path = await self._path(database, id, depends_on_id)
        if path is not None:
            raise DependencyCycleError(self._ends.table.name, self._ends.dependency.name, path)

    async def _path(self, database: Database, id: str, depends_on_id: str) -> list[str] | None:
        if id == depends_on_id:
            return [id, id]
        start = self._ends.to_dependency(depends_on_id)
        edges = await database.all(self._edges_reached, **start)
        back = _shortest_path(edges, depends_on_id, id)
        return None if back is None else [id, *back]


def _edges_reached(ends: Ends) -> Select[Any]:
    """Select the edges on all ways that start at the row `dependency_id`."""
    reached = ends.reached()
    is_on_the_way = ends.dependent.in_(select(reached.c.id))
    columns: list[ColumnElement[Any]] = [ends.dependent, ends.dependency]
    return (
        select(*columns)
        .where((ends.dependent == ends.dependency_id) | is_on_the_way)
        .order_by(ends.dependent, ends.dependency)
    )


def _shortest_path(edges: Iterable[_Edge], start: str, goal: str) -> list[str] | None:
    following: dict[str, list[str]] = {}
    for edge in edges:
        following.setdefault(edge.dependent_id, []).append(edge.dependency_id)
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
