"""The connections that read: who gets the next one, and what happens when one cannot be opened."""

import asyncio
import gc
import os
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import pytest

from clocks import TickingClock
from cw_store import Store, StoreBusyError, StoreClosedError, StoreError
from cw_store.backends.sqlite.connection import Connection
from cw_store.backends.sqlite.opening import open_connection
from cw_store.backends.sqlite.raw_connection import create_private_file
from cw_store.backends.sqlite.readers import (
    LOOK_EVERY,
    LOOKS_AT_REST,
    OPEN_AGAIN,
    ReaderPool,
)
from cw_store.backends.thread.worker import LONG_ROUND, LoopCallbacks
from steppable_loop import SteppableLoop
from waits import until_idle

Open = Callable[[], Awaitable[Connection]]


@pytest.fixture
def open_reader(tmp_path: Path) -> Open:
    path = tmp_path / "cw.db"
    create_private_file(path)
    return lambda: open_connection(
        path,
        loop_callbacks=LoopCallbacks(asyncio.get_running_loop()),
        read_only=False,
        synchronous="NORMAL",
        timeout=5,
    )


@pytest.fixture
async def pool(open_reader: Open) -> AsyncIterator[ReaderPool]:
    pool = ReaderPool(open_reader, LoopCallbacks(asyncio.get_running_loop()), 2, 5.0)
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


async def test_the_loop_has_a_round_between_reads_that_shared_a_job(open_reader: Open) -> None:
    loop = asyncio.get_running_loop()
    pool = ReaderPool(open_reader, LoopCallbacks(loop, TickingClock(LONG_ROUND)), 2, 5.0)
    seen: list[str] = []

    async def read() -> None:
        await pool.read(one)
        seen.append("a read")

    def note_rounds() -> None:
        seen.append("a round")
        if seen.count("a read") < 10:
            loop.call_soon(note_rounds)

    held = [await pool.take(), await pool.take()]
    reads = [asyncio.create_task(read()) for _ in range(10)]
    await until_idle()
    note_rounds()
    pool.give(held[0])
    await asyncio.gather(*reads)
    assert ("a read", "a read") not in pairwise(seen)
    pool.give(held[1])
    await pool.close()


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
    pool = ReaderPool(failing, LoopCallbacks(asyncio.get_running_loop()), 1, 5.0)
    taker, reader = await waiting(pool)
    failing.go.set()
    with pytest.raises(StoreError, match="0 to come"):
        await taker
    assert await reader == 1
    assert pool.in_use == 0
    await pool.close()


async def test_who_waits_behind_failed_openings_is_told(open_reader: Open) -> None:
    failing = Failing(open_reader, 2)
    pool = ReaderPool(failing, LoopCallbacks(asyncio.get_running_loop()), 1, 5.0)
    taker, reader = await waiting(pool)
    failing.go.set()
    for task in (taker, reader):
        with pytest.raises(StoreError, match="to come"):
            await task
    pool.give(await pool.take())  # the third opening is good
    assert pool.in_use == 0
    await pool.close()


async def test_who_waits_can_be_asked_for_what_and_behind_whom(pool: ReaderPool) -> None:
    held = [await pool.take(), await pool.take()]
    taker = asyncio.create_task(pool.take())
    reader = asyncio.ensure_future(pool.read(one))
    await until_idle()
    assert "behind 0 others; 2 of 2 are in use" in repr(taker)
    assert "behind 1 others" in repr(reader)
    taker.cancel()
    await until_idle()
    assert "behind 0 others" in repr(reader)
    for connection in held:
        pool.give(connection)
    assert await reader == 1


async def test_who_waits_too_long_is_told(open_reader: Open) -> None:
    pool = ReaderPool(open_reader, LoopCallbacks(asyncio.get_running_loop()), 1, 0.02)
    held = await pool.take()
    for wait in (pool.take, lambda: pool.read(one)):
        with pytest.raises(StoreBusyError, match="1 reading connections"):
            await wait()
    pool.give(held)
    assert await pool.read(one) == 1
    await pool.close()


