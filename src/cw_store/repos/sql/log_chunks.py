"""The agents' log in SQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Unpack

from sqlalchemy import (
    ColumnElement,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal_column,
    select,
)
from sqlalchemy.sql import Insert, Select
from sqlalchemy.sql.selectable import SelectBase

from cw_store.owner import Owner
from cw_store.repos.claims import Claim
from cw_store.repos.log_chunks import LogChunk, LogChunkRepository, NewLogChunk
from cw_store.repos.sql.fence import (
    FENCE,
    claim_values,
    find_lost_error,
    is_held,
    refuse_no_claim,
)
from cw_store.repos.sql.listings import (
    Ids,
    Listing,
    checked_limit,
    limited,
    newest_first,
    oldest_first,
)
from cw_store.repos.sql.table import TableGateway
from cw_store.schema import agent_log_chunks, tasks
from cw_store.statements.database import Database
from cw_store.statements.expressions import PRESENT, is_one_of
from cw_store.statements.procedure import Procedure, insert_all, row
from cw_store.statements.query import Query

CHUNKS_AT_A_TIME = 250
"""So many chunks of a stream are in memory at once."""

TABLE = TableGateway(agent_log_chunks, LogChunk, NewLogChunk)

IDS = Ids(agent_log_chunks)

# Where several write at once, one who appends to a log takes its turn first, in the same statement,
# and keeps it until its transaction ends: the place is drawn for a row that FROM gave, which is
# when the lock was had. So a log's chunks become visible in the order of their places.
turn = select(
    func.pg_advisory_xact_lock(
        func.hashtextextended(
            literal_column("'agent_log_chunks.'").concat(TABLE.new_row["agent_id"]),
            literal_column("0"),
        )
    )
)

# The claimed task first, as in a fenced unit of work, and the log's turn for the row it gave.
held = select(PRESENT).select_from(tasks).where(is_held())

turn_of_holder = turn.select_from(held.with_for_update(key_share=True).subquery("held"))


def _insert_from(source: SelectBase) -> Insert:
    return insert(agent_log_chunks).from_select(list(TABLE.new_row), source)


whole_row = select(*TABLE.new_row.values())

APPEND_IN_TURN = Query(
    LogChunk, _insert_from(whole_row.select_from(turn.subquery("turn"))), agent_log_chunks
)

APPEND_IN_TURN_IF_HELD = Query(
    LogChunk,
    _insert_from(whole_row.select_from(turn_of_holder.subquery("turn"))).returning(*TABLE.columns),
    agent_log_chunks,
)

APPEND = Query(LogChunk, insert(agent_log_chunks).values(TABLE.new_row), agent_log_chunks)

APPEND_IF_HELD = Query(
    LogChunk,
    _insert_from(whole_row.where(exists(held))).returning(*TABLE.columns),
    agent_log_chunks,
)

of_agent = agent_log_chunks.c.agent_id == bindparam("agent_id")

of_session = agent_log_chunks.c.session_number == bindparam("session_number")

FROM_AGENT = select(*TABLE.columns).where(of_agent)

FROM_SESSION = FROM_AGENT.where(of_session)

OF_AGENT = Listing(LogChunk, FROM_AGENT, agent_log_chunks)

OF_SESSION = Listing(LogChunk, FROM_SESSION, agent_log_chunks)


@dataclass(frozen=True, slots=True)
class PlacedChunk:
    """A log chunk and its place in the order of storing."""

    id: str
    agent_id: str
    agent_name: str
    session_number: int
    content: str
    created_at: datetime
    seq: int

    def chunk(self) -> LogChunk:
        """Return it without its place."""
        return LogChunk(
            self.id,
            self.agent_id,
            self.agent_name,
            self.session_number,
            self.content,
            self.created_at,
        )


seen = agent_log_chunks.alias("seen")

# Unlike a Listing's `after`, the last chunk may be deleted while the stream is being read. On
# SQLite its place may have been given to a new chunk then, if it was the newest of the table.
further = agent_log_chunks.c.seq > case(
    (
        exists(select(seen.c.id).where(seen.c.id == bindparam("last_id"))),
        bindparam("last_seq", type_=agent_log_chunks.c.seq.type),
    ),
    else_=bindparam("before", type_=agent_log_chunks.c.seq.type),
)


def _page(rows: Select[Any], *conditions: ColumnElement[bool]) -> Query[PlacedChunk]:
    placed = rows.add_columns(agent_log_chunks.c.seq).where(*conditions)
    statement = limited(placed.order_by(*oldest_first(agent_log_chunks)))
    return Query(PlacedChunk, statement, agent_log_chunks)


FIRST_OF_AGENT, FURTHER_OF_AGENT = _page(FROM_AGENT), _page(FROM_AGENT, further)

FIRST_OF_SESSION, FURTHER_OF_SESSION = _page(FROM_SESSION), _page(FROM_SESSION, further)

HIGHEST_SESSION_NUMBER = Query(
    int,
    select(func.coalesce(func.max(agent_log_chunks.c.session_number), 0)).where(of_agent),
    agent_log_chunks,
)

DELETE_OF_AGENT = Query(int, delete(agent_log_chunks).where(of_agent), agent_log_chunks)

LAST_OF_AGENT = Query(
    LogChunk,
    limited(FROM_AGENT.order_by(*newest_first(agent_log_chunks))),
    agent_log_chunks,
)


@dataclass(frozen=True, slots=True)
class NewestChunk:
    """The last chunk of an agent's log."""

    agent_id: str
    id: str


last = agent_log_chunks.alias("last")

