"""Processes that work on the tasks of one plan, and are killed and frozen at it."""

import asyncio
import json
import os
import signal
import time
from collections import Counter, defaultdict

import sqlalchemy as sa
from claim_workers import POISON, claim_in_turn, work_until_told
from drill import Drill, randomness
from processes import Worker, Workers

from cw_store import Store, schema

AGENTS, TASKS = schema.agents, schema.tasks


def send(worker: Worker, number: signal.Signals) -> None:
    pid: int = worker.process.pid
    os.kill(pid, number)


class Crowd:
    """So many processes at work, of which some are killed and some are frozen for a while."""

    def __init__(self, url: str, workers: Workers, size: int, lease: float) -> None:
        self.url = url
        self.workers = workers
        self.lease = lease
        self.chance = randomness(11)
        self.kills = self.freezes = self.refused = 0
        self.frozen: dict[Worker, float] = {}
        self.written: list[str] = []
        self.number = 0
        self.holders: dict[Worker, str] = {}
        self.all = [self.begin() for _ in range(size)]

    def begin(self) -> Worker:
        self.number += 1
        holder = f"h/{self.number}"
        worker = self.workers.start(
            work_until_told, self.url, holder, self.number, self.lease, self.lease / 6
        )
        self.holders[worker] = holder
        return worker

    def listen(self) -> None:
        for worker in self.all:
            try:
                while worker.pipe.poll():
                    kind, what = worker.pipe.recv()
                    if kind == "refused":
                        self.refused += what
                    elif kind == "written":
                        self.written.append(what)
            except (EOFError, OSError):
                pass  # it has killed itself

    def disturb(self, at_work: set[str]) -> None:
        """Kill or freeze one that has a task, let some go on, and begin anew for who is dead."""
        now = time.monotonic()
        for worker in [one for one, until in self.frozen.items() if until < now]:
            send(worker, signal.SIGCONT)
            del self.frozen[worker]
        for place, worker in enumerate(self.all):
            if not worker.process.is_alive():
                worker.close()
                self.all[place] = self.begin()
        awake = [worker for worker in self.all if worker not in self.frozen]
        those = [worker for worker in awake if self.holders[worker] in at_work]
        if not those or len(awake) <= len(self.all) // 2:
            return
        worker = self.chance.choice(those)
        if self.chance.randrange(6) == 0:
            worker.kill()
            self.kills += 1
        elif self.chance.randrange(2):
            send(worker, signal.SIGSTOP)
            self.frozen[worker] = now + self.chance.uniform(1.2, 2) * self.lease
            self.freezes += 1

    def stop(self) -> None:
        for worker in self.frozen:
            send(worker, signal.SIGCONT)
        for worker in self.all:
            if worker.process.is_alive():
                worker.tell("stop")
        for worker in self.all:
            worker.process.join(30)
        self.listen()


async def add_plan(store: Store, diamonds: int) -> None:
    """Add five initiatives, each a row of diamonds: one, two that wait for it, one for both."""
    async with store.unit_of_work() as uow:
        for number in range(5):
            id = f"i{number}"
            await uow.initiatives.create(id=id, name=id, max_agents=2 if number == 0 else None)
            await uow.phases.create(id=f"p{number}", initiative_id=id, name="p")
            last: str | None = None
            for diamond in range(diamonds):
                names = [f"{number}.{diamond}.{corner}" for corner in "abcd"]
                for name in names:
                    await uow.tasks.create(
                        id=name, phase_id=f"p{number}", name="t", max_retries=1000
                    )
                a, b, c, d = names
                edges = [(b, a), (c, a), (d, b), (d, c), *([(a, last)] if last else [])]
                for one, other in edges:
                    await uow.tasks.create_dependency(one, other)
                # Else a plan would be one long row, and nobody had anything to do beside it.
                last = d if diamond % 4 < 3 else None
            await uow.tasks.create(
                id=f"{number}.poison", phase_id=f"p{number}", name=POISON, max_retries=1
            )
        for number, limit in enumerate((2, 3, None)):
            await uow.accounts.create(id=f"a{number}", email="a@example.org", max_agents=limit)


async def passed_limits(store: Store) -> list[tuple[str, int]]:
    """Return which initiative or account has more live leases than it may, at this moment."""
    found: list[tuple[str, int]] = []
    async with store.unit_of_work(read_only=True) as uow:
        for table, column in (
            (schema.initiatives, AGENTS.c.initiative_id),
            (schema.accounts, AGENTS.c.account_id),
        ):
            query = (
                sa.select(table.c.id, sa.func.count())
                .join(AGENTS, column == table.c.id)
                .where(AGENTS.c.lease_expires_at.is_not(None))
                .group_by(table.c.id, table.c.max_agents)
                .having(sa.func.count() > table.c.max_agents)
            )
            found += [(id, count) for id, count in await uow.session.execute(query)]
    return found


