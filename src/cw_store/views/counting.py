"""What people set alarms on: how many of what there are, and how long the oldest question waits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Select, bindparam, false, func, select

from cw_store import metadata
from cw_store.views.reading import IS_PENDING, accounts, agents, conversations, read, tasks
from cw_store.views.snapshots import Source, snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """How much of what is stored, in the snapshot of `now`.

    `tasks` and `agents` say how many have each status, without those that none has; `rows` how many
    each table of the store has. `accounts_available` can be used at this moment, as far as limits
    go; `max_agents` is not looked at. `questions` wait for an agent's answer, the oldest of them
    for `questions_oldest_age`, None where there is none. Of `claims` that are held `claims_overdue`
    are over by their lease, and nobody has recovered them yet.
    """

    now: datetime
    tasks: dict[str, int]
    agents: dict[str, int]
    accounts: int
    accounts_available: int
    questions: int
    questions_oldest_age: timedelta | None
    claims: int
    claims_overdue: int
    rows: dict[str, int]


async def gauges(source: Source) -> Gauges:
    """Return how much of what there is; each table is counted, which takes as long as it is."""
    async with snapshot(source) as uow:
        now = await uow.claims.now()
        ((available,),) = await read(uow, _available(), now=now)
        ((questions, oldest),) = await read(uow, _questions())
        ((claims, overdue),) = await read(uow, _claims(), now=now)
        (counts,) = await read(uow, _rows())
        rows = dict(counts._mapping)
        return Gauges(
            now=now,
            tasks={status: count for status, count in await read(uow, _by_status(tasks))},
            agents={status: count for status, count in await read(uow, _by_status(agents))},
            accounts=rows["accounts"],
            accounts_available=available,
            questions=questions,
            # Rows of one moment are microseconds apart, so the last of them is ahead.
            questions_oldest_age=None if oldest is None else max(now - oldest, timedelta()),
            claims=claims,
            claims_overdue=overdue,
            rows=rows,
        )


@cache
def _by_status(table: Any) -> Select[*tuple[Any, ...]]:
    return select(table.c.status, func.count()).group_by(table.c.status).order_by(table.c.status)


@cache
def _available() -> Select[*tuple[Any, ...]]:
    moment = bindparam("now", type_=accounts.c.exhausted_until.type)
    is_available = accounts.c.is_exhausted.is_(false()) | (accounts.c.exhausted_until <= moment)
    return select(func.count()).select_from(accounts).where(is_available)


@cache
def _questions() -> Select[*tuple[Any, ...]]:
    oldest = func.min(conversations.c.created_at, type_=conversations.c.created_at.type)
    return select(func.count(), oldest).select_from(conversations).where(IS_PENDING)


@cache
def _claims() -> Select[*tuple[Any, ...]]:
    moment = bindparam("now", type_=agents.c.lease_expires_at.type)
    lease = agents.c.lease_expires_at
    overdue = func.count().filter(lease <= moment)
    return select(func.count(), overdue).select_from(agents).where(lease.is_not(None))


@cache
def _rows() -> Select[*tuple[Any, ...]]:
    return select(
        *[
            select(func.count()).select_from(table).scalar_subquery().label(table.name)
            for table in metadata.sorted_tables
        ]
    )
