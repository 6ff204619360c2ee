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

    def time(self) -> float:
        """Return the usual time and what was added to it."""
        return super().time() + self._ahead

    def advance(self, seconds: float) -> None:
        """Let so many seconds have passed; timers that are due run in the next round."""
        self._ahead += seconds
