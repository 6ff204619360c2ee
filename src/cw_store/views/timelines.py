"""The timeline: which agent was at which task, from when until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from cw_store import TaskStatus
from cw_store.views.seen import AccountSeen
from cw_store.views.snapshots import Source

Outcome: TypeAlias = Literal["idle", "running", "waiting_for_input", "stopped", "crashed"]
"""How an agent's time at a task has ended, or that it has not: the agent's status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One agent's time at a task.

    `start` is when the agent was stored. `end` is when it was last changed, for one that is stopped
    or crashed; None while it lasts. `attempt` counts the agents of the task from 1.
    """

    agent_id: str
    agent_name: str
    attempt: int
    start: datetime
    end: datetime | None
    outcome: Outcome
    exit_code: int | None
    account_id: str | None
    account_email: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineRow:
    """A task, or with None as `task_id` agents without one; bars oldest first, retries included."""

    task_id: str | None
    task_name: str | None
    task_status: TaskStatus | None
    phase_name: str | None
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountBand:
    """An account, and the times at which agents of the initiative worked under it."""

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
    raise NotImplementedError
