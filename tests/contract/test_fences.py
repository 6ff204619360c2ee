"""The fence: nothing is written under a claim when another has the task by now."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase

from builders import add_agent, add_initiative, add_log_chunk, add_project, add_task
from claims import ONE_MINUTE, claimed, taken_over
from cw_store import (
    AlreadyExistsError,
    Claim,
    InvalidValueError,
    LeaseLostError,
    NewLogChunk,
    ReadOnlyError,
    StaleStateError,
    Store,
    StoreBusyError,
    UnitOfWork,
    UnitOfWorkError,
)
from cw_store.schema import initiatives
from cw_store.store import backend_of
from cw_store.testing import SteppableClock
from unreadable import spoil
from waits import until_idle, until_one_is_held_up


class Base(DeclarativeBase):
    """The application's own classes."""


class Written(Base):
    """What an application maps itself: a table of the store's."""

    __table__ = initiatives


def chunk(**values: Any) -> NewLogChunk:
    origin = {"agent_id": "a", "agent_name": "brave-otter", "session_number": 1}
    whole: Any = {**origin, "content": "{}", **values}
    return whole


async def create(uow: UnitOfWork) -> None:
    await uow.initiatives.create(id="zombie", name="a zombie's")


async def create_in_savepoint(uow: UnitOfWork) -> None:
    async with uow.savepoint():
        await create(uow)


async def create_in_child_task(uow: UnitOfWork) -> None:
    await asyncio.create_task(create(uow))


async def create_many(uow: UnitOfWork) -> None:
    await uow.log_chunks.create_many([chunk(), chunk()])


async def set_projects(uow: UnitOfWork) -> None:
    await uow.projects.set_initiative_projects("one", ["project"])


async def move_task(uow: UnitOfWork) -> None:
    await uow.tasks.update("other", initiative_id="one")


async def rotate(uow: UnitOfWork) -> None:
    await uow.accounts.find_next_available()


async def insert_chunks(uow: UnitOfWork) -> None:
    await uow.log_chunks.insert_chunks([chunk()])


async def execute(uow: UnitOfWork) -> None:
    await uow.session.execute(sa.text("UPDATE initiatives SET name = 'by a zombie'"))


async def execute_in_savepoint(uow: UnitOfWork) -> None:
    async with uow.session.begin_nested():
        await execute(uow)


async def execute_in_transaction_of_session(uow: UnitOfWork) -> None:
    async with uow.session.begin():
        await execute(uow)


async def stream(uow: UnitOfWork) -> None:
    statement = sa.text("UPDATE initiatives SET name = 'by a zombie' RETURNING id")
    async for _row in await uow.session.stream(statement):
        raise AssertionError("nothing is to be returned")


async def add(uow: UnitOfWork) -> None:
    now = datetime.now(UTC)
    uow.session.add(Written(id="zombie", name="a zombie's", created_at=now, updated_at=now))
    await uow.session.flush()


async def add_and_commit(uow: UnitOfWork) -> None:
    now = datetime.now(UTC)
    uow.session.add(Written(id="zombie", name="a zombie's", created_at=now, updated_at=now))
    await uow.commit()


async def read(uow: UnitOfWork) -> None:
    await uow.initiatives.find_all()


WRITES: dict[str, Callable[[UnitOfWork], Awaitable[None]]] = {
    each.__name__: each
    for each in (
        create,
        create_in_savepoint,
        create_in_child_task,
        create_many,
        set_projects,
        move_task,
        rotate,
        insert_chunks,
        execute,
        execute_in_savepoint,
        execute_in_transaction_of_session,
        stream,
        add,
        add_and_commit,
        read,
    )
}
"""Each is the first to reach the database in a transaction."""

every_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


@pytest.fixture
async def claim(store: Store) -> Claim:
    await add_initiative(store, id="one", name="as it was")
    await add_project(store, id="project")
    await add_task(store, id="other")
    return await claimed(store)


async def nothing_is_written(store: Store) -> None:
    """Find what was there before, and nothing else."""
    assert [one.name for one in await store.initiatives.find_all()] == ["as it was"]
    assert await store.projects.find_projects_by_initiative_id("one") == []
    other = await store.tasks.find_by_id("other")
    assert other is not None and other.initiative_id is None
    assert await store.log_chunks.find_by_agent_id("a") == []


# A unit of work with a claim.


