"""asyncpg, written by hand by someone who knows it: the base of every ratio on PostgreSQL."""

# ruff: noqa: D102 -- `bench.work.Contender` tells the story

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none

from bench.contenders.by_hand import (
    ACCOUNT_COLUMNS,
    CHUNK_COLUMNS,
    CONVERSATION_COLUMNS,
    TASK_COLUMNS,
    Account,
    Conversation,
    LogChunk,
    Task,
)
from bench.contenders.new_rows import Times, new_chunk, new_task
from bench.work import NewChunk, NewTask

CONNECTIONS = 10

FIND_TASK = f"SELECT {TASK_COLUMNS} FROM tasks WHERE id = $1"
LIST_TASKS = f'SELECT {TASK_COLUMNS} FROM tasks WHERE phase_id = $1 ORDER BY "order", seq'
POLL = (
    f"SELECT {CONVERSATION_COLUMNS} FROM conversations "
    "WHERE to_agent_id = $1 AND status = 'pending' ORDER BY seq"
)
# Compare-and-set, as one who waited for the row of another's claim must not take it once more.
# Who loses keeps the row locked (PostgreSQL locks the new version before it looks at it again),
# so within a transaction the next try could deadlock with another loser: there they take turns.
TAKE_TURN = "SELECT pg_advisory_xact_lock(hashtextextended('rotation', 0))"
ROTATE = f"""
WITH candidate AS (
    SELECT id AS candidate_id, last_used_at AS seen FROM accounts
    WHERE provider = $1 AND (NOT is_exhausted OR exhausted_until <= $2)
    ORDER BY last_used_at NULLS FIRST, sort_order, id LIMIT 1
)
UPDATE accounts SET last_used_at = $2, updated_at = $2 FROM candidate
WHERE id = candidate_id AND last_used_at IS NOT DISTINCT FROM seen
RETURNING {ACCOUNT_COLUMNS}
"""
INSERT_TASK = (
    f"INSERT INTO tasks ({TASK_COLUMNS}) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, "
    "$19, $20)"
)
INSERT_CHUNK = f"INSERT INTO agent_log_chunks ({CHUNK_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6)"


class AsyncpgByHand:
    """The base."""

    def __init__(self) -> None:
        self._times = Times()
        self._pool: Any

    async def open(self, url: str, *, synchronous: str) -> None:
        self._pool = await asyncpg.create_pool(url, min_size=CONNECTIONS, max_size=CONNECTIONS)

    async def close(self) -> None:
        await self._pool.close()

    async def find_task(self, id: str) -> Task | None:
        row = await self._pool.fetchrow(FIND_TASK, id)
        return None if row is None else Task(*row)

    async def poll(self, agent_id: str) -> list[Conversation]:
        return [Conversation(*row) for row in await self._pool.fetch(POLL, agent_id)]

    async def list_tasks(self, phase_id: str) -> list[Task]:
        return [Task(*row) for row in await self._pool.fetch(LIST_TASKS, phase_id)]

    async def rotate(self, provider: str) -> Account:
        return await self._rotate(self._pool, provider)

    async def create_task(self, new: NewTask) -> Task:
        return await self._create_task(self._pool, new)

    async def append_chunk(self, new: NewChunk) -> LogChunk:
        return await self._append_chunk(self._pool, new)

    async def append_chunks(self, new: Sequence[NewChunk]) -> list[LogChunk]:
        rows = [tuple(new_chunk(self._times, chunk).values()) for chunk in new]
        await self._pool.executemany(INSERT_CHUNK, rows)  # one transaction, says its documentation
        return [LogChunk(*row) for row in rows]

    async def find_task_in_unit(self, id: str) -> Task | None:
        async with self._pool.acquire() as connection, self._snapshot(connection):
            row = await connection.fetchrow(FIND_TASK, id)
        return None if row is None else Task(*row)

    async def poll_in_unit(self, agent_id: str) -> list[Conversation]:
        async with self._pool.acquire() as connection, self._snapshot(connection):
            rows = await connection.fetch(POLL, agent_id)
        return [Conversation(*row) for row in rows]

    async def rotate_in_unit(self, provider: str) -> Account:
        async with self._pool.acquire() as connection, connection.transaction():
            return await self._rotate_in_turn(connection, provider)

    async def create_task_in_unit(self, new: NewTask) -> Task:
        async with self._pool.acquire() as connection, connection.transaction():
            return await self._create_task(connection, new)

    async def append_chunk_in_unit(self, new: NewChunk) -> LogChunk:
        async with self._pool.acquire() as connection, connection.transaction():
            return await self._append_chunk(connection, new)

    async def dispatch(
        self, provider: str, new: NewTask, agent_id: str, chunk: NewChunk
    ) -> tuple[Account, Task, list[Conversation], LogChunk]:
        async with self._pool.acquire() as connection, connection.transaction():
            return (
                await self._rotate_in_turn(connection, provider),
                await self._create_task(connection, new),
                [Conversation(*row) for row in await connection.fetch(POLL, agent_id)],
                await self._append_chunk(connection, chunk),
            )

    # What follows takes the pool or a connection, which have the same methods.

    async def _rotate(self, executor: Any, provider: str) -> Account:
        while True:
            row = await executor.fetchrow(ROTATE, provider, self._times.next())
            if row is not None:
                return Account(*row)

    async def _rotate_in_turn(self, connection: Any, provider: str) -> Account:
        await connection.execute(TAKE_TURN)
        return await self._rotate(connection, provider)

    async def _create_task(self, executor: Any, new: NewTask) -> Task:
        row = tuple(new_task(self._times, new).values())
        await executor.execute(INSERT_TASK, *row)
        return Task(*row)

    async def _append_chunk(self, executor: Any, new: NewChunk) -> LogChunk:
        row = tuple(new_chunk(self._times, new).values())
        await executor.execute(INSERT_CHUNK, *row)
        return LogChunk(*row)

    @staticmethod
    def _snapshot(connection: Any) -> Any:
        return connection.transaction(isolation="repeatable_read", readonly=True)


def make() -> AsyncpgByHand:
    """Make one."""
    return AsyncpgByHand()
