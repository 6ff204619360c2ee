"""`store.keep`: claims are renewed while a block lasts, which a takeover ends."""

import asyncio
import gc
import itertools
import logging
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
import pytest

from builders import add_initiative, add_task
from claims import ONE_MINUTE, claimed, taken_over, taken_over_in
from cw_store import (
    Claim,
    InvalidValueError,
    LeaseLostError,
    NotFoundError,
    Store,
    StoreClosedError,
    StoreError,
    UnitOfWorkError,
)
from cw_store.testing import START, SteppableClock
from steppable_loop import SteppableLoop
from unreadable import spoil
from waits import until_idle

T = TypeVar("T")

QUICK = timedelta(seconds=0.06)
"""A lease that is renewed so soon that a test can wait for it."""


class Failure(Exception):
    """What a test raises inside a block."""


@pytest.fixture
async def claim(store: Store) -> Claim:
    return await claimed(store)


async def lease_of(store: Store, claim: Claim) -> datetime | None:
    agent = await store.agents.find_by_id(claim.agent.id)
    assert agent is not None
    return agent.lease_expires_at


async def until_leased(store: Store, claim: Claim, end: datetime) -> None:
    """Return when the lease lasts until then."""
    async with asyncio.timeout(20):
        while await lease_of(store, claim) != end:
            pass


async def for_ever() -> None:
    await asyncio.Event().wait()


_others: set[asyncio.Task[Any]] = set()


