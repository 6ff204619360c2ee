"""Stamps that always move on, given when a row is stored by the clock of its store."""

import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from cw_store import InvalidValueError, Store
from cw_store.testing import SteppableClock
from cw_store.types import EARLIEST, StrictClock, timestamp_of

MICROSECOND = timedelta(microseconds=1)
EASTERN = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))


def reading_of(clock: StrictClock) -> int:
    times = [0]
    clock.set_times([0], [], times)
    return times[0]


def stamp_of(clock: StrictClock) -> int:
    times = [0]
    clock.set_times([], [0], times)
    return times[0]


def test_a_stamp_is_the_clocks_reading() -> None:
    reading = SteppableClock()
    clock = StrictClock(reading)
    first = stamp_of(clock)
    assert timestamp_of(first) == reading.now == timestamp_of(reading_of(clock))
    assert stamp_of(clock) == first + 1
    reading.advance(5)
    assert timestamp_of(stamp_of(clock)) == reading.now


def test_stamps_move_on_while_the_clock_stands_still() -> None:
    clock = StrictClock(SteppableClock())
    stamps = [stamp_of(clock) for _ in range(5)]
    assert [stamp - stamps[0] for stamp in stamps] == [0, 1, 2, 3, 4]


def test_stamps_move_on_while_the_clock_steps_back() -> None:
    reading = SteppableClock()
    clock = StrictClock(reading)
    first = stamp_of(clock)
    reading.advance(-3600)
    assert stamp_of(clock) == first + 1
    assert timestamp_of(reading_of(clock)) == reading.now
    reading.advance(3601)
    assert timestamp_of(stamp_of(clock)) == reading.now


def test_a_reading_and_its_stamp_may_be_had_together() -> None:
    clock = StrictClock(SteppableClock())
    times: list[int | None] = [None] * 5
    clock.set_times([3], [0, 2], times)
    now = times[3]
    assert now is not None
    assert times == [now, None, now, now, None]
    clock.set_times([3], [0, 2], times)
    assert times == [now + 1, None, now + 1, now, None]
    assert stamp_of(clock) == now + 2


def test_a_reading_is_no_stamp() -> None:
    clock = StrictClock(SteppableClock())
    assert reading_of(clock) == reading_of(clock) == stamp_of(clock)


def test_the_first_stamps_may_be_the_earliest_times_there_are() -> None:
    clock = StrictClock(lambda: EARLIEST)
    assert timestamp_of(stamp_of(clock)) == EARLIEST + MICROSECOND


def test_stamps_of_several_threads_are_all_different() -> None:
    clock = StrictClock(SteppableClock())
    stamps: list[int] = []

    def stamp() -> None:
        stamps.extend(stamp_of(clock) for _ in range(2000))

    threads = [threading.Thread(target=stamp) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(stamps)) == 8000


def test_the_systems_clock_is_read_where_none_is_given() -> None:
    clock = StrictClock()
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    for microseconds in (reading_of(clock), stamp_of(clock)):
        assert before <= timestamp_of(microseconds) <= datetime.now(UTC) + timedelta(milliseconds=1)


async def test_rows_are_stamped_in_utc_whatever_the_clocks_zone() -> None:
    async with Store(":memory:", clock=lambda: EASTERN) as store:
        initiative = await store.initiatives.create(name="a")
        (task,) = await store.tasks.create_many([{"name": "a"}])
        for stamp in (initiative.created_at, task.created_at, task.updated_at):
            assert stamp - EASTERN < timedelta(seconds=1)
            assert stamp.tzinfo is UTC


async def test_a_clock_belongs_to_its_store() -> None:
    ahead = SteppableClock(datetime(2400, 1, 1, tzinfo=UTC))
    async with Store(":memory:", clock=ahead) as one, Store(":memory:") as other:
        await one.initiatives.create(name="in another century")
        made = await other.initiatives.create(name="now")
        assert abs(made.created_at - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (datetime(2026, 1, 1), "time zone"),
        (5, "takes a datetime, not int"),
        (None, "takes a datetime, not NoneType"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-02"),
    ],
)
def test_a_clock_that_gives_no_aware_datetime_is_refused_when_the_store_is_made(
    given: Any, told: str
) -> None:
    with pytest.raises(InvalidValueError, match=told) as raised:
        Store(":memory:", clock=lambda: given)
    error = raised.value
    assert (error.table, error.column, error.value) == ("Store", "clock", given)


def test_a_clock_that_is_no_function_is_refused_when_the_store_is_made() -> None:
    now: Any = datetime.now(UTC)
    with pytest.raises(InvalidValueError, match=r"takes a function .* not datetime"):
        Store(":memory:", clock=now)
