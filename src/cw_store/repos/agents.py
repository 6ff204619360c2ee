"""Agents: the processes that work on tasks, each with a name a person can remember."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NotRequired, Protocol, Unpack

from typing_extensions import TypedDict

from cw_store.repos.json_value import JsonValue

AgentStatus = Literal["idle", "running", "waiting_for_input", "stopped", "crashed"]
AgentMode = Literal["execute", "discuss", "plan", "detail", "refine"]


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent.

    `name` is its adjective-animal alias, `session_id` the session its command line tool can
    resume, `worktree_id` the path of its git worktree, `pid` and `exit_code` those of its
    process. `result` and `pending_questions` are JSON.

    An agent that has a task holds a lease on it, which is live while `lease_expires_at` is not
    `None`: until then nobody takes the task away, and after it somebody may. `holder` is who renews
    the lease, and `epoch` the number of the claim on the task that the agent has or had; both are
    `None` of an agent that never claimed one.
    """

    id: str
    name: str
    task_id: str | None
    initiative_id: str | None
    session_id: str | None
    worktree_id: str
    provider: str
    account_id: str | None
    status: AgentStatus
    mode: AgentMode
    pid: int | None
    exit_code: int | None
    output_file_path: str | None
    result: JsonValue
    pending_questions: JsonValue
    user_dismissed_at: datetime | None
    holder: str | None
    lease_expires_at: datetime | None
    epoch: int | None
    created_at: datetime
    updated_at: datetime


class NewAgent(TypedDict):
    """What an agent is created from.

    Unless given, `name` is made up, `provider` is `claude`, `status` is `idle` and `mode` is
    `execute`.
    """

    id: NotRequired[str]
    name: NotRequired[str]
    task_id: NotRequired[str | None]
    initiative_id: NotRequired[str | None]
    session_id: NotRequired[str | None]
    worktree_id: str
    provider: NotRequired[str]
    account_id: NotRequired[str | None]
    status: NotRequired[AgentStatus]
    mode: NotRequired[AgentMode]
    pid: NotRequired[int | None]
    exit_code: NotRequired[int | None]
    output_file_path: NotRequired[str | None]
    result: NotRequired[JsonValue]
    pending_questions: NotRequired[JsonValue]
    user_dismissed_at: NotRequired[datetime | None]


class AgentChanges(TypedDict, total=False):
    """What can be changed of an agent; its lease has verbs of its own."""

    name: str
    task_id: str | None
    initiative_id: str | None
    session_id: str | None
    worktree_id: str
    provider: str
    account_id: str | None
    status: AgentStatus
    mode: AgentMode
    pid: int | None
    exit_code: int | None
    output_file_path: str | None
    result: JsonValue
    pending_questions: JsonValue
    user_dismissed_at: datetime | None


class AgentExpected(TypedDict, total=False):
    """What an agent must hold for an `update` to be done; `None` is no value."""

    id: str
    name: str
    task_id: str | None
    initiative_id: str | None
    session_id: str | None
    worktree_id: str
    provider: str
    account_id: str | None
    status: AgentStatus
    mode: AgentMode
    pid: int | None
    exit_code: int | None
    output_file_path: str | None
    user_dismissed_at: datetime | None
    holder: str | None
    lease_expires_at: datetime | None
    epoch: int | None
    created_at: datetime
    updated_at: datetime


class AgentRepository(Protocol):
    """The agents; bad input raises `InvalidValueError` and writes nothing."""

    async def create(self, **values: Unpack[NewAgent]) -> Agent:
        """Create an agent and return it; without `name` it gets an unused adjective-animal one.

        `AlreadyExistsError` when the name or the id is taken, `BrokenReferenceError` when task,
        initiative or account do not exist.
        """
        ...

    async def find_by_id(self, id: str) -> Agent | None:
        """Return the agent, or `None` when there is none with this id."""
        ...

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        """Return the ids of the agents that begin with `prefix`, sorted; at most `limit`.

        They are in the order of their bytes. The prefix is taken as it is: `%` and `_` stand for
        themselves. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_all(self, *, limit: int | None = None, after: str | None = None) -> list[Agent]:
        """Return all agents, oldest first; with `limit`, at most so many.

        `after` is the id of the last agent seen: the list starts behind it, and `NotFoundError`
        is raised when it does not exist. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_by_name(self, name: str) -> Agent | None:
        """Return the agent with this name, or `None`."""
        ...

    async def find_by_task_id(self, task_id: str) -> Agent | None:
        """Return the newest agent that was given this task, or `None`."""
        ...

    async def find_all_by_task_id(self, task_id: str) -> list[Agent]:
        """Return all agents that were given this task, oldest first."""
        ...

    async def find_by_session_id(self, session_id: str) -> Agent | None:
        """Return the newest agent of this session, or `None`."""
        ...

    async def find_by_account_id(self, account_id: str) -> list[Agent]:
        """Return the agents that use an account, oldest first."""
        ...

    async def find_by_initiative_id(self, initiative_id: str) -> list[Agent]:
        """Return the agents of an initiative, oldest first."""
        ...

    async def find_by_status(self, *statuses: AgentStatus) -> list[Agent]:
        """Return the agents in one of these statuses, oldest first; none for no status."""
        ...

    async def update(
        self,
        id: str,
        *,
        expected: AgentExpected | None = None,
        **changes: Unpack[AgentChanges],
    ) -> Agent:
        """Change what is passed, stamp `updated_at`, return the agent.

        `NotFoundError` for an unknown id, `AlreadyExistsError` when the new name is taken,
        `BrokenReferenceError` when task, initiative or account do not exist.

        With `expected` only if the agent still holds these values when it is changed, else
        `StaleStateError`; nothing is written then.
        """
        ...

    async def delete(self, id: str) -> None:
        """Delete an agent; `NotFoundError` for an unknown id.

        `StaleStateError` for one that holds a lease: its claim has to end before.

        Its proposals and conversations go with it. Messages, chat sessions, change sets and
        errands stay and point to no agent any more; its log stays as it is.
        """
        ...
