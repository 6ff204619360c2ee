"""Claims: one transaction takes a task, an account and an agent; a lease says until when."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import add_account, add_agent, add_initiative, add_phase, add_task
from cw_store import (
    AlreadyExistsError,
    Claim,
    Claimed,
    InitiativeFull,
    InitiativeInactive,
    InvalidValueError,
    LeaseLostError,
    NoAccount,
    NotBefore,
    NotFoundError,
    PhaseNotOpen,
    Readiness,
    StaleStateError,
    Store,
    UnitOfWork,
    UnreadableError,
    WaitsForPhase,
    WaitsForTask,
    WrongCategory,
    WrongStatus,
)
from cw_store.testing import SteppableClock
from unreadable import spoil

LEASE = timedelta(minutes=2)


async def claim_next(store: Store, **options: Any) -> Claim:
    """Claim what is next, which there has to be."""
    arguments: dict[str, Any] = {"holder": "host/1", "worktree_id": "trees/1", **options}
    claim = await store.claims.next(**arguments)
    assert claim is not None
    return claim


async def nothing_is_next(store: Store, **options: Any) -> bool:
    return await store.claims.next(holder="host/1", worktree_id="trees/1", **options) is None


async def add_ready_task(store: Store, **values: Any) -> str:
    """Add a task that can be claimed, and an account for it; return its id."""
    await add_account(store)
    return (await add_task(store, **values)).id


# next


async def test_a_claim_takes_task_account_and_agent_and_begins_the_phase(
    store: Store, clock: SteppableClock
) -> None:
    account = await add_account(store)
    phase = await add_phase(store)
    task = await add_task(store, phase_id=phase.id)
    claim = await claim_next(store, holder="host/7", worktree_id="trees/seven", mode="plan")
    assert (claim.task.id, claim.task.status, claim.task.epoch) == (task.id, "in_progress", 1)
    assert claim.task.claimed_by_agent_id == claim.agent.id
    assert claim.account is not None and claim.account.id == account.id
    assert claim.account.last_used_at is not None
    agent = claim.agent
    assert (agent.status, agent.mode, agent.holder) == ("running", "plan", "host/7")
    assert (agent.worktree_id, agent.task_id) == ("trees/seven", task.id)
    assert (agent.initiative_id, agent.account_id) == (phase.initiative_id, account.id)
    assert (agent.epoch, agent.lease_expires_at) == (1, clock.now + LEASE)
    assert (claim.epoch, claim.previous) == (1, None)
    assert await store.tasks.find_by_id(task.id) == claim.task
    assert await store.agents.find_by_id(agent.id) == agent
    assert await store.accounts.find_by_id(account.id) == claim.account
    begun = await store.phases.find_by_id(phase.id)
    assert begun is not None and begun.status == "in_progress"


async def test_nothing_is_claimed_where_nothing_is_ready(store: Store) -> None:
    await add_account(store)
    assert await nothing_is_next(store)
    assert await store.agents.find_all() == []


async def test_nothing_is_claimed_without_an_account(store: Store) -> None:
    await add_task(store)
    await add_account(store, provider="codex")
    exhausted = await add_account(store)
    await store.accounts.mark_exhausted(exhausted.id)
    assert await nothing_is_next(store)
    assert (await claim_next(store, provider="codex")).agent.provider == "codex"


async def test_a_claim_without_a_provider_takes_no_account(store: Store) -> None:
    await add_task(store)
    claim = await claim_next(store, provider=None)
    assert (claim.account, claim.agent.account_id) == (None, None)


async def test_a_given_account_is_taken_and_no_other(store: Store) -> None:
    await add_account(store)
    wanted = await add_account(store)
    await add_task(store)
    claim = await claim_next(store, account_id=wanted.id)
    assert claim.account is not None and claim.account.id == wanted.id
    await add_task(store)
    await store.accounts.mark_exhausted(wanted.id)
    assert await nothing_is_next(store, account_id=wanted.id)
    with pytest.raises(InvalidValueError, match="no provider's account"):
        await store.claims.next(holder="h", worktree_id="w", provider=None, account_id=wanted.id)


async def test_the_agent_has_the_id_that_was_given_for_it(store: Store) -> None:
    await add_ready_task(store)
    claim = await claim_next(store, agent_id="agent-7")
    assert claim.agent.id == "agent-7"
    other = await add_ready_task(store)
    with pytest.raises(AlreadyExistsError) as taken:
        await store.claims.next(holder="h", worktree_id="w", agent_id="agent-7")
    assert (taken.value.table, taken.value.columns) == ("agents", ("id",))
    task = await store.tasks.find_by_id(other)
    assert task is not None and (task.status, task.epoch) == ("pending", 0)


async def test_within_a_phase_tasks_go_by_priority_then_order_then_age(store: Store) -> None:
    await add_account(store)
    phase = await add_phase(store)
    for name, priority, order in (
        ("fifth", "low", 0),
        ("third", "medium", 1),
        ("fourth", "medium", 1),
        ("second", "medium", 0),
        ("first", "high", 9),
    ):
        await add_task(store, phase_id=phase.id, name=name, priority=priority, order=order)
    assert [task.name for task in await store.claims.find_ready()] == [
        "first",
        "second",
        "third",
        "fourth",
        "fifth",
    ]
    claimed = [(await claim_next(store)).task.name for _ in range(5)]
    assert claimed == ["first", "second", "third", "fourth", "fifth"]


async def test_initiatives_take_turns_however_many_tasks_they_have(store: Store) -> None:
    await add_account(store)
    owners: dict[str, str] = {}
    for size in (9, 1, 5, 3, 7):
        phase = await add_phase(store)
        for _ in range(size):
            task = await add_task(store, phase_id=phase.id, priority="high" if size == 9 else "low")
            owners[task.id] = phase.initiative_id
    first_five = [owners[(await claim_next(store)).task.id] for _ in range(5)]
    assert len(set(first_five)) == 5
    rest = Counter([owners[(await claim_next(store)).task.id] for _ in range(8)])
    assert max(rest.values()) == 2


async def test_tasks_without_an_initiative_take_turns_with_those_that_have_one(
    store: Store,
) -> None:
    await add_account(store)
    initiative = await add_initiative(store)
    for _ in range(3):
        await add_task(store)
        await add_task(store, initiative_id=initiative.id)
    claimed = [(await claim_next(store)).task.initiative_id for _ in range(6)]
    assert Counter(claimed[:2]) == Counter(claimed[2:4]) == Counter(claimed[4:])
    assert set(claimed) == {None, initiative.id}


async def test_an_initiative_has_no_more_agents_at_work_than_it_may(store: Store) -> None:
    await add_account(store)
    initiative = await add_initiative(store, max_agents=2)
    tasks = [await add_task(store, initiative_id=initiative.id) for _ in range(3)]
    first = await claim_next(store)
    await claim_next(store)
    assert await nothing_is_next(store)
    assert await store.claims.find_ready() == []
    readiness = await store.claims.explain(tasks[2].id)
    assert readiness == Readiness(False, (InitiativeFull(initiative.id, 2),))
    await store.claims.release(first)
    assert len(await store.claims.find_ready()) == 2
    await claim_next(store)


async def test_an_account_has_no_more_agents_than_it_may(store: Store) -> None:
    await add_account(store, max_agents=1)
    await add_account(store, max_agents=2)
    tasks = [await add_task(store) for _ in range(4)]
    claims = [await claim_next(store) for _ in range(3)]
    per_account = Counter(claim.agent.account_id for claim in claims)
    assert sorted(per_account.values()) == [1, 2]
    assert await nothing_is_next(store)
    assert await store.claims.explain(tasks[3].id) == Readiness(False, (NoAccount("claude"),))
    await store.claims.complete(claims[0])
    assert (await claim_next(store)).agent.account_id == claims[0].agent.account_id


async def test_only_tasks_of_the_initiative_and_category_asked_for_are_claimed(
    store: Store,
) -> None:
    await add_account(store)
    one, other = await add_initiative(store), await add_initiative(store)
    await add_task(store, initiative_id=one.id)
    review = await add_task(store, initiative_id=other.id, category="review")
    await add_task(store, initiative_id=other.id)
    found = await store.claims.find_ready(other.id, categories=["review", "verify"])
    assert [task.id for task in found] == [review.id]
    assert (await claim_next(store, categories=("review",))).task.id == review.id
    assert await nothing_is_next(store, categories=("review",))
    assert await nothing_is_next(store, categories=())
    assert (await claim_next(store, initiative_id=other.id)).task.initiative_id == other.id
    assert await nothing_is_next(store, initiative_id=other.id)
    assert await nothing_is_next(store, initiative_id="unknown")


# ready, and why not


async def test_every_reason_why_a_task_is_not_ready_is_told(
    store: Store, clock: SteppableClock
) -> None:
    initiative = await add_initiative(store, status="archived")
    first = await add_phase(store, initiative_id=initiative.id)
    phase = await add_phase(store, initiative_id=initiative.id, status="blocked")
    await store.phases.create_dependency(phase.id, first.id)
    other = await add_task(store, phase_id=phase.id, status="blocked")
    task = await add_task(store, phase_id=phase.id, not_before=clock.after(60), category="merge")
    await store.tasks.create_dependency(task.id, other.id)
    readiness = await store.claims.explain(task.id, categories=["execute"])
    assert readiness == Readiness(
        False,
        (
            WrongCategory("merge"),
            WaitsForTask(other.id, "blocked"),
            WaitsForPhase(first.id, "pending"),
            PhaseNotOpen(phase.id, "blocked"),
            NotBefore(clock.after(60)),
            InitiativeInactive(initiative.id, "archived"),
            NoAccount("claude"),
        ),
    )
    assert WrongStatus("blocked") in (await store.claims.explain(other.id)).reasons
    assert await store.claims.find_ready(categories=["execute"]) == []
    with pytest.raises(NotFoundError):
        await store.claims.explain("unknown")


async def test_of_several_that_a_task_waits_for_the_oldest_is_told_first(store: Store) -> None:
    initiative = await add_initiative(store)
    phase = await add_phase(store, initiative_id=initiative.id)
    phases = [(await add_phase(store, id=id, initiative_id=initiative.id)).id for id in "cab"]
    tasks = [(await add_task(store, id=id, phase_id=phase.id)).id for id in "fde"]
    task = await add_task(store, phase_id=phase.id)
    await store.phases.set_dependencies(phase.id, sorted(phases))
    await store.tasks.set_dependencies(task.id, sorted(tasks))
    await store.tasks.update(tasks[0], name="where a server keeps rows changes nothing")
    assert (await store.claims.explain(task.id, provider=None)).reasons == (
        *[WaitsForTask(id, "pending") for id in tasks],
        *[WaitsForPhase(id, "pending") for id in phases],
    )


async def test_a_claimed_task_is_explained_by_who_has_it(store: Store) -> None:
    task_id = await add_ready_task(store)
    agent = (await claim_next(store, holder="host/3")).agent
    assert await store.claims.explain(task_id) == Readiness(
        False,
        (Claimed(agent.id, agent.name, "host/3", agent.created_at, agent.lease_expires_at),),
    )


async def test_what_is_asked_for_has_to_be_known(store: Store) -> None:
    await add_ready_task(store)
    wrong: Any
    for wrong in ({"phase_statuses": ["open"]}, {"categories": ["code"]}):
        with pytest.raises(InvalidValueError, match="must be one of"):
            await store.claims.find_ready(**wrong)
    for wrong in (
        {"lease": timedelta(0)},
        {"lease": timedelta(days=-1)},
        {"lease": timedelta.max},
        {"lease": 120},
        {"mode": "work"},
        {"holder": None},
        {"holder": "a\0b"},
        {"worktree_id": None},
        {"agent_id": ""},
    ):
        arguments: dict[str, Any] = {"holder": "h", "worktree_id": "w", **wrong}
        with pytest.raises(InvalidValueError):
            await store.claims.next(**arguments)
    for limit in (0, -1):
        with pytest.raises(InvalidValueError):
            await store.claims.find_ready(limit=limit)
    assert await store.agents.find_all() == []


async def test_find_ready_gives_so_many_of_all_groups_as_are_asked_for(store: Store) -> None:
    await add_account(store)
    for _ in range(2):
        phase = await add_phase(store)
        for order in range(3):
            await add_task(store, phase_id=phase.id, order=order)
    everything = await store.claims.find_ready()
    assert len(everything) == 6
    for limit in (1, 2, 4, 6, 9):
        assert await store.claims.find_ready(limit=limit) == everything[:limit]


async def test_a_task_is_not_taken_before_its_time(store: Store, clock: SteppableClock) -> None:
    await add_account(store)
    await add_task(store, not_before=clock.after(10))
    assert await nothing_is_next(store)
    assert await store.claims.next_deadline() == clock.after(10)
    clock.advance(10)
    claim = await claim_next(store)
    assert claim.task.not_before is None


async def test_a_completed_phase_waits_for_nobody(store: Store) -> None:
    first = await add_phase(store, status="completed")
    phase = await add_phase(store, initiative_id=first.initiative_id)
    await store.phases.create_dependency(phase.id, first.id)
    task_id = await add_ready_task(store, phase_id=phase.id)
    await store.phases.update(phase.id, status="completed")
    await store.phases.update(first.id, status="pending")
    for last in ("pending", "completed"):
        if last == "completed":
            await store.phases.create_dependency(
                phase.id, (await add_phase(store, initiative_id=first.initiative_id)).id
            )
        readiness = await store.claims.explain(task_id, phase_statuses=["completed"])
        assert readiness == Readiness(True, ())
        ready = await store.claims.find_ready(phase_statuses=["completed"])
        assert [task.id for task in ready] == [task_id]
    assert await store.claims.explain(task_id) == Readiness(
        False, (PhaseNotOpen(phase.id, "completed"),)
    )


# take


async def test_a_given_task_is_taken_out_of_its_turn(store: Store) -> None:
    await add_ready_task(store, priority="high")
    wanted = await add_ready_task(store, priority="low")
    claim = await store.claims.take(wanted, holder="h", worktree_id="w")
    assert (claim.task.id, claim.epoch) == (wanted, 1)


async def test_a_task_that_is_not_ready_is_not_taken_and_all_reasons_are_said(
    store: Store,
) -> None:
    blocked = await add_ready_task(store, status="blocked")
    with pytest.raises(StaleStateError, match="cannot be claimed: it is blocked"):
        await store.claims.take(blocked, holder="h", worktree_id="w")
    with pytest.raises(NotFoundError):
        await store.claims.take("unknown", holder="h", worktree_id="w")
    taken = await add_ready_task(store)
    claim = await claim_next(store, holder="host/5")
    since = claim.agent.created_at.isoformat()
    with pytest.raises(StaleStateError, match="'host/5' has it since") as refused:
        await store.claims.take(taken, holder="h", worktree_id="w")
    assert since in str(refused.value) and claim.agent.id in str(refused.value)


async def test_a_misspelt_option_is_refused_and_claims_nothing(store: Store) -> None:
    task_id = await add_ready_task(store)
    misspelt: dict[str, Any] = {"leese": LEASE}
    place = {"holder": "host/1", "worktree_id": "trees/1"}
    for call in (
        lambda: store.claims.next(**place, **misspelt),
        lambda: store.claims.take(task_id, **place, **misspelt),
        lambda: store.claims.find_ready(**misspelt),
        lambda: store.claims.explain(task_id, **misspelt),
        lambda: store.wait_for_claim(**place, **misspelt),
    ):
        with pytest.raises(TypeError, match=r"takes no leese; it takes account_id, .*provider"):
            await call()
    assert (await store.claims.explain(task_id)).is_ready


async def test_what_is_no_claim_is_refused_by_whatever_takes_one(store: Store) -> None:
    await add_ready_task(store)
    claim = await claim_next(store)
    no_claims: list[Any] = [claim.task, claim.task.id, None]
    for no_claim in no_claims:
        for call in (
            lambda given=no_claim: store.claims.check(given),
            lambda given=no_claim: store.claims.renew([given]),
            lambda given=no_claim: store.claims.complete(given),
            lambda given=no_claim: store.claims.fail(given),
            lambda given=no_claim: store.claims.release(given),
        ):
            with pytest.raises(TypeError, match="a claim is what"):
                await call()
    one_alone: Any = claim
    with pytest.raises(TypeError, match="takes a list of claims"):
        await store.claims.renew(one_alone)
    await store.claims.check(claim)


async def test_a_refused_claim_does_not_spend_the_unit_of_work(store: Store) -> None:
    blocked = await add_ready_task(store, status="blocked")
    async with store.unit_of_work() as uow:
        with pytest.raises(StaleStateError):
            await uow.claims.take(blocked, holder="h", worktree_id="w")
        assert await uow.claims.next(holder="h", worktree_id="w") is None
        task = await add_task(uow)
        claim = await uow.claims.next(holder="h", worktree_id="w")
        assert claim is not None and claim.task.id == task.id
    assert uow.committed


NO_TEXT: Any = 5
PLACE: Any = {"holder": "host/1", "worktree_id": "trees/1"}

REFUSED: dict[str, Callable[[UnitOfWork, Claim], Awaitable[object]]] = {
    "of no initiative": lambda uow, _: uow.claims.next(**PLACE, initiative_id=""),
    "under no account": lambda uow, _: uow.claims.next(**PLACE, account_id=NO_TEXT),
    "of no provider": lambda uow, _: uow.claims.next(**PLACE, provider=NO_TEXT),
    "take nothing": lambda uow, _: uow.claims.take("", **PLACE),
    "take under no account": lambda uow, claim: uow.claims.take(
        claim.task.id, **PLACE, account_id=NO_TEXT
    ),
    "of no holder": lambda uow, _: uow.claims.recover(holder=NO_TEXT),
    "perhaps": lambda uow, claim: uow.claims.fail(claim, block=NO_TEXT),
    "fail under no epoch": lambda uow, claim: uow.claims.fail(replace(claim, epoch=2**40)),
    "append under no epoch": lambda uow, claim: uow.log_chunks.insert_chunks(
        [], claim=replace(claim, epoch=2**40)
    ),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_is_refused_for_its_values_does_not_spend_the_unit_of_work(
    store: Store, what: str
) -> None:
    await add_ready_task(store)
    claim = await claim_next(store)
    async with store.unit_of_work() as uow:
        task = await add_task(uow)
        with pytest.raises(InvalidValueError):
            await REFUSED[what](uow, claim)
        assert await uow.tasks.find_by_id(task.id) == task
    assert uow.committed
    await store.claims.check(claim)


async def test_a_claim_in_a_unit_that_is_undone_is_none(store: Store) -> None:
    task_id = await add_ready_task(store)
    with pytest.raises(KeyError):
        async with store.unit_of_work() as uow:
            await uow.claims.next(holder="h", worktree_id="w")
            raise KeyError
    assert await store.agents.find_all() == []
    assert (await claim_next(store)).task.id == task_id


# check, renew


async def test_a_claim_is_held_until_it_is_ended_and_then_lost(store: Store) -> None:
    task_id = await add_ready_task(store)
    claim = await claim_next(store)
    await store.claims.check(claim)
    await store.claims.release(claim)
    with pytest.raises(LeaseLostError, match="nobody has it now, it is pending") as lost:
        await store.claims.check(claim)
    assert (lost.value.table, lost.value.id) == ("tasks", task_id)
    assert (lost.value.epoch, lost.value.held_by) == (1, None)
    other = await claim_next(store, holder="host/2")
    with pytest.raises(LeaseLostError, match=r"'host/2' has it since .* under epoch 2") as lost:
        await store.claims.check(claim)
    assert lost.value.held_by == other.agent.id
    await store.claims.check(other)
    await store.claims.complete(other)
    await store.tasks.delete(task_id)
    with pytest.raises(LeaseLostError, match="the task was deleted"):
        await store.claims.check(other)


async def test_renewing_moves_the_leases_of_those_still_held(
    store: Store, clock: SteppableClock
) -> None:
    for _ in range(3):
        await add_ready_task(store)
    claims = [await claim_next(store) for _ in range(3)]
    await store.claims.release(claims[1])
    clock.advance(60)
    renewed = await store.claims.renew(reversed(claims), lease=timedelta(minutes=5))
    assert [claim.task for claim in renewed] == [claims[2].task, claims[0].task]
    assert {claim.agent.lease_expires_at for claim in renewed} == {clock.after(300)}
    for claim in renewed:
        agent = await store.agents.find_by_id(claim.agent.id)
        assert agent == claim.agent  # `updated_at` included: to renew changes nothing else
    assert await store.claims.renew([]) == []
    assert await store.claims.renew([claims[1]]) == []


async def test_a_late_renewal_is_good_as_long_as_nobody_has_taken_over(
    store: Store, clock: SteppableClock
) -> None:
    await add_ready_task(store)
    claim = await claim_next(store)
    clock.advance(600)
    assert len(await store.claims.renew([claim])) == 1
    assert await store.claims.recover() == []
    clock.advance(600)
    await store.claims.complete(claim)


# complete


async def test_a_completed_claim_ends_task_agent_and_lease(store: Store) -> None:
    await add_ready_task(store)
    claim = await claim_next(store)
    finished = await store.claims.complete(claim, summary="done", result={"lines": 7}, exit_code=0)
    assert (finished.task.status, finished.task.summary) == ("completed", "done")
    assert finished.task.claimed_by_agent_id is None
    assert (finished.phase, finished.initiative) == (None, None)
    agent = await store.agents.find_by_id(claim.agent.id)
    assert agent is not None
    assert (agent.status, agent.result, agent.exit_code) == ("stopped", {"lines": 7}, 0)
    assert (agent.lease_expires_at, agent.epoch) == (None, 1)
    with pytest.raises(LeaseLostError, match="it is completed"):
        await store.claims.complete(claim)


async def test_completing_leaves_what_is_not_given(store: Store) -> None:
    await add_ready_task(store, summary="as it was")
    claim = await claim_next(store)
    await store.agents.update(claim.agent.id, result="so far", exit_code=3)
    finished = await store.claims.complete(claim)
    assert finished.task.summary == "as it was"
    agent = await store.agents.find_by_id(claim.agent.id)
    assert agent is not None and (agent.result, agent.exit_code) == ("so far", 3)


async def test_the_last_task_moves_its_phase_and_the_last_phase_its_initiative(
    store: Store,
) -> None:
    await add_account(store)
    first = await add_phase(store)
    second = await add_phase(store, initiative_id=first.initiative_id)
    await store.phases.create_dependency(second.id, first.id)
    await add_task(store, phase_id=first.id)
    await add_task(store, phase_id=first.id)
    await add_task(store, phase_id=second.id)
    finished = await store.claims.complete(await claim_next(store))
    assert (finished.phase, finished.initiative) == (None, None)
    finished = await store.claims.complete(await claim_next(store))
    assert finished.phase is not None and finished.initiative is None
    assert (finished.phase.id, finished.phase.status) == (first.id, "completed")
    finished = await store.claims.complete(await claim_next(store))
    assert finished.phase is not None and finished.phase.id == second.id
    assert finished.initiative is not None and finished.initiative.status == "completed"
    assert await store.initiatives.find_by_id(first.initiative_id) == finished.initiative


async def test_where_a_phase_is_reviewed_first_its_initiative_goes_on(store: Store) -> None:
    await add_account(store)
    phase = await add_phase(store)
    await add_task(store, phase_id=phase.id)
    claim = await claim_next(store)
    finished = await store.claims.complete(claim, phase_status="pending_review")
    assert finished.phase is not None and finished.phase.status == "pending_review"
    assert finished.initiative is None


async def test_a_status_that_is_none_is_left_to_the_caller(store: Store) -> None:
    await add_account(store)
    phase = await add_phase(store)
    await add_task(store, phase_id=phase.id)
    finished = await store.claims.complete(
        await claim_next(store), phase_status=None, initiative_status=None
    )
    assert (finished.phase, finished.initiative) == (None, None)
    left = await store.phases.find_by_id(phase.id)
    assert left is not None and left.status == "in_progress"


async def test_a_task_waits_until_the_last_of_its_prerequisites_is_completed(
    store: Store,
) -> None:
    await add_account(store)
    before = [await add_task(store) for _ in range(2)]
    dependent = await add_task(store, priority="high")
    await store.tasks.set_dependencies(dependent.id, [task.id for task in before])
    for _ in before:
        claim = await claim_next(store)
        assert claim.task.id != dependent.id
        await store.claims.complete(claim)
    assert (await claim_next(store)).task.id == dependent.id


async def test_a_status_to_move_on_to_is_refused_before_it_is_needed(store: Store) -> None:
    phase = await add_phase(store)
    for _ in range(2):
        await add_ready_task(store, phase_id=phase.id)
    claim = await claim_next(store)
    wrong: list[dict[str, Any]] = [{"phase_status": "done"}, {"initiative_status": "done"}]
    for statuses in wrong:
        with pytest.raises(InvalidValueError, match="must be one of"):
            await store.claims.complete(claim, **statuses)
    await store.claims.check(claim)


# fail, release, revoke, recover


async def test_a_failed_task_is_tried_again_later_and_later(
    store: Store, clock: SteppableClock
) -> None:
    task_id = await add_ready_task(store, max_retries=9)
    pauses = [10, 20, 40, 80, 160, 320, 640, 900, 900]
    for retry, seconds in enumerate(pauses, start=1):
        claim = await claim_next(store)
        finished = await store.claims.fail(claim, exit_code=1)
        assert (finished.task.status, finished.task.retry_count) == ("pending", retry)
        assert finished.task.not_before is not None
        pause = (finished.task.not_before - clock.now).total_seconds()
        assert 0.8 * seconds <= pause <= 1.2 * seconds
        assert await nothing_is_next(store)
        clock.set(finished.task.not_before)
    finished = await store.claims.fail(await claim_next(store))
    assert (finished.task.id, finished.task.status) == (task_id, "blocked")
    assert (finished.task.retry_count, finished.task.not_before) == (10, None)


async def test_a_task_with_further_tries_given_is_tried_again_as_soon_as_a_new_one(
    store: Store, clock: SteppableClock
) -> None:
    await add_ready_task(store, retry_count=-5, max_retries=0)
    for retry_count in range(-4, 1):
        finished = await store.claims.fail(await claim_next(store))
        assert (finished.task.status, finished.task.retry_count) == ("pending", retry_count)
        assert finished.task.not_before is not None
        assert 8 <= (finished.task.not_before - clock.now).total_seconds() <= 12
        clock.set(finished.task.not_before)
    assert (await store.claims.fail(await claim_next(store))).task.status == "blocked"


async def test_a_failure_says_itself_when_to_try_again_or_that_it_is_over(
    store: Store, clock: SteppableClock
) -> None:
    await add_ready_task(store)
    claim = await claim_next(store)
    finished = await store.claims.fail(claim, retry_in=timedelta(seconds=3), result={"why": "?"})
    assert finished.task.not_before == clock.after(3)
    agent = await store.agents.find_by_id(claim.agent.id)
    assert agent is not None and (agent.status, agent.result) == ("stopped", {"why": "?"})
    clock.advance(3)
    finished = await store.claims.fail(await claim_next(store), block=True)
    assert (finished.task.status, finished.task.retry_count) == ("blocked", 2)


async def test_a_released_task_costs_no_retry(store: Store, clock: SteppableClock) -> None:
    await add_ready_task(store)
    finished = await store.claims.release(await claim_next(store), not_before=clock.after(5))
    assert (finished.task.status, finished.task.retry_count) == ("pending", 0)
    assert finished.task.not_before == clock.after(5)
    clock.advance(5)
    claim = await claim_next(store)
    assert (claim.epoch, claim.previous) == (2, None)
    assert (await store.claims.release(claim)).task.not_before is None


async def test_a_revoked_task_is_fenced_from_its_holder(store: Store) -> None:
    task_id = await add_ready_task(store)
    assert await store.claims.revoke(task_id) is None
    claim = await claim_next(store)
    displaced = await store.claims.revoke(task_id, status="blocked")
    assert displaced is not None
    assert (displaced.id, displaced.status) == (claim.agent.id, "crashed")
    assert displaced.lease_expires_at is None
    task = await store.tasks.find_by_id(task_id)
    assert task is not None and (task.status, task.epoch) == ("blocked", 2)
    for late in (store.claims.complete, store.claims.fail, store.claims.release):
        with pytest.raises(LeaseLostError):
            await late(claim)
    with pytest.raises(NotFoundError):
        await store.claims.revoke("unknown")
    with pytest.raises(InvalidValueError):
        await store.claims.revoke(task_id, status="done")  # pyright: ignore[reportArgumentType] -- wrong


async def test_a_lease_that_ran_out_is_recovered_by_whoever_asks_for_work(
    store: Store, clock: SteppableClock
) -> None:
    task_id = await add_ready_task(store)
    lost = await claim_next(store, holder="host/1")
    await store.agents.update(lost.agent.id, pid=4711)
    clock.advance(119)
    assert await nothing_is_next(store)
    clock.advance(1)
    claim = await claim_next(store, holder="host/2")
    assert (claim.task.id, claim.epoch, claim.task.retry_count) == (task_id, 3, 1)
    assert claim.previous is not None
    assert (claim.previous.id, claim.previous.pid) == (lost.agent.id, 4711)
    assert (claim.previous.status, claim.previous.lease_expires_at) == ("crashed", None)
    with pytest.raises(LeaseLostError) as refused:
        await store.claims.complete(lost)
    assert (refused.value.epoch, refused.value.held_by) == (1, claim.agent.id)
    assert await store.claims.renew([lost]) == []


async def test_a_task_that_kills_its_supervisor_every_time_ends_blocked(
    store: Store, clock: SteppableClock
) -> None:
    task_id = await add_ready_task(store, max_retries=2)
    for _ in range(3):
        await claim_next(store)
        clock.advance(120)
    assert await nothing_is_next(store)
    task = await store.tasks.find_by_id(task_id)
    assert task is not None and (task.status, task.retry_count) == ("blocked", 3)


async def test_a_task_is_recovered_whatever_else_is_said_of_its_agent(
    store: Store, clock: SteppableClock
) -> None:
    task_id = await add_ready_task(store)
    claim = await claim_next(store)
    await store.agents.update(claim.agent.id, task_id=None)
    assert len(await store.claims.find_live()) == len(await store.claims.renew([claim])) == 1
    clock.advance(120)
    [displaced] = await store.claims.recover()
    assert displaced.id == claim.agent.id
    assert (await claim_next(store)).task.id == task_id


async def test_an_agent_that_cannot_be_read_stops_no_recovery(
    store: Store, clock: SteppableClock
) -> None:
    tasks = [await add_ready_task(store) for _ in range(2)]
    claims = [await claim_next(store) for _ in tasks]
    await spoil(store, "agents", "user_dismissed_at", claims[0].agent.id)
    clock.advance(120)
    assert [agent.id for agent in await store.claims.recover()] == [claims[1].agent.id]
    assert [(await claim_next(store)).task.id for _ in tasks] == tasks


async def test_a_lease_without_a_task_is_ended_when_it_runs_out(
    store: Store, clock: SteppableClock
) -> None:
    initiative = await add_initiative(store, max_agents=1)
    task_id = await add_ready_task(store, initiative_id=initiative.id)
    claim = await claim_next(store)
    async with store.unit_of_work() as uow:
        connection = await uow.session.connection()
        await connection.exec_driver_sql(
            "UPDATE tasks SET status = 'pending', claimed_by_agent_id = NULL"
        )
    assert await nothing_is_next(store)
    clock.advance(120)
    assert (await claim_next(store)).task.id == task_id
    agent = await store.agents.find_by_id(claim.agent.id)
    assert agent is not None and (agent.status, agent.lease_expires_at) == ("crashed", None)


async def test_what_ran_out_is_recovered_the_longest_ago_first(
    store: Store, clock: SteppableClock
) -> None:
    for _ in range(3):
        await add_ready_task(store)
    claims = [await claim_next(store, lease=timedelta(seconds=s)) for s in (3, 1, 2)]
    assert await store.claims.recover() == []
    clock.advance(2)
    [first] = await store.claims.recover(limit=1)
    [second] = await store.claims.recover()
    assert [first.id, second.id] == [claims[1].agent.id, claims[2].agent.id]
    with pytest.raises(InvalidValueError):
        await store.claims.recover(limit=0)


async def test_who_claims_takes_back_ten_that_ran_out_the_longest_ago(
    store: Store, clock: SteppableClock
) -> None:
    ids = [await add_ready_task(store) for _ in range(12)]
    lost = [await claim_next(store, lease=timedelta(seconds=1 + n)) for n in reversed(range(12))]
    assert [claim.task.id for claim in lost] == ids
    clock.advance(60)
    await claim_next(store, holder="another")
    left = await store.claims.find_live(holder=lost[0].agent.holder)
    assert [claim.task.id for claim in left] == ids[:2]


@pytest.mark.parametrize("how", ["revoked", "started anew"])
async def test_who_gets_what_was_taken_from_another_is_told_from_whom(
    store: Store, how: str
) -> None:
    task_id = await add_ready_task(store)
    lost = await claim_next(store, holder="a")
    if how == "revoked":
        displaced = await store.claims.revoke(task_id)
    else:
        [displaced] = await store.claims.recover(holder="a")
    claim = await claim_next(store)
    assert claim.previous == displaced
    assert displaced is not None and displaced.id == lost.agent.id
    await store.claims.release(claim)
    assert (await claim_next(store)).previous is None


async def test_a_holder_that_starts_anew_gets_its_own_back_at_once_for_free(
    store: Store,
) -> None:
    for _ in range(3):
        await add_ready_task(store)
    claims = [await claim_next(store, holder=holder) for holder in ("a", "b", "a")]
    live = await store.claims.find_live(holder="a")
    assert [claim.agent for claim in live] == [claims[0].agent, claims[2].agent]
    recovered = await store.claims.recover(holder="a")
    assert {agent.id for agent in recovered} == {claims[0].agent.id, claims[2].agent.id}
    again = await claim_next(store, holder="a")
    assert (again.task.retry_count, again.epoch) == (0, 3)
    assert await store.claims.recover(holder="c") == []
    await store.claims.check(claims[1])


async def test_live_claims_are_found_as_they_are_for_adoption(store: Store) -> None:
    phase = await add_phase(store)
    await add_ready_task(store, phase_id=phase.id)
    claim = await claim_next(store)
    await add_ready_task(store)
    other = await claim_next(store, provider=None)
    await add_agent(store)
    assert await store.claims.find_live() == [claim, other]
    assert await store.claims.find_live(initiative_id=phase.initiative_id) == [claim]
    assert await store.claims.find_live(holder="nobody") == []
    [adopted] = await store.claims.renew([claim])
    await store.claims.complete(adopted)
    assert await store.claims.find_live() == [other]


# deadlines


async def test_the_next_deadline_is_the_earliest_of_leases_pauses_and_rests(
    store: Store, clock: SteppableClock
) -> None:
    assert await store.claims.next_deadline() is None
    account = await add_account(store)
    await store.accounts.mark_exhausted(account.id, until=clock.after(30))
    assert await store.claims.next_deadline() == clock.after(30)
    await add_task(store, not_before=clock.after(20))
    assert await store.claims.next_deadline() == clock.after(20)
    await add_ready_task(store)
    await claim_next(store, lease=timedelta(seconds=10))
    assert await store.claims.next_deadline() == clock.after(10)
    clock.advance(40)
    assert await store.claims.next_deadline() == clock.after(-30)
    await store.claims.recover()
    assert await store.claims.next_deadline() is None


# concurrency


async def test_many_who_claim_at_once_get_a_task_each(store: Store) -> None:
    await add_account(store)
    await add_account(store)
    phases = [await add_phase(store) for _ in range(3)]
    for number in range(30):
        await add_task(store, phase_id=phases[number % 3].id)
    claims = await asyncio.gather(
        *(store.claims.next(holder="h", worktree_id="w") for _ in range(40))
    )
    got = [claim for claim in claims if claim is not None]
    assert len(got) == len({claim.task.id for claim in got}) == 30
    used = Counter(claim.agent.account_id for claim in got)
    assert sorted(used.values()) == [15, 15]
    finished = await asyncio.gather(*map(store.claims.complete, got))
    assert sum(one.phase is not None for one in finished) == 3
    assert sum(one.initiative is not None for one in finished) == 3


async def test_a_limit_is_not_passed_however_many_claim_at_once(store: Store) -> None:
    await add_account(store, max_agents=4)
    initiative = await add_initiative(store, max_agents=3)
    for _ in range(10):
        await add_task(store, initiative_id=initiative.id)
        await add_task(store)
    claims = await asyncio.gather(
        *(store.claims.next(holder="h", worktree_id="w") for _ in range(20))
    )
    of_initiative = [claim is not None and claim.task.initiative_id for claim in claims]
    assert len(await store.claims.find_live()) == 4
    assert sum(one == initiative.id for one in of_initiative) <= 3


# what is unreadable


async def test_a_task_that_cannot_be_read_stops_no_claim(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    phase = await add_phase(store)
    broken = await add_ready_task(store, phase_id=phase.id, priority="high")
    task_id = (await add_task(store, phase_id=phase.id)).id
    await spoil(store, "tasks", "created_at", broken)
    assert (await claim_next(store)).task.id == task_id
    assert f"passed by: created_at of row {broken!r} of tasks" in caplog.text
    for refused in (
        store.claims.next(holder="host/1", worktree_id="trees/1"),
        store.claims.take(broken, holder="host/1", worktree_id="trees/1"),
    ):
        with pytest.raises(UnreadableError) as raised:
            await refused
        assert (raised.value.table, raised.value.id) == ("tasks", broken)
    assert len(await store.agents.find_all()) == len(await store.claims.find_live()) == 1


async def test_a_task_that_cannot_be_read_is_passed_by_in_a_unit_of_work(store: Store) -> None:
    broken, task_id = [await add_ready_task(store) for _ in range(2)]
    await spoil(store, "tasks", "created_at", broken)
    async with store.unit_of_work() as uow:
        claim = await uow.claims.next(holder="host/1", worktree_id="trees/1")
        assert claim is not None and claim.task.id == task_id
        with pytest.raises(UnreadableError):
            await uow.claims.next(holder="host/1", worktree_id="trees/1")
        await uow.tasks.update(task_id, name="still in use")
    assert [agent.id for agent in await store.agents.find_all()] == [claim.agent.id]
    await store.claims.check(claim)


async def test_a_time_that_cannot_be_read_is_no_deadline(
    store: Store, clock: SteppableClock
) -> None:
    await add_ready_task(store)
    claim = await claim_next(store)
    paused, resting = await add_task(store), await add_account(store)
    await store.accounts.mark_exhausted(resting.id)
    await spoil(store, "tasks", "not_before", paused.id)
    await spoil(store, "accounts", "exhausted_until", resting.id)
    assert await store.claims.next_deadline() == clock.after(120)
    await spoil(store, "agents", "lease_expires_at", claim.agent.id)
    assert await store.claims.next_deadline() is None


async def test_an_account_that_cannot_be_read_stops_no_claim(store: Store) -> None:
    await add_ready_task(store)
    broken = await add_account(store)
    async with store.unit_of_work() as uow:
        connection = await uow.session.connection()
        await connection.exec_driver_sql(
            f"UPDATE accounts SET credentials = 'cw-store:fernet:?' WHERE id = '{broken.id}'"
        )
    claim = await claim_next(store)
    assert claim.agent.account_id != broken.id
    await add_task(store)
    again = await claim_next(store)
    assert again.agent.account_id == claim.agent.account_id
