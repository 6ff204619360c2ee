"""Processes that work on the tasks of one plan, and are killed and frozen at it."""

import asyncio
import json
import os
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress

import pytest
import sqlalchemy as sa
from claim_workers import (
    COMPLETED,
    POISON,
    begin_anew,
    claim_and_wait,
    claim_in_turn,
    passed_limits,
    supervise,
)
from drill import CHUNKS, Drill, randomness
from processes import Worker, Workers

from cw_store import Agent, Store, Task

LEASE = 0.4
"""Seconds; shorter, and who is only slow on a busy machine loses too much of its work."""


class Crowd:
    """So many processes at work, of which some are killed and some are frozen for a while."""

    def __init__(
        self, url: str, workers: Workers, size: int, agents: int, blows_per_second: float
    ) -> None:
        self.url = url
        self.workers = workers
        self.agents = agents
        self.blows_per_second = blows_per_second
        self.chance = randomness(11)
        self.kills = self.suicides = self.freezes = self.lives = 0
        self.counts = Counter[str]()
        self.refused = Counter[str]()
        self.wrong: list[str] = []
        self.killed: set[str] = set()
        self.frozen: dict[str, float] = {}
        self.all = {holder: self.begin(holder) for holder in (f"h/{n}" for n in range(size))}
        self.next_blow = time.monotonic() + 1

    def begin(self, holder: str) -> Worker:
        self.lives += 1
        return self.workers.start(
            supervise, self.url, holder, self.lives, self.agents, LEASE, LEASE / 6
        )

    def listen(self) -> None:
        for worker in self.all.values():
            with suppress(EOFError, OSError):  # it is dead
                while worker.pipe.poll():
                    kind, what = worker.pipe.recv()
                    if kind == "wrong":
                        self.wrong.append(what)
                    else:
                        (self.refused if kind == "refused" else self.counts).update(what)

    def look_after(self) -> None:
        """Let those go on that were frozen for long, and begin anew for those that are dead."""
        now = time.monotonic()
        for holder in [one for one, until in self.frozen.items() if until < now]:
            self.wake(holder)
        for holder, worker in self.all.items():
            if not worker.process.is_alive():
                # Whoever was neither told to end nor killed has met an error.
                assert worker.process.exitcode == -signal.SIGKILL
                self.suicides += holder not in self.killed
                self.killed.discard(holder)
                self.frozen.pop(holder, None)
                worker.close()
                self.all[holder] = self.begin(holder)

    def wake(self, holder: str) -> None:
        del self.frozen[holder]
        self.send(holder, signal.SIGCONT)

    def send(self, holder: str, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):  # it has killed itself
            os.kill(self.all[holder].process.pid, number)

    def disturb(self, at_work: set[str]) -> None:
        """Kill one that has a task, or freeze some."""
        awake = sorted(at_work - self.frozen.keys() - self.killed)
        if awake and (not self.kills or self.chance.randrange(6) == 0):
            holder = self.chance.choice(awake)
            self.send(holder, signal.SIGKILL)
            self.killed.add(holder)
            self.kills += 1
            return
        most = len(self.all) // 2 - len(self.frozen)
        for holder in self.chance.sample(awake, max(0, min(most, len(awake), 2))):
            self.send(holder, signal.SIGSTOP)
            self.frozen[holder] = time.monotonic() + self.chance.uniform(1.2, 2) * LEASE
            self.freezes += 1

    def has_met(self, late_writes: int) -> bool:
        """Whether some were killed, some frozen, and so many writes came too late."""
        return bool(self.kills and self.freezes) and self.refused.total() >= late_writes

    def is_time(self) -> bool:
        """Whether the next blow is due."""
        now = time.monotonic()
        if now < self.next_blow:
            return False
        self.next_blow = now + self.chance.expovariate(self.blows_per_second)
        return True

    def stop(self) -> None:
        for holder in list(self.frozen):
            self.wake(holder)
        for worker in self.all.values():
            with suppress(OSError):
                worker.tell("stop")
        for worker in self.all.values():
            worker.process.join(30)
        self.listen()


