"""What a task waits for while a connection's thread works: a future with nothing to spare.

An asyncio.Future, once done, asks the event loop to wake its task in the next round. Here
the task is woken in the very callback that ends the wait, which saves a round of the loop,
about a fifth of what the way to a thread and back costs.

A task can wait for anything that has asyncio's future protocol: `_asyncio_future_blocking`,
`add_done_callback`, `cancel`, `result` and `get_loop` (asyncio/futures.py, "isfuture"; checked
with CPython 3.11 to 3.13). The protocol is not documented; all uses of it are in this class.
"""

from __future__ import annotations

import asyncio
from asyncio import runners
from collections.abc import Callable, Generator
from contextvars import Context
from types import coroutine
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


def may_run_nested() -> bool:
    """Whether an event loop may be run again within a task, as `nest_asyncio` lets it.

    Whoever makes that possible replaces `asyncio.run`, at any time.
    """
    return asyncio.run is not runners.run


class Waiter(Generic[T]):
    """A result that one task can wait for, more than once if it is cancelled meanwhile.

    Whoever ends the wait sets `value` or `error` first.
    """

    __slots__ = (
        "_asyncio_future_blocking",
        "_cancelled",
        "_context",
        "_loop",
        "_message",
        "_wake",
        "error",
        "is_done",
        "value",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self._cancelled = False
        self._message: object  # given with the cancellation
        self._loop = loop
        self._wake: Callable[[Any], None] | None = None
        self._context: Context | None = None
        self.value: T
        self.error: BaseException | None = None
        self.is_done = False

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for the result; raises the error there was instead."""
        if not self.is_done:
            self._cancelled = False
            self._asyncio_future_blocking = True
            yield self
        if self.error is not None:
            error, self.error = self.error, None
            try:
                raise error
            finally:
                del error  # its traceback leads here: a cycle
        return self.value

    async def finished(self) -> T:
        """Wait for the end however often the caller is cancelled, and only then say so."""
        cancelled: asyncio.CancelledError | None = None
        while not self.is_done:
            try:
                await self._end()
            except asyncio.CancelledError as error:
                cancelled = cancelled or error  # the first, as in one wait that is cancelled twice
        if cancelled is not None:
            self.error = None
            try:
                raise cancelled
            finally:
                del cancelled  # its traceback leads here: a cycle
        return self.value if self.error is None else await self

    @coroutine
    def _end(self) -> Generator[Any, None, None]:
        self._cancelled = False
        self._asyncio_future_blocking = True
        yield self

    def settle(self) -> None:
        """End the wait and run the task that waits.

        At once where the event loop itself calls; from within another task, which cannot be
        interrupted, in the loop's next round. That is for those too who would else wait for a task
        that runs the loop itself.
        """
        self.is_done = True
        wake, self._wake = self._wake, None
        if wake is None:
            return
        context, self._context = self._context, None
        if context is None or asyncio.current_task(self._loop) is not None or may_run_nested():
            self._loop.call_soon(wake, self, context=context)
        else:
            context.run(wake, self)

    def settle_now(self) -> None:
        """Do what `settle` does, in a callback of the event loop, where no task is running."""
        self.is_done = True
        wake, self._wake = self._wake, None
        if wake is not None:
            context, self._context = self._context, None
            if context is None:
                wake(self)
            else:
                context.run(wake, self)

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """The task that waits, if one does."""
        # What a task leaves here is a method of its own.
        task: object = getattr(self._wake, "__self__", None)
        return cast("asyncio.Task[Any]", task) if isinstance(task, asyncio.Task) else None

    # The future protocol, as a task uses it.

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop of the task that may wait."""
        return self._loop

    def done(self) -> bool:
        """Whether nothing is waited for any more; asked by debuggers, and by anyio in tests."""
        return self.is_done or self._cancelled

    def add_done_callback(
        self, wake: Callable[[Any], None], *, context: Context | None = None
    ) -> None:
        """Remember how to wake the task."""
        self._wake = wake
        self._context = context

    def give_up(self) -> None:
        """Do what there is to do when nobody waits any more."""

    def cancel(self, msg: object = None) -> bool:
        """End the wait when the task is cancelled."""
        self.give_up()
        wake, self._wake = self._wake, None
        if wake is None:
            return False
        self._cancelled = True
        self._message = msg
        self._loop.call_soon(wake, self, context=self._context)
        self._context = None
        return True

    def result(self) -> None:
        """Tell the task, when it wakes, whether it was cancelled, and with what message.

        anyio knows its own cancellations by the message, and asyncio's futures hand it on too.
        """
        if self._cancelled:
            message = self._message
            raise asyncio.CancelledError() if message is None else asyncio.CancelledError(message)
