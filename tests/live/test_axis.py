"""The axis of a timeline: ticks that people count in, and lengths of time."""

from datetime import UTC, datetime, timedelta

import pytest

from cw_store.live.drawings.axis import briefly, how_long, ticks

BEGIN = datetime(2026, 1, 15, 6, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("length", "told"),
    [
        (timedelta(hours=5), ["07:00", "08:00", "09:00", "10:00", "11:00"]),
        (timedelta(minutes=9), ["06:08", "06:10", "06:12", "06:14", "06:16"]),
        (timedelta(seconds=12), [f"06:08:{second:02}" for second in range(0, 13, 2)]),
        (timedelta(days=5), ["16 Jan", "17 Jan", "18 Jan", "19 Jan", "20 Jan"]),
        (timedelta(days=40), ["19 Jan", "26 Jan", "2 Feb", "9 Feb", "16 Feb", "23 Feb"]),
    ],
)
def test_ticks_are_at_times_that_people_count_in(length: timedelta, told: list[str]) -> None:
    assert [tick.told for tick in ticks(BEGIN, BEGIN + length, 6)] == told


def test_the_date_stands_where_another_day_begins() -> None:
    found = list(ticks(BEGIN, BEGIN + timedelta(days=1, hours=12), 8))
    assert [tick.date for tick in found if tick.date] == ["15 Jan", "16 Jan"]
    assert found[-1].told == "18:00"


@pytest.mark.parametrize("days", [0.0001, 0.01, 0.5, 3, 30, 400, 40_000])
def test_there_are_never_many_more_than_fit(days: float) -> None:
    found = list(ticks(BEGIN, BEGIN + timedelta(days=days), 10))
    assert len(found) <= 11 or days == 40_000


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s"),
        (8, "8 s"),
        (68, "1 min 8 s"),
        (2_460, "41 min"),
        (5_520, "1 h 32 min"),
        (183_600, "2 d 3 h"),
        (86_401, "1 d"),
    ],
)
def test_a_length_of_time_is_told_in_two_units(seconds: int, told: str) -> None:
    assert how_long(timedelta(seconds=seconds)) == told


def test_a_time_of_another_day_is_told_by_its_day() -> None:
    assert briefly(BEGIN, BEGIN) == "06:08"
    assert briefly(BEGIN + timedelta(days=1), BEGIN) == "16 Jan"
