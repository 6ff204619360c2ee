"""Who writes and who follows in the drill of the feed, each in a process of its own."""

import asyncio
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection

from sqlalchemy import text

from cw_store import Store, StoreBusyError, UnitOfWork

SHARED = [f"shared-{number}" for number in range(5)]
"""Tasks that every writer changes."""

FIRST, LAST = "first", "last"
"""What the tasks are called that begin and end a unit."""


class Undone(Exception):
    """Ends a block, so that it is rolled back."""


@dataclass
class Written:
    """What one unit has to leave in the feed, in its order: the ids and what was done."""

    unit: str
    changes: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


class Writer:
    """Writes units of all kinds, and knows what each has to leave."""

    def __init__(self, name: str, seed: int, store: Store) -> None:
        self.name = name
        self.store = store
        self.chance = random.Random(seed)
        self.told: list[Written] = []
        self.own: list[str] = []
        self.number = 0

    @property
    def changes(self) -> int:
        return sum(len(unit.changes) for unit in self.told)

    async def write_unit(self) -> None:
        """Write one unit, which is committed, or is rolled back and leaves nothing."""
        self.number += 1
        written = Written(f"{self.name}.{self.number}")
        kept, gone = list[str](), list[str]()
        is_kept = self.chance.random() < 0.85
        try:
            async with self.store.unit_of_work() as uow:
                await self._begin(uow)
                await self._create(uow, written, FIRST)
                for number in range(self.chance.randrange(6)):
                    await self._step(uow, written, number, kept, gone)
                await self._end(uow, written)
                if not is_kept:
                    raise Undone
        except (Undone, StoreBusyError):
            return
        self.told.append(written)
        self.own = [id for id in [*self.own, *kept] if id not in gone][-20:]

    async def _begin(self, uow: UnitOfWork) -> None:
        """Be early: the transaction has its number long before it writes, where it has one."""
        if self.store.url.startswith("postgresql") and self.chance.random() < 0.3:
            await uow.session.execute(text("SELECT pg_current_xact_id()"))
            await asyncio.sleep(self.chance.uniform(0, 0.05))

    async def _create(self, uow: UnitOfWork, written: Written, what: str) -> str:
        task = await uow.tasks.create(id=f"{written.unit}/{what}", name=written.unit)
        written.changes.append((task.id, "create"))
        return task.id

    async def _step(
        self, uow: UnitOfWork, written: Written, number: int, kept: list[str], gone: list[str]
    ) -> None:
        match self.chance.randrange(6):
            case 0:
                try:
                    async with uow.savepoint():
                        await uow.tasks.create(id=f"{written.unit}/{number}", name="undone")
                        raise Undone
                except Undone:
                    pass
            case 1:
                async with uow.savepoint():
                    kept.append(await self._create(uow, written, str(number)))
            case 2 if self.own and not gone:
                id = self.chance.choice(self.own)
                await uow.tasks.delete(id)
                gone.append(id)
                written.changes.append((id, "delete"))
            case 3 if mine := [id for id in self.own if id not in gone]:
                id = self.chance.choice(mine)
                await uow.tasks.update(id, name="changed")
                written.changes.append((id, "update"))
            case 4:
                await asyncio.sleep(self.chance.uniform(0, 0.01))
            case _:
                kept.append(await self._create(uow, written, str(number)))

    async def _end(self, uow: UnitOfWork, written: Written) -> None:
        if self.chance.random() < 0.3:
            id = self.chance.choice(SHARED)
            await uow.tasks.update(id, name=written.unit)
            written.changes.append((id, "update"))
        await self._create(uow, written, LAST)


def stepping(seed: int, hours_ahead: float) -> Callable[[], datetime]:
    """Return a clock that steps to and fro."""
    chance = random.Random(seed)
    ahead = timedelta(hours=hours_ahead)
    return lambda: datetime.now(UTC) + ahead + timedelta(seconds=chance.uniform(-5, 5))


def write(pipe: Connection, url: str, seed: int, hours_ahead: float, changes: int) -> None:
    """Write about so many changes when told to, and say what each unit left."""

    async def run() -> None:
        async with Store(url, clock=stepping(seed, hours_ahead)) as store:
            writer = Writer(f"writer-{seed}", seed, store)
            pipe.send("ready")
            pipe.recv()
            while writer.changes < changes:
                await writer.write_unit()
            pipe.send([(unit.unit, unit.changes) for unit in writer.told])

    asyncio.run(run())


NOTES = """
CREATE TABLE IF NOT EXISTS told (
    page INTEGER, entity_id TEXT, action TEXT, at TEXT, place INTEGER PRIMARY KEY
);
CREATE TABLE IF NOT EXISTS reached (cursor TEXT);
"""
"""What a follower keeps: what it was told, and the cursor, written in one transaction."""


def follow(pipe: Connection, url: str, notes: str, limit: int) -> None:
    """Follow the feed from where the notes say, until told to stop and nothing is left."""
    asyncio.run(_follow(pipe, url, notes, limit))


async def _follow(pipe: Connection, url: str, notes: str, limit: int) -> None:
    with closing(sqlite3.connect(notes, isolation_level=None)) as raw:
        raw.execute("PRAGMA synchronous = OFF")
        raw.executescript(NOTES)
        found = raw.execute("SELECT cursor FROM reached").fetchone()
        cursor = found[0] if found else None
        (page,) = raw.execute("SELECT coalesce(max(page), 0) FROM told").fetchone()
        async with Store(url) as store:
            pipe.send("ready")
            is_last = False
            while True:
                async with store.unit_of_work(read_only=True) as uow:
                    read = await uow.changes.read(cursor, limit=limit)
                page += 1
                raw.execute("BEGIN")
                raw.executemany(
                    "INSERT INTO told (page, entity_id, action, at) VALUES (?, ?, ?, ?)",
                    [
                        (page, one.entity_id, one.action, one.at and one.at.isoformat())
                        for one in read.changes
                    ],
                )
                raw.execute("DELETE FROM reached")
                raw.execute("INSERT INTO reached VALUES (?)", [read.cursor])
                raw.execute("COMMIT")
                cursor = read.cursor
                if not read.changes:
                    if is_last:
                        break
                    is_last = pipe.poll()  # what was written before that is in the next page
                    await asyncio.sleep(0.005)
    pipe.send("done")
