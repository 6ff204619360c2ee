"""What a store costs a test, and the plugin a run that takes none: `python -m bench.opening`.

A test gets a copy of a file at the newest schema, opened and closed: 5 ms at most. A run of pytest
that takes no store takes at most 1.05 times as long with the plugin as without it. Times are the
shortest and the median; others on the machine only make them longer.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cw_store import Store, ensure_schema
from cw_store.testing.databases import new_copy

ROUNDS = 200
MOST_MILLISECONDS = 5.0
RUNS = 25
MOST_TIMES = 1.05


async def seconds_for_a_store(template: Path) -> dict[str, list[float]]:
    """Return how long each part of it took, in each round."""
    times: dict[str, list[float]] = {"copy": [], "open": [], "close": [], "all of it": []}
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        path = new_copy(template)
        copied = time.perf_counter()
        store = await Store.open(path)
        opened = time.perf_counter()
        await store.close()
        closed = time.perf_counter()
        shutil.rmtree(path.parent)
        parts = (copied - begun, opened - copied, closed - opened, closed - begun)
        for taken, part in zip(times.values(), parts, strict=True):
            taken.append(part)
    return times


def seconds_for_empty_runs(folder: Path) -> tuple[float, float]:
    """Return how long pytest takes without any test, with the plugin and without it."""
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder))
    shortest = [float("inf"), float("inf")]
    for _ in range(RUNS):  # by turns, so that both have the machine alike
        for place, options in enumerate(((), ("-p", "no:cw_store"))):
            begun = time.perf_counter()
            subprocess.run([*command, *options], capture_output=True, check=False)
            shortest[place] = min(shortest[place], time.perf_counter() - begun)
    return shortest[0], shortest[1]


def main() -> int:
    """Print what it costs; 1 when it is more than it may be."""
    with tempfile.TemporaryDirectory() as name:
        template = Path(name) / "template.db"
        asyncio.run(ensure_schema(template))
        parts = asyncio.run(seconds_for_a_store(template))
        for part, taken in parts.items():
            median = statistics.median(taken) * 1000
            print(f"{part:10} {min(taken) * 1000:6.2f} ms  median {median:6.2f} ms")
        (Path(name) / "empty").mkdir()
        with_it, without = seconds_for_empty_runs(Path(name) / "empty")
    print(
        f"pytest     {with_it * 1000:6.0f} ms, without the plugin {without * 1000:.0f} ms", end=""
    )
    print(f": {with_it / without:.3f} times as long")
    median = statistics.median(parts["all of it"]) * 1000
    return 1 if median > MOST_MILLISECONDS or with_it / without > MOST_TIMES else 0


if __name__ == "__main__":
    sys.exit(main())
