"""What claims a task where others write meanwhile: locks, and as few messages as can be.

What was decided on is locked first and then looked at again, in a statement of its own, as one that
waited for a lock has an old view of everything else. So initiative and phase are locked in one
message, and all that a task needs to be ready is looked at in the next, which locks the task.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    bindparam,
    cast,
    exists,
    func,
    literal_column,
    null,
    select,
    union_all,
    update,
)
from sqlalchemy.sql import Update

from cw_store.repos.accounts import Account
from cw_store.repos.agents import Agent
from cw_store.repos.sql.agent_names import FREE_NAME
from cw_store.repos.sql.agents import TABLE as AGENTS
from cw_store.repos.sql.readiness import TURN_OF_THE_REST, Filter, one_ready
from cw_store.repos.sql.rotation import Asked, unchanged
from cw_store.repos.sql.table import STAMPED
from cw_store.repos.sql.task_places import TABLE as TASKS
from cw_store.repos.tasks import Task
from cw_store.schema import accounts, agents, initiatives, phases, store_state, tasks
from cw_store.statements.expressions import (
    PRESENT,
    SHARED_NOW,
    LaterBy,
    exactly,
    insert_unless,
    later_than,
)
from cw_store.statements.query import NEW_VALUE, PairQuery, Query
from cw_store.types import Id, LargeNumber

LEASE_UNTIL = LaterBy(SHARED_NOW, bindparam("lease", type_=BigInteger()))

NEW_AGENT = {**AGENTS.new_row, "name": FREE_NAME, "lease_expires_at": LEASE_UNTIL}
"""The columns of an agent with a lease and a free name, and what they are given."""


active = initiatives.alias("active")

turns = union_all(
    select(active.c.dispatch_turn.label("turn")).where(active.c.status == exactly("active")),
    select(cast(store_state.c.value, LargeNumber())).where(
        store_state.c.name == exactly(TURN_OF_THE_REST)
    ),
).subquery("turns")

# Behind the turns of all that are active, and of what belongs to none of them.
last_turn = select(
    func.coalesce(func.max(turns.c.turn), literal_column("0")) + literal_column("1")
).scalar_subquery()

end_turn = update(initiatives).values(dispatch_turn=last_turn)


# As it stands when it is locked, whatever it was when the task was found.
begin_phase = update(phases).values(
    status=exactly("in_progress"), updated_at=later_than(phases.c.updated_at)
)


def held_by(agent_id: ColumnElement[str]) -> Update:
    """Return the UPDATE that gives a task to an agent."""
    return update(tasks).values(
        status=exactly("in_progress"),
        claimed_by_agent_id=agent_id,
        epoch=tasks.c.epoch + literal_column("1"),
        not_before=null(),
        updated_at=later_than(tasks.c.updated_at),
    )


class Place(NamedTuple):
    """Where a task stands: what has to be locked, in this order."""

    has_initiative: bool
    has_phase: bool


def _held(place: Place) -> FromClause | None:
    """Return what locks the place; its parameters are `initiative_id` and `phase_id`.

    Each is locked before the next is looked at.
    """
    held = None
    if place.has_initiative:
        held = (
            select(initiatives.c.id)
            .where(initiatives.c.id == bindparam("initiative_id", type_=Id()))
            .with_for_update(key_share=True)
            .cte("held_initiative")
        )
    if place.has_phase:
        phase = select(phases.c.id).where(phases.c.id == bindparam("phase_id", type_=Id()))
        if held is not None:
            phase = phase.where(_is_locked(held))
        held = phase.with_for_update(key_share=True).cte("held_phase")
    return held


def _is_locked(held: FromClause) -> ColumnElement[bool]:
    """Return what is always true, but for the answer to which all of `held` has to be locked."""
    return select(func.count()).select_from(held).scalar_subquery() >= literal_column("0")


@cache
def lock_place(place: Place) -> Query[int] | None:
    """Return what lets nobody else decide about a place until the end; None if there is none."""
    held = _held(place)
    if held is None:
        return None
    locked = select(PRESENT).where(_is_locked(held))
    return Query(int, locked, phases if place.has_phase else initiatives, locks=True)


@cache
def use_in_place(place: Place, asked: Asked) -> Query[Account]:
    """Return what locks the place, and then claims the first account in line.

    The accounts are looked at before what is waited for. That is right as whoever takes a lease
    of the provider's accounts has its turn, so that there can only be more room by then.
    """
    held = _held(place)
    use = unchanged(asked)
    return Query(Account, use if held is None else use.where(_is_locked(held)), accounts)


def _given(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return bindparam(f"{NEW_VALUE}{column.key}", type_=column.type)


new_agent = {
    **{
        name: _given(agents.c[name])
        for name in (
            *("id", "task_id", "initiative_id", "worktree_id", "account_id"),
            *("provider", "status", "mode", "holder", "epoch"),
        )
    },
    **{name: NEW_AGENT[name] for name in ("name", "lease_expires_at", *STAMPED)},
}


@cache
def hold_in_place(asked: Filter, place: Place) -> PairQuery[Agent, Task]:
    """Return what locks a task if it is ready, stores its agent, gives it to that, and both back.

    The task is where `changed_initiative_id` and `phase_id` say, and nobody has had it since it was
    found. One that somebody else is changing is passed by. The account has been taken. The turn of
    the task's initiative ends, and its phase is begun, if it has them.
    """
    is_it = (
        tasks.c.id == new_agent["task_id"],
        tasks.c.epoch + literal_column("1") == new_agent["epoch"],
        tasks.c.phase_id.is_not_distinct_from(_given(tasks.c.phase_id)),
        tasks.c.initiative_id.is_not_distinct_from(new_agent["initiative_id"]),
    )
    ready = one_ready([tasks.c.id], asked._replace(takes_account=False), *is_it).cte("ready")
    begun = (
        insert_unless(agents)
        .from_select(list(new_agent), select(*new_agent.values()).select_from(ready))
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(*AGENTS.columns)
        .cte("begun")
    )
    held = (
        held_by(begun.c.id)
        .where(tasks.c.id == begun.c.task_id)
        .returning(*TASKS.columns)
        .cte("held")
    )
    rows = begun.join(held, held.c.id == begun.c.task_id)
    columns: list[ColumnElement[Any]] = [*begun.c, *held.c]
    both = select(*columns).select_from(rows)
    if place.has_initiative:
        turn = end_turn.where(
            initiatives.c.id == new_agent["initiative_id"], exists(select(begun.c.id))
        )
        both = both.add_cte(turn.returning(initiatives.c.id).cte("turned"))
    if place.has_phase:
        phase = begin_phase.where(
            phases.c.id == _given(tasks.c.phase_id),
            phases.c.status != exactly("in_progress"),
            exists(select(begun.c.id)),
        )
        both = both.add_cte(phase.returning(phases.c.id).cte("begun_phase"))
    return PairQuery((Agent, Task), both, agents, tasks, locks=True)
