"""The claims that are held: renewed, listed, and when the first of them is over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    bindparam,
    exists,
    func,
    select,
    true,
    type_coerce,
    union_all,
    update,
)

from cw_store.repos.accounts import Account
from cw_store.repos.agents import Agent
from cw_store.repos.claims import Claim
from cw_store.repos.sql.agents import TABLE as AGENTS
from cw_store.repos.sql.fence import refuse_no_claim
from cw_store.repos.sql.listings import oldest_first
from cw_store.repos.sql.recovering import holds_a_task, is_live
from cw_store.repos.sql.rotation import TABLE as ACCOUNTS
from cw_store.repos.sql.side_by_side import LEASE_UNTIL
from cw_store.repos.sql.task_places import TABLE as TASKS
from cw_store.repos.tasks import Task
from cw_store.schema import accounts, agents, tasks
from cw_store.statements.database import Database
from cw_store.statements.expressions import (
    PRESENT,
    SHARED_NOW,
    EndOfTime,
    StartOfTime,
    Unindexed,
    exactly,
    is_one_of,
)
from cw_store.statements.query import Query
from cw_store.types import Flag, UtcDateTime


@dataclass(frozen=True, slots=True)
class Lease:
    """An agent's lease; nothing of the rest of its row, which need not be readable."""

    agent_id: str
    epoch: int | None
    expires_at: datetime | None


lease = [agents.c.id, agents.c.epoch, agents.c.lease_expires_at]

holds_its_task = holds_a_task & (tasks.c.epoch == agents.c.epoch)

of_these = is_one_of(agents.c.id)

HELD = Query(
    Lease,
    select(*lease).select_from(agents.join(tasks, holds_its_task)).where(of_these, is_live),
    agents,
)

mine = agents.alias("mine")

# Whoever is just writing to an agent is not waited for.
renewable = (
    select(mine.c.id)
    .join(
        tasks,
        (tasks.c.claimed_by_agent_id == mine.c.id) & (tasks.c.epoch == mine.c.epoch),
    )
    .where(is_one_of(mine.c.id), Unindexed(mine.c.lease_expires_at).is_not(None))
    .order_by(Unindexed(mine.c.id))
    .with_for_update(key_share=True, skip_locked=True, of=mine)
)

RENEW = Query(
    Lease,
    update(agents)
    .where(agents.c.id.in_(renewable))
    .values(lease_expires_at=LEASE_UNTIL)
    .returning(*lease),
    agents,
)


async def renew(database: Database, claims: Iterable[Claim], lasts: int) -> list[Claim]:
    """Hold the claims for so many microseconds; return those still held, with their new leases."""
    asked = list(claims)
    for claim in asked:
        refuse_no_claim(claim)
    ids = [claim.agent.id for claim in asked]
    if not ids:
        return []
    leases = await database.all(RENEW, ids=ids, lease=lasts)
    found = {lease.agent_id: lease for lease in leases}
    if len(found) < len(set(ids)):
        # Some are lost, and some are locked, of which nobody has taken the task.
        others = await database.all(HELD, ids=[id for id in ids if id not in found])
        found.update((lease.agent_id, lease) for lease in others)
    return [
        replace(
            claim, agent=replace(claim.agent, lease_expires_at=found[claim.agent.id].expires_at)
        )
        for claim in asked
        if _is_of(found.get(claim.agent.id), claim)
    ]


def _is_of(lease: Lease | None, claim: Claim) -> bool:
    return lease is not None and lease.epoch == claim.epoch


@cache
def _live(record: type[Any], of_holder: bool, of_initiative: bool) -> Query[Any]:
    """Return the query for the agents, the tasks or the accounts of the claims that are held."""
    columns = {Agent: AGENTS.columns, Task: TASKS.columns, Account: ACCOUNTS.columns}[record]
    sources = tasks.join(agents, holds_its_task)
    if record is Account:
        sources = sources.join(accounts, accounts.c.id == agents.c.account_id)
    conditions: list[ColumnElement[bool]] = [tasks.c.claimed_by_agent_id.is_not(None)]
    if of_holder:
        conditions.append(agents.c.holder == bindparam("holder"))
    if of_initiative:
        conditions.append(tasks.c.initiative_id == bindparam("initiative_id"))
    statement = select(*columns).select_from(sources).where(*conditions)
    return Query(record, statement.order_by(*oldest_first(agents)), tasks)


async def live_claims(
    database: Database, holder: str | None, initiative_id: str | None
) -> list[Claim]:
    """Return the claims that are held, those of a holder or an initiative, oldest first.

    What changes between the statements is left out: agent and task agree on each other, or they
    are no claim.
    """
    given = {"holder": holder, "initiative_id": initiative_id}
    values = {name: value for name, value in given.items() if value is not None}
    shape = holder is not None, initiative_id is not None
    found_agents: list[Agent] = await database.all(_live(Agent, *shape), **values)
    if not found_agents:
        return []
    found_tasks: list[Task] = await database.all(_live(Task, *shape), **values)
    found_accounts: list[Account] = await database.all(_live(Account, *shape), **values)
    tasks_of = {task.claimed_by_agent_id: task for task in found_tasks}
    account_of = {account.id: account for account in found_accounts}
    return [
        Claim(task, agent, account_of.get(agent.account_id or ""), task.epoch, None)
        for agent in found_agents
        if (task := tasks_of.get(agent.id)) is not None and task.epoch == agent.epoch
    ]


def _first(
    time: ColumnElement[datetime], after: ColumnElement[datetime], *conditions: ColumnElement[bool]
) -> Select[Any]:
    """Select the earliest of such times as a column has.

    What another program wrote for never, and is no time of ours, will not come.
    """
    return select(func.min(time).label("at")).where(time > after, time <= EndOfTime(), *conditions)


deadlines = union_all(
    _first(agents.c.lease_expires_at, StartOfTime(), is_live),
    _first(tasks.c.not_before, SHARED_NOW, Unindexed(tasks.c.status) == exactly("pending")),
    _first(accounts.c.exhausted_until, SHARED_NOW, accounts.c.is_exhausted.is_(true())),
).subquery("deadlines")

NEXT_DEADLINE = Query(datetime, select(func.min(deadlines.c.at)), agents)
"""When the first lease, pause or rest is over."""


TIME = Query(datetime, select(SHARED_NOW), agents)
"""The time that leases are compared with."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A time at which something changes, if there is one, and what time it is now.

    `is_any_overdue` says that a lease is over that nobody has recovered.
    """

    at: datetime | None
    now: datetime
    is_any_overdue: bool


since = bindparam("since", type_=UtcDateTime())

to_come = union_all(
    _first(agents.c.lease_expires_at, since),
    _first(tasks.c.not_before, since),
    _first(accounts.c.exhausted_until, since),
).subquery("to_come")

overdue = exists(select(PRESENT).where(agents.c.lease_expires_at <= SHARED_NOW))

NEXT_MOMENT = Query(
    Moment,
    select(*[func.min(to_come.c.at), SHARED_NOW, type_coerce(overdue, Flag())]),
    agents,
)
"""When time alone changes something for the first time after `since`, and what time it is."""
