"""Initiatives: the pieces of work that phases, tasks and pages belong to."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NotRequired, Protocol, Unpack

from typing_extensions import TypedDict

InitiativeStatus = Literal["active", "pending_review", "completed", "archived"]


@dataclass(frozen=True, slots=True)
class Initiative:
    """One initiative; `branch` is the git branch it is worked on, like `cw/user-auth`.

    `max_agents` is how many agents may work on it at once, `None` for any number.
    `dispatch_turn` grows with every task of it that is handed out: the initiative with the lowest
    is next, and one that never had its turn, with `None`, before all others.
    """

    id: str
    name: str
    status: InitiativeStatus
    branch: str | None
    max_agents: int | None
    dispatch_turn: int | None
    created_at: datetime
    updated_at: datetime


class NewInitiative(TypedDict):
    """What an initiative is created from; `status` is `active` unless given.

    A `max_agents` below 1 is an `InvalidValueError`.
    """

    id: NotRequired[str]
    name: str
    status: NotRequired[InitiativeStatus]
    branch: NotRequired[str | None]
    max_agents: NotRequired[int | None]


class InitiativeChanges(TypedDict, total=False):
    """What can be changed of an initiative; a `max_agents` below 1 is an `InvalidValueError`."""

    name: str
    status: InitiativeStatus
    branch: str | None
    max_agents: int | None


class InitiativeExpected(TypedDict, total=False):
    """What an initiative must hold for an `update` to be done; `None` is no value."""

    id: str
    name: str
    status: InitiativeStatus
    branch: str | None
    max_agents: int | None
    dispatch_turn: int | None
    created_at: datetime
    updated_at: datetime


class InitiativeRepository(Protocol):
    """The initiatives; bad input raises `InvalidValueError` and writes nothing."""

    async def create(self, **values: Unpack[NewInitiative]) -> Initiative:
        """Create an initiative and return it; `AlreadyExistsError` when the id is taken."""
        ...

    async def find_by_id(self, id: str) -> Initiative | None:
        """Return the initiative, or `None` when there is none with this id."""
        ...

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        """Return the ids of the initiatives that begin with `prefix`, sorted; at most `limit`.

        They are in the order of their bytes. The prefix is taken as it is: `%` and `_` stand for
        themselves. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_all(
        self, *, limit: int | None = None, after: str | None = None
    ) -> list[Initiative]:
        """Return all initiatives, oldest first; with `limit`, at most so many.

        `after` is the id of the last initiative seen: the list starts behind it, and
        `NotFoundError` is raised when it does not exist. A `limit` below 1 is an
        `InvalidValueError`.
        """
        ...

    async def find_by_status(self, status: InitiativeStatus) -> list[Initiative]:
        """Return the initiatives in this status, oldest first."""
        ...

    async def find_by_project_id(self, project_id: str) -> list[Initiative]:
        """Return the initiatives that use a project, oldest first."""
        ...

    async def update(
        self,
        id: str,
        *,
        expected: InitiativeExpected | None = None,
        **changes: Unpack[InitiativeChanges],
    ) -> Initiative:
        """Change what is passed, stamp `updated_at`, return the initiative.

        `NotFoundError` for an unknown id.

        With `expected` only if the initiative still holds these values when it is changed, else
        `StaleStateError`; nothing is written then.
        """
        ...

    async def delete(self, id: str) -> None:
        """Delete an initiative and all that belongs to it; `NotFoundError` for an unknown id.

        Its phases, tasks, pages, proposals, chat sessions, change sets and links to projects go
        with it. Agents and conversations stay, their `initiative_id` becomes `None`.
        """
        ...
