"""Stores nobody closes, loops after one another, forks."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from drill import Drill, load, milliseconds

UNDISPOSED = """
import asyncio, sys, time
from cw_store import Store

async def main():
    store = await Store.open(sys.argv[1])
    await store.initiatives.create(name="kept")
    uow = await store.unit_of_work().__aenter__()
    await uow.initiatives.create(name="lost")
    reader = await store.unit_of_work(read_only=True).__aenter__()
    await reader.initiatives.find_all()
    waiting = asyncio.ensure_future(store.initiatives.create(name="waits"))
    await asyncio.sleep(0)
    print(time.monotonic(), flush=True)
    {end}
    return store, uow, reader, waiting

kept = asyncio.run(main())
"""

ENDS = {
    "returns": "pass",
    "exits": "sys.exit(0)",
    "stops its loop": "asyncio.get_running_loop().call_soon(sys.exit, 0); await asyncio.sleep(9)",
}

DEFAULT_STORE = """
import asyncio, time
from cw_store import UnitOfWork

async def main(number):
    async with UnitOfWork() as uow:
        await uow.initiatives.create(name=f"run {number}")
        return len(await uow.initiatives.find_all())

assert [asyncio.run(main(number)) for number in range(3)] == [1, 2, 3]
print(time.monotonic())
"""

FORK = """
import asyncio, os, sys, time
from cw_store import Store, StoreClosedError

async def use(store):
    for call in (
        lambda: store.initiatives.find_all(),
        lambda: store.initiatives.create(name="by the child"),
        lambda: store.unit_of_work().__aenter__(),
        lambda: store.close(),
    ):
        try:
            await call()
        except StoreClosedError:
            continue
        raise SystemExit("the child could use the store")

async def main():
    store = await Store.open(sys.argv[1])
    await store.initiatives.create(name="by the parent")
    child = os.fork()
    if child == 0:
        began = time.monotonic()
        asyncio.run(use(store))
        os._exit(0 if time.monotonic() - began < 5 else 2)  # half a minute is a wait for others
    _, status = os.waitpid(child, 0)
    assert status == 0, status
    await store.initiatives.create(name="by the parent, again")
    assert len(await store.initiatives.find_all()) == 2
    await store.close()
    print(time.monotonic())

asyncio.run(main())
"""

FORK_THEN_EXIT = """
import asyncio, os, sys, time
from cw_store import Store

loop = asyncio.new_event_loop()
store = loop.run_until_complete(Store.open(sys.argv[1]))
loop.run_until_complete(store.initiatives.create(name="by the parent"))
child = os.fork()
if child == 0:
    sys.exit(0)  # with destructors and all, as a careless program does
_, status = os.waitpid(child, 0)
assert status == 0, status
loop.run_until_complete(store.initiatives.create(name="by the parent, again"))
loop.run_until_complete(store.close())
loop.close()
print(time.monotonic())
"""


def run(script: str, url: str, folder: Path) -> float:
    """Run a script; return how long it took from the time that it printed last to its end."""
    result = subprocess.run(
        [sys.executable, "-c", script, url],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env={**os.environ, "CW_STORE_URL": url},
        check=False,
    )
    ended = time.monotonic()
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr and "Task was destroyed" not in result.stderr
    return ended - float(result.stdout.split()[-1])


@pytest.mark.parametrize("end", list(ENDS))
def test_a_program_that_closes_nothing_ends(
    url: str, drill: Drill, tmp_path: Path, end: str
) -> None:
    took = run(UNDISPOSED.replace("{end}", ENDS[end]), url, tmp_path)
    assert took < 5, f"ended after {took:.1f} s; {load()}"
    drill.held(f"ended {milliseconds(took)} after its last line, with code 0")


def test_the_default_store_works_in_three_loops_after_one_another(
    url: str, drill: Drill, tmp_path: Path
) -> None:
    took = run(DEFAULT_STORE, url, tmp_path)
    assert took < 5, load()
    drill.held(f"works, and ends {milliseconds(took)} later")


@pytest.mark.parametrize("script", [FORK, FORK_THEN_EXIT], ids=["uses the store", "exits"])
def test_a_forked_child_is_told_at_once_and_harms_nothing(
    url: str, drill: Drill, tmp_path: Path, script: str
) -> None:
    took = run(script, url, tmp_path)
    assert took < 5, load()
    drill.held(f"the child ended at once, the parent went on and ended in {milliseconds(took)}")
