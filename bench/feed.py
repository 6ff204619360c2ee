"""What the triggers of the feed add to a call: `python -m bench.feed [URL URL]`.

Two databases, of which one has lost its triggers of the feed, take turns call by call, so that
whatever else the machine does meets both. Without URLs of two empty PostgreSQL databases it is done
on two SQLite files.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none

from cw_store import Store, ensure_schema
from cw_store.triggers import triggers_on
from cw_store.triggers.feed import OURS

ROUNDS = 40


class _Calls:
    """What is measured, on one store: calls that leave a change, and three that leave none."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.number = 0
        self.waiting: list[str] = []

    async def prepare(self) -> None:
        """Add the rows that the calls are about."""
        initiative = await self.store.initiatives.create(name="User authentication")
        self.phase = await self.store.phases.create(initiative_id=initiative.id, name="Groundwork")
        self.task = await self.store.tasks.create(name="Schema", phase_id=self.phase.id)
        await self.store.accounts.create(email="ada@example.org")

    async def fill(self, number: int) -> None:
        """Add tasks that can be claimed."""
        added = [{"name": "Claimed", "phase_id": self.phase.id} for _ in range(number)]
        self.waiting = [task.id for task in await self.store.tasks.create_many(added)]

    async def create(self) -> None:
        await self.store.tasks.create(name="New", phase_id=self.phase.id, status="blocked")

    async def update(self) -> None:
        self.number += 1
        await self.store.tasks.update(self.task.id, name=f"Schema {self.number}")

    async def message(self) -> None:
        await self.store.messages.create(sender_type="user", recipient_type="user", content="hello")

    async def many(self) -> None:
        await self.store.tasks.create_many([{"name": "New", "status": "blocked"}] * 500)

    async def claim(self) -> None:
        claim = await self.store.claims.take(self.waiting.pop(), holder="h", worktree_id="w")
        await self.store.claims.complete(claim, phase_status=None, initiative_status=None)

    async def chunk(self) -> None:
        await self.store.log_chunks.insert_chunk("agent", "brave-otter", 1, "line\n")

    async def find(self) -> None:
        await self.store.tasks.find_by_id(self.task.id)

    async def rotate(self) -> None:
        await self.store.accounts.find_next_available()


MEASURED: dict[str, tuple[Callable[[_Calls], Awaitable[None]], int]] = {
    "tasks.create": (_Calls.create, 200),
    "tasks.update": (_Calls.update, 200),
    "messages.create": (_Calls.message, 200),
    "tasks.create_many of 500": (_Calls.many, 4),
    "claims.take and complete": (_Calls.claim, 40),
    "log_chunks.insert_chunk": (_Calls.chunk, 200),
    "tasks.find_by_id": (_Calls.find, 300),
    "accounts.find_next_available": (_Calls.rotate, 200),
}
"""Each with how often it is called at a time."""


async def _forget_triggers(url: str) -> None:
    if not url.startswith("postgresql"):
        with closing(sqlite3.connect(url)) as raw:
            for trigger in triggers_on("sqlite"):
                if trigger.name.startswith(OURS):
                    raw.execute(f"DROP TRIGGER {trigger.name}")
        return
    server = await asyncpg.connect(url)
    for trigger in triggers_on("postgresql"):
        if trigger.name.startswith(OURS):
            await server.execute(f"DROP TRIGGER {trigger.name} ON {trigger.table}")
    await server.close()


async def _time(calls: _Calls, call: Callable[[_Calls], Awaitable[None]], number: int) -> float:
    if call is _Calls.claim:
        await calls.fill(number)
    began = time.perf_counter()
    for _ in range(number):
        await call(calls)
    return (time.perf_counter() - began) / number * 1e6


async def compare(with_feed: str, without: str) -> None:
    """Print the microseconds of each call on both databases, and their ratio."""
    for url in (with_feed, without):
        await ensure_schema(url)
    await _forget_triggers(without)
    async with Store(with_feed) as first, Store(without) as second:
        both = _Calls(first), _Calls(second)
        for calls in both:
            await calls.prepare()
        print(f"{'':30} {'with':>10} {'without':>10}   ratio")
        for name, (call, number) in MEASURED.items():
            times: tuple[list[float], list[float]] = ([], [])
            for turn in range(ROUNDS):
                for one in ((0, 1), (1, 0))[turn % 2]:
                    times[one].append(await _time(both[one], call, number))
            ratio = statistics.median(a / b for a, b in zip(*times, strict=True))
            fast = [statistics.quantiles(of_one)[0] for of_one in times]
            print(f"{name:30} {fast[0]:7.1f} µs {fast[1]:7.1f} µs    {ratio:.2f}", flush=True)


def main() -> None:
    """Do what the command line says."""
    if len(sys.argv) == 3:
        asyncio.run(compare(*sys.argv[1:]))
        return
    with tempfile.TemporaryDirectory(prefix="cw-bench-") as folder:
        asyncio.run(compare(*(str(Path(folder, name)) for name in ("with.db", "without.db"))))


if __name__ == "__main__":
    main()
