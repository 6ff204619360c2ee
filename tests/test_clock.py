"""Stamps that always move on."""

import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest

from cw_store import Store
from cw_store.clock import SYSTEM_CLOCK, StrictClock, utc_now
from steppable_clock import SteppableClock

MICROSECOND = timedelta(microseconds=1)


def test_a_stamp_is_the_clocks_reading() -> None:
    reading = SteppableClock()
    clock = StrictClock(reading)
    assert clock.stamp() == reading.now
    assert clock.stamp() == clock.now() + MICROSECOND
    reading.advance(5)
    assert clock.stamp() == reading.now


def test_stamps_move_on_while_the_clock_stands_still() -> None:
    reading = SteppableClock()
    clock = StrictClock(reading)
    stamps = [clock.stamp() for _ in range(5)]
    assert stamps == [reading.now + number * MICROSECOND for number in range(5)]


def test_stamps_move_on_while_the_clock_steps_back() -> None:
    reading = SteppableClock()
    clock = StrictClock(reading)
    first = clock.stamp()
    reading.advance(-3600)
    assert clock.stamp() == first + MICROSECOND
    assert clock.now() == reading.now
    reading.advance(3600)
    reading.advance(1)
    assert clock.stamp() == reading.now


def test_a_reading_and_its_stamp_may_be_had_together() -> None:
    reading = SteppableClock()
    clock = StrictClock(reading)
    assert clock.now_and_stamp() == (reading.now, reading.now)
    assert clock.now_and_stamp() == (reading.now, reading.now + MICROSECOND)
    assert clock.stamp() == reading.now + 2 * MICROSECOND
    eastern = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    now, _ = StrictClock(lambda: eastern).now_and_stamp()
    assert now.tzinfo is UTC


async def test_rows_are_stamped_in_utc_whatever_the_clocks_zone() -> None:
    eastern = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert StrictClock(lambda: eastern).now().tzinfo is UTC
    async with Store(":memory:", clock=lambda: eastern) as store:
        initiative = await store.initiatives.create(name="a")
        (task,) = await store.tasks.create_many([{"name": "a"}])
        for stamp in (initiative.created_at, task.created_at, task.updated_at):
            assert stamp - eastern < timedelta(seconds=1)
            assert stamp.tzinfo is UTC


def test_stamps_of_several_threads_are_all_different() -> None:
    clock = StrictClock(SteppableClock())
    stamps: list[datetime] = []

    def stamp() -> None:
        stamps.extend(clock.stamp() for _ in range(2000))

    threads = [threading.Thread(target=stamp) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(stamps)) == 8000


def test_the_systems_clock_is_aware_and_in_utc() -> None:
    before = datetime.now(UTC)
    assert before <= utc_now() <= datetime.now(UTC)
    assert utc_now().tzinfo is UTC
    assert SYSTEM_CLOCK.stamp() < SYSTEM_CLOCK.stamp()


async def test_rows_are_in_the_order_of_their_creation_while_the_clock_steps_back(
    store: Store, clock: SteppableClock
) -> None:
    created = [await store.initiatives.create(name="first")]
    for step in (0, -60, 30, -3600):
        clock.advance(step)
        created.append(await store.initiatives.create(name=f"{step}"))
    assert await store.initiatives.find_all() == created
    assert len({one.created_at for one in created}) == len(created)


async def test_an_update_is_later_than_what_it_changes(store: Store, clock: SteppableClock) -> None:
    created = await store.initiatives.create(name="a")
    clock.advance(-60)
    updated = await store.initiatives.update(created.id, name="b")
    assert updated.updated_at > created.updated_at
    assert updated.created_at == created.created_at


async def test_two_stores_of_one_process_stamp_in_one_order(database: str) -> None:
    async with Store(database) as one, Store(":memory:") as other:
        stamps: list[datetime] = []
        for _ in range(20):
            stamps.append((await one.initiatives.create(name="a")).created_at)
            stamps.append((await other.initiatives.create(name="b")).created_at)
    assert stamps == sorted(set(stamps))


async def test_a_clock_without_a_zone_is_refused() -> None:
    def naive() -> datetime:
        return datetime(2026, 1, 1)

    async with Store(":memory:", clock=naive) as store:
        with pytest.raises((ValueError, TypeError)):
            await store.initiatives.create(name="a")
        assert await store.initiatives.find_all() == []
