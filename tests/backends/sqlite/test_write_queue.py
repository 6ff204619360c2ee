"""The queue of writers alone: who gets the turn, and when."""

import asyncio
import gc
from typing import Any

import pytest

from cw_store import StoreBusyError, StoreClosedError
from cw_store.backends.sqlite.write_queue import Turn, WriteQueue
from waits import until_idle

pytestmark = pytest.mark.usefixtures("way_to_wait")


def write_queue(timeout: float = 30.0) -> WriteQueue:
    return WriteQueue(asyncio.get_running_loop(), timeout)


def waiting(write_queue: WriteQueue, count: int) -> list[asyncio.Task[Turn]]:
    return [
        asyncio.create_task(write_queue.turn(f"waiter {n}"), name=f"task {n}") for n in range(count)
    ]


async def test_a_free_gate_grants_at_once() -> None:
    free = write_queue()
    assert free.is_free and free.holder() is None
    turn = await free.turn("one")
    assert not free.is_free
    free.release(turn)
    assert free.is_free


async def test_turns_go_to_the_one_who_has_waited_longest() -> None:
    busy = write_queue()
    turn = await busy.turn("first")
    tasks = waiting(busy, 10)
    await until_idle()
    for number, task in enumerate(tasks):
        busy.release(turn)
        await until_idle()
        assert [one.done() for one in tasks] == [n <= number for n in range(10)]
        turn = task.result()
    busy.release(turn)
    assert busy.is_free


async def test_a_newcomer_does_not_overtake_the_one_who_was_just_granted() -> None:
    busy = write_queue()
    turn = await busy.turn("first")
    (second,) = waiting(busy, 1)
    await until_idle()
    busy.release(turn)
    newcomer = asyncio.create_task(busy.turn("newcomer"))
    await until_idle()
    assert second.done() and not newcomer.done()
    busy.release(second.result())
    busy.release(await newcomer)


async def test_the_holder_is_described() -> None:
    busy = write_queue()
    task = asyncio.current_task()
    assert task is not None
    task.set_name("supervisor")
    turn = await busy.turn("dispatch")
    holder = busy.holder()
    assert holder is not None
    assert (holder.label, holder.task_name) == ("dispatch", "supervisor")
    assert 0 <= holder.seconds < 5
    busy.release(turn)


async def test_who_waits_too_long_is_told_who_holds_the_turn() -> None:
    busy = write_queue(timeout=0.01)
    turn = await busy.turn("dispatch")
    with pytest.raises(StoreBusyError, match=r"within 0\.01 s.*'dispatch'") as raised:
        await busy.turn("late")
    assert raised.value.holder is not None
    assert raised.value.holder.label == "dispatch"
    busy.release(turn)
    assert busy.is_free


async def test_a_waiter_who_is_cancelled_is_passed_over() -> None:
    busy = write_queue()
    turn = await busy.turn("first")
    tasks = waiting(busy, 3)
    await until_idle()
    tasks[0].cancel()
    tasks[1].cancel()
    await until_idle()
    busy.release(turn)
    await until_idle()
    assert tasks[2].done()
    busy.release(tasks[2].result())
    assert busy.is_free


async def test_a_turn_acquired_in_the_moment_of_the_cancellation_is_passed_on() -> None:
    busy = write_queue()
    turn = await busy.turn("first")
    one, other = waiting(busy, 2)
    await until_idle()
    busy.release(turn)  # wakes `one`, which has not run yet
    one.cancel()
    async with asyncio.timeout(10):
        busy.release(await other)
    assert one.cancelled()
    assert busy.is_free


async def test_releasing_a_turn_twice_takes_nobody_elses() -> None:
    busy = write_queue()
    turn = await busy.turn("first")
    (second,) = waiting(busy, 1)
    await until_idle()
    busy.release(turn)
    busy.release(turn)
    assert not busy.is_free
    busy.release(await second)


async def test_closing_refuses_those_who_wait_and_those_who_come() -> None:
    busy = write_queue()
    turn = await busy.turn("first")
    tasks = waiting(busy, 2)
    await until_idle()
    tasks[0].cancel()
    await until_idle()
    busy.close()
    with pytest.raises(StoreClosedError, match=r"^the store was closed while this waited$"):
        await tasks[1]
    with pytest.raises(StoreClosedError, match=r"^the store is closed$"):
        await busy.turn("newcomer")
    busy.release(turn)


async def test_a_waiter_refused_and_cancelled_at_once_leaves_no_lost_error() -> None:
    lost: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
    busy = write_queue()
    turn = await busy.turn("first")
    (task,) = waiting(busy, 1)
    await until_idle()
    busy.close()
    task.cancel()
    await asyncio.wait([task])
    busy.release(turn)
    del task
    gc.collect()
    await until_idle()
    assert lost == []


class Shared(Turn):
    """A turn that may share another's."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self.answer = "none"
        self.answered = asyncio.Event()

    def acquired(self) -> None:
        self.answer = "acquired"
        self.answered.set()

    def rejected(self, error: Exception) -> None:
        self.answer = "refused"
        self.answered.set()


async def test_turns_that_can_share_are_taken_from_the_head_of_the_queue_only() -> None:
    busy = write_queue()
    first, *shared = (Shared() for _ in range(5))
    busy.ask(first)
    assert first.answer == "acquired"
    for turn in shared[:3]:
        busy.ask(turn)
    shared[1].given_up = True
    (task,) = waiting(busy, 1)
    await until_idle()
    busy.ask(shared[3])

    assert busy.take_while(Shared, limit=1) == [shared[0]]
    assert busy.take_while(Shared, limit=9) == [shared[2]]  # not past the waiting task
    assert busy.take_while(Shared, limit=9) == []
    busy.release(first)
    busy.release(await task)
    assert shared[3].answer == "acquired"
    assert [turn.answer for turn in shared[:3]] == ["none"] * 3
    busy.release(shared[3])


async def test_a_shared_turn_that_waits_too_long_is_refused() -> None:
    busy = write_queue(timeout=0)
    turn = await busy.turn("first")
    late = Shared()
    busy.ask(late)
    async with asyncio.timeout(10):
        await late.answered.wait()
    assert late.answer == "refused"
    busy.release(turn)
    assert busy.is_free


async def test_the_time_that_a_holder_waited_is_not_counted() -> None:
    busy = write_queue()
    turn = await busy.turn("first")
    second = Shared()
    busy.ask(second)
    second.since -= 100
    busy.release(turn)
    holder = busy.holder()
    assert holder is not None and holder.seconds < 50
    busy.release(second)


async def test_a_turn_asked_for_outside_of_a_task_has_no_tasks_name() -> None:
    free = write_queue()
    asked = asyncio.Event()

    def ask() -> None:
        free.ask(Shared())
        asked.set()

    asyncio.get_running_loop().call_soon(ask)
    async with asyncio.timeout(10):
        await asked.wait()
    holder = free.holder()
    assert holder is not None and holder.task_name is None