async def test_closing_refuses_those_who_wait_and_those_who_come(open_reader: Open) -> None:
    pool = ReaderPool(open_reader, LoopCallbacks(asyncio.get_running_loop()), 1, 5.0)
    held = await pool.take()
    taker, reader = await waiting(pool)
    await pool.close()
    for task in (taker, reader):
        with pytest.raises(StoreClosedError):
            await task
    for wait in (pool.take, lambda: pool.read(one)):
        with pytest.raises(StoreClosedError):
            await wait()
    assert held.run(lambda: None).error is not None


async def test_a_connection_handed_over_to_a_cancelled_taker_comes_back(pool: ReaderPool) -> None:
    held = [await pool.take(), await pool.take()]
    taker = asyncio.create_task(pool.take())
    await until_idle()
    pool.give(held[0])
    taker.cancel()
    await asyncio.wait([taker])
    assert pool.idle() is held[0]
    for reader in held:
        pool.give(reader)


async def test_reads_and_takers_have_a_connection_in_the_order_in_which_they_came(
    open_reader: Open,
) -> None:
    pool = ReaderPool(open_reader, LoopCallbacks(asyncio.get_running_loop()), 1, 5.0)
    held = await pool.take()
    reads = [asyncio.ensure_future(pool.read(one)) for _ in range(2)]
    await until_idle()
    taker = asyncio.create_task(pool.take())
    await until_idle()
    pool.give(held)
    assert await asyncio.gather(*reads) == [1, 1]
    assert await taker is held
    pool.give(held)
    assert pool.idle() is held
    pool.give(held)
    assert await pool.read(one) == 1
    await pool.close()


class Steered:
    """Opens connections when the test says so, and fails when it says that."""

    def __init__(self, open_reader: Open) -> None:
        self._open = open_reader
        self.attempts: list[asyncio.Future[None]] = []

    async def __call__(self) -> Connection:
        attempt: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.attempts.append(attempt)
        await attempt
        return await self._open()

    async def fail(self, number: int) -> None:
        self.attempts[number].set_exception(StoreError(f"attempt {number}"))
        await until_idle()


async def test_connections_that_are_being_opened_count(open_reader: Open) -> None:
    steered = Steered(open_reader)
    pool = ReaderPool(steered, LoopCallbacks(asyncio.get_running_loop()), 2, 5.0)
    takers = [asyncio.create_task(pool.take()) for _ in range(4)]
    await until_idle()
    assert len(steered.attempts) == 2
    for attempt in steered.attempts:
        attempt.set_result(None)
    held = [await takers[0], await takers[1]]
    for reader in held:
        pool.give(reader)
    assert {await takers[2], await takers[3]} == set(held)
    for reader in held:
        pool.give(reader)
    await pool.close()


async def test_an_opening_that_failed_leaves_the_limit_as_it_is(open_reader: Open) -> None:
    steered = Steered(open_reader)
    pool = ReaderPool(steered, LoopCallbacks(asyncio.get_running_loop()), 1, 5.0)
    first = asyncio.create_task(pool.take())
    await until_idle()
    await steered.fail(0)
    with pytest.raises(StoreError, match="attempt 0"):
        await first
    assert len(steered.attempts) == 1  # nobody waits, so nothing more is opened
    takers = [asyncio.create_task(pool.take()) for _ in range(2)]
    await until_idle()
    assert len(steered.attempts) == 2
    steered.attempts[1].set_result(None)
    held = await takers[0]
    await until_idle()
    assert len(steered.attempts) == 2
    pool.give(held)
    assert await takers[1] is held
    pool.give(held)
    await pool.close()


async def test_the_next_taker_is_told_when_its_connection_cannot_be_opened_either(
    open_reader: Open,
) -> None:
    steered = Steered(open_reader)
    pool = ReaderPool(steered, LoopCallbacks(asyncio.get_running_loop()), 1, 5.0)
    takers = [asyncio.create_task(pool.take()) for _ in range(2)]
    await until_idle()
    for number, taker in enumerate(takers):
        await steered.fail(number)
        assert taker.done()
        with pytest.raises(StoreError, match=f"attempt {number}"):
            await taker
    await pool.close()


