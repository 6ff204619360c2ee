"""Pages, phases and tasks as the JSON states that change sets keep."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, make_dataclass
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Column, ColumnElement, Select, Table, bindparam, exists, insert, or_, select

from cw_store.repos.change_sets import ChangeSetEntityType
from cw_store.repos.json_value import JsonValue
from cw_store.repos.sql.ancestry import Ancestry
from cw_store.repos.sql.cycles import Ends
from cw_store.repos.sql.edges import Edges
from cw_store.repos.sql.pages import TABLE as PAGE_ROWS
from cw_store.repos.sql.pages import TREE as PAGE_TREE
from cw_store.repos.sql.phases import EDGES as PHASE_EDGES
from cw_store.repos.sql.phases import TABLE as PHASE_ROWS
from cw_store.repos.sql.table import STAMPED, TableGateway
from cw_store.repos.sql.task_places import TABLE as TASK_ROWS
from cw_store.repos.sql.task_places import TREE as TASK_TREE
from cw_store.repos.sql.tasks import EDGES as TASK_EDGES
from cw_store.schema import metadata, phases, record_columns
from cw_store.statements.database import Database
from cw_store.statements.expressions import PRESENT, IsPlace, is_one_of
from cw_store.statements.query import Query
from cw_store.types import Stamp, UtcDateTime

State: TypeAlias = dict[str, JsonValue]
"""The columns of a row as JSON, and `DEPENDENCIES`, `PLACE` and `LOST`."""

DEPENDENCIES = "depends_on_ids"
PLACE = "seq"
LOST = "lost"

MACHINE = frozenset(("updated_at", "epoch", "claimed_by_agent_id", "open_dependencies"))
"""The columns that go on by themselves: no change of theirs is one, and none is put back."""

_NOT_COMPARED = MACHINE | {PLACE, LOST}

OWN_TABLES = frozenset(("pages", "phases", "tasks", "phase_dependencies", "task_dependencies"))
"""The tables whose rows the states hold."""


@dataclass(frozen=True, slots=True)
class Edge:
    """The row `dependent_id` waits for the row `dependency_id`."""

    dependent_id: str
    dependency_id: str


@dataclass(frozen=True, slots=True)
class Reference:
    """A row of another table that refers to an entity."""

    id: str
    entity_id: str


class References:
    """A column of another table that refers to entities, and what a deletion makes of its rows."""

    def __init__(self, table: Table, column: str, on_delete: str | None) -> None:
        self.table = table.name
        self.emptied = column if on_delete == "SET NULL" else None
        """The column, where it is emptied; None where the row is deleted too."""
        self.to = Query(
            Reference,
            select(*[table.c.id, table.c[column]])
            .where(is_one_of(table.c[column]))
            .order_by(table.c.seq),
            table,
        )


class Kind:
    """One of the three kinds of rows: how states of it are read, and what is put back with it.

    `parent` is the column of a row's parent in the same table, `edges` what it waits for.
    """

    def __init__(
        self,
        entity_type: ChangeSetEntityType,
        rows: TableGateway[Any],
        *,
        tree: Ancestry | None = None,
        parent: str | None = None,
        edges: Edges[Any, Any] | None = None,
    ) -> None:
        table = self.table = rows.table
        self.entity_type: ChangeSetEntityType = entity_type
        self.rows = rows
        self.tree = tree
        self.parent = parent
        self.edges = edges
        self.columns = {column.name: column for column in record_columns(table)}
        self.references = _references(table)
        one = table.c.id == bindparam("id")
        self.one = Query(str, select(table.c.id).where(one), table)
        whole = one if tree is None else one | table.c.id.in_(tree.below())
        self.whole, self.hold_whole = _found_and_held(table, whole)
        """Find, or lock, a row and all rows of its kind below it, also against new references."""
        self.required = frozenset(
            name
            for name, column in self.columns.items()
            if not column.nullable and column.default is None and name not in ("id", *STAMPED)
        )
        """The columns that a row cannot be without."""
        self._insertions: dict[frozenset[str], Query[Any]] = {}
        self.exists = Query(str, select(table.c.id).where(is_one_of(table.c.id)), table)
        row: Any = make_dataclass(
            f"{rows.record.__name__}Row", [*self.columns, PLACE], frozen=True, slots=True
        )
        self._keep = Query(
            str,
            select(table.c.id)
            .where(is_one_of(table.c.id))
            .order_by(table.c.id)
            .with_for_update(read=True),
            table,
            locks=True,
        )
        self._free = Query(
            int,
            select(PRESENT).where(
                IsPlace(table, bindparam("seq", type_=table.c.seq.type)),
                ~exists(select(PRESENT).where(table.c.seq == bindparam("seq"))),
            ),
            table,
        )
        if parent is not None:
            self._misplaced = Query(str, _misplaced(table, table.c[parent]), table)
        self._rows = Query(
            row,
            select(*self.columns.values(), table.c.seq)
            .where(is_one_of(table.c.id))
            .order_by(table.c.id)
            .with_for_update(key_share=True),
            table,
            locks=True,
        )
        if edges is not None:
            self._edges_from = _held_edges(edges.ends, by_dependency=False)
            self._edges_to = _held_edges(edges.ends, by_dependency=True)

    def is_time(self, name: str) -> bool:
        """Say whether the values of a column are times, which are text in a state."""
        return name in self.columns and isinstance(self.columns[name].type, UtcDateTime)

    async def take_turn(self, database: Database) -> None:
        """Let nobody else move a row of this kind until the end of the transaction."""
        if self.tree is not None:
            await self.tree.take_turn(database)

    async def read(self, database: Database, ids: Collection[str]) -> dict[str, State]:
        """Lock the rows that there are of these, and return their states by id."""
        if not ids:
            return {}
        rows = await database.all(self._rows, ids=list(ids))
        states = {row.id: _state_of(row) for row in rows}
        for id, depends_on_ids in (await self.dependencies(database, states)).items():
            states[id][DEPENDENCIES] = [*depends_on_ids]
        return states

    async def keep_prerequisites(self, database: Database, ids: Collection[str]) -> None:
        """Let none of the rows be completed until the end of the transaction.

        Who completes one locks what waits for it next, and an edge is added under a lock on both.
        """
        if ids:
            await database.all(self._keep, ids=list(ids))

    async def dependencies(self, database: Database, ids: Collection[str]) -> dict[str, list[str]]:
        """Return what each of the rows waits for, and keep that from being deleted."""
        if self.edges is None or not ids:
            return {}
        found: dict[str, list[str]] = {id: [] for id in ids}
        for edge in await database.all(self._edges_from, ids=list(ids)):
            found[edge.dependent_id].append(edge.dependency_id)
        return found

    async def dependents(self, database: Database, ids: Collection[str]) -> list[str]:
        """Return what waits for one of the rows and is none of them."""
        if self.edges is None or not ids:
            return []
        edges = await database.all(self._edges_to, ids=list(ids))
        return list(dict.fromkeys(e.dependent_id for e in edges if e.dependent_id not in ids))

    async def referring(
        self, database: Database, ids: Collection[str]
    ) -> list[tuple[References, Reference]]:
        """Return the rows of other tables that refer to one of the rows."""
        if not ids:
            return []
        return [
            (references, row)
            for references in self.references
            for row in await database.all(references.to, ids=list(ids))
        ]

    async def is_free(self, database: Database, place: int) -> bool:
        """Say whether a row can have this place in the order of storing again."""
        return await database.first(self._free, seq=place) is not None

    async def misplaced(self, database: Database, ids: Collection[str]) -> list[str]:
        """Return those of the rows, and of their children, that belong to two initiatives."""
        return await database.all(self._misplaced, ids=list(ids)) if ids else []

    def insertion(self, names: frozenset[str]) -> Query[Any]:
        """Return the INSERT of a row whose columns of these names are given, times included."""
        if names not in self._insertions:
            columns = dict(self.columns) | ({PLACE: self.table.c.seq} if PLACE in names else {})
            values = {
                name: bindparam(
                    name,
                    type_=Stamp() if name in STAMPED and name not in names else column.type,
                )
                for name, column in columns.items()
            }
            query = Query(self.rows.record, insert(self.table).values(values), self.table)
            self._insertions[names] = query
        return self._insertions[names]

    def parents_first(self, states: Mapping[str, State]) -> list[str]:
        """Return the ids of the states, none before its parent."""
        if self.parent is None:
            return list(states)
        below: dict[JsonValue, list[str]] = {}
        ordered: list[str] = []
        for id, state in states.items():
            parent_id = state[self.parent]
            if parent_id in states:
                below.setdefault(parent_id, []).append(id)
            else:
                ordered.append(id)
        for id in ordered:  # which grows meanwhile
            ordered.extend(below.get(id, ()))
        return ordered


def _found_and_held(table: Table, rows: ColumnElement[bool]) -> tuple[Query[str], Query[str]]:
    found = select(table.c.id).where(rows).order_by(table.c.id)
    return Query(str, found, table), Query(str, found.with_for_update(), table, locks=True)


def differing(state: State, other: State) -> tuple[str, ...]:
    """Return the names of what a state says and the other one does not, among what may change.

    They are sorted: a server keeps the keys of JSON in an order of its own.
    """
    return tuple(
        sorted(
            name
            for name, value in state.items()
            if name not in _NOT_COMPARED
            and _as_text(name, value) != _as_text(name, other.get(name))
        )
    )


def _as_text(name: str, value: JsonValue) -> str:
    """Return a text that is the same for the same value: 1, 1.0 and True are three."""
    if name == DEPENDENCIES and isinstance(value, list):
        return json.dumps(sorted(map(str, value)))
    return json.dumps(value, sort_keys=True)


def _references(table: Table) -> list[References]:
    return [
        References(other, key.parent.name, key.ondelete)
        for other in metadata.sorted_tables
        if other.name not in OWN_TABLES
        for key in sorted(other.foreign_keys, key=lambda key: key.parent.name)
        if key.column.table is table
    ]


def _held_edges(ends: Ends, *, by_dependency: bool) -> Query[Edge]:
    """Select the edges that lead to some rows, or start at them, which then stay."""
    return Query(
        Edge,
        select(*[ends.dependent, ends.dependency])
        .where(is_one_of(ends.dependency if by_dependency else ends.dependent))
        .order_by(ends.dependent, ends.dependency)
        .with_for_update(),
        ends.table,
        locks=True,
    )


def _misplaced(table: Table, parent: Column[Any]) -> Select[Any]:
    """Select rows that are of another initiative than their parent, or a task's phase."""
    above = table.alias("above")
    own = table.c.initiative_id
    apart = above.c.initiative_id.is_distinct_from(own)
    touched = is_one_of(table.c.id) | is_one_of(parent)
    found = select(table.c.id).outerjoin(above, above.c.id == parent)
    if "phase_id" not in table.c:
        return found.where(touched, parent.is_not(None), apart)
    elsewhere = phases.c.initiative_id.is_distinct_from(own)
    return found.outerjoin(phases, phases.c.id == table.c.phase_id).where(
        touched,
        or_(parent.is_not(None) & apart, table.c.phase_id.is_not(None) & elsewhere),
    )


