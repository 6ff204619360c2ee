"""What the fault drills share: their report, the unit they write, and their eyes.

Every drill writes the same unit: a pair of log chunks under one key, both or neither. A key with
one chunk is a torn unit, a key that was acknowledged and has none is a lost one.
"""

import asyncio
import gc
import logging
import os
import random
import statistics
import sys
import time
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
import sqlalchemy as sa

from cw_store import Store, UnitOfWork, schema

T = TypeVar("T")

driver: Any = asyncpg  # it has no types

CHUNKS = schema.agent_log_chunks


@dataclass
class Drill:
    """One drill's size and, when it held, its figures."""

    full: bool
    figures: list[str] = field(default_factory=list[str])
    counts: dict[str, int] = field(default_factory=dict[str, int])

    def amount(self, short: T, full: T) -> T:
        """Return the one of the two that this run is for."""
        return full if self.full else short

    def held(self, figures: str) -> None:
        """Say that the drill held, with its figures; the table at the end shows it."""
        self.figures.append(figures)

    def tell(self, counts: Mapping[str, int]) -> None:
        """Tell what was counted, in a table of its own at the end, even if the drill fails then."""
        self.counts.update(counts)


async def add_pair(repos: Store | UnitOfWork, key: str, content: str = "{}") -> None:
    """Write the two rows of a unit, which have to be in one transaction."""
    await repos.log_chunks.insert_chunk(key, "drill", 1, content)
    await repos.log_chunks.insert_chunk(key, "drill", 2, content)


async def write_unit(store: Store, key: str, content: str = "{}") -> None:
    """Write one unit, in a unit of work."""
    async with store.unit_of_work() as uow:
        await add_pair(uow, key, content)


async def rows_by_key(store: Store) -> dict[str, int]:
    """Return how many rows each unit has, as somebody sees it who begins to read now."""
    query = sa.select(CHUNKS.c.agent_id, sa.func.count()).group_by(CHUNKS.c.agent_id)
    async with store.unit_of_work(read_only=True) as uow:
        return {key: count for key, count in (await uow.session.execute(query)).all()}


def torn(rows: dict[str, int]) -> list[str]:
    """Return the units of which only a part is there."""
    return [key for key, count in rows.items() if count != 2]


async def until(true: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait until something is true; return how long it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, f"after {seconds:g} s: {what}"
        await asyncio.sleep(0.001)  # threads and other processes do it, and tell nobody
    return time.monotonic() - began


async def timed(work: Awaitable[object]) -> float:
    """Return how many seconds it took."""
    began = time.monotonic()
    await work
    return time.monotonic() - began


def milliseconds(seconds: float) -> str:
    """Write a time for the table."""
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.001 else f"{seconds * 1000:.1f} ms"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of the values is not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def ratio(counts: Sequence[int]) -> float:
    """Return the most divided by the fewest."""
    return max(counts) / max(min(counts), 0.1)


median = statistics.median


def randomness(seed: int = 5) -> random.Random:
    """Return the drill's own source of chance, the same in every run."""
    return random.Random(seed)


def load() -> str:
    """Return what else the machine was doing, for the message of a bound that was not kept."""
    return f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


# What a process holds.


def open_descriptors() -> int:
    """Return how many files and sockets this process has open."""
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    return len(os.listdir(folder))


# What nobody may hear.


@contextmanager
def collector_off() -> Generator[None]:
    """Switch garbage collection off, so that nothing is closed by it."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@asynccontextmanager
async def silence(where: str) -> AsyncGenerator[None]:
    """Fail when the loop, a logger, a warning or a destructor says anything."""
    gc.collect()  # what an earlier test left behind is not this one's
    heard: list[str] = []
    loop = asyncio.get_running_loop()
    old_handler, old_hook = loop.get_exception_handler(), sys.unraisablehook

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(f"log: {record.getMessage()}")

    listener = Listener(logging.WARNING)
    logging.getLogger().addHandler(listener)
    loop.set_exception_handler(lambda _, context: heard.append(f"loop: {context}"))
    sys.unraisablehook = lambda hook: heard.append(f"unraisable: {hook.exc_value!r}")
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield
            await asyncio.sleep(0)
            gc.collect()  # lost tasks and exceptions are reported when they are collected
            await asyncio.sleep(0)
            heard += [f"warning: {one.message}" for one in warned]
    finally:
        logging.getLogger().removeHandler(listener)
        loop.set_exception_handler(old_handler)
        sys.unraisablehook = old_hook
    assert not heard, f"{where}: heard {len(heard)}, first {heard[0]}"


# What the database says about connections.


async def open_transactions(url: str) -> int:
    """Return how many connections of this PostgreSQL database are in a transaction."""
    connection = await driver.connect(url)
    try:
        return await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'"
        )
    finally:
        await connection.close()


async def integrity(store: Store) -> None:
    """Assert that SQLite finds no fault with its file."""
    async with store.unit_of_work(read_only=True) as uow:
        result = await uow.session.execute(sa.text("PRAGMA integrity_check"))
        assert result.scalars().all() == ["ok"]
        broken = await uow.session.execute(sa.text("PRAGMA foreign_key_check"))
        assert broken.all() == []
