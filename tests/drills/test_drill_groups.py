"""Calls that share one commit: one that fails or is cancelled leaves the others alone."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager

from drill import (
    Drill,
    add_pair,
    load,
    milliseconds,
    randomness,
    rows_by_key,
    silence,
    timed,
    torn,
    until,
    write_unit,
)
from processes import Workers
from workers import lock_once

from cw_store import AlreadyExistsError, LogChunk, Store, StoreError


@asynccontextmanager
async def turn_taken(store: Store) -> AsyncGenerator[None]:
    """Hold the writer's turn, so that the calls made meanwhile gather behind it."""
    async with store.unit_of_work(label="holder") as uow:
        await uow.initiatives.create(name="holder")
        yield


def call(store: Store, key: str, id: str) -> asyncio.Task[LogChunk]:
    async def create() -> LogChunk:
        return await store.log_chunks.create(
            id=id, agent_id=key, agent_name="drill", session_number=1, content="{}"
        )

    return asyncio.ensure_future(create())


def pair(store: Store, key: str) -> asyncio.Task[list[LogChunk]]:
    async def create() -> list[LogChunk]:
        row = {"agent_id": key, "agent_name": "drill", "content": "{}"}
        rows = [{**row, "session_number": 1}, {**row, "session_number": 2}]
        return await store.log_chunks.insert_chunks(rows)  # pyright: ignore[reportArgumentType]

    return asyncio.ensure_future(create())


async def test_failing_and_cancelled_calls_in_a_group_disturb_no_other(
    url: str, drill: Drill
) -> None:
    chance = randomness()
    answered = failed = cancelled = 0
    async with Store(url) as store:
        await call(store, "taken", "taken")
        for number in range(drill.amount(8, 200)):
            async with silence(f"round {number}"):
                async with turn_taken(store):
                    singles = {f"single {number}/{n}": n for n in range(30)}
                    good = {
                        key: call(store, key, "taken" if n % 7 == 3 else key)
                        for key, n in singles.items()
                    }
                    pairs = {key: pair(store, key) for key in (f"pair {number}/{n}" for n in "abc")}
                    calls: list[asyncio.Task[object]] = [*good.values(), *pairs.values()]  # pyright: ignore
                    for _ in range(chance.randrange(4)):
                        await asyncio.sleep(0)
                    for one in chance.sample(calls, 5):
                        one.cancel()
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                for one in chance.sample(calls, 5):
                    one.cancel()
                await asyncio.wait(calls)
            await write_unit(store, f"next {number}")
            rows = await rows_by_key(store)
            for key, task in good.items():
                if task.cancelled():
                    cancelled += 1
                elif task.exception() is None:
                    answered += 1
                    assert rows.get(key) == 1, "answered, and not there"
                else:
                    failed += 1
                    assert isinstance(task.exception(), AlreadyExistsError)
                    assert singles[key] % 7 == 3 and key not in rows
            for key, task in pairs.items():
                assert rows.get(key) == 2 or (task.cancelled() and key not in rows), "torn"
            await until(lambda: store.connections_in_use == 0, 1, "a connection is held")
    drill.held(f"{answered} answered and stored, {failed} refused, {cancelled} cancelled")


async def test_a_writer_cancelled_in_the_moment_its_turn_comes_passes_it_on(
    url: str, drill: Drill
) -> None:
    rounds = drill.amount(5, 200)
    slowest = 0.0
    loop = asyncio.get_running_loop()
    async with Store(url) as store:
        for number in range(rounds):
            async with turn_taken(store):
                waiting = [
                    asyncio.ensure_future(write_unit(store, f"{number}/{n}")) for n in range(100)
                ]
                for _ in range(5):
                    await asyncio.sleep(0)

                def cancel_next(waiting: list[asyncio.Task[None]] = waiting) -> None:
                    # One in each iteration of the loop, the first in the queue each time: one of
                    # them in the very iteration in which the holder's end passes the turn on.
                    first = next((task for task in waiting if not task.done()), None)
                    if first is not None:
                        first.cancel()
                        loop.call_soon(cancel_next)

                loop.call_soon(cancel_next)
            await asyncio.wait(waiting, timeout=5)
            assert all(task.done() for task in waiting), "the turn is lost"
            async with asyncio.timeout(5):
                slowest = max(slowest, await timed(write_unit(store, f"next {number}")))
            assert slowest < 1, load()
        assert torn(await rows_by_key(store)) == []
        assert store.connections_in_use == 0
    drill.held(f"{rounds} times; next write ≤ {milliseconds(slowest)}")


async def test_closing_answers_everybody_who_waits_for_another_programs_lock(
    url: str, drill: Drill, workers: Workers
) -> None:
    answered = 0
    for number in range(drill.amount(2, 10)):
        async with Store(url) as store:
            await add_pair(store, f"first {number}")
            locker = workers.start(lock_once, url, 20)
            await asyncio.to_thread(locker.receive)

            async def unit(store: Store = store, number: int = number) -> None:
                await write_unit(store, f"unit {number}")

            async def delete(store: Store = store) -> int:
                return await store.log_chunks.delete_by_agent_id("nobody")

            work: dict[str, Awaitable[object]] = {
                f"call {number}": call(store, f"call {number}", f"{number}"),
                f"pair {number}": pair(store, f"pair {number}"),
                f"unit {number}": asyncio.ensure_future(unit()),
                "": asyncio.ensure_future(delete()),
            }
            done, _ = await asyncio.wait(
                [asyncio.ensure_future(one) for one in work.values()], timeout=0.1
            )
            assert not done
            async with silence("close"):
                closing = asyncio.ensure_future(store.close())
                await asyncio.wait([closing], timeout=0.2)
                locker.tell("let go")
                async with asyncio.timeout(5):
                    await closing
                    outcomes = await asyncio.gather(*work.values(), return_exceptions=True)
            await asyncio.to_thread(locker.ended)
        async with Store(url) as store:
            rows = await rows_by_key(store)
            for key, outcome in zip(work, outcomes, strict=True):
                answered += 1
                if isinstance(outcome, BaseException):
                    assert isinstance(outcome, StoreError), repr(outcome)
                elif key:
                    assert key in rows, f"{key}: answered as if stored, and not there"
                else:
                    assert outcome == 0
    drill.held(f"{answered} waiting calls: each stored or told that the store was closed")
