"""How values are written: exactly for programs, briefly for people."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

import pytest

from cw_store.cli.cells import as_json, as_time, brief, exact, how_long

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Record:
    id: str
    at: datetime
    parts: tuple[int, ...]
    secret: str = field(repr=False)


def test_a_record_is_written_without_what_its_repr_leaves_out() -> None:
    record = Record("a", NOW, (1, 2), "password")
    assert as_json([record]) == [{"id": "a", "at": "2026-01-15T12:00:00.000000Z", "parts": [1, 2]}]


def test_times_are_written_in_utc_to_the_microsecond() -> None:
    there = datetime(2026, 1, 15, 14, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    assert as_time(there) == "2026-01-15T12:00:00.000005Z"


@pytest.mark.parametrize(
    ("value", "written"),
    [(None, ""), (True, "true"), (3, "3"), ("a\tb", r"a\tb"), ({"a": [1]}, '{"a":[1]}')],
)
def test_a_field_of_a_line_is_exact(value: object, written: str) -> None:
    assert exact(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (False, "no"),
        (None, ""),
        (NOW - timedelta(minutes=5), "5 min ago"),
        (NOW + timedelta(hours=2), "in 2 h"),
        (NOW, "now"),
        (timedelta(seconds=61), "1 min"),
    ],
)
def test_for_a_person_it_is_brief(value: object, written: str) -> None:
    assert brief(value, NOW) == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (3599, "59 min"),
        (3600, "1 h"),
        (172_799, "47 h"),
        (172_800, "2 d"),
    ],
)
def test_a_length_is_told_in_its_largest_unit(seconds: int, written: str) -> None:
    assert how_long(timedelta(seconds=seconds)) == written