async def add_plan(store: Store, diamonds: int, in_a_row: int) -> None:
    """Add five initiatives, each of diamonds: one, two that wait for it, one for both.

    A diamond waits for the one before it, until there are so many in a row.
    """
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
                last = d if (diamond + 1) % in_a_row else None
            await uow.tasks.create(
                id=f"{number}.poison", phase_id=f"p{number}", name=POISON, max_retries=1
            )
        for number, limit in enumerate((2, 3, None)):
            await uow.accounts.create(id=f"a{number}", email="a@example.org", max_agents=limit)


async def open_tasks(store: Store) -> int:
    counts = await store.tasks.count_by_status()
    return sum(
        statuses.get("pending", 0) + statuses.get("in_progress", 0) for statuses in counts.values()
    )


async def chunks_by_task(store: Store) -> Mapping[str, list[dict[str, object]]]:
    """Return what was written under the claims of each task, in the order of writing."""
    found = defaultdict[str, list[dict[str, object]]](list)
    query = sa.select(CHUNKS.c.agent_id, CHUNKS.c.content).order_by(CHUNKS.c.seq)
    async with store.unit_of_work(read_only=True) as uow:
        for task_id, content in await uow.session.execute(query):
            found[task_id].append(json.loads(content))
    return found


def check_agents(task: Task, agents: list[Agent]) -> None:
    """Check that each claim had an epoch of its own, and the last one alone completed the task."""
    assert task.claimed_by_agent_id is None
    assert all(agent.lease_expires_at is None and agent.epoch is not None for agent in agents)
    epochs = [agent.epoch or 0 for agent in agents]
    assert epochs == sorted({*epochs}), f"{task.id}: {epochs}"
    assert epochs[-1] <= task.epoch
    if task.name == POISON:
        assert (task.status, task.retry_count) == ("blocked", 2)
        assert len(agents) == 2
    else:
        assert task.status == "completed", f"{task.id} is {task.status}"
        completing = [agent.id for agent in agents if agent.exit_code == COMPLETED]
        assert completing == [agents[-1].id]
        assert agents[-1].epoch == task.epoch


def check_chunks(task: Task, chunks: list[dict[str, object]]) -> None:
    """Check that what was written was written by who had the task, one after the other."""
    epochs = [int(str(chunk["epoch"])) for chunk in chunks]
    assert epochs == sorted(epochs), f"{task.id}: {epochs}"
    assert all(chunk.get("seen", chunk["epoch"]) == chunk["epoch"] for chunk in chunks)
    what = [chunk["what"] for chunk in chunks]
    assert "too late" not in what
    begun = [chunk["epoch"] for chunk in chunks if chunk["what"] == "claimed"]
    assert len(begun) == len({*begun})
    assert "completed" not in what[:-1]
    if task.status == "completed":
        assert epochs[-1] == task.epoch


async def check_what_is_stored(store: Store, tasks: int) -> int:
    """Check the agents and the log of every task; return how many claims there were."""
    agents = defaultdict[str | None, list[Agent]](list)
    for agent in await store.agents.find_all():
        agents[agent.task_id].append(agent)
    chunks = await chunks_by_task(store)
    found = await store.tasks.find_all()
    assert len(found) == tasks
    for task in found:
        check_agents(task, agents[task.id])
        check_chunks(task, chunks.get(task.id, []))
    return sum(len(those) for those in agents.values())


