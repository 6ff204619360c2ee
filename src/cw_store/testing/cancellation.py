"""Cancelling a piece of work at a chosen await, and at each of them in turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cancellation:
    """How a task is cancelled at an await."""

    late: bool = False
    """When what it waits for has its result, and the task is about to wake up with it; else when
    that has hardly begun."""
    twice: bool = False
    """Once more at the await that it reaches next, which is in its cleaning up."""

    def __str__(self) -> str:
        """Say it in words."""
        return ("late" if self.late else "early") + (", twice" if self.twice else "")


EARLY, LATE = Cancellation(), Cancellation(late=True)
EARLY_TWICE, LATE_TWICE = Cancellation(twice=True), Cancellation(late=True, twice=True)
CANCELLATIONS = (EARLY, LATE, EARLY_TWICE, LATE_TWICE)


@dataclass(frozen=True, slots=True)
class CancelledRun:
    """One run of the work: at which await it was cancelled, how, and how it ended."""

    point: int
    """The number of the await, from 1 on."""
    how: Cancellation
    reached: bool
    """Whether it got as far as that, and so was cancelled; the last run of each way does not."""
    completed: bool
    """Whether it ended as if nothing had happened."""


async def cancelled_at_every_await(
    work: Callable[[], Awaitable[object]], how: Sequence[Cancellation] = CANCELLATIONS
) -> AsyncGenerator[CancelledRun]:
    """Run `work()` again and again, cancelled at another of its awaits each time.

        async for run in cancelled_at_every_await(lambda: finish(store, task)):
            assert await is_whole(store), run

    Each run is given out once it has ended, however that was, and the next begins when the block is
    done. In every way of `how` the awaits come in order, until a run is through before it reaches
    the one at which it was to be cancelled. An error of `work` that is no cancellation is raised.
    """
    for way in how:
        for point in count(1):
            reached, completed = await cancelled_at(point, way, work())
            yield CancelledRun(point, way, reached, completed)
            if not reached:
                break


async def cancelled_at(point: int, how: Cancellation, work: Awaitable[object]) -> tuple[bool, bool]:
    """Run `work`, cancelled at its await number `point`.

    Returns whether it got as far as that, and whether it ended as if nothing had happened.
    """
    reached = False

    def suspended(number: int, awaited: asyncio.Future[Any] | None) -> None:
        nonlocal reached
        if number == point:
            reached = True
            if how.late and awaited is not None:
                awaited.add_done_callback(lambda _: task.cancel())
            else:
                task.cancel()
        elif number == point + 1 and how.twice:
            task.cancel()

    async def run() -> None:
        await Stepped(work, suspended)

    task = asyncio.ensure_future(run())
    await asyncio.wait([task])
    if task.cancelled():
        return reached, False
    task.result()
    return reached, True


class Stepped(Awaitable[T]):
    """Runs a coroutine and tells of each of its suspensions, with what it waits for."""

    def __init__(
        self, work: Awaitable[T], suspended: Callable[[int, asyncio.Future[Any] | None], None]
    ) -> None:
        self._work = work
        self._suspended = suspended

    def __await__(self) -> Generator[Any, Any, T]:
        """Go on whenever the work does."""
        steps = self._work.__await__()
        number = 0
        resume: Callable[[], Any] = partial(next, steps)
        while True:
            try:
                awaited = resume()
            except StopIteration as end:
                return end.value
            number += 1
            self._suspended(number, awaited)
            try:
                value = yield awaited
            except BaseException as error:
                resume = partial(steps.throw, error)
            else:
                resume = partial(steps.send, value)