async def test_a_holder_writes_under_its_claim(store: Store, claim: Claim) -> None:
    async with store.unit_of_work(claim=claim) as uow:
        await uow.initiatives.create(id="a", name="in the first transaction")
        await uow.commit()
        await uow.initiatives.create(id="b", name="in the second")
        await uow.rollback()
        await execute(uow)
    assert uow.committed is True
    names = [one.name for one in await store.initiatives.find_all()]
    assert names == ["by a zombie", "by a zombie"]


async def test_a_lease_that_ran_out_does_not_matter_while_nobody_has_the_task(
    store: Store, claim: Claim, clock: SteppableClock
) -> None:
    clock.advance(24 * 60 * 60)
    async with store.unit_of_work(claim=claim) as uow:
        await create(uow)
    await store.log_chunks.insert_chunk("a", "n", 1, "{}", claim=claim)
    assert uow.committed is True


async def test_a_unit_whose_claim_is_over_does_not_begin(store: Store, claim: Claim) -> None:
    successor = await taken_over(store, claim)
    uow = store.unit_of_work(claim=claim)
    with pytest.raises(LeaseLostError) as raised:
        async with uow:
            raise AssertionError("the block is not to be entered")
    assert raised.value.epoch == claim.epoch
    assert raised.value.held_by == successor.agent.id
    assert (raised.value.table, raised.value.id) == ("tasks", claim.task.id)
    for word in ("host-2/1", successor.agent.name, successor.agent.created_at.isoformat()):
        assert word in str(raised.value)
    assert uow.committed is False
    assert store.connections_in_use == 0, "the turn or the connection is given back"
    await store.initiatives.create(name="others go on, and so does this task")
    with pytest.raises(UnitOfWorkError, match="once"):
        async with uow:
            pass


@pytest.mark.parametrize("moved", ["epoch = epoch + 1", "claimed_by_agent_id = 'another'"])
async def test_a_claim_is_an_agent_and_an_epoch(store: Store, claim: Claim, moved: str) -> None:
    await add_agent(store, id="another")
    async with store.unit_of_work() as uow:
        await uow.session.execute(sa.text(f"UPDATE tasks SET {moved} WHERE id <> 'other'"))
    with pytest.raises(LeaseLostError):
        async with store.unit_of_work(claim=claim):
            pass
    with pytest.raises(LeaseLostError):
        await store.log_chunks.insert_chunk("a", "n", 1, "{}", claim=claim)
    with pytest.raises(LeaseLostError):
        await store.log_chunks.insert_chunks([chunk()], claim=claim)
    await nothing_is_written(store)


async def test_a_store_that_only_reads_has_no_fenced_units(
    store: Store, claim: Claim, lasting_database: str
) -> None:
    async with Store(lasting_database, read_only=True) as reading:
        with pytest.raises(ReadOnlyError):
            async with reading.unit_of_work(claim=claim):
                pass
        assert await reading.tasks.find_by_id("other") is not None


async def test_whoever_waits_behind_a_unit_that_does_not_begin_goes_on(
    store: Store, claim: Claim
) -> None:
    await taken_over(store, claim)

    async def enter() -> None:
        with suppress(LeaseLostError):
            async with store.unit_of_work(claim=claim):
                pass

    async with asyncio.timeout(5):
        await asyncio.gather(*(enter() for _ in range(5)), add_task(store), add_task(store))


async def test_it_says_that_the_task_was_deleted_or_that_nobody_has_it(
    store: Store, claim: Claim
) -> None:
    await store.claims.revoke(claim.task.id)
    with pytest.raises(LeaseLostError, match="nobody has it now, it is pending") as raised:
        async with store.unit_of_work(claim=claim):
            pass
    assert raised.value.held_by is None
    await store.tasks.delete(claim.task.id)
    with pytest.raises(LeaseLostError, match="the task was deleted"):
        async with store.unit_of_work(claim=claim):
            pass


@every_write
async def test_a_zombie_writes_nothing_after_a_commit_within(
    store: Store, claim: Claim, write: Callable[[UnitOfWork], Awaitable[None]]
) -> None:
    async with store.unit_of_work(claim=claim) as uow:
        await uow.commit()
        await taken_over(store, claim)
        for _ in range(2):
            with pytest.raises(LeaseLostError):
                await write(uow)
            await uow.rollback()
    await nothing_is_written(store)


