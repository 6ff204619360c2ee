"""How soon somebody wakes, and what it costs that many wait.

Beside the wait stands today's habit: the same question, asked every 100 milliseconds. The other
process has a store of its own on the same database. It says when it made the call that somebody
waits for, so the call itself is in what is measured; both read one clock, the system's monotonic.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from time import perf_counter, process_time
from typing import NamedTuple

from cw_store import Agent, Conversation, Store

POLL_SECONDS = 0.1
LISTENERS = 1_000
QUESTIONS_A_SECOND = 100
IDLE_SECONDS = 5.0
SECONDS = 2.0


class Wakeups(NamedTuple):
    """Milliseconds from a call until whoever waits for it has what it waits for."""

    median: float
    p99: float


class Waited(NamedTuple):
    """What was measured on one database.

    `idle` is the part of a core that idle listeners take. `throughput` is what is left of a
    writer's work beside them, while others are asked questions; `in_vain` how many questions came
    to somebody else.
    """

    in_process: Wakeups
    polled: Wakeups
    between_processes: Wakeups
    dependent_claimed: Wakeups
    idle: float
    throughput: float
    in_vain: int


async def measure_waits(url: str, rounds: int, tell: Callable[[str], None]) -> Waited:
    """Measure all of it, one after another."""
    async with Store(url) as store:
        pair = [await store.agents.create(worktree_id=f"trees/{n}") for n in range(2)]
        tell("wake-ups in one process")
        in_process = await _in_process(store, pair, rounds)
        tell("the same by polling")
        polled = await _polled(store, pair, max(10, rounds // 10))
        async with _elsewhere(url, pair) as elsewhere:
            tell("wake-ups between processes")
            between = await _between(store, pair, elsewhere, rounds)
            tell("a task is claimed that has waited for another")
            claimed = await _dependents(store, elsewhere, rounds)
        tell(f"{LISTENERS} listeners")
        return Waited(in_process, polled, between, claimed, *await _many(store, rounds))


def _summary(times: list[float]) -> Wakeups:
    return Wakeups(statistics.median(times) * 1000, statistics.quantiles(times, n=100)[98] * 1000)


async def _ask(store: Store, pair: list[Agent]) -> None:
    """Ask a question that says when it is asked."""
    await store.conversations.create(
        from_agent_id=pair[0].id, to_agent_id=pair[1].id, question=repr(perf_counter())
    )


async def _heard(questions: AsyncGenerator[Conversation]) -> tuple[Conversation, float]:
    return await anext(questions), perf_counter()


async def _in_process(store: Store, pair: list[Agent], rounds: int) -> Wakeups:
    """Measure from the return of the call, which is when its commit is known."""
    times: list[float] = []
    async with aclosing(store.listen(pair[1].id)) as questions:
        for _ in range(rounds):
            hearing = asyncio.create_task(_heard(questions))
            await asyncio.sleep(0.01)
            await _ask(store, pair)
            asked = perf_counter()
            question, heard = await hearing
            times.append(max(0.0, heard - asked))
            await store.conversations.answer(question.id, "8080")
    return _summary(times)


async def _polled(store: Store, pair: list[Agent], rounds: int) -> Wakeups:
    async def poll() -> tuple[Conversation, float]:
        while True:
            pending = await store.conversations.find_pending_for_agent(pair[1].id)
            if pending:
                return pending[0], perf_counter()
            await asyncio.sleep(POLL_SECONDS)

    times: list[float] = []
    for number in range(rounds):
        polling = asyncio.create_task(poll())
        await asyncio.sleep(0.01 + POLL_SECONDS * number / rounds)
        await _ask(store, pair)
        asked = perf_counter()
        question, heard = await polling
        times.append(max(0.0, heard - asked))
        await store.conversations.answer(question.id, "8080")
    return _summary(times)


# Another process.


@asynccontextmanager
async def _elsewhere(url: str, pair: list[Agent]) -> AsyncGenerator[Process]:
    command = (sys.executable, "-m", "bench.waits", url, pair[0].id, pair[1].id)
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def _told(elsewhere: Process, what: str) -> float:
    """Have the other process do something, and return when it began."""
    assert elsewhere.stdin is not None and elsewhere.stdout is not None
    elsewhere.stdin.write(f"{what}\n".encode())
    return float(await elsewhere.stdout.readline())


async def _between(store: Store, pair: list[Agent], elsewhere: Process, rounds: int) -> Wakeups:
    times: list[float] = []
    async with aclosing(store.listen(pair[1].id)) as questions:
        for number in range(rounds):
            hearing = asyncio.create_task(_heard(questions))
            await asyncio.sleep(0.01 + 0.1 * number / rounds)
            await _told(elsewhere, "ask")
            question, heard = await hearing
            times.append(heard - float(question.question))
            await store.conversations.answer(question.id, "8080")
    return _summary(times)


async def _dependents(store: Store, elsewhere: Process, rounds: int) -> Wakeups:
    """Measure from the completion of a prerequisite until a worker has the dependent."""
    times: list[float] = []
    for number in range(rounds):
        first = await store.tasks.create(name="Draw")
        second = await store.tasks.create(name="Build")
        await store.tasks.create_dependency(second.id, first.id)
        assert elsewhere.stdin is not None
        await _told(elsewhere, "claim")

        async def work() -> float:
            claim = await store.wait_for_claim(
                holder="bench/1", worktree_id="trees/one", provider=None
            )
            claimed = perf_counter()
            await store.claims.complete(claim)
            return claimed

        working = asyncio.create_task(work())
        await asyncio.sleep(0.01 + 0.1 * number / rounds)
        completed = await _told(elsewhere, "complete")
        times.append(await working - completed)
    return _summary(times)


async def _be_elsewhere(url: str, asks: str, answers: str) -> None:
    """Do what is asked for on stdin, and say on stdout when it began."""
    async with Store(url) as store:
        pair = [await store.agents.find_by_id(id) for id in (asks, answers)]
        agents = [agent for agent in pair if agent is not None]
        claim = None
        while what := (await asyncio.to_thread(sys.stdin.readline)).strip():
            began = perf_counter()
            if what == "ask":
                await _ask(store, agents)
            elif what == "claim":
                claim = await store.claims.next(
                    holder="bench/2", worktree_id="trees/two", provider=None
                )
            elif claim is not None:
                await store.claims.complete(claim)
            print(began, flush=True)


# Many who wait.


async def _many(store: Store, rounds: int) -> tuple[float, float, int]:
    agents = [await store.agents.create(worktree_id="trees/many") for _ in range(LISTENERS)]
    in_vain, ratios = 0, list[float]()

    async def listen(agent: Agent) -> None:
        nonlocal in_vain
        async for question in store.listen(agent.id):
            in_vain += question.to_agent_id != agent.id
            await store.conversations.answer(question.id, "8080")

    for _ in range(max(1, rounds // 50)):
        alone = await _throughput(store, agents)
        async with _all(listen, agents):
            await asyncio.sleep(0.5)
            ratios.append(await _throughput(store, agents) / alone)
    async with _all(listen, agents):
        await asyncio.sleep(2.0)
        spent, began = process_time(), perf_counter()
        await asyncio.sleep(IDLE_SECONDS)
        idle = (process_time() - spent) / (perf_counter() - began)
    return idle, statistics.median(ratios), in_vain


@asynccontextmanager
async def _all(
    listen: Callable[[Agent], Awaitable[None]], agents: list[Agent]
) -> AsyncGenerator[None]:
    listening = [asyncio.ensure_future(listen(agent)) for agent in agents]
    try:
        yield
    finally:
        for one in listening:
            one.cancel()
        await asyncio.wait(listening)


async def _throughput(store: Store, agents: list[Agent]) -> float:
    """Return how many tasks a second are created while others are asked, and answer."""

    async def ask() -> None:
        for number in range(int(SECONDS * QUESTIONS_A_SECOND)):
            await asyncio.sleep(1 / QUESTIONS_A_SECOND)
            await _ask(store, [agents[0], agents[1 + number % (LISTENERS - 1)]])

    asking, created, began = asyncio.create_task(ask()), 0, perf_counter()
    while perf_counter() < began + SECONDS:
        await store.tasks.create(name="Build", status="completed")
        created += 1
    await asking
    return created / SECONDS


if __name__ == "__main__":
    asyncio.run(_be_elsewhere(*sys.argv[1:]))
