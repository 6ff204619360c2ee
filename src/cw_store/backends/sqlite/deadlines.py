"""How long those in a queue wait: one timer for all of them.

All wait equally long, so whoever came first gives up first, and a timer for each
would cost more than most of the waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from cw_store.backends.thread.future import Waiter


class QueuedWaiter(Waiter[Any]):
    """One who waits in a queue, until it is served, gives up, or its deadline has passed."""

    __slots__ = ("deadline",)

    deadline: float
    """When it has waited long enough, in the loop's time; known once it waits."""

    def give_up(self) -> None:
        """Leave the queue: be passed over."""
        self.given_up = True

    def rejected(self, error: Exception) -> None:
        """End the wait with an error."""
        self.given_up = True
        self.error = error
        self.settle()


T = TypeVar("T", bound=QueuedWaiter)


class Deadlines(Generic[T]):
    """The timer of a queue, in which everybody waits equally long."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, queue: deque[T], why: Callable[[T], Exception]
    ) -> None:
        self._loop = loop
        self._queue = queue
        self._why = why
        self._timer: asyncio.TimerHandle | None = None

    def queue_up(self, waiter: T) -> None:
        """Put one at the end of the queue; who is past the deadline there is refused."""
        self._queue.append(waiter)
        if self._timer is None:
            self._timer = self._loop.call_at(waiter.deadline, self._look)

    def reject_all(self, error: Callable[[], Exception]) -> None:
        """Refuse everybody in the queue."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.given_up:
                waiter.rejected(error())

    def _look(self) -> None:
        self._timer = None
        queue = self._queue
        while queue and (queue[0].given_up or queue[0].deadline <= self._loop.time()):
            waiter = queue.popleft()
            if not waiter.given_up:
                waiter.rejected(self._why(waiter))
        if queue and self._timer is None:  # whoever was refused may be back already
            self._timer = self._loop.call_at(queue[0].deadline, self._look)
