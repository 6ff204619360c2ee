"""Processes that work on tasks, and are killed or frozen at it. The pipe to the drill comes first.

Each says how many writes it was refused when it came too late, in which way, and what it could
write all the same, which has to be nothing.
"""

import asyncio
import json
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

import sqlalchemy as sa

from cw_store import (
    Claim,
    LeaseLostError,
    NewLogChunk,
    Store,
    StoreBusyError,
    UnitOfWork,
    schema,
)

POISON = "poison"
"""The name of a task that kills whoever works on it."""

COMPLETED, FAILED = 0, 1
"""With what an agent has ended."""

Ways: TypeAlias = Mapping[str, Callable[[], Awaitable[object]]]
"""What can be written under a claim, by the call that does it."""


def supervise(
    pipe: Connection, url: str, holder: str, seed: int, agents: int, lease: float, pause: float
) -> None:
    """Take care of what an earlier life has left, then work with so many agents until told."""

    async def run() -> None:
        async with Store(url) as store:
            await Supervisor(
                pipe, store, holder, random.Random(seed), timedelta(seconds=lease), pause
            ).run(agents)

    asyncio.run(run())


async def passed_limits(uow: UnitOfWork) -> list[tuple[str, int]]:
    """Return which initiative or account has more live leases than it may, at this moment."""
    agents = schema.agents
    found: list[tuple[str, int]] = []
    for table, column in (
        (schema.initiatives, agents.c.initiative_id),
        (schema.accounts, agents.c.account_id),
    ):
        query = (
            sa.select(table.c.id, sa.func.count())
            .join(agents, column == table.c.id)
            .where(agents.c.lease_expires_at.is_not(None))
            .group_by(table.c.id, table.c.max_agents)
            .having(sa.func.count() > table.c.max_agents)
        )
        found += [(id, count) for id, count in await uow.session.execute(query)]
    return found