@pytest.mark.parametrize("write", [create, execute, create_in_savepoint])
async def test_each_call_of_a_zombie_is_refused_however_often_it_tries(
    store: Store, claim: Claim, write: Callable[[UnitOfWork], Awaitable[None]]
) -> None:
    async with store.unit_of_work(claim=claim) as uow:
        await uow.commit()
        await taken_over(store, claim)
        for _ in range(3):
            with pytest.raises(LeaseLostError):
                await write(uow)
            assert store.connections_in_use == 0, "nobody waits for a unit that may not write"
    assert uow.committed is False
    await nothing_is_written(store)


@every_write
async def test_a_zombie_writes_nothing_after_a_rollback_within(
    store: Store, claim: Claim, write: Callable[[UnitOfWork], Awaitable[None]]
) -> None:
    uow = store.unit_of_work(claim=claim)
    with pytest.raises(LeaseLostError):
        async with uow:
            await execute(uow)
            await uow.rollback()
            await taken_over(store, claim)
            await write(uow)
    assert uow.committed is False
    await nothing_is_written(store)


async def test_a_zombies_objects_are_not_written_at_the_end_of_the_block(
    store: Store, claim: Claim
) -> None:
    now = datetime.now(UTC)
    uow = store.unit_of_work(claim=claim)
    with pytest.raises(LeaseLostError):
        async with uow:
            await uow.commit()
            await taken_over(store, claim)
            uow.session.add(Written(id="zombie", name="x", created_at=now, updated_at=now))
    assert uow.committed is False
    await nothing_is_written(store)


async def test_what_was_committed_before_the_takeover_is_kept(store: Store, claim: Claim) -> None:
    with pytest.raises(LeaseLostError):
        async with store.unit_of_work(claim=claim) as uow:
            await uow.log_chunks.insert_chunk("b", "n", 1, "{}")
            await uow.commit()
            await taken_over(store, claim)
            await uow.log_chunks.insert_chunk("a", "n", 1, "{}")
    assert len(await store.log_chunks.find_by_agent_id("b")) == 1
    await nothing_is_written(store)


async def test_undoing_a_savepoint_does_not_drop_the_fence(store: Store, claim: Claim) -> None:
    async with store.unit_of_work(claim=claim) as uow:
        with pytest.raises(AlreadyExistsError):
            async with uow.savepoint():
                await uow.initiatives.create(id="one", name="there is one")
        with pytest.raises(ZeroDivisionError):
            async with uow.session.begin_nested():
                raise ZeroDivisionError
        revoking = asyncio.create_task(store.claims.revoke(claim.task.id))
        await until_one_is_held_up(store)
        await create(uow)
        assert not revoking.done()
    await revoking
    assert uow.committed is True


async def test_a_revocation_waits_for_the_end_of_a_fenced_unit(store: Store, claim: Claim) -> None:
    async with store.unit_of_work(claim=claim) as uow:
        revoking = asyncio.create_task(store.claims.revoke(claim.task.id))
        await until_one_is_held_up(store)
        assert not revoking.done()
        await create(uow)
        await uow.commit()
        await revoking
        with pytest.raises(LeaseLostError):
            await uow.initiatives.create(name="too late")
    assert await store.initiatives.find_by_id("zombie") is not None


async def test_a_unit_that_is_cancelled_while_it_waits_for_its_fence_leaves_nothing(
    store: Store, claim: Claim
) -> None:
    async with store.unit_of_work(claim=claim) as uow:
        entering = asyncio.create_task(store.unit_of_work(claim=claim).__aenter__())
        await until_one_is_held_up(store)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        await create(uow)
    async with asyncio.timeout(5), store.unit_of_work(claim=claim):
        pass


async def test_a_statement_that_is_cancelled_at_its_fence_does_not_take_the_fence_along(
    store: Store, claim: Claim
) -> None:
    async with store.unit_of_work(claim=claim) as uow:
        await uow.commit()
        async with store.unit_of_work(claim=claim) as other:
            waiting = asyncio.create_task(create(uow))
            await until_idle()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await other.tasks.create(name="goes on")
        await taken_over(store, claim)
        with pytest.raises(LeaseLostError):
            await create(uow)
    await nothing_is_written(store)


