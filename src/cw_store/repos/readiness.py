"""Whether a task can be claimed, and if not, why: what `explain` and `find_standings` return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from cw_store.repos.initiatives import InitiativeStatus
from cw_store.repos.phases import PhaseStatus
from cw_store.repos.tasks import TaskCategory, TaskStatus


@dataclass(frozen=True, slots=True)
class WrongStatus:
    """The task is not `pending`, although nobody has claimed it."""

    status: TaskStatus


@dataclass(frozen=True, slots=True)
class Claimed:
    """An agent has the task, and the lease until then; `since` is when it was given to it."""

    agent_id: str
    agent_name: str
    holder: str | None
    since: datetime
    lease_expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class WrongCategory:
    """The task is of a category that was not asked for."""

    category: TaskCategory


@dataclass(frozen=True, slots=True)
class WaitsForTask:
    """The task waits for another, which is not completed."""

    task_id: str
    status: TaskStatus


@dataclass(frozen=True, slots=True)
class WaitsForPhase:
    """The task's phase waits for another, which is not completed."""

    phase_id: str
    status: PhaseStatus


@dataclass(frozen=True, slots=True)
class PhaseNotOpen:
    """The task's phase is in a status in which none of its tasks is begun."""

    phase_id: str
    status: PhaseStatus


@dataclass(frozen=True, slots=True)
class NotBefore:
    """The task is not to be begun before this time."""

    at: datetime


@dataclass(frozen=True, slots=True)
class InitiativeInactive:
    """The task's initiative is not active."""

    initiative_id: str
    status: InitiativeStatus


@dataclass(frozen=True, slots=True)
class InitiativeFull:
    """As many agents work for the initiative as may at the same time."""

    initiative_id: str
    max_agents: int


@dataclass(frozen=True, slots=True)
class NoAccount:
    """No account of the provider is free: all are exhausted, or have as many agents as they may."""

    provider: str


Reason: TypeAlias = (
    WrongStatus
    | Claimed
    | WrongCategory
    | WaitsForTask
    | WaitsForPhase
    | PhaseNotOpen
    | NotBefore
    | InitiativeInactive
    | InitiativeFull
    | NoAccount
)
"""Why a task cannot be claimed."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a task can be claimed, and if not, every reason why.

    Of several tasks that it waits for the oldest is first, and of phases too.
    """

    is_ready: bool
    reasons: tuple[Reason, ...]


Obstacle: TypeAlias = Literal[
    "wrong_status",
    "claimed",
    "wrong_category",
    "waits_for_task",
    "waits_for_phase",
    "phase_not_open",
    "not_before",
    "initiative_inactive",
    "initiative_full",
    "no_account",
]
"""What keeps a task from being claimed: the kinds of a `Reason`, in the order of a `Readiness`."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A task that is not completed, and what keeps it from being claimed; None if nothing does."""

    task_id: str
    phase_id: str | None
    initiative_id: str | None
    status: TaskStatus
    obstacle: Obstacle | None
