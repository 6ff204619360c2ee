"""What other processes do in the drills. Each function gets the pipe to the drill first."""

import asyncio
import itertools
import os
import random
import sqlite3
import time
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from drill import add_pair, driver, write_unit

from cw_store import NewLogChunk, Store, StoreBusyError
from cw_store.backends.sqlite.maintenance_rules import maintenance_settings
from slow_disk import SlowDisk

PREFIX = "postgresql"


def _run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


# Other programs, which know nothing of cw_store, and their locks.


def lock_once(pipe: Connection, url: str, seconds: float) -> None:
    """Hold the database's lock for some time, or until told to let go."""
    if url.startswith(PREFIX):
        _run(_lock_server(pipe, url, seconds))
        return
    raw = sqlite3.connect(url, isolation_level=None, timeout=30)
    raw.execute("BEGIN IMMEDIATE")
    pipe.send("locked")
    pipe.poll(seconds)
    raw.execute("ROLLBACK")
    raw.close()


async def _lock_server(pipe: Connection, url: str, seconds: float) -> None:
    connection = await driver.connect(url)
    async with connection.transaction():
        await connection.execute("LOCK TABLE agent_log_chunks IN EXCLUSIVE MODE")
        pipe.send("locked")
        pipe.poll(seconds)
    await connection.close()


def lock_now_and_then(pipe: Connection, url: str, shortest: float, longest: float) -> None:
    """Hold the database's lock again and again, until told to stop; then say how often.

    Says `"locked"` when it has the lock for the first time.
    """
    chance = random.Random(7)
    times = 0
    if url.startswith(PREFIX):
        _run(_lock_server_now_and_then(pipe, url, chance, shortest, longest))
        return
    raw = sqlite3.connect(url, isolation_level=None, timeout=30)
    while not pipe.poll(chance.uniform(0.05, 0.2)):
        raw.execute("BEGIN IMMEDIATE")
        if times == 0:
            pipe.send("locked")
        pipe.poll(chance.uniform(shortest, longest))
        raw.execute("ROLLBACK")
        times += 1
    raw.close()
    pipe.send(times)


async def _lock_server_now_and_then(
    pipe: Connection, url: str, chance: random.Random, shortest: float, longest: float
) -> None:
    connection = await driver.connect(url)
    times = 0
    while not pipe.poll(chance.uniform(0.05, 0.2)):
        async with connection.transaction():
            await connection.execute("LOCK TABLE agent_log_chunks IN EXCLUSIVE MODE")
            if times == 0:
                pipe.send("locked")
            pipe.poll(chance.uniform(shortest, longest))
        times += 1
    await connection.close()
    pipe.send(times)


# Processes that use cw_store.


def open_each(pipe: Connection) -> None:
    """Open every database whose URL comes, write to it, and say how that went."""
    while (url := pipe.recv()) is not None:
        try:
            _run(_open_and_write(url))
        except Exception as error:
            pipe.send(repr(error))
        else:
            pipe.send("opened")


async def _open_and_write(url: str) -> None:
    async with Store(url) as store:
        await store.initiatives.create(name="hello")


def hold_turns(pipe: Connection, url: str, seconds: float, hold: float) -> None:
    """Write in units that take some time; say how many, and how long each waited."""
    _run(_hold_turns(pipe, url, seconds, hold))


async def _hold_turns(pipe: Connection, url: str, seconds: float, hold: float) -> None:
    waits: list[float] = []
    async with Store(url) as store:
        await store.accounts.find_all()
        pipe.send("ready")
        until: float = pipe.recv() + seconds
        while time.monotonic() < until:
            asked = time.monotonic()
            async with store.unit_of_work() as uow:
                await uow.initiatives.create(name="mine")
                waits.append(time.monotonic() - asked)
                await asyncio.sleep(hold)
    pipe.send(waits)


def storm(pipe: Connection, url: str, synchronous: Literal["NORMAL", "FULL"], name: str) -> None:
    """Write units without end, and acknowledge each one after its commit."""
    _run(_storm(pipe, url, synchronous, name))


async def _storm(
    pipe: Connection,
    url: str,
    synchronous: Literal["NORMAL", "FULL"],
    name: str,
    ballast: int = 0,
) -> None:
    async with Store(url, synchronous=synchronous) as store:

        async def write(writer: int) -> None:
            number = 0
            while True:
                number += 1
                key = f"{name}/{writer}/{number}"
                await write_unit(store, key, "x" * ballast if ballast else "{}")
                pipe.send(key)

        await asyncio.gather(*(write(writer) for writer in range(4)))