async def is_done(store: Store) -> bool:
    counts = await store.tasks.count_by_status()
    return all(not {"pending", "in_progress"} & statuses.keys() for statuses in counts.values())


async def check_what_was_written(store: Store, tasks: int) -> int:
    """Check the log of every task, and how it has ended; return how many claims there were."""
    ends = Counter[str]()
    claims = 0
    for task in await store.tasks.find_all():
        ends[task.status] += 1
        assert task.status == ("blocked" if task.name == POISON else "completed")
        assert task.claimed_by_agent_id is None
        chunks = [json.loads(c.content) for c in await store.log_chunks.find_by_agent_id(task.id)]
        epochs = [chunk["epoch"] for chunk in chunks]
        assert epochs == sorted(epochs), f"{task.id}: {epochs}"
        begun = [chunk["epoch"] for chunk in chunks if chunk["what"] == "claimed"]
        assert len(begun) == len({*begun})
        assert all(chunk.get("seen", chunk["epoch"]) == chunk["epoch"] for chunk in chunks)
        assert "too late" not in {chunk["what"] for chunk in chunks}
        completed = [chunk for chunk in chunks if chunk["what"] == "completed"]
        assert len(completed) == (task.status == "completed")
        assert not completed or chunks[-1] is completed[0]
        claims += len(begun)
    assert sum(ends.values()) == tasks
    by_task = defaultdict[str | None, list[int]](list)
    for agent in await store.agents.find_all():
        assert agent.lease_expires_at is None and agent.epoch is not None
        by_task[agent.task_id].append(agent.epoch)
    for task_id, epochs in by_task.items():
        assert epochs == sorted({*epochs}), f"{task_id}: {epochs}"
    return claims


async def test_what_the_killed_and_the_frozen_leave_is_done_once_by_others(
    drill: Drill, workers: Workers, url: str
) -> None:
    diamonds = drill.amount(4, 500)
    lease = 0.4
    looks = 0
    async with Store(url) as store:
        await add_plan(store, diamonds)
        crowd = Crowd(url, workers, drill.amount(3, 8), lease)
        began = time.monotonic()
        while not await is_done(store):
            assert time.monotonic() - began < drill.amount(120, 3000)
            live = await store.claims.find_live()
            crowd.disturb({claim.agent.holder or "" for claim in live})
            crowd.listen()
            for _ in range(5):
                assert await passed_limits(store) == []
                looks += 1
                await asyncio.sleep(0.02)
        crowd.stop()
        assert crowd.written == []
        claims = await check_what_was_written(store, 5 * (4 * diamonds + 1))
    assert crowd.kills and crowd.freezes and crowd.refused >= drill.amount(1, 1_000)
    drill.held(
        f"{20 * diamonds + 5:,} tasks, {claims:,} claims, {crowd.kills} kills, "
        f"{crowd.freezes} freezes, {crowd.refused:,} late writes refused, {looks:,} looks"
    )


async def test_each_initiative_has_its_turn_however_many_processes_claim(
    drill: Drill, workers: Workers, url: str
) -> None:
    processes, times = drill.amount(3, 8), drill.amount(15, 50)
    async with Store(url) as store:
        async with store.unit_of_work() as uow:
            await uow.accounts.create(email="a@example.org")
            for number in range(5):
                initiative = await uow.initiatives.create(name=f"{number}")
                size = processes * times // 5 + number * number * times
                await uow.tasks.create_many(
                    [
                        {"name": "t", "initiative_id": initiative.id, "priority": "high"}
                        if number == 4
                        else {"name": "t", "initiative_id": initiative.id}
                        for _ in range(size)
                    ]
                )
        crowd = [workers.start(claim_in_turn, url, times) for _ in range(processes)]
        for worker in crowd:
            assert worker.receive() == "ready"
        for worker in crowd:
            worker.tell()
        for worker in crowd:
            assert worker.receive() == "done"
        order = [agent.initiative_id for agent in await store.agents.find_all()]
    assert len(order) == processes * times
    windows = [order[place : place + 5] for place in range(len(order) - 4)]
    assert all(len({*window}) == 5 for window in windows)
    drill.held(f"{len(order):,} claims of {processes} processes, one of five at each turn")
