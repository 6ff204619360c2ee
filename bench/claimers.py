"""The process of one who claims and completes on PostgreSQL, told on stdin for how long.

Three do it: the store; asyncpg, with the same steps by hand; and procrastinate, which fetches a job
and finishes it, and takes neither an account nor an agent for it.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any, TypedDict

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
import nanoid

from bench.contenders.by_hand import ACCOUNT_COLUMNS, TASK_COLUMNS, Account, Task
from bench.seed import PROVIDER
from cw_store import Store

Claim = Callable[[], Awaitable[None]]
"""Claims what is next, and completes it."""

LEASE = timedelta(minutes=2)

TAKE_TURN = "SELECT pg_advisory_xact_lock(hashtextextended('rotation', 0))"
RANK = "CASE {}priority WHEN 'high' THEN 0 WHEN 'medium' THEN 1 ELSE 2 END"
READY = f"""
SELECT t.id, t.phase_id, t.initiative_id, t.epoch FROM phases AS p CROSS JOIN LATERAL (
    SELECT * FROM tasks WHERE phase_id = p.id AND status <> 'completed' AND status = 'pending'
        AND open_dependencies = 0 AND (not_before IS NULL OR not_before <= $1)
    ORDER BY {RANK.format("")}, "order", seq LIMIT 1) AS t
WHERE p.status <> 'completed' AND p.status IN ('pending', 'approved', 'in_progress')
    AND p.open_dependencies = 0
ORDER BY {RANK.format("t.")}, t."order", t.seq LIMIT 1
"""
ROTATE = f"""
UPDATE accounts SET last_used_at = $1, updated_at = $1 WHERE id = (
    SELECT id FROM accounts WHERE provider = $2 AND (NOT is_exhausted OR exhausted_until <= $1)
    ORDER BY last_used_at NULLS FIRST, sort_order, id LIMIT 1)
RETURNING {ACCOUNT_COLUMNS}
"""
INSERT_AGENT = """
INSERT INTO agents (id, name, task_id, initiative_id, worktree_id, account_id, status, holder,
    lease_expires_at, epoch, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, 'running', $7, $8, $9, $10, $10)
"""
BEGIN_PHASE = """
UPDATE phases SET status = 'in_progress', updated_at = $1 WHERE id = $2 AND status <> 'in_progress'
"""
HOLD_TASK = f"""
UPDATE tasks SET status = 'in_progress', claimed_by_agent_id = $1, epoch = epoch + 1,
    not_before = NULL, updated_at = $2 WHERE id = $3 AND status = 'pending' RETURNING {TASK_COLUMNS}
"""
COMPLETE = f"""
UPDATE tasks SET status = 'completed', claimed_by_agent_id = NULL, updated_at = $1
WHERE id = $2 AND claimed_by_agent_id = $3 RETURNING {TASK_COLUMNS}
"""
STOP = """
UPDATE agents SET status = 'stopped', lease_expires_at = NULL, updated_at = $1 WHERE id = $2
"""
OPEN_IN_PHASE = """
SELECT 1 FROM tasks WHERE phase_id = $1 AND status <> 'completed'
ORDER BY status, open_dependencies LIMIT 1
"""
CLOSE_PHASE = "UPDATE phases SET status = 'completed', updated_at = $1 WHERE id = $2"


@asynccontextmanager
async def by_hand(url: str) -> AsyncGenerator[Claim]:
    """Claim in one transaction, and complete in another; those who claim take turns."""
    async with asyncpg.create_pool(url, min_size=1, max_size=10) as pool:

        async def claim() -> tuple[Task, str]:
            now, agent_id = datetime.now(UTC), nanoid.generate()
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute(TAKE_TURN)
                id, phase_id, initiative_id, epoch = await connection.fetchrow(READY, now)
                login = Account(*await connection.fetchrow(ROTATE, now, PROVIDER))
                agent = (agent_id, f"swift-otter-{agent_id}", id, initiative_id, "trees/one")
                lease = ("host-1/4711", now + LEASE, epoch + 1, now)
                await connection.execute(INSERT_AGENT, *agent, login.id, *lease)
                await connection.execute(BEGIN_PHASE, now, phase_id)
                return Task(*await connection.fetchrow(HOLD_TASK, agent_id, now, id)), agent_id

        async def claim_and_complete() -> None:
            task, agent_id = await claim()
            now = datetime.now(UTC)
            async with pool.acquire() as connection, connection.transaction():
                done = Task(*await connection.fetchrow(COMPLETE, now, task.id, agent_id))
                await connection.execute(STOP, now, agent_id)
                if not await connection.fetchrow(OPEN_IN_PHASE, done.phase_id):
                    await connection.execute(CLOSE_PHASE, now, done.phase_id)

        yield claim_and_complete


@asynccontextmanager
async def cw_store(url: str) -> AsyncGenerator[Claim]:
    """Claim with one call, and complete with another."""
    async with Store(url) as store:

        async def claim_and_complete() -> None:
            claim = await store.claims.next(holder="host-1/4711", worktree_id="trees/one")
            assert claim is not None
            await store.claims.complete(claim)

        yield claim_and_complete


@asynccontextmanager
async def procrastinate(url: str) -> AsyncGenerator[Claim]:
    """Ask for a job, and say that it is done, as its worker does, through its own connector."""
    from procrastinate import App, PsycopgConnector
    from procrastinate.jobs import Status

    async with App(connector=PsycopgConnector(conninfo=url)).open_async() as app:
        manager = app.job_manager
        worker = await manager.register_worker()

        async def fetch_and_finish() -> None:
            job = await manager.fetch_job(None, worker)
            assert job is not None
            await manager.finish_job(job, Status.SUCCEEDED, delete_job=False)

        yield fetch_and_finish


CONTENDERS: Mapping[str, Callable[[str], AbstractAsyncContextManager[Claim]]] = {
    "asyncpg by hand": by_hand,
    "cw_store": cw_store,
    "procrastinate": procrastinate,
}


class Done(TypedDict):
    """How many were claimed and completed, and the median of the microseconds for one."""

    number: int
    median: float


async def _work(claim: Claim, seconds: float) -> Done:
    times: list[float] = []
    before = perf_counter()
    end = before + seconds
    while before < end:
        await claim()
        after = perf_counter()
        times.append(after - before)
        before = after
    return {"number": len(times), "median": statistics.median(times) * 1e6}


async def _serve(contender: str, url: str) -> None:
    async with CONTENDERS[contender](url) as claim:
        await _work(claim, 0.1)
        print(json.dumps("ready"), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            found: Any = await _work(claim, json.loads(line))
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