NEWEST = Query(
    NewestChunk,
    select(*[agent_log_chunks.c.agent_id, agent_log_chunks.c.id]).where(
        agent_log_chunks.c.seq.in_(
            select(func.max(last.c.seq)).where(is_one_of(last.c.agent_id)).group_by(last.c.agent_id)
        )
    ),
    agent_log_chunks,
)


async def newest_of_logs(database: Database, agent_ids: list[str]) -> dict[str, str]:
    """Return the id of the last chunk of each of these agents that has a log."""
    return {chunk.agent_id: chunk.id for chunk in await database.all(NEWEST, ids=agent_ids)}


class LogChunks(LogChunkRepository):
    """The repository over a database."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, **values: Unpack[NewLogChunk]) -> LogChunk:
        return await _store(self._database, values)

    async def create_many(self, rows: Sequence[NewLogChunk]) -> list[LogChunk]:
        return await self.insert_chunks(rows)

    async def insert_chunk(
        self,
        agent_id: str,
        agent_name: str,
        session_number: int,
        content: str,
        *,
        claim: Claim | None = None,
    ) -> LogChunk:
        chunk: NewLogChunk = {
            "agent_id": agent_id,
            "agent_name": agent_name,
            "session_number": session_number,
            "content": content,
        }
        if claim is not None:
            return await _store_if_held(self._database, chunk, claim)
        return await _store(self._database, chunk)

    async def insert_chunks(
        self, rows: Sequence[NewLogChunk], *, claim: Claim | None = None
    ) -> list[LogChunk]:
        complete = [TABLE.complete(row) for row in rows]
        # Log by log, so that two who append to several do not wait for each other in a circle.
        order = sorted(range(len(complete)), key=lambda place: str(complete[place]["agent_id"]))
        batch = [complete[place] for place in order]
        if claim is None:
            stored = await self._database.insert_all(_append(self._database), batch)
        else:
            stored = await _store_all_if_held(self._database, batch, claim)
        in_place = dict(zip(order, stored, strict=True))
        return [in_place[place] for place in range(len(order))]

    async def find_by_id(self, id: str) -> LogChunk | None:
        return await TABLE.get(self._database, id)

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        return await IDS.read(self._database, prefix, limit)

    async def find_by_agent_id(
        self,
        agent_id: str,
        session_number: int | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> list[LogChunk]:
        listing = OF_AGENT if session_number is None else OF_SESSION
        return await listing.read(
            self._database, limit, after, **_filters(agent_id, session_number)
        )

    async def find_last(self, agent_id: str, *, limit: int) -> list[LogChunk]:
        most = checked_limit(agent_log_chunks, limit)
        return (await self._database.all(LAST_OF_AGENT, agent_id=agent_id, limit=most))[::-1]

    async def stream_by_agent_id(
        self, agent_id: str, session_number: int | None = None
    ) -> AsyncIterator[LogChunk]:
        one = session_number is None
        first = FIRST_OF_AGENT if one else FIRST_OF_SESSION
        further = FURTHER_OF_AGENT if one else FURTHER_OF_SESSION
        filters = {**_filters(agent_id, session_number), "limit": CHUNKS_AT_A_TIME}
        ids: set[str] = set()
        page = await self._database.all(first, **filters)
        owner = Owner()
        while page:
            for placed in page:
                if placed.id not in ids:
                    yield placed.chunk()
                    owner.check("the store of this stream")
            if len(page) < CHUNKS_AT_A_TIME:
                return
            ids = {placed.id for placed in page}
            page = await self._database.all(
                further,
                **filters,
                last_id=page[-1].id,
                last_seq=page[-1].seq,
                before=page[0].seq - 1,
            )

    async def get_session_count(self, agent_id: str) -> int:
        return await self._database.first(HIGHEST_SESSION_NUMBER, agent_id=agent_id) or 0

    async def delete(self, id: str) -> None:
        await TABLE.delete(self._database, id)

    async def delete_by_agent_id(self, agent_id: str) -> int:
        return await self._database.count(DELETE_OF_AGENT, agent_id=agent_id)


def _append(database: Database) -> Query[LogChunk]:
    return APPEND_IN_TURN if database.capabilities.has_advisory_locks else APPEND


async def _store(database: Database, values: Mapping[str, Any]) -> LogChunk:
    stored = await database.insert(_append(database), TABLE.complete(values))
    assert stored is not None
    return stored


async def _store_if_held(database: Database, values: Mapping[str, Any], claim: Claim) -> LogChunk:
    refuse_no_claim(claim)
    in_turn = database.capabilities.has_advisory_locks
    append = APPEND_IN_TURN_IF_HELD if in_turn else APPEND_IF_HELD
    stored = await database.first(append, **TABLE.complete(values), **claim_values(claim))
    if stored is None:
        raise await find_lost_error(database, claim)
    return stored


async def _store_all_if_held(
    database: Database, batch: Sequence[Mapping[str, Any]], claim: Claim
) -> list[LogChunk]:
    refuse_no_claim(claim)
    append = _append(database)
    database.check(append, batch)
    database.check(FENCE, [claim_values(claim)])

    def append_all() -> Procedure[list[LogChunk] | None]:
        if (yield from row(FENCE, **claim_values(claim))) is None:
            return None
        return (yield from insert_all(append, batch))

    stored = await database.perform(append, append_all)
    if stored is None:
        raise await find_lost_error(database, claim)
    return stored


def _filters(agent_id: str, session_number: int | None) -> dict[str, Any]:
    if session_number is None:
        return {"agent_id": agent_id}
    return {"agent_id": agent_id, "session_number": session_number}