@pytest.mark.store_settings(busy_timeout=0.2)
async def test_a_fenced_unit_is_named_after_its_task(store: Store, claim: Claim) -> None:
    if backend_of(store).capabilities.has_concurrent_writers:
        pytest.skip("nobody waits for a turn here")
    entered = asyncio.Event()

    async def wait_in_vain() -> None:
        await entered.wait()
        await store.tasks.create(name="waits")

    waiting = asyncio.create_task(wait_in_vain())
    async with store.unit_of_work(claim=claim):
        entered.set()
        with pytest.raises(StoreBusyError) as raised:
            await waiting
    assert raised.value.holder is not None
    assert raised.value.holder.label == f"task {claim.task.id} under epoch {claim.epoch}"


async def test_a_unit_is_fenced_by_a_claim_and_writes(store: Store, claim: Claim) -> None:
    for no_claim in (claim.task, claim.task.id, object()):
        with pytest.raises(TypeError, match=r"claims\.next"):
            store.unit_of_work(claim=no_claim)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="read_only"):
        store.unit_of_work(claim=claim, read_only=True)
    async with UnitOfWork(store, claim=claim) as uow:
        await create(uow)


# store.run


async def test_each_attempt_of_a_fenced_run_is_fenced(store: Store, claim: Claim) -> None:
    attempts = 0

    async def work(uow: UnitOfWork) -> None:
        nonlocal attempts
        attempts += 1
        await create(uow)
        await uow.rollback()
        if attempts == 2:
            await taken_over(store, claim)
        raise StoreBusyError("another was in the way")

    with pytest.raises(LeaseLostError):
        await store.run(work, claim=claim)
    assert attempts == 2, "it is not repeated, as that cannot help"
    await nothing_is_written(store)


async def test_a_fenced_run_returns_what_the_work_returns(store: Store, claim: Claim) -> None:
    assert await store.run(lambda uow: uow.tasks.find_by_id("other"), claim=claim) is not None


# Log chunks with a claim.


async def test_a_holder_appends_under_its_claim(store: Store, claim: Claim) -> None:
    first = await store.log_chunks.insert_chunk("a", "n", 1, "first", claim=claim)
    rows = [chunk(agent_id="b", content="b"), chunk(content="a"), chunk(agent_id="b", id="given")]
    others = await store.log_chunks.insert_chunks(rows, claim=claim)
    assert [one.content for one in others] == ["b", "a", "{}"]
    assert await store.log_chunks.insert_chunks([], claim=claim) == []
    found = await store.log_chunks.find_by_agent_id("a")
    assert found == [first, others[1]]
    assert await store.log_chunks.find_by_agent_id("b") == [others[0], others[2]]
    async with store.unit_of_work(claim=claim) as uow:
        within = await uow.log_chunks.insert_chunk("a", "n", 2, "within", claim=claim)
        many = await uow.log_chunks.insert_chunks([chunk(), chunk()], claim=claim)
    assert (await store.log_chunks.find_by_agent_id("a"))[2:] == [within, *many]


async def test_a_zombies_chunks_are_not_stored(store: Store, claim: Claim) -> None:
    successor = await taken_over(store, claim)
    with pytest.raises(LeaseLostError, match="host-2/1") as raised:
        await store.log_chunks.insert_chunk("a", "n", 1, "{}", claim=claim)
    assert raised.value.held_by == successor.agent.id
    for rows in ([chunk(), chunk()], []):
        with pytest.raises(LeaseLostError, match="host-2/1"):
            await store.log_chunks.insert_chunks(rows, claim=claim)
    await nothing_is_written(store)
    await store.log_chunks.insert_chunk("b", "n", 1, "{}", claim=successor)


async def test_a_zombies_chunks_do_not_spend_the_unit_of_another(
    store: Store, claim: Claim
) -> None:
    successor = await taken_over(store, claim)
    async with store.unit_of_work(claim=successor) as uow:
        with pytest.raises(LeaseLostError):
            await uow.log_chunks.insert_chunk("a", "n", 1, "{}", claim=claim)
        with pytest.raises(LeaseLostError):
            await uow.log_chunks.insert_chunks([chunk()], claim=claim)
        with pytest.raises(InvalidValueError):
            await uow.log_chunks.insert_chunks([chunk(), chunk(content=1)], claim=successor)
        await uow.tasks.create(name="goes on")
    assert uow.committed is True
    await nothing_is_written(store)


async def test_all_fenced_chunks_are_appended_or_none(store: Store, claim: Claim) -> None:
    await add_log_chunk(store, id="taken", agent_id="b")
    for number in (3, 300):
        rows = [chunk() for _ in range(number)]
        with pytest.raises(AlreadyExistsError):
            await store.log_chunks.insert_chunks([*rows, chunk(id="taken")], claim=claim)
        with pytest.raises(InvalidValueError):
            await store.log_chunks.insert_chunks([*rows, chunk(content="\0")], claim=claim)
    await nothing_is_written(store)