async def work_until_nothing_is_open(
    store: Store, crowd: Crowd, seconds: float, late_writes: int
) -> tuple[int, int]:
    """Have the crowd do all tasks, disturbed, and more until enough has happened to it.

    Returns how often the limits were looked at, and how many tasks were added.
    """
    looks = added = 0
    began = time.monotonic()
    while (left := await open_tasks(store)) or not crowd.has_met(late_writes):
        assert time.monotonic() - began < seconds, f"{left} tasks are open: {crowd.__dict__}"
        if not left:
            more = await store.tasks.create_many(
                [{"name": "t", "max_retries": 1000} for _ in range(40)]
            )
            added += len(more)
        for _ in range(20):
            crowd.look_after()
            crowd.listen()
            if crowd.is_time():
                live = await store.claims.find_live()
                crowd.disturb({claim.agent.holder or "" for claim in live})
            async with store.unit_of_work(read_only=True) as uow:
                assert await passed_limits(uow) == []
            looks += 1
            await asyncio.sleep(0.02)
    crowd.stop()
    return looks, added


async def test_what_the_killed_and_the_frozen_leave_is_done_once_by_others(
    drill: Drill, workers: Workers, url: str
) -> None:
    diamonds = drill.amount(4, 500)
    tasks = 5 * (4 * diamonds + 1)
    async with Store(url) as store:
        await add_plan(store, diamonds, in_a_row=drill.amount(2, 4))
        began = time.monotonic()
        crowd = Crowd(url, workers, drill.amount(3, 8), drill.amount(2, 3), drill.amount(3, 0.6))
        least = drill.amount(1, 1_000)
        limit = drill.amount(120, 1200)
        looks, added = await work_until_nothing_is_open(store, crowd, limit, least)
        tasks += added
        seconds = time.monotonic() - began
        assert crowd.wrong == []
        claims = await check_what_is_stored(store, tasks)
    looks += crowd.counts["looks at the limits"]
    late = crowd.refused.total()
    drill.held(
        f"{tasks:,} tasks, {claims:,} claims, {crowd.kills} kills, {crowd.freezes} freezes, "
        f"{late:,} late writes refused, {looks:,} looks, {seconds:.0f} s"
    )
    drill.tell(
        {
            "tasks": tasks,
            "claims": claims,
            "processes at a time": len(crowd.all),
            "agents of each": crowd.agents,
            "lives": crowd.lives,
            "killed": crowd.kills,
            "killed by a task": crowd.suicides,
            "frozen": crowd.freezes,
            "adopted": crowd.counts["adopted"],
            "recovered by their holder": crowd.counts["recovered by their holder"],
            "looks at the limits": looks,
            "late writes refused": late,
            **{f"  {way}": number for way, number in sorted(crowd.refused.items())},
            "late writes stored": len(crowd.wrong),
            "seconds": round(seconds),
        }
    )
    assert crowd.has_met(least)


@pytest.mark.parametrize("adopts", [True, False])
async def test_a_supervisor_that_starts_again_has_its_own_at_once(
    drill: Drill, workers: Workers, url: str, adopts: bool
) -> None:
    lives, each = drill.amount(2, 20), 3
    async with Store(url) as store:
        await store.tasks.create_many(
            [{"name": "t", "max_retries": 0} for _ in range(each * (lives + 1))]
        )
        other = workers.start(claim_and_wait, url, "other", each)
        held_by_other = [other.receive() for _ in range(each)]
        for _ in range(lives):
            first = workers.start(claim_and_wait, url, "mine", each)
            held = [first.receive() for _ in range(each)]
            first.kill()
            second = workers.start(begin_anew, url, "mine", adopts)
            assert sorted(second.receive()) == sorted(held)
            second.ended()
        live = await store.claims.find_live()
        assert [(claim.agent.id, claim.epoch) for claim in live] == held_by_other
        tasks = [task for task in await store.tasks.find_all() if not task.claimed_by_agent_id]
        assert len(tasks) == each * lives
        assert {task.status for task in tasks} == {"completed" if adopts else "pending"}
        assert {task.retry_count for task in tasks} == {0}
    drill.held(f"{lives} lives, {each * lives} {'adopted' if adopts else 'recovered'}")


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
