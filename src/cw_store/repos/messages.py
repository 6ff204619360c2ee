"""Messages between agents and the user, threaded by replies."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NotRequired, Protocol, Unpack

from typing_extensions import TypedDict

ParticipantType = Literal["agent", "user"]
MessageType = Literal["question", "info", "error", "response"]
MessageStatus = Literal["pending", "read", "responded"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message; `sender_id` and `recipient_id` name agents and are `None` for the user."""

    id: str
    sender_type: ParticipantType
    sender_id: str | None
    recipient_type: ParticipantType
    recipient_id: str | None
    type: MessageType
    content: str
    requires_response: bool
    status: MessageStatus
    parent_message_id: str | None
    created_at: datetime
    updated_at: datetime


class NewMessage(TypedDict):
    """What a message is created from.

    Unless given, `type` is `info`, `requires_response` is false and `status` is `pending`.
    """

    id: NotRequired[str]
    sender_type: ParticipantType
    sender_id: NotRequired[str | None]
    recipient_type: ParticipantType
    recipient_id: NotRequired[str | None]
    type: NotRequired[MessageType]
    content: str
    requires_response: NotRequired[bool]
    status: NotRequired[MessageStatus]
    parent_message_id: NotRequired[str | None]


class MessageChanges(TypedDict, total=False):
    """What can be changed of a message; who wrote it to whom, and in reply to what, cannot."""

    type: MessageType
    content: str
    requires_response: bool
    status: MessageStatus


class MessageExpected(TypedDict, total=False):
    """What a message must hold for an `update` to be done; `None` is no value."""

    id: str
    sender_type: ParticipantType
    sender_id: str | None
    recipient_type: ParticipantType
    recipient_id: str | None
    type: MessageType
    content: str
    requires_response: bool
    status: MessageStatus
    parent_message_id: str | None
    created_at: datetime
    updated_at: datetime


class MessageRepository(Protocol):
    """The messages; bad input raises `InvalidValueError` and writes nothing."""

    async def create(self, **values: Unpack[NewMessage]) -> Message:
        """Create a message and return it.

        `BrokenReferenceError` when sender, recipient or parent message do not exist,
        `AlreadyExistsError` when the id is taken.
        """
        ...

    async def create_many(self, rows: Sequence[NewMessage]) -> list[Message]:
        """Create all of the messages or none, and return them in the order given.

        Raises what `create` raises.
        """
        ...

    async def find_by_id(self, id: str) -> Message | None:
        """Return the message, or `None` when there is none with this id."""
        ...

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        """Return the ids of the messages that begin with `prefix`, sorted; at most `limit`.

        They are in the order of their bytes. The prefix is taken as it is: `%` and `_` stand for
        themselves. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_all(
        self, *, limit: int | None = None, after: str | None = None
    ) -> list[Message]:
        """Return all messages, oldest first; with `limit`, at most so many.

        `after` is the id of the last message seen: the list starts behind it, and `NotFoundError`
        is raised when it does not exist. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_by_sender(self, type: ParticipantType, id: str | None = None) -> list[Message]:
        """Return the messages of a sender, oldest first.

        Without `id`, those of every sender of this type.
        """
        ...

    async def find_by_recipient(
        self, type: ParticipantType, id: str | None = None
    ) -> list[Message]:
        """Return the messages to a recipient, oldest first.

        Without `id`, those to every recipient of this type.
        """
        ...

    async def find_pending_for_user(self) -> list[Message]:
        """Return the messages to the user that are still `pending`, oldest first."""
        ...

    async def find_requiring_response(self) -> list[Message]:
        """Return the messages that require a response and are not `responded`, oldest first."""
        ...

    async def find_replies(self, message_id: str) -> list[Message]:
        """Return the direct replies to a message, oldest first."""
        ...

    async def respond(self, id: str, *, content: str) -> Message:
        """Reply to a message, which becomes `responded`, in one transaction; return the reply.

        The reply is a `response` from whom the message was for to whom it is from.
        `StaleStateError` when it was responded to before, `NotFoundError` for an unknown id.
        """
        ...

    async def update(
        self,
        id: str,
        *,
        expected: MessageExpected | None = None,
        **changes: Unpack[MessageChanges],
    ) -> Message:
        """Change what is passed, stamp `updated_at`, return the message.

        `NotFoundError` for an unknown id.

        With `expected` only if the message still holds these values when it is changed, else
        `StaleStateError`; nothing is written then.
        """
        ...

    async def delete(self, id: str) -> None:
        """Delete a message; `NotFoundError` for an unknown id.

        Replies to it stay, their `parent_message_id` becomes `None`.
        """
        ...
