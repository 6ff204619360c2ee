"""How a claim ends: completed, failed, released, revoked; as procedures.

Each begins with the statement that takes the task away from the claim's agent, if it still has it;
everything else follows only then. A row that cannot be read is told of when all is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias, TypeVar

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    null,
    select,
    update,
)
from sqlalchemy.sql import Update

from cw_store.errors import NotFoundError, StoreError, UnreadableError
from cw_store.repos.agents import Agent
from cw_store.repos.claims import Claim, Finished
from cw_store.repos.initiatives import Initiative
from cw_store.repos.phases import Phase
from cw_store.repos.sql.fence import Standing, claim_values, is_held, lost
from cw_store.repos.sql.initiatives import TABLE as INITIATIVES
from cw_store.repos.sql.phases import TABLE as PHASES
from cw_store.repos.sql.recovering import CRASH, retried
from cw_store.repos.sql.task_places import TABLE as TASKS
from cw_store.repos.tasks import Task
from cw_store.schema import agents, initiatives, phases, tasks
from cw_store.statements.expressions import PRESENT, SHARED_NOW, LaterBy, exactly, later_than
from cw_store.statements.procedure import Procedure, row
from cw_store.statements.query import NEW_VALUE, Query, new_values
from cw_store.types import Id, WholeNumber

R = TypeVar("R")

Ended: TypeAlias = Procedure[Finished | StoreError]

Moved: TypeAlias = R | UnreadableError | None
"""A row after it was moved on, why it cannot be read then, or None if it was not moved."""


def _changed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return bindparam(f"{NEW_VALUE}{column.key}", type_=column.type)


def _ending(**values: ColumnElement[Any]) -> Update:
    return update(tasks).values(
        **values, claimed_by_agent_id=null(), updated_at=later_than(tasks.c.updated_at)
    )


stop = update(agents).values(
    status=exactly("stopped"),
    lease_expires_at=null(),
    result=func.coalesce(_changed(agents.c.result), agents.c.result),
    exit_code=func.coalesce(_changed(agents.c.exit_code), agents.c.exit_code),
    updated_at=later_than(agents.c.updated_at),
)

STOP = Query(str, stop.where(agents.c.id == bindparam("id")).returning(agents.c.id), agents)


class Ending(NamedTuple):
    """One way for a claim to end: for the task alone, and in one statement with its agent."""

    of_task: Query[Task]
    of_both: Query[Task]


def _ways(ending: Update) -> Ending:
    held = ending.where(is_held()).returning(*TASKS.columns)
    ended = held.cte("ended")
    stopped = (
        stop.where(
            agents.c.id == bindparam("claim_agent_id", type_=Id()), exists(select(ended.c.id))
        )
        .returning(agents.c.id)
        .cte("stopped")
    )
    both: Select[Any] = select(ended).add_cte(stopped)
    return Ending(Query(Task, held, tasks), Query(Task, both, tasks, agents, locks=True))


COMPLETE = _ways(
    _ending(
        status=exactly("completed"),
        summary=func.coalesce(_changed(tasks.c.summary), tasks.c.summary),
    )
)

RELEASE = _ways(_ending(status=exactly("pending"), not_before=_changed(tasks.c.not_before)))

BACK_OFF = 10
"""Seconds until a task is tried again that has failed for the first time."""

DOUBLINGS = 7
"""So often the time is doubled before it is a quarter of an hour."""

LONGEST_BACK_OFF = 15 * 60

first_back_off: ColumnElement[int] = literal_column(str(BACK_OFF), WholeNumber())
longest_back_off: ColumnElement[int] = literal_column(str(LONGEST_BACK_OFF), WholeNumber())

back_off = case(
    (tasks.c.retry_count >= DOUBLINGS, longest_back_off),
    else_=first_back_off.bitwise_lshift(tasks.c.retry_count),
)

# How long to wait: microseconds for each second of the back-off, which chance makes more or less
# than a million; or all of it, where the caller says how long.
pause = case(
    (bindparam("pause", type_=BigInteger()) >= 0, bindparam("pause", type_=BigInteger())),
    else_=back_off * bindparam("spread", type_=BigInteger()),
)

try_again = retried(tasks.c.retry_count)

FAIL = _ways(
    _ending(
        **try_again,
        not_before=case(
            (tasks.c.retry_count >= tasks.c.max_retries, null()),
            else_=LaterBy(SHARED_NOW, pause),
        ),
    )
)

BLOCK = _ways(_ending(retry_count=try_again["retry_count"], status=exactly("blocked")))

STANDING = Query(
    Standing,
    select(*[tasks.c.phase_id, tasks.c.initiative_id]).where(tasks.c.id == bindparam("id")),
    tasks,
)

held_task = (
    select(tasks.c.phase_id, tasks.c.initiative_id)
    .where(is_held())
    .with_for_update(key_share=True)
    .cte("held_task")
)
held_initiative = (
    select(initiatives.c.id)
    .where(initiatives.c.id == select(held_task.c.initiative_id).scalar_subquery())
    .with_for_update(key_share=True)
    .cte("held_initiative")
)
held_phase = (
    select(phases.c.id)
    .where(
        phases.c.id == select(held_task.c.phase_id).scalar_subquery(),
        select(func.count()).select_from(held_initiative).scalar_subquery() >= literal_column("0"),
    )
    .with_for_update(key_share=True)
    .cte("held_phase")
)

# Each is locked before the next is looked at: the claimed task, its initiative, its phase.
FENCE_IN_PLACE = Query(
    Standing,
    select(*[held_task.c.phase_id, held_task.c.initiative_id]).where(
        select(func.count()).select_from(held_phase).scalar_subquery() >= literal_column("0")
    ),
    tasks,
    locks=True,
)


def _one_open(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Select one of the tasks that are open.

    Without an order PostgreSQL would rather walk over all that are completed, as it takes a good
    part of them for open.
    """
    return (
        select(PRESENT)
        .select_from(tasks)
        .where(tasks.c.status != exactly("completed"), *conditions)
        .order_by(tasks.c.status, tasks.c.open_dependencies)
        .limit(literal_column("1"))
    )


