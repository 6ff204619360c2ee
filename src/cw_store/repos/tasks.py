"""Tasks, how they break down into smaller ones, and which task waits for which."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NotRequired, Protocol, Unpack

from typing_extensions import TypedDict

TaskType = Literal["auto"]
TaskCategory = Literal[
    "execute", "research", "discuss", "plan", "detail", "refine", "verify", "merge", "review"
]
TaskPriority = Literal["low", "medium", "high"]
TaskStatus = Literal["pending", "in_progress", "completed", "blocked"]


@dataclass(frozen=True, slots=True)
class Task:
    """One task.

    `summary` is what the agent reported at the end, handed as context to the tasks that wait
    for this one. `retry_count` counts the automatic retries since the last manual one, and
    `max_retries` says how many of them there may be before the task is blocked. Before
    `not_before` the task is not handed out.

    `claimed_by_agent_id` is the agent that has the task; a task that is claimed is `in_progress`.
    `epoch` is the number of the claim, and only grows: whoever comes with an older one has lost
    the task. `open_dependencies` is how many of the tasks that this one waits for directly are not
    completed; it is kept for tasks that are neither claimed nor completed, and for others is what
    it last was. It is counted after a change: what an `update` returns has the number from before.
    """

    id: str
    phase_id: str | None
    initiative_id: str | None
    parent_task_id: str | None
    name: str
    description: str | None
    type: TaskType
    category: TaskCategory
    priority: TaskPriority
    status: TaskStatus
    order: int
    summary: str | None
    retry_count: int
    max_retries: int
    not_before: datetime | None
    claimed_by_agent_id: str | None
    epoch: int
    open_dependencies: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class TaskDependency:
    """One edge: the task `task_id` waits for the task `depends_on_task_id`."""

    task_id: str
    depends_on_task_id: str


class NewTask(TypedDict):
    """What a task is created from.

    Unless given, `type` is `auto`, `category` is `execute`, `priority` is `medium`, `status` is
    `pending`, `order` and `retry_count` are 0, and `max_retries` is 3.
    """

    id: NotRequired[str]
    phase_id: NotRequired[str | None]
    initiative_id: NotRequired[str | None]
    parent_task_id: NotRequired[str | None]
    name: str
    description: NotRequired[str | None]
    type: NotRequired[TaskType]
    category: NotRequired[TaskCategory]
    priority: NotRequired[TaskPriority]
    status: NotRequired[TaskStatus]
    order: NotRequired[int]
    summary: NotRequired[str | None]
    retry_count: NotRequired[int]
    max_retries: NotRequired[int]
    not_before: NotRequired[datetime | None]


class TaskChanges(TypedDict, total=False):
    """What can be changed of a task; `retry_count` and claims have verbs of their own."""

    phase_id: str | None
    initiative_id: str | None
    parent_task_id: str | None
    name: str
    description: str | None
    type: TaskType
    category: TaskCategory
    priority: TaskPriority
    status: TaskStatus
    order: int
    summary: str | None
    max_retries: int
    not_before: datetime | None


class TaskExpected(TypedDict, total=False):
    """What a task must hold for an `update` to be done; `None` is no value."""

    id: str
    phase_id: str | None
    initiative_id: str | None
    parent_task_id: str | None
    name: str
    description: str | None
    type: TaskType
    category: TaskCategory
    priority: TaskPriority
    status: TaskStatus
    order: int
    summary: str | None
    retry_count: int
    max_retries: int
    not_before: datetime | None
    claimed_by_agent_id: str | None
    epoch: int
    open_dependencies: int
    created_at: datetime
    updated_at: datetime


class TaskRepository(Protocol):
    """The tasks and their dependencies; bad input raises `InvalidValueError`.

    A task with a phase always belongs to that phase's initiative, and a subtask to that of its
    parent: a task and all below it are of one initiative, or of none.
    """

    async def create(self, **values: Unpack[NewTask]) -> Task:
        """Create a task and return it.

        `initiative_id` is taken from the phase when it is absent or `None`, and without a phase
        from the parent. A phase of another initiative, a parent of another one or of none while
        the task has one, or the task as its own parent, is an `InvalidValueError`;
        `BrokenReferenceError` when phase, initiative or parent do not exist,
        `AlreadyExistsError` when the id is taken.
        """
        ...

    async def create_many(self, rows: Sequence[NewTask]) -> list[Task]:
        """Create all of the tasks or none, and return them in the order given.

        Each row follows the rules of `create` and raises what `create` raises; its parent may
        stand before it in the list.
        """
        ...

    async def find_by_id(self, id: str) -> Task | None:
        """Return the task, or `None` when there is none with this id."""
        ...

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        """Return the ids of the tasks that begin with `prefix`, sorted; at most `limit`.

        They are in the order of their bytes. The prefix is taken as it is: `%` and `_` stand for
        themselves. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_all(self, *, limit: int | None = None, after: str | None = None) -> list[Task]:
        """Return all tasks, oldest first; with `limit`, at most so many.

        `after` is the id of the last task seen: the list starts behind it, and `NotFoundError`
        is raised when it does not exist. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_by_phase_id(self, phase_id: str) -> list[Task]:
        """Return the tasks of a phase, ordered by `order`, then oldest first."""
        ...

    async def find_by_initiative_id(self, initiative_id: str) -> list[Task]:
        """Return the tasks of an initiative, ordered by `order`, then oldest first."""
        ...

    async def find_by_parent_task_id(self, parent_task_id: str) -> list[Task]:
        """Return the direct subtasks of a task, ordered by `order`, then oldest first."""
        ...

    async def find_by_status(self, status: TaskStatus) -> list[Task]:
        """Return the tasks in this status, of all initiatives, oldest first."""
        ...

    async def count_by_status(
        self, initiative_id: str | None = None
    ) -> dict[str | None, dict[TaskStatus, int]]:
        """Return how many tasks each phase has in each status: `{phase_id: {status: n}}`.

        Of one initiative, or of all. What has no task is not there; `None` is the key of the tasks
        that have no phase.
        """
        ...

    async def update(
        self,
        id: str,
        *,
        expected: TaskExpected | None = None,
        **changes: Unpack[TaskChanges],
    ) -> Task:
        """Change what is passed, stamp `updated_at`, return the task.

        As it then stands, the task's phase and parent must be of its initiative, which is taken
        from the phase, or else from the parent, when the task has none; otherwise, or when a new
        parent would make the task its own ancestor, `InvalidValueError`. `NotFoundError` for an
        unknown id, `BrokenReferenceError` when phase, initiative or parent do not exist.

        A task that moves to another phase, or to none, takes its subtasks of every level along
        that are in the phase that it leaves. When its initiative changes, that of all its subtasks
        does too, and one in a phase of another initiative is an `InvalidValueError`. The
        `updated_at` of what goes along is stamped as well.

        With `expected` only if the task still holds these values when it is changed, else
        `StaleStateError`; nothing is written then. So it is for the `status` of a task that is
        claimed, which changes when the claim ends; the error says who has the task since when.
        """
        ...

    async def delete(self, id: str) -> None:
        """Delete a task; `NotFoundError` for an unknown id.

        Its subtasks of every level and its dependencies, in both directions, go with it. Agents
        and conversations stay, their `task_id` becomes `None`.
        """
        ...

    async def increment_retry_count(self, id: str) -> Task:
        """Add one to `retry_count` and return the task; no concurrent call is lost.

        `NotFoundError` for an unknown id.
        """
        ...

    async def reset_retry_count(self, id: str) -> Task:
        """Set `retry_count` to 0 and return the task; `NotFoundError` for an unknown id."""
        ...

    async def create_dependency(self, id: str, depends_on_id: str) -> TaskDependency:
        """Make the task `id` wait for the task `depends_on_id` and return the edge.

        `DependencyCycleError` when the edge would close a cycle, a task waiting for itself
        included, also when the other half is being added at the same time by another unit of
        work; `AlreadyExistsError` when the edge is there already; `BrokenReferenceError` when one
        of the tasks does not exist.
        """
        ...

    async def delete_dependency(self, id: str, depends_on_id: str) -> None:
        """Let the task `id` no longer wait for `depends_on_id`.

        `NotFoundError` when there is no such edge.
        """
        ...

    async def set_dependencies(self, id: str, depends_on_ids: Sequence[str]) -> None:
        """Let the task `id` wait for exactly these tasks; edges that are there already stay.

        All or nothing: `DependencyCycleError` when one of them would close a cycle,
        `BrokenReferenceError` when one of the tasks does not exist.
        """
        ...

    async def get_dependencies(self, id: str) -> list[Task]:
        """Return the tasks that this one directly waits for, oldest first."""
        ...

    async def get_dependents(self, id: str) -> list[Task]:
        """Return the tasks that directly wait for this one, oldest first."""
        ...

    async def find_dependencies_by_initiative_id(self, initiative_id: str) -> list[TaskDependency]:
        """Return every edge that starts at a task of the initiative.

        Ordered by `task_id`, then `depends_on_task_id`.
        """
        ...
