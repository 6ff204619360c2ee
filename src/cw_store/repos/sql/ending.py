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
    CTE,
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
    type_coerce,
    update,
)
from sqlalchemy.sql import Update
from sqlalchemy.sql.dml import ReturningUpdate

from cw_store.errors import NotFoundError, StoreError, UnreadableError
from cw_store.repos.agents import Agent
from cw_store.repos.claims import Claim, Finished
from cw_store.repos.sql.closing import move_on, one_open
from cw_store.repos.sql.fence import ClaimedPlace, claim_values, is_held, lost
from cw_store.repos.sql.recovering import CRASH, retried
from cw_store.repos.sql.task_places import TABLE as TASKS
from cw_store.repos.tasks import Task
from cw_store.schema import agents, initiatives, phases, tasks
from cw_store.statements.expressions import SHARED_NOW, LaterBy, exactly, later_than
from cw_store.statements.procedure import Procedure, row
from cw_store.statements.query import NEW_VALUE, PairQuery, Query, new_values
from cw_store.types import Flag, Id, WholeNumber

R = TypeVar("R")

Ended: TypeAlias = Procedure[Finished | StoreError]


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


class Taken(NamedTuple):
    """A task that was taken from its agent, or why it cannot be read, and where it stands."""

    task: Task | UnreadableError
    place: ClaimedPlace
    is_one_left: bool | None = None
    """Whether a task of its phase is open, where that was looked at."""


class Ending(NamedTuple):
    """One way for a claim to end: for the task alone, and in one statement with its agent."""

    of_task: Query[Task]
    of_both: Query[Task]


def _of_task(ending: Update) -> ReturningUpdate[Any]:
    return ending.where(is_held()).returning(*TASKS.columns)


def of_both(ended: CTE) -> Select[Any]:
    """Return the task that has ended, and stop the claim's agent."""
    stopped = (
        stop.where(
            agents.c.id == bindparam("claim_agent_id", type_=Id()), exists(select(ended.c.id))
        )
        .returning(agents.c.id)
        .cte("stopped")
    )
    return select(ended).add_cte(stopped)


def _ways(ending: Update) -> Ending:
    of_task = _of_task(ending)
    both = of_both(of_task.cte("ended"))
    return Ending(Query(Task, of_task, tasks), Query(Task, both, tasks, agents, locks=True))


completed = _of_task(
    _ending(
        status=exactly("completed"),
        summary=func.coalesce(_changed(tasks.c.summary), tasks.c.summary),
    )
)

COMPLETE = Query(Task, completed, tasks)

ended = completed.cte("ended")

rest = tasks.alias("rest")

# This statement sees its own task as it was before.
one_left = one_open(rest, rest.c.phase_id == ended.c.phase_id, rest.c.id != ended.c.id)

COMPLETE_IN_PLACE = PairQuery(
    (Task, bool),
    of_both(ended).add_columns(
        type_coerce(one_left.correlate(ended).scalar_subquery().is_not(None), Flag())
    ),
    tasks,
    agents,
    locks=True,
)
"""The task, and whether one of its phase is left open; the phase has been locked."""

RELEASE = _ways(_ending(status=exactly("pending"), not_before=_changed(tasks.c.not_before)))

BACK_OFF = 10
"""Seconds until a task is tried again that has failed for the first time."""

DOUBLINGS = 7
"""So often the time is doubled before it is a quarter of an hour."""

LONGEST_BACK_OFF = 15 * 60

first_back_off: ColumnElement[int] = literal_column(str(BACK_OFF), WholeNumber())
longest_back_off: ColumnElement[int] = literal_column(str(LONGEST_BACK_OFF), WholeNumber())

# A number below 0 gives further tries, and is no number of places to shift by.
back_off = case(
    (tasks.c.retry_count >= DOUBLINGS, longest_back_off),
    (tasks.c.retry_count <= 0, first_back_off),
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

CLAIMED_PLACE = Query(
    ClaimedPlace,
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
    ClaimedPlace,
    select(*[held_task.c.phase_id, held_task.c.initiative_id]).where(
        select(func.count()).select_from(held_phase).scalar_subquery() >= literal_column("0")
    ),
    tasks,
    locks=True,
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
    values = {**claim_values(claim), **new_values({"summary": summary})}
    if side_by_side:
        taken = yield from _complete_in_place(claim, {**values, **of_agent})
    else:
        taken = yield from _take_away(claim, row(COMPLETE, **values), of_agent)
    if taken is None:
        return (yield from lost(claim))
    task, place, is_one_left = taken
    phase, initiative = yield from move_on(place, is_one_left, phase_status, initiative_status)
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
    given = {**claim_values(claim), **values}
    if side_by_side:
        taken = yield from _take_away(claim, row(ending.of_both, **given, **of_agent))
    else:
        taken = yield from _take_away(claim, row(ending.of_task, **given), of_agent)
    if taken is None:
        return (yield from lost(claim))
    return Finished(taken.task, None, None) if isinstance(taken.task, Task) else taken.task


def _complete_in_place(claim: Claim, values: Mapping[str, Any]) -> Procedure[Taken | None]:
    """Complete the task behind the locks of its place; what is far away is told in one message."""
    if (yield from row(FENCE_IN_PLACE, **claim_values(claim))) is None:
        return None
    left: list[bool] = []

    def task_of_pair() -> Procedure[Task | None]:
        pair = yield from row(COMPLETE_IN_PLACE, **values)
        if pair is None:
            return None
        task, is_one_left = pair
        left.append(is_one_left)
        return task

    taken = yield from _take_away(claim, task_of_pair())
    return taken._replace(is_one_left=left[0]) if taken is not None and left else taken


def _take_away(
    claim: Claim, ending: Procedure[Task | None], of_agent: Mapping[str, Any] | None = None
) -> Procedure[Taken | None]:
    """End the claim, and stop its agent if values of it are given; None if it is not held."""
    task: Task | UnreadableError | None
    try:
        task = yield from ending
    except UnreadableError as error:
        task = error
    if task is None:
        return None
    if of_agent is not None:
        yield from row(STOP, id=claim.agent.id, **of_agent)
    if isinstance(task, Task):
        return Taken(task, ClaimedPlace(task.phase_id, task.initiative_id))
    place = yield from row(CLAIMED_PLACE, id=claim.task.id)
    assert place is not None, "the task was changed in this transaction"
    return Taken(task, place)


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
