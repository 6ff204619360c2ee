"""Conversations in SQL."""

from __future__ import annotations

from typing import Unpack

from sqlalchemy import bindparam, select

from cw_store.errors import StaleStateError
from cw_store.repos.conversations import (
    Conversation,
    ConversationChanges,
    ConversationExpected,
    ConversationRepository,
    NewConversation,
)
from cw_store.repos.sql.cycles import Cycles, Ends
from cw_store.repos.sql.listings import Ids, Listing, oldest_first
from cw_store.repos.sql.table import TableGateway, refuse_no_flag, refuse_none
from cw_store.schema import agents, conversations
from cw_store.statements.database import Database
from cw_store.statements.expressions import exactly
from cw_store.statements.query import Query, new_values

TABLE = TableGateway(
    conversations, Conversation, NewConversation, ConversationChanges, ConversationExpected
)

IDS = Ids(conversations)

ALL = Listing(Conversation, select(*TABLE.columns), conversations)

PENDING_FOR_AGENT = Query(
    Conversation,
    select(*TABLE.columns)
    .where(
        conversations.c.to_agent_id == bindparam("to_agent_id"),
        conversations.c.status == exactly("pending"),
    )
    .order_by(*oldest_first(conversations)),
    conversations,
)

FROM_AGENT = TABLE.listing_by("from_agent_id")

ANSWER_PENDING = TABLE.returning(
    TABLE.setting(("answer",))
    .values(status="answered")
    .where(conversations.c.id == bindparam("id"), conversations.c.status == exactly("pending"))
)

PENDING = Query(
    Conversation,
    select(*TABLE.columns)
    .where(conversations.c.status == exactly("pending"))
    .order_by(*oldest_first(conversations)),
    conversations,
)

UNANSWERABLE = Query(
    Conversation,
    select(*TABLE.columns)
    .join(agents, agents.c.id == conversations.c.to_agent_id)
    .where(
        conversations.c.status == exactly("pending"),
        (agents.c.status == "stopped") | (agents.c.status == "crashed"),
    )
    .order_by(*oldest_first(conversations)),
    conversations,
)

DEADLOCKS = Cycles(
    Ends(
        conversations,
        select(*[conversations.c.from_agent_id, conversations.c.to_agent_id])
        .where(conversations.c.status == exactly("pending"))
        .subquery("waiting"),
    )
)
"""Who asks waits for who is asked, until the answer."""


class Conversations(ConversationRepository):
    """The repository over a database."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, *, refuse_deadlock: bool = False, **values: Unpack[NewConversation]
    ) -> Conversation:
        refuse_no_flag(conversations, refuse_deadlock=refuse_deadlock)
        row = TABLE.complete(values)
        if not refuse_deadlock or row.get("status", "pending") != "pending":
            return await TABLE.store(self._database, row)
        TABLE.check(self._database, [row])  # before anything is compared with rows that there are
        async with self._database.atomic() as database:
            # Two halves of a circle, asked at the same time, would not see each other.
            await database.lock(conversations.name)
            await DEADLOCKS.refuse(database, row["from_agent_id"], row["to_agent_id"])
            return await TABLE.store(database, row)

    async def find_by_id(self, id: str) -> Conversation | None:
        return await TABLE.get(self._database, id)

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        return await IDS.read(self._database, prefix, limit)

    async def find_all(
        self, *, limit: int | None = None, after: str | None = None
    ) -> list[Conversation]:
        return await ALL.read(self._database, limit, after)

    async def find_pending_for_agent(self, agent_id: str) -> list[Conversation]:
        return await self._database.all(PENDING_FOR_AGENT, to_agent_id=agent_id)

    async def find_pending(self) -> list[Conversation]:
        return await self._database.all(PENDING)

    async def find_unanswerable(self) -> list[Conversation]:
        return await self._database.all(UNANSWERABLE)

    async def find_by_from_agent_id(self, agent_id: str) -> list[Conversation]:
        return await self._database.all(FROM_AGENT, from_agent_id=agent_id)

    async def answer(self, id: str, answer: str) -> Conversation:
        refuse_none(conversations, answer=answer)
        values = new_values({"answer": answer})
        answered = await self._database.first(ANSWER_PENDING, id=id, **values)
        if answered is None:
            await TABLE.need(self._database, id)
            raise StaleStateError(
                conversations.name, id, f"conversation {id!r} is answered already"
            )
        return answered

    async def update(
        self,
        id: str,
        *,
        expected: ConversationExpected | None = None,
        **changes: Unpack[ConversationChanges],
    ) -> Conversation:
        return await TABLE.change(self._database, id, changes, expected)

    async def delete(self, id: str) -> None:
        await TABLE.delete(self._database, id)
