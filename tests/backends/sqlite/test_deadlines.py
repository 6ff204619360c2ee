"""How long those in a queue wait."""

import asyncio
from collections import deque

import pytest

from cw_store.backends.sqlite.deadlines import Deadlines, QueuedWaiter

pytestmark = pytest.mark.usefixtures("way_to_wait")


class TooLateError(Exception):
    pass


class Line:
    """A queue, its deadlines, and who came to it."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.queue: deque[QueuedWaiter] = deque()
        self.busy_timeout = Deadlines(self.loop, self.queue, TooLateError)

    def join(self, timeout: float = 0.01) -> QueuedWaiter:
        waiter = QueuedWaiter(self.loop)
        waiter.deadline = self.loop.time() + timeout
        self.busy_timeout.queue_up(waiter)
        return waiter


async def test_who_has_waited_too_long_is_refused_and_leaves_the_queue() -> None:
    line = Line()
    early, late = line.join(0.01), line.join(30)
    with pytest.raises(TooLateError):
        await early
    assert early.given_up
    assert list(line.queue) == [late]
    assert not late.is_done


async def test_all_who_are_past_their_deadline_are_refused_one_after_another() -> None:
    line = Line()
    waiters = [line.join(0.005 * number) for number in range(1, 6)]
    for waiter in waiters:
        with pytest.raises(TooLateError):
            await waiter
    assert not line.queue


async def test_who_joins_an_empty_queue_later_is_refused_too() -> None:
    line = Line()
    for _ in range(3):
        with pytest.raises(TooLateError):
            await line.join()


async def test_who_has_given_up_is_not_refused_and_keeps_nobody_from_it() -> None:
    line = Line()
    gone, here = line.join(30), line.join(0.01)
    gone.given_up = True
    line.busy_timeout.reject_all(ValueError)
    with pytest.raises(ValueError):
        await here
    assert not gone.is_done
    gone, here = line.join(0.005), line.join(0.01)
    gone.given_up = True
    with pytest.raises(TooLateError):
        await here
    assert not gone.is_done


async def test_nobody_is_refused_before_the_deadline() -> None:
    line = Line()
    waiter = line.join(0.02)
    began = line.loop.time()
    with pytest.raises(TooLateError):
        await waiter
    assert line.loop.time() - began >= 0.019


async def test_after_all_were_refused_the_queue_works_as_before() -> None:
    line = Line()
    waiters = [line.join(30) for _ in range(3)]
    line.busy_timeout.reject_all(ValueError)
    for waiter in waiters:
        with pytest.raises(ValueError):
            await waiter
    with pytest.raises(TooLateError):
        await line.join()
