"""Projects: the git repositories that initiatives and errands work in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NotRequired, Protocol, Unpack

from typing_extensions import TypedDict


@dataclass(frozen=True, slots=True)
class Project:
    """One project; `url` is that of its git repository."""

    id: str
    name: str
    url: str
    default_branch: str
    last_fetched_at: datetime | None
    created_at: datetime
    updated_at: datetime


class NewProject(TypedDict):
    """What a project is created from; `default_branch` is `main` unless given."""

    id: NotRequired[str]
    name: str
    url: str
    default_branch: NotRequired[str]
    last_fetched_at: NotRequired[datetime | None]


class ProjectChanges(TypedDict, total=False):
    """What can be changed of a project."""

    name: str
    url: str
    default_branch: str
    last_fetched_at: datetime | None


class ProjectExpected(TypedDict, total=False):
    """What a project must hold for an `update` to be done; `None` is no value."""

    id: str
    name: str
    url: str
    default_branch: str
    last_fetched_at: datetime | None
    created_at: datetime
    updated_at: datetime


class ProjectRepository(Protocol):
    """The projects and which initiatives use them; bad input raises `InvalidValueError`."""

    async def create(self, **values: Unpack[NewProject]) -> Project:
        """Create a project and return it; `AlreadyExistsError` when name, URL or id is taken."""
        ...

    async def find_by_id(self, id: str) -> Project | None:
        """Return the project, or `None` when there is none with this id."""
        ...

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        """Return the ids of the projects that begin with `prefix`, sorted; at most `limit`.

        They are in the order of their bytes. The prefix is taken as it is: `%` and `_` stand for
        themselves. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_by_name(self, name: str) -> Project | None:
        """Return the project with this name, or `None`."""
        ...

    async def find_all(
        self, *, limit: int | None = None, after: str | None = None
    ) -> list[Project]:
        """Return all projects, oldest first; with `limit`, at most so many.

        `after` is the id of the last project seen: the list starts behind it, and
        `NotFoundError` is raised when it does not exist. A `limit` below 1 is an
        `InvalidValueError`.
        """
        ...

    async def update(
        self,
        id: str,
        *,
        expected: ProjectExpected | None = None,
        **changes: Unpack[ProjectChanges],
    ) -> Project:
        """Change what is passed, stamp `updated_at`, return the project.

        `NotFoundError` for an unknown id, `AlreadyExistsError` when the new name or URL is taken.

        With `expected` only if the project still holds these values when it is changed, else
        `StaleStateError`; nothing is written then.
        """
        ...

    async def delete(self, id: str) -> None:
        """Delete a project, its errands and its links to initiatives.

        `NotFoundError` for an unknown id.
        """
        ...

    async def set_initiative_projects(self, initiative_id: str, project_ids: Sequence[str]) -> None:
        """Make these the projects of an initiative: link what is missing, unlink what is extra.

        Links that are there already are not touched, an id given twice counts once, and an empty
        list unlinks all. `BrokenReferenceError` when the initiative or a project to be linked
        does not exist.
        """
        ...

    async def add_initiative_project(self, initiative_id: str, project_id: str) -> None:
        """Link a project to an initiative.

        `AlreadyExistsError` when it is linked already, `BrokenReferenceError` when one of the two
        does not exist.
        """
        ...

    async def remove_initiative_project(self, initiative_id: str, project_id: str) -> None:
        """Unlink a project from an initiative; `NotFoundError` when it is not linked."""
        ...

    async def find_projects_by_initiative_id(self, initiative_id: str) -> list[Project]:
        """Return the projects linked to an initiative, oldest project first."""
        ...
