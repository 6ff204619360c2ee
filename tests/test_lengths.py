"""Lengths of time and times, as people type them."""

from datetime import UTC, datetime, timedelta

import pytest

from cw_store.lengths import NoTimeError, length_of, time_of

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("typed", "length"),
    [
        ("90s", timedelta(seconds=90)),
        ("10m", timedelta(minutes=10)),
        ("10 min", timedelta(minutes=10)),
        ("1.5h", timedelta(minutes=90)),
        ("30D", timedelta(days=30)),
        ("2w", timedelta(weeks=2)),
        ("500ms", timedelta(seconds=0.5)),
    ],
)
def test_a_length_has_a_number_and_a_unit(typed: str, length: timedelta) -> None:
    assert length_of(typed) == length


@pytest.mark.parametrize(
    "typed",
    ["", "10", "m", "-1h", "1y", "1h30m", "\N{ARABIC-INDIC DIGIT ONE}h", "999999999w", "nan"],
)
def test_what_is_no_length_is_told_what_one_is_like(typed: str) -> None:
    with pytest.raises(NoTimeError, match=r"90s, 10m|longer than"):
        length_of(typed)


@pytest.mark.parametrize(
    ("typed", "time"),
    [
        ("2h", NOW + timedelta(hours=2)),
        ("2026-02-01", datetime(2026, 2, 1, tzinfo=UTC)),
        ("2026-02-01T09:30", datetime(2026, 2, 1, 9, 30, tzinfo=UTC)),
        ("2026-02-01T09:30+02:00", datetime(2026, 2, 1, 7, 30, tzinfo=UTC)),
        ("2026-02-01T09:30Z", datetime(2026, 2, 1, 9, 30, tzinfo=UTC)),
    ],
)
def test_a_time_is_a_date_or_so_far_from_now(typed: str, time: datetime) -> None:
    assert time_of(typed, NOW) == time


@pytest.mark.parametrize("typed", ["", "tomorrow", "2026-13-01", "999999w", "999999999d"])
def test_what_is_no_time_is_told_what_one_is_like(typed: str) -> None:
    with pytest.raises(NoTimeError, match="a time is like"):
        time_of(typed, NOW)
