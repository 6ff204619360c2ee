"""One connection and its thread."""

import asyncio
import gc
import inspect
import sqlite3
import threading
import weakref
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import aiosqlite
import pytest

from cw_store import StoreClosedError, UnitOfWorkError
from cw_store.backends.sqlite.connection import Connection
from cw_store.backends.sqlite.opening import open_connection
from cw_store.backends.sqlite.raw_connection import create_private_file
from cw_store.backends.thread.worker import LoopCallbacks
from programs import run_program
from waits import is_of_the_loop

pytestmark = pytest.mark.usefixtures("way_to_wait")


async def opened(path: Path, *, read_only: bool = False, synchronous: str = "NORMAL") -> Connection:
    create_private_file(path)
    return await open_connection(
        path,
        loop_callbacks=LoopCallbacks(asyncio.get_running_loop()),
        read_only=read_only,
        synchronous=synchronous,
        timeout=5,
    )


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[Connection]:
    connection = await opened(tmp_path / "cw.db")
    yield connection
    await connection.disconnect()


def value(raw: sqlite3.Connection, sql: str) -> object:
    (found,) = raw.execute(sql).fetchone()
    return found


async def test_what_is_used_of_aiosqlites_private_parts_is_there(connection: Connection) -> None:
    private: Any = connection
    assert isinstance(connection, aiosqlite.Connection)
    assert isinstance(private._thread, threading.Thread)
    assert private._thread.daemon
    assert private._conn is connection.raw
    assert isinstance(connection.raw, sqlite3.Connection)
    # An entry without a future is one that nobody is told of: so the jobs came to the thread.
    assert isinstance(private._tx, SimpleQueue)
    assert private._thread is await connection.run(threading.current_thread)
    assert list(inspect.signature(aiosqlite.Connection).parameters)[:2] == [
        "connector",
        "iter_chunk_size",
    ]


async def test_aiosqlites_own_methods_are_jobs_of_the_same_thread(connection: Connection) -> None:
    await connection.execute("CREATE TABLE numbers (number INTEGER)")
    await connection.executemany("INSERT INTO numbers VALUES (?)", [(1,), (2,)])
    async with connection.execute("SELECT number FROM numbers") as cursor:
        assert [row async for row in cursor] == [(1,), (2,)]
    assert await connection.execute_fetchall("SELECT max(number) FROM numbers") == [(2,)]
    for refused in (connection.commit, connection.rollback, connection.close):
        with pytest.raises(UnitOfWorkError, match="belongs to the store"):
            await refused()


async def test_a_job_runs_in_the_connections_thread(connection: Connection) -> None:
    thread = await connection.run(threading.current_thread)
    assert thread is not threading.current_thread()
    assert await connection.run(threading.current_thread) is thread


async def test_a_job_brings_back_its_error(connection: Connection) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await connection.run(lambda: connection.raw.execute("SELECT * FROM nowhere"))
    assert await connection.run(lambda: value(connection.raw, "SELECT 1")) == 1


async def test_jobs_run_in_the_order_in_which_they_were_asked_for(
    connection: Connection,
) -> None:
    order: list[int] = []
    jobs = [connection.run(partial(order.append, number)) for number in range(10)]
    for job in reversed(jobs):
        await job
    assert order == list(range(10))


async def test_a_cancelled_job_is_done_and_reports_its_end(connection: Connection) -> None:
    begun, go, ended = threading.Event(), threading.Event(), asyncio.Event()

    def work() -> None:
        begun.set()
        go.wait()

    job = connection.run(work, then=ended.set)

    async def wait() -> object:
        return await job

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    assert begun.wait(5)  # one that has not begun is dropped
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not ended.is_set()
    go.set()
    async with asyncio.timeout(5):
        await ended.wait()
    assert job.is_done


async def test_finished_waits_for_the_end_however_often_it_is_cancelled(
    connection: Connection,
) -> None:
    go = threading.Event()
    job = connection.run(go.wait)
    task = asyncio.create_task(job.finished())
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert job.is_done


async def test_a_jobs_error_keeps_nothing_alive(connection: Connection) -> None:
    class Held:
        pass

    async def fail() -> "weakref.ref[Held]":
        held = Held()
        with pytest.raises(sqlite3.OperationalError):
            await connection.run(lambda: connection.raw.execute(f"nonsense {id(held)}"))
        return weakref.ref(held)

    gc.disable()
    try:
        held = await fail()
        await connection.run(lambda: None)
        assert held() is None
    finally:
        gc.enable()


async def test_every_connection_has_its_settings(tmp_path: Path) -> None:
    for read_only in (False, True):
        connection = await opened(tmp_path / "cw.db", read_only=read_only)
        settings = {
            name: await connection.run(partial(value, connection.raw, f"PRAGMA {name}"))
            for name in (
                "journal_mode",
                "foreign_keys",
                "synchronous",
                "query_only",
                "temp_store",
                "busy_timeout",
            )
        }
        assert settings == {
            "journal_mode": "wal",
            "foreign_keys": 1,
            "synchronous": 1,
            "query_only": int(read_only),
            "temp_store": 2,
            "busy_timeout": 5,
        }
        assert connection.raw.isolation_level is None
        await connection.disconnect()
    full = await opened(tmp_path / "cw.db", synchronous="FULL")
    assert await full.run(partial(value, full.raw, "PRAGMA synchronous")) == 2
    await full.disconnect()