OPEN_IN_PHASE = Query(int, _one_open(tasks.c.phase_id == bindparam("id", type_=Id())), tasks)

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
        _one_open(tasks.c.initiative_id == bindparam("id", type_=Id()), tasks.c.phase_id.is_(None)),
        tasks,
    ),
    Query(
        int,
        select(PRESENT)
        .select_from(phases)
        .where(
            of_initiative,
            _one_open(tasks.c.phase_id == phases.c.id).scalar_subquery().is_not(None),
        )
        .limit(literal_column("1")),
        phases,
    ),
)
"""Whether a phase is open, a task without one, a task in one that is not."""

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


def complete(
    claim: Claim,
    *,
    summary: str | None,
    of_agent: Mapping[str, Any],
    phase_status: str | None,
    initiative_status: str | None,
    side_by_side: bool,
) -> Ended:
    """Complete the task, and move on what this was the last task of."""
    if side_by_side:
        if (yield from row(FENCE_IN_PLACE, **claim_values(claim))) is None:
            return (yield from lost(claim))
    values = new_values({"summary": summary})
    task, place = yield from _take_away(COMPLETE, claim, of_agent, side_by_side, **values)
    if place is None or task is None:
        return (yield from lost(claim))
    phase, initiative = yield from _move_on(place, phase_status, initiative_status)
    if isinstance(task, UnreadableError):
        return task
    if isinstance(phase, UnreadableError):
        return phase
    if isinstance(initiative, UnreadableError):
        return initiative
    return Finished(task, phase, initiative)


def fail(
    claim: Claim,
    *,
    of_agent: Mapping[str, Any],
    pause: int | None,
    spread: int,
    block: bool,
    side_by_side: bool,
) -> Ended:
    """Have the task tried again after a pause, in microseconds, or block it."""
    if block:
        return (yield from _end(BLOCK, claim, of_agent, side_by_side))
    given = -1 if pause is None else pause
    return (yield from _end(FAIL, claim, of_agent, side_by_side, pause=given, spread=spread))


def release(claim: Claim, *, not_before: datetime | None, side_by_side: bool) -> Ended:
    """Give the task back."""
    of_agent = new_values({"result": None, "exit_code": None})
    values = new_values({"not_before": not_before})
    return (yield from _end(RELEASE, claim, of_agent, side_by_side, **values))


def _end(
    ending: Ending, claim: Claim, of_agent: Mapping[str, Any], side_by_side: bool, **values: Any
) -> Ended:
    task, place = yield from _take_away(ending, claim, of_agent, side_by_side, **values)
    if place is None or task is None:
        return (yield from lost(claim))
    return Finished(task, None, None) if isinstance(task, Task) else task


def _take_away(
    ending: Ending, claim: Claim, of_agent: Mapping[str, Any], side_by_side: bool, **values: Any
) -> Procedure[tuple[Task | UnreadableError | None, Standing | None]]:
    """End the claim; return the task, and where it stands, None if it is not held any more.

    What is far away is told of task and agent in one message.
    """
    task: Task | UnreadableError | None
    given = {**claim_values(claim), **values}
    try:
        if side_by_side:
            task = yield from row(ending.of_both, **given, **of_agent)
        else:
            task = yield from row(ending.of_task, **given)
    except UnreadableError as error:
        task = error
    if task is None:
        return None, None
    if not side_by_side:
        yield from row(STOP, id=claim.agent.id, **of_agent)
    if isinstance(task, Task):
        return task, Standing(task.phase_id, task.initiative_id)
    return task, (yield from row(STANDING, id=claim.task.id))


def _move_on(
    place: Standing, phase_status: str | None, initiative_status: str | None
) -> Procedure[tuple[Moved[Phase], Moved[Initiative]]]:
    """Move the phase and the initiative on, if nothing in them is open any more."""
    phase: Moved[Phase] = None
    if place.phase_id is not None:
        if (yield from row(OPEN_IN_PHASE, id=place.phase_id)) is not None:
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


# For people.


@dataclass(frozen=True, slots=True)
class Held:
    """A task, and the agent that has it, if any has."""

    agent_id: str | None


HELD = Query(
    Held,
    select(*[tasks.c.claimed_by_agent_id])
    .where(tasks.c.id == bindparam("id"))
    .with_for_update(key_share=True),
    tasks,
    locks=True,
)

REVOKE = Query(
    str,
    _ending(status=_changed(tasks.c.status), epoch=tasks.c.epoch + 1)
    .where(tasks.c.id == bindparam("id"))
    .returning(tasks.c.id),
    tasks,
)


def revoke(task_id: str, status: str) -> Procedure[Agent | StoreError | None]:
    """Take the task from whoever has it, and return the agent that had it."""
    held = yield from row(HELD, id=task_id)
    if held is None:
        return NotFoundError(tasks.name, task_id)
    if held.agent_id is None:
        return None
    yield from row(REVOKE, id=task_id, **new_values({"status": status}))
    try:
        return (yield from row(CRASH, id=held.agent_id))
    except UnreadableError as error:
        return error
