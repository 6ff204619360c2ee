"""SQLAlchemy's asyncio Core, by someone who knows it: statements are built once.

Writers wait for each other behind a lock of the application, as by hand. Left to SQLite's
busy timeout, fifty of them would sleep most of the time.
"""

# ruff: noqa: D102 -- `bench.work.Contender` tells the story

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, event, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from bench.contenders.by_hand import PRAGMAS, Account, Conversation, LogChunk, Task
from bench.contenders.new_rows import Times, new_chunk, new_task
from bench.seed import sqlalchemy_url
from bench.work import NewChunk, NewTask
from cw_store.schema import accounts, agent_log_chunks, conversations, record_columns, tasks

FIND_TASK = select(*record_columns(tasks)).where(tasks.c.id == bindparam("id"))
LIST_TASKS = (
    select(*record_columns(tasks))
    .where(tasks.c.phase_id == bindparam("phase_id"))
    .order_by(tasks.c.order, tasks.c.seq)
)
POLL = (
    select(*record_columns(conversations))
    .where(
        conversations.c.to_agent_id == bindparam("agent_id"), conversations.c.status == "pending"
    )
    .order_by(conversations.c.seq)
)
NEXT_ACCOUNT = (
    select(accounts.c.id)
    .where(
        accounts.c.provider == bindparam("of_provider"),
        or_(
            accounts.c.is_exhausted.is_(False),
            accounts.c.exhausted_until <= bindparam("now"),
        ),
    )
    .order_by(accounts.c.last_used_at.nulls_first(), accounts.c.sort_order, accounts.c.id)
    .limit(1)
    .scalar_subquery()
)
ROTATE = (
    update(accounts)
    .where(accounts.c.id == NEXT_ACCOUNT)
    .values(last_used_at=bindparam("now"), updated_at=bindparam("now"))
    .returning(*record_columns(accounts))
)
INSERT_TASK = insert(tasks)
INSERT_CHUNK = insert(agent_log_chunks)


class SqlalchemyCore:
    """Core, one connection from the pool for each call."""

    def __init__(self) -> None:
        self._times = Times()
        self._turn = asyncio.Lock()
        self._engine: AsyncEngine

    async def open(self, url: str, *, synchronous: str) -> None:
        self._engine = create_async_engine(sqlalchemy_url(url))
        set_pragmas(self._engine, synchronous)

    async def close(self) -> None:
        await self._engine.dispose()

    async def find_task(self, id: str) -> Task | None:
        async with self._engine.connect() as connection:
            row = (await connection.execute(FIND_TASK, {"id": id})).first()
        return None if row is None else Task(*row)

    async def poll(self, agent_id: str) -> list[Conversation]:
        async with self._engine.connect() as connection:
            return await self._poll(connection, agent_id)

    async def list_tasks(self, phase_id: str) -> list[Task]:
        async with self._engine.connect() as connection:
            rows = (await connection.execute(LIST_TASKS, {"phase_id": phase_id})).all()
        return [Task(*row) for row in rows]

    async def rotate(self, provider: str) -> Account | None:
        async with self._turn, self._engine.begin() as connection:
            return await self._rotate(connection, provider)

    async def create_task(self, new: NewTask) -> Task:
        async with self._turn, self._engine.begin() as connection:
            return await self._create_task(connection, new)

    async def append_chunk(self, new: NewChunk) -> LogChunk:
        async with self._turn, self._engine.begin() as connection:
            return await self._append_chunk(connection, new)

    async def append_chunks(self, new: Sequence[NewChunk]) -> list[LogChunk]:
        rows = [new_chunk(self._times, chunk) for chunk in new]
        async with self._turn, self._engine.begin() as connection:
            await connection.execute(INSERT_CHUNK, rows)
        return [LogChunk(**row) for row in rows]

    # A transaction is what a call has anyway: `connect` begins one with the first statement.

    find_task_in_unit = find_task
    poll_in_unit = poll
    rotate_in_unit = rotate
    create_task_in_unit = create_task
    append_chunk_in_unit = append_chunk

    async def dispatch(
        self, provider: str, new: NewTask, agent_id: str, chunk: NewChunk
    ) -> tuple[Account | None, Task, list[Conversation], LogChunk]:
        async with self._turn, self._engine.begin() as connection:
            return (
                await self._rotate(connection, provider),
                await self._create_task(connection, new),
                await self._poll(connection, agent_id),
                await self._append_chunk(connection, chunk),
            )

    async def _poll(self, connection: AsyncConnection, agent_id: str) -> list[Conversation]:
        rows = (await connection.execute(POLL, {"agent_id": agent_id})).all()
        return [Conversation(*row) for row in rows]

    async def _rotate(self, connection: AsyncConnection, provider: str) -> Account | None:
        parameters = {"now": self._times.next(), "of_provider": provider}
        row = (await connection.execute(ROTATE, parameters)).first()
        return None if row is None else Account(*row)

    async def _create_task(self, connection: AsyncConnection, new: NewTask) -> Task:
        row = new_task(self._times, new)
        await connection.execute(INSERT_TASK, row)
        return Task(**row)

    async def _append_chunk(self, connection: AsyncConnection, new: NewChunk) -> LogChunk:
        row = new_chunk(self._times, new)
        await connection.execute(INSERT_CHUNK, row)
        return LogChunk(**row)


def set_pragmas(engine: AsyncEngine, synchronous: str) -> None:
    """Give every connection of the pool the pragmas that all contenders have."""

    def on_connect(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        for pragma in (*PRAGMAS, f"PRAGMA synchronous = {synchronous}"):
            cursor.execute(pragma)
        cursor.close()

    event.listen(engine.sync_engine, "connect", on_connect)


def make() -> SqlalchemyCore:
    """Make one."""
    return SqlalchemyCore()
