"""Conversations: a question that one agent asks another, and its answer."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NotRequired, Protocol, Unpack

from typing_extensions import TypedDict

ConversationStatus = Literal["pending", "answered"]


@dataclass(frozen=True, slots=True)
class Conversation:
    """One question; `answer` is `None` until it is answered."""

    id: str
    from_agent_id: str
    to_agent_id: str
    initiative_id: str | None
    phase_id: str | None
    task_id: str | None
    question: str
    answer: str | None
    status: ConversationStatus
    created_at: datetime
    updated_at: datetime


class NewConversation(TypedDict):
    """What a conversation is created from; `status` is `pending` unless given."""

    id: NotRequired[str]
    from_agent_id: str
    to_agent_id: str
    initiative_id: NotRequired[str | None]
    phase_id: NotRequired[str | None]
    task_id: NotRequired[str | None]
    question: str
    answer: NotRequired[str | None]
    status: NotRequired[ConversationStatus]


class ConversationChanges(TypedDict, total=False):
    """What can be changed of a conversation; the answer comes through `answer`."""

    initiative_id: str | None
    phase_id: str | None
    task_id: str | None
    question: str


class ConversationExpected(TypedDict, total=False):
    """What a conversation must hold for an `update` to be done; `None` is no value."""

    id: str
    from_agent_id: str
    to_agent_id: str
    initiative_id: str | None
    phase_id: str | None
    task_id: str | None
    question: str
    answer: str | None
    status: ConversationStatus
    created_at: datetime
    updated_at: datetime


class ConversationRepository(Protocol):
    """The conversations; bad input raises `InvalidValueError` and writes nothing."""

    async def create(
        self, *, refuse_deadlock: bool = False, **values: Unpack[NewConversation]
    ) -> Conversation:
        """Create a conversation and return it.

        `BrokenReferenceError` when one of the agents, or the initiative, phase or task does not
        exist, `AlreadyExistsError` when the id is taken.

        With `refuse_deadlock` a question is refused that would leave agents waiting for each other:
        `DependencyCycleError` when the one that is asked waits for an answer of the one that asks,
        directly or through other pending questions, or is the same. Its `path` has the ids of the
        agents around the circle. Questions that are asked with it take turns, so that of two which
        would close a circle together the second is refused. One asked without it is taken into
        account when it is stored, and may itself close a circle.
        """
        ...

    async def find_by_id(self, id: str) -> Conversation | None:
        """Return the conversation, or `None` when there is none with this id."""
        ...

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        """Return the ids of the conversations that begin with `prefix`, sorted; at most `limit`.

        They are in the order of their bytes. The prefix is taken as it is: `%` and `_` stand for
        themselves. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_all(
        self, *, limit: int | None = None, after: str | None = None
    ) -> list[Conversation]:
        """Return all conversations, oldest first; with `limit`, at most so many.

        `after` is the id of the last one seen: the list starts behind it, and `NotFoundError` is
        raised when it does not exist. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_pending_for_agent(self, agent_id: str) -> list[Conversation]:
        """Return what was asked of an agent and is not yet answered, oldest first."""
        ...

    async def find_pending(self) -> list[Conversation]:
        """Return what is not yet answered, of all agents, oldest first."""
        ...

    async def find_unanswerable(self) -> list[Conversation]:
        """Return what is pending and was asked of an agent that is stopped or has crashed.

        Oldest first.
        """
        ...

    async def find_by_from_agent_id(self, agent_id: str) -> list[Conversation]:
        """Return what an agent asked, answered or not, oldest first."""
        ...

    async def answer(self, id: str, answer: str) -> Conversation:
        """Answer a pending conversation and return it, now `answered`.

        Only the first answer counts: `StaleStateError` when there is one already.
        `NotFoundError` for an unknown id.
        """
        ...

    async def update(
        self,
        id: str,
        *,
        expected: ConversationExpected | None = None,
        **changes: Unpack[ConversationChanges],
    ) -> Conversation:
        """Change what is passed, stamp `updated_at`, return the conversation.

        `NotFoundError` for an unknown id, `BrokenReferenceError` when initiative, phase or task
        do not exist.

        With `expected` only if the conversation still holds these values when it is changed, else
        `StaleStateError`; nothing is written then.
        """
        ...

    async def delete(self, id: str) -> None:
        """Delete a conversation; `NotFoundError` for an unknown id."""
        ...
