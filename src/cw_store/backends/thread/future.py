"""What a task waits for while a connection's thread works: a future with nothing to spare.

An asyncio.Future, once done, asks the event loop to wake its task in the next round. Here the task
is woken in the very callback that ends the wait, which saves a round of the loop, about a fifth of
what the way to a thread and back costs.

A task can wait for anything that has asyncio's future protocol: `_asyncio_future_blocking`,
`add_done_callback`, `cancel`, `result` and `_loop` (asyncio/futures.py, "isfuture" and "_get_loop";
checked with CPython 3.11 to 3.13). The protocol is not documented, and all uses of it are in
`Waiter`. Where a look at import says that it does not hold, or Python is another than those, the
task waits for an asyncio.Future that the end of the wait sets (`_PlainWait`), and all else stays as
it is.

**Guarantees.** `is_done` goes from False to True, never back, and `value` or `error` is there
before. A wait that is cancelled ends for the task alone; the same can be waited for again. An error
is raised once, to one who waits. A task is never run within another, nor within a loop that is run
inside of a task.

**Runs on.** `value` and `error` are set by whoever does the work, in a thread as well. All else
runs on the event loop, `settle_now` only in a callback of it, where no task is running.

**Order.** `value` or `error`, then `is_done`, then the task is woken, which looks at them at once.
What wakes it is taken out before it is called, for the task may wait for the same again, and must
not be woken twice. `give_up` comes before the task learns that it is cancelled, while what it
waited for can still be called off.
"""

from __future__ import annotations

import asyncio
from asyncio import runners
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from functools import partial
from threading import Thread
from typing import Any, Generic, TypeVar, cast

from cw_store.backends.cancellation import outlast, raise_once
from cw_store.interpreter import IS_KNOWN

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
        "given_up",
        "is_done",
        "is_kept",
        "value",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = self._cancelled = False
        self._message: object  # given with the cancellation
        self._loop = loop
        self._wake: Callable[[Any], None] | None = None
        self._context: Context | None = None
        self.value: T
        self.error: BaseException | None = None
        self.is_done = self.given_up = False
        self.is_kept = False
        """Whether its end is waited for, come what may, so that nobody may give it up."""

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for the result; raises the error there was instead."""
        if not self.is_done:
            self._cancelled = False
            if _is_quick:
                self._asyncio_future_blocking = True
                yield self
            else:
                yield from self._pause_plainly()
        if self.error is not None:
            raise_once(self._taken_error())
        return self.value

    async def finished(self) -> T:
        """Wait for the end however often the caller is cancelled, and only then say so."""
        self.is_kept = True
        try:
            return await self
        except asyncio.CancelledError:
            await outlast(lambda: self.is_done, self._end)
            self.error = None  # nobody is there to be told
            raise

    async def _end(self) -> None:
        try:
            await self
        except BaseException:
            if not self.is_done:
                raise

    def _pause_plainly(self) -> Generator[Any, None, None]:
        plain = _PlainWait(self, self._loop)
        self._wake = plain.wake
        yield from plain
        self.result()

    def _taken_error(self) -> BaseException:
        error, self.error = self.error, None
        assert error is not None, "asked for by one who saw it"
        return error

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

    def give_up(self) -> None:
        """Do what there is to do when nobody waits any more."""

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """The task that waits, if one does."""
        # What a task leaves here is a method of its own.
        waiting: object = getattr(self._wake, "__self__", None)
        if isinstance(waiting, _PlainWait):
            return waiting.task
        return cast("asyncio.Task[Any]", waiting) if isinstance(waiting, asyncio.Task) else None

    def __repr__(self) -> str:
        """Say whether this is done, and who waits for it."""
        task = self.task
        state = "done" if self.is_done else "given up" if self.given_up else "not done"
        return f"<{type(self).__name__}, {state}{f', {task.get_name()} waits' if task else ''}>"

    # The future protocol, as a task uses it; where there is no `get_loop` it looks at `_loop`.

    def done(self) -> bool:
        """Whether nothing is waited for any more; asked by debuggers, and by anyio in tests."""
        return self.is_done or self._cancelled

    def add_done_callback(
        self, wake: Callable[[Any], None], *, context: Context | None = None
    ) -> None:
        """Remember how to wake the task."""
        self._wake = wake
        self._context = context

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


class _PlainWait(asyncio.Future[None]):
    """What the task waits for in place of a `Waiter`, and is cancelled by, the plain way."""

    def __init__(self, waiter: Waiter[Any], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._waiter = waiter
        self.task = asyncio.current_task(loop)

    def wake(self, _waiter: Waiter[Any]) -> None:
        """End the wait: a task is woken in the loop's next round."""
        if not self.done():
            self.set_result(None)

    def cancel(self, msg: Any | None = None) -> bool:
        """Give the waiter up as well."""
        self._waiter.give_up()
        return super().cancel(msg)


def is_protocol_kept(waiter: type[Waiter[bool]] = Waiter) -> bool:
    """Whether a task takes a `Waiter` for a future here; tried in an event loop of its own."""
    kept: list[bool] = []
    attempt = partial(_try_protocol, waiter)
    try:
        # In a thread of its own, since whoever imports this may be running a loop in this one.
        trial = Thread(target=lambda: kept.append(_run(attempt)), name="cw_store trial")
        trial.start()
        trial.join()
    except RuntimeError:
        pass  # no thread is to be had, now
    return kept == [True]


def _run(work: Callable[[], Coroutine[Any, Any, bool]]) -> bool:
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work())
    except Exception:
        return False
    finally:
        loop.close()


async def _try_protocol(waiter: type[Waiter[bool]]) -> bool:
    """Wait for an end and for a cancellation, in a task that is a task of the loop's own."""
    loop = asyncio.get_running_loop()
    ended, cancelled = waiter(loop), waiter(loop)
    tasks = [loop.create_task(_result_of(each)) for each in (ended, cancelled)]
    await asyncio.sleep(0)
    seen: list[bool] = []

    def end() -> None:
        ended.value = True
        ended.settle_now()
        seen.append(tasks[0].done())

    loop.call_soon(end)
    tasks[1].cancel()
    await asyncio.wait(tasks, timeout=1)
    return seen == [True] and tasks[0].result() and tasks[1].cancelled()


async def _result_of(waiter: Waiter[T]) -> T:
    return await waiter


_is_quick = True


def wait_quickly(is_quick: bool) -> bool:
    """Choose the way that all waits go from now on, and return the one they went.

    Only while nobody waits.
    """
    global _is_quick
    was_quick, _is_quick = _is_quick, is_quick
    return was_quick


wait_quickly(IS_KNOWN and is_protocol_kept())
