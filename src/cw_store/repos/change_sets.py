"""Change sets: what an agent changed in an initiative in one go, and how to undo it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NotRequired, Protocol, Unpack

from typing_extensions import TypedDict

from cw_store.repos.json_value import JsonValue

ChangeSetMode = Literal["plan", "detail", "refine"]
ChangeSetStatus = Literal["applied", "reverted"]
ChangeSetEntityType = Literal["page", "phase", "task"]
ChangeSetAction = Literal["create", "update", "delete"]


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """One change set; `agent_name` is the agent's name at the time and outlives the agent."""

    id: str
    initiative_id: str
    agent_id: str | None
    agent_name: str
    mode: ChangeSetMode
    summary: str | None
    status: ChangeSetStatus
    reverted_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ChangeSetEntry:
    """One page, phase or task that was changed, with its state before and after as JSON.

    By custom `previous_state` is `None` for a `create` and `new_state` is `None` for a `delete`.
    """

    id: str
    change_set_id: str
    entity_type: ChangeSetEntityType
    entity_id: str
    action: ChangeSetAction
    previous_state: JsonValue
    new_state: JsonValue
    sort_order: int
    created_at: datetime


class NewChangeSet(TypedDict):
    """What a change set is created from; `status` is `applied` unless given."""

    id: NotRequired[str]
    initiative_id: str
    agent_id: NotRequired[str | None]
    agent_name: str
    mode: ChangeSetMode
    summary: NotRequired[str | None]
    status: NotRequired[ChangeSetStatus]
    reverted_at: NotRequired[datetime | None]


class NewChangeSetEntry(TypedDict):
    """What an entry is created from, as part of its change set; `sort_order` is 0 unless given."""

    id: NotRequired[str]
    entity_type: ChangeSetEntityType
    entity_id: str
    action: ChangeSetAction
    previous_state: NotRequired[JsonValue]
    new_state: NotRequired[JsonValue]
    sort_order: NotRequired[int]


class ChangeSetChanges(TypedDict, total=False):
    """What can be changed of a change set; it is reverted through `mark_reverted`."""

    mode: ChangeSetMode
    summary: str | None


class ChangeSetExpected(TypedDict, total=False):
    """What a change set must hold for an `update` to be done; `None` is no value."""

    id: str
    initiative_id: str
    agent_id: str | None
    agent_name: str
    mode: ChangeSetMode
    summary: str | None
    status: ChangeSetStatus
    reverted_at: datetime | None
    created_at: datetime
    updated_at: datetime


class ChangeSetRepository(Protocol):
    """The change sets and their entries; bad input raises `InvalidValueError`."""

    async def create(
        self, *, entries: Sequence[NewChangeSetEntry] = (), **values: Unpack[NewChangeSet]
    ) -> ChangeSet:
        """Create a change set with all of its entries, or nothing, and return the change set.

        `BrokenReferenceError` when initiative or agent do not exist, `AlreadyExistsError` when an
        id is taken. Whether the entities exist is not checked.
        """
        ...

    async def find_by_id(self, id: str) -> ChangeSet | None:
        """Return the change set, or `None` when there is none with this id."""
        ...

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        """Return the ids of the change sets that begin with `prefix`, sorted; at most `limit`.

        They are in the order of their bytes. The prefix is taken as it is: `%` and `_` stand for
        themselves. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_all(
        self, *, limit: int | None = None, after: str | None = None
    ) -> list[ChangeSet]:
        """Return all change sets, oldest first; with `limit`, at most so many.

        `after` is the id of the last one seen: the list starts behind it, and `NotFoundError` is
        raised when it does not exist. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_by_initiative_id(self, initiative_id: str) -> list[ChangeSet]:
        """Return the change sets of an initiative, reverted ones included, oldest first."""
        ...

    async def find_by_agent_id(self, agent_id: str) -> list[ChangeSet]:
        """Return the change sets of an agent, reverted ones included, oldest first."""
        ...

    async def find_entries(self, id: str) -> list[ChangeSetEntry]:
        """Return the entries of a change set, ordered by `sort_order`, then oldest first.

        Entries with the same `sort_order` so stay in the order they were given in.
        """
        ...

    async def mark_reverted(self, id: str) -> ChangeSet:
        """Set an applied change set to `reverted`, stamp `reverted_at`, return it.

        It does not undo the changes themselves. `StaleStateError` when it is reverted already,
        `NotFoundError` for an unknown id.
        """
        ...

    async def update(
        self,
        id: str,
        *,
        expected: ChangeSetExpected | None = None,
        **changes: Unpack[ChangeSetChanges],
    ) -> ChangeSet:
        """Change what is passed, stamp `updated_at`, return the change set.

        `NotFoundError` for an unknown id.

        With `expected` only if the change set still holds these values when it is changed, else
        `StaleStateError`; nothing is written then.
        """
        ...

    async def delete(self, id: str) -> None:
        """Delete a change set and its entries; `NotFoundError` for an unknown id.

        Chat messages stay, their `change_set_id` becomes `None`.
        """
        ...
