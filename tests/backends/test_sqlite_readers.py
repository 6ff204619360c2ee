"""The connections that read: who gets the next one, and what happens when one cannot be opened."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from cw_store import StoreBusyError, StoreClosedError, StoreError
from cw_store.backends.sqlite_connection import Connection, open_connection
from cw_store.backends.sqlite_readers import ReaderPool

Open = Callable[[], Awaitable[Connection]]


@pytest.fixture
def open_reader(tmp_path: Path) -> Open:
    path = tmp_path / "cw.db"
    return lambda: open_connection(path, read_only=False, synchronous="NORMAL", timeout=5)


@pytest.fixture
async def pool(open_reader: Open) -> AsyncIterator[ReaderPool]:
    pool = ReaderPool(open_reader, 2, 5.0)
    yield pool
    assert pool.in_use == 0
    await pool.close()


class Failing:
    """Opens connections, except the first few, which fail when they are told to."""

    def __init__(self, open_reader: Open, failures: int) -> None:
        self._open = open_reader
        self._failures = failures
        self.go = asyncio.Event()

    async def __call__(self) -> Connection:
        await self.go.wait()
        self._failures -= 1
        if self._failures >= 0:
            raise StoreError(f"{self._failures} to come")
        return await self._open()


def one(cursor: sqlite3.Cursor) -> int:
    (found,) = cursor.execute("SELECT 1").fetchone()
    return found


def fail(cursor: sqlite3.Cursor) -> None:
    cursor.execute("SELECT * FROM nowhere")


async def until_idle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def waiting(pool: ReaderPool) -> tuple["asyncio.Task[Connection]", "asyncio.Task[int]"]:
    async def read() -> int:
        return await pool.read(one)

    taker = asyncio.create_task(pool.take())
    await until_idle()
    reader = asyncio.create_task(read())
    await until_idle()
    return taker, reader


async def test_connections_are_opened_when_needed_and_no_more_than_the_limit(
    pool: ReaderPool,
) -> None:
    assert pool.idle() is None and pool.in_use == 0
    first, second = await pool.take(), await pool.take()
    assert pool.in_use == 2 and first is not second
    third = asyncio.create_task(pool.take())
    await until_idle()
    assert not third.done()
    pool.give(first)
    assert await third is first
    pool.give(first)
    assert pool.in_use == 1
    assert pool.idle() is first
    pool.give(first)
    pool.give(second)


async def test_reads_that_wait_share_a_connection_and_each_has_its_own_answer(
    pool: ReaderPool,
) -> None:
    held = [await pool.take(), await pool.take()]
    works = (one, fail, one)
    reads = [asyncio.ensure_future(pool.read(work)) for work in works]
    await until_idle()
    pool.give(held[0])
    outcomes = await asyncio.gather(*reads, return_exceptions=True)
    assert outcomes[0] == outcomes[2] == 1
    assert isinstance(outcomes[1], sqlite3.OperationalError)
    pool.give(held[1])


async def test_a_read_that_was_cancelled_is_passed_over(pool: ReaderPool) -> None:
    held = [await pool.take(), await pool.take()]
    ran: list[int] = []

    async def read(number: int) -> None:
        def work(_cursor: sqlite3.Cursor) -> None:
            ran.append(number)

        await pool.read(work)

    reads = [asyncio.create_task(read(number)) for number in range(3)]
    await until_idle()
    reads[1].cancel()
    await until_idle()
    pool.give(held[0])
    await asyncio.wait(reads)
    assert ran == [0, 2]
    pool.give(held[1])


async def test_who_waits_behind_a_failed_opening_gets_the_next_connection(
    open_reader: Open,
) -> None:
    failing = Failing(open_reader, 1)
    pool = ReaderPool(failing, 1, 5.0)
    taker, reader = await waiting(pool)
    failing.go.set()
    with pytest.raises(StoreError, match="0 to come"):
        await taker
    assert await reader == 1
    assert pool.in_use == 0
    await pool.close()


async def test_who_waits_behind_failed_openings_is_told(open_reader: Open) -> None:
    failing = Failing(open_reader, 2)
    pool = ReaderPool(failing, 1, 5.0)
    taker, reader = await waiting(pool)
    failing.go.set()
    for task in (taker, reader):
        with pytest.raises(StoreError, match="to come"):
            await task
    pool.give(await pool.take())  # the third opening is good
    assert pool.in_use == 0
    await pool.close()


async def test_who_waits_too_long_is_told(open_reader: Open) -> None:
    pool = ReaderPool(open_reader, 1, 0.02)
    held = await pool.take()
    for wait in (pool.take, lambda: pool.read(one)):
        with pytest.raises(StoreBusyError, match="1 reading connections"):
            await wait()
    pool.give(held)
    assert await pool.read(one) == 1
    await pool.close()


async def test_closing_refuses_those_who_wait_and_those_who_come(open_reader: Open) -> None:
    pool = ReaderPool(open_reader, 1, 5.0)
    held = await pool.take()
    taker, reader = await waiting(pool)
    await pool.close()
    for task in (taker, reader):
        with pytest.raises(StoreClosedError):
            await task
    for wait in (pool.take, lambda: pool.read(one)):
        with pytest.raises(StoreClosedError):
            await wait()
    assert held.visit(lambda: None).error is not None
