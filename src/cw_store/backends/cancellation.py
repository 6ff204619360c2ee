"""Work that is brought to its end however often the caller is cancelled."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class BegunTask(asyncio.Task[T]):
    """A task that cannot be cancelled before its first step.

    Else whoever cancels all tasks, as programs do when they are told to end, would keep work from
    happening that others rely on, and nothing in it could notice.
    """

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel the task, or return False when it has not begun."""
        work = self.get_coro()
        if inspect.iscoroutine(work) and inspect.getcoroutinestate(work) == inspect.CORO_CREATED:
            return False
        return super().cancel(msg)


class _UncancellableTask(asyncio.Task[T]):
    """A task that cannot be cancelled at all."""

    def cancel(self, msg: Any | None = None) -> bool:
        """Return False: it goes on to its end."""
        return False


async def shielded(
    work: Coroutine[Any, Any, T], *, on_cancellation: Callable[[], None] | None = None
) -> T:
    """Run `work` in a task of its own to its end; a cancellation is raised only after that.

    `on_cancellation` is called when the first one comes, to bring the end nearer. Nothing in the
    work may rely on a timeout that cancels the task, as asyncio.timeout does.
    """
    task = _UncancellableTask(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            if cancelled is None and on_cancellation is not None:
                on_cancellation()
            cancelled = cancelled or error  # the first, as in one wait that is cancelled twice
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # seen here, so the loop does not report it as lost
        try:
            raise cancelled
        finally:
            del cancelled  # its traceback leads here: a cycle
    return task.result()
