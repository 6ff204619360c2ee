"""Chat sessions: the user and an agent refining a phase or a task, message by message."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NotRequired, Protocol, Unpack

from typing_extensions import TypedDict

ChatTargetType = Literal["phase", "task"]
ChatSessionStatus = Literal["active", "closed"]
ChatRole = Literal["user", "assistant", "system"]


@dataclass(frozen=True, slots=True)
class ChatSession:
    """One chat about the phase or task `target_id`, with the agent `agent_id`."""

    id: str
    target_type: ChatTargetType
    target_id: str
    initiative_id: str
    agent_id: str | None
    status: ChatSessionStatus
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a chat; `change_set_id` names the changes that were applied with it."""

    id: str
    chat_session_id: str
    role: ChatRole
    content: str
    change_set_id: str | None
    created_at: datetime


class NewChatSession(TypedDict):
    """What a chat session is created from; `status` is `active` unless given."""

    id: NotRequired[str]
    target_type: ChatTargetType
    target_id: str
    initiative_id: str
    agent_id: NotRequired[str | None]
    status: NotRequired[ChatSessionStatus]


class NewChatMessage(TypedDict):
    """What a chat message is created from."""

    id: NotRequired[str]
    chat_session_id: str
    role: ChatRole
    content: str
    change_set_id: NotRequired[str | None]


class ChatSessionChanges(TypedDict, total=False):
    """What can be changed of a chat session; what it is about cannot."""

    agent_id: str | None
    status: ChatSessionStatus


class ChatSessionExpected(TypedDict, total=False):
    """What a chat session must hold for an `update` to be done; `None` is no value."""

    id: str
    target_type: ChatTargetType
    target_id: str
    initiative_id: str
    agent_id: str | None
    status: ChatSessionStatus
    created_at: datetime
    updated_at: datetime


class ChatSessionRepository(Protocol):
    """The chat sessions and their messages; bad input raises `InvalidValueError`."""

    async def create_session(self, **values: Unpack[NewChatSession]) -> ChatSession:
        """Create a chat session and return it.

        `BrokenReferenceError` when initiative or agent do not exist, `AlreadyExistsError` when
        the id is taken. Whether the target exists is not checked.
        """
        ...

    async def find_session_by_id(self, id: str) -> ChatSession | None:
        """Return the session, or `None` when there is none with this id."""
        ...

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        """Return the ids of the chat sessions that begin with `prefix`, sorted; at most `limit`.

        They are in the order of their bytes. The prefix is taken as it is: `%` and `_` stand for
        themselves. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_all(
        self, *, limit: int | None = None, after: str | None = None
    ) -> list[ChatSession]:
        """Return all chat sessions, oldest first; with `limit`, at most so many.

        `after` is the id of the last one seen: the list starts behind it, and `NotFoundError` is
        raised when it does not exist. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_active_session(
        self, target_type: ChatTargetType, target_id: str
    ) -> ChatSession | None:
        """Return the newest active session about a phase or task, or `None`."""
        ...

    async def find_active_session_by_agent_id(self, agent_id: str) -> ChatSession | None:
        """Return the newest active session of an agent, or `None`."""
        ...

    async def find_by_target(
        self, target_type: ChatTargetType, target_id: str
    ) -> list[ChatSession]:
        """Return the sessions about a phase or task, closed ones included, oldest first."""
        ...

    async def update_session(
        self,
        id: str,
        *,
        expected: ChatSessionExpected | None = None,
        **changes: Unpack[ChatSessionChanges],
    ) -> ChatSession:
        """Change what is passed, stamp `updated_at`, return the session.

        `NotFoundError` for an unknown id, `BrokenReferenceError` when the agent does not exist.

        With `expected` only if the chat session still holds these values when it is changed, else
        `StaleStateError`; nothing is written then.
        """
        ...

    async def close_session(self, id: str) -> ChatSession:
        """Set a session to `closed`, which it may be already, and return it.

        `NotFoundError` for an unknown id.
        """
        ...

    async def delete_session(self, id: str) -> None:
        """Delete a session and its messages; `NotFoundError` for an unknown id."""
        ...

    async def create_message(self, **values: Unpack[NewChatMessage]) -> ChatMessage:
        """Append a message to a session, stamp the session's `updated_at`, return the message.

        `BrokenReferenceError` when session or change set do not exist, `AlreadyExistsError` when
        the id is taken.
        """
        ...

    async def find_messages_by_session_id(
        self, session_id: str, *, after: str | None = None, limit: int | None = None
    ) -> list[ChatMessage]:
        """Return the messages of a session, oldest first; with `limit`, at most so many.

        `after` is the id of the last message seen: the list starts behind it, and `NotFoundError`
        is raised when it does not exist. A `limit` below 1 is an `InvalidValueError`.
        """
        ...
