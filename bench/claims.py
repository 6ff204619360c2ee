"""Claim and complete: by the store, and the same steps by hand, on files of the same content.

By hand a claim is one transaction that finds the next ready task, takes an account in rotation,
stores an agent and begins the phase; to complete is another. Nothing of it recovers leases, gives
initiatives their turns, or says who has a task: that is what the store does besides.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import aiosqlite
import nanoid

from bench.contenders.by_hand import ACCOUNT_COLUMNS, PRAGMAS, TASK_COLUMNS, Stamps, account, tasks
from bench.measure import count_passes, keep_to_one_core, time_calls
from bench.seed import PROVIDER
from cw_store import Store

ONE_AT_A_TIME = 1.3
"""Most of the time by hand that a claim and its completion may take."""

FIFTY_AT_ONCE = 2.0
"""How many times as many a second they are to be when fifty tasks do it at once."""

PHASES = 5
WAITING = 60_000
"""Tasks that are ready to be claimed, which a run does not use up."""

LEASE = 120_000_000
"""Microseconds."""


class Pair(TypedDict):
    """Medians by contender, and the median of the rounds' ratios."""

    by_hand: float
    cw_store: float
    ratio: float


class Claims(NamedTuple):
    """Microseconds for a claim and its completion, and how many a second fifty tasks do."""

    one_at_a_time: Pair
    fifty_at_once: Pair


READY = """
SELECT t.id, t.phase_id, t.initiative_id, t.epoch FROM phases AS p JOIN tasks AS t ON t.id = (
    SELECT id FROM tasks WHERE phase_id = p.id AND status <> 'completed' AND status = 'pending'
        AND open_dependencies = 0 AND (not_before IS NULL OR not_before <= ?)
    ORDER BY CASE priority WHEN 'high' THEN 0 WHEN 'medium' THEN 1 ELSE 2 END, "order", seq LIMIT 1)
WHERE p.status <> 'completed' AND p.status IN ('pending', 'approved', 'in_progress')
    AND p.open_dependencies = 0
ORDER BY CASE t.priority WHEN 'high' THEN 0 WHEN 'medium' THEN 1 ELSE 2 END, t."order", t.seq
LIMIT 1
"""
ROTATE = f"""
UPDATE accounts SET last_used_at = ?, updated_at = ? WHERE id = (
    SELECT id FROM accounts WHERE provider = ? AND (is_exhausted = 0 OR exhausted_until <= ?)
    ORDER BY last_used_at NULLS FIRST, sort_order, id LIMIT 1)
RETURNING {ACCOUNT_COLUMNS}
"""
INSERT_AGENT = """
INSERT INTO agents (id, name, task_id, initiative_id, worktree_id, account_id, status, holder,
    lease_expires_at, epoch, created_at, updated_at)
VALUES (?, ?, ?, ?, ?, ?, 'running', ?, ?, ?, ?, ?)
"""
HOLD_TASK = f"""
UPDATE tasks SET status = 'in_progress', claimed_by_agent_id = ?, epoch = epoch + 1,
    not_before = NULL, updated_at = ? WHERE id = ? AND status = 'pending' RETURNING {TASK_COLUMNS}
"""
BEGIN_PHASE = """
UPDATE phases SET status = 'in_progress', updated_at = ? WHERE id = ? AND status <> 'in_progress'
"""
COMPLETE = f"""
UPDATE tasks SET status = 'completed', claimed_by_agent_id = NULL, updated_at = ?
WHERE id = ? AND claimed_by_agent_id = ? RETURNING {TASK_COLUMNS}
"""
STOP = """
UPDATE agents SET status = 'stopped', lease_expires_at = NULL, updated_at = ? WHERE id = ?
"""
OPEN_IN_PHASE = """
SELECT 1 FROM tasks WHERE phase_id = ? AND status <> 'completed'
ORDER BY status, open_dependencies LIMIT 1
"""
CLOSE_PHASE = "UPDATE phases SET status = 'completed', updated_at = ? WHERE id = ?"