def storm_on_slow_disk(pipe: Connection, url: str, milliseconds: int, name: str) -> None:
    """Do what `storm` does where an fsync takes so long, with so much that the log is copied.

    It is begun anew as soon as the time allows it, and not only when it has become long.
    """
    SlowDisk(Path(url)).sync_takes(milliseconds)
    with maintenance_settings(long_log=8 * 1024 * 1024):
        _run(_storm(pipe, url, "NORMAL", name, ballast=256 * 1024))


def claim(pipe: Connection, url: str, times: int) -> None:
    """Claim accounts; say which."""
    _run(_claim(pipe, url, times))


async def _claim(pipe: Connection, url: str, times: int) -> None:
    claimed: list[str] = []
    async with Store(url) as store:
        await store.accounts.find_all()
        pipe.send("ready")
        pipe.recv()
        for _ in range(times):
            account = await store.accounts.find_next_available("claude")
            assert account is not None
            claimed.append(account.id)
    pipe.send(claimed)


def write_with_retry(pipe: Connection, url: str) -> None:
    """Write units until told to stop, again when the database says that it is busy."""
    _run(_write_with_retry(pipe, url))


async def _write_with_retry(pipe: Connection, url: str) -> None:
    written = refused = 0
    name = f"process {os.getpid()}"
    async with Store(url) as store:
        pipe.send("ready")
        while not pipe.poll():
            try:
                async with store.unit_of_work() as uow:
                    await add_pair(uow, f"{name}/{written}")
            except StoreBusyError:
                refused += 1
            else:
                written += 1
    pipe.send((written, refused))


# Writers of one log, whose clocks stand anywhere.


def append(pipe: Connection, url: str, name: str, hours_ahead: float, units: int) -> None:
    """Append to the log of one agent, and now and then of another, in every way there is."""
    _run(_append(pipe, url, name, hours_ahead, units))


async def _append(pipe: Connection, url: str, name: str, hours_ahead: float, units: int) -> None:
    numbers = itertools.count()

    def next_row(agent: str = "followed") -> NewLogChunk:
        content = f"{name}:{next(numbers)}"
        return {"agent_id": agent, "agent_name": name, "session_number": 1, "content": content}

    ahead = timedelta(hours=hours_ahead)
    async with Store(url, clock=lambda: datetime.now(UTC) + ahead) as store:
        pipe.send("ready")
        pipe.recv()
        for number in range(units):
            await store.log_chunks.create(**next_row())
            batch = [next_row(agent) for agent in ("followed", "another", "followed", "a third")]
            await store.log_chunks.insert_chunks(batch[:: 1 if number % 2 else -1])
            async with store.unit_of_work() as uow:
                for _ in range(3):
                    await uow.log_chunks.create(**next_row())
                    await asyncio.sleep(0.002)  # others have time to draw places in between
        await store.log_chunks.create(**next_row())
        pipe.send([f"{name}:{number}" for number in range(next(numbers))])


def write_logs(
    pipe: Connection, url: str, name: str, hours_ahead: float, agents: int, lines: int
) -> None:
    """Append lines to the logs of many agents: one, some and whole units at a time."""
    _run(_write_logs(pipe, url, name, hours_ahead, agents, lines))


async def _write_logs(
    pipe: Connection, url: str, name: str, hours_ahead: float, agents: int, lines: int
) -> None:
    chance = random.Random(name)
    left = list(range(lines))[::-1]
    ahead = timedelta(hours=hours_ahead)

    def taken(number: int) -> list[NewLogChunk]:
        drawn = [left.pop() for _ in range(min(number, len(left)))]
        agent = chance.randrange(agents)
        return [
            {
                "agent_id": f"agent {(agent + at) % agents}",
                "agent_name": name,
                "session_number": 1,
                "content": f"{name}:{number}",
            }
            for at, number in enumerate(drawn)
        ]

    async with Store(url, clock=lambda: datetime.now(UTC) + ahead) as store:
        pipe.send("ready")
        pipe.recv()
        while left:
            match chance.randrange(4):
                case 0:
                    await store.log_chunks.create(**taken(1)[0])
                case 1:
                    await store.log_chunks.insert_chunks(taken(chance.randrange(1, 40)))
                case 2:  # a unit that is given up: its lines are written by the next
                    before = [*left]
                    with suppress(ZeroDivisionError):
                        async with store.unit_of_work() as uow:
                            await uow.log_chunks.insert_chunks(taken(5))
                            raise ZeroDivisionError
                    left[:] = before
                case _:
                    # One agent's log: units that take two in another order wait for each other.
                    row = taken(1)[0]
                    async with store.unit_of_work() as uow:
                        await uow.log_chunks.create(**row)
                        for more in taken(4):
                            await asyncio.sleep(0)
                            more["agent_id"] = row["agent_id"]
                            await uow.log_chunks.create(**more)
        pipe.send("done")
