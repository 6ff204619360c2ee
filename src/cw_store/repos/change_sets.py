"""Change sets: what an agent changed in an initiative in one go, and how to undo it."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
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


@dataclass(slots=True)
class Recording:
    """What is being recorded; `id` is that of the change set, which is there from the beginning.

    `change_set` is it as it is stored when the block has ended, or `None`: before, and when
    nothing was recorded.
    """

    id: str
    change_set: ChangeSet | None = None


@dataclass(frozen=True, slots=True)
class RestoredEntity:
    """A page, phase or task that a revert has put back, and what it had to do to it.

    It is created again where the change set had deleted it, and deleted where that had created it.
    """

    entity_type: ChangeSetEntityType
    entity_id: str
    action: ChangeSetAction


@dataclass(frozen=True, slots=True)
class LostRow:
    """A row that went with a page, phase or task, or lost its reference to it; not brought back.

    `table` and `id` say which row, `column` is the one that referred to the entity: the row itself
    is gone where that is `None`.
    """

    entity_type: ChangeSetEntityType
    entity_id: str
    table: str
    id: str
    column: str | None


@dataclass(frozen=True, slots=True)
class Reverted:
    """What a revert has done: the change set, now `reverted`, what is as it was, and what is not.

    `lost` are rows of other tables, and under `force` pages, phases and tasks that came later.
    """

    change_set: ChangeSet
    restored: tuple[RestoredEntity, ...]
    lost: tuple[LostRow, ...]


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

    def recording(
        self,
        *,
        initiative_id: str,
        mode: ChangeSetMode,
        agent_id: str | None = None,
        agent_name: str | None = None,
        summary: str | None = None,
    ) -> AbstractAsyncContextManager[Recording]:
        """Record what is done to pages, phases and tasks in a block, as one change set.

        `async with uow.change_sets.recording(initiative_id=…, agent_id=…, mode="plan"):`, in a unit
        of work. What `uow.pages`, `uow.phases` and `uow.tasks` create, change and delete in the
        block becomes entries, in that order, each with the state before and after, in the
        transaction that does it: subtasks that move along, and what a deletion takes along of the
        three included. What has no effect leaves no entry, and a block without any leaves no change
        set. Rows of any initiative are recorded; what other repositories and the session do is not.

        A state has a key for each column of the row, times as text (ISO 8601), and besides the ids
        that a phase or a task waits for, `depends_on_ids`, and its place in the order of storing,
        `seq`. Under `lost` the state before a deletion lists rows that went too, or whose
        reference became `None`: `{"table", "id", "column"}`.

        The block is a savepoint: when it raises, all that was done in it is undone. A row is
        locked before it is looked at, so what is recorded is what was found.

        `agent_name` is that of the agent unless given, and one of the two is needed, else
        `InvalidValueError`. `BrokenReferenceError` when initiative or agent do not exist,
        `UnitOfWorkError` on the store itself and inside of another recording; `UnreadableError`
        for a row that cannot be read, which then is not changed.
        """
        ...

    async def revert(self, id: str, *, force: bool = False) -> Reverted:
        """Put back what a change set changed, mark it `reverted`, and say what was done.

        All of it, or nothing: a transaction of its own on the store, a part of the transaction in a
        unit of work. What the set created is deleted, what it changed is as before, and what it
        deleted is there again under its id, in its place (`seq`) where that is free. `updated_at`
        goes on, and a claim is not brought back: a task that was claimed comes back `pending`.

        `ChangeConflictError` when any of it was changed since, claimed, or deleted, or when
        something came since that would go too; what a change set did itself, one step after the
        other, is no conflict. `force=True` overwrites what was changed since, but never a claimed
        task, and restores no reference to what is gone. `StaleStateError` when it is reverted
        already, `NotFoundError` for an unknown id.

        Of states that hold only some columns, written by hand, those are compared and put back.
        `InvalidValueError` when a state cannot be understood. Not in a recording
        (`UnitOfWorkError`).
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
