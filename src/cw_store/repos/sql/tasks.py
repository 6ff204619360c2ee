"""Tasks and their dependencies in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

from sqlalchemy import (
    bindparam,
    func,
    select,
    update,
)

from cw_store.errors import InvalidValueError
from cw_store.repos.sql.edges import Edges
from cw_store.repos.sql.listings import Ids, Listing
from cw_store.repos.sql.task_places import (
    MAX_RETRY_COUNT,
    TABLE,
    TREE,
    change,
    move,
    place_all,
    store,
)
from cw_store.repos.tasks import (
    NewTask,
    Task,
    TaskChanges,
    TaskDependency,
    TaskExpected,
    TaskRepository,
    TaskStatus,
)
from cw_store.schema import task_dependencies, tasks
from cw_store.statements.database import Database
from cw_store.statements.expressions import later_than
from cw_store.statements.query import Query

IDS = Ids(tasks)

ALL = Listing(Task, select(*TABLE.columns), tasks)

EDGES = Edges(task_dependencies, TaskDependency, TABLE)

OF_PHASE = TABLE.listing_by("phase_id", "order")

OF_INITIATIVE = TABLE.listing_by("initiative_id", "order")

OF_PARENT = TABLE.listing_by("parent_task_id", "order")

BY_STATUS = TABLE.listing_by("status")

INCREMENT_RETRY_COUNT = TABLE.returning(
    update(tasks)
    .where(tasks.c.id == bindparam("id"), tasks.c.retry_count < MAX_RETRY_COUNT)
    .values(retry_count=tasks.c.retry_count + 1, updated_at=later_than(tasks.c.updated_at))
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
    """The repository over a database."""

    __slots__ = ("_database", "recorder")

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, **values: Unpack[NewTask]) -> Task:
        row = TABLE.complete(values)
        if row.get("parent_task_id") is None:
            return await store(self._database, row)
        TREE.refuse_self(row)
        TABLE.check(self._database, [row])  # before anything is compared with rows that there are
        async with self._database.atomic() as database:
            await place_all(database, [row])
            return await store(database, row)

    async def create_many(self, rows: Sequence[NewTask]) -> list[Task]:
        placed = [TABLE.complete(row) for row in rows]
        for row in placed:
            TREE.refuse_self(row)
        if all(row.get("parent_task_id") is None for row in placed):
            await place_all(self._database, placed)
            return await TABLE.store_many(self._database, placed)
        TABLE.check(self._database, placed)
        async with self._database.atomic() as database:
            await place_all(database, placed)
            return await TABLE.store_many(database, placed)

    async def find_by_id(self, id: str) -> Task | None:
        return await TABLE.get(self._database, id)

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        return await IDS.read(self._database, prefix, limit)

    async def find_all(self, *, limit: int | None = None, after: str | None = None) -> list[Task]:
        return await ALL.read(self._database, limit, after)

    async def find_by_phase_id(self, phase_id: str) -> list[Task]:
        return await self._database.all(OF_PHASE, phase_id=phase_id)

    async def find_by_initiative_id(self, initiative_id: str) -> list[Task]:
        return await self._database.all(OF_INITIATIVE, initiative_id=initiative_id)

    async def find_by_parent_task_id(self, parent_task_id: str) -> list[Task]:
        return await self._database.all(OF_PARENT, parent_task_id=parent_task_id)

    async def find_by_status(self, status: TaskStatus) -> list[Task]:
        return await self._database.all(BY_STATUS, status=status)

    async def count_by_status(
        self, initiative_id: str | None = None
    ) -> dict[str | None, dict[TaskStatus, int]]:
        if initiative_id is None:
            counts = await self._database.all(COUNTS)
        else:
            counts = await self._database.all(COUNTS_OF_INITIATIVE, initiative_id=initiative_id)
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
        TABLE.refuse_unfit(changes, expected)
        parent_id = changes.get("parent_task_id")
        if parent_id is None and changes.keys().isdisjoint(("phase_id", "initiative_id")):
            return await change(self._database, id, changes, expected)
        async with self._database.atomic() as database:
            await TREE.take_turn(database)
            if parent_id is not None:
                await TREE.refuse_loop(database, id, parent_id)
            return await move(database, id, changes, expected)

    async def delete(self, id: str) -> None:
        await TABLE.delete(self._database, id)

    async def increment_retry_count(self, id: str) -> Task:
        task = await self._database.first(INCREMENT_RETRY_COUNT, id=id)
        if task is None:
            full = await TABLE.need(self._database, id)
            raise InvalidValueError(
                tasks.name, "retry_count", full.retry_count, "cannot count any further"
            )
        return task

    async def reset_retry_count(self, id: str) -> Task:
        return await TABLE.patch(self._database, id, {"retry_count": 0})

    async def create_dependency(self, id: str, depends_on_id: str) -> TaskDependency:
        return await EDGES.create(self._database, id, depends_on_id)

    async def delete_dependency(self, id: str, depends_on_id: str) -> None:
        await EDGES.delete(self._database, id, depends_on_id)

    async def set_dependencies(self, id: str, depends_on_ids: Sequence[str]) -> None:
        await EDGES.set(self._database, id, depends_on_ids)

    async def get_dependencies(self, id: str) -> list[Task]:
        return await EDGES.dependencies(self._database, id)

    async def get_dependents(self, id: str) -> list[Task]:
        return await EDGES.dependents(self._database, id)

    async def find_dependencies_by_initiative_id(self, initiative_id: str) -> list[TaskDependency]:
        return await EDGES.of_initiative(self._database, initiative_id)
