"""What a store counts, and the warning for a unit of work that holds its turn for long."""

import asyncio
import gc
import logging
import time
from collections.abc import AsyncGenerator

import pytest

from cw_store import NotFoundError, Store
from cw_store.stats import UnitStats
from cw_store.testing import cancelled_at_every_await
from databases import Fresh
from logs import told


async def a_tick() -> None:
    """Return when the loop's clock has moved, whose ticks are of a millisecond on uvloop."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() == began:  # noqa: ASYNC110 -- nothing tells of it
        await asyncio.sleep(0)


async def test_calls_are_counted(store: Store) -> None:
    before = store.stats().calls
    task = await store.tasks.create(name="one")
    await store.tasks.find_by_id(task.id)
    assert store.stats().calls - before == 2
    assert store.stats().calls_by_name == {}


async def test_units_are_counted_by_how_they_ended(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.tasks.create(name="one")
        await uow.tasks.create(name="two")
        await a_tick()
    with pytest.raises(ZeroDivisionError):
        async with store.unit_of_work() as uow:
            await uow.tasks.create(name="three")
            raise ZeroDivisionError
    async with store.unit_of_work(read_only=True) as uow:
        await uow.tasks.find_by_id("none")
    units = store.stats().units
    assert (units.committed, units.rolled_back, units.read) == (1, 1, 1)
    assert units.statements == 4
    assert units.held > 0


async def test_a_refused_statement_leaves_a_unit_counted_once(store: Store) -> None:
    with pytest.raises(NotFoundError):
        async with store.unit_of_work() as uow:
            await uow.tasks.update("none", name="one")
    units = store.stats().units
    assert (units.committed, units.rolled_back, units.in_doubt) == (0, 1, 0)


@pytest.mark.parametrize("read_only", [False, True])
async def test_wherever_a_unit_is_cancelled_its_seconds_are_those_that_went_by(
    store: Store, read_only: bool
) -> None:
    async def work() -> None:
        async with store.unit_of_work(read_only=read_only) as uow:
            await uow.tasks.find_all()

    begun, units = time.monotonic(), 0
    counted = store.stats().units
    async for _ in cancelled_at_every_await(work):
        units += 1
        counted = store.stats().units
        # A clock of milliseconds may count a little too much.
        assert 0 <= counted.waited + counted.held <= time.monotonic() - begun + 1
    assert counted.read + counted.committed + counted.rolled_back == units


async def test_a_unit_that_is_dropped_is_counted_as_that(store: Store) -> None:
    uow = store.unit_of_work()
    await uow.__aenter__()
    await uow.tasks.create(name="one")
    await a_tick()
    with told(logging.ERROR):
        del uow
        gc.collect()
        await asyncio.sleep(0)
    units = store.stats().units
    assert (units.dropped, units.committed, units.rolled_back) == (1, 0, 0)
    assert units.statements == 1
    assert units.held > 0


@pytest.fixture
async def file_store(new_file: Fresh) -> AsyncGenerator[Store]:
    async with Store(new_file()) as store:
        yield store


async def test_who_waits_for_a_turn_is_counted_with_the_seconds(file_store: Store) -> None:
    store = file_store
    before = store.stats().database
    is_held, may_go = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with store.unit_of_work() as uow:
            await uow.tasks.create(name="one")
            is_held.set()
            await may_go.wait()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(hold())
        await is_held.wait()
        waiting = [tasks.create_task(store.tasks.create(name=f"{n}")) for n in range(3)]
        await a_tick()
        assert not any(task.done() for task in waiting)
        may_go.set()
    after = store.stats().database
    assert after.waits - before.waits == 3
    assert after.waited > before.waited
    assert (after.groups, after.grouped_calls, after.largest_group) == (1, 3, 3)
    assert after.turns - before.turns == 2
    assert after.commits - before.commits == 2
    assert after.held > before.held


async def test_a_database_says_how_many_connections_there_are(store: Store) -> None:
    async with store.unit_of_work(read_only=True) as uow:
        await uow.tasks.find_by_id("none")
        database = store.stats().database
        assert 1 <= database.connections_in_use <= database.connections
        assert database.connections <= database.connections_limit
    assert store.stats().database.connections_in_use == 0


async def test_a_slow_unit_is_told_once_with_the_facts(database: str) -> None:
    async with Store(database, slow_unit=0) as store:
        with told(logging.WARNING) as records:
            async with store.unit_of_work(label="the slow one") as uow:
                await uow.tasks.create(name="one")
                await a_tick()
        (record,) = records
        facts = vars(record)
        assert facts["event"] == "unit_slow"
        assert (facts["label"], facts["statements"]) == ("the slow one", 1)
        task = asyncio.current_task()
        assert task is not None
        assert facts["task"] == task.get_name()
        assert facts["held"] > 0
        assert facts["waited"] >= 0
        assert "the slow one" in record.getMessage()
        assert store.stats().units.slow == 1


@pytest.mark.parametrize("slow_unit", [None, 3600.0])
async def test_a_unit_that_is_not_slow_is_not_told(database: str, slow_unit: float | None) -> None:
    async with Store(database, slow_unit=slow_unit) as store:
        with told(logging.WARNING) as records:
            async with store.unit_of_work() as uow:
                await uow.tasks.create(name="one")
            async with store.unit_of_work():
                pass
        assert not records
        assert store.stats().units == UnitStats(
            committed=2,
            statements=1,
            waited=store.stats().units.waited,
            held=store.stats().units.held,
        )


@pytest.mark.parametrize("slow_unit", [-1, "1", float("nan")])
def test_slow_unit_is_a_number_of_seconds_or_none(slow_unit: float) -> None:
    with pytest.raises((TypeError, ValueError), match="slow_unit"):
        Store("cw.db", slow_unit=slow_unit)
