"""Where a task stands: in a phase, an initiative and below a parent, which have to agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    and_,
    bindparam,
    case,
    exists,
    insert,
    select,
)

from cw_store.errors import InvalidValueError, NotFoundError, StaleStateError
from cw_store.repos.sql.ancestry import Ancestry, hold_all
from cw_store.repos.sql.fence import claimed_error, find_holding
from cw_store.repos.sql.table import Expectation, Expected, TableGateway
from cw_store.repos.tasks import NewTask, Task, TaskChanges, TaskExpected
from cw_store.schema import phases, tasks
from cw_store.statements.database import Database
from cw_store.statements.expressions import PRESENT
from cw_store.statements.query import NEW_VALUE, Query, new_values

TABLE = TableGateway(tasks, Task, NewTask, TaskChanges, TaskExpected)

MAX_RETRY_COUNT = 2**31 - 1

TREE = Ancestry(tasks, tasks.c.parent_task_id)

UNCLAIMED = ("claimed_by_agent_id", True)
"""What is expected of a task whose status is changed."""

PLACES = frozenset(("phase_id", "initiative_id", "parent_task_id"))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task stands; the three have to agree."""

    phase_id: str | None
    initiative_id: str | None
    parent_task_id: str | None


place = select(*[tasks.c.phase_id, tasks.c.initiative_id, tasks.c.parent_task_id])

PLACE = Query(Place, place.where(tasks.c.id == bindparam("id")), tasks)

# The lock that a reference to the parent takes anyway, but before the look. It stands in nobody's
# way who changes the parent or creates subtasks too, only in that of HOLD.
PLACE_OF_PARENT = Query(
    Place,
    place.where(tasks.c.id == bindparam("parent_task_id")).with_for_update(
        read=True, key_share=True
    ),
    tasks,
    locks=True,
)

HOLD = Query(
    str,
    select(tasks.c.id).where(tasks.c.id == bindparam("id")).with_for_update(),
    tasks,
    locks=True,
)

IS_SUBTASK = tasks.c.id.in_(TREE.below())
"""Whether a task is below the one that the parameter `id` names, on any level."""

HOLD_SUBTASKS = Query(
    str,
    select(tasks.c.id).where(IS_SUBTASK).order_by(tasks.c.id).with_for_update(),
    tasks,
    locks=True,
)

FOLLOW = Query(
    Task,
    TABLE.setting(("initiative_id",)).where(
        IS_SUBTASK,
        tasks.c.initiative_id.is_distinct_from(bindparam(NEW_VALUE + "initiative_id")),
    ),
    tasks,
)
"""Give the subtasks that stay in their phase, or have none, the task's new initiative."""

INITIATIVE_OF_PHASE = Query(
    str, select(phases.c.initiative_id).where(phases.c.id == bindparam("phase_id")), tasks
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


whole_row = TABLE.new_row

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
    insert(tasks)
    .prefix_with("OR IGNORE")
    .inline()
    .values(
        {
            **whole_row,
            "id": case((_fits(whole_row["phase_id"], whole_row["initiative_id"]), whole_row["id"])),
        }
    ),
    tasks,
)

INSERT_INTO_INITIATIVE_OF_PHASE = Query(
    Task,
    insert(tasks)
    .values({**whole_row, "initiative_id": _initiative_of(whole_row["phase_id"])})
    .returning(*TABLE.columns),
    tasks,
)


@cache
def _moving_along(old: Expectation) -> Query[Task]:
    """Update phase and initiative of the subtasks that are in the task's old phase."""
    moving = TABLE.setting(("phase_id", "initiative_id"))
    return Query(Task, moving.where(IS_SUBTASK, *TABLE.held(old)), tasks)


@cache
def _staying_elsewhere(old: Expectation) -> Query[str]:
    """Ask for a subtask that would stay in a phase of another than the new initiative."""
    new = bindparam(NEW_VALUE + "initiative_id", type_=tasks.c.initiative_id.type)
    return Query(
        str,
        select(tasks.c.id)
        .join(phases, phases.c.id == tasks.c.phase_id)
        .where(IS_SUBTASK, ~and_(*TABLE.held(old)), phases.c.initiative_id.is_distinct_from(new))
        .limit(1),
        tasks,
    )


@cache
def _holding(held: Expectation) -> Query[int]:
    """Ask for a task that holds what is expected."""
    return Query(
        int,
        select(PRESENT).select_from(tasks).where(tasks.c.id == bindparam("id"), *TABLE.held(held)),
        tasks,
    )


async def store(database: Database, row: dict[str, Any]) -> Task:
    """Store a new row, in the initiative of its phase where it names none.

    Raises InvalidValueError where phase and initiative do not agree.
    """
    if row.get("initiative_id") is None and row.get("phase_id") is not None:
        row.pop("initiative_id", None)
        stored = await database.first(INSERT_INTO_INITIATIVE_OF_PHASE, **row)
    else:
        stored = None
        if database.capabilities.has_insert_or_ignore:
            stored = await database.insert(INSERT_OR_IGNORE, row)
        if stored is None:
            stored = await database.insert(INSERT_IF_IT_FITS, row)
    if stored is None:
        raise _misplaced(row)
    return stored


