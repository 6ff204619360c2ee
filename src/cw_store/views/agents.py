"""One agent: what it is at, under which account, what it wrote last, whom it waits for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cw_store import JsonValue, TaskStatus
from cw_store.views.seen import AccountSeen, AgentSeen, QuestionSeen
from cw_store.views.snapshots import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimSeen:
    """The claim that an agent holds.

    `is_over` says that the lease has run out, so that anybody may take the task; until somebody
    does the agent still has it.
    """

    task_id: str
    epoch: int
    holder: str | None
    lease_expires_at: datetime | None
    is_over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSession:
    """One session of an agent's log."""

    number: int
    chunks: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSeen:
    """A message between an agent and the user, or another agent.

    `is_from_agent` says that the agent that is looked at wrote it.
    """

    id: str
    sent_at: datetime
    is_from_agent: bool
    other_agent_name: str | None
    content: str
    requires_response: bool
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView:
    """One agent in the snapshot of `now`.

    `asked` are the questions that it asked, `asked_of_it` those that it was asked, both oldest
    first; of those that are answered the newest alone, as of `messages`. `tries` are all agents
    that were at its task, oldest first, this one among them; empty when it has no task.
    `last_lines` is the end of what it wrote, as it is stored.
    """

    now: datetime
    agent: AgentSeen
    initiative_name: str | None
    phase_id: str | None
    phase_name: str | None
    task_status: TaskStatus | None
    retry_count: int | None
    max_retries: int | None
    session_id: str | None
    output_file_path: str | None
    pending_questions: JsonValue
    result: JsonValue
    account: AccountSeen | None
    claim: ClaimSeen | None
    asked: tuple[QuestionSeen, ...]
    asked_of_it: tuple[QuestionSeen, ...]
    messages: tuple[MessageSeen, ...]
    tries: tuple[AgentSeen, ...]
    sessions: tuple[LogSession, ...]
    last_lines: str


async def agent(source: Source, id_or_name: str, *, limit: int = 20) -> AgentView:
    """Return an agent by its id, or else by its name.

    At most `limit` questions each way, messages and tries, the newest, and all that are pending.
    `NotFoundError` when there is none; `InvalidValueError` for a `limit` below 1.
    """
    raise NotImplementedError
