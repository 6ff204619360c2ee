"""What an open store and a long stream add to the process; runs in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TypedDict

READERS = 10
LOOK_EVERY = 500


class Memory(TypedDict):
    """Megabytes of resident memory: of the imported library, and what came on top."""

    imported: float
    open_store: float
    stream: float
    chunks: int


def measure_memory(path: Path, agent_id: str) -> Memory:
    """Measure in a fresh process, on a database with the log of that agent."""
    result = subprocess.run(
        [sys.executable, "-m", "bench.memory", str(path), agent_id],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(result.stdout)


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def _measure(path: str, agent_id: str) -> Memory:
    from cw_store import Store, UnitOfWork

    async def hold(everybody: asyncio.Barrier) -> None:
        async with UnitOfWork(store, read_only=True) as uow:
            await uow.agents.find_all(limit=10)
            await everybody.wait()

    imported = _resident()
    async with Store(path, readers=READERS) as store:
        everybody = asyncio.Barrier(READERS)
        await asyncio.gather(*(hold(everybody) for _ in range(READERS)))
        open_store = _resident()
        peak = open_store
        chunks = 0
        async for _ in store.log_chunks.stream_by_agent_id(agent_id):
            chunks += 1
            if chunks % LOOK_EVERY == 0:
                peak = max(peak, _resident())
    return {
        "imported": imported,
        "open_store": open_store - imported,
        "stream": peak - open_store,
        "chunks": chunks,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_measure(*sys.argv[1:]))))