def _state_of(row: Any) -> State:
    values = ((field.name, getattr(row, field.name)) for field in fields(row))
    return {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in values
    }


PAGES = Kind("page", PAGE_ROWS, tree=PAGE_TREE, parent="parent_page_id")

PHASES = Kind("phase", PHASE_ROWS, edges=PHASE_EDGES)

TASKS = Kind("task", TASK_ROWS, tree=TASK_TREE, parent="parent_task_id", edges=TASK_EDGES)

KINDS: dict[ChangeSetEntityType, Kind] = {kind.entity_type: kind for kind in (PHASES, TASKS, PAGES)}
"""In the order in which their rows are locked."""

Entity: TypeAlias = tuple[Kind, str]

_of_phase = (
    select(TASKS.table.c.id)
    .where(TASKS.table.c.phase_id == bindparam("id"))
    .cte("of_phase", recursive=True)
)
_further = TASKS.table.alias("further")

_of_phase = _of_phase.union(
    select(_further.c.id).join(_of_phase, _further.c.parent_task_id == _of_phase.c.id)
)

TASKS_OF_PHASE, HOLD_TASKS_OF_PHASE = _found_and_held(
    TASKS.table, TASKS.table.c.id.in_(select(_of_phase.c.id))
)
"""Find, or lock, all that goes with a phase: its tasks, and theirs in whatever phase."""
