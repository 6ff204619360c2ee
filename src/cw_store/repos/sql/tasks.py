"""Tasks and their dependencies in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Unpack

from sqlalchemy import (
    Column,
    ColumnElement,
    ScalarSelect,
    bindparam,
    case,
    exists,
    func,
    insert,
    select,
    update,
)

from cw_store.errors import InvalidValueError
from cw_store.repos.sql.ancestry import Ancestry
from cw_store.repos.sql.door import NEW_VALUE, Door, Query
from cw_store.repos.sql.edges import Edges
from cw_store.repos.sql.expressions import PRESENT, later_than
from cw_store.repos.sql.listings import Ids, Listing, oldest_first
from cw_store.repos.sql.rows import Expectation, Rows
from cw_store.repos.tasks import (
    NewTask,
    Task,
    TaskChanges,
    TaskDependency,
    TaskExpected,
    TaskRepository,
    TaskStatus,
)
from cw_store.schema import phases, task_dependencies, tasks

ROWS = Rows(tasks, Task, NewTask, TaskChanges, TaskExpected)

IDS = Ids(tasks)

ALL = Listing(Task, select(*ROWS.columns), tasks)

EDGES = Edges(task_dependencies, TaskDependency, ROWS)

TREE = Ancestry(tasks, tasks.c.parent_task_id)

IN_ORDER = (tasks.c.order, *oldest_first(tasks))

PLACE = frozenset(("phase_id", "initiative_id"))
"""The columns that have to agree: a task's phase is one of its initiative."""

OF_PHASE = Query(
    Task,
    select(*ROWS.columns).where(tasks.c.phase_id == bindparam("phase_id")).order_by(*IN_ORDER),
    tasks,
)

OF_INITIATIVE = Query(
    Task,
    select(*ROWS.columns)
    .where(tasks.c.initiative_id == bindparam("initiative_id"))
    .order_by(*IN_ORDER),
    tasks,
)

OF_PARENT = Query(
    Task,
    select(*ROWS.columns)
    .where(tasks.c.parent_task_id == bindparam("parent_task_id"))
    .order_by(*IN_ORDER),
    tasks,
)

BY_STATUS = Query(
    Task,
    select(*ROWS.columns)
    .where(tasks.c.status == bindparam("status"))
    .order_by(*oldest_first(tasks)),
    tasks,
)

INITIATIVE_OF_PHASE = Query(
    str, select(phases.c.initiative_id).where(phases.c.id == bindparam("phase_id")), tasks
)

MAX_RETRY_COUNT = 2**31 - 1

INCREMENT_RETRY_COUNT = ROWS.returning(
    update(tasks)
    .where(tasks.c.id == bindparam("id"), tasks.c.retry_count < MAX_RETRY_COUNT)
    .values(retry_count=tasks.c.retry_count + 1, updated_at=later_than(tasks.c.updated_at))
)


def _initiative_of(phase_id: ColumnElement[Any]) -> ScalarSelect[Any]:
    """Return the initiative of a phase; a phase never changes it."""
    return select(phases.c.initiative_id).where(phases.c.id == phase_id).scalar_subquery()


