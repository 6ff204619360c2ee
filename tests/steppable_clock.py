"""Clocks that stand still until a test moves them."""

import time
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)


class SteppableClock:
    """What a test passes as `Store(clock=...)`; it may stand still, jump and step back."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> datetime:
        """Move on, or back when negative; return the new time."""
        self.now += timedelta(seconds=seconds)
        return self.now

    def set(self, now: datetime) -> None:
        """Jump to this time."""
        self.now = now

    def after(self, seconds: float) -> datetime:
        """Return the time so many seconds from now, without moving."""
        return self.now + timedelta(seconds=seconds)


class TickingClock:
    """Seconds, of which `step` go by whenever somebody asks; so every work takes that long."""

    def __init__(self, step: float = 0.0) -> None:
        self.step = step
        self._now = 0.0

    def __call__(self) -> float:
        self._now += self.step
        return self._now


class Nanoseconds:
    """The machine's clock as it was, and a microsecond later whenever somebody asks.

    By it nobody who waits in a queue between processes is ever too late to show that it lives.
    """

    def __init__(self) -> None:
        self._now = time.monotonic_ns()

    def __call__(self) -> int:
        self._now += 1_000
        return self._now
