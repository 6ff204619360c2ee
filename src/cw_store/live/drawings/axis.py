"""The axis of a timeline: where its ticks are, and how times and lengths of time are written."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

MINUTE, HOUR, DAY = 60, 3600, 86_400

STEPS = (
    *(1, 2, 5, 10, 15, 30),
    *(MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE),
    *(HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR),
    *(DAY, 2 * DAY, 7 * DAY, 14 * DAY, 28 * DAY, 91 * DAY, 364 * DAY),
)
"""Seconds from tick to tick: those that divide what people count in."""

MONDAY = datetime(1970, 1, 5, tzinfo=UTC)
"""What steps are counted from, so that days begin at midnight, and weeks with a Monday."""


class Tick(NamedTuple):
    """A time on the axis, how it is written, and the date where another day begins."""

    at: datetime
    told: str
    date: str


def ticks(start: datetime, end: datetime, most: int) -> Iterable[Tick]:
    """Give at most about so many ticks from one time to another; times are in UTC."""
    seconds = (end - start).total_seconds()
    step = next((each for each in STEPS if seconds / each <= most), STEPS[-1])
    number = -((MONDAY - start) // timedelta(seconds=step))
    day = None
    while (at := MONDAY + timedelta(seconds=step * number)) <= end:
        if at >= start:
            is_new = at.date() != day
            day = at.date()
            yield _tick(at, step, is_new=is_new)
        number += 1


def _tick(at: datetime, step: int, *, is_new: bool) -> Tick:
    date = f"{at.day} {at:%b}"
    if step >= DAY:
        return Tick(at, date, f"{at.year}" if is_new and (at.month, at.day) <= (1, 14) else "")
    told = f"{at:%H:%M:%S}" if step < MINUTE else f"{at:%H:%M}"
    return Tick(at, told, date if is_new else "")


def exact(time: datetime) -> str:
    """Return a time for people, to the second."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def briefly(time: datetime, now: datetime) -> str:
    """Return a time of this day, or else the day."""
    time, now = time.astimezone(UTC), now.astimezone(UTC)
    return f"{time:%H:%M}" if time.date() == now.date() else f"{time.day} {time:%b}"


def how_long(length: timedelta) -> str:
    """Return a length of time in its largest unit and the next: `2 d 3 h`, `41 min`, `8 s`."""
    left = int(length.total_seconds())
    counts: list[tuple[int, str]] = []
    for size, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (1, "s")):
        count, left = divmod(left, size)
        counts.append((count, unit))
    first = next((at for at, (count, _) in enumerate(counts) if count), len(counts) - 1)
    told = [f"{count} {unit}" for count, unit in counts[first : first + 2] if count]
    return " ".join(told) or "0 s"
