"""How one is told of what others commit to a SQLite file, and what that leaves alone."""

import asyncio
import logging
import sqlite3
import subprocess
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from builders import add_initiative
from cw_store import Store, StoreError
from cw_store.backends.sqlite.commit_watch import LONGEST_PAUSE
from cw_store.store import backend_of
from programs import start_program
from waits import until
from watcher import Watcher, watching

INSERT = """
INSERT INTO projects (id, name, url, default_branch, created_at, updated_at, seq)
SELECT 'p' || n, 'name' || n, 'url' || n, 'main', 1795885593080378, 1795885593080378, n
FROM (SELECT count(*) + 1 AS n FROM projects)
"""


async def a_while() -> None:
    """Let time pass for a few looks."""
    loop = asyncio.get_running_loop()
    end = loop.time() + 4 * LONGEST_PAUSE
    await until(lambda: loop.time() > end)


@pytest.fixture
async def watcher(store: Store) -> AsyncIterator[Watcher]:
    with watching(store) as watcher:
        await until(lambda: watcher.count == 1)
        yield watcher


@pytest.fixture
def other(path: Path) -> Generator[sqlite3.Connection]:
    """Another program's connection, which knows nothing of the store."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        yield other


def write(other: sqlite3.Connection) -> None:
    other.execute(INSERT)


async def test_one_is_told_once_of_each_commit_of_another_program(
    watcher: Watcher, other: sqlite3.Connection
) -> None:
    for count in range(2, 12):
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE initiatives SET name = name")
        write(other)
        await a_while()
        assert watcher.count == count - 1
        other.execute("COMMIT")
        await until(lambda count=count: watcher.count == count)


async def test_nobody_is_told_of_what_another_program_reads_or_undoes(
    watcher: Watcher, other: sqlite3.Connection
) -> None:
    other.execute("SELECT * FROM initiatives").fetchall()
    other.execute("BEGIN IMMEDIATE")
    write(other)
    other.execute("ROLLBACK")
    await a_while()
    assert watcher.count == 1


async def test_one_is_told_while_the_store_is_in_a_unit_that_reads_an_old_snapshot(
    store: Store, watcher: Watcher, other: sqlite3.Connection
) -> None:
    async with store.unit_of_work(read_only=True) as uow:
        assert await uow.projects.find_all() == []
        write(other)
        await until(lambda: watcher.count == 2)
        assert await uow.projects.find_all() == []


async def test_what_is_watched_has_a_connection_of_its_own_and_is_in_nobodys_way(
    path: Path, other: sqlite3.Connection
) -> None:
    async with Store(path, readers=1) as store:
        with watching(store) as watcher:
            async with store.unit_of_work(read_only=True) as uow:
                await uow.projects.find_all()
                await until(lambda: watcher.count == 1)
                write(other)
                await until(lambda: watcher.count == 2)
                assert store.connections_in_use == 1
            (busy, _, _) = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            assert not busy, "no snapshot is held between two looks"


@pytest.mark.parametrize("is_begun", [True, False])
async def test_a_store_that_is_closed_while_it_is_watched_leaves_no_log_beside_its_file(
    path: Path, is_begun: bool
) -> None:
    for _ in range(10):
        store = await Store.open(path)
        await add_initiative(store)
        watcher = Watcher()
        backend_of(store).start_watching(watcher.told)
        await until(lambda watcher=watcher: watcher.count > 0 or not is_begun)
        await store.close()
        assert [file.name for file in path.parent.glob("cw.db-wal")] == []


async def test_a_store_in_memory_opens_nothing_for_it() -> None:
    async with Store(":memory:") as store:
        await store.initiatives.find_all()
        before = _names()
        with watching(store) as watcher:
            await until(lambda: watcher.count == 1)
            await add_initiative(store)
            assert watcher.count == 2
            await a_while()
            assert watcher.count == 2
            assert _names() <= before


def _names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


# Stores that only read.


async def test_a_store_that_only_reads_is_told_of_those_who_write(
    path: Path, other: sqlite3.Connection
) -> None:
    other.execute("SELECT * FROM initiatives").fetchall()  # so that the file is in use
    async with Store(path, read_only=True) as store:
        with watching(store) as watcher:
            await until(lambda: watcher.count == 1)
            write(other)
            await until(lambda: watcher.count == 2)
            assert len(await store.projects.find_all()) == 1


@asynccontextmanager
async def started(code: str, path: Path, *arguments: str) -> AsyncGenerator[subprocess.Popen[str]]:
    """Run a program until the end of the block."""
    process = start_program(code, path, *arguments, cwd=path.parent)
    try:
        yield process
    finally:
        await asyncio.to_thread(process.communicate, timeout=20)


PROGRAM = """
import sqlite3, sys
for line in sys.stdin:
    other = sqlite3.connect(sys.argv[1])
    other.execute(sys.argv[2])
    other.commit()
    print("stored", flush=True)
    other.close()
    print("closed", flush=True)
"""


async def test_a_store_that_reads_a_file_which_nobody_used_is_told_when_somebody_writes(
    path: Path,
) -> None:
    async with Store(path, read_only=True) as store, started(PROGRAM, path, INSERT) as process:
        assert process.stdin is not None and process.stdout is not None
        with watching(store) as watcher:
            await until(lambda: watcher.count == 1)
            await a_while()
            assert watcher.count == 1
            for number in range(1, 4):
                before = watcher.count
                process.stdin.write(f"{number}\n")
                process.stdin.flush()
                await until(lambda before=before: watcher.count > before)
                for _ in range(2):
                    await asyncio.to_thread(process.stdout.readline)
                assert len(await store.projects.find_all()) == number
                await a_while()


# What fails.


class Warnings(logging.Handler):
    """The warnings of the watch."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture
def warnings() -> Generator[Warnings]:
    warnings = Warnings()
    logger = logging.getLogger("cw_store.backends.sqlite.commit_watch")
    logger.addHandler(warnings)
    yield warnings
    logger.removeHandler(warnings)


def _replace(path: Path) -> None:
    other = path.with_name("other.db")
    other.write_bytes(path.read_bytes())
    other.rename(path)


def _move(path: Path, name: str) -> None:
    path.rename(path.with_name(name))


@pytest.mark.parametrize("harm", [Path.unlink, _replace])
async def test_of_a_file_that_is_gone_one_is_told_again_and_again_and_warned_once(
    path: Path, harm: Callable[[Path], object], warnings: Warnings
) -> None:
    async with Store(path) as store:
        await add_initiative(store)
        with watching(store) as watcher:
            await until(lambda: watcher.count == 1)
            harm(path)
            await until(lambda: watcher.count >= 3)
            with pytest.raises(StoreError, match="while the store had it open"):
                await store.initiatives.find_all()
            assert len(warnings.messages) == 1
            assert "cw.db cannot be asked" in warnings.messages[0]


async def test_a_file_that_is_moved_back_is_watched_again(
    path: Path, other: sqlite3.Connection, warnings: Warnings
) -> None:
    async with Store(path) as store:
        await add_initiative(store)
        with watching(store) as watcher:
            await until(lambda: watcher.count == 1)
            _move(path, "elsewhere.db")
            await until(lambda: len(warnings.messages) == 1)
            _move(path.with_name("elsewhere.db"), path.name)
            before = watcher.count
            await until(lambda: watcher.count > before)
            await a_while()
            before = watcher.count
            write(other)
            await until(lambda: watcher.count == before + 1)
