"""What claims a task where others write meanwhile: locks, and as few messages as can be.

What was decided on is locked first and then looked at again, in a statement of its own, as one that
waited for a lock has an old view of everything else. So initiative and phase are locked in one
message, and all that a task needs to be ready is looked at in the next, which locks the task.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    bindparam,
    func,
    literal_column,
    select,
)

from cw_store.repos.accounts import Account
from cw_store.repos.agents import Agent
from cw_store.repos.sql.agent_names import FREE_NAME
from cw_store.repos.sql.agents import TABLE as AGENTS
from cw_store.repos.sql.readiness import Filter, one_ready
from cw_store.repos.sql.rotation import Asked, unchanged
from cw_store.schema import accounts, agents, initiatives, phases, tasks
from cw_store.statements.expressions import SHARED_NOW, LaterBy, insert_unless
from cw_store.statements.query import Query
from cw_store.types import Id

LEASE_UNTIL = LaterBy(SHARED_NOW, bindparam("lease", type_=BigInteger()))

NEW_AGENT = {**AGENTS.new_row, "name": FREE_NAME, "lease_expires_at": LEASE_UNTIL}
"""The columns of an agent with a lease and a free name, and what they are given."""


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
def lock_place(place: Place) -> Query[str] | None:
    """Return what lets nobody else decide about a place until the end; None if there is none."""
    held = _held(place)
    if held is None:
        return None
    return Query(str, select(held.c.id), phases if place.has_phase else initiatives, locks=True)


@cache
def use_in_place(place: Place, asked: Asked) -> Query[Account]:
    """Return what locks the place, and then claims the first account in line.

    The accounts are looked at before what is waited for. That is right as whoever takes a lease
    of the provider's accounts has its turn, so that there can only be more room by then.
    """
    held = _held(place)
    use = unchanged(asked)
    return Query(Account, use if held is None else use.where(_is_locked(held)), accounts)


@cache
def begin_agent(asked: Filter) -> Query[Agent]:
    """Return what locks the task of the new agent if it is ready there, and stores the agent.

    The task is where `phase_id` and `initiative_id` say, and nobody has had it since it was found.
    One that somebody else is changing is passed by. The account has been taken.
    """
    is_it = (
        tasks.c.id == bindparam("task_id", type_=Id()),
        tasks.c.epoch + literal_column("1") == bindparam("epoch", type_=agents.c.epoch.type),
        tasks.c.phase_id.is_not_distinct_from(bindparam("phase_id", type_=Id())),
        tasks.c.initiative_id.is_not_distinct_from(bindparam("initiative_id", type_=Id())),
    )
    ready = one_ready([tasks.c.id], asked._replace(takes_account=False), *is_it).subquery("ready")
    return Query(
        Agent,
        insert_unless(agents)
        .from_select(list(NEW_AGENT), select(*NEW_AGENT.values()).select_from(ready))
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(*AGENTS.columns),
        agents,
        tasks,
    )
