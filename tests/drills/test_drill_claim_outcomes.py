"""A claim that is cancelled, or whose COMMIT is not answered, is whole or is not there."""

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from drill import CANCELLATIONS, Drill, cancelled_at

from builders import all_given_back
from cw_store import Account, Claim, LeaseLostError, OutcomeUnknownError, Store
from postgres_proxy import Proxy
from steppable_clock import SteppableClock

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
