"""The times of rows, whatever the clocks say of the stores that write them."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from builders import add_account, add_task
from cw_store import Store, StoreError, UnitOfWork
from cw_store.testing import START, SteppableClock

MICROSECOND = timedelta(microseconds=1)


async def test_rows_are_in_the_order_of_their_creation_while_the_clock_steps_back(
    store: Store, clock: SteppableClock
) -> None:
    created = [await store.initiatives.create(name="first")]
    for step in (0, -60, 30, -3600):
        clock.advance(step)
        created.append(await store.initiatives.create(name=f"{step}"))
    assert await store.initiatives.find_all() == created
    assert len({one.created_at for one in created}) == len(created)


async def test_an_update_is_later_than_what_it_changes(store: Store, clock: SteppableClock) -> None:
    created = await store.initiatives.create(name="a")
    clock.advance(-60)
    updated = await store.initiatives.update(created.id, name="b")
    assert updated.updated_at > created.updated_at
    assert updated.created_at == created.created_at


@pytest.fixture
def others_clock() -> SteppableClock:
    """The clock of another store on the same database."""
    return SteppableClock()


@pytest.mark.parametrize("hours", [-20_000, -1, 0, 1, 20_000])
async def test_lists_and_changes_are_in_order_whatever_the_clocks_of_two_stores_say(
    store: Store, lasting_database: str, others_clock: SteppableClock, hours: float
) -> None:
    others_clock.advance(hours * 3600)
    async with Store(lasting_database, clock=others_clock) as other:
        task = await store.tasks.create(name="t")
        created = [
            await (store, other)[number % 2].agents.create(worktree_id="w", task_id=task.id)
            for number in range(6)
        ]
        for reader in (store, other):
            assert await reader.agents.find_all() == created
            assert await reader.agents.find_by_task_id(task.id) == created[-1]
            assert await reader.agents.find_all(after=created[2].id, limit=2) == created[3:5]
        changed = task
        for number in range(6):
            before = changed
            changed = await (store, other)[number % 2].tasks.update(task.id, name=f"{number}")
            assert changed.updated_at > before.updated_at
        assert changed.created_at == task.created_at


VERBS: dict[str, Callable[[Store | UnitOfWork, str], Awaitable[Any]]] = {
    "update": lambda repos, id: repos.accounts.update(id, email="new@example.org"),
    "mark exhausted": lambda repos, id: repos.accounts.mark_exhausted(id),
    "mark available": lambda repos, id: repos.accounts.mark_available(id),
    "claim": lambda repos, id: repos.accounts.find_next_available(),
    "clear": lambda repos, id: repos.accounts.clear_expired_exhaustion(),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_every_verb_moves_updated_at_on_from_what_a_clock_ahead_wrote(
    store: Store,
    lasting_database: str,
    clock: SteppableClock,
    others_clock: SteppableClock,
    verb: str,
) -> None:
    others_clock.advance(3600)
    async with Store(lasting_database, clock=others_clock) as other:
        account = await add_account(other)
        if verb == "clear":
            account = await other.accounts.mark_exhausted(account.id, until=clock.after(-60))
        await VERBS[verb](store, account.id)
        changed = await store.accounts.find_by_id(account.id)
        assert changed is not None
        assert changed.updated_at == account.updated_at + MICROSECOND


async def test_who_waited_is_dated_after_what_it_waited_for(store: Store) -> None:
    task = await add_task(store)
    async with store.unit_of_work() as uow:
        await uow.tasks.update(task.id, summary="first")
        waiting = asyncio.ensure_future(store.tasks.update(task.id, summary="last"))
        new = asyncio.ensure_future(store.tasks.create(name="new"))
        for _ in range(20):
            await uow.tasks.find_by_id(task.id)
        second = await uow.tasks.update(task.id, summary="second")
    last = await waiting
    await new
    assert (last.summary, last.updated_at > second.updated_at) == ("last", True)
    assert await store.tasks.find_by_id(task.id) == last


@pytest.mark.usefixtures("writers_take_turns")
async def test_a_rest_that_ends_while_a_claim_waits_for_its_turn_is_over(
    store: Store, clock: SteppableClock
) -> None:
    account = await add_account(store)
    await store.accounts.mark_exhausted(account.id, until=clock.after(60))
    async with store.unit_of_work() as uow:
        await uow.accounts.update(account.id, email="held@example.org")
        claim = asyncio.ensure_future(store.accounts.find_next_available())
        await uow.accounts.find_by_id(account.id)
        clock.advance(61)
    claimed = await claim
    assert claimed is not None and claimed.id == account.id


async def test_create_returns_the_times_that_are_stored(store: Store) -> None:
    for repos in (store, None):
        async with store.unit_of_work() as uow:
            repos = repos or uow
            task = await repos.tasks.create(name="t")
            assert await repos.tasks.find_by_id(task.id) == task
            assert task.created_at == task.updated_at
            tasks = await repos.tasks.create_many([{"name": f"{n}"} for n in range(3)])
            assert [await repos.tasks.find_by_id(one.id) for one in tasks] == tasks
            stamps = [one.created_at for one in (task, *tasks)]
            assert stamps == sorted(set(stamps))


class Failing(Exception):
    """What a clock raises."""


@pytest.mark.parametrize("failure", [datetime(2026, 1, 1), Failing()], ids=["naive", "raises"])
async def test_a_clock_that_fails_later_is_an_error_for_who_asked_and_nobody_else(
    database: str, failure: Any
) -> None:
    answers: list[Any] = [START]

    def reading() -> datetime:
        answer = answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with Store(database, clock=reading) as store:
        task = await add_task(store)
        answers[0] = failure
        writes: list[Callable[[], Awaitable[Any]]] = [
            lambda: store.tasks.create(name="a"),
            lambda: store.tasks.create_many([{"name": "a"}, {"name": "b"}]),
            lambda: store.tasks.update(task.id, name="b"),
            lambda: store.log_chunks.insert_chunk("a", "n", 1, "c"),
            lambda: store.accounts.find_next_available(),
        ]
        told = await asyncio.gather(*(write() for write in writes), return_exceptions=True)
        assert [type(error) for error in told] == [StoreError] * len(writes)
        # What needs no clock goes on, shared commits included.
        dependency = asyncio.ensure_future(store.tasks.delete(task.id))
        with pytest.raises(StoreError, match="clock"):
            await store.tasks.create(name="a")
        await dependency
        with pytest.raises(StoreError, match="clock"):
            async with store.unit_of_work() as uow:
                await uow.tasks.create(name="a")
        answers[0] = START
        assert await store.tasks.find_by_status("pending") == []
        await store.tasks.create(name="good again")
        assert store.connections_in_use == 0
