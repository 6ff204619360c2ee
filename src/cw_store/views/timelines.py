"""The timeline: which agent was at which task, from when until when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select

from cw_store import AgentStatus, TaskStatus
from cw_store.views.plans import phases
from cw_store.views.reading import (
    OF_INITIATIVE,
    accounts,
    agents,
    check_limit,
    needed_initiative,
    read,
    read_accounts,
    tasks,
)
from cw_store.views.seen import AccountSeen
from cw_store.views.snapshots import Source, snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One agent's time at a task.

    `start` is when the agent was stored. `end` is when it was last changed, for one that is stopped
    or crashed; None while it lasts. `outcome` is the agent's status. `attempt` counts the agents of
    the task that are there, from 1; 0 for an agent without a task.
    """

    agent_id: str
    agent_name: str
    attempt: int
    start: datetime
    end: datetime | None
    outcome: AgentStatus
    exit_code: int | None
    account_id: str | None
    account_email: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineRow:
    """A task and its agents, retries included, or with None as `task_id` agents without one.

    Bars are oldest first.
    """

    task_id: str | None
    task_name: str | None
    task_status: TaskStatus | None
    phase_name: str | None
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountBand:
    """An account, and the times at which agents of the initiative worked under it, oldest first."""

    account: AccountSeen
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """All agents' times at the tasks of an initiative, in the snapshot of `now`.

    From `start`, the first bar's, until `end`, the last one's, or `now` while any lasts; both None
    when there is no bar. Rows are in the order of their first bars; tasks that no agent was at have
    none. `is_cut` says that there are older agents that were left out.
    """

    now: datetime
    initiative_id: str
    initiative_name: str
    start: datetime | None
    end: datetime | None
    rows: tuple[TimelineRow, ...]
    accounts: tuple[AccountBand, ...]
    is_cut: bool


async def timeline(source: Source, initiative_id: str, *, limit: int = 1000) -> Timeline:
    """Return the timeline of an initiative, with the `limit` newest of its agents.

    `NotFoundError` for an unknown initiative; `InvalidValueError` for a `limit` below 1.
    """
    check_limit("timeline", limit=limit)
    async with snapshot(source) as uow:
        initiative = await needed_initiative(uow, initiative_id)
        now = await uow.claims.now()
        found = list(await read(uow, BARS, initiative_id=initiative_id, most=limit + 1))
        rows = list(reversed(found[:limit]))
        bars = _bars(rows)
        ends = [bar.end or now for bar in bars]
        return Timeline(
            now=now,
            initiative_id=initiative.id,
            initiative_name=initiative.name,
            start=bars[0].start if bars else None,
            end=max(ends, default=None),
            rows=_rows(rows, bars),
            accounts=_bands(await read_accounts(uow, now), bars),
            is_cut=len(found) > limit,
        )


BARS = (
    select(
        agents.c.id,
        agents.c.name,
        agents.c.status,
        agents.c.exit_code,
        agents.c.created_at,
        agents.c.updated_at,
        agents.c.account_id,
        accounts.c.email,
        agents.c.task_id,
        tasks.c.name.label("task_name"),
        tasks.c.status.label("task_status"),
        phases.c.name.label("phase_name"),
    )
    .select_from(
        agents.outerjoin(accounts, accounts.c.id == agents.c.account_id)
        .outerjoin(tasks, tasks.c.id == agents.c.task_id)
        .outerjoin(phases, phases.c.id == tasks.c.phase_id)
    )
    .where(OF_INITIATIVE)
    .order_by(agents.c.seq.desc())
    .limit(bindparam("most"))
)


def _bars(rows: Sequence[Any]) -> list[Bar]:
    attempts: dict[str | None, int] = {}
    bars: list[Bar] = []
    for row in rows:
        if row.task_id is not None:
            attempts[row.task_id] = attempts.get(row.task_id, 0) + 1
        bars.append(
            Bar(
                agent_id=row.id,
                agent_name=row.name,
                attempt=attempts.get(row.task_id, 0),
                start=row.created_at,
                end=row.updated_at if row.status in ("stopped", "crashed") else None,
                outcome=row.status,
                exit_code=row.exit_code,
                account_id=row.account_id,
                account_email=row.email,
            )
        )
    return bars


def _rows(rows: Sequence[Any], bars: Sequence[Bar]) -> tuple[TimelineRow, ...]:
    """Put the bars of each task side by side, in the order of the first of each."""
    bars_of: dict[str | None, list[Bar]] = {}
    first_of: dict[str | None, Any] = {}
    for row, bar in zip(rows, bars, strict=True):
        bars_of.setdefault(row.task_id, []).append(bar)
        first_of.setdefault(row.task_id, row)
    return tuple(
        TimelineRow(
            task_id=task_id,
            task_name=first_of[task_id].task_name,
            task_status=first_of[task_id].task_status,
            phase_name=first_of[task_id].phase_name,
            bars=tuple(found),
        )
        for task_id, found in bars_of.items()
    )


def _bands(found: Sequence[AccountSeen], bars: Sequence[Bar]) -> tuple[AccountBand, ...]:
    """Return the accounts that any of the agents had, with what each had."""
    bars_of: dict[str, list[Bar]] = {}
    for bar in bars:
        if bar.account_id is not None:
            bars_of.setdefault(bar.account_id, []).append(bar)
    return tuple(
        AccountBand(account=account, bars=tuple(bars_of[account.id]))
        for account in found
        if account.id in bars_of
    )
