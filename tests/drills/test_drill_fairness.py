"""Everybody gets a turn: within a process, between processes, next to other programs."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from drill import (
    Drill,
    add_pair,
    load,
    median,
    milliseconds,
    percentile,
    ratio,
    timed,
    write_unit,
)
from processes import Workers
from workers import claim, hold_turns, lock_once

from cw_store import Store
from cw_store.backends.sqlite.backend import SqliteBackend
from cw_store.store import backend_of

pytestmark = pytest.mark.alone


@pytest.mark.parametrize("writers", [8, 64])
async def test_writers_in_one_process_commit_equally_often(
    url: str, drill: Drill, writers: int
) -> None:
    counts = [0] * writers

    async def write(number: int, until: float) -> None:
        while time.monotonic() < until:
            async with store.unit_of_work() as uow:
                await uow.log_chunks.insert_chunk(f"{number}", "drill", 1, "{}")
            counts[number] += 1

    async with Store(url) as store:
        until = time.monotonic() + drill.amount(1.0, 5.0) * (2 if writers > 8 else 1)
        await asyncio.gather(*(write(number, until) for number in range(writers)))
        assert store.connections_in_use == 0
    assert ratio(counts) <= 1.5, f"{min(counts)} to {max(counts)} commits; {load()}"
    drill.held(f"{min(counts)} to {max(counts)} commits each, ratio {ratio(counts):.2f}")


def test_processes_that_hold_the_turn_get_it_equally_often(
    file: str, drill: Drill, workers: Workers
) -> None:
    seconds = drill.amount(4.0, 20.0)
    asyncio.run(_create(file))
    crowd = [workers.start(hold_turns, file, seconds, 0.02) for _ in range(8)]
    for worker in crowd:
        assert worker.receive() == "ready"
    begin = time.monotonic() + 0.1
    for worker in crowd:
        worker.tell(begin)
    waits: list[list[float]] = [worker.receive() for worker in crowd]
    for worker in crowd:
        worker.ended()  # with an error it would not end well
    counts = [len(one) for one in waits]
    longest = percentile([wait for one in waits for wait in one], 0.99)
    assert ratio(counts) <= 1.5, f"{counts} turns; {load()}"
    assert longest < 1, f"99 % waited up to {longest:.2f} s; {load()}"
    drill.held(
        f"{min(counts)} to {max(counts)} turns each, ratio {ratio(counts):.2f}, "
        f"99 % waited < {milliseconds(longest)}, 0 errors"
    )


async def _create(url: str) -> None:
    async with Store(url):
        pass


async def test_fairness_between_processes_costs_a_single_one_nothing(
    file: str, drill: Drill
) -> None:
    async with Store(file) as store:
        backend = backend_of(store)
        assert isinstance(backend, SqliteBackend)
        looking_around = backend.writer.nobody_waits

        def looking_nowhere() -> bool:
            return True

        async def round_of(units: int, nobody_waits: Callable[[], bool]) -> float:
            backend.writer.nobody_waits = nobody_waits
            began = time.perf_counter()
            for _ in range(units):
                async with store.unit_of_work() as uow:
                    await uow.log_chunks.insert_chunk("hot", "drill", 1, "{}")
            return time.perf_counter() - began

        await round_of(200, looking_around)
        loss = 1.0
        rounds = drill.amount(25, 100)
        for _ in range(4):  # the machine may be busy with something else
            ratios: list[float] = []
            for number in range(rounds):
                # Now one is first, now the other, as the log grows from round to round.
                order = (looking_around, looking_nowhere)[:: 1 if number % 2 else -1]
                seconds = {look: await round_of(40, look) for look in order}
                ratios.append(seconds[looking_around] / seconds[looking_nowhere])
            loss = min(loss, median(ratios) - 1)
            if loss < 0.05:
                break
    assert loss < 0.05, f"{loss:.1%} slower; {load()}"
    drill.held(f"{loss:+.1%} time, median of {rounds} interleaved rounds")


async def one_call(store: Store) -> None:
    await store.log_chunks.insert_chunk("late", "drill", 1, "{}")


async def a_unit(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await add_pair(uow, "late")


@pytest.mark.parametrize("write", [one_call, a_unit])
async def test_a_timeout_ends_the_wait_for_another_programs_lock(
    url: str, drill: Drill, workers: Workers, write: Callable[[Store], Awaitable[None]]
) -> None:
    async with Store(url) as store:
        await write_unit(store, "first")
        locker = workers.start(lock_once, url, drill.amount(1.0, 3.0))
        await asyncio.to_thread(locker.receive)

        async def wait_a_little() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await write(store)

        returned = await timed(wait_a_little())
        assert returned < 0.6, f"returned after {returned:.2f} s; {load()}"
        waited = await timed(write_unit(store, "next"))
        assert await timed(write_unit(store, "after")) < 0.5, load()
        await asyncio.to_thread(locker.ended)
        assert store.connections_in_use == 0
        assert len(await store.log_chunks.find_by_agent_id("next")) == 2
    drill.held(
        f"0.3 s returned after {returned:.2f} s; the next write came through after {waited:.2f} s"
    )


def test_processes_that_claim_accounts_rotate_evenly(
    url: str, drill: Drill, workers: Workers
) -> None:
    accounts, times = 16, drill.amount(10, 60)

    async def prepare() -> None:
        async with Store(url) as store:
            for number in range(accounts):
                await store.accounts.create(email=f"{number}@example.org")

    asyncio.run(prepare())
    claimants = [workers.start(claim, url, times) for _ in range(16)]
    for claimant in claimants:
        assert claimant.receive() == "ready"
    for claimant in claimants:
        claimant.tell()
    claimed: list[str] = []
    for claimant in claimants:
        claimed += claimant.receive()
        claimant.ended()
    counts = sorted(claimed.count(account) for account in set(claimed))
    assert len(counts) == accounts
    assert counts[-1] - counts[0] <= 1, f"{counts} claims; {load()}"
    drill.held(f"16 processes, {len(claimed)} claims, {counts[0]} to {counts[-1]} for each account")
