"""Chat sessions and their messages in SQL."""

from __future__ import annotations

from typing import Unpack

from sqlalchemy import bindparam, select

from cw_store.repos.chat_sessions import (
    ChatMessage,
    ChatSession,
    ChatSessionChanges,
    ChatSessionExpected,
    ChatSessionRepository,
    ChatTargetType,
    NewChatMessage,
    NewChatSession,
)
from cw_store.repos.sql.listings import Ids, Listing, newest_first, oldest_first
from cw_store.repos.sql.table import TableGateway
from cw_store.schema import chat_messages, chat_sessions
from cw_store.statements.database import Database
from cw_store.statements.query import Query

SESSIONS = TableGateway(
    chat_sessions, ChatSession, NewChatSession, ChatSessionChanges, ChatSessionExpected
)

IDS = Ids(chat_sessions)

ALL = Listing(ChatSession, select(*SESSIONS.columns), chat_sessions)

MESSAGES = TableGateway(chat_messages, ChatMessage, NewChatMessage)

NEWEST_ACTIVE = (
    select(*SESSIONS.columns)
    .where(chat_sessions.c.status == "active")
    .order_by(*newest_first(chat_sessions))
    .limit(1)
)

ACTIVE_ABOUT_TARGET = Query(
    ChatSession,
    NEWEST_ACTIVE.where(
        chat_sessions.c.target_type == bindparam("target_type"),
        chat_sessions.c.target_id == bindparam("target_id"),
    ),
    chat_sessions,
)

ACTIVE_OF_AGENT = Query(
    ChatSession,
    NEWEST_ACTIVE.where(chat_sessions.c.agent_id == bindparam("agent_id")),
    chat_sessions,
)

MESSAGES_OF_SESSION = Listing(
    ChatMessage,
    select(*MESSAGES.columns).where(chat_messages.c.chat_session_id == bindparam("session_id")),
    chat_messages,
)

ABOUT_TARGET = Query(
    ChatSession,
    select(*SESSIONS.columns)
    .where(
        chat_sessions.c.target_type == bindparam("target_type"),
        chat_sessions.c.target_id == bindparam("target_id"),
    )
    .order_by(*oldest_first(chat_sessions)),
    chat_sessions,
)


class ChatSessions(ChatSessionRepository):
    """The repository over a database."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_session(self, **values: Unpack[NewChatSession]) -> ChatSession:
        return await SESSIONS.insert(self._database, values)

    async def find_session_by_id(self, id: str) -> ChatSession | None:
        return await SESSIONS.get(self._database, id)

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        return await IDS.read(self._database, prefix, limit)

    async def find_all(
        self, *, limit: int | None = None, after: str | None = None
    ) -> list[ChatSession]:
        return await ALL.read(self._database, limit, after)

    async def find_active_session(
        self, target_type: ChatTargetType, target_id: str
    ) -> ChatSession | None:
        return await self._database.first(
            ACTIVE_ABOUT_TARGET, target_type=target_type, target_id=target_id
        )

    async def find_active_session_by_agent_id(self, agent_id: str) -> ChatSession | None:
        return await self._database.first(ACTIVE_OF_AGENT, agent_id=agent_id)

    async def find_by_target(
        self, target_type: ChatTargetType, target_id: str
    ) -> list[ChatSession]:
        return await self._database.all(ABOUT_TARGET, target_type=target_type, target_id=target_id)

    async def update_session(
        self,
        id: str,
        *,
        expected: ChatSessionExpected | None = None,
        **changes: Unpack[ChatSessionChanges],
    ) -> ChatSession:
        return await SESSIONS.change(self._database, id, changes, expected)

    async def close_session(self, id: str) -> ChatSession:
        return await SESSIONS.patch(self._database, id, {"status": "closed"})

    async def delete_session(self, id: str) -> None:
        await SESSIONS.delete(self._database, id)

    async def create_message(self, **values: Unpack[NewChatMessage]) -> ChatMessage:
        row = MESSAGES.complete(values)
        MESSAGES.check(self._database, [row])
        async with self._database.atomic() as database:
            stored = await MESSAGES.store(database, row)
            await SESSIONS.patch(database, stored.chat_session_id, {})
        return stored

    async def find_messages_by_session_id(
        self, session_id: str, *, after: str | None = None, limit: int | None = None
    ) -> list[ChatMessage]:
        return await MESSAGES_OF_SESSION.read(self._database, limit, after, session_id=session_id)
