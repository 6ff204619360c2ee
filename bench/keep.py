"""What it costs to keep a large store: a backup beside a writer, an export and an import.

The writer stores a log chunk a call, as an agent's output comes, one after another; how long each
took is what a backup must not change. Exports and imports run in a process of their own, whose
memory is measured from when it has opened the store.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from cw_store import NewLogChunk, Store, import_store

LINE = '{"type":"assistant","message":{"content":[{"type":"text","text":"%s"}]}}'
"""A line of an agent's log of some 250 characters, as they are on average."""

ROWS_AT_A_TIME = 5_000
QUIET_SECONDS = 5.0
PAUSE = 0.001
"""Seconds between two calls of the writer: some hundred a second, as of many agents."""


class Waits(NamedTuple):
    """Milliseconds that a writer's calls took."""

    calls: int
    median: float
    p999: float
    most: float


class Run(NamedTuple):
    """One export or import: seconds, megabytes that were needed beyond an open store, digest."""

    seconds: float
    megabytes: float
    sha256: str


class Kept(NamedTuple):
    """What was measured on one store."""

    chunks: int
    bytes: int
    backup_seconds: float
    alone: Waits
    beside_backup: Waits
    exported: Run
    imported: Run
    exported_again: Run


async def measure_keep(folder: Path, url: str, chunks: int, tell: Callable[[str], None]) -> Kept:
    """Fill a store, and measure all of it, one after another."""
    tell(f"{chunks:,} log chunks")
    async with Store(url) as store:
        await _fill(store, chunks)
        tell("a writer alone")
        alone = await _waits(store, asyncio.sleep(QUIET_SECONDS))
        tell("the same beside a backup")
        begun = time.perf_counter()
        beside = await _waits(store, store.backup(folder / "backup.db"))
        seconds = time.perf_counter() - begun
    size = (folder / "backup.db").stat().st_size
    tell("export")
    exported = await _run("export", url, folder / "export.jsonl")
    tell("import")
    copy = str(folder / "imported.db")
    imported = await _run("import", copy, folder / "export.jsonl")
    tell("export of what was imported")
    again = await _run("export", copy, folder / "again.jsonl")
    return Kept(chunks, size, seconds, alone, beside, exported, imported, again)


async def _fill(store: Store, chunks: int) -> None:
    for first in range(0, chunks, ROWS_AT_A_TIME):
        rows: list[NewLogChunk] = [
            {
                "agent_id": f"agent-{number % 50}",
                "agent_name": "brave-otter",
                "session_number": 1,
                "content": LINE % (f"{number:09d} " * 18),
            }
            for number in range(first, min(first + ROWS_AT_A_TIME, chunks))
        ]
        await store.log_chunks.insert_chunks(rows)


async def _waits(store: Store, work: Awaitable[object]) -> Waits:
    """Write until the work is done, and tell how long each call took."""
    done = asyncio.ensure_future(work)
    taken: list[float] = []
    while not done.done():
        begun = time.perf_counter()
        await store.log_chunks.insert_chunk("agent-1", "brave-otter", 2, LINE % "x")
        taken.append((time.perf_counter() - begun) * 1e3)
        await asyncio.sleep(PAUSE)
    await done
    taken.sort()
    at = len(taken) - 1
    return Waits(len(taken), taken[at // 2], taken[at * 999 // 1000], taken[at])


async def _run(verb: str, url: str, file: Path) -> Run:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.keep", verb, url, str(file), stdout=PIPE
    )
    told, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{verb} ended with {process.returncode}")
    return Run(**json.loads(told))


async def _export_or_import(verb: str, url: str, file: Path) -> Run:
    async with Store(url) as store:
        await store.initiatives.find_all()
        before = _most_megabytes()
        begun = time.perf_counter()
        if verb == "export":
            report = await store.export(file, include_secrets=True)
    if verb == "import":
        report = await import_store(file, url)
    digest = next(table.digest for table in report.tables if table.name == "agent_log_chunks")
    return Run(time.perf_counter() - begun, _most_megabytes() - before, digest)


def _most_megabytes() -> float:
    """Return the most memory that this program has had, as Linux counts it since its start.

    What `getrusage` tells is at least what the program had that started this one.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    found = asyncio.run(_export_or_import(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
    print(json.dumps(found._asdict()))
