"""Work that nobody can cancel halfway."""

import asyncio
import gc
from typing import Any

import pytest

from cw_store.backends.cancellation import BegunTask, shielded


async def test_work_that_is_cancelled_itself_cancels_its_caller() -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await shielded(work())


async def test_a_cancellation_comes_after_the_end_of_the_work() -> None:
    begun, may_end, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await may_end.wait()
        done.set()

    caller = asyncio.ensure_future(shielded(work()))
    await begun.wait()
    for _ in range(2):
        caller.cancel()
        await asyncio.sleep(0)
        assert not caller.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done.is_set()


async def test_whoever_cancels_all_tasks_does_not_keep_the_work_from_its_end() -> None:
    begun, may_end, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await may_end.wait()
        done.set()

    before = asyncio.all_tasks()
    caller = asyncio.ensure_future(shielded(work()))
    await asyncio.sleep(0)
    (task,) = asyncio.all_tasks() - before - {caller}
    assert not begun.is_set()
    assert task.cancel() is False
    await begun.wait()
    assert task.cancel() is False
    may_end.set()
    await caller
    assert done.is_set()


async def test_a_task_that_must_begin_can_be_cancelled_from_its_first_step_on() -> None:
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    task = BegunTask(work())
    assert task.cancel() is False
    await begun.wait()
    assert task.cancel("enough") is True
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await task


async def test_work_that_fails_under_a_cancelled_caller_is_not_reported_as_lost() -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))

    async def work() -> None:
        begun.set()
        await may_end.wait()
        raise ValueError

    caller = asyncio.ensure_future(shielded(work()))
    await begun.wait()
    caller.cancel()
    await asyncio.sleep(0)
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    del caller
    await asyncio.sleep(0)  # the loop lets go of what it ran last
    gc.collect()  # a task tells of an error that nobody took when it is forgotten
    assert reports == []
