"""`:memory:` is a folder that nothing leaves behind."""

import asyncio
import gc
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from builders import add_initiative
from cw_store import Store
from cw_store.memory import PREFIX, MemoryFolder, sweep
from programs import run_program, start_program


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made, in this process and those that it starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def left(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


LEAVES = """
import asyncio, os, sys
from cw_store import Store

async def main(how):
    store = await Store.open(":memory:")
    await store.accounts.create(email="ada@example.com", credentials="secret")
    if how == "exit":
        sys.exit(0)
    if how == "error":
        raise ValueError
    if how == "fork":
        child = os.fork()
        if child == 0:
            sys.exit(0)
        os.waitpid(child, 0)
        await store.accounts.find_all()
        print(*os.listdir(os.environ["TMPDIR"]), flush=True)
    if how == "kill":
        print("ready", flush=True)
        await asyncio.sleep(60)

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("how", ["end", "exit", "error"])
def test_a_process_that_ends_leaves_nothing(folder: Path, how: str) -> None:
    ran = run_program(LEAVES, how, cwd=folder)
    assert ran.returncode == (how == "error")
    assert left(folder) == []


def test_a_forked_child_that_ends_takes_nothing_from_its_parent(folder: Path) -> None:
    ran = run_program(LEAVES, "fork", cwd=folder)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(PREFIX)
    assert left(folder) == []


AT_ONCE = """
from concurrent.futures import ThreadPoolExecutor
from cw_store.migrations import empty_database

with ThreadPoolExecutor(4) as executor:
    made = [executor.submit(empty_database) for _ in range(4)]
print(len({id(one.result()) for one in made}))
"""


def test_what_every_store_in_memory_begins_as_is_made_once(folder: Path) -> None:
    ran = run_program(AT_ONCE, cwd=folder)
    assert ran.stdout == "1\n", ran.stderr
    assert left(folder) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_what_a_killed_process_left_goes_with_the_next_store(
    folder: Path, number: signal.Signals
) -> None:
    process = start_program(LEAVES, "kill", cwd=folder)
    assert process.stdout and process.stdout.readline() == "ready\n"
    async with Store(":memory:") as store:
        assert len(left(folder)) == 2  # the other lives
        process.send_signal(number)
        process.communicate(timeout=10)
        async with Store(":memory:"):
            assert len(left(folder)) == 2
        await add_initiative(store)
    assert left(folder) == []


@pytest.mark.skipif(sys.platform != "linux", reason="nobody counts descriptors here")
async def test_a_store_that_is_collected_takes_its_folder_threads_and_descriptors_along(
    folder: Path,
) -> None:
    async def used() -> None:
        store = await Store.open(":memory:")
        await add_initiative(store)
        await store.initiatives.find_all()

    async with Store(":memory:"):
        pass
    before = descriptors()
    await used()
    gc.collect()
    async with asyncio.timeout(5):
        while descriptors() > before:  # noqa: ASYNC110 -- the threads close what is theirs
            await asyncio.sleep(0)
    assert left(folder) == []


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_only_what_nobody_uses_and_this_program_made_is_swept(folder: Path) -> None:
    living = MemoryFolder()
    dead = folder / f"{PREFIX}dead"
    dead.mkdir()
    (dead / "memory.db").write_text("x")
    others = folder / "somebody-elses"
    others.mkdir()
    target = folder / "target"
    target.mkdir()
    (folder / f"{PREFIX}link").symlink_to(target)
    (folder / f"{PREFIX}file").touch()
    sweep()
    assert sorted(left(folder)) == sorted(
        [living.path.name, "somebody-elses", "target", f"{PREFIX}link", f"{PREFIX}file"]
    )
    living.remove()
    assert not living.path.exists()


def test_two_that_begin_at_once_take_nothing_from_each_other(folder: Path) -> None:
    folders = [MemoryFolder() for _ in range(3)]
    sweep()
    assert {one.path.name for one in folders} == set(left(folder))
    for one in folders:
        assert one.path.stat().st_mode & 0o777 == 0o700
        one.remove()


def test_nobody_sweeps_what_is_just_being_made(folder: Path) -> None:
    ended = threading.Event()

    def sweep_all_the_time() -> None:
        while not ended.is_set():
            sweep()

    sweepers = [threading.Thread(target=sweep_all_the_time) for _ in range(2)]
    for sweeper in sweepers:
        sweeper.start()
    try:
        for _ in range(300):
            made = MemoryFolder()
            assert made.path.is_dir()
            made.remove()
    finally:
        ended.set()
        for sweeper in sweepers:
            sweeper.join()
