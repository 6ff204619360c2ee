"""Which tasks may be claimed, in which order, and why one may not: one predicate for all three.

Each requirement stands here once. A task is ready when all of them hold; it is explained by those
that do not. The constants among them are written into the SQL, as partial indexes are found by
constants alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple
from typing import cast as cast_type

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    bindparam,
    cast,
    false,
    func,
    literal_column,
    or_,
    select,
    type_coerce,
    union_all,
)

from cw_store.errors import InvalidValueError
from cw_store.repos.claims import (
    OPEN_PHASES,
    ReadyOptions,
)
from cw_store.repos.phases import PhaseStatus
from cw_store.repos.sql.rotation import Asked, is_any_available
from cw_store.repos.sql.task_places import TABLE
from cw_store.repos.tasks import Task
from cw_store.schema import (
    PRIORITY_RANK,
    agents,
    initiatives,
    phases,
    store_state,
    tasks,
)
from cw_store.statements.expressions import SHARED_NOW, IsAmong, Unindexed, exactly
from cw_store.statements.query import Query
from cw_store.types import Flag, Id, LargeNumber, OneOf, WholeNumber

TURN_OF_THE_REST = "dispatch_turn"
"""Where the turn of those tasks is kept that belong to no initiative, who take turns with those."""


class Filter(NamedTuple):
    """What is asked of a task besides: the shape of a query, without its values."""

    takes_account: bool
    is_account_given: bool
    is_initiative_given: bool
    phase_statuses: tuple[str, ...]
    categories: tuple[str, ...] | None

    @property
    def accounts(self) -> Asked:
        """Which accounts come into question."""
        return Asked(is_leased=True, is_given=self.is_account_given)


def filter_of(options: ReadyOptions, initiative_id: str | None = None) -> Filter:
    """Return the shape of what is asked for; raises InvalidValueError for an unknown status.

    An account that is given although none is to be taken is an InvalidValueError as well.
    """
    provider = options.get("provider", "claude")
    account_id = options.get("account_id")
    if provider is None and account_id is not None:
        raise InvalidValueError(
            "accounts", "id", account_id, "is given although no provider's account is to be taken"
        )
    categories = options.get("categories")
    return Filter(
        provider is not None,
        account_id is not None,
        initiative_id is not None,
        known_values(phases.c.status, options.get("phase_statuses", OPEN_PHASES)),
        None if categories is None else known_values(tasks.c.category, categories),
    )


def values_of(options: ReadyOptions, initiative_id: str | None = None) -> dict[str, Any]:
    """Return the values of the parameters that a query of this shape has."""
    given = {
        "provider": options.get("provider", "claude"),
        "account_id": options.get("account_id"),
        "initiative_id": initiative_id,
    }
    return {name: value for name, value in given.items() if value is not None}


def known_values(column: ColumnElement[Any], given: Iterable[object]) -> tuple[str, ...]:
    """Return the values that an enumerated column may have, sorted; raises InvalidValueError."""
    allowed = cast_type(OneOf, column.type).values
    values = sorted({str(value) for value in given})
    for value in values:
        if value not in allowed:
            reason = f"must be one of {', '.join(allowed)}"
            raise InvalidValueError(str(column.table), str(column.key), value, reason)
    return tuple(values)


# The requirements.

Requirements = dict[str, ColumnElement[bool]]
"""What has to hold, by the kind of the reason that says that it does not."""


def of_task(task: FromClause, asked: Filter) -> Requirements:
    """Return what a task itself has to fulfil."""
    holds: Requirements = {
        "status": task.c.status == exactly("pending"),
        "waits": task.c.open_dependencies == literal_column("0"),
        "not_before": task.c.not_before.is_(None) | (task.c.not_before <= SHARED_NOW),
    }
    if asked.categories is not None:
        holds["category"] = _any_of(task.c.category, asked.categories)
    return holds


def of_phase(phase: FromClause, asked: Filter) -> Requirements:
    """Return what the phase of a task has to fulfil.

    A completed phase waits for nobody, and what it would wait for is not counted.
    """
    waits_for_none: ColumnElement[bool] = phase.c.open_dependencies == literal_column("0")
    if "completed" in asked.phase_statuses:
        waits_for_none |= phase.c.status == exactly("completed")
    return {
        "phase": _any_of(Unindexed(phase.c.status), asked.phase_statuses),
        "phase_waits": waits_for_none,
    }


def of_initiative(initiative: FromClause) -> Requirements:
    """Return what the initiative of a task has to fulfil."""
    workers = agents.alias("workers")
    working = (
        select(func.count())
        .where(workers.c.initiative_id == initiative.c.id, workers.c.lease_expires_at.is_not(None))
        .scalar_subquery()
    )
    return {
        "inactive": initiative.c.status == exactly("active"),
        "full": initiative.c.max_agents.is_(None) | (initiative.c.max_agents > working),
    }


def of_account(asked: Filter) -> Requirements:
    """Return what there has to be of the provider's accounts."""
    return {"account": is_any_available(asked.accounts)} if asked.takes_account else {}