async def test_chunks_that_are_fenced_by_no_claim_are_refused(store: Store, claim: Claim) -> None:
    no_claim: Any = claim.task
    with pytest.raises(TypeError, match=r"claims\.next"):
        await store.log_chunks.insert_chunk("a", "n", 1, "{}", claim=no_claim)
    with pytest.raises(TypeError, match=r"claims\.next"):
        await store.log_chunks.insert_chunks([chunk()], claim=no_claim)
    await nothing_is_written(store)


async def test_fenced_chunks_wait_for_whoever_takes_the_task_and_are_refused_then(
    store: Store, claim: Claim
) -> None:
    async with store.unit_of_work() as uow:
        await uow.claims.revoke(claim.task.id)
        appending: list[asyncio.Task[Any]] = [
            asyncio.create_task(store.log_chunks.insert_chunk("a", "n", 1, "{}", claim=claim)),
            asyncio.create_task(store.log_chunks.insert_chunks([chunk()], claim=claim)),
        ]
        done, _ = await asyncio.wait(appending, timeout=0.2)
        assert not done
    for error in await asyncio.gather(*appending, return_exceptions=True):
        assert isinstance(error, LeaseLostError)
    await nothing_is_written(store)


async def test_among_many_appends_of_holders_and_zombies_each_gets_its_own_answer(
    store: Store, claim: Claim
) -> None:
    lost = [claim, await taken_over(store, claim), await claimed(store)]
    for each in lost[1:]:
        await store.claims.revoke(each.task.id)
    held = [await claimed(store) for _ in range(3)]
    answers = await asyncio.gather(
        *(
            store.log_chunks.insert_chunk("a", "n", number, "{}", claim=each)
            for number in range(20)
            for each in (*held, *lost)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, LeaseLostError) for answer in answers) == 60
    assert len(await store.log_chunks.find_by_agent_id("a")) == 60


# Who recovers.


async def test_who_is_writing_is_passed_by_when_leases_are_recovered(
    store: Store, clock: SteppableClock
) -> None:
    if not backend_of(store).capabilities.has_concurrent_writers:
        pytest.skip("whoever recovers waits for the unit's end")
    writing, silent = await claimed(store), await claimed(store)
    clock.advance(2 * ONE_MINUTE.total_seconds())
    async with store.unit_of_work(claim=writing) as uow:
        await uow.tasks.create(name="written")
        displaced = await asyncio.create_task(store.claims.recover())
        assert [agent.id for agent in displaced] == [silent.agent.id]
        await uow.tasks.create(name="written too")
    assert uow.committed is True
    assert [agent.id for agent in await store.claims.recover()] == [writing.agent.id]


async def test_what_is_written_in_a_fenced_unit_is_written_before_the_task_is_recovered(
    store: Store, claim: Claim, clock: SteppableClock
) -> None:
    clock.advance(2 * ONE_MINUTE.total_seconds())
    async with store.unit_of_work(claim=claim) as uow:
        recovering = asyncio.create_task(store.claims.recover())
        await until_idle()
        await create(uow)
    await recovering
    assert uow.committed is True
    await store.claims.recover()
    with pytest.raises(StaleStateError):
        async with store.unit_of_work(claim=claim):
            pass


async def test_a_lost_claim_is_told_although_its_successor_cannot_be_read(
    store: Store, claim: Claim
) -> None:
    successor = await taken_over(store, claim)
    await spoil(store, "agents", "created_at", successor.agent.id)
    task_id, agent_id = claim.task.id, successor.agent.id
    refused: list[Callable[[], Awaitable[object]]] = [
        lambda: store.claims.check(claim),
        lambda: store.claims.complete(claim),
        lambda: store.claims.release(claim),
        lambda: store.log_chunks.insert_chunk(claim.agent.id, "a", 1, "late", claim=claim),
        lambda: store.unit_of_work(claim=claim).__aenter__(),
    ]
    for write in refused:
        with pytest.raises(LeaseLostError, match=f"agent {agent_id!r} has it") as raised:
            await write()
        assert raised.value.held_by == agent_id
    with pytest.raises(StaleStateError, match=f"agent {agent_id!r} has it"):
        await store.tasks.update(task_id, status="completed")
