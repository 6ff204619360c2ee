"""A wait as asyncio's tasks see it; fails when they come to expect more of a future."""

import asyncio

import pytest

from cw_store.backends.waiting import Waiting


def waiting() -> Waiting[str]:
    return Waiting(asyncio.get_running_loop())


async def result_of(one: Waiting[str]) -> str:
    return await one


async def test_the_task_runs_within_the_callback_that_ends_its_wait() -> None:
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
    assert seen == [True]


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
    one.settle()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_is_raised_where_it_is_waited_for() -> None:
    one = waiting()
    one.error = ValueError("broken")
    one.settle()
    with pytest.raises(ValueError, match="broken"):
        await one