async def place_all(database: Database, rows: Sequence[dict[str, Any]]) -> None:
    """Give new rows the initiatives of their phases, or else of their parents.

    Raises InvalidValueError where they do not agree. What does not exist, or is no id, is refused
    when the rows are stored.
    """
    initiatives: dict[str, str | None] = {}
    parents: dict[str, tuple[str | None] | None] = {}  # their initiatives; None for no parent
    for row in rows:
        phase_id, parent_id = row.get("phase_id"), row.get("parent_task_id")
        if isinstance(phase_id, str):
            if phase_id not in initiatives:
                initiatives[phase_id] = await database.first(INITIATIVE_OF_PHASE, phase_id=phase_id)
            _agree(row, initiatives[phase_id])
        if isinstance(parent_id, str):
            if parent_id not in parents:
                place = await database.first(PLACE_OF_PARENT, parent_task_id=parent_id)
                parents[parent_id] = None if place is None else (place.initiative_id,)
            above = parents[parent_id]
            if above is not None:
                _agree_below(row, *above)
        if isinstance(row["id"], str):
            parents[row["id"]] = (row.get("initiative_id"),)


def _agree(row: dict[str, Any], initiative_id: str | None) -> None:
    """Give a new row the initiative of its phase."""
    if row.get("initiative_id") is None:
        row["initiative_id"] = initiative_id
    elif initiative_id is not None and initiative_id != row["initiative_id"]:
        raise _misplaced(row)


def _agree_below(row: dict[str, Any], initiative_id: str | None) -> None:
    """Give a new row the initiative of its parent, if it has none by itself."""
    if row.get("initiative_id") is None:
        row["initiative_id"] = initiative_id
    elif isinstance(row["initiative_id"], str) and row["initiative_id"] != initiative_id:
        raise _elsewhere(row["parent_task_id"])


async def change(
    database: Database, id: str, changes: Mapping[str, Any], expected: object = None
) -> Task:
    """Change just the columns passed; what is claimed gets its status when the claim ends.

    One statement does it, or nothing; a look tells what stood in its way.
    """
    if "status" not in changes:
        return await TABLE.change(database, id, changes, expected)
    held = TABLE.expectation({} if expected is None else expected)
    names = tuple(dict.fromkeys((*held.names, UNCLAIMED)))
    while True:
        try:
            return await TABLE.patch_if(database, id, changes, Expected(names, held.values))
        except StaleStateError:
            holding = await find_holding(database, id)
            if holding is not None and holding.agent_id is not None:
                raise claimed_error(id, holding) from None
            if held.names:
                raise await TABLE.missed(database, id, held) from None
        # It was claimed, and is not any more.


async def move(database: Database, id: str, changes: Mapping[str, Any], expected: object) -> Task:
    """Change a task's place, its subtasks' along with it, in one's turn.

    Whoever creates a subtask meanwhile is waited for, or waits, only when the initiative changes:
    within it the subtask is right where it was asked for.
    """
    held = None if expected is None else TABLE.expectation(expected)
    if held is not None and not await database.first(_holding(held.names), id=id, **held.values):
        raise await TABLE.missed(database, id, held)
    before = await database.first(PLACE, id=id)
    if before is None:
        raise NotFoundError(tasks.name, id)
    after = replace(before, **{name: changes[name] for name in changes.keys() & PLACES})
    initiative_id = await _initiative_after(database, before, after, changes)
    changes = {**changes, "initiative_id": initiative_id}
    if (after.phase_id, initiative_id) == (before.phase_id, before.initiative_id):
        return await change(database, id, changes, expected)
    old = TABLE.expectation({"phase_id": before.phase_id})
    if initiative_id != before.initiative_id:
        await _hold(database, id)
        new = new_values({"initiative_id": initiative_id})
        stays = await database.first(_staying_elsewhere(old.names), id=id, **new, **old.values)
        if stays is not None:
            reason = f"its subtask {stays!r} is in a phase of another initiative"
            raise InvalidValueError(tasks.name, "initiative_id", initiative_id, reason)
    moved = await change(database, id, changes, expected)
    along = new_values({"phase_id": moved.phase_id, "initiative_id": initiative_id})
    await database.count(_moving_along(old.names), id=id, **along, **old.values)
    if initiative_id != before.initiative_id:
        await database.count(FOLLOW, id=id, **new_values({"initiative_id": initiative_id}))
    return moved


async def _initiative_after(
    database: Database, before: Place, after: Place, changes: Mapping[str, Any]
) -> str | None:
    """Return the initiative that a moved task is of; raises InvalidValueError for two at once."""
    initiative_id = after.initiative_id
    if after.phase_id is not None:
        of_phase = await database.first(INITIATIVE_OF_PHASE, phase_id=after.phase_id)
        initiative_id = of_phase if initiative_id is None else initiative_id
        if of_phase is not None and of_phase != initiative_id:
            raise _misplaced(changes)
    if after.parent_task_id is not None:
        parent = await database.first(PLACE, id=after.parent_task_id)
        if parent is not None:
            initiative_id = parent.initiative_id if initiative_id is None else initiative_id
            is_new = after.parent_task_id != before.parent_task_id
            if parent.initiative_id != initiative_id and (
                is_new or initiative_id != before.initiative_id
            ):
                raise _elsewhere(after.parent_task_id)
    return initiative_id


async def _hold(database: Database, id: str) -> None:
    """Let nobody create a subtask, of any level, until the end of the transaction."""
    await database.first(HOLD, id=id)
    await hold_all(database, HOLD_SUBTASKS, id)


def _elsewhere(parent_id: object) -> InvalidValueError:
    reason = "belongs to another initiative"
    return InvalidValueError(tasks.name, "parent_task_id", parent_id, reason)


def _misplaced(values: Mapping[str, Any]) -> InvalidValueError:
    if "phase_id" in values:
        reason = "belongs to another initiative"
        return InvalidValueError(tasks.name, "phase_id", values["phase_id"], reason)
    reason = "is not the initiative of the task's phase"
    return InvalidValueError(tasks.name, "initiative_id", values["initiative_id"], reason)
