"""Proposals: what an agent suggests to create or change, for the user to accept or dismiss."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NotRequired, Protocol, Unpack

from typing_extensions import TypedDict

from cw_store.repos.json_value import JsonValue

ProposalTargetType = Literal["page", "phase", "task"]
ProposalStatus = Literal["pending", "accepted", "dismissed"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """One proposal.

    `target_id` is the page, phase or task to change, `None` when one is to be created. `content`
    is markdown, `metadata` is JSON.
    """

    id: str
    agent_id: str
    initiative_id: str
    target_type: ProposalTargetType
    target_id: str | None
    title: str
    summary: str | None
    content: str | None
    metadata: JsonValue
    status: ProposalStatus
    sort_order: int
    created_at: datetime
    updated_at: datetime


class NewProposal(TypedDict):
    """What a proposal is created from; unless given, `status` is `pending`, `sort_order` 0."""

    id: NotRequired[str]
    agent_id: str
    initiative_id: str
    target_type: ProposalTargetType
    target_id: NotRequired[str | None]
    title: str
    summary: NotRequired[str | None]
    content: NotRequired[str | None]
    metadata: NotRequired[JsonValue]
    status: NotRequired[ProposalStatus]
    sort_order: NotRequired[int]


class ProposalChanges(TypedDict, total=False):
    """What can be changed of a proposal; its agent, initiative and kind of target cannot."""

    target_id: str | None
    title: str
    summary: str | None
    content: str | None
    metadata: JsonValue
    status: ProposalStatus
    sort_order: int


class ProposalExpected(TypedDict, total=False):
    """What a proposal must hold for an `update` to be done; `None` is no value."""

    id: str
    agent_id: str
    initiative_id: str
    target_type: ProposalTargetType
    target_id: str | None
    title: str
    summary: str | None
    content: str | None
    status: ProposalStatus
    sort_order: int
    created_at: datetime
    updated_at: datetime


class ProposalRepository(Protocol):
    """The proposals; bad input raises `InvalidValueError` and writes nothing."""

    async def create(self, **values: Unpack[NewProposal]) -> Proposal:
        """Create a proposal and return it.

        `BrokenReferenceError` when agent or initiative do not exist, `AlreadyExistsError` when
        the id is taken. Whether the target exists is not checked.
        """
        ...

    async def create_many(self, rows: Sequence[NewProposal]) -> list[Proposal]:
        """Create all of the proposals or none, and return them in the order given.

        Raises what `create` raises.
        """
        ...

    async def find_by_id(self, id: str) -> Proposal | None:
        """Return the proposal, or `None` when there is none with this id."""
        ...

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        """Return the ids of the proposals that begin with `prefix`, sorted; at most `limit`.

        They are in the order of their bytes. The prefix is taken as it is: `%` and `_` stand for
        themselves. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_all(
        self, *, limit: int | None = None, after: str | None = None
    ) -> list[Proposal]:
        """Return all proposals, oldest first; with `limit`, at most so many.

        `after` is the id of the last proposal seen: the list starts behind it, and `NotFoundError`
        is raised when it does not exist. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_by_agent_id(self, agent_id: str) -> list[Proposal]:
        """Return the proposals of an agent, oldest first."""
        ...

    async def find_by_initiative_id(self, initiative_id: str) -> list[Proposal]:
        """Return the proposals for an initiative, oldest first."""
        ...

    async def find_by_agent_id_and_status(
        self, agent_id: str, status: ProposalStatus
    ) -> list[Proposal]:
        """Return the proposals of an agent that are in this status, oldest first."""
        ...

    async def count_by_agent_id_and_status(self, agent_id: str, status: ProposalStatus) -> int:
        """Return how many proposals of an agent are in this status; 0 for an unknown agent."""
        ...

    async def update(
        self,
        id: str,
        *,
        expected: ProposalExpected | None = None,
        **changes: Unpack[ProposalChanges],
    ) -> Proposal:
        """Change what is passed, stamp `updated_at`, return the proposal.

        `NotFoundError` for an unknown id.

        With `expected` only if the proposal still holds these values when it is changed, else
        `StaleStateError`; nothing is written then.
        """
        ...

    async def update_many_by_agent_id(
        self,
        agent_id: str,
        *,
        expected: ProposalExpected | None = None,
        **changes: Unpack[ProposalChanges],
    ) -> int:
        """Change what is passed in every proposal of an agent; return how many were changed.

        With `expected` only in those that hold these values. Stamps `updated_at`; 0 for an agent
        without proposals, or an unknown one.
        """
        ...

    async def delete(self, id: str) -> None:
        """Delete a proposal; `NotFoundError` for an unknown id."""
        ...