def _any_of(column: ColumnElement[Any], values: tuple[str, ...]) -> ColumnElement[bool]:
    return column.in_([exactly(value) for value in values]) if values else false()


def is_open(row: FromClause) -> ColumnElement[bool]:
    """Write out what the partial indexes hold, for whoever plans the query."""
    return row.c.status != exactly("completed")


def has_any_status(row: FromClause) -> ColumnElement[bool]:
    """Write out what always holds, and has SQLite take the index of an initiative's open rows.

    Without statistics it takes that for as good as the one of all its rows, unless one column more
    of it is asked for; and asked for certain statuses it takes that of a status in all initiatives.
    """
    return row.c.status > exactly("")


def rank(task: FromClause) -> ColumnElement[int]:
    """Return the place of a task's priority; the expression that the indexes hold."""
    name = getattr(task, "name", "tasks")
    return literal_column(PRIORITY_RANK.replace("priority", f"{name}.priority"), WholeNumber())


def order_in_phase(task: FromClause) -> tuple[ColumnElement[Any], ...]:
    """Return the order in which the tasks of a phase are taken."""
    return rank(task), task.c.order, task.c.seq


# Those that are ready.

head = tasks.alias("head")

one_turn = (
    select(cast(store_state.c.value, LargeNumber()))
    .where(store_state.c.name == exactly(TURN_OF_THE_REST))
    .scalar_subquery()
)


def _first_of(asked: Filter, *group: ColumnElement[bool]) -> Select[Any]:
    """Select the ids of a group's ready tasks in their order, at most `limit`."""
    return (
        select(head.c.id)
        .where(is_open(head), *of_task(head, asked).values(), *group)
        .order_by(*order_in_phase(head))
        .limit(bindparam("limit", type_=WholeNumber()))
    )


