"""Housework of a SQLite file: it happens, at the right time, and in nobody's way."""

import asyncio
import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cw_store import NewLogChunk, Store
from cw_store.backends import sqlite_maintenance

KILOBYTE = 1024


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Housework that is due in milliseconds and for kilobytes."""
    monkeypatch.setattr(sqlite_maintenance, "LOOK_EVERY", 0.001)
    monkeypatch.setattr(sqlite_maintenance, "QUIET_LOOKS", 3)
    monkeypatch.setattr(sqlite_maintenance, "WAIT_FOR_OTHERS", 0.001)
    monkeypatch.setattr(sqlite_maintenance, "SHORT_LOG", 64 * KILOBYTE)
    monkeypatch.setattr(sqlite_maintenance, "CHANGES_BEFORE_STATISTICS", 100)


def length(path: Path) -> int:
    return path.with_name("cw.db-wal").stat().st_size


async def write(store: Store, kilobytes: int = 100) -> None:
    await store.log_chunks.insert_chunk("a", "a", 1, "x" * kilobytes * KILOBYTE)


def kilobytes(count: int) -> list[NewLogChunk]:
    """Return so many rows of a kilobyte."""
    row: NewLogChunk = {
        "agent_id": "a",
        "agent_name": "a",
        "session_number": 1,
        "content": "x" * KILOBYTE,
    }
    return [row for _ in range(count)]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 -- no event tells of housework
            await asyncio.sleep(0)


def housework(store: Store) -> Any:
    backend: Any = store.backend
    return backend.maintenance


def looks(store: Store) -> bool:
    """Whether there will be another look."""
    return housework(store)._timer is not None


def statistics(path: Path) -> list[tuple[int]]:
    other = sqlite3.connect(path)
    try:
        query = "SELECT stat FROM sqlite_stat1 WHERE tbl = 'agent_log_chunks'"
        return other.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []
    finally:
        other.close()


async def test_a_log_is_cut_to_nothing_when_nobody_writes(store: Store, path: Path) -> None:
    await write(store)
    assert length(path) > 64 * KILOBYTE
    await until(lambda: length(path) == 0)
    await until(lambda: not looks(store))
    await write(store)  # and so it is the next time
    await until(lambda: length(path) == 0)
    assert statistics(path) == []  # of two rows


async def test_it_is_not_quiet_while_somebody_writes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_maintenance, "QUIET_LOOKS", 1_000_000)
    maintenance = housework(store)
    await write(store, 1)
    await until(lambda: maintenance._quiet_looks > 20)
    await write(store, 1)
    await until(lambda: maintenance._turns == maintenance._turns_seen)
    assert maintenance._quiet_looks < 20


async def test_a_short_log_is_left_alone_and_nobody_looks_any_more(
    store: Store, path: Path
) -> None:
    await write(store, 1)
    assert looks(store)
    await until(lambda: not looks(store))
    assert 0 < length(path) <= 64 * KILOBYTE


async def test_a_log_of_long_writes_is_begun_anew_while_others_write(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_maintenance, "QUIET_LOOKS", 1_000_000)
    maintenance = housework(store)
    lengths: list[int] = []
    for _ in range(60):
        await write(store, 1024)
        await until(lambda: maintenance._turns == maintenance._turns_seen)
        lengths.append(length(path))
    kept = 16 * 1024 * KILOBYTE
    assert kept < max(lengths) <= kept + sqlite_maintenance.LONG_LOG + 1024 * KILOBYTE * 2
    assert sum(after < before for before, after in pairwise(lengths)) > 1


async def test_a_log_that_is_written_over_many_times_stays_as_long_as_it_is(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_maintenance, "MANY_TURNS", 5)
    monkeypatch.setattr(sqlite_maintenance, "QUIET_LOOKS", 1_000_000)
    maintenance = housework(store)
    lengths: list[int] = []
    for _ in range(100):
        await write(store)
        await until(lambda: maintenance._turns == maintenance._turns_seen)
        await until(lambda: maintenance._turn is None)
        lengths.append(length(path))
    assert lengths == sorted(lengths)  # never cut
    assert lengths[-1] < 1024 * KILOBYTE  # and most of 10,000 kilobytes written over others


async def test_a_snapshot_that_needs_the_log_is_not_asked_again_at_every_look(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_maintenance, "LONG_LOG", 512 * KILOBYTE)
    monkeypatch.setattr(sqlite_maintenance, "QUIET_LOOKS", 1_000_000)
    maintenance = housework(store)
    maintenance._long_from = 512 * KILOBYTE
    async with store.unit_of_work(read_only=True) as snapshot:
        assert await snapshot.log_chunks.find_by_agent_id("a") == []
        await write(store, 600)
        await until(lambda: maintenance._long_from > 1024 * KILOBYTE)
        assert maintenance._long_from == length(path) + 512 * KILOBYTE
        await until(lambda: maintenance._turn is None)
        assert await snapshot.log_chunks.find_by_agent_id("a") == []
        assert len(await store.log_chunks.find_by_agent_id("a")) == 1
    # This read stands behind the end of the snapshot, on the same connection.
    await store.log_chunks.find_by_agent_id("a")
    monkeypatch.setattr(sqlite_maintenance, "QUIET_LOOKS", 3)
    await until(lambda: length(path) == 0)
    await write(store, 1)  # the log that was in the way is gone
    await until(lambda: maintenance._long_from < 1024 * KILOBYTE)


async def test_statistics_are_made_when_there_is_something_to_count(
    store: Store, path: Path
) -> None:
    rows: list[NewLogChunk] = [
        {"agent_id": f"{n % 7}", "agent_name": "a", "session_number": 1, "content": "{}"}
        for n in range(100)
    ]
    maintenance = housework(store)
    await store.log_chunks.insert_chunks(rows[:99])
    await until(lambda: not looks(store))
    assert statistics(path) == []
    await store.log_chunks.insert_chunks(rows[:1])
    await until(lambda: statistics(path) != [])
    assert maintenance._statistics_from >= 200
    assert all(str(stat).startswith("('100 ") for stat in statistics(path))
    await until(lambda: not looks(store))


async def test_housework_gives_the_turn_and_the_patience_back(store: Store, path: Path) -> None:
    await store.log_chunks.insert_chunks(kilobytes(100))
    await until(lambda: length(path) == 0)
    assert statistics(path) != []
    async with asyncio.timeout(20):
        async with store.unit_of_work() as uow:
            assert await uow.session.scalar(sa.text("PRAGMA busy_timeout")) == 5
            assert await uow.session.scalar(sa.text("PRAGMA analysis_limit")) == 400
            assert await uow.session.scalar(sa.text("PRAGMA wal_autocheckpoint")) == 0


async def test_housework_does_not_begin_while_a_unit_writes(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_maintenance, "QUIET_LOOKS", 1_000_000)
    await write(store)
    async with store.unit_of_work() as uow:
        await uow.log_chunks.insert_chunk("a", "a", 1, "y")
        monkeypatch.setattr(sqlite_maintenance, "QUIET_LOOKS", 3)
        kept = length(path)
        maintenance = housework(store)
        await until(lambda: maintenance._quiet_looks > 6)
        assert looks(store)
        assert length(path) == kept
        assert store.connections_in_use == 1
    await until(lambda: length(path) == 0)


async def test_statistics_are_made_before_the_log_is_cut(store: Store, path: Path) -> None:
    maintenance = housework(store)
    await store.log_chunks.insert_chunks(kilobytes(100))
    assert length(path) > 64 * KILOBYTE
    # Whoever reads the file meanwhile keeps the log from being cut.
    await until(lambda: maintenance._statistics_from > 100 and maintenance._turn is None)
    assert length(path) == 0
    assert statistics(path) != []
    assert 200 <= maintenance._statistics_from < 300


async def test_housework_takes_its_turn_and_is_not_counted_as_a_callers(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_maintenance, "LOOK_EVERY", 60)
    await write(store)
    monkeypatch.setattr(sqlite_maintenance, "MANY_TURNS", 1)
    backend: Any = store.backend
    maintenance = housework(store)
    checkpointer = maintenance._checkpointer
    seen: list[str] = []
    await checkpointer.visit(partial(checkpointer.raw.set_trace_callback, seen.append))
    begun, leave, go = asyncio.Event(), asyncio.Event(), threading.Event()

    async def second() -> None:
        async with store.unit_of_work() as uow:
            await uow.log_chunks.insert_chunk("a", "a", 1, "y")
            begun.set()
            await leave.wait()
            backend.writer.visit(go.wait)  # the commit, and the housework, stand behind it

    async with store.unit_of_work() as uow:
        await uow.log_chunks.insert_chunk("a", "a", 1, "x")
        task = asyncio.create_task(second())
        for _ in range(20):
            await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await begun.wait()
    assert maintenance._turn is not None and not maintenance.has_the_turn  # it waits
    assert store.connections_in_use == 1
    leave.set()
    await until(lambda: maintenance.has_the_turn)
    assert store.connections_in_use == 0
    assert backend.gate.holder().label == "maintenance"
    await checkpointer.visit(lambda: None)
    assert seen == []  # while the commit is still to come
    go.set()
    await task
    await until(lambda: backend.gate.is_free)
    assert seen == [sqlite_maintenance.CHECKPOINT]


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has no priority of its own")
async def test_checkpoints_step_back_and_nothing_else_does(store: Store) -> None:
    backend: Any = store.backend
    checkpointer = housework(store)._checkpointer

    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, 0)

    assert await checkpointer.visit(niceness) == niceness() + sqlite_maintenance.NICENESS
    assert await backend.writer.visit(niceness) == niceness()


async def test_housework_that_waits_too_long_leaves_the_queue_and_may_come_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_maintenance, "LOOK_EVERY", 60)
    async with Store(path, busy_timeout=0.05) as store:
        await write(store)
        monkeypatch.setattr(sqlite_maintenance, "MANY_TURNS", 1)
        maintenance = housework(store)
        asked: list[bool] = []

        async def second() -> None:
            async with store.unit_of_work() as uow:
                await uow.log_chunks.insert_chunk("a", "a", 1, "y")
                asked.append(maintenance._turn is not None)
                await until(lambda: maintenance._turn is None)

        async with store.unit_of_work() as uow:
            await uow.log_chunks.insert_chunk("a", "a", 1, "x")
            task = asyncio.create_task(second())
            for _ in range(20):
                await asyncio.sleep(0)
        await task
        assert asked == [True]
        await until(lambda: store.connections_in_use == 0 and maintenance._turn is None)


async def test_a_store_that_is_closed_looks_no_more(path: Path) -> None:
    store = await Store.open(path)
    await write(store)
    assert looks(store)
    maintenance = housework(store)
    await store.close()
    assert maintenance._timer is None
    maintenance.note_write()  # as the end of a unit does that is open when its store is closed
    assert maintenance._timer is None
