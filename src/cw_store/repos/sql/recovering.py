"""Tasks are taken from those who are dead: whose leases ran out, or whose holder starts anew.

Whoever is just writing is alive, so nobody is waited for: an agent or a task that is locked is
passed by.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    case,
    exists,
    literal_column,
    null,
    select,
    update,
)

from cw_store.errors import UnreadableError
from cw_store.repos.agents import Agent
from cw_store.repos.sql.agents import TABLE as AGENTS
from cw_store.repos.sql.task_places import MAX_RETRY_COUNT
from cw_store.schema import agents, tasks
from cw_store.statements.expressions import SHARED_NOW, exactly, later_than
from cw_store.statements.procedure import Procedure, row, rows
from cw_store.statements.query import Query
from cw_store.types import WholeNumber

logger = logging.getLogger(__name__)

is_live = agents.c.lease_expires_at.is_not(None)

# An agent is made for one claim, so that what it works on need not be asked of the agent too, of
# whom anybody may say something else.
holds_a_task = tasks.c.claimed_by_agent_id == agents.c.id


@dataclass(frozen=True, slots=True)
class Due:
    """An agent whose lease is over, and the task that it holds, if it still does."""

    agent_id: str
    task_id: str | None


@dataclass(frozen=True, slots=True)
class OverQueries:
    """The queries for the leases that are over: whether there are any, and which.

    What is found is locked, the task before the agent, as by whoever ends its claim. So there are
    two queries, since PostgreSQL locks nothing that need not be there.
    """

    any: Query[str]
    of_tasks: Query[Due]
    of_none: Query[Due]


def _over(condition: ColumnElement[bool]) -> OverQueries:
    claimed = tasks.alias("claimed")
    is_over = and_(is_live, condition)
    some = bindparam("limit", type_=WholeNumber())
    return OverQueries(
        Query(str, select(agents.c.id).where(is_over).limit(literal_column("1")), agents),
        Query(
            Due,
            select(*[agents.c.id, tasks.c.id])
            .select_from(agents)
            .join(tasks, holds_a_task)
            .where(is_over)
            .order_by(agents.c.lease_expires_at)
            .limit(some)
            .with_for_update(key_share=True, skip_locked=True, of=[tasks, agents]),
            agents,
            locks=True,
        ),
        Query(
            Due,
            select(*[agents.c.id, null()])
            .where(
                is_over,
                ~exists(select(claimed.c.id).where(claimed.c.claimed_by_agent_id == agents.c.id)),
            )
            .order_by(agents.c.lease_expires_at)
            .limit(some)
            .with_for_update(key_share=True, skip_locked=True, of=agents),
            agents,
            locks=True,
        ),
    )


RAN_OUT = _over(agents.c.lease_expires_at <= SHARED_NOW)

OF_HOLDER = _over(agents.c.holder == bindparam("holder"))


def _taken_back(values: dict[str, ColumnElement[Any]]) -> Query[str]:
    return Query(
        str,
        update(tasks)
        .where(tasks.c.id == bindparam("id"))
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
    return {
        "retry_count": case((retry_count < MAX_RETRY_COUNT, retry_count + 1), else_=retry_count),
        "status": case(
            (retry_count >= tasks.c.max_retries, exactly("blocked")), else_=exactly("pending")
        ),
    }


TAKE_BACK = _taken_back(retried(tasks.c.retry_count))

TAKE_BACK_FOR_FREE = _taken_back({"status": exactly("pending")})

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
    queries = RAN_OUT if holder is None else OF_HOLDER
    take_back = TAKE_BACK if holder is None else TAKE_BACK_FOR_FREE
    given = {} if holder is None else {"holder": holder}
    if (yield from row(queries.any, **given)) is None:
        return []
    due = yield from rows(queries.of_tasks, limit=limit, **given)
    if len(due) < limit:
        due += yield from rows(queries.of_none, limit=limit - len(due), **given)
    displaced: list[Agent] = []
    for one in due:
        if one.task_id is not None:
            yield from row(take_back, id=one.task_id)
        try:
            displaced += yield from rows(CRASH, id=one.agent_id)
        except UnreadableError as error:
            # It must not stop everybody who asks for work.
            logger.warning(
                "who lost task %s cannot be told: %s",
                one.task_id,
                error,
                extra={"event": "displaced_agent_unreadable"},
            )
    return displaced
