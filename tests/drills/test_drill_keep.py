"""What is kept by a process that is frozen for longer than its lease."""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from drill import Drill, randomness
from keep_workers import keep_until_told
from processes import Worker, Workers

from cw_store import Agent, Store, StoreBusyError

LEASE = 0.3


class Keepers:
    """Processes that keep a task each; half of them write all the time, half only wait."""

    def __init__(self, store: Store, url: str, workers: Workers, size: int) -> None:
        self.store = store
        self.chance = randomness(3)
        self.all = [
            workers.start(keep_until_told, url, f"h/{number}", LEASE, number % 2 == 0)
            for number in range(size)
        ]
        for worker in self.all:
            assert worker.receive() == "ready"
        self.kept: dict[Worker, str] = {}
        self.refused = Counter[str]()

    @asynccontextmanager
    async def frozen(self) -> AsyncGenerator[None]:
        """Have each keep a task, and freeze all while the block lasts, with their leases over."""
        # Whoever claims recovers what is over, so all have claimed before a lease is short.
        for worker in self.all:
            worker.tell("go")
        for worker in self.all:
            kind, self.kept[worker] = worker.receive()
            assert kind == "claimed"
        for worker in self.all:
            worker.tell("keep")
        for worker in self.all:
            assert worker.receive() == ("kept", None)
        for worker in self.chance.sample(self.all, len(self.all)):
            await asyncio.sleep(self.chance.uniform(0, LEASE / len(self.all)))
            os.kill(worker.process.pid, signal.SIGSTOP)
        await self.until_over()
        try:
            yield
        finally:
            for worker in self.all:
                os.kill(worker.process.pid, signal.SIGCONT)

    async def until_over(self) -> None:
        """Return when nobody has a lease that is not over."""
        async with asyncio.timeout(30):
            while max((await self.leases()).values()) > datetime.now(UTC):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def leases(self) -> dict[str, datetime]:
        live = [claim.agent for claim in await self.store.claims.find_live()]
        return {
            agent.id: agent.lease_expires_at
            for agent in live
            if agent.lease_expires_at is not None and agent.id in self.kept.values()
        }

    async def until_renewed(self, agent_id: str) -> None:
        """Return when a lease has been renewed again, more than once."""
        woken = datetime.now(UTC) + timedelta(seconds=LEASE)
        async with asyncio.timeout(30):
            while (await self.leases())[agent_id] <= woken:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    def end_of(self, worker: Worker) -> tuple[str, bool | None]:
        """Return how the block of one has ended, and whether it was by `store.keep`."""
        while True:
            kind, what = worker.receive()
            match kind:
                case "refused":
                    self.refused.update(what)
                case "wrong":
                    raise AssertionError(what)
                case _:
                    return kind, what


async def take_from_the_frozen(store: Store) -> list[Agent]:
    """Take back what can be had, and give some of it to another; return who has lost it."""
    try:
        displaced = await store.claims.recover()
    except StoreBusyError:
        return []  # one of them is frozen in the middle of a transaction: nobody can write
    for agent in displaced[::2]:
        assert agent.task_id is not None
        await store.claims.take(agent.task_id, holder="another", worktree_id="w")
    return displaced


async def test_who_was_frozen_goes_on_unless_another_has_the_task_and_then_writes_nothing(
    drill: Drill, workers: Workers, url: str
) -> None:
    size, rounds = drill.amount(4, 8), drill.amount(1, 25)
    told, done = Counter[str](), Counter[bool]()
    async with Store(url, busy_timeout=0.5) as store:
        await store.accounts.create(email="a@example.org")
        keepers = Keepers(store, url, workers, size)
        while done[True] < rounds or done[False] < rounds:
            await store.tasks.create_many(
                [{"name": "t", "max_retries": 1_000} for _ in range(size)]
            )
            async with keepers.frozen():
                taken = await take_from_the_frozen(store) if done[True] < rounds else []
            done[bool(taken)] += 1
            lost = {agent.id for agent in taken}
            for worker, agent_id in keepers.kept.items():
                if agent_id in lost:
                    kind, by_keep = keepers.end_of(worker)
                    assert kind == "lost"
                    told["ended by keep" if by_keep else "ended by what was written"] += 1
                else:
                    await keepers.until_renewed(agent_id)
                    worker.tell("end")
                    assert keepers.end_of(worker) == ("completed", None)
                    told["went on"] += 1
            for claim in await store.claims.find_live():
                assert claim.agent.holder == "another"
                await store.claims.complete(claim)
        for worker in keepers.all:
            worker.tell("stop")
            worker.ended()
        tasks = await store.tasks.find_all()
        for task in tasks:
            chunks = [
                json.loads(one.content) for one in await store.log_chunks.find_by_agent_id(task.id)
            ]
            epochs = [chunk["epoch"] for chunk in chunks]
            assert epochs == sorted(epochs)
            assert {chunk["what"] for chunk in chunks} <= {"works"}
            assert all(chunk.get("seen", chunk["epoch"]) == chunk["epoch"] for chunk in chunks)
    drill.held(", ".join(f"{number} {what}" for what, number in sorted(told.items())))
    drill.tell(
        {
            "rounds in which they lost it": done[True],
            "rounds in which nobody took it": done[False],
            **told,
            "late writes refused": keepers.refused.total(),
        }
    )
    assert told["ended by keep"] and told["went on"]
