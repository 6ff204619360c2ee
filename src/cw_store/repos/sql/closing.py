"""What a phase and an initiative become when nothing in them is open any more."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    bindparam,
    literal_column,
    select,
)

from cw_store.errors import UnreadableError
from cw_store.repos.initiatives import Initiative
from cw_store.repos.phases import Phase
from cw_store.repos.sql.fence import ClaimedPlace
from cw_store.repos.sql.initiatives import TABLE as INITIATIVES
from cw_store.repos.sql.phases import TABLE as PHASES
from cw_store.schema import initiatives, phases, tasks
from cw_store.statements.expressions import PRESENT, exactly
from cw_store.statements.procedure import Procedure, row
from cw_store.statements.query import NEW_VALUE, Query, new_values
from cw_store.types import Id

R = TypeVar("R")

Moved: TypeAlias = R | UnreadableError | None
"""A row after it was moved on, why it cannot be read then, or None if it was not moved."""


def one_open(task: FromClause, *conditions: ColumnElement[bool]) -> Select[Any]:
    """Select one of the tasks that are open.

    Without an order PostgreSQL would rather walk over all that are completed, as it takes a good
    part of them for open.
    """
    return (
        select(PRESENT)
        .select_from(task)
        .where(task.c.status != exactly("completed"), *conditions)
        .order_by(task.c.status, task.c.open_dependencies)
        .limit(literal_column("1"))
    )


OPEN_IN_PHASE = Query(int, one_open(tasks, tasks.c.phase_id == bindparam("id", type_=Id())), tasks)

of_initiative = phases.c.initiative_id == bindparam("id", type_=Id())

OPEN_IN_INITIATIVE = (
    Query(
        int,
        select(PRESENT)
        .select_from(phases)
        .where(of_initiative, phases.c.status != exactly("completed"))
        .order_by(phases.c.status)
        .limit(literal_column("1")),
        phases,
    ),
    Query(
        int,
        one_open(
            tasks, tasks.c.initiative_id == bindparam("id", type_=Id()), tasks.c.phase_id.is_(None)
        ),
        tasks,
    ),
    Query(
        int,
        select(PRESENT)
        .select_from(phases)
        .where(
            of_initiative,
            one_open(tasks, tasks.c.phase_id == phases.c.id).scalar_subquery().is_not(None),
        )
        .limit(literal_column("1")),
        phases,
    ),
)
"""Whether a phase is open, a task without one, a task in one that is not."""


def _changed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return bindparam(f"{NEW_VALUE}{column.key}", type_=column.type)


MOVE_PHASE = PHASES.returning(
    PHASES.setting(["status"]).where(
        phases.c.id == bindparam("id"), phases.c.status != _changed(phases.c.status)
    )
)

MOVE_INITIATIVE = INITIATIVES.returning(
    INITIATIVES.setting(["status"]).where(
        initiatives.c.id == bindparam("id"),
        initiatives.c.status == exactly("active"),
        initiatives.c.status != _changed(initiatives.c.status),
    )
)


def move_on(
    place: ClaimedPlace,
    is_one_left: bool | None,
    phase_status: str | None,
    initiative_status: str | None,
) -> Procedure[tuple[Moved[Phase], Moved[Initiative]]]:
    """Move the phase and the initiative on, if nothing in them is open any more."""
    phase: Moved[Phase] = None
    if place.phase_id is not None:
        if is_one_left is None:
            is_one_left = (yield from row(OPEN_IN_PHASE, id=place.phase_id)) is not None
        if is_one_left:
            return None, None
        if phase_status is not None:
            phase = yield from _move(MOVE_PHASE, place.phase_id, phase_status)
    if place.initiative_id is None or initiative_status is None:
        return phase, None
    for one_open in OPEN_IN_INITIATIVE:
        if (yield from row(one_open, id=place.initiative_id)) is not None:
            return phase, None
    return phase, (yield from _move(MOVE_INITIATIVE, place.initiative_id, initiative_status))


def _move(query: Query[R], id: str, status: str) -> Procedure[Moved[R]]:
    try:
        return (yield from row(query, id=id, **new_values({"status": status})))
    except UnreadableError as error:
        return error