async def test_closing_rolls_back_and_ends_the_thread(tmp_path: Path) -> None:
    connection = await opened(tmp_path / "cw.db")
    thread = await connection.run(threading.current_thread)
    await connection.run(lambda: connection.raw.execute("CREATE TABLE kept (x)").close())
    await connection.run(lambda: connection.raw.execute("BEGIN IMMEDIATE").close())
    await connection.run(lambda: connection.raw.execute("INSERT INTO kept VALUES (1)").close())
    await connection.disconnect()
    await connection.disconnect()
    thread.join(5)
    assert not thread.is_alive()
    with sqlite3.connect(tmp_path / "cw.db") as other:
        other.execute("BEGIN IMMEDIATE")
        assert value(other, "SELECT count(*) FROM kept") == 0
    other.close()


@pytest.mark.parametrize("how", ["closed", "terminated"])
async def test_a_job_that_comes_too_late_is_refused_and_reports_its_end(
    tmp_path: Path, how: str
) -> None:
    connection = await opened(tmp_path / "cw.db")
    if how == "closed":
        await connection.disconnect()
    else:
        connection.terminate()
    ended = asyncio.Event()
    async with asyncio.timeout(5):
        with pytest.raises(StoreClosedError, match=r"^the store was closed meanwhile$"):
            await connection.run(threading.current_thread, then=ended.set)
        await ended.wait()
        with pytest.raises(StoreClosedError):
            await connection.run(threading.current_thread)


async def test_closing_is_finished_even_when_it_is_cancelled(tmp_path: Path) -> None:
    connection = await opened(tmp_path / "cw.db")
    thread = await connection.run(threading.current_thread)
    task = asyncio.create_task(connection.disconnect())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    thread.join(5)
    assert not thread.is_alive()


async def test_opening_can_be_cancelled_and_leaves_no_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    for steps in range(6):
        task = asyncio.create_task(opened(tmp_path / "cw.db"))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(outcome, Connection):
            await outcome.disconnect()
    for thread in set(threading.enumerate()) - before:
        await asyncio.to_thread(thread.join, 5)
        assert not thread.is_alive() or is_of_the_loop(thread)


def test_a_terminated_connection_ends_its_thread_and_gives_up_the_lock(tmp_path: Path) -> None:
    async def begin() -> tuple[Connection, threading.Thread]:
        connection = await opened(tmp_path / "cw.db")
        await connection.run(lambda: connection.raw.execute("BEGIN IMMEDIATE").close())
        return connection, await connection.run(threading.current_thread)

    connection, thread = asyncio.run(begin())
    connection.terminate()
    connection.terminate()
    thread.join(5)
    assert not thread.is_alive()
    other = sqlite3.connect(tmp_path / "cw.db", timeout=0)
    other.execute("BEGIN IMMEDIATE")
    other.close()


def test_a_terminated_connection_may_end_after_the_running_loop(tmp_path: Path) -> None:
    """An error in the thread would be a warning here, and warnings are errors."""
    held = threading.Event()

    async def begin() -> tuple[Connection, threading.Thread]:
        connection = await opened(tmp_path / "cw.db")
        thread = await connection.run(threading.current_thread)
        connection.run(held.wait)
        connection.terminate()
        return connection, thread

    _, thread = asyncio.run(begin())
    held.set()
    thread.join(5)
    assert not thread.is_alive()


def test_a_connection_whose_loop_was_closed_while_it_opened_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "cw.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TABLE t (x)")
    other.execute("BEGIN EXCLUSIVE")
    before = set(threading.enumerate())

    async def cancelled() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await opened(path)

    asyncio.run(cancelled())
    other.execute("COMMIT")
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()
    other.execute("PRAGMA journal_mode = DELETE")  # refused while anybody else is connected
    assert value(other, "PRAGMA journal_mode") == "delete"
    other.close()


# Running out.

OUT_OF = """
import asyncio, os, resource, sys, threading
from pathlib import Path
from cw_store import StoreError
from cw_store.backends.thread.worker import LoopCallbacks
from cw_store.backends.sqlite.opening import open_connection

Path(sys.argv[1]).touch()

async def attempt():
    loop_callbacks = LoopCallbacks(asyncio.get_running_loop())
    connection = await open_connection(
        Path(sys.argv[1]),
        loop_callbacks=loop_callbacks,
        read_only=False,
        synchronous="NORMAL",
        timeout=1,
    )
    await connection.disconnect()

def taken():
    held = []
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return held

async def without_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    for left in range(12):
        held = taken()
        for _ in range(left):
            os.close(held.pop())
        try:
            await attempt()
            print("opened", end=" ")
        except StoreError as error:
            print("refused", end=" ")
        for descriptor in held:
            os.close(descriptor)

async def without_threads():
    def refuse(thread):
        raise RuntimeError("can't start new thread")
    start, threading.Thread.start = threading.Thread.start, refuse
    for _ in range(3):
        try:
            await attempt()
        except StoreError:
            print("refused", end=" ")
    threading.Thread.start = start

async def held_at_rest():
    while any(thread.name.startswith("cw_store") for thread in threading.enumerate()):
        await asyncio.sleep(0)
    return len(os.listdir("/proc/self/fd"))

async def main():
    await attempt()
    before = await held_at_rest()
    await {"descriptors": without_descriptors, "threads": without_threads}[sys.argv[2]]()
    print(await held_at_rest() - before, "lost")
    await attempt()

asyncio.run(main())
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="nobody counts descriptors here")
@pytest.mark.parametrize("what", ["descriptors", "threads"])
def test_what_cannot_be_opened_for_want_of_something_leaves_nothing(
    tmp_path: Path, what: str
) -> None:
    ran = run_program(OUT_OF, tmp_path / "cw.db", what, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "refused" in ran.stdout
    assert ran.stdout.endswith(" 0 lost\n")
