"""The fence: whether a claim is still held, and who has the task if it is not.

Expiry is not asked. A late holder whom nobody has replaced may go on; so nothing depends on a
clock here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    cast,
    exists,
    literal_column,
    null,
    or_,
    select,
)

from cw_store.errors import LeaseLostError, StaleStateError, UnreadableError
from cw_store.repos.claims import Claim
from cw_store.repos.sql.agents import described
from cw_store.repos.tasks import TaskStatus
from cw_store.schema import agents, tasks
from cw_store.statements.database import Database
from cw_store.statements.expressions import PRESENT
from cw_store.statements.procedure import Procedure, row
from cw_store.statements.query import Query
from cw_store.types import Id, PlainText, UtcDateTime, WholeNumber


def is_held() -> ColumnElement[bool]:
    """Return the condition that `tasks` is held by an agent under an epoch, its parameters."""
    return and_(
        tasks.c.id == bindparam("claim_task_id", type_=Id()),
        tasks.c.claimed_by_agent_id == bindparam("claim_agent_id", type_=Id()),
        tasks.c.epoch == bindparam("claim_epoch", type_=WholeNumber()),
    )


def claim_values(claim: Claim) -> dict[str, str | int]:
    """Return the values of these parameters."""
    return {
        "claim_task_id": claim.task.id,
        "claim_agent_id": claim.agent.id,
        "claim_epoch": claim.epoch,
    }


def refuse_no_claim(claim: object) -> None:
    """Raise TypeError for what is no claim, its task or the id of one perhaps."""
    if not isinstance(claim, Claim):
        raise TypeError(
            "a claim is what claims.next() or claims.take() has returned, "
            f"not {type(claim).__name__}"
        )


@dataclass(frozen=True, slots=True)
class ClaimedPlace:
    """Where a claimed task stands."""

    phase_id: str | None
    initiative_id: str | None


IS_HELD = Query(
    ClaimedPlace, select(*[tasks.c.phase_id, tasks.c.initiative_id]).where(is_held()), tasks
)

# Until the transaction ends nobody takes the task away: whoever recovers passes a locked one by.
FENCE = Query(
    ClaimedPlace,
    select(*[tasks.c.phase_id, tasks.c.initiative_id])
    .where(is_held())
    .with_for_update(key_share=True),
    tasks,
    locks=True,
)


@dataclass(frozen=True, slots=True)
class Holding:
    """Who has a task now, if anybody has."""

    status: TaskStatus
    epoch: int
    agent_id: str | None
    agent_name: str | None
    holder: str | None
    since: datetime | None


HOLDING = Query(
    Holding,
    select(
        *[tasks.c.status, tasks.c.epoch],
        *[agents.c.id, agents.c.name, agents.c.holder, agents.c.created_at],
    )
    .select_from(tasks.outerjoin(agents, agents.c.id == tasks.c.claimed_by_agent_id))
    .where(tasks.c.id == bindparam("id")),
    tasks,
)


HOLDING_UNREAD = Query(
    Holding,
    select(
        *[tasks.c.status, tasks.c.epoch, tasks.c.claimed_by_agent_id],
        *[cast(null(), PlainText()), cast(null(), PlainText()), cast(null(), UtcDateTime())],
    ).where(tasks.c.id == bindparam("id")),
    tasks,
)
"""The same of an agent that cannot be read, whom nobody has asked for."""


async def find_holding(database: Database, task_id: str) -> Holding | None:
    """Return who has a task; None where there is no such task."""
    try:
        return await database.first(HOLDING, id=task_id)
    except UnreadableError:
        return await database.first(HOLDING_UNREAD, id=task_id)


claim_epoch = bindparam("claim_epoch", type_=WholeNumber())

mine, next_one = agents.alias("mine"), agents.alias("next_one")

# Whoever takes a task away leaves it under an epoch that no claim ever has. So what its own holder
# has ended is still under the claim's epoch, or was claimed again under the very next. The agent's
# status tells nothing, since it is for anybody to change who clears up.
ENDED_BY_HOLDER = Query(
    int,
    select(PRESENT)
    .select_from(tasks)
    .where(
        tasks.c.id == bindparam("claim_task_id", type_=Id()),
        or_(
            and_(tasks.c.epoch == claim_epoch, tasks.c.claimed_by_agent_id.is_(None)),
            exists(
                select(next_one.c.id).where(
                    next_one.c.task_id == tasks.c.id,
                    next_one.c.epoch == claim_epoch + literal_column("1"),
                )
            ),
        ),
        # Its end ends the lease, which SQL of somebody else's need not.
        ~exists(
            select(mine.c.id).where(
                mine.c.id == bindparam("claim_agent_id", type_=Id()),
                mine.c.lease_expires_at.is_not(None),
            )
        ),
    ),
    tasks,
)

STATUS_OF_AGENT = Query(str, select(agents.c.status).where(agents.c.id == bindparam("id")), agents)


async def find_takeover(database: Database, claim: Claim) -> LeaseLostError | None:
    """Return the error for a claim that is not held, or None when its own holder has ended it."""
    if await database.first(ENDED_BY_HOLDER, **claim_values(claim)) is not None:
        return None
    holding = await find_holding(database, claim.task.id)
    if holding is None and await database.first(STATUS_OF_AGENT, id=claim.agent.id) == "stopped":
        return None  # the task was deleted afterwards
    return lost_error(claim, holding)


async def find_lost_error(database: Database, claim: Claim) -> LeaseLostError:
    """Return the error for a claim that is not held, which says who has the task now."""
    return lost_error(claim, await find_holding(database, claim.task.id))


def lost(claim: Claim) -> Procedure[LeaseLostError]:
    """Return the error for a claim that is not held, which says who has the task now."""
    try:
        holding = yield from row(HOLDING, id=claim.task.id)
    except UnreadableError:
        holding = yield from row(HOLDING_UNREAD, id=claim.task.id)
    return lost_error(claim, holding)


def lost_error(claim: Claim, holding: Holding | None) -> LeaseLostError:
    """Return the error for a claim that is not held, from what HOLDING found."""
    if holding is None:
        now = "the task was deleted"
    elif holding.agent_id is None:
        now = f"nobody has it now, it is {holding.status}"
    else:
        now = f"{describe_holder(holding)} under epoch {holding.epoch}"
    return LeaseLostError(
        tasks.name,
        claim.task.id,
        f"the claim of agent {claim.agent.id!r} on task {claim.task.id!r} under epoch "
        f"{claim.epoch} is over: {now}; stop working on it",
        epoch=claim.epoch,
        held_by=None if holding is None else holding.agent_id,
    )


def claimed_error(task_id: str, holding: Holding) -> StaleStateError:
    """Return the error for a task that is claimed, by whoever HOLDING found."""
    return StaleStateError(
        tasks.name,
        task_id,
        f"task {task_id!r} is claimed: {describe_holder(holding)}, under epoch {holding.epoch}; "
        "its status changes when the claim ends, and claims.revoke() takes it away",
    )


def describe_holder(holding: Holding) -> str:
    """Say who has the task since when."""
    since = "" if holding.since is None else f" since {holding.since.isoformat()}"
    agent = described(holding.agent_name, holding.agent_id, holding.holder)
    return f"{agent} has it{since}"