def in_a_task_of_its_own(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Do what is not to be cancelled with this task."""
    other = asyncio.create_task(work)
    _others.add(other)
    other.add_done_callback(_others.discard)
    return other


def task() -> asyncio.Task[Any]:
    current = asyncio.current_task()
    assert current is not None
    return current


def is_renewing() -> bool:
    return "cw_store renews what is kept" in {task.get_name() for task in asyncio.all_tasks()}


async def until_not_renewing() -> None:
    """Return when the keeper has heard of all that it has asked for."""
    async with asyncio.timeout(20):
        while is_renewing():  # noqa: ASYNC110 -- nothing tells of it
            await asyncio.sleep(0)


async def until_alone() -> None:
    """Return when no other task is at work; a connection may be looked after."""
    async with asyncio.timeout(20):
        while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 -- nothing tells of it
            await asyncio.sleep(0)


async def nothing_is_left() -> None:
    await asyncio.gather(*_others)
    await until_idle()
    assert asyncio.all_tasks() == {task()}


# When leases are renewed.


async def test_a_claim_is_renewed_when_a_third_of_its_lease_has_passed(
    store: Store, claim: Claim, clock: SteppableClock, steppable_loop: SteppableLoop
) -> None:
    async with store.keep(claim, lease=timedelta(seconds=30)):
        for _ in range(3):
            end = clock.after(30)
            clock.advance(7)
            steppable_loop.advance(9.5)
            await until_idle()
            assert await lease_of(store, claim) == end, "not yet"
            steppable_loop.advance(0.5)
            await until_leased(store, claim, clock.after(30))
    await nothing_is_left()


async def test_entering_renews_at_once(store: Store, claim: Claim, clock: SteppableClock) -> None:
    clock.advance(59)
    async with store.keep(claim):
        assert await lease_of(store, claim) == clock.after(120)
    assert await lease_of(store, claim) == clock.after(120)


async def test_leaving_neither_ends_nor_renews_any_more(
    store: Store, claim: Claim, clock: SteppableClock, steppable_loop: SteppableLoop
) -> None:
    async with store.keep(claim, lease=ONE_MINUTE):
        pass
    clock.advance(50)
    steppable_loop.advance(50)
    await until_idle()
    assert await lease_of(store, claim) == clock.after(10)
    await store.claims.check(claim)


async def test_what_was_left_is_renewed_no_more_although_somebody_holds_on_to_it(
    store: Store, claim: Claim, clock: SteppableClock, steppable_loop: SteppableLoop
) -> None:
    lost = await claimed(store)
    left, ended = store.keep(claim), store.keep(lost, claim)
    async with left:
        pass
    with pytest.raises(LeaseLostError):
        async with ended:
            in_a_task_of_its_own(taken_over(store, lost))
            steppable_loop.advance(60)
            await for_ever()
    other = await claimed(store)
    async with store.keep(other):
        lease = await lease_of(store, claim)
        clock.advance(50)
        steppable_loop.advance(60)
        await until_leased(store, other, clock.after(120))
    assert await lease_of(store, claim) == lease


async def test_who_was_frozen_for_long_renews_when_it_wakes(
    store: Store, claim: Claim, clock: SteppableClock, steppable_loop: SteppableLoop
) -> None:
    async with store.keep(claim):
        clock.advance(3600)
        steppable_loop.advance(3600)
        await until_leased(store, claim, clock.after(120))


async def test_all_that_a_store_keeps_is_renewed_in_one_statement(
    database: str, steppable_loop: SteppableLoop
) -> None:
    ticks = itertools.count(1)

    def ticking() -> datetime:
        return START + timedelta(seconds=next(ticks))

    async with Store(database, clock=ticking) as store:
        claims = [await claimed(store) for _ in range(4)]
        async with store.keep(*claims[:2]), store.keep(claims[2]):
            inside = asyncio.Event()

            async def keep_another() -> None:
                async with store.keep(claims[3], claims[0]):
                    inside.set()
                    await for_ever()

            another = asyncio.create_task(keep_another())
            await inside.wait()
            before = {await lease_of(store, claim) for claim in claims}
            assert len(before) > 1
            steppable_loop.advance(40)
            async with asyncio.timeout(20):
                while len({await lease_of(store, claim) for claim in claims}) > 1:
                    pass
            another.cancel()
            await asyncio.wait([another])


async def test_each_lease_is_as_long_as_was_asked_and_renewed_with_the_shortest(
    store: Store, clock: SteppableClock, steppable_loop: SteppableLoop
) -> None:
    long, short, both = [await claimed(store) for _ in range(3)]
    hour, minute = timedelta(hours=1), timedelta(minutes=1)
    async with store.keep(long, both, lease=hour), store.keep(short, both, lease=minute):
        clock.advance(20)
        steppable_loop.advance(20)
        await until_leased(store, short, clock.after(60))
        await until_leased(store, long, clock.after(3600))
        await until_leased(store, both, clock.after(3600))


async def test_a_shorter_lease_that_comes_later_is_renewed_in_time(
    store: Store, clock: SteppableClock, steppable_loop: SteppableLoop
) -> None:
    long, short = await claimed(store), await claimed(store)
    async with store.keep(long, lease=timedelta(hours=1)):
        async with store.keep(short, lease=timedelta(seconds=3)):
            clock.advance(1)
            steppable_loop.advance(1)
            await until_leased(store, short, clock.after(3))
        await until_alone()  # a renewal that is under way would be given up after so long
        clock.advance(1200)
        steppable_loop.advance(1200)
        await until_leased(store, long, clock.after(3600))
    assert await lease_of(store, short) != clock.after(3)


async def test_a_longer_lease_that_comes_later_keeps_no_shorter_one_waiting(
    store: Store, clock: SteppableClock, steppable_loop: SteppableLoop
) -> None:
    long, short = await claimed(store), await claimed(store)
    async with store.keep(short, lease=timedelta(seconds=3)):
        async with store.keep(long, lease=timedelta(hours=1)):
            clock.advance(1)
            steppable_loop.advance(1)
            await until_leased(store, short, clock.after(3))


async def test_the_end_of_a_shorter_lease_has_no_longer_one_renewed_early(
    store: Store, clock: SteppableClock, steppable_loop: SteppableLoop
) -> None:
    long, short = await claimed(store), await claimed(store)
    async with store.keep(long, lease=timedelta(hours=1)):
        end = clock.after(3600)
        async with store.keep(short, lease=timedelta(seconds=3)):
            pass
        clock.advance(1)
        steppable_loop.advance(1)
        await until_idle()
        assert not is_renewing()
        assert await lease_of(store, long) == end


async def test_a_third_of_a_lease_is_counted_from_where_its_renewal_began(
    database: str, steppable_loop: SteppableLoop
) -> None:
    steppable_loop.hold()
    clock, takes = SteppableClock(), 0.0

    def slow() -> datetime:
        steppable_loop.advance(takes)
        return clock()

    async with Store(database, clock=slow) as store:
        claim = await claimed(store)
        takes = 10.0
        async with store.keep(claim, lease=ONE_MINUTE):
            takes = 0.0
            clock.advance(1)
            steppable_loop.advance(9.9)
            await until_idle()
            assert await lease_of(store, claim) == clock.after(59)
            takes = 10.0
            steppable_loop.advance(0.1)
            await until_leased(store, claim, clock.after(60))
            takes = 0.0
            clock.advance(1)
            steppable_loop.advance(9.9)
            await until_idle()
            assert await lease_of(store, claim) == clock.after(59)
            steppable_loop.advance(0.1)
            await until_leased(store, claim, clock.after(60))


async def test_a_renewal_that_fails_is_tried_again_later_and_later_and_no_later_than_usual(
    database: str, steppable_loop: SteppableLoop, caplog: pytest.LogCaptureFixture
) -> None:
    clock, failed, is_failing = SteppableClock(), 0, False

    def unlucky() -> datetime:
        nonlocal failed
        if is_failing:
            failed += 1
            raise Failure
        return clock()

    async def until_failed(times: int) -> None:
        while failed < times or is_renewing():  # noqa: ASYNC110 -- nothing tells of it
            await asyncio.sleep(0)
        await until_idle()

    async with Store(database, clock=unlucky) as store:
        claim, other = await claimed(store), await claimed(store)
        async with store.keep(other, lease=timedelta(hours=1)), store.keep(claim):
            for _ in range(2):
                failed, is_failing = 0, True
                steppable_loop.hold()
                steppable_loop.advance(40)
                await until_failed(1)
                for times, pause in enumerate((2.5, 5, 10, 20, 40, 40), 1):
                    steppable_loop.advance(pause - 0.1)
                    await until_idle()
                    assert failed == times and not is_renewing()
                    steppable_loop.advance(0.2)
                    await until_failed(times + 1)
                is_failing = False
                steppable_loop.go_on()
                clock.advance(1)
                steppable_loop.advance(40)
                await until_leased(store, claim, clock.after(120))
                async with asyncio.timeout(20):
                    while is_renewing():  # noqa: ASYNC110 -- nothing tells of it
                        await asyncio.sleep(0)
    told = [record for record in caplog.records if record.name == "cw_store.keeping"]
    assert len(told) == 14
    assert all("tried again in" in record.getMessage() and record.exc_info for record in told)


async def test_a_block_that_was_dropped_is_kept_no_more(
    store: Store, claim: Claim, clock: SteppableClock, steppable_loop: SteppableLoop
) -> None:
    keep = store.keep(claim)
    await keep.__aenter__()
    lease = await lease_of(store, claim)
    del keep
    gc.collect()
    clock.advance(50)
    steppable_loop.advance(50)
    await until_idle()
    assert not is_renewing()
    assert await lease_of(store, claim) == lease


async def test_a_renewal_sees_nothing_of_what_its_caller_has_set(
    database: str, steppable_loop: SteppableLoop
) -> None:
    caller = ContextVar[str | None]("caller", default=None)
    seen = set[str | None]()
    clock = SteppableClock()

    def looking() -> datetime:
        seen.add(caller.get())
        return clock()

    async with Store(database, clock=looking) as store:
        claim = await claimed(store)
        caller.set("me")
        async with store.keep(claim, lease=ONE_MINUTE):
            for _ in range(2):
                seen.clear()
                clock.advance(20)
                steppable_loop.advance(20)
                async with asyncio.timeout(20):
                    while not seen or is_renewing():  # noqa: ASYNC110 -- nothing tells of it
                        await asyncio.sleep(0)
                assert seen == {None}


async def test_nothing_may_be_kept(store: Store, steppable_loop: SteppableLoop) -> None:
    async with store.keep(*await store.claims.find_live(holder="host-1/1")):
        steppable_loop.advance(60)
        await until_idle()
        assert not is_renewing()


async def test_what_is_no_claim_or_no_lease_is_refused(store: Store, claim: Claim) -> None:
    no_claim: Any = claim.task
    with pytest.raises(TypeError, match=r"claims\.next"):
        store.keep(claim, no_claim)
    for lease in (timedelta(0), timedelta(days=-1), 120):
        with pytest.raises(InvalidValueError, match="lease"):
            async with store.keep(claim, lease=lease):  # pyright: ignore[reportArgumentType]
                pass
    keep = store.keep(claim)
    async with keep:
        with pytest.raises(StoreError, match="once"):
            async with keep:
                pass
    with pytest.raises(StoreError, match="once"):
        async with keep:
            pass


# A takeover.


async def test_a_block_whose_claim_is_over_is_not_entered(store: Store, claim: Claim) -> None:
    held = await claimed(store)
    successor = await taken_over(store, claim)
    with pytest.raises(LeaseLostError, match="host-2/1") as raised:
        async with store.keep(held, claim):
            raise AssertionError("the block is not to be entered")
    assert raised.value.held_by == successor.agent.id
    await nothing_is_left()


async def test_a_takeover_ends_the_block_as_a_lost_lease(store: Store, claim: Claim) -> None:
    successors: list[asyncio.Task[Claim]] = []
    with pytest.raises(LeaseLostError, match="host-2/1") as raised:
        async with store.keep(claim, lease=QUICK):
            successors.append(in_a_task_of_its_own(taken_over(store, claim)))
            await for_ever()
    assert raised.value.held_by == (await successors[0]).agent.id
    assert isinstance(raised.value.__context__, asyncio.CancelledError)
    assert task().cancelling() == 0
    await nothing_is_left()


async def test_whoever_clears_up_behind_the_loser_does_not_hide_the_takeover(
    store: Store, claim: Claim
) -> None:
    async def take_over_and_clear_up() -> None:
        async with store.unit_of_work() as uow:
            await taken_over_in(uow, claim)
            await uow.agents.update(claim.agent.id, status="stopped")

    with pytest.raises(LeaseLostError, match="host-2/1"):
        async with store.keep(claim, lease=QUICK), asyncio.timeout(20):
            in_a_task_of_its_own(take_over_and_clear_up())
            await for_ever()
    await nothing_is_left()


async def test_a_takeover_by_an_agent_that_cannot_be_read_ends_the_block(
    store: Store, claim: Claim
) -> None:
    async def take_over() -> None:
        async with store.unit_of_work() as uow:
            successor = await taken_over_in(uow, claim)
            await spoil(uow, "agents", "created_at", successor.agent.id)

    with pytest.raises(LeaseLostError):
        async with store.keep(claim, lease=QUICK), asyncio.timeout(20):
            in_a_task_of_its_own(take_over())
            await for_ever()
    await nothing_is_left()


async def test_a_block_that_loses_all_its_claims_at_once_ends_once(
    store: Store, claim: Claim
) -> None:
    other = await claimed(store)
    with pytest.raises(LeaseLostError) as raised:
        async with store.keep(claim, other, lease=QUICK):
            async with store.unit_of_work() as uow:
                for lost in (claim, other):
                    await uow.claims.revoke(lost.task.id)
            try:
                await for_ever()
            finally:
                await until_not_renewing()
    cancellation = raised.value.__context__
    assert isinstance(cancellation, asyncio.CancelledError)
    assert cancellation.args == (str(raised.value),)
    assert task().cancelling() == 0


async def test_a_deleted_task_ends_the_block_as_a_lost_lease(store: Store, claim: Claim) -> None:
    with pytest.raises(LeaseLostError, match="deleted"):
        async with store.keep(claim, lease=QUICK):
            await store.tasks.delete(claim.task.id)
            await for_ever()


async def test_a_task_that_was_deleted_and_put_back_is_lost(store: Store) -> None:
    initiative = await add_initiative(store)
    task = await add_task(store, initiative_id=initiative.id)
    claim = await store.claims.take(task.id, holder="h", worktree_id="t", provider=None)

    async def delete_and_put_back() -> None:
        async with store.unit_of_work() as uow:
            change_sets = uow.change_sets
            async with change_sets.recording(
                initiative_id=initiative.id, mode="refine", agent_name="planner"
            ) as recording:
                await uow.tasks.delete(task.id)
            await change_sets.revert(recording.id)

    with pytest.raises(LeaseLostError, match="nobody has it now"):
        async with store.keep(claim, lease=QUICK), asyncio.timeout(20):
            in_a_task_of_its_own(delete_and_put_back())
            await for_ever()


async def test_a_takeover_ends_only_the_block_that_keeps_the_claim(
    store: Store, claim: Claim, clock: SteppableClock
) -> None:
    other = await claimed(store)
    entered = asyncio.Event()

    async def keep_other() -> None:
        async with store.keep(other, lease=QUICK):
            entered.set()
            await for_ever()

    beside = asyncio.create_task(keep_other())
    await entered.wait()
    with pytest.raises(LeaseLostError):
        async with store.keep(claim, lease=QUICK):
            in_a_task_of_its_own(taken_over(store, claim))
            await for_ever()
    clock.advance(10)
    await until_leased(store, other, clock.now + QUICK)
    assert not beside.done()
    beside.cancel()
    with pytest.raises(asyncio.CancelledError):
        await beside


async def test_what_a_block_still_holds_is_renewed_while_it_is_cleared_up(
    store: Store, claim: Claim, clock: SteppableClock
) -> None:
    other = await claimed(store)
    with pytest.raises(LeaseLostError):
        async with store.keep(claim, other, lease=QUICK):
            in_a_task_of_its_own(taken_over(store, claim))
            try:
                await for_ever()
            finally:
                clock.advance(10)
                await until_leased(store, other, clock.now + QUICK)


async def test_the_end_of_a_claim_by_its_holder_ends_no_block(store: Store) -> None:
    ends: list[Callable[[Claim], Any]] = [
        store.claims.complete,
        store.claims.fail,
        store.claims.release,
    ]
    claims, kept = [await claimed(store) for _ in ends], await claimed(store)
    async with store.keep(*claims, kept, lease=QUICK):
        for end, claim in zip(ends, claims, strict=True):
            await end(claim)
        again = await store.claims.take(
            claims[2].task.id, holder="host-3/1", worktree_id="t", provider=None
        )
        leases = {await lease_of(store, again)}
        for _ in range(3):
            before = asyncio.get_running_loop().time()
            while asyncio.get_running_loop().time() < before + QUICK.total_seconds() / 3:
                await store.claims.check(kept)
        leases.add(await lease_of(store, again))
        assert len(leases) == 1, "it is not ours to renew"
    assert task().cancelling() == 0


async def test_what_becomes_of_the_agent_after_the_end_of_its_claim_ends_no_block(
    store: Store, clock: SteppableClock
) -> None:
    deleted, crashed, claimed_again = [await claimed(store) for _ in range(3)]
    kept = await claimed(store)
    async with store.keep(deleted, crashed, claimed_again, kept, lease=QUICK):
        await store.claims.complete(deleted)
        await store.agents.delete(deleted.agent.id)
        await store.claims.fail(crashed, exit_code=-9)
        await store.agents.update(crashed.agent.id, status="crashed")
        await store.claims.release(claimed_again)
        await store.agents.delete(claimed_again.agent.id)
        again = await store.claims.take(
            claimed_again.task.id, holder="host-3/1", worktree_id="t", provider=None
        )
        await store.claims.complete(again)
        for _ in range(2):
            clock.advance(10)
            await until_leased(store, kept, clock.now + QUICK)
            await until_not_renewing()
    assert task().cancelling() == 0
    await nothing_is_left()


async def test_a_block_that_ends_by_itself_is_not_ended_by_a_takeover(
    store: Store, claim: Claim, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "cw_store.keeping"):
        async with store.keep(claim, lease=QUICK):
            in_a_task_of_its_own(taken_over(store, claim))
            with pytest.raises(asyncio.CancelledError):
                await for_ever()
    assert task().cancelling() == 0
    assert "host-2/1" in caplog.text
    await asyncio.sleep(0)  # no cancellation is left
    await nothing_is_left()


async def test_what_a_block_raises_while_it_is_ended_is_raised(store: Store, claim: Claim) -> None:
    with pytest.raises(Failure) as raised:
        async with store.keep(claim, lease=QUICK):
            in_a_task_of_its_own(taken_over(store, claim))
            try:
                await for_ever()
            finally:
                raise Failure
    assert isinstance(raised.value.__context__, asyncio.CancelledError)
    assert task().cancelling() == 0


async def test_a_cancellation_from_outside_wins(store: Store, claim: Claim) -> None:
    async def work() -> None:
        async with store.keep(claim, lease=QUICK):
            in_a_task_of_its_own(taken_over(store, claim))
            try:
                await for_ever()
            finally:
                task().cancel("from outside")

    working = asyncio.create_task(work())
    with pytest.raises(asyncio.CancelledError):
        await working
    assert working.cancelled()


async def test_a_takeover_ends_a_block_that_was_entered_while_a_cancellation_is_on_its_way(
    store: Store, claim: Claim
) -> None:
    async def work() -> None:
        try:
            await for_ever()
        finally:
            assert task().cancelling() == 1
            with pytest.raises(LeaseLostError):
                async with store.keep(claim, lease=QUICK):
                    in_a_task_of_its_own(taken_over(store, claim))
                    await for_ever()
            assert task().cancelling() == 1
            ended.set()

    ended = asyncio.Event()
    working = asyncio.create_task(work())
    await asyncio.sleep(0)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert ended.is_set()


async def test_of_nested_blocks_the_one_that_keeps_the_lost_claim_ends(
    store: Store, claim: Claim
) -> None:
    other = await claimed(store)
    async with store.keep(other, lease=QUICK):
        with pytest.raises(LeaseLostError) as raised:
            async with store.keep(claim, lease=QUICK):
                in_a_task_of_its_own(taken_over(store, claim))
                await for_ever()
        assert raised.value.id == claim.task.id
        await asyncio.sleep(0)
    assert task().cancelling() == 0
    with pytest.raises(LeaseLostError):
        async with store.keep(other, lease=QUICK):
            async with store.keep(other, lease=QUICK):
                in_a_task_of_its_own(taken_over(store, other))
                await for_ever()
            raise AssertionError("the outer one ends too")
    assert task().cancelling() == 0


async def test_an_outer_block_that_loses_its_claim_passes_an_inner_one(
    store: Store, claim: Claim
) -> None:
    inner = await claimed(store)
    with pytest.raises(LeaseLostError) as raised:
        async with store.keep(claim, lease=QUICK):
            async with store.keep(inner, lease=QUICK):
                in_a_task_of_its_own(taken_over(store, claim))
                await for_ever()
            raise AssertionError("the cancellation passes the inner block")
    assert raised.value.id == claim.task.id
    await store.claims.check(inner)


# Among asyncio's and anyio's own.


async def test_a_takeover_ends_a_task_group_inside_of_the_block(store: Store, claim: Claim) -> None:
    children: list[asyncio.Task[None]] = []
    with pytest.raises(LeaseLostError):
        async with store.keep(claim, lease=QUICK), asyncio.TaskGroup() as group:
            children += [group.create_task(for_ever()) for _ in range(3)]
            in_a_task_of_its_own(taken_over(store, claim))
    assert all(child.cancelled() for child in children)
    await nothing_is_left()


async def test_a_task_group_around_the_block_ends_with_it(store: Store, claim: Claim) -> None:
    async def work() -> None:
        async with store.keep(claim, lease=QUICK):
            in_a_task_of_its_own(taken_over(store, claim))
            await for_ever()

    with pytest.RaisesGroup(LeaseLostError):
        async with asyncio.TaskGroup() as group:
            group.create_task(work())
            group.create_task(for_ever())


async def test_a_timeout_around_the_block_is_a_timeout(store: Store, claim: Claim) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            async with store.keep(claim, lease=QUICK):
                await for_ever()
    with pytest.raises(LeaseLostError):
        async with asyncio.timeout(20):
            async with store.keep(claim, lease=QUICK):
                in_a_task_of_its_own(taken_over(store, claim))
                await for_ever()
    with pytest.raises(LeaseLostError):
        async with store.keep(await claimed(store), lease=QUICK) as nothing:
            assert nothing is None
            async with asyncio.timeout(20):
                (live,) = await store.claims.find_live(holder="host-1/1")
                in_a_task_of_its_own(taken_over(store, live))
                await for_ever()
    assert task().cancelling() == 0


async def test_a_cancel_scope_around_the_block_takes_its_own_cancellation(
    store: Store, claim: Claim
) -> None:
    with anyio.move_on_after(0.05) as scope:
        async with store.keep(claim, lease=QUICK):
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    with anyio.CancelScope() as scope, pytest.raises(LeaseLostError):
        async with store.keep(claim, lease=QUICK):
            in_a_task_of_its_own(taken_over(store, claim))
            await anyio.sleep_forever()
    assert not scope.cancelled_caught
    assert task().cancelling() == 0
    await anyio.lowlevel.checkpoint()


async def test_a_takeover_ends_anyios_task_group_inside_of_the_block(
    store: Store, claim: Claim
) -> None:
    with pytest.raises(LeaseLostError):
        async with store.keep(claim, lease=QUICK), anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            in_a_task_of_its_own(taken_over(store, claim))
    assert task().cancelling() == 0


async def test_a_scope_that_is_cancelled_when_the_claim_is_lost_takes_its_cancellation(
    store: Store, claim: Claim
) -> None:
    with anyio.CancelScope() as scope:
        async with store.keep(claim, lease=QUICK):
            in_a_task_of_its_own(taken_over(store, claim))
            try:
                await for_ever()
            finally:
                scope.cancel()
                await anyio.lowlevel.checkpoint()
        raise AssertionError("one of the two ends the block")
    assert scope.cancelled_caught
    assert task().cancelling() == 0


# What a block does meanwhile.


async def test_a_claim_is_not_kept_from_inside_of_its_own_unit(store: Store, claim: Claim) -> None:
    async with store.unit_of_work(claim=claim) as uow:
        with pytest.raises(UnitOfWorkError, match=r"uow\.commit"):
            async with store.keep(claim):
                pass
        await uow.commit()
        async with store.keep(claim):
            await uow.tasks.create(name="goes on")


async def test_a_renewal_waits_for_a_long_unit_of_the_block_and_comes_then(
    store: Store, claim: Claim, clock: SteppableClock
) -> None:
    async with store.keep(claim, lease=QUICK):
        async with store.unit_of_work(claim=claim) as uow:
            await uow.agents.update(claim.agent.id, pid=4711)
            clock.advance(10)
            before = asyncio.get_running_loop().time()
            while asyncio.get_running_loop().time() < before + 2 * QUICK.total_seconds():
                await uow.tasks.create(name="takes long")
        await until_leased(store, claim, clock.now + QUICK)


@pytest.mark.parametrize("steps", range(0, 40, 2))
async def test_a_cancellation_at_any_step_leaves_nothing_behind(
    store: Store, claim: Claim, steps: int
) -> None:
    async def work() -> None:
        async with store.keep(claim, lease=QUICK):
            for number in range(3):
                async with store.unit_of_work(claim=claim) as uow:
                    await uow.tasks.create(name=f"task {number}")

    working = asyncio.create_task(work())
    for _ in range(steps):
        await asyncio.sleep(0)
    working.cancel()
    await asyncio.wait([working])
    await until_alone()
    await store.tasks.create(name="behind whatever was under way")
    lease = await lease_of(store, claim)
    before = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() < before + QUICK.total_seconds():
        await store.claims.check(claim)
    assert await lease_of(store, claim) == lease


async def test_a_renewal_that_somebody_cancels_is_made_again(
    store: Store, claim: Claim, clock: SteppableClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with store.keep(claim, lease=QUICK):
        clock.advance(10)
        cancelled = 0
        while not cancelled:
            for other in asyncio.all_tasks() - {task()}:
                cancelled += other.cancel()
            await asyncio.sleep(0)
        clock.advance(10)
        await until_leased(store, claim, clock.now + QUICK)
    assert "tried again" in caplog.text


async def test_closing_the_store_ends_every_block(lasting_database: str) -> None:
    store = await Store.open(lasting_database)
    claims = [await claimed(store) for _ in range(3)]
    entered = asyncio.Semaphore(0)

    async def work(claim: Claim) -> None:
        async with store.keep(claim):
            entered.release()
            await for_ever()

    working = [asyncio.create_task(work(claim)) for claim in claims]
    for _ in working:
        await entered.acquire()
    await store.close()
    for error in await asyncio.gather(*working, return_exceptions=True):
        assert isinstance(error, StoreClosedError)
    with pytest.raises(StoreClosedError):
        async with store.keep(claims[0]):
            pass
    await nothing_is_left()


async def test_a_block_that_closes_the_store_ends(lasting_database: str) -> None:
    async with Store(lasting_database) as store:
        with pytest.raises(StoreClosedError):
            async with store.keep(await claimed(store), lease=QUICK):
                await store.close()
                await for_ever()
        assert task().cancelling() == 0


async def test_keeping_thousands_of_times_leaves_nothing_behind(store: Store) -> None:
    claim = await claimed(store)
    objects: list[int] = []
    for _ in range(2):
        for _ in range(2_000):
            async with store.keep(claim):
                pass
        gc.collect()
        objects.append(len(gc.get_objects()))
    assert objects[1] - objects[0] < 200
    await nothing_is_left()


async def test_a_block_that_was_ended_leaves_no_cycle(store: Store) -> None:
    claims = [await claimed(store) for _ in range(5)]

    async def lose(claim: Claim) -> None:
        async with store.keep(claim, lease=QUICK):
            in_a_task_of_its_own(taken_over(store, claim))
            await for_ever()

    gc.collect()
    gc.disable()
    try:
        for claim in claims:
            with pytest.raises(LeaseLostError):
                await lose(claim)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        cyclic = [each for each in gc.garbage if isinstance(each, StoreError)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert cyclic == []


async def test_an_unknown_agents_claim_is_lost(store: Store, claim: Claim) -> None:
    await store.claims.revoke(claim.task.id)
    await store.agents.delete(claim.agent.id)
    with pytest.raises(NotFoundError):
        await store.agents.delete(claim.agent.id)
    with pytest.raises(LeaseLostError):
        async with store.keep(claim):
            pass