class ByHand:
    """One writer behind a lock, and a hop for each statement."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()
        self._stamps = Stamps()

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[Callable[..., Awaitable[Any]]]:
        async with self._turn:
            run = self._connection.execute_fetchall
            await run("BEGIN IMMEDIATE")
            try:
                yield run
                await self._connection.commit()
            except BaseException:
                await self._connection.rollback()
                raise

    async def claim_and_complete(self) -> int:
        """Claim what is next and complete it; return 1."""
        claimed, agent_id = await self._claim()
        await self._complete(claimed, agent_id)
        return 1

    async def _claim(self) -> tuple[Any, str]:
        async with self._transaction() as run:
            now, agent_id = self._stamps.next(), nanoid.generate()
            [(task_id, phase_id, initiative_id, epoch)] = await run(READY, (now,))
            [taken] = await run(ROTATE, (now, now, PROVIDER, now))
            login = account(taken)
            agent = (agent_id, f"swift-otter-{agent_id}", task_id, initiative_id, "trees/one")
            lease = ("host-1/4711", now + LEASE, epoch + 1, now, now)
            await run(INSERT_AGENT, (*agent, login.id, *lease))
            await run(BEGIN_PHASE, (now, phase_id))
            [task] = tasks(await run(HOLD_TASK, (agent_id, now, task_id)))
        return task, agent_id

    async def _complete(self, task: Any, agent_id: str) -> None:
        async with self._transaction() as run:
            now = self._stamps.next()
            [done] = tasks(await run(COMPLETE, (now, task.id, agent_id)))
            await run(STOP, (now, agent_id))
            if not await run(OPEN_IN_PHASE, (done.phase_id,)):
                await run(CLOSE_PHASE, (now, done.phase_id))


async def measure_claims(
    folder: Path, rounds: int, seconds: float, tell: Callable[[str], None]
) -> Claims:
    """Let the two take turns."""
    keep_to_one_core()
    template = folder / "claims.db"
    await fill_plan(template)
    files = [Path(shutil.copyfile(template, folder / f"claims-{n}.db")) for n in range(2)]
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(
            aiosqlite.connect(files[0], isolation_level=None)
        )
        for pragma in (*PRAGMAS, "PRAGMA synchronous = NORMAL"):
            await connection.execute_fetchall(pragma)
        store = await stack.enter_async_context(Store(files[1]))

        async def claim_and_complete() -> int:
            claim = await store.claims.next(holder="host-1/4711", worktree_id="trees/one")
            assert claim is not None
            await store.claims.complete(claim)
            return 1

        both = {"by_hand": ByHand(connection).claim_and_complete, "cw_store": claim_and_complete}
        single: dict[str, list[float]] = {name: [] for name in both}
        fifty: dict[str, list[float]] = {name: [] for name in both}
        for number in range(rounds):
            tell(f"claim and complete, round {number + 1} of {rounds}")
            for name, call in _in_turn(both, number):
                single[name].append((await time_calls(call, seconds))["median"])
            for name, call in _in_turn(both, number):
                fifty[name].append((await count_passes(call, seconds))["per_second"])
    return Claims(_pair(single), _pair(fifty))


def _in_turn(
    both: Mapping[str, Callable[[], Awaitable[int]]], number: int
) -> list[tuple[str, Callable[[], Awaitable[int]]]]:
    return list(both.items())[:: -1 if number % 2 else 1]


def _pair(rounds: dict[str, list[float]]) -> Pair:
    pairs = zip(rounds["cw_store"], rounds["by_hand"], strict=True)
    return {
        "by_hand": statistics.median(rounds["by_hand"]),
        "cw_store": statistics.median(rounds["cw_store"]),
        "ratio": statistics.median(ours / theirs for ours, theirs in pairs),
    }


async def fill_plan(url: str | Path) -> None:
    """Store eight accounts and tasks that are ready to be claimed."""
    async with Store(url) as store, store.unit_of_work() as uow:
        initiative = await uow.initiatives.create(name="User authentication")
        for number in range(8):
            await uow.accounts.create(email=f"agent{number}@example.org")
        for number in range(PHASES):
            phase = await uow.phases.create(initiative_id=initiative.id, name=f"Phase {number}")
            await uow.tasks.create_many(
                [
                    {"phase_id": phase.id, "name": f"Task {order}", "order": order}
                    for order in range(WAITING // PHASES)
                ]
            )
