"""What it costs to look: the views of a store with a large plan and a long log."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import NamedTuple

from cw_store import NewLogChunk, NewTask, Store, views

TASKS, PHASES = 10_000, 10
AGENTS = 50
CHUNKS_AT_A_TIME = 20_000

LINE = (
    '{"type":"assistant","message":{"content":[{"type":"text","text":"Looking for what else '
    'calls it, step %d of many, before the tests are run again."}]}}\n'
)

BOARD_MILLISECONDS = 50
"""Most that a board of 10,000 tasks may take on SQLite."""

SEARCH_SECONDS = 2.5
"""Most that a search of two seconds may take."""


class View(NamedTuple):
    """One view: the median and the most of its milliseconds, and most that the median may be."""

    name: str
    median: float
    most: float
    target: float | None


async def measure_views(
    url: str, chunks: int, rounds: int, tell: Callable[[str], None]
) -> list[View]:
    """Fill an empty store, and look at it in each way."""
    async with Store(url) as store:
        tell(f"{TASKS:,} tasks and {chunks:,} log chunks are stored")
        initiative_id, agent_id = await _fill(store, chunks)
        is_file = "://" not in url
        looks: list[tuple[str, float | None, Callable[[], Awaitable[object]]]] = [
            (
                f"board of {TASKS:,} tasks",
                BOARD_MILLISECONDS if is_file else None,
                lambda: views.board(store, initiative_id),
            ),
            ("the same, every card", None, lambda: views.board(store, initiative_id, cards=None)),
            ("graph of them", None, lambda: views.graph(store, initiative_id)),
            ("inbox", None, lambda: views.inbox(store)),
            ("timeline", None, lambda: views.timeline(store, initiative_id)),
            ("agent", None, lambda: views.agent(store, agent_id)),
            (
                f"search of {chunks:,} log chunks",
                SEARCH_SECONDS * 1000,
                lambda: views.search(store, "is nowhere in it"),
            ),
        ]
        found: list[View] = []
        for name, target, look in looks:
            tell(name)
            times = [await _milliseconds(look) for _ in range(rounds + 1)][1:]
            found.append(View(name, statistics.median(times), max(times), target))
        return found


async def _milliseconds(look: Callable[[], Awaitable[object]]) -> float:
    begun = perf_counter()
    await look()
    return (perf_counter() - begun) * 1000


async def _fill(store: Store, chunks: int) -> tuple[str, str]:
    """Store a plan half of which is done, agents at some of it, and their log."""
    initiative = await store.initiatives.create(name="Large")
    await store.accounts.create(email="one@example.com")
    for number in range(PHASES):
        phase = await store.phases.create(initiative_id=initiative.id, name=f"Phase {number}")
        rows: list[NewTask] = [
            {
                "phase_id": phase.id,
                "name": f"Task {place} of phase {number}",
                "order": place,
                "status": "completed" if place % 2 else "pending",
            }
            for place in range(TASKS // PHASES)
        ]
        async with store.unit_of_work() as uow:
            tasks = await uow.tasks.create_many(rows)
            for place in range(4, len(tasks), 4):
                await uow.tasks.create_dependency(tasks[place].id, tasks[place - 2].id)
    claims = [
        claim
        for number in range(AGENTS)
        if (claim := await store.claims.next(holder="bench/1", worktree_id=f"trees/{number}"))
    ]
    agents = [claim.agent for claim in claims]
    for start in range(0, chunks, CHUNKS_AT_A_TIME):
        part: list[NewLogChunk] = [
            {
                "agent_id": agents[number % AGENTS].id,
                "agent_name": agents[number % AGENTS].name,
                "session_number": 1,
                "content": LINE % number,
            }
            for number in range(start, min(start + CHUNKS_AT_A_TIME, chunks))
        ]
        await store.log_chunks.insert_chunks(part)
        await asyncio.sleep(0)
    return initiative.id, agents[0].id
