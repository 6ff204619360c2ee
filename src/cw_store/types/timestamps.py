"""Times: a store's own, which both databases can keep, how microseconds since 1970 become one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from cw_store.errors import InvalidValueError, StoreError
from cw_store.types.rules import Refused, Unreadable

Reading = Callable[[], datetime]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
TIMESTAMPS_KEPT = 4096
# asyncpg takes the very first and the very last datetime for infinity, and the rotation of
# accounts stamps a microsecond after the latest use.
EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
TOO_LATE = datetime(9999, 12, 31, tzinfo=UTC)
EARLIEST_DAY = (EARLIEST - EPOCH).days
TOO_LATE_DAY = (TOO_LATE - EPOCH).days
OUT_OF_RANGE = "is not from 0001-01-02 to 9999-12-30 in UTC"


def microseconds_of(value: Any) -> int:
    """Return a time in microseconds since 1970; raises `Refused` for what is none."""
    if type(value) is not datetime or value.tzinfo is not UTC:
        value = in_utc(value)
    since = value - EPOCH
    if not EARLIEST_DAY <= since.days < TOO_LATE_DAY:
        raise Refused(OUT_OF_RANGE)
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


def timestamp_of(microseconds: int) -> datetime:
    """Return the time so many microseconds after 1970, which is known to be in range."""
    return EPOCH + timedelta(microseconds=microseconds)


def finite(timestamp: Any) -> Any:
    """Return a time as asyncpg gives it, which is in UTC but for infinity; raises `Unreadable`."""
    if timestamp is None or timestamp.tzinfo is UTC:
        return timestamp
    raise Unreadable("it is infinity")


def in_utc(value: object) -> datetime:
    """Return the same time in UTC; raises `Refused` for what is none, is naive or out of range."""
    if not isinstance(value, datetime):
        raise Refused(f"takes a datetime, not {type(value).__name__}")
    if value.tzinfo is not UTC:
        if value.tzinfo is None or value.utcoffset() is None:
            raise Refused("takes a datetime with a time zone, not a naive one")
        try:
            value = value.astimezone(UTC)
        except OverflowError:
            raise Refused(OUT_OF_RANGE) from None
    if type(value) is not datetime or value.fold:
        value = _plain_datetime(value)
    if not EARLIEST <= value < TOO_LATE:
        raise Refused(OUT_OF_RANGE)
    return value


def _plain_datetime(value: datetime) -> datetime:
    """Return the same time as what a read gives: no subclass, and no `fold`."""
    date = (value.year, value.month, value.day)
    return datetime(*date, value.hour, value.minute, value.second, value.microsecond, UTC)


class _Timestamps(dict[object, datetime | None]):
    """The times that were read, by their microseconds, until there are too many.

    The same rows are read again and again, and most rows have the same time twice. To forget all
    at once costs a write less than to forget the oldest, which has left the processor's cache.
    """

    def __missing__(self, microseconds: object) -> datetime | None:
        if microseconds is None:
            return None
        if len(self) >= TIMESTAMPS_KEPT:
            self.clear()
        if not isinstance(microseconds, int):
            kind = type(microseconds).__name__
            raise Unreadable(f"it is a {kind} and no integer of microseconds")
        try:
            timestamp = self[microseconds] = EPOCH + microseconds * MICROSECOND
        except OverflowError:
            raise Unreadable("it is no time from the year 1 to 9999") from None
        return timestamp


read_microseconds = _Timestamps().__getitem__
"""Return the time so many microseconds after 1970; of None, None; raises `Unreadable`."""


class StrictClock:
    """One store's time, in microseconds since 1970, from any thread.

    A stamp is a reading, or a microsecond after the last stamp if that is later, so stamps strictly
    increase although the clock may stand still or step back.
    """

    def __init__(self, reading: Reading | None = None) -> None:
        """Take a clock of the application's, or the system's.

        Raises InvalidValueError when it gives no aware datetime, StoreError when it raises.
        """
        if reading is not None:
            if not callable(reading):
                kind = type(reading).__name__
                reason = f"takes a function that gives an aware datetime, not {kind}"
                raise InvalidValueError("Store", "clock", reading, reason)
            now = _reading_of(reading)
            try:
                microseconds_of(now)
            except Refused as refused:
                raise InvalidValueError("Store", "clock", now, str(refused)) from None
        self.is_given = reading is not None
        """Whether it is the application's, and not the system's."""
        self._read = time.time_ns if reading is None else partial(_nanoseconds_by, reading)
        self._last = microseconds_of(EARLIEST)
        self._lock = threading.Lock()

    def microseconds(self) -> int:
        """Return the clock's reading; raises StoreError when it fails."""
        return self._read() // 1000

    def set_times(
        self, readings: Sequence[int], stamps: Sequence[int], parameters: list[Any]
    ) -> None:
        """Put the clock's reading into these places of a list, and the next stamp into those.

        One reading is for both. Raises StoreError when the clock fails.
        """
        with self._lock:
            now = stamp = self._read() // 1000
            if stamps:
                if stamp <= self._last:
                    stamp = self._last + 1
                self._last = stamp
        for place in readings:
            parameters[place] = now
        for place in stamps:
            parameters[place] = stamp


def _nanoseconds_by(reading: Reading) -> int:
    now = _reading_of(reading)
    try:
        return microseconds_of(now) * 1000
    except Refused as refused:
        raise StoreError(
            f"the clock of the store gave what {refused}; nothing was written"
        ) from refused


def _reading_of(reading: Reading) -> object:
    try:
        return reading()
    except Exception as error:
        raise StoreError("the clock of the store failed; nothing was written") from error
