"""What a unit of work says of its outcome when its end is disturbed, on every database alike."""

import asyncio
import gc
import logging
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

import pytest
import sqlalchemy as sa

from cw_store import Store, StoreBusyError, StoreClosedError, UnitOfWork, UnitOfWorkError
from cw_store.testing.stores import all_given_back


async def is_ended_after(waits: int, coroutine: Coroutine[Any, Any, None]) -> bool:
    """Drive a coroutine into so many waits and close it in the last, as if its loop were gone."""
    for left in reversed(range(waits)):
        try:
            future: Any = coroutine.send(None)
        except StopIteration:
            return True
        if left:
            await _done(future)
    coroutine.close()
    return False


async def _done(future: Any) -> None:
    if future is None:
        await asyncio.sleep(0)
        return
    woken = asyncio.Event()

    def wake(_: object) -> None:
        woken.set()

    future._asyncio_future_blocking = False  # as a task does before it waits
    future.add_done_callback(wake)
    await woken.wait()


@pytest.mark.parametrize("with_session", [False, True])
async def test_a_unit_that_is_torn_out_at_any_await_tells_no_lie_and_holds_nothing(
    store: Store, with_session: bool
) -> None:
    outcomes: set[bool | None] = set()
    for waits in range(1, 100):
        uow, id = store.unit_of_work(), f"in wait {waits}"

        async def work(uow: UnitOfWork = uow, id: str = id) -> None:
            async with uow:
                if with_session:
                    await uow.session.execute(sa.text("SELECT 1"))
                await uow.initiatives.create(id=id, name="x")

        has_ended = await is_ended_after(waits, work())
        await store.initiatives.create(name="behind it")  # which on SQLite stands behind its end
        await all_given_back(store)
        stored = await store.initiatives.find_by_id(id) is not None
        assert uow.committed in (None, stored)
        outcomes.add(uow.committed)
        if has_ended:
            break
    assert outcomes >= {False, True}


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_generator_that_is_closed_in_the_block_gives_everything_back(
    store: Store, read_only: bool
) -> None:
    uow = store.unit_of_work(read_only=read_only)

    async def generator() -> AsyncGenerator[int]:
        async with uow:
            await uow.initiatives.find_all()
            await uow.session.execute(sa.text("SELECT 1"))
            yield 1

    running = generator()
    await anext(running)
    await running.aclose()
    assert uow.committed is False
    assert store.connections_in_use == 0
    await store.initiatives.create(name="next")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_what_ends_the_program_passes_a_block_as_itself(
    store: Store, kind: type[BaseException]
) -> None:
    uow = store.unit_of_work()

    async def work() -> None:
        async with uow:
            await uow.initiatives.create(name="lost")
            raise kind

    with pytest.raises(kind):
        await is_ended_after(100, work())
    assert uow.committed is False
    assert await store.initiatives.find_all() == []


# Forgotten units.


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_unit_that_is_dropped_without_its_end_gives_back_what_it_held(
    store: Store, read_only: bool, caplog: pytest.LogCaptureFixture
) -> None:
    uow = await store.unit_of_work(read_only=read_only, label="lost").__aenter__()
    await uow.initiatives.find_all()
    if not read_only:
        await uow.initiatives.create(name="lost")
    with caplog.at_level(logging.WARNING, logger="cw_store"):
        del uow
        gc.collect()
        await asyncio.sleep(0)
    assert store.connections_in_use == 0
    assert "'lost' was dropped without its end" in caplog.text
    await store.initiatives.create(name="next")
    assert [initiative.name for initiative in await store.initiatives.find_all()] == ["next"]


async def test_a_unit_of_which_only_a_repository_is_kept_goes_on(store: Store) -> None:
    uow = await store.unit_of_work().__aenter__()
    initiatives = uow.initiatives
    await initiatives.create(name="a")
    kept = [uow.__aexit__]
    del uow
    gc.collect()
    await initiatives.create(name="b")
    await kept[0](None, None, None)
    assert len(await store.initiatives.find_all()) == 2


# Savepoints that others hold.


@pytest.mark.store_settings(busy_timeout=0.5)
async def test_a_savepoint_and_a_task_that_wait_for_each_other_are_told_so(store: Store) -> None:
    async with asyncio.timeout(10), store.unit_of_work() as uow:
        begun = asyncio.Event()

        async def outside() -> None:
            await begun.wait()
            await uow.initiatives.create(name="outside")

        task = asyncio.create_task(outside())
        with pytest.raises(StoreBusyError, match="savepoint"):
            async with uow.savepoint():
                await uow.initiatives.create(name="undone")
                begun.set()
                await task
        await uow.initiatives.create(name="kept")
    assert [initiative.name for initiative in await store.initiatives.find_all()] == ["kept"]


# Mistakes.


@pytest.mark.parametrize("mistake", ["cw.db", 3, object()])
def test_what_is_no_store_is_named(mistake: Any) -> None:
    with pytest.raises(TypeError, match=r"async with Store\(\.\.\.\) as store"):
        UnitOfWork(mistake)


async def test_a_unit_is_no_store(store: Store) -> None:
    unit: Any = store.unit_of_work()
    with pytest.raises(TypeError, match="on an open store"):
        UnitOfWork(unit)


async def test_a_store_that_nobody_opened_says_how_to(database: str) -> None:
    with pytest.raises(StoreClosedError, match="async with"):
        await Store(database).initiatives.find_all()


async def test_a_unit_of_work_ends_once(store: Store) -> None:
    uow = store.unit_of_work()
    async with uow:
        await uow.initiatives.create(name="a")
    with pytest.raises(UnitOfWorkError, match="has ended"):
        await uow.__aexit__(None, None, None)
    assert uow.committed is True
