"""Clocks that move on whenever somebody looks."""

import time


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
