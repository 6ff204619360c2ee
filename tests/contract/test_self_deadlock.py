"""A task that writes beside the unit of work it is inside of would wait for itself."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cw_store import Store, StoreBusyError, UnitOfWorkError
from cw_store.self_deadlock import blocks
from waits import until_idle


async def create_in_unit(store: Store) -> None:
    async with store.unit_of_work() as inner:
        await inner.tasks.create(name="inner")


WRITES: dict[str, Callable[[Store], Awaitable[Any]]] = {
    "create": lambda store: store.tasks.create(name="beside"),
    "create_many": lambda store: store.tasks.create_many([{"name": "beside"}]),
    "update": lambda store: store.tasks.update("a", name="beside"),
    "compound": lambda store: store.tasks.create_dependency("a", "b"),
    "claim": lambda store: store.accounts.find_next_available(),
    "unit": create_in_unit,
    "run": lambda store: store.run(lambda inner: inner.tasks.create(name="beside")),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_a_write_beside_the_tasks_own_unit_is_an_error_soon(
    store: Store, write: Callable[[Store], Awaitable[Any]]
) -> None:
    async with asyncio.timeout(5):  # the default busy_timeout is longer
        async with store.unit_of_work() as uow:
            await uow.initiatives.create(name="a")
            with pytest.raises(UnitOfWorkError, match=r"uow\.…"):
                await write(store)
            assert store.connections_in_use == 1
            await uow.initiatives.create(name="goes on")
    assert uow.committed is True
    assert len(await store.initiatives.find_all()) == 2
    assert await store.tasks.find_by_status("pending") == []


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_a_write_beside_the_tasks_own_unit_can_be_given_up_before(
    store: Store, write: Callable[[Store], Awaitable[Any]]
) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="a")
        with pytest.raises(TimeoutError) as raised:
            async with asyncio.timeout(0.01):
                await write(store)
        assert not isinstance(raised.value, StoreBusyError)
        await uow.initiatives.create(name="goes on")
    assert uow.committed is True
    assert len(await store.initiatives.find_all()) == 2
    assert await store.tasks.find_by_status("pending") == []
    await store.tasks.create(name="after")


async def test_reading_beside_a_unit_is_allowed(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="a")
        assert await store.initiatives.find_all() == []
        async with store.unit_of_work(read_only=True) as other:
            assert await other.initiatives.find_all() == []


async def test_writing_beside_a_unit_that_holds_nothing_is_allowed(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await store.initiatives.create(name="before the first statement")
        await uow.initiatives.create(name="in the unit")
        await uow.commit()
        await store.initiatives.create(name="after the commit")
        await uow.initiatives.create(name="lost")
        await uow.rollback()
        await store.initiatives.create(name="after the rollback")
    async with store.unit_of_work(read_only=True) as reading:
        await reading.initiatives.find_all()
        await store.initiatives.create(name="beside one that reads")
    assert len(await store.initiatives.find_all()) == 5


async def test_a_unit_in_which_only_child_tasks_ran_is_waited_for(store: Store) -> None:
    async with store.unit_of_work() as uow:

        async def work() -> None:
            await uow.initiatives.create(name="of the child")

        await asyncio.create_task(work())
        beside = asyncio.create_task(uow.commit())
        await store.initiatives.create(name="beside")
        await beside


async def test_who_uses_a_unit_that_another_task_entered_and_left_behind_is_inside(
    store: Store,
) -> None:
    uow = store.unit_of_work()
    await asyncio.create_task(uow.__aenter__())  # as a fixture of a test does
    await uow.initiatives.create(name="a")
    with pytest.raises(UnitOfWorkError, match=r"uow\.…"):
        await store.initiatives.create(name="b")
    await asyncio.create_task(uow.__aexit__(None, None, None))
    assert uow.committed is True
    await store.initiatives.create(name="c")


async def test_after_a_unit_ended_its_task_writes(store: Store) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            async with store.unit_of_work() as uow:
                await uow.initiatives.create(name="lost")
                raise ZeroDivisionError
        await store.initiatives.create(name="kept")


async def test_a_task_does_not_keep_the_blocks_that_were_left_in_others(store: Store) -> None:
    for _ in range(3):
        uow = store.unit_of_work()
        await uow.__aenter__()
        await asyncio.create_task(uow.__aexit__(None, None, None))
    async with store.unit_of_work():
        assert len(blocks.get()) == 1
    assert blocks.get() == ()


async def test_a_store_does_not_keep_the_tasks_whose_units_have_ended(store: Store) -> None:
    async def write() -> None:
        async with store.unit_of_work() as uow:
            await uow.initiatives.create(name="kept")
        async with store.unit_of_work() as uow:
            await uow.initiatives.create(name="kept too")
            await uow.rollback()

    task = asyncio.create_task(write())
    await task
    left = weakref.ref(task)
    del task
    await until_idle()
    gc.collect()
    assert left() is None


@pytest.mark.usefixtures("writers_take_turns")
@pytest.mark.store_settings(busy_timeout=0.5)
async def test_a_child_task_of_the_block_waits_and_is_told_that_it_waits_for_the_block(
    store: Store,
) -> None:
    async with store.unit_of_work(label="outer") as uow:
        await uow.initiatives.create(name="a")
        for write in (store.tasks.create(name="beside"), create_in_unit(store)):
            with pytest.raises(StoreBusyError, match="the block that this was begun in") as raised:
                await asyncio.create_task(write)
            assert raised.value.holder is not None and raised.value.holder.label == "outer"


@pytest.mark.usefixtures("writers_take_turns")
@pytest.mark.store_settings(busy_timeout=0.5)
async def test_who_waits_for_another_block_is_not_told_so(store: Store) -> None:
    waits = asyncio.Event()

    async def outside() -> None:
        await waits.wait()
        await store.tasks.create(name="beside")

    task = asyncio.create_task(outside())
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="a")
        waits.set()
        with pytest.raises(StoreBusyError) as raised:
            await task
    assert "begun in" not in str(raised.value)
