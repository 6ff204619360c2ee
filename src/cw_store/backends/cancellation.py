"""Work that is brought to its end however often the caller is cancelled.

**Guarantees.** `shielded` returns, or raises, only once its work has ended; so does
`Waiter.finished`, on the same core. Cancellations that come meanwhile are not lost: the first one
is raised in place of the result, as it would be of one wait that is cancelled twice. The work
itself is never cancelled, neither by its caller nor by whoever cancels all tasks, as `asyncio.run`
does when the program is told to end.

**Runs on.** The event loop, all of it.

**Order.** The work is a task of its own before the caller waits for the first time: a caller that
is cancelled before its first step never runs, but once it runs the work begins, come what may. An
error is taken from where it is kept before it is raised. Its traceback leads to the frame, and the
frame would lead back to the error: a cycle, which keeps alive all that the frame holds.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn, TypeVar

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
    cancelled = await outlast(task.done, lambda: asyncio.wait([task]), on_cancellation)
    if cancelled:
        if not task.cancelled():
            task.exception()  # seen here, so the loop does not report it as lost
        raise_once(cancelled.pop())
    return task.result()


async def outlast(
    has_ended: Callable[[], bool],
    wait: Callable[[], Awaitable[object]],
    on_cancellation: Callable[[], None] | None = None,
) -> list[asyncio.CancelledError]:
    """Wait until something has ended, however often the caller is cancelled.

    Returns the first cancellation, in a list from which the caller takes it to raise it, or an
    empty one.
    """
    cancelled: list[asyncio.CancelledError] = []
    while not has_ended():
        try:
            await wait()
        except asyncio.CancelledError as error:
            if not cancelled:
                cancelled.append(error)
                if on_cancellation is not None:
                    on_cancellation()
    return cancelled


def raise_once(error: BaseException) -> NoReturn:
    """Raise an error that nobody else holds, and leave no cycle behind: `raise_once(them.pop())`.

    A caller that kept it in a variable of its own would be on its traceback.
    """
    try:
        raise error
    finally:
        del error
