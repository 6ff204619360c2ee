"""anyio's scopes and task groups around calls of the store, one level deep and three."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from cw_store import NewLogChunk, Store

Cancelled = Callable[[Store, Callable[[], object]], Coroutine[Any, Any, object]]
"""Uses the store, and calls what it is given to be cancelled there.

What a thread or a server has done before the event loop tells of the cancellation is done.
"""


async def to_the_end(use: Cancelled, store: Store, cancel: Callable[[], object]) -> None:
    """Use the store, and stay until the cancellation has come."""
    await use(store, cancel)
    await anyio.sleep(5)


async def before_a_call(store: Store, cancel: Callable[[], object]) -> None:
    cancel()
    await store.initiatives.create(name="x")


async def before_a_read(store: Store, cancel: Callable[[], object]) -> None:
    cancel()
    await store.initiatives.find_by_id("x")


async def before_a_unit(store: Store, cancel: Callable[[], object]) -> None:
    cancel()
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="x")


async def within_a_unit(store: Store, cancel: Callable[[], object]) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="x")
        cancel()
        await uow.initiatives.create(name="y")


async def within_a_savepoint(store: Store, cancel: Callable[[], object]) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="x")
        async with uow.savepoint():
            await uow.initiatives.create(name="y")
            cancel()
            await uow.initiatives.create(name="z")


async def at_the_end_of_a_unit(store: Store, cancel: Callable[[], object]) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="x")
        await uow.rollback()
        cancel()


async def at_a_commit(store: Store, cancel: Callable[[], object]) -> None:
    async with store.unit_of_work() as uow:
        cancel()
        await uow.commit()
        await anyio.sleep(1)


async def within_a_snapshot(store: Store, cancel: Callable[[], object]) -> None:
    async with store.unit_of_work(read_only=True) as uow:
        await uow.initiatives.find_by_id("x")
        cancel()
        await uow.initiatives.find_by_id("x")


async def within_a_stream(store: Store, cancel: Callable[[], object]) -> None:
    chunk: NewLogChunk = {
        "agent_id": "a",
        "agent_name": "n",
        "session_number": 1,
        "content": "x",
    }
    with anyio.CancelScope(shield=True):
        await store.log_chunks.insert_chunks([chunk] * 1000)
    async for _ in store.log_chunks.stream_by_agent_id("a"):
        cancel()


async def while_it_waits_for_a_turn(store: Store, cancel: Callable[[], object]) -> None:
    held = await store.initiatives.create(name="held")
    async with store.unit_of_work() as uow:
        await uow.initiatives.update(held.id, name="held still")
        async with anyio.create_task_group() as group:
            group.start_soon(store.initiatives.delete, held.id)
            await anyio.wait_all_tasks_blocked()
            cancel()


USES: list[Cancelled] = [
    before_a_call,
    before_a_read,
    before_a_unit,
    within_a_unit,
    within_a_savepoint,
    at_the_end_of_a_unit,
    at_a_commit,
    within_a_snapshot,
    within_a_stream,
    while_it_waits_for_a_turn,
]
every_use = pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)


@asynccontextmanager
async def nothing_left(store: Store) -> AsyncGenerator[None]:
    """Look that the task is as it was, and that the store can be written to, afterwards."""
    task = asyncio.current_task()
    assert task is not None
    yield
    await asyncio.sleep(0)  # which a cancellation that is left over would end
    assert task.cancelling() == 0
    async with asyncio.timeout(5):
        await store.initiatives.create(name="after")
    names = [one.name for one in await store.initiatives.find_all()]
    assert names[-1] == "after"
    assert ("y" in names) <= ("x" in names)


@every_use
async def test_a_cancelled_scope_ends_where_it_ends(store: Store, use: Cancelled) -> None:
    async with nothing_left(store):
        with anyio.CancelScope() as scope:
            await to_the_end(use, store, scope.cancel)
        assert scope.cancelled_caught


@every_use
@pytest.mark.parametrize("depth", [0, 1, 2])
async def test_of_three_scopes_the_one_that_is_cancelled_ends(
    store: Store, use: Cancelled, depth: int
) -> None:
    async with nothing_left(store):
        scopes = [anyio.CancelScope() for _ in range(3)]
        with scopes[0]:
            with scopes[1]:
                with scopes[2]:
                    await to_the_end(use, store, scopes[depth].cancel)
        assert [scope.cancelled_caught for scope in scopes] == [
            number == depth for number in range(3)
        ]


@every_use
async def test_a_cancelled_task_group_ends_all_that_it_began(store: Store, use: Cancelled) -> None:
    async with nothing_left(store):
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(to_the_end, use, store, group.cancel_scope.cancel)


@every_use
async def test_a_native_cancellation_passes_a_scope(store: Store, use: Cancelled) -> None:
    async def within() -> None:
        task = asyncio.current_task()
        assert task is not None
        with anyio.CancelScope() as scope:
            await to_the_end(use, store, lambda: task.cancel("enough"))
        assert not scope.cancelled_caught

    async with nothing_left(store):
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await asyncio.create_task(within())


@every_use
async def test_a_timeout_of_asyncios_within_a_task_group_is_a_timeout(
    store: Store, use: Cancelled
) -> None:
    async with nothing_left(store):
        async with asyncio.TaskGroup() as group:

            async def one() -> None:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(None) as limit:
                        await to_the_end(use, store, lambda: limit.reschedule(0))

            group.create_task(one())
