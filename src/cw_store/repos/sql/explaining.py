"""Why a task cannot be claimed: each requirement that does not hold, as a reason.

It is one statement, so that all that is told was so at the same moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    FromClause,
    bindparam,
    case,
    cast,
    literal_column,
    null,
    select,
    union_all,
)

from cw_store.errors import StaleStateError
from cw_store.repos.readiness import (
    Claimed,
    InitiativeFull,
    InitiativeInactive,
    NoAccount,
    NotBefore,
    Obstacle,
    PhaseNotOpen,
    Reason,
    Standing,
    WaitsForPhase,
    WaitsForTask,
    WrongCategory,
    WrongStatus,
)
from cw_store.repos.sql.agents import described
from cw_store.repos.sql.readiness import (
    Filter,
    Requirements,
    in_its_place,
    is_it,
    is_open,
    of_its_place,
    order_in_phase,
)
from cw_store.schema import (
    agents,
    initiatives,
    phase_dependencies,
    phases,
    task_dependencies,
    tasks,
)
from cw_store.statements.query import Query
from cw_store.types import Id, LargeNumber, PlainText, UtcDateTime, WholeNumber


@dataclass(frozen=True, slots=True)
class Found:
    """One row of an explanation: that there is the task, or one reason."""

    kind: str
    id: str | None
    text: str | None
    holder: str | None
    number: int | None
    place: int | None
    at: datetime | None
    until: datetime | None


FOUND_TYPES = {
    "id": Id(),
    "text": PlainText(),
    "holder": PlainText(),
    "number": WholeNumber(),
    "place": LargeNumber(),
    "at": UtcDateTime(),
    "until": UtcDateTime(),
}


def _found(kind: str, source: FromClause, *where: ColumnElement[bool], **given: Any) -> Any:
    columns = [
        given[name].label(name) if name in given else cast(null(), type_).label(name)
        for name, type_ in FOUND_TYPES.items()
    ]
    return (
        select(literal_column(f"'{kind}'", PlainText()).label("kind"), *columns)
        .select_from(source)
        .where(is_it, *where)
    )


def _missing(asked: Filter) -> Requirements:
    """Return for each requirement that it does not hold.

    In these words: SQLite goes through a whole OR, with the count of agents behind it, for what is
    compared with 1, and only as far as it has to for what is asked to be true.
    """
    is_true = literal_column("TRUE", Boolean())
    return {kind: holds.is_not(is_true) for kind, holds in of_its_place(asked).items()}


@cache
def explanation(asked: Filter) -> Query[Found]:
    """Return the query for the reasons why a task is not ready, behind a row for the task itself.

    `provider` is a parameter of it where an account is taken.
    """
    missing = _missing(asked)
    other_tasks, other_phases = tasks.alias("other_tasks"), phases.alias("other_phases")
    is_claimed = tasks.c.claimed_by_agent_id.is_not(None)
    place = in_its_place
    found = [
        _found("task", tasks),
        _found("status", place, missing["status"], ~is_claimed, text=tasks.c.status),
        _found(
            "claimed",
            tasks.join(agents, agents.c.id == tasks.c.claimed_by_agent_id),
            id=agents.c.id,
            text=agents.c.name,
            holder=agents.c.holder,
            at=agents.c.created_at,
            until=agents.c.lease_expires_at,
        ),
        _found(
            "waits",
            place.join(task_dependencies, task_dependencies.c.task_id == tasks.c.id).join(
                other_tasks, other_tasks.c.id == task_dependencies.c.depends_on_task_id
            ),
            missing["waits"],
            # What nobody is to claim waits for nothing, and its number may be an old one.
            is_open(tasks),
            ~is_claimed,
            is_open(other_tasks),
            id=other_tasks.c.id,
            text=other_tasks.c.status,
            place=other_tasks.c.seq,
        ),
        _found("not_before", place, missing["not_before"], at=tasks.c.not_before),
        _found("phase", place, missing["phase"], id=phases.c.id, text=phases.c.status),
        _found(
            "phase_waits",
            place.join(phase_dependencies, phase_dependencies.c.phase_id == phases.c.id).join(
                other_phases, other_phases.c.id == phase_dependencies.c.depends_on_phase_id
            ),
            missing["phase_waits"],
            is_open(phases),
            is_open(other_phases),
            id=other_phases.c.id,
            text=other_phases.c.status,
            place=other_phases.c.seq,
        ),
        _found(
            "inactive", place, missing["inactive"], id=initiatives.c.id, text=initiatives.c.status
        ),
        _found(
            "full", place, missing["full"], id=initiatives.c.id, number=initiatives.c.max_agents
        ),
    ]
    if "category" in missing:
        found.append(_found("category", place, missing["category"], text=tasks.c.category))
    if "account" in missing:
        provider = bindparam("provider", type_=PlainText())
        found.append(_found("account", place, missing["account"], text=provider))
    everything = union_all(*found).subquery("everything")
    return Query(Found, select(*everything.c), tasks)


OBSTACLES: dict[str, Obstacle] = {
    "status": "wrong_status",
    "claimed": "claimed",
    "category": "wrong_category",
    "waits": "waits_for_task",
    "phase_waits": "waits_for_phase",
    "phase": "phase_not_open",
    "not_before": "not_before",
    "inactive": "initiative_inactive",
    "full": "initiative_full",
    "account": "no_account",
}
"""What the kinds of an explanation are called where there is no more to say, in their order."""


@cache
def standings(asked: Filter) -> Query[Standing]:
    """Return the query for what keeps each open task from being claimed, by the same requirements.

    `provider` is a parameter where an account is taken, `initiative_id` where that is given.
    """
    missing = _missing(asked)
    # As above: it is said once, by what is nearest.
    is_claimed = tasks.c.claimed_by_agent_id.is_not(None)
    missing["claimed"], missing["status"] = is_claimed, missing["status"] & ~is_claimed
    missing["phase_waits"] &= is_open(phases)
    first = case(
        *[
            (missing[kind], literal_column(f"'{name}'", PlainText()))
            for kind, name in OBSTACLES.items()
            if kind in missing
        ]
    )
    place = [tasks.c.id, tasks.c.phase_id, tasks.c.initiative_id, tasks.c.status]
    statement = select(*place, first).select_from(in_its_place).where(is_open(tasks))
    if asked.is_initiative_given:
        statement = statement.where(tasks.c.initiative_id == bindparam("initiative_id", type_=Id()))
    return Query(Standing, statement.order_by(*order_in_phase(tasks)), tasks)


REASONS: dict[str, Callable[[Any], Reason]] = {
    "status": lambda found: WrongStatus(found.text),
    "claimed": lambda found: Claimed(found.id, found.text, found.holder, found.at, found.until),
    "category": lambda found: WrongCategory(found.text),
    "waits": lambda found: WaitsForTask(found.id, found.text),
    "phase_waits": lambda found: WaitsForPhase(found.id, found.text),
    "phase": lambda found: PhaseNotOpen(found.id, found.text),
    "not_before": lambda found: NotBefore(found.at),
    "inactive": lambda found: InitiativeInactive(found.id, found.text),
    "full": lambda found: InitiativeFull(found.id, found.number),
    "account": lambda found: NoAccount(found.text),
}


def reasons(found: Iterable[Found]) -> tuple[Reason, ...]:
    """Return the reasons that the rows of an explanation are, in the order of REASONS.

    Of several that are waited for the oldest is first.
    """
    kinds = list(REASONS)
    missing = sorted(
        (one for one in found if one.kind != "task"),
        key=lambda one: (kinds.index(one.kind), one.place or 0),
    )
    return tuple(REASONS[one.kind](one) for one in missing)


def not_ready_error(task_id: str, why: Sequence[Reason]) -> StaleStateError:
    """Return the error for a task that was to be claimed and is not ready."""
    told = "; ".join(map(describe, why)) or "somebody is just changing it"
    return StaleStateError(tasks.name, task_id, f"task {task_id!r} cannot be claimed: {told}")


def describe(reason: Reason) -> str:
    """Say a reason in words."""
    match reason:
        case WrongStatus(status):
            return f"it is {status}"
        case Claimed(agent_id, name, holder, since):
            return f"{described(name, agent_id, holder)} has it since {since.isoformat()}"
        case WrongCategory(category):
            return f"its category is {category}"
        case WaitsForTask(id, status):
            return f"it waits for task {id!r}, which is {status}"
        case WaitsForPhase(id, status):
            return f"its phase waits for phase {id!r}, which is {status}"
        case PhaseNotOpen(id, status):
            return f"its phase {id!r} is {status}"
        case NotBefore(at):
            return f"it is not to be begun before {at.isoformat()}"
        case InitiativeInactive(id, status):
            return f"its initiative {id!r} is {status}"
        case InitiativeFull(id, max_agents):
            return f"its initiative {id!r} has all of its {max_agents} agents at work"
        case NoAccount(provider):
            return f"no account of {provider!r} is free"
