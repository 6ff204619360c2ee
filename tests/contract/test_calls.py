"""Calls on the store, each a transaction of its own, on every database alike."""

import asyncio

from builders import add_initiative, add_task
from cw_store import (
    AlreadyExistsError,
    BrokenReferenceError,
    DependencyCycleError,
    NotFoundError,
    Store,
)
from waits import until_idle


async def names(store: Store) -> list[str]:
    """What another unit of work, begun now, sees."""
    async with store.unit_of_work(read_only=True) as uow:
        return [initiative.name for initiative in await uow.initiatives.find_all()]


async def test_a_call_on_the_store_is_a_transaction_by_itself(store: Store) -> None:
    initiative = await store.initiatives.create(name="a")
    assert await store.initiatives.find_by_id(initiative.id) == initiative
    assert (await store.initiatives.update(initiative.id, name="b")).name == "b"
    await store.initiatives.delete(initiative.id)
    assert await store.initiatives.find_by_id(initiative.id) is None


async def test_a_failing_call_among_many_undoes_only_itself(store: Store) -> None:
    await add_initiative(store, id="there", name="there")
    outcomes = await asyncio.gather(
        store.initiatives.create(name="a"),
        store.initiatives.create(id="there", name="refused"),
        store.tasks.create_many([{"id": "t", "name": "lost"}, {"id": "t", "name": "twice"}]),
        store.phases.create(initiative_id="nowhere", name="refused"),
        store.initiatives.update("nowhere", name="refused"),
        store.tasks.create_many([{"name": "b"}, {"name": "c"}]),
        store.initiatives.create(name="d"),
        return_exceptions=True,
    )
    kinds = [type(one) if isinstance(one, Exception) else None for one in outcomes]
    assert kinds == [
        None,
        AlreadyExistsError,
        AlreadyExistsError,
        BrokenReferenceError,
        NotFoundError,
        None,
        None,
    ]
    assert sorted(await names(store)) == ["a", "d", "there"]
    assert sorted(one.name for one in await store.tasks.find_by_status("pending")) == ["b", "c"]


async def test_a_cancelled_call_among_many_disturbs_no_other(store: Store) -> None:
    async with store.unit_of_work() as holder:
        await holder.initiatives.create(name="holder")
        calls = [asyncio.create_task(store.initiatives.create(name=f"{n}")) for n in range(5)]
        await asyncio.sleep(0)  # each has begun, and none can have its answer yet
        calls[2].cancel()
        await until_idle()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in outcomes] == [
        number == 2 for number in range(5)
    ]
    # A call that was cancelled may be stored all the same.
    assert sorted({*await names(store)} - {"2"}) == ["0", "1", "3", "4", "holder"]


async def test_many_calls_at_once_are_each_answered(store: Store) -> None:
    created = await asyncio.gather(*(add_initiative(store, name=f"{n}") for n in range(600)))
    assert len({one.id for one in created}) == 600
    found = await asyncio.gather(*(store.initiatives.find_by_id(one.id) for one in created))
    assert found == created


async def test_calls_are_seen_by_whoever_reads_after_them(store: Store) -> None:
    for number in range(20):
        await add_initiative(store)
        assert len(await store.initiatives.find_all()) == number + 1


async def test_a_compound_call_on_the_store_is_a_transaction_by_itself(store: Store) -> None:
    one, other = await add_task(store), await add_task(store)
    outcomes = await asyncio.gather(
        store.tasks.create_dependency(one.id, other.id),
        store.tasks.create_dependency(other.id, one.id),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, DependencyCycleError) for outcome in outcomes) == 1
    assert store.connections_in_use == 0
