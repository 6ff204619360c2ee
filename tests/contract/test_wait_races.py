"""What comes while somebody who waits asks the question, or before they sleep, is not missed."""

import asyncio
from datetime import timedelta

from cw_store import Store, Task, UnitOfWork
from cw_store.testing import SteppableClock
from waits import until, until_idle

SECONDS = 20.0


async def test_a_clock_that_is_set_back_makes_nobody_miss_what_comes_then(
    store: Store, clock: SteppableClock
) -> None:
    await store.tasks.create(name="Build", not_before=clock.after(7200))
    times_asked = 0

    async def query(uow: UnitOfWork) -> list[Task]:
        nonlocal times_asked
        found = await uow.claims.find_ready(provider=None)
        times_asked += 1
        if not found and len(await uow.tasks.find_by_status("pending")) > 1:
            clock.advance(20)
        return found

    async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as group:
        waiting = group.create_task(store.wait_for(query))
        await until(lambda: times_asked > 1)
        clock.advance(-3600)
        await store.tasks.create(name="Draw", not_before=clock.after(10))
    assert [task.name for task in waiting.result()] == ["Draw"]


async def test_a_lease_that_is_over_while_its_holder_writes_is_recovered_when_they_are_done(
    store: Store, clock: SteppableClock
) -> None:
    await store.tasks.create(name="Draw")
    lost = await store.claims.next(
        holder="dead", worktree_id="w", provider=None, lease=timedelta(seconds=10)
    )
    assert lost is not None
    clock.advance(20)

    async def wait() -> int:
        claim = await store.wait_for_claim(holder="h", worktree_id="w", provider=None)
        return claim.epoch

    async with asyncio.timeout(SECONDS):
        async with store.unit_of_work(claim=lost) as uow:
            await uow.log_chunks.insert_chunk(lost.agent.id, lost.agent.name, 1, "drawing")
            waiting = asyncio.create_task(wait())
            # So long it may look in vain; where nobody writes beside another it waits for its turn.
            await asyncio.wait([waiting], timeout=0.5)
        assert await waiting == lost.epoch + 2


async def test_who_waits_for_an_account_too_keeps_nobody_from_what_needs_none(
    store: Store,
) -> None:
    await store.tasks.create(name="Draw")
    with_account = asyncio.create_task(store.wait_for_claim(holder="h", worktree_id="w"))
    await until_idle()
    async with asyncio.timeout(SECONDS):
        claim = await store.wait_for_claim(holder="h", worktree_id="w", provider=None)
        await store.accounts.create(email="first@example.com")
        task = await store.tasks.create(name="Build")
        assert (await with_account).task.id == task.id
    assert claim.task.name == "Draw"
