"""Who follows the feed is told everything once, whoever writes, and whenever it is killed."""

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from drill import Drill, driver, randomness
from feed_workers import FIRST, SHARED, follow, write
from processes import Worker, Workers

from builders import add_task
from cw_store import StaleCursorError, Store

YEAR = 365.0 * 24
CLOCKS = (0.0, -2 * YEAR, 3 * YEAR)
LIMITS = (1, 100)
"""How much each of the followers reads at once, at least."""

Told = tuple[int, str, str, str | None]
"""The page, the row, what was done to it, and its time."""


async def test_followers_that_are_killed_are_told_everything_once_and_in_order(
    url: str, drill: Drill, workers: Workers, tmp_path: Path
) -> None:
    processes, changes = drill.amount((4, 150), (8, 12_500))
    async with Store(url) as store:
        for id in SHARED:
            await add_task(store, id=id)
    writers = [
        workers.start(write, url, number, CLOCKS[number % len(CLOCKS)], changes)
        for number in range(processes)
    ]
    for writer in writers:
        assert await asyncio.to_thread(writer.receive) == "ready"
    for writer in writers:
        writer.tell()
    ends = asyncio.gather(*(asyncio.to_thread(writer.receive, 3000.0) for writer in writers))
    notes = [str(tmp_path / f"follower-{number}.db") for number in range(len(LIMITS))]
    followers = [
        workers.start(follow, url, path, limit) for path, limit in zip(notes, LIMITS, strict=True)
    ]
    kills, chance = 0, randomness()
    while not ends.done():
        await asyncio.wait([ends], timeout=chance.uniform(0.2, drill.amount(1.0, 3.0)))
        number = chance.randrange(len(notes))
        followers[number].kill()
        followers[number] = workers.start(follow, url, notes[number], LIMITS[number])
        kills += 1
    written = {unit: left for end in await ends for unit, left in end}
    for follower in followers:
        await to_its_end(follower)
    for path in notes:
        compare(told_by(path), written)
    number = sum(len(left) for left in written.values())
    drill.held(
        f"{number} changes in {len(written)} units of {processes} processes, "
        f"{len(notes)} followers killed {kills} times"
    )


async def to_its_end(follower: Worker) -> None:
    """Have it stop when nothing is left, and wait for that."""
    follower.tell("stop")
    while await asyncio.to_thread(follower.receive, 600.0) != "done":
        pass


def told_by(notes: str) -> list[Told]:
    """Return what a follower was told, over all of its lives."""
    with closing(sqlite3.connect(notes)) as raw:
        return raw.execute("SELECT page, entity_id, action, at FROM told ORDER BY place").fetchall()


def compare(told: list[Told], written: dict[str, list[tuple[str, str]]]) -> None:
    """Assert that each unit was told once, as a whole in one page, and each row in its order."""
    expected = sum(len(left) for left in written.values())
    assert [one[1:3] for one in told[: len(SHARED)]] == [(id, "create") for id in SHARED]
    assert len(told) == expected + len(SHARED)
    place, seen = len(SHARED), set[str]()
    while place < len(told):
        unit, _, what = told[place][1].partition("/")
        assert (what, unit in seen, unit in written) == (FIRST, False, True), told[place]
        seen.add(unit)
        part = told[place : place + len(written[unit])]
        assert [one[1:3] for one in part] == written[unit]
        assert len({one[0] for one in part}) == 1, "or a page ended inside of a unit"
        place += len(part)
    assert seen == {*written}
    rows: dict[str, list[Told]] = {}
    for one in told:
        rows.setdefault(one[1], []).append(one)
    for id, changes in rows.items():
        times = [at for _, _, action, at in changes if action != "delete"]
        assert times == sorted(times, key=str) and len({*times}) == len(times), id
        actions = [action for _, _, action, _ in changes]
        assert actions[0] == "create" and "delete" not in actions[:-1], id


# Another life of the database.


async def cursor_of(url: str, *ids: str) -> str:
    """Add tasks, and return the cursor behind them."""
    async with Store(url) as store:
        for id in ids:
            await add_task(store, id=id)
        async with store.unit_of_work(read_only=True) as uow:
            return await uow.changes.position()


async def read(url: str, cursor: str | None) -> list[str]:
    async with Store(url) as store, store.unit_of_work(read_only=True) as uow:
        return [change.entity_id for change in (await uow.changes.read(cursor)).changes]


async def test_a_cursor_is_stale_in_a_file_from_a_backup(file: str, tmp_path: Path) -> None:
    before = await cursor_of(file, "a", "b")
    backup = tmp_path / "backup.db"
    shutil.copyfile(file, backup)
    after = await cursor_of(file, "c")
    shutil.copyfile(backup, file)
    with pytest.raises(StaleCursorError):
        await read(file, after)
    assert await read(file, before) == [], "what it had seen is what is there"
    await cursor_of(file, "d", "e")  # the place of "c" is taken by another
    with pytest.raises(StaleCursorError):
        await read(file, after)
    assert await read(file, before) == ["d", "e"]


async def test_a_cursor_is_stale_in_a_copy_of_a_database(postgres: str) -> None:
    cursor = await cursor_of(postgres, "a", "b")
    name = postgres.rpartition("/")[2].rpartition(":")[2].partition("?")[0]
    copy = f"{name}_copy"
    maintenance = await driver.connect(postgres.replace(name, "postgres"))
    try:
        await maintenance.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{name}"')
        with pytest.raises(StaleCursorError):
            await read(postgres.replace(name, copy), cursor)
        assert await read(postgres.replace(name, copy), None) == ["a", "b"]
    finally:
        await maintenance.execute(f'DROP DATABASE IF EXISTS "{copy}" WITH (FORCE)')
        await maintenance.close()
    assert await read(postgres, cursor) == []