@dataclass
class Supervisor:
    """One process, whose agents do one task at a time each."""

    pipe: Connection
    store: Store
    holder: str
    random: random.Random
    lease: timedelta
    pause: float
    adopted: list[Claim] = field(default_factory=list[Claim])

    async def run(self, agents: int) -> None:
        await self.take_care_of_its_own()
        async with asyncio.TaskGroup() as group:
            for _ in range(agents):
                group.create_task(self.be_agent())

    async def take_care_of_its_own(self) -> None:
        """Adopt what an earlier life held, or give it back; fail what it may have died of."""
        own = await self.store.claims.find_live(holder=self.holder)
        for claim in own:
            if claim.task.name == POISON:
                try:
                    await self.store.claims.fail(
                        claim, exit_code=FAILED, retry_in=timedelta(seconds=0)
                    )
                except LeaseLostError:
                    pass  # its lease ran out at this moment, which costs the same
        if self.random.randrange(2):
            rest = [claim for claim in own if claim.task.name != POISON]
            self.adopted = await self.store.claims.renew(rest, lease=self.lease)
            self.pipe.send(("counts", {"adopted": len(self.adopted)}))
        else:
            displaced = await self.store.claims.recover(holder=self.holder)
            self.pipe.send(("counts", {"recovered by their holder": len(displaced)}))

    async def be_agent(self) -> None:
        while not self.pipe.poll():
            try:
                if not await self.do_one():
                    await asyncio.sleep(self.random.uniform(0.02, 0.1))
            except StoreBusyError:
                continue

    async def do_one(self) -> bool:
        """Do one task; False when there was none to be had."""
        if self.adopted:
            claim, what = self.adopted.pop(), "adopted"
        else:
            found, what = await self.claim(), "claimed"
            if found is None:
                return False
            claim = found
        if claim.task.name == POISON:
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            await self.work(claim, what)
        except LeaseLostError:
            await self.come_too_late(claim)
        return True

    async def claim(self) -> Claim | None:
        """Claim the next task, now and then with a look at the limits in the same transaction."""
        if self.random.randrange(3):
            return await self.next_one(self.store)
        async with self.store.unit_of_work() as uow:
            claim = await self.next_one(uow)
            passed = await passed_limits(uow) if claim else []
        self.pipe.send(("counts", {"looks at the limits": 1}))
        if passed:
            self.pipe.send(("wrong", f"limits passed: {passed}"))
        return claim

    async def next_one(self, repos: Store | UnitOfWork) -> Claim | None:
        return await repos.claims.next(holder=self.holder, worktree_id="trees/1", lease=self.lease)

    # Under the claim.

    async def work(self, claim: Claim, what: str) -> None:
        await self.append(claim, what)
        if self.random.randrange(2):
            async with self.store.keep(claim, lease=self.lease):
                await self.write(claim)
        else:
            if not await self.store.claims.renew([claim], lease=self.lease):
                await self.store.claims.check(claim)
            await self.write(claim)
        await self.end(claim)

    async def write(self, claim: Claim) -> None:
        ways = list(self.writes(claim, "works").values())
        for _ in range(self.random.randrange(3)):
            await asyncio.sleep(self.random.uniform(0, self.pause))
            await self.random.choice(ways)()

    async def end(self, claim: Claim) -> None:
        failing, releasing, *completing = self.ends(claim, "completed").values()
        match self.random.randrange(10):
            case 0:
                await failing()
            case 1:
                await releasing()
            case _:
                await self.random.choice(completing)()

    def writes(self, claim: Claim, what: str) -> Ways:
        return {
            "insert_chunk": lambda: self.append(claim, what),
            "insert_chunks": lambda: self.append_two(claim, what),
            "unit_of_work": lambda: self.write_in_unit(claim, what),
            "run": lambda: self.store.run(lambda uow: self.insert(uow, claim, what), claim=claim),
        }

    def ends(self, claim: Claim, what: str) -> Ways:
        claims = self.store.claims
        return {
            "fail": lambda: claims.fail(claim, exit_code=FAILED, retry_in=timedelta(seconds=0)),
            "release": lambda: claims.release(claim),
            "complete": lambda: claims.complete(claim, exit_code=COMPLETED),
            "complete in a unit": lambda: self.complete_in_unit(claim, what),
        }

    async def append(self, claim: Claim, what: str) -> None:
        await self.store.log_chunks.insert_chunk(
            claim.task.id, claim.agent.name, claim.epoch, self.content(claim, what), claim=claim
        )

    async def append_two(self, claim: Claim, what: str) -> None:
        chunk: NewLogChunk = {
            "agent_id": claim.task.id,
            "agent_name": claim.agent.name,
            "session_number": claim.epoch,
            "content": self.content(claim, what),
        }
        await self.store.log_chunks.insert_chunks([chunk, chunk], claim=claim)

    async def write_in_unit(self, claim: Claim, what: str) -> None:
        async with self.store.unit_of_work(claim=claim) as uow:
            await self.insert(uow, claim, what)

    async def complete_in_unit(self, claim: Claim, what: str) -> None:
        """Complete it, and say so in the same transaction."""
        async with self.store.unit_of_work() as uow:
            await uow.claims.complete(claim, exit_code=COMPLETED)
            await self.insert(uow, claim, what)

    async def insert(self, uow: UnitOfWork, claim: Claim, what: str) -> None:
        task = await uow.tasks.find_by_id(claim.task.id)
        assert task is not None
        content = self.content(claim, what, seen=task.epoch)
        await uow.log_chunks.insert_chunk(claim.task.id, claim.agent.name, claim.epoch, content)

    def content(self, claim: Claim, what: str, **more: Any) -> str:
        return json.dumps({"what": what, "agent": claim.agent.id, "epoch": claim.epoch, **more})

    # When it is another's.

    async def come_too_late(self, claim: Claim) -> None:
        """Try to write all the same, in every way there is, at once or after a while."""
        ways = {
            **self.writes(claim, "too late"),
            **self.ends(claim, "too late"),
            "renew": lambda: self.renew(claim),
            "keep": lambda: self.keep(claim),
        }
        await asyncio.sleep(self.random.choice((0, self.pause)))
        refused = Counter[str]()
        for name, way in ways.items():
            try:
                await way()
            except LeaseLostError:
                refused[name] += 1
            except StoreBusyError:
                continue  # refused too, but not for this
            else:
                self.pipe.send(("wrong", f"{name} of {claim.task.id} under epoch {claim.epoch}"))
        self.pipe.send(("refused", dict(refused)))

    async def renew(self, claim: Claim) -> None:
        if not await self.store.claims.renew([claim]):
            await self.store.claims.check(claim)

    async def keep(self, claim: Claim) -> None:
        async with self.store.keep(claim):
            pass


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


def claim_and_wait(pipe: Connection, url: str, holder: str, tasks: int) -> None:
    """Claim so many tasks for a lease that lasts long, say so, and wait to be killed."""

    async def run() -> None:
        async with Store(url) as store:
            for _ in range(tasks):
                claim = await store.claims.next(holder=holder, worktree_id="w", provider=None)
                assert claim is not None
                pipe.send((claim.agent.id, claim.epoch))
            await asyncio.Event().wait()

    asyncio.run(run())


def begin_anew(pipe: Connection, url: str, holder: str, adopts: bool) -> None:
    """Adopt and complete what an earlier life held, or give all of it back; say what it was."""

    async def run() -> None:
        async with Store(url) as store:
            if not adopts:
                displaced = await store.claims.recover(holder=holder)
                pipe.send([(agent.id, agent.epoch) for agent in displaced])
                return
            own = await store.claims.find_live(holder=holder)
            async with store.keep(*own):
                for claim in own:
                    await store.claims.complete(claim, exit_code=COMPLETED)
            pipe.send([(claim.agent.id, claim.epoch) for claim in own])

    asyncio.run(run())