def _groups(asked: Filter, first: Callable[..., ColumnElement[bool]]) -> list[Select[Any, Any]]:
    """Select each group's first tasks: of a phase, of an initiative without, of neither."""
    of_any = [*of_initiative(initiatives).values(), *of_account(asked).values()]
    if asked.is_initiative_given:
        of_any.append(initiatives.c.id == bindparam("initiative_id", type_=Id()))
    turn = initiatives.c.dispatch_turn
    groups = [
        select(tasks.c.id, turn.label("turn"))
        .select_from(initiatives)
        .join(phases, phases.c.initiative_id == initiatives.c.id)
        .join(tasks, first(head.c.phase_id == phases.c.id))
        .where(*of_any, *of_phase(phases, asked).values()),
        select(tasks.c.id, turn.label("turn"))
        .select_from(initiatives)
        .join(tasks, first(head.c.phase_id.is_(None), head.c.initiative_id == initiatives.c.id))
        .where(*of_any),
    ]
    if "completed" not in asked.phase_statuses:
        groups[0] = groups[0].where(is_open(phases), has_any_status(phases))
    if not asked.is_initiative_given:
        of_none = first(head.c.phase_id.is_(None), head.c.initiative_id.is_(None))
        groups.append(
            select(tasks.c.id, one_turn.label("turn")).where(of_none, *of_account(asked).values())
        )
    return groups


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task that may be claimed, and what has to be locked for it."""

    id: str
    next_epoch: int
    """The epoch under which it is claimed."""
    phase_id: str | None
    initiative_id: str | None
    phase_status: PhaseStatus | None
    is_any_due: bool
    """Whether a lease has run out, be it of another task."""


lapsed = agents.alias("lapsed")

# The first of them, as whether there is one is found in any index of the live leases, and those of
# the others, and of whoever had one lately, would be read for it.
first_lapsed = (
    select(lapsed.c.id)
    .where(lapsed.c.lease_expires_at <= SHARED_NOW)
    .order_by(lapsed.c.lease_expires_at)
    .limit(literal_column("1"))
    .scalar_subquery()
)

candidate: list[ColumnElement[Any]] = [
    tasks.c.id,
    tasks.c.epoch + literal_column("1"),
    *[tasks.c.phase_id, tasks.c.initiative_id],
    phases.c.status,
    type_coerce(first_lapsed.is_not(None), Flag()),
]

CANDIDATE = Query(
    Candidate,
    select(*candidate)
    .select_from(tasks.outerjoin(phases, phases.c.id == tasks.c.phase_id))
    .where(tasks.c.id == bindparam("id")),
    tasks,
)


@cache
def next_ready(asked: Filter, passed: int) -> Query[Candidate]:
    """Return the query for the task that is to be claimed next, but for so many passed by.

    Their ids are the parameters `task_0` and so on.
    """
    others = [head.c.id != bindparam(f"task_{number}", type_=Id()) for number in range(passed)]

    def first(*group: ColumnElement[bool]) -> ColumnElement[bool]:
        ids = _first_of(asked, *group, *others).limit(literal_column("1"))
        return tasks.c.id == ids.scalar_subquery()

    return _in_order(Candidate, candidate, _groups(asked, first), literal_column("1"))


@cache
def next_ready_at_once(asked: Filter) -> Query[Candidate]:
    """Return the same, which finds nothing while a lease has run out that is to be recovered."""
    found = cast_type(Select[Any], next_ready(asked, 0).statement)
    return Query(Candidate, found.where(first_lapsed.is_(None)), tasks)


@cache
def all_ready(asked: Filter) -> Query[Task]:
    """Return the query for the tasks that are ready, in the order of their turns; `limit` of them.

    No more of each group are looked at.
    """

    def first(*group: ColumnElement[bool]) -> ColumnElement[bool]:
        return IsAmong(tasks.c.id, _first_of(asked, *group))

    limit = bindparam("limit", type_=WholeNumber())
    return _in_order(Task, TABLE.columns, _groups(asked, first), limit)


def _in_order(
    record: type[Any],
    columns: Sequence[ColumnElement[Any]],
    groups: list[Select[Any, Any]],
    limit: ColumnElement[int],
) -> Query[Any]:
    heads = union_all(*groups).subquery("heads")
    statement = (
        select(*columns)
        .select_from(heads)
        .join(tasks, tasks.c.id == heads.c.id)
        .outerjoin(phases, phases.c.id == tasks.c.phase_id)
        .order_by(heads.c.turn.nulls_first(), *order_in_phase(tasks))
        .limit(limit)
    )
    return Query(record, statement, tasks)


# One of them.


def of_its_place(asked: Filter) -> Requirements:
    """Return all that `tasks`, with its phase and its initiative if it has them, has to fulfil."""
    without = {"phase": tasks.c.phase_id, "initiative": tasks.c.initiative_id}
    holds = of_task(tasks, asked)
    for reference, requirements in (
        (without["phase"], of_phase(phases, asked)),
        (without["initiative"], of_initiative(initiatives)),
    ):
        for kind, requirement in requirements.items():
            holds[kind] = or_(reference.is_(None), requirement)
    return {**holds, **of_account(asked)}


in_its_place = tasks.outerjoin(phases, phases.c.id == tasks.c.phase_id).outerjoin(
    initiatives, initiatives.c.id == tasks.c.initiative_id
)

is_it = tasks.c.id == bindparam("id", type_=Id())


def one_ready(
    columns: Sequence[ColumnElement[Any]], asked: Filter, *which: ColumnElement[bool]
) -> Select[Any]:
    """Select a task if it is ready; nobody else may claim or change it then.

    One that somebody else is changing is passed by.
    """
    return (
        select(*columns)
        .select_from(in_its_place)
        .where(*which, is_open(tasks), *of_its_place(asked).values())
        .with_for_update(key_share=True, skip_locked=True, of=tasks)
    )


@cache
def still_ready(asked: Filter) -> Query[Candidate]:
    """Return the query for one task if it is ready."""
    return Query(Candidate, one_ready(candidate, asked, is_it), tasks, locks=True)
