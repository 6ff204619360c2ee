"""Processes that work on tasks, and are killed or frozen at it. The pipe to the drill comes first.

Each says how many writes it was refused when it came too late, and what it could write all the
same, which has to be nothing.
"""

import asyncio
import json
import os
import random
import signal
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

from cw_store import Claim, LeaseLostError, Store, StoreBusyError, UnitOfWork

POISON = "poison"
"""The name of a task that kills whoever works on it."""


def work_until_told(
    pipe: Connection, url: str, name: str, seed: int, lease: float, pause: float
) -> None:
    """Claim tasks, write under the claim, and end it one way or another."""

    async def run() -> None:
        async with Store(url) as store:
            worker = Worker(pipe, store, name, seed, timedelta(seconds=lease), pause)
            pipe.send(("begins", 0))
            while not pipe.poll():
                try:
                    if not await worker.work():
                        await asyncio.sleep(0.02)
                except StoreBusyError:
                    continue

    asyncio.run(run())


class Worker:
    """One process's supervisor, which runs one task at a time."""

    def __init__(
        self,
        pipe: Connection,
        store: Store,
        name: str,
        seed: int,
        lease: timedelta,
        pause: float,
    ) -> None:
        self.pipe = pipe
        self.store = store
        self.name = name
        self.random = random.Random(seed)
        self.lease = lease
        self.pause = pause

    async def work(self) -> bool:
        """Do one task; False when there was none to be had."""
        claim = await self.store.claims.next(
            holder=self.name, worktree_id="trees/1", lease=self.lease
        )
        if claim is None:
            return False
        if claim.task.name == POISON:
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            await self.write_and_end(claim)
        except LeaseLostError:
            await self.come_too_late(claim)
        return True

    async def write_and_end(self, claim: Claim) -> None:
        await self.append(claim, "claimed")
        for _ in range(self.random.randrange(3)):
            await asyncio.sleep(self.random.uniform(0, self.pause))
            if not await self.store.claims.renew([claim], lease=self.lease):
                await self.store.claims.check(claim)
            await self.append(claim, "works")
            await self.write_in_unit(claim, "works")
        match self.random.randrange(10):
            case 0:
                await self.store.claims.fail(claim, retry_in=timedelta(0))
            case 1:
                await self.store.claims.release(claim)
            case _:
                await self.complete(claim)

    async def append(self, claim: Claim, what: str) -> None:
        content = self.content(claim, what)
        await self.store.log_chunks.insert_chunk(
            claim.task.id, claim.agent.name, claim.epoch, content, claim=claim
        )

    async def write_in_unit(self, claim: Claim, what: str) -> None:
        async with self.store.unit_of_work(claim=claim) as uow:
            await self.insert(uow, claim, what)

    async def complete(self, claim: Claim) -> None:
        """Complete it, and say so in the same transaction."""
        async with self.store.unit_of_work() as uow:
            await uow.claims.complete(claim)
            await self.insert(uow, claim, "completed")

    async def insert(self, uow: UnitOfWork, claim: Claim, what: str) -> None:
        task = await uow.tasks.find_by_id(claim.task.id)
        assert task is not None
        content = self.content(claim, what, seen=task.epoch)
        await uow.log_chunks.insert_chunk(claim.task.id, claim.agent.name, claim.epoch, content)

    def content(self, claim: Claim, what: str, **more: Any) -> str:
        return json.dumps({"what": what, "agent": claim.agent.id, "epoch": claim.epoch, **more})

    async def come_too_late(self, claim: Claim) -> None:
        """Try to write all the same, in every way there is."""
        ways = (
            lambda: self.append(claim, "too late"),
            lambda: self.write_in_unit(claim, "too late"),
            lambda: self.complete(claim),
            lambda: self.store.claims.fail(claim),
            lambda: self.store.claims.release(claim),
            lambda: self.store.claims.check(claim),
        )
        refused = 0
        for way in ways * 3:
            try:
                await way()
            except LeaseLostError:
                refused += 1
            else:
                self.pipe.send(("written", f"{claim.task.id} under epoch {claim.epoch}"))
        if await self.store.claims.renew([claim]):
            self.pipe.send(("written", f"renewed {claim.task.id}"))
        self.pipe.send(("refused", refused))


def claim_in_turn(pipe: Connection, url: str, times: int) -> None:
    """Claim so many tasks, when told to, and keep them."""

    async def run() -> None:
        async with Store(url) as store:
            await store.accounts.find_all()
            pipe.send("ready")
            pipe.recv()
            for _ in range(times):
                await store.claims.next(holder="h", worktree_id="w")
        pipe.send("done")

    asyncio.run(run())
