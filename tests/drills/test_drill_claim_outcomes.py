"""A claim that is cancelled, or whose COMMIT is not answered, is whole or is not there.

Nor is it kept any more than its block lasts, however that ends.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import pytest
from drill import Drill

from claims import taken_over
from cw_store import (
    Account,
    Claim,
    LeaseLostError,
    OutcomeUnknownError,
    Store,
    StoreBusyError,
)
from cw_store.testing import SteppableClock
from cw_store.testing.cancellation import CANCELLATIONS, cancelled_at
from cw_store.testing.stores import all_given_back
from postgres_proxy import Proxy
from steppable_loop import SteppableLoop
from waits import until_idle

LEASE = timedelta(minutes=2)


async def add_ready_task(store: Store, number: int) -> str:
    """Add an initiative with one phase and one task, the only one that is ready."""
    initiative = await store.initiatives.create(name="i")
    phase = await store.phases.create(initiative_id=initiative.id, name="p")
    task = await store.tasks.create(phase_id=phase.id, name=f"{number}", max_retries=1_000)
    return task.id


async def claim(store: Store, agent_id: str) -> Claim:
    found = await store.claims.next(holder="h", worktree_id="w", agent_id=agent_id)
    assert found is not None
    return found


async def is_claimed(store: Store, task_id: str, agent_id: str, before: Account) -> bool:
    """Whether the agent has the task; asserts that all of the claim is there, or nothing."""
    task = await store.tasks.find_by_id(task_id)
    agent = await store.agents.find_by_id(agent_id)
    account = await store.accounts.find_by_id(before.id)
    assert task is not None and task.phase_id is not None and account is not None
    phase = await store.phases.find_by_id(task.phase_id)
    assert phase is not None
    live = await store.claims.find_live()
    if agent is None:
        assert (task.status, task.epoch, task.claimed_by_agent_id) == ("pending", 0, None)
        assert phase.status == "pending"
        assert account == before
        assert live == []
        return False
    assert (task.status, task.epoch, task.claimed_by_agent_id) == ("in_progress", 1, agent_id)
    assert (agent.status, agent.task_id, agent.epoch) == ("running", task_id, 1)
    assert agent.lease_expires_at is not None and agent.account_id == account.id
    assert phase.status == "in_progress"
    assert account.last_used_at != before.last_used_at
    assert [one.agent for one in live] == [agent]
    return True


async def is_completed(store: Store, held: Claim) -> bool:
    """Whether the claim was ended; asserts that all of that is there, or nothing."""
    task = await store.tasks.find_by_id(held.task.id)
    agent = await store.agents.find_by_id(held.agent.id)
    assert task is not None and task.phase_id is not None and agent is not None
    assert task.initiative_id is not None
    phase = await store.phases.find_by_id(task.phase_id)
    initiative = await store.initiatives.find_by_id(task.initiative_id)
    assert phase is not None and initiative is not None
    ended = task.status == "completed"
    if ended:
        assert (agent.status, agent.lease_expires_at) == ("stopped", None)
        assert (phase.status, initiative.status) == ("completed", "completed")
        with pytest.raises(LeaseLostError):
            await store.claims.check(held)
    else:
        assert (agent.status, task.claimed_by_agent_id) == ("running", agent.id)
        assert (phase.status, initiative.status) == ("in_progress", "active")
        await store.claims.check(held)
    return ended


async def alone(store: Store, work: Callable[[Store], Awaitable[object]]) -> None:
    await work(store)


async def in_a_unit(store: Store, work: Callable[[Store], Awaitable[object]]) -> None:
    async with store.unit_of_work() as uow:
        await work(uow)  # pyright: ignore[reportArgumentType] -- it has the same repositories


@pytest.mark.parametrize("where", [alone, in_a_unit])
async def test_a_claim_that_is_cancelled_at_any_await_is_whole_or_is_not_there(
    drill: Drill,
    url: str,
    where: Callable[[Store, Callable[[Store], Awaitable[object]]], Awaitable[None]],
) -> None:
    told = Counter[str]()
    clock = SteppableClock()
    async with Store(url, clock=clock) as store:
        account = await store.accounts.create(email="a@example.org")
        for how in CANCELLATIONS:
            for point in range(1, 200):
                agent_id = f"{how}, {point}"
                before = await store.accounts.find_by_id(account.id)
                assert before is not None
                task_id = await add_ready_task(store, point)

                async def next_one(repos: Store, agent_id: str = agent_id) -> object:
                    return await claim(repos, agent_id)

                reached, _ = await cancelled_at(point, how, where(store, next_one))
                await all_given_back(store)
                claimed = await is_claimed(store, task_id, agent_id, before)
                told["claimed" if claimed else "not claimed"] += 1
                if claimed:
                    # Nobody may know of it, and yet it is nobody's loss.
                    clock.advance(LEASE.total_seconds())
                    assert [agent.id for agent in await store.claims.recover()] == [agent_id]
                await store.tasks.delete(task_id)
                if not reached:
                    break
            else:
                raise AssertionError("it never came to its end")
    assert told["claimed"] and told["not claimed"]
    drill.held(f"{told['claimed']} claimed, {told['not claimed']} not")


@pytest.mark.parametrize("where", [alone, in_a_unit])
async def test_an_end_that_is_cancelled_at_any_await_is_whole_or_is_not_there(
    drill: Drill,
    url: str,
    where: Callable[[Store, Callable[[Store], Awaitable[object]]], Awaitable[None]],
) -> None:
    told = Counter[str]()
    async with Store(url) as store:
        await store.accounts.create(email="a@example.org")
        for how in CANCELLATIONS:
            for point in range(1, 200):
                task_id = await add_ready_task(store, point)
                held = await claim(store, f"{how}, {point}")
                assert held.task.id == task_id

                async def complete(repos: Store, held: Claim = held) -> object:
                    return await repos.claims.complete(held)

                reached, _ = await cancelled_at(point, how, where(store, complete))
                await all_given_back(store)
                ended = await is_completed(store, held)
                told["completed" if ended else "not completed"] += 1
                if not ended:
                    await store.claims.complete(held)
                if not reached:
                    break
            else:
                raise AssertionError("it never came to its end")
    assert told["completed"] and told["not completed"]
    drill.held(f"{told['completed']} completed, {told['not completed']} not")


@pytest.mark.parametrize("is_stored", [True, False])
async def test_a_claim_whose_commit_is_not_answered_is_found_by_its_agent(
    migrated_server: str, is_stored: bool
) -> None:
    async with Proxy(migrated_server) as proxy, Store(proxy.url, busy_timeout=5) as store:
        account = await store.accounts.create(email="a@example.org")
        task_id = await add_ready_task(store, 1)
        cut = proxy.cut_instead_of_answer if is_stored else proxy.cut_before
        cut("COMMIT\0")
        with pytest.raises(OutcomeUnknownError):
            await store.claims.next(holder="h", worktree_id="w", agent_id="mine")
        assert await is_claimed(store, task_id, "mine", account) is is_stored
        if is_stored:
            [held] = await store.claims.find_live(holder="h")
        else:
            held = await claim(store, "another")
        cut("COMMIT\0")
        with pytest.raises(OutcomeUnknownError):
            await store.claims.complete(held)
        if await is_completed(store, held) is not is_stored:
            raise AssertionError("it is not as it was cut")
        await store.initiatives.delete(held.task.initiative_id or "")
        for table in ("agents", "accounts"):
            await proxy.empty(table)


# Claims that are kept.


async def lease_of(store: Store, held: Claim) -> datetime | None:
    agent = await store.agents.find_by_id(held.agent.id)
    assert agent is not None
    return agent.lease_expires_at


def is_renewing() -> bool:
    return "cw_store renews what is kept" in {task.get_name() for task in asyncio.all_tasks()}


async def is_kept_no_more(store: Store, held: Claim, clock: SteppableClock) -> None:
    """Assert that nothing is left that would renew a claim when its time has come."""
    async with asyncio.timeout(20):
        while is_renewing():  # noqa: ASYNC110 -- what is under way comes to its end
            await asyncio.sleep(0)
    await all_given_back(store)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteppableLoop)
    before = await lease_of(store, held)
    clock.advance(1)
    loop.advance(LEASE.total_seconds())
    await until_idle()
    assert not is_renewing()
    assert await lease_of(store, held) == before


async def test_a_kept_claim_that_is_cancelled_at_any_await_is_whole_and_kept_no_more(
    drill: Drill, url: str, steppable_loop: SteppableLoop
) -> None:
    told = Counter[str]()
    clock = SteppableClock()
    async with Store(url, clock=clock) as store:
        await store.accounts.create(email="a@example.org")
        for how in drill.amount(CANCELLATIONS[:2], CANCELLATIONS):
            for point in range(1, 300):
                await add_ready_task(store, point)
                held = await claim(store, f"{how}, {point}")

                async def work(held: Claim = held) -> None:
                    async with store.keep(held, lease=LEASE):
                        steppable_loop.advance(LEASE.total_seconds())
                        async with store.unit_of_work(claim=held) as uow:
                            await uow.agents.update(held.agent.id, pid=1)
                        await store.claims.complete(held)

                reached, _ = await cancelled_at(point, how, work())
                await is_kept_no_more(store, held, clock)
                ended = await is_completed(store, held)
                told["completed" if ended else "not completed"] += 1
                if not ended:
                    await store.claims.complete(held)
                if not reached:
                    break
            else:
                raise AssertionError("it never came to its end")
    assert told["completed"] and told["not completed"]
    drill.held(f"{told['completed']} completed, {told['not completed']} not")


async def test_a_block_that_is_cancelled_at_any_await_of_a_takeover_ends_as_one_of_the_two(
    drill: Drill, url: str, steppable_loop: SteppableLoop
) -> None:
    told = Counter[str]()
    clock = SteppableClock()
    async with Store(url, clock=clock) as store:
        await store.accounts.create(email="a@example.org")
        for how in drill.amount(CANCELLATIONS[:2], CANCELLATIONS):
            for point in range(1, 400):
                await add_ready_task(store, point)
                held = await claim(store, f"{how}, {point}")

                async def work(held: Claim = held) -> None:
                    with pytest.raises(LeaseLostError) as raised:
                        async with store.keep(held, lease=LEASE):
                            await taken_over(store, held)
                            steppable_loop.advance(LEASE.total_seconds())
                            while True:
                                await store.claims.find_live()
                    assert raised.value.id == held.task.id
                    task = asyncio.current_task()
                    assert task is not None and not task.cancelling(), "one from outside wins"

                reached, is_lost = await cancelled_at(point, how, work())
                told["lost" if is_lost else "cancelled"] += 1
                await is_kept_no_more(store, held, clock)
                await store.claims.revoke(held.task.id, status="completed")
                await store.tasks.update(held.task.id, status="completed")
                if not reached:
                    break
            else:
                raise AssertionError("it never came to its end")
    assert told["lost"] and told["cancelled"]
    drill.held(f"{told['cancelled']} cancelled, {told['lost']} lost")


Cut = Callable[[Proxy, str], None]


@pytest.mark.parametrize("cut", [Proxy.cut_before, Proxy.cut_instead_of_answer])
async def test_a_claim_whose_renewal_is_not_answered_is_renewed_again(
    migrated_server: str,
    cut: Cut,
    caplog: pytest.LogCaptureFixture,
    steppable_loop: SteppableLoop,
) -> None:
    clock = SteppableClock()
    async with (
        Proxy(migrated_server) as proxy,
        Store(proxy.url, busy_timeout=3600, clock=clock) as store,
        Store(migrated_server, clock=clock) as beside,
    ):
        await store.accounts.create(email="a@example.org")
        await add_ready_task(store, 1)
        held = await claim(store, "mine")
        await store.claims.renew([held])  # and so the statement is prepared
        cut(proxy, "asyncpg_stmt")
        with pytest.raises((OutcomeUnknownError, StoreBusyError)):
            async with store.keep(held, lease=LEASE):
                raise AssertionError("nobody knows whether it is held")
        await beside.claims.check(held)
        async with store.keep(held, lease=LEASE):
            clock.advance(40)
            cut(proxy, "asyncpg_stmt")
            steppable_loop.advance(40)
            await proxy.reached.wait()
            while "tried again" not in caplog.text:  # noqa: ASYNC110
                await asyncio.sleep(0)
            steppable_loop.advance(40)
            async with asyncio.timeout(20):
                while await lease_of(beside, held) != clock.after(LEASE.total_seconds()):
                    pass
        await beside.initiatives.delete(held.task.initiative_id or "")
        for table in ("agents", "accounts"):
            await proxy.empty(table)


async def test_a_takeover_while_renewals_are_not_answered_ends_the_block_when_one_is(
    migrated_server: str, caplog: pytest.LogCaptureFixture, steppable_loop: SteppableLoop
) -> None:
    clock = SteppableClock()
    async with (
        Proxy(migrated_server) as proxy,
        Store(proxy.url, busy_timeout=3600, clock=clock) as store,
        Store(migrated_server, clock=clock) as beside,
    ):
        await store.accounts.create(email="a@example.org")
        await add_ready_task(store, 1)
        held = await claim(store, "mine")
        successor: Claim | None = None
        with pytest.raises(LeaseLostError) as raised:
            async with store.keep(held, lease=LEASE):
                proxy.cut_before("asyncpg_stmt")
                steppable_loop.advance(40)
                await proxy.reached.wait()
                successor = await taken_over(beside, held)
                while "tried again" not in caplog.text:  # noqa: ASYNC110
                    await asyncio.sleep(0)
                steppable_loop.advance(40)
                await asyncio.Event().wait()
        assert successor is not None and raised.value.held_by == successor.agent.id
        await beside.initiatives.delete(held.task.initiative_id or "")
        for table in ("agents", "accounts"):
            await proxy.empty(table)