async def test_where_no_more_can_be_opened_those_that_are_open_serve_all(
    open_reader: Open, caplog: pytest.LogCaptureFixture, steppable_loop: SteppableLoop
) -> None:
    steered = Steered(open_reader)
    timeout = 2 * OPEN_AGAIN
    pool = ReaderPool(steered, LoopCallbacks(steppable_loop), 3, timeout)
    first = asyncio.create_task(pool.take())
    await until_idle()
    steered.attempts[0].set_result(None)
    held = await first
    second = asyncio.create_task(pool.take())
    await until_idle()
    read = asyncio.ensure_future(pool.read(one))
    await until_idle()
    await steered.fail(1)
    await steered.fail(2)
    third = asyncio.create_task(pool.take())
    await until_idle()
    assert len(steered.attempts) == 3  # not again at once
    for task in (second, third):
        pool.give(held)
        assert await task is held
    pool.give(held)
    assert await read == 1
    assert "attempt 1" in caplog.text  # nobody was told who waited

    held = await pool.take()
    steppable_loop.advance(OPEN_AGAIN)
    fourth = asyncio.create_task(pool.take())
    await until_idle()
    steered.attempts[3].set_result(None)
    pool.give(held)
    pool.give(await fourth)
    await pool.close()


async def test_who_waits_for_the_only_opening_is_served_or_told_when_it_fails(
    open_reader: Open, caplog: pytest.LogCaptureFixture
) -> None:
    steered = Steered(open_reader)
    pool = ReaderPool(steered, LoopCallbacks(asyncio.get_running_loop()), 1, 5.0)
    first = asyncio.create_task(pool.take())
    await until_idle()
    waiting = asyncio.create_task(pool.take())
    await until_idle()
    await steered.fail(0)
    with pytest.raises(StoreError, match="attempt 0"):
        await first
    assert len(steered.attempts) == 2  # for the one that waits
    waiting.cancel()
    await until_idle()
    await steered.fail(1)
    await pool.close()
    del pool
    gc.collect()
    assert caplog.records == []  # of a task that failed


async def look(loop: SteppableLoop, times: int) -> None:
    """Let the time pass in which it is looked so often for connections that are at rest."""
    for _ in range(times):
        loop.advance(LOOK_EVERY)
        await until_idle()


async def test_connections_at_rest_are_closed_and_opened_again(
    open_reader: Open, steppable_loop: SteppableLoop
) -> None:
    pool = ReaderPool(open_reader, LoopCallbacks(steppable_loop), 3, 5.0)
    taken = [await pool.take() for _ in range(3)]
    threads = [await reader.run(threading.current_thread) for reader in taken]
    for reader in taken[1:]:
        pool.give(reader)
    await look(steppable_loop, LOOKS_AT_REST - 1)
    assert all(thread.is_alive() for thread in threads)
    await look(steppable_loop, 1)
    for thread in threads[1:]:
        await asyncio.to_thread(thread.join, 5)
        assert not thread.is_alive()
    assert pool.in_use == 1
    assert await taken[0].run(lambda: 1) == 1  # it is not at rest
    assert await pool.read(one) == 1
    pool.give(taken[0])
    await pool.close()


@pytest.mark.skipif(sys.platform != "linux", reason="nobody counts descriptors here")
@pytest.mark.parametrize("writes", [0, 20])
@pytest.mark.parametrize("where", ["cw.db", ":memory:"])
async def test_a_store_at_rest_holds_few_descriptors(
    tmp_path: Path, steppable_loop: SteppableLoop, where: str, writes: int
) -> None:
    async with Store(":memory:"):
        before = len(os.listdir("/proc/self/fd"))  # but for what every store needs once
    together = asyncio.Barrier(4)
    async with Store(where if where == ":memory:" else tmp_path / where) as store:
        for _ in range(writes):
            await store.initiatives.create(name="x")

        async def read() -> None:
            async with store.unit_of_work(read_only=True) as uow:
                await uow.initiatives.find_all()
                await together.wait()

        await asyncio.gather(*(read() for _ in range(4)))
        await look(steppable_loop, LOOKS_AT_REST)
        async with asyncio.timeout(10):
            while len(os.listdir("/proc/self/fd")) - before > 12:  # noqa: ASYNC110
                await asyncio.sleep(0)  # until the threads have ended


async def test_a_terminated_pool_opens_nothing_any_more(open_reader: Open) -> None:
    pool = ReaderPool(open_reader, LoopCallbacks(asyncio.get_running_loop()), 1, 5.0)
    pool.give(await pool.take())
    pool.terminate()
    for wait in (pool.take, lambda: pool.read(one)):
        with pytest.raises(StoreClosedError):
            await wait()
