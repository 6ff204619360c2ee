"""Savepoints of a unit of work, and who waits for their end, on every database alike."""

import asyncio

import pytest

from cw_store import (
    Store,
    UnitOfWorkError,
)
from waits import until_idle


class Failure(Exception):
    """What a test raises inside a block."""


async def names(store: Store) -> list[str]:
    """What another unit of work, begun now, sees."""
    async with store.unit_of_work(read_only=True) as uow:
        return [initiative.name for initiative in await uow.initiatives.find_all()]


async def test_a_savepoint_undoes_only_its_own_part(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="before")
        with pytest.raises(Failure):
            async with uow.savepoint():
                await uow.initiatives.create(name="within")
                raise Failure
        await uow.initiatives.create(name="after")
    assert await names(store) == ["before", "after"]


async def test_a_savepoint_that_ends_well_is_kept(store: Store) -> None:
    async with store.unit_of_work() as uow:
        async with uow.savepoint():
            await uow.initiatives.create(name="within")
    assert await names(store) == ["within"]


async def test_savepoints_nest(store: Store) -> None:
    async with store.unit_of_work() as uow:
        async with uow.savepoint():
            await uow.initiatives.create(name="outer")
            with pytest.raises(Failure):
                async with uow.savepoint():
                    async with uow.savepoint():
                        await uow.initiatives.create(name="innermost")
                    raise Failure
            async with uow.savepoint():
                await uow.initiatives.create(name="second")
    assert await names(store) == ["outer", "second"]


async def test_an_outer_savepoint_undoes_the_inner_ones(store: Store) -> None:
    async with store.unit_of_work() as uow:
        with pytest.raises(Failure):
            async with uow.savepoint():
                async with uow.savepoint():
                    await uow.initiatives.create(name="inner")
                raise Failure
    assert uow.committed is True
    assert await names(store) == []


async def test_a_savepoint_undoes_nothing_that_another_task_did(store: Store) -> None:
    async with store.unit_of_work() as uow:
        set_it, may_fail = asyncio.Event(), asyncio.Event()

        async def fail() -> None:
            with pytest.raises(Failure):
                async with uow.savepoint():
                    await uow.initiatives.create(name="undone")
                    set_it.set()
                    await may_fail.wait()
                    # Tasks begun inside belong to the savepoint, and do not wait for its end.
                    async with asyncio.timeout(10):
                        await asyncio.gather(
                            *(uow.initiatives.create(name="undone") for _ in range(3))
                        )
                    raise Failure

        async def create() -> None:
            await set_it.wait()
            await uow.initiatives.create(name="kept")

        async def create_in_a_savepoint() -> None:
            await set_it.wait()
            async with uow.savepoint():
                await uow.initiatives.create(name="kept too")

        tasks = [asyncio.create_task(one()) for one in (fail, create, create_in_a_savepoint)]
        await set_it.wait()
        await until_idle()
        may_fail.set()
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks)
    assert sorted(await names(store)) == ["kept", "kept too"]


async def test_who_waits_for_a_savepoint_that_outlives_the_unit_is_told(store: Store) -> None:
    set_it, may_end = asyncio.Event(), asyncio.Event()

    async def linger() -> None:
        async with uow.savepoint():
            set_it.set()
            await may_end.wait()

    async with store.unit_of_work() as uow:
        lingering = asyncio.create_task(linger())
        await set_it.wait()
        waiting = asyncio.create_task(uow.initiatives.create(name="late"))
        await until_idle()
    may_end.set()
    async with asyncio.timeout(10):
        await asyncio.wait([lingering, waiting])
    assert isinstance(lingering.exception(), UnitOfWorkError)
    assert isinstance(waiting.exception(), UnitOfWorkError)
    assert await names(store) == []


async def test_commit_and_rollback_wait_for_the_end_of_savepoints(store: Store) -> None:
    async with store.unit_of_work() as uow:
        async with uow.savepoint():
            await uow.initiatives.create(name="within")
            for whole in (uow.commit, uow.rollback):
                with pytest.raises(UnitOfWorkError, match="savepoints first"):
                    await whole()
        await uow.commit()
    assert await names(store) == ["within"]


async def test_a_cancelled_savepoint_is_undone(store: Store) -> None:
    within = asyncio.Event()
    cancelled = False

    async def work() -> None:
        nonlocal cancelled
        async with store.unit_of_work() as uow:
            await uow.initiatives.create(name="before")
            try:
                async with uow.savepoint():
                    await uow.initiatives.create(name="within")
                    within.set()
                    await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled = True
            await uow.initiatives.create(name="after")

    task = asyncio.create_task(work())
    await within.wait()
    task.cancel()
    await task
    assert cancelled
    assert await names(store) == ["before", "after"]


async def test_a_second_call_does_not_slip_into_a_savepoint_that_was_waiting_for_the_first(
    store: Store,
) -> None:
    async with store.unit_of_work() as uow:

        async def two() -> None:
            await uow.initiatives.create(name="first")
            await uow.initiatives.create(name="second")

        async def undone() -> None:
            with pytest.raises(ZeroDivisionError):
                async with uow.savepoint():
                    await uow.initiatives.create(name="undone")
                    raise ZeroDivisionError

        await asyncio.gather(two(), undone())
    names = [initiative.name for initiative in await store.initiatives.find_all()]
    assert names == ["first", "second"]
