"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
"""What a new `SteppableClock` shows."""


class SteppableClock:
    """What a test passes as `Store(clock=...)`; it may stand still, jump and step back.

    A store makes each stamp later than the one before, even by a clock that stands still.
    """

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """Return the time that it shows."""
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

    def __repr__(self) -> str:
        """Show the time."""
        return f"SteppableClock({self.now.isoformat()})"
