"""Tasks are taken from those who are dead: whose leases ran out, or whose holder starts anew.

Whoever is just writing is alive, so nobody is waited for: an agent or a task that is locked is
passed by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, case, null, select, update

from cw_store.repos.agents import Agent
from cw_store.repos.sql.agents import TABLE as AGENTS
from cw_store.schema import agents, tasks
from cw_store.statements.expressions import SHARED_NOW, exactly, later_than
from cw_store.statements.procedure import Procedure, row, rows
from cw_store.statements.query import Query
from cw_store.types import Id, WholeNumber

is_live = agents.c.lease_expires_at.is_not(None)

holds_its_task = and_(
    tasks.c.id == agents.c.task_id,
    tasks.c.claimed_by_agent_id == agents.c.id,
    tasks.c.epoch == agents.c.epoch,
)


@dataclass(frozen=True, slots=True)
class Due:
    """An agent whose lease is over, and the task that it holds, if it still does."""

    agent_id: str
    task_id: str | None


def _due(condition: ColumnElement[bool]) -> Query[Due]:
    return Query(
        Due,
        select(*[agents.c.id, tasks.c.id])
        .select_from(agents)
        .outerjoin(tasks, holds_its_task)
        .where(is_live, condition)
        .order_by(agents.c.lease_expires_at)
        .limit(bindparam("limit", type_=WholeNumber()))
        .with_for_update(key_share=True, skip_locked=True, of=agents),
        agents,
        locks=True,
    )


RAN_OUT = _due(agents.c.lease_expires_at <= SHARED_NOW)

OF_HOLDER = _due(agents.c.holder == bindparam("holder"))


def _taken_back(costs_retry: bool) -> Query[str]:
    """Take a task from an agent, unless somebody is just writing under its claim."""
    held = tasks.alias("held")
    lockable = (
        select(held.c.id)
        .where(
            held.c.id == bindparam("task_id", type_=Id()),
            held.c.claimed_by_agent_id == bindparam("agent_id", type_=Id()),
        )
        .with_for_update(key_share=True, skip_locked=True)
        .scalar_subquery()
    )
    values = retried(tasks.c.retry_count) if costs_retry else {"status": exactly("pending")}
    return Query(
        str,
        update(tasks)
        .where(tasks.c.id == lockable)
        .values(
            **values,
            claimed_by_agent_id=null(),
            epoch=tasks.c.epoch + 1,
            updated_at=later_than(tasks.c.updated_at),
        )
        .returning(tasks.c.id),
        tasks,
    )


def retried(retry_count: ColumnElement[int]) -> dict[str, ColumnElement[Any]]:
    """Return what a task becomes that is tried once more, or not any more."""
    most = 2**31 - 1
    return {
        "retry_count": case((retry_count < most, retry_count + 1), else_=retry_count),
        "status": case(
            (retry_count >= tasks.c.max_retries, exactly("blocked")), else_=exactly("pending")
        ),
    }


TAKE_BACK, TAKE_BACK_FOR_FREE = _taken_back(costs_retry=True), _taken_back(costs_retry=False)

CRASH = AGENTS.returning(
    update(agents)
    .where(agents.c.id == bindparam("id"))
    .values(
        status=exactly("crashed"),
        lease_expires_at=null(),
        updated_at=later_than(agents.c.updated_at),
    )
)


def recover(holder: str | None, limit: int) -> Procedure[list[Agent]]:
    """Take tasks from those whose leases ran out, or from a holder that has started anew."""
    if holder is None:
        due = yield from rows(RAN_OUT, limit=limit)
    else:
        due = yield from rows(OF_HOLDER, limit=limit, holder=holder)
    displaced: list[Agent] = []
    for one in due:
        if one.task_id is not None:
            take_back = TAKE_BACK if holder is None else TAKE_BACK_FOR_FREE
            taken = yield from row(take_back, task_id=one.task_id, agent_id=one.agent_id)
            if taken is None:
                continue
        crashed = yield from row(CRASH, id=one.agent_id)
        if crashed is not None:
            displaced.append(crashed)
    return displaced
