"""The store's time: a clock's reading, and stamps that always move on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from cw_store.types import MICROSECOND

Reading = Callable[[], datetime]


utc_now: Reading = partial(datetime.now, UTC)
"""Returns the system's time in UTC."""


class StrictClock:
    """Stamps that strictly increase although the clock may stand still or step back."""

    def __init__(self, reading: Reading = utc_now) -> None:
        self._reading = reading
        self._last = datetime.min.replace(tzinfo=UTC)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the clock's reading, in UTC."""
        reading = self._reading()
        return reading if reading.tzinfo is UTC else reading.astimezone(UTC)

    def stamp(self) -> datetime:
        """Return the reading, or a microsecond after the last stamp if that is later."""
        with self._lock:
            stamp = self._reading()
            if stamp <= self._last:
                stamp = self._last + MICROSECOND
            self._last = stamp
            return stamp

    def now_and_stamp(self) -> tuple[datetime, datetime]:
        """Return what `now` and `stamp` do, from one reading."""
        with self._lock:
            now = stamp = self._reading()
            if stamp <= self._last:
                stamp = self._last + MICROSECOND
            self._last = stamp
        return (now if now.tzinfo is UTC else now.astimezone(UTC)), stamp


SYSTEM_CLOCK = StrictClock()
"""One for the process, so that rows written through any of its stores are in order."""
