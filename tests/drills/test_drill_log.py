"""SQLite's write-ahead log stays short, and nobody's commit pays for that."""

import asyncio
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from drill import Drill, integrity, load, until

from cw_store import NewLogChunk, Store

MEGABYTE = 1024 * 1024
LIMIT = 256 * MEGABYTE  # on a quick disk a quarter of that; this one may be busy
CHUNK = 32 * 1024

pytestmark = pytest.mark.alone


def length(file: str) -> int:
    """The bytes of the log; its entry in the folder is looked at, and never the file itself."""
    return Path(file + "-wal").stat().st_size


async def test_the_write_ahead_log_stays_short_under_load(file: str, drill: Drill) -> None:
    amount = drill.amount(96, 1024) * MEGABYTE
    longest = written = 0

    async def write(number: int) -> None:
        nonlocal longest, written
        while written < amount:
            written += CHUNK
            async with store.unit_of_work() as uow:
                await uow.log_chunks.insert_chunk(f"{number}", "drill", 1, "x" * CHUNK)
            longest = max(longest, length(file))

    async def read() -> None:
        while written < amount:
            async with store.unit_of_work(read_only=True) as uow:
                await uow.log_chunks.find_by_agent_id("0", limit=5)

    async with Store(file) as store:
        await asyncio.gather(*(write(number) for number in range(8)), read(), read())
        quiet = await until(lambda: length(file) == 0, 20, "the log is not cut")
        await integrity(store)
        assert store.connections_in_use == 0
    assert longest < LIMIT, f"the log grew to {longest / MEGABYTE:.0f} MiB; {load()}"
    drill.held(
        f"{written / MEGABYTE:.0f} MiB written, the log never over {longest / MEGABYTE:.0f} MiB, "
        f"cut to nothing {quiet:.1f} s after the last write"
    )


async def test_an_old_snapshot_keeps_the_log_and_nobody_waits_for_it(
    file: str, drill: Drill
) -> None:
    async with Store(file) as store:
        async with store.unit_of_work(read_only=True) as snapshot:
            before = await snapshot.log_chunks.find_by_agent_id("a")
            for _ in range(60):
                await store.log_chunks.insert_chunk("a", "drill", 1, "x" * MEGABYTE)
            kept = length(file)
            assert kept > 60 * MEGABYTE
            assert await snapshot.log_chunks.find_by_agent_id("a") == before == []
        began = time.monotonic()
        while length(file) > kept // 2:
            assert time.monotonic() - began < 20, f"the log stays long; {load()}"
            await store.log_chunks.insert_chunk("a", "drill", 1, "x")
        assert store.connections_in_use == 0
    drill.held(
        f"{kept / MEGABYTE:.0f} MiB kept for the snapshot, "
        f"gone {time.monotonic() - began:.1f} s after it, with writers at work"
    )


async def test_no_commit_runs_a_checkpoint_and_statistics_come_by_themselves(
    file: str, drill: Drill
) -> None:
    rows: list[NewLogChunk] = [
        {"agent_id": f"{n % 7}", "agent_name": "drill", "session_number": 1, "content": "{}"}
        for n in range(5_000)
    ]
    known = sa.text("SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_stat1'")
    async with Store(file) as store:
        async with store.unit_of_work() as uow:
            assert await uow.session.scalar(sa.text("PRAGMA wal_autocheckpoint")) == 0
        for _ in range(4):
            await store.log_chunks.insert_chunks(rows)
        began = time.monotonic()
        found = 0
        while not found:
            assert time.monotonic() - began < 20, f"no statistics; {load()}"
            async with store.unit_of_work(read_only=True) as uow:
                found = await uow.session.scalar(known)
        assert store.connections_in_use == 0
    drill.held(f"known {time.monotonic() - began:.1f} s after the 20,000th row")
