"""What several views show: an agent, an account, a question, and the lanes of tasks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from cw_store import AgentMode, AgentStatus

Lane: TypeAlias = Literal["needs_you", "running", "ready", "waiting", "done"]
"""Where a task stands, for whoever looks at it.

- `needs_you`: it is blocked, or the agent on it waits for a person.
- `running`: it is in progress.
- `ready`: it can be claimed now, by the rule of `claims.find_ready`.
- `waiting`: it is pending and can not be claimed now.
- `done`: it is completed.
"""

LANES: tuple[Lane, ...] = ("needs_you", "running", "ready", "waiting", "done")
"""The lanes in the order in which they are shown."""

AccountState: TypeAlias = Literal["available", "exhausted_until", "exhausted"]
"""Whether an account can be used now, rests until a time, or until a person brings it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneCounts:
    """How many tasks are in each lane."""

    needs_you: int = 0
    running: int = 0
    ready: int = 0
    waiting: int = 0
    done: int = 0

    @property
    def total(self) -> int:
        """How many tasks there are."""
        return self.needs_you + self.running + self.ready + self.waiting + self.done


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSeen:
    """An agent, and when it was last seen to do something.

    `last_line_at` is when the last chunk of its log was stored, None when there is none.
    `seen_at` is that, or when its row was last changed if that is later: an agent that is
    `running` and was not seen for long may be dead, or hang. `lease_expires_at` is None unless it
    holds a claim.
    """

    id: str
    name: str
    status: AgentStatus
    mode: AgentMode
    provider: str
    account_id: str | None
    account_email: str | None
    initiative_id: str | None
    task_id: str | None
    task_name: str | None
    worktree_id: str
    pid: int | None
    exit_code: int | None
    holder: str | None
    lease_expires_at: datetime | None
    started_at: datetime
    last_line_at: datetime | None
    seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSeen:
    """An account, whether it can be used now, and who works under it.

    `until` is when its rest is over, None unless `state` is `exhausted_until`. `agent_names` are
    the agents that hold a claim under it, oldest first; with `max_agents` of them it has no room
    for another. Nothing of its secrets is read.
    """

    id: str
    email: str
    provider: str
    state: AccountState
    until: datetime | None
    last_used_at: datetime | None
    max_agents: int | None
    has_room: bool
    agent_names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSeen:
    """A question from one agent to another; `answer` is None as long as it is pending.

    `is_unanswerable` says that it is pending and the one that was asked is stopped or has crashed;
    `is_in_circle` that it is pending and one of a circle of agents that wait for each other.
    """

    id: str
    asked_at: datetime
    from_agent_id: str
    from_agent_name: str
    to_agent_id: str
    to_agent_name: str
    task_id: str | None
    question: str
    answer: str | None
    is_unanswerable: bool
    is_in_circle: bool
