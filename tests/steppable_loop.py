"""An event loop whose time a test can move on: whoever waits for an hour is woken at once."""

import asyncio


class SteppableLoop(asyncio.SelectorEventLoop):
    """A loop whose clock goes on as usual, and jumps when it is told to.

    What moves is `time()`, by which the loop's timers go. What threads and other processes wait
    for takes as long as ever.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ahead = 0.0
        self._held: float | None = None

    def time(self) -> float:
        """Return the usual time, or that of `hold`, and what was added to it."""
        return (super().time() if self._held is None else self._held) + self._ahead

    def hold(self) -> None:
        """Let no time pass any more but by `advance`, however long anything takes."""
        self._held = super().time()

    def go_on(self) -> None:
        """Let time pass by itself again, from where it was held."""
        if self._held is not None:
            self._ahead += self._held - super().time()
            self._held = None

    def advance(self, seconds: float) -> None:
        """Let so many seconds have passed; timers that are due run in the next round."""
        self._ahead += seconds
