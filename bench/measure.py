"""The stop-watch: one call at a time, or fifty tasks at once with a ticker beside them."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter, perf_counter_ns, process_time
from typing import TypedDict

from bench.work import MIXED_TASKS, Call

TICK = 0.005
WARM_UP = 0.25
"""The part of the time that is run before anything is counted."""


class CallTimes(TypedDict):
    """Microseconds for a call; `cpu` is that of all threads, less disturbed by other processes."""

    cpu: float
    median: float


class Throughput(TypedDict):
    """What fifty tasks got done, and the ticker's delays meanwhile, in milliseconds.

    `cpu` is in microseconds for one piece of work.
    """

    per_second: float
    cpu: float
    lags: list[float]


def keep_to_one_core() -> None:
    """Bind this process, and all threads it starts later, to one core, where the system can.

    A thread and the event loop otherwise share a core or not as the scheduler likes, which costs
    one contender some 60 microseconds a call in this run and another in the next.
    """
    if sys.platform == "linux":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


async def time_calls(call: Call, seconds: float, least: int = 10) -> CallTimes:
    """Repeat a call for `seconds`, and at least so often, and time each."""
    await _repeat(call, seconds * WARM_UP, max(1, least // 3))
    cpu = process_time()
    times = await _repeat(call, seconds, least)
    cpu = process_time() - cpu
    return {
        "cpu": cpu * 1e6 / len(times),
        "median": statistics.median(times) / 1000,
    }


async def _repeat(call: Call, seconds: float, least: int) -> list[int]:
    times: list[int] = []
    end = perf_counter_ns() + int(seconds * 1e9)
    before = perf_counter_ns()
    while before < end or len(times) < least:
        await call()
        after = perf_counter_ns()
        times.append(after - before)
        before = after
    return times


async def count_passes(work: Callable[[], Awaitable[int]], seconds: float) -> Throughput:
    """Let fifty tasks repeat a piece of work for `seconds`, after a warm-up."""
    await _race(work, seconds * WARM_UP)
    lags: list[float] = []
    ticker = asyncio.create_task(_tick(lags))
    started, cpu = perf_counter(), process_time()
    try:
        done = await _race(work, seconds)
        elapsed, cpu = perf_counter() - started, process_time() - cpu
    finally:
        ticker.cancel()
        await asyncio.wait([ticker])
    return {
        "per_second": sum(done) / elapsed,
        "cpu": cpu * 1e6 / sum(done),
        "lags": lags,
    }


async def _race(work: Callable[[], Awaitable[int]], seconds: float) -> list[int]:
    end = perf_counter() + seconds

    async def runner() -> int:
        done = 0
        while perf_counter() < end:
            done += await work()
            # Who blocks the loop must let the others have a turn some time.
            await asyncio.sleep(0)
        return done

    return await asyncio.gather(*(runner() for _ in range(MIXED_TASKS)))


async def _tick(lags: list[float]) -> None:
    while True:
        due = perf_counter() + TICK
        try:
            await asyncio.sleep(TICK)
        finally:  # the last one is cancelled, when it may be late already
            lags.append(max(0.0, (perf_counter() - due) * 1000))
