"""Phases of an initiative, and which phase waits for which."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NotRequired, Protocol, Unpack

from typing_extensions import TypedDict

from cw_store.repos.json_value import JsonValue

PhaseStatus = Literal[
    "pending", "approved", "in_progress", "completed", "blocked", "pending_review"
]


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of an initiative.

    `content` is a Tiptap document as JSON. `merge_base` is the git hash noted before the
    phase was merged, from which the diff of a completed phase can be made again.
    `open_dependencies` is how many of the phases that this one waits for directly are not
    completed; of a phase that is itself completed it is what it last was. It is counted after a
    change: what an `update` returns has the number from before.
    """

    id: str
    initiative_id: str
    name: str
    content: JsonValue
    status: PhaseStatus
    merge_base: str | None
    open_dependencies: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PhaseDependency:
    """One edge: the phase `phase_id` waits for the phase `depends_on_phase_id`."""

    phase_id: str
    depends_on_phase_id: str


class NewPhase(TypedDict):
    """What a phase is created from; `status` is `pending` unless given."""

    id: NotRequired[str]
    initiative_id: str
    name: str
    content: NotRequired[JsonValue]
    status: NotRequired[PhaseStatus]
    merge_base: NotRequired[str | None]


class PhaseChanges(TypedDict, total=False):
    """What can be changed of a phase; it stays with its initiative."""

    name: str
    content: JsonValue
    status: PhaseStatus
    merge_base: str | None


class PhaseExpected(TypedDict, total=False):
    """What a phase must hold for an `update` to be done; `None` is no value."""

    id: str
    initiative_id: str
    name: str
    status: PhaseStatus
    merge_base: str | None
    open_dependencies: int
    created_at: datetime
    updated_at: datetime


class PhaseRepository(Protocol):
    """The phases and their dependencies; bad input raises `InvalidValueError`."""

    async def create(self, **values: Unpack[NewPhase]) -> Phase:
        """Create a phase and return it.

        `BrokenReferenceError` when the initiative does not exist, `AlreadyExistsError` when the
        id is taken.
        """
        ...

    async def find_by_id(self, id: str) -> Phase | None:
        """Return the phase, or `None` when there is none with this id."""
        ...

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        """Return the ids of the phases that begin with `prefix`, sorted; at most `limit`.

        They are in the order of their bytes. The prefix is taken as it is: `%` and `_` stand for
        themselves. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_all(self, *, limit: int | None = None, after: str | None = None) -> list[Phase]:
        """Return all phases, oldest first; with `limit`, at most so many.

        `after` is the id of the last phase seen: the list starts behind it, and `NotFoundError`
        is raised when it does not exist. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_by_initiative_id(self, initiative_id: str) -> list[Phase]:
        """Return the phases of an initiative, oldest first."""
        ...

    async def find_by_status(self, status: PhaseStatus) -> list[Phase]:
        """Return the phases in this status, of all initiatives, oldest first."""
        ...

    async def update(
        self,
        id: str,
        *,
        expected: PhaseExpected | None = None,
        **changes: Unpack[PhaseChanges],
    ) -> Phase:
        """Change what is passed, stamp `updated_at`, return the phase.

        `NotFoundError` for an unknown id.

        With `expected` only if the phase still holds these values when it is changed, else
        `StaleStateError`; nothing is written then.
        """
        ...

    async def delete(self, id: str) -> None:
        """Delete a phase; `NotFoundError` for an unknown id.

        Its tasks, review comments and dependencies, in both directions, go with it.
        Conversations stay, their `phase_id` becomes `None`.
        """
        ...

    async def create_dependency(self, id: str, depends_on_id: str) -> PhaseDependency:
        """Make the phase `id` wait for the phase `depends_on_id` and return the edge.

        `DependencyCycleError` when the edge would close a cycle, a phase waiting for itself
        included, also when the other half is being added at the same time by another unit of
        work; `AlreadyExistsError` when the edge is there already; `BrokenReferenceError` when one
        of the phases does not exist.
        """
        ...

    async def delete_dependency(self, id: str, depends_on_id: str) -> None:
        """Let the phase `id` no longer wait for `depends_on_id`.

        `NotFoundError` when there is no such edge.
        """
        ...

    async def set_dependencies(self, id: str, depends_on_ids: Sequence[str]) -> None:
        """Let the phase `id` wait for exactly these phases; edges that are there already stay.

        All or nothing: `DependencyCycleError` when one of them would close a cycle,
        `BrokenReferenceError` when one of the phases does not exist.
        """
        ...

    async def get_dependencies(self, id: str) -> list[Phase]:
        """Return the phases that this one directly waits for, oldest first."""
        ...

    async def get_dependents(self, id: str) -> list[Phase]:
        """Return the phases that directly wait for this one, oldest first."""
        ...

    async def find_dependencies_by_initiative_id(self, initiative_id: str) -> list[PhaseDependency]:
        """Return every edge that starts at a phase of the initiative.

        Ordered by `phase_id`, then `depends_on_phase_id`.
        """
        ...
