"""Whether a claim costs more on PostgreSQL when more is finished and more waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none

from bench.growth import (
    COMPLETE,
    MOST_WAITING,
    NEXT,
    TASKS_OF_A_PHASE,
    Compared,
    compared,
    time_claims,
)
from bench.measure import time_calls
from cw_store import Store

SIZES = (1_000, 100_000, 1_000_000)
READY = 100
"""Tasks that are ready; for each that is claimed another is created."""
PHASE, ASKED_FOR = "growing", "finished-1"

# By itself the server would count, and write down, each of them.
_BEGIN = "SET session_replication_role = replica"
_NUMBERS = "FROM generate_series(1, $1::integer) AS numbers (n)"
_FILLERS = (
    f"""INSERT INTO phases (id, initiative_id, name, status, created_at, updated_at)
    SELECT 'finished-' || n, 'i', 'finished', 'completed', now(), now() {_NUMBERS}
    WHERE n % {TASKS_OF_A_PHASE} = 1""",
    f"""INSERT INTO agents (id, name, worktree_id, status, created_at, updated_at)
    SELECT 'finished-' || n, 'finished-' || n, 'trees/one', 'stopped', now(), now() {_NUMBERS}""",
    f"""INSERT INTO tasks
        (id, phase_id, initiative_id, name, status, "order", created_at, updated_at)
    SELECT 'finished-' || n, 'finished-' || (n - (n - 1) % {TASKS_OF_A_PHASE}), 'i', 'finished',
        'completed', n % {TASKS_OF_A_PHASE}, now(), now() {_NUMBERS}""",
    f"""INSERT INTO tasks
        (id, phase_id, initiative_id, name, status, open_dependencies, created_at, updated_at)
    SELECT 'waiting-' || n, '{PHASE}', 'i', 'waiting', 'pending', 1, now(), now() {_NUMBERS}
    WHERE n <= {MOST_WAITING}""",
)


def measure_growth_on_postgres(
    create_database: Callable[[], str],
    sizes: Sequence[int],
    rounds: int,
    seconds: float,
    tell: Callable[[str], None],
) -> Compared:
    """Fill a database for each size and let them take turns."""
    urls: list[str] = []
    for size in sizes:
        tell(f"filling a database on the server with {size:,} finished tasks")
        urls.append(create_database())
        asyncio.run(_fill(urls[-1], size))
    return compared(sizes, asyncio.run(_measure(urls, rounds, seconds, tell)))


async def _measure(
    urls: Sequence[str], rounds: int, seconds: float, tell: Callable[[str], None]
) -> dict[str, list[list[float]]]:
    """Return the rounds' medians by call and size."""
    found: dict[str, list[list[float]]] = {}
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(Store(url)) for url in urls]
        for number in range(rounds):
            tell(f"on the server, round {number + 1} of {rounds}")
            for place, store in enumerate(stores):
                for name, median in (await _medians(store, seconds)).items():
                    found.setdefault(name, [[] for _ in stores])[place].append(median)
    return found


async def _medians(store: Store, seconds: float) -> dict[str, float]:
    claimed, completed = await time_claims(store, PHASE, seconds)
    ready = await time_calls(lambda: store.claims.find_ready(limit=20), seconds)
    explained = await time_calls(lambda: store.claims.explain(ASKED_FOR), seconds)
    return {
        NEXT: claimed,
        COMPLETE: completed,
        "claims.find_ready (20)": ready["median"],
        "claims.explain": explained["median"],
    }


async def _fill(url: str, size: int) -> None:
    async with Store(url) as store, store.unit_of_work() as uow:
        await uow.initiatives.create(id="i", name="User authentication")
        await uow.phases.create(id=PHASE, initiative_id="i", name="Sign in")
        await uow.tasks.create_many(
            [{"phase_id": PHASE, "name": f"Task {number}"} for number in range(READY)]
        )
        for number in range(8):
            await uow.accounts.create(email=f"agent{number}@example.org")
    connection: Any = await asyncpg.connect(url)
    await connection.execute(_BEGIN)
    for sql in _FILLERS:
        await connection.execute(sql, size)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()
