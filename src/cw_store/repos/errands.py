"""Errands: small jobs on a branch of a project, outside of any initiative."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NotRequired, Protocol, Unpack

from typing_extensions import TypedDict

ErrandStatus = Literal["active", "pending_review", "conflict", "merged", "abandoned"]


@dataclass(frozen=True, slots=True)
class Errand:
    """One errand.

    `branch` is worked on and was made from `base_branch`. `agent_alias` is the name of the
    assigned agent at the time of reading, `None` when none is assigned.
    """

    id: str
    description: str
    branch: str
    base_branch: str
    agent_id: str | None
    project_id: str | None
    status: ErrandStatus
    created_at: datetime
    updated_at: datetime
    agent_alias: str | None


class NewErrand(TypedDict):
    """What an errand is created from, its id included.

    Unless given, `base_branch` is `main` and `status` is `active`.
    """

    id: str
    description: str
    branch: str
    base_branch: NotRequired[str]
    agent_id: NotRequired[str | None]
    project_id: NotRequired[str | None]
    status: NotRequired[ErrandStatus]


class ErrandChanges(TypedDict, total=False):
    """What can be changed of an errand; it stays with its project."""

    description: str
    branch: str
    base_branch: str
    agent_id: str | None
    status: ErrandStatus


class ErrandExpected(TypedDict, total=False):
    """What an errand must hold for an `update` to be done; `None` is no value."""

    id: str
    description: str
    branch: str
    base_branch: str
    agent_id: str | None
    project_id: str | None
    status: ErrandStatus
    created_at: datetime
    updated_at: datetime


class ErrandRepository(Protocol):
    """The errands, each with its agent's name; bad input raises `InvalidValueError`."""

    async def create(self, **values: Unpack[NewErrand]) -> Errand:
        """Create an errand with the id given and return it.

        `AlreadyExistsError` when the id is taken, `BrokenReferenceError` when project or agent do
        not exist.
        """
        ...

    async def find_by_id(self, id: str) -> Errand | None:
        """Return the errand, or `None` when there is none with this id."""
        ...

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        """Return the ids of the errands that begin with `prefix`, sorted; at most `limit`.

        They are in the order of their bytes. The prefix is taken as it is: `%` and `_` stand for
        themselves. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_all(
        self,
        project_id: str | None = None,
        status: ErrandStatus | None = None,
        *,
        limit: int | None = None,
        after: str | None = None,
    ) -> list[Errand]:
        """Return all errands, newest first; only those of a project or in a status when given.

        `limit` is how many at most; below 1 it is an `InvalidValueError`. `after` is the id of the
        last errand seen: the list goes on behind it, to older ones, and `NotFoundError` is raised
        when it does not exist.
        """
        ...

    async def update(
        self,
        id: str,
        *,
        expected: ErrandExpected | None = None,
        **changes: Unpack[ErrandChanges],
    ) -> Errand:
        """Change what is passed, stamp `updated_at`, return the errand.

        `NotFoundError` for an unknown id, `BrokenReferenceError` when the agent does not exist.

        With `expected` only if the errand still holds these values when it is changed, else
        `StaleStateError`; nothing is written then.
        """
        ...

    async def delete(self, id: str) -> None:
        """Delete an errand; `NotFoundError` for an unknown id."""
        ...
