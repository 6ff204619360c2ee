"""The agents' log in SQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Unpack

from sqlalchemy import bindparam, delete, func, select, tuple_

from cw_store.repos.log_chunks import LogChunk, LogChunkRepository, NewLogChunk
from cw_store.repos.sql.door import Door, Query
from cw_store.repos.sql.listings import Listing, limited, oldest_first
from cw_store.repos.sql.rows import Rows
from cw_store.schema import agent_log_chunks

CHUNKS_AT_A_TIME = 250
"""So many chunks of a stream are in memory at once."""

ROWS = Rows(agent_log_chunks, LogChunk, NewLogChunk)

of_agent = agent_log_chunks.c.agent_id == bindparam("agent_id")

of_session = agent_log_chunks.c.session_number == bindparam("session_number")

FROM_AGENT = select(*ROWS.columns).where(of_agent)

FROM_SESSION = FROM_AGENT.where(of_session)

# Unlike a Listing's `after`, the last chunk may be deleted while the stream is being read.
further = tuple_(*oldest_first(agent_log_chunks)) > tuple_(
    bindparam("created_at", type_=agent_log_chunks.c.created_at.type),
    bindparam("id", type_=agent_log_chunks.c.id.type),
)

OF_AGENT = Listing(LogChunk, FROM_AGENT, agent_log_chunks)

OF_SESSION = Listing(LogChunk, FROM_SESSION, agent_log_chunks)

FURTHER_OF_AGENT = Query(
    LogChunk,
    limited(FROM_AGENT.where(further).order_by(*oldest_first(agent_log_chunks))),
    agent_log_chunks,
)

FURTHER_OF_SESSION = Query(
    LogChunk,
    limited(FROM_SESSION.where(further).order_by(*oldest_first(agent_log_chunks))),
    agent_log_chunks,
)

HIGHEST_SESSION_NUMBER = Query(
    int,
    select(func.coalesce(func.max(agent_log_chunks.c.session_number), 0)).where(of_agent),
    agent_log_chunks,
)

DELETE_OF_AGENT = Query(int, delete(agent_log_chunks).where(of_agent), agent_log_chunks)


class LogChunks(LogChunkRepository):
    """The repository over a door."""

    __slots__ = ("_door",)

    def __init__(self, door: Door) -> None:
        self._door = door

    async def create(self, **values: Unpack[NewLogChunk]) -> LogChunk:
        return await ROWS.insert(self._door, values)

    async def create_many(self, rows: Sequence[NewLogChunk]) -> list[LogChunk]:
        return await ROWS.insert_many(self._door, rows)

    async def insert_chunk(
        self, agent_id: str, agent_name: str, session_number: int, content: str
    ) -> LogChunk:
        chunk: NewLogChunk = {
            "agent_id": agent_id,
            "agent_name": agent_name,
            "session_number": session_number,
            "content": content,
        }
        return await ROWS.insert(self._door, chunk)

    async def insert_chunks(self, rows: Sequence[NewLogChunk]) -> list[LogChunk]:
        return await self.create_many(rows)

    async def find_by_id(self, id: str) -> LogChunk | None:
        return await ROWS.get(self._door, id)

    async def find_by_agent_id(
        self,
        agent_id: str,
        session_number: int | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> list[LogChunk]:
        listing = OF_AGENT if session_number is None else OF_SESSION
        return await listing.read(self._door, limit, after, **_filters(agent_id, session_number))

    async def stream_by_agent_id(
        self, agent_id: str, session_number: int | None = None
    ) -> AsyncIterator[LogChunk]:
        query = FURTHER_OF_AGENT if session_number is None else FURTHER_OF_SESSION
        filters = _filters(agent_id, session_number)
        chunks = await self.find_by_agent_id(agent_id, session_number, limit=CHUNKS_AT_A_TIME)
        while chunks:
            for chunk in chunks:
                yield chunk
            if len(chunks) < CHUNKS_AT_A_TIME:
                return
            last = chunks[-1]
            chunks = await self._door.all(
                query,
                **filters,
                created_at=last.created_at,
                id=last.id,
                limit=CHUNKS_AT_A_TIME,
            )

    async def get_session_count(self, agent_id: str) -> int:
        return await self._door.first(HIGHEST_SESSION_NUMBER, agent_id=agent_id) or 0

    async def delete(self, id: str) -> None:
        await ROWS.delete(self._door, id)

    async def delete_by_agent_id(self, agent_id: str) -> int:
        return await self._door.count(DELETE_OF_AGENT, agent_id=agent_id)


def _filters(agent_id: str, session_number: int | None) -> dict[str, Any]:
    if session_number is None:
        return {"agent_id": agent_id}
    return {"agent_id": agent_id, "session_number": session_number}
