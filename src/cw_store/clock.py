"""The store's time: a clock's reading, and stamps that always move on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial

from cw_store.errors import InvalidValueError, StoreError
from cw_store.types import EARLIEST, Refused, microseconds_of

Reading = Callable[[], datetime]


def _system() -> int:
    return time.time_ns() // 1000


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
        self._read = _system if reading is None else partial(_microseconds_by, reading)
        self._last = microseconds_of(EARLIEST)
        self._lock = threading.Lock()

    def now(self) -> int:
        """Return the clock's reading; raises StoreError when the clock fails."""
        return self._read()

    def stamp(self) -> int:
        """Return the next stamp; raises StoreError when the clock fails."""
        with self._lock:
            stamp = self._read()
            if stamp <= self._last:
                stamp = self._last + 1
            self._last = stamp
            return stamp

    def now_and_stamp(self) -> tuple[int, int]:
        """Return what `now` and `stamp` do, from one reading."""
        with self._lock:
            now = stamp = self._read()
            if stamp <= self._last:
                stamp = self._last + 1
            self._last = stamp
        return now, stamp


def _microseconds_by(reading: Reading) -> int:
    now = _reading_of(reading)
    try:
        return microseconds_of(now)
    except Refused as refused:
        raise StoreError(
            f"the clock of the store gave what {refused}; nothing was written"
        ) from refused


def _reading_of(reading: Reading) -> object:
    try:
        return reading()
    except Exception as error:
        raise StoreError("the clock of the store failed; nothing was written") from error
