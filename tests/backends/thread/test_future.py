"""A wait as asyncio's tasks see it; fails when they come to expect more of a future."""

import asyncio
from contextvars import ContextVar

import pytest

from cw_store import interpreter
from cw_store.backends.thread.future import Waiter, is_protocol_kept, wait_quickly

pytestmark = pytest.mark.usefixtures("way_to_wait")


def waiting() -> Waiter[str]:
    return Waiter(asyncio.get_running_loop())


async def result_of(one: Waiter[str]) -> str:
    return await one


async def test_the_task_runs_within_the_callback_that_ends_its_wait(way_to_wait: str) -> None:
    one = waiting()
    task = asyncio.create_task(result_of(one))
    await asyncio.sleep(0)
    seen: list[bool] = []

    def end() -> None:
        one.value = "there"
        one.settle()
        seen.append(task.done())

    asyncio.get_running_loop().call_soon(end)
    assert await task == "there"
    assert seen == [way_to_wait == "quick"]


async def test_a_task_that_ends_anothers_wait_is_not_interrupted() -> None:
    one = waiting()
    task = asyncio.create_task(result_of(one))
    await asyncio.sleep(0)
    one.value = "there"
    one.settle()
    assert not task.done()
    assert await task == "there"


async def test_a_cancelled_wait_can_be_waited_for_again() -> None:
    one = waiting()
    task = asyncio.create_task(result_of(one))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    one.value = "there"
    one.settle()
    assert await one == "there"


async def test_finished_outlives_cancellations_and_then_tells_of_them() -> None:
    one = waiting()
    task = asyncio.create_task(one.finished())
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    one.value = "there"
    one.error = ValueError("nobody was there to be told")
    one.settle()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await one == "there"


async def test_an_error_is_raised_where_it_is_waited_for() -> None:
    one = waiting()
    one.error = ValueError("broken")
    one.settle()
    with pytest.raises(ValueError, match="broken"):
        await one


async def test_asyncio_takes_a_wait_for_a_future() -> None:
    one = waiting()
    assert asyncio.isfuture(one)
    assert asyncio.ensure_future(one) is one


async def test_cancel_tells_whether_somebody_waited() -> None:
    one = waiting()
    assert not one.cancel()
    task = asyncio.create_task(result_of(one))
    await asyncio.sleep(0)
    assert one.cancel()
    assert not one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_wait_may_end_before_anybody_waits(caplog: pytest.LogCaptureFixture) -> None:
    one = waiting()
    one.value = "there"
    one.settle()
    await asyncio.sleep(0)
    assert await one == "there"
    assert caplog.records == []  # of a callback that failed


async def test_a_task_goes_on_in_its_own_context() -> None:
    name = ContextVar("name", default="another's")
    one = waiting()

    async def wait() -> list[str]:
        name.set("its own")
        seen: list[str] = []
        for _ in range(2):
            try:
                await one
            except asyncio.CancelledError:
                pass
            seen.append(name.get())
        return seen

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    one.value = "there"
    one.settle()
    assert await task == ["its own", "its own"]


async def test_who_waits_is_known_until_the_wait_has_ended() -> None:
    one = waiting()
    assert one.task is None
    task = asyncio.create_task(result_of(one))
    await asyncio.sleep(0)
    assert one.task is task
    one.value = "there"
    one.settle()
    assert one.task is None
    assert await task == "there"


async def test_finished_raises_the_error_there_was() -> None:
    one = waiting()
    task = asyncio.create_task(one.finished())
    await asyncio.sleep(0)
    one.error = ValueError("broken")
    one.settle()
    with pytest.raises(ValueError, match="broken"):
        await task


@pytest.mark.parametrize("message", [None, "enough", ("a", 1)])
@pytest.mark.parametrize("is_shielded", [False, True])
async def test_a_cancellation_keeps_its_message(message: object, is_shielded: bool) -> None:
    one = waiting()
    task = asyncio.create_task(one.finished() if is_shielded else result_of(one))
    await asyncio.sleep(0)
    task.cancel(message)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    one.value = "there"
    one.settle()
    with pytest.raises(asyncio.CancelledError) as raised:
        await task
    assert raised.value.args == (() if message is None else (message,))


async def test_of_two_cancellations_the_first_is_told() -> None:
    one = waiting()
    task = asyncio.create_task(one.finished())
    for message in ("first", "second"):
        await asyncio.sleep(0)
        task.cancel(message)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    one.value = "there"
    one.settle()
    with pytest.raises(asyncio.CancelledError, match="first"):
        await task


async def test_what_waits_says_who_waits_for_it() -> None:
    one = waiting()
    assert repr(one) == "<Waiter, not done>"
    task = asyncio.create_task(result_of(one), name="the supervisor")
    await asyncio.sleep(0)
    assert repr(one) == "<Waiter, not done, the supervisor waits>"
    one.value = "there"
    one.settle()
    assert repr(one) == "<Waiter, done>"
    assert await task == "there"


# The choice.


def test_the_quick_ways_are_for_the_pythons_that_they_were_checked_with() -> None:
    assert interpreter.is_known("CPython", without_lock=False)
    assert not interpreter.is_known("CPython", without_lock=True)
    assert not interpreter.is_known("PyPy", without_lock=False)


@pytest.mark.parametrize("name", ["add_done_callback", "result", "settle_now"])
def test_a_protocol_that_is_not_kept_is_noticed(name: str) -> None:
    class Other(Waiter[bool]):
        """Does not do what a task expects."""

    def other(*_arguments: object, **_settings: object) -> None:
        """Do nothing."""

    setattr(Other, name, other)
    was_quick = wait_quickly(True)
    assert not is_protocol_kept(Other)
    assert is_protocol_kept()
    wait_quickly(was_quick)