def _fits(phase_id: ColumnElement[Any], initiative_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Say whether the phase is none of another initiative; also true where either is missing."""
    other = select(phases.c.id).where(
        phases.c.id == phase_id, phases.c.initiative_id != initiative_id
    )
    return ~exists(other)


whole_row = ROWS.new_row

INSERT_IF_IT_FITS = Query(
    Task,
    insert(tasks).from_select(
        list(whole_row),
        select(*whole_row.values()).where(_fits(whole_row["phase_id"], whole_row["initiative_id"])),
    ),
    tasks,
)

# SQLite must be able to undo an INSERT ... SELECT by itself, which takes a third of its time in a
# unit of work. A row without an id is ignored instead; but so is one that another constraint
# refuses, and only the statement above says why.
INSERT_OR_IGNORE = Query(
    Task,
    INSERT_IF_IT_FITS.statement,
    tasks,
    on_sqlite=insert(tasks)
    .prefix_with("OR IGNORE")
    .inline()
    .values(
        {
            **whole_row,
            "id": case((_fits(whole_row["phase_id"], whole_row["initiative_id"]), whole_row["id"])),
        }
    ),
)

INSERT_INTO_INITIATIVE_OF_PHASE = Query(
    Task,
    insert(tasks)
    .values({**whole_row, "initiative_id": _initiative_of(whole_row["phase_id"])})
    .returning(*ROWS.columns),
    tasks,
)


@cache
def _move_if_it_fits(columns: tuple[str, ...], held: Expectation) -> Query[Task]:
    """Update these columns, unless phase and initiative would then not agree."""

    def afterwards(column: Column[Any]) -> ColumnElement[Any]:
        if column.name not in columns:
            return column
        return bindparam(NEW_VALUE + column.name, type_=column.type)

    phase_id, initiative_id = afterwards(tasks.c.phase_id), afterwards(tasks.c.initiative_id)
    taken = func.coalesce(initiative_id, _initiative_of(phase_id))
    return ROWS.returning(
        ROWS.setting(columns)
        .values(initiative_id=taken)
        .where(tasks.c.id == bindparam("id"), _fits(phase_id, initiative_id), *ROWS.held(held))
    )


@cache
def _holding(held: Expectation) -> Query[int]:
    """Ask for a task that holds what is expected."""
    return Query(
        int,
        select(PRESENT).select_from(tasks).where(tasks.c.id == bindparam("id"), *ROWS.held(held)),
        tasks,
    )


@dataclass(frozen=True, slots=True)
class StatusCount:
    """How many tasks of a phase have a status."""

    phase_id: str | None
    status: TaskStatus
    number: int


counts = select(*[tasks.c.phase_id, tasks.c.status, func.count().label("number")]).group_by(
    tasks.c.phase_id, tasks.c.status
)

COUNTS = Query(StatusCount, counts, tasks)

COUNTS_OF_INITIATIVE = Query(
    StatusCount, counts.where(tasks.c.initiative_id == bindparam("initiative_id")), tasks
)


class Tasks(TaskRepository):
    """The repository over a door."""

    __slots__ = ("_door",)

    def __init__(self, door: Door) -> None:
        self._door = door

    async def create(self, **values: Unpack[NewTask]) -> Task:
        row = ROWS.complete(self._door, values)
        TREE.refuse_self(row)
        if row.get("initiative_id") is None and row.get("phase_id") is not None:
            row.pop("initiative_id", None)
            stored = await self._door.first(INSERT_INTO_INITIATIVE_OF_PHASE, **row)
        else:
            stored = await self._door.insert(INSERT_OR_IGNORE, row)
            if stored is None:
                stored = await self._door.insert(INSERT_IF_IT_FITS, row)
        if stored is None:
            raise _misplaced(row)
        return stored

    async def create_many(self, rows: Sequence[NewTask]) -> list[Task]:
        placed = [ROWS.complete(self._door, row) for row in rows]
        initiative_of: dict[str, str | None] = {}
        for row in placed:
            TREE.refuse_self(row)
            phase_id = row.get("phase_id")
            # Anything else that is no text is refused when the rows are stored.
            if isinstance(phase_id, str):
                if phase_id not in initiative_of:
                    initiative_of[phase_id] = await self._door.first(
                        INITIATIVE_OF_PHASE, phase_id=phase_id
                    )
                _place(row, initiative_of[phase_id])
        return await ROWS.store_many(self._door, placed)

    async def find_by_id(self, id: str) -> Task | None:
        return await ROWS.get(self._door, id)

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        return await IDS.read(self._door, prefix, limit)

    async def find_all(self, *, limit: int | None = None, after: str | None = None) -> list[Task]:
        return await ALL.read(self._door, limit, after)

    async def find_by_phase_id(self, phase_id: str) -> list[Task]:
        return await self._door.all(OF_PHASE, phase_id=phase_id)

    async def find_by_initiative_id(self, initiative_id: str) -> list[Task]:
        return await self._door.all(OF_INITIATIVE, initiative_id=initiative_id)

    async def find_by_parent_task_id(self, parent_task_id: str) -> list[Task]:
        return await self._door.all(OF_PARENT, parent_task_id=parent_task_id)

    async def find_by_status(self, status: TaskStatus) -> list[Task]:
        return await self._door.all(BY_STATUS, status=status)

    async def count_by_status(
        self, initiative_id: str | None = None
    ) -> dict[str | None, dict[TaskStatus, int]]:
        if initiative_id is None:
            counts = await self._door.all(COUNTS)
        else:
            counts = await self._door.all(COUNTS_OF_INITIATIVE, initiative_id=initiative_id)
        found: dict[str | None, dict[TaskStatus, int]] = {}
        for count in counts:
            found.setdefault(count.phase_id, {})[count.status] = count.number
        return found

    async def update(
        self,
        id: str,
        *,
        expected: TaskExpected | None = None,
        **changes: Unpack[TaskChanges],
    ) -> Task:
        ROWS.refuse_unfit(changes, expected)
        parent_id = changes.get("parent_task_id")
        if parent_id is None:
            return await _change(self._door, id, changes, expected)
        async with self._door.atomic() as door:
            await TREE.refuse_loop(door, id, parent_id)
            return await _change(door, id, changes, expected)

    async def delete(self, id: str) -> None:
        await ROWS.delete(self._door, id)

    async def increment_retry_count(self, id: str) -> Task:
        task = await self._door.first(INCREMENT_RETRY_COUNT, id=id)
        if task is None:
            full = await ROWS.need(self._door, id)
            raise InvalidValueError(
                tasks.name, "retry_count", full.retry_count, "cannot count any further"
            )
        return task

    async def reset_retry_count(self, id: str) -> Task:
        return await ROWS.patch(self._door, id, {"retry_count": 0})

    async def create_dependency(self, id: str, depends_on_id: str) -> TaskDependency:
        return await EDGES.create(self._door, id, depends_on_id)

    async def delete_dependency(self, id: str, depends_on_id: str) -> None:
        await EDGES.delete(self._door, id, depends_on_id)

    async def set_dependencies(self, id: str, depends_on_ids: Sequence[str]) -> None:
        await EDGES.set(self._door, id, depends_on_ids)

    async def get_dependencies(self, id: str) -> list[Task]:
        return await EDGES.dependencies(self._door, id)

    async def get_dependents(self, id: str) -> list[Task]:
        return await EDGES.dependents(self._door, id)

    async def find_dependencies_by_initiative_id(self, initiative_id: str) -> list[TaskDependency]:
        return await EDGES.of_initiative(self._door, initiative_id)


def _place(row: dict[str, Any], initiative_id: str | None) -> None:
    """Give a new row the initiative of its phase."""
    if row.get("initiative_id") is None:
        row["initiative_id"] = initiative_id
    elif initiative_id is not None and initiative_id != row["initiative_id"]:
        raise _misplaced(row)


async def _change(door: Door, id: str, changes: Mapping[str, Any], expected: object) -> Task:
    if PLACE.isdisjoint(changes):
        return await ROWS.change(door, id, changes, expected)
    held = ROWS.expectation({} if expected is None else expected)
    query = _move_if_it_fits(tuple(sorted(changes)), held.names)
    moved = await door.first(query, id=id, **held.values, **ROWS.new_values(door, changes))
    if moved is not None:
        return moved
    if await door.first(_holding(held.names), id=id, **held.values) is None:
        raise await ROWS.missed(door, id, held)
    raise _misplaced(changes)


def _misplaced(values: Mapping[str, Any]) -> InvalidValueError:
    if "phase_id" in values:
        reason = "belongs to another initiative"
        return InvalidValueError(tasks.name, "phase_id", values["phase_id"], reason)
    reason = "is not the initiative of the task's phase"
    return InvalidValueError(tasks.name, "initiative_id", values["initiative_id"], reason)
