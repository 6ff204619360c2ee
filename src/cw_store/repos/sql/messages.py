"""Messages in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from sqlalchemy import bindparam, select, text

from cw_store.errors import StaleStateError
from cw_store.repos.messages import (
    Message,
    MessageChanges,
    MessageExpected,
    MessageRepository,
    NewMessage,
    ParticipantType,
)
from cw_store.repos.sql.listings import Ids, Listing, oldest_first
from cw_store.repos.sql.table import TableGateway, refuse_none
from cw_store.schema import messages
from cw_store.statements.database import Database
from cw_store.statements.expressions import exactly
from cw_store.statements.query import Query

TABLE = TableGateway(messages, Message, NewMessage, MessageChanges, MessageExpected)

IDS = Ids(messages)

ALL = Listing(Message, select(*TABLE.columns), messages)

OLDEST_FIRST = select(*TABLE.columns).order_by(*oldest_first(messages))

FROM_TYPE = TABLE.listing_by("sender_type")

FROM_SENDER = Query(
    Message,
    OLDEST_FIRST.where(
        messages.c.sender_type == bindparam("sender_type"),
        messages.c.sender_id == bindparam("sender_id"),
    ),
    messages,
)

TO_TYPE = TABLE.listing_by("recipient_type")

TO_RECIPIENT = Query(
    Message,
    OLDEST_FIRST.where(
        messages.c.recipient_type == bindparam("recipient_type"),
        messages.c.recipient_id == bindparam("recipient_id"),
    ),
    messages,
)

PENDING_FOR_USER = Query(
    Message,
    OLDEST_FIRST.where(
        messages.c.recipient_type == exactly("user"), messages.c.status == exactly("pending")
    ),
    messages,
)

# Word for word the condition of the index ix_messages_requiring_response.
REQUIRING_RESPONSE = Query(
    Message,
    OLDEST_FIRST.where(text("requires_response AND status <> 'responded'")),
    messages,
)

REPLIES = TABLE.listing_by("parent_message_id")

# By what it says and not by the status that was seen: another may mark it as read in between.
RESPOND_ONCE = TABLE.returning(
    TABLE.setting(())
    .values(status="responded")
    .where(messages.c.id == bindparam("id"), messages.c.status != exactly("responded"))
)


class Messages(MessageRepository):
    """The repository over a database."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, **values: Unpack[NewMessage]) -> Message:
        return await TABLE.insert(self._database, values)

    async def create_many(self, rows: Sequence[NewMessage]) -> list[Message]:
        return await TABLE.insert_many(self._database, rows)

    async def find_by_id(self, id: str) -> Message | None:
        return await TABLE.get(self._database, id)

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        return await IDS.read(self._database, prefix, limit)

    async def find_all(
        self, *, limit: int | None = None, after: str | None = None
    ) -> list[Message]:
        return await ALL.read(self._database, limit, after)

    async def find_by_sender(self, type: ParticipantType, id: str | None = None) -> list[Message]:
        if id is None:
            return await self._database.all(FROM_TYPE, sender_type=type)
        return await self._database.all(FROM_SENDER, sender_type=type, sender_id=id)

    async def find_by_recipient(
        self, type: ParticipantType, id: str | None = None
    ) -> list[Message]:
        if id is None:
            return await self._database.all(TO_TYPE, recipient_type=type)
        return await self._database.all(TO_RECIPIENT, recipient_type=type, recipient_id=id)

    async def find_pending_for_user(self) -> list[Message]:
        return await self._database.all(PENDING_FOR_USER)

    async def find_requiring_response(self) -> list[Message]:
        return await self._database.all(REQUIRING_RESPONSE)

    async def find_replies(self, message_id: str) -> list[Message]:
        return await self._database.all(REPLIES, parent_message_id=message_id)

    async def respond(self, id: str, *, content: str) -> Message:
        refuse_none(messages, id=id)
        values: NewMessage = {
            "sender_type": "user",
            "recipient_type": "user",
            "content": content,
            "parent_message_id": id,
        }
        TABLE.check(self._database, [TABLE.complete(values)])
        async with self._database.atomic() as database:
            message = await database.first(RESPOND_ONCE, id=id)
            if message is None:
                await TABLE.need(database, id)
                raise StaleStateError(messages.name, id, f"message {id!r} is responded to already")
            row = TABLE.complete(
                {
                    "sender_type": message.recipient_type,
                    "sender_id": message.recipient_id,
                    "recipient_type": message.sender_type,
                    "recipient_id": message.sender_id,
                    "type": "response",
                    "content": content,
                    "parent_message_id": id,
                },
            )
            return await TABLE.store(database, row)

    async def update(
        self,
        id: str,
        *,
        expected: MessageExpected | None = None,
        **changes: Unpack[MessageChanges],
    ) -> Message:
        return await TABLE.change(self._database, id, changes, expected)

    async def delete(self, id: str) -> None:
        await TABLE.delete(self._database, id)
