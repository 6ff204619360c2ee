"""The tasks: defaults, order, hierarchy, retries; dependencies are in test_dependencies.py."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from builders import add_agent, add_conversation, add_initiative, add_phase, add_task
from claims import claimed
from cw_store import (
    BrokenReferenceError,
    InvalidValueError,
    LeaseLostError,
    NewTask,
    NotFoundError,
    StaleStateError,
    Store,
    Task,
    TaskChanges,
    TaskExpected,
    TaskStatus,
)
from waits import until_one_is_held_up


async def test_a_new_task_is_pending_of_medium_priority_and_never_retried(store: Store) -> None:
    async with store.unit_of_work() as uow:
        task = await uow.tasks.create(name="Write the schema")
    assert task.name == "Write the schema"
    assert (task.type, task.category, task.priority) == ("auto", "execute", "medium")
    assert task.status == "pending"
    assert (task.order, task.retry_count) == (0, 0)
    assert (task.phase_id, task.initiative_id, task.parent_task_id) == (None, None, None)
    assert (task.description, task.summary) == (None, None)


async def test_a_task_can_be_created_by_a_call_on_the_store(store: Store) -> None:
    task = await store.tasks.create(name="Write the schema", order=3)
    assert await store.tasks.find_by_id(task.id) == task


# --- lists ------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["phase", "initiative", "parent_task"])
async def test_tasks_are_listed_by_order_then_age(store: Store, by: str) -> None:
    async with store.unit_of_work() as uow:
        phase = await add_phase(uow)
        parent = await add_task(uow)
        owner = {
            "phase": phase.id,
            "initiative": phase.initiative_id,
            "parent_task": parent.id,
        }[by]
        values: dict[str, Any] = {f"{by}_id": owner}
        second = await add_task(uow, id="z", order=1, **values)
        third = await add_task(uow, id="a", order=1, **values)
        first = await add_task(uow, id="m", order=-1, **values)
        await add_task(uow)
        find = getattr(uow.tasks, f"find_by_{by}_id")
        assert await find(owner) == [first, second, third]
        assert await find("unknown") == []
        last = await uow.tasks.update(first.id, order=9)
        assert await find(owner) == [second, third, last]


async def test_tasks_of_a_phase_are_found_by_its_initiative(store: Store) -> None:
    async with store.unit_of_work() as uow:
        phase = await add_phase(uow)
        in_phase = await add_task(uow, phase_id=phase.id)
        direct = await add_task(uow, initiative_id=phase.initiative_id)
        assert await uow.tasks.find_by_initiative_id(phase.initiative_id) == [in_phase, direct]
        assert await uow.tasks.find_by_phase_id(phase.id) == [in_phase]


async def test_tasks_are_found_by_status_oldest_first(store: Store) -> None:
    async with store.unit_of_work() as uow:
        blocked = [
            await add_task(uow, status="blocked", id=id, order=order)
            for id, order in (("c", 3), ("b", 2), ("a", 1))
        ]
        await add_task(uow)
        assert await uow.tasks.find_by_status("blocked") == blocked
        assert await uow.tasks.find_by_status("completed") == []


async def test_only_direct_subtasks_are_listed(store: Store) -> None:
    async with store.unit_of_work() as uow:
        top = await add_task(uow)
        child = await add_task(uow, parent_task_id=top.id)
        grandchild = await add_task(uow, parent_task_id=child.id)
        assert await uow.tasks.find_by_parent_task_id(top.id) == [child]
        assert await uow.tasks.find_by_parent_task_id(child.id) == [grandchild]
        assert await uow.tasks.find_by_parent_task_id(grandchild.id) == []


# --- phase and initiative ---------------------------------------------------------------------


async def test_a_task_takes_the_initiative_of_its_phase(store: Store) -> None:
    async with store.unit_of_work() as uow:
        phase = await add_phase(uow)
        absent = await uow.tasks.create(name="a", phase_id=phase.id)
        empty = await uow.tasks.create(name="b", phase_id=phase.id, initiative_id=None)
        same = await uow.tasks.create(
            name="c", phase_id=phase.id, initiative_id=phase.initiative_id
        )
        [many] = await uow.tasks.create_many([{"name": "d", "phase_id": phase.id}])
    for task in (absent, empty, same, many):
        assert task.initiative_id == phase.initiative_id
        assert await store.tasks.find_by_id(task.id) == task


async def test_a_task_is_not_created_in_a_phase_of_another_initiative(store: Store) -> None:
    async with store.unit_of_work() as uow:
        phase, other = await add_phase(uow), await add_initiative(uow)
        with pytest.raises(InvalidValueError) as caught:
            await uow.tasks.create(name="a", phase_id=phase.id, initiative_id=other.id)
        assert caught.value.table == "tasks"
        assert caught.value.column in ("phase_id", "initiative_id")
        with pytest.raises(InvalidValueError):
            await uow.tasks.create_many(
                [
                    {"name": "a"},
                    {"name": "b", "phase_id": phase.id, "initiative_id": other.id},
                    {"name": "c"},
                ]
            )
    assert uow.committed is True
    assert await store.tasks.find_by_status("pending") == []


async def test_many_tasks_may_be_of_many_phases_and_below_one_another(store: Store) -> None:
    async with store.unit_of_work() as uow:
        phases = [await add_phase(uow) for _ in range(3)]
        created = await uow.tasks.create_many(
            [
                {"id": "top", "name": "t", "phase_id": phases[0].id},
                {"id": "below", "name": "b", "phase_id": phases[0].id, "parent_task_id": "top"},
                {"id": "one", "name": "1", "phase_id": phases[1].id},
                {"id": "two", "name": "2", "phase_id": phases[2].id},
                {"id": "free", "name": "f"},
            ]
        )
    assert [task.initiative_id for task in created] == [
        phases[0].initiative_id,
        phases[0].initiative_id,
        phases[1].initiative_id,
        phases[2].initiative_id,
        None,
    ]
    assert [task.id for task in await store.tasks.find_by_parent_task_id("top")] == ["below"]


async def test_a_task_moves_to_another_phase_of_its_initiative(store: Store) -> None:
    async with store.unit_of_work() as uow:
        phase = await add_phase(uow)
        sibling = await add_phase(uow, initiative_id=phase.initiative_id)
        task = await add_task(uow, phase_id=phase.id)
        moved = await uow.tasks.update(task.id, phase_id=sibling.id)
        assert (moved.phase_id, moved.initiative_id) == (sibling.id, phase.initiative_id)
        out = await uow.tasks.update(task.id, phase_id=None)
        assert (out.phase_id, out.initiative_id) == (None, phase.initiative_id)


async def test_a_task_is_not_changed_to_a_phase_of_another_initiative(store: Store) -> None:
    async with store.unit_of_work() as uow:
        phase, other = await add_phase(uow), await add_phase(uow)
        task = await add_task(uow, phase_id=phase.id)
        direct = await add_task(uow, initiative_id=phase.initiative_id)
        for id in (task.id, direct.id):
            with pytest.raises(InvalidValueError) as caught:
                await uow.tasks.update(id, phase_id=other.id)
            assert caught.value.table == "tasks"
        with pytest.raises(InvalidValueError):
            await uow.tasks.update(task.id, initiative_id=other.initiative_id)
        with pytest.raises(InvalidValueError):
            await uow.tasks.update(
                task.id, phase_id=other.id, initiative_id=phase.initiative_id, name="renamed"
            )
    assert await store.tasks.find_by_id(task.id) == task
    assert await store.tasks.find_by_id(direct.id) == direct


async def test_a_task_moves_to_another_initiative_with_its_phase(store: Store) -> None:
    async with store.unit_of_work() as uow:
        phase, other = await add_phase(uow), await add_phase(uow)
        task = await add_task(uow, phase_id=phase.id)
        moved = await uow.tasks.update(
            task.id, phase_id=other.id, initiative_id=other.initiative_id
        )
        assert (moved.phase_id, moved.initiative_id) == (other.id, other.initiative_id)
        free = await uow.tasks.update(task.id, phase_id=None, initiative_id=phase.initiative_id)
        assert (free.phase_id, free.initiative_id) == (None, phase.initiative_id)


async def test_a_task_without_an_initiative_takes_that_of_its_new_phase(store: Store) -> None:
    async with store.unit_of_work() as uow:
        phase = await add_phase(uow)
        task = await add_task(uow)
        moved = await uow.tasks.update(task.id, phase_id=phase.id)
        assert (moved.phase_id, moved.initiative_id) == (phase.id, phase.initiative_id)
        same = await uow.tasks.update(task.id, initiative_id=None)
        assert (same.phase_id, same.initiative_id) == (phase.id, phase.initiative_id)
        free = await uow.tasks.update(task.id, phase_id=None, initiative_id=None)
        assert (free.phase_id, free.initiative_id) == (None, None)


async def test_a_task_in_an_unknown_phase_of_a_known_initiative_is_refused(store: Store) -> None:
    initiative = await add_initiative(store)
    with pytest.raises(BrokenReferenceError) as caught:
        await store.tasks.create(name="a", phase_id="unknown", initiative_id=initiative.id)
    assert (caught.value.table, caught.value.columns) == ("tasks", ("phase_id",))


# --- hierarchy --------------------------------------------------------------------------------


async def test_a_task_is_never_its_own_ancestor(store: Store) -> None:
    async with store.unit_of_work() as uow:
        top = await add_task(uow)
        child = await add_task(uow, parent_task_id=top.id)
        grandchild = await add_task(uow, parent_task_id=child.id)
        for parent in (top, child, grandchild):
            with pytest.raises(InvalidValueError) as caught:
                await uow.tasks.update(top.id, parent_task_id=parent.id)
            assert (caught.value.table, caught.value.column) == ("tasks", "parent_task_id")
        with pytest.raises(InvalidValueError):
            await uow.tasks.update(child.id, parent_task_id=grandchild.id, name="renamed")
        with pytest.raises(InvalidValueError) as caught:
            await uow.tasks.create(id="own", name="a", parent_task_id="own")
        assert (caught.value.table, caught.value.column) == ("tasks", "parent_task_id")
    assert uow.committed is True
    for task in (top, child, grandchild):
        assert await store.tasks.find_by_id(task.id) == task
    assert await store.tasks.find_by_id("own") is None


async def test_a_subtask_is_of_the_initiative_of_its_parent(store: Store) -> None:
    async with store.unit_of_work() as uow:
        phase, other = await add_phase(uow), await add_phase(uow)
        parent, free = await add_task(uow, phase_id=phase.id), await add_task(uow)
        taken = await uow.tasks.create(name="a", parent_task_id=parent.id)
        assert (taken.phase_id, taken.initiative_id) == (None, phase.initiative_id)
        refused: list[NewTask] = [
            {"name": "b", "parent_task_id": parent.id, "phase_id": other.id},
            {"name": "b", "parent_task_id": parent.id, "initiative_id": other.initiative_id},
            {"name": "b", "parent_task_id": free.id, "phase_id": other.id},
            {"name": "b", "parent_task_id": free.id, "initiative_id": other.initiative_id},
        ]
        for values in refused:
            for create in (uow.tasks.create(**values), uow.tasks.create_many([values])):
                with pytest.raises(InvalidValueError) as caught:
                    await create
                assert (caught.value.table, caught.value.column) == ("tasks", "parent_task_id")
        with pytest.raises(BrokenReferenceError):
            async with uow.savepoint():
                await uow.tasks.create(name="c", parent_task_id="unknown", phase_id=phase.id)
    with pytest.raises(BrokenReferenceError) as broken:
        await store.tasks.create(name="c", parent_task_id=parent.id, phase_id="unknown")
    assert broken.value.columns == ("phase_id",)
    assert await store.tasks.find_all() == [parent, free, taken]


async def test_many_subtasks_take_the_initiative_of_parents_in_the_list_too(store: Store) -> None:
    async with store.unit_of_work() as uow:
        phase, other = await add_phase(uow), await add_phase(uow)
        parent = await add_task(uow, phase_id=phase.id)
        created = await uow.tasks.create_many(
            [
                {"id": "a", "name": "a", "parent_task_id": parent.id},
                {"id": "b", "name": "b", "parent_task_id": "a"},
                {"id": "c", "name": "c", "phase_id": other.id},
                {"id": "d", "name": "d", "parent_task_id": "c"},
            ]
        )
        with pytest.raises(InvalidValueError) as caught:
            await uow.tasks.create_many(
                [
                    {"id": "e", "name": "e", "parent_task_id": "b"},
                    {"name": "f", "parent_task_id": "e", "phase_id": other.id},
                ]
            )
        assert caught.value.column == "parent_task_id"
    assert uow.committed is True
    one, two = phase.initiative_id, other.initiative_id
    assert [task.initiative_id for task in created] == [one, one, two, two]
    assert await store.tasks.find_all() == [parent, *created]


async def test_a_task_that_moves_takes_its_subtasks_of_the_same_phase_along(store: Store) -> None:
    async with store.unit_of_work() as uow:
        old = await add_phase(uow)
        new = await add_phase(uow, initiative_id=old.initiative_id)
        third = await add_phase(uow, initiative_id=old.initiative_id)
        top = await add_task(uow, phase_id=old.id)
        child = await add_task(uow, parent_task_id=top.id, phase_id=old.id)
        elsewhere = await add_task(uow, parent_task_id=child.id, phase_id=third.id)
        leaf = await add_task(uow, parent_task_id=elsewhere.id, phase_id=old.id)
        sibling = await add_task(uow, phase_id=old.id)
        moved = await uow.tasks.update(top.id, phase_id=new.id, name="moved")
    assert (moved.phase_id, moved.name) == (new.id, "moved")
    for before in (child, leaf):
        after = await store.tasks.find_by_id(before.id)
        assert after is not None
        assert after == replace(before, phase_id=new.id, updated_at=after.updated_at)
        assert after.updated_at > before.updated_at
    for task in (elsewhere, sibling):
        assert await store.tasks.find_by_id(task.id) == task


async def test_a_whole_tree_moves_to_another_initiative_or_none_of_it(store: Store) -> None:
    async with store.unit_of_work() as uow:
        old, new = await add_phase(uow), await add_phase(uow)
        third = await add_phase(uow, initiative_id=old.initiative_id)
        top = await add_task(uow, phase_id=old.id)
        child = await add_task(uow, parent_task_id=top.id)
        leaf = await add_task(uow, parent_task_id=child.id, phase_id=old.id)
    there: TaskChanges = {"phase_id": new.id, "initiative_id": new.initiative_id}
    elsewhere = await add_task(store, parent_task_id=leaf.id, phase_id=third.id)
    for expected in (None, TaskExpected(status="pending")):
        with pytest.raises(InvalidValueError):
            await store.tasks.update(top.id, expected=expected, **there)
        with pytest.raises(InvalidValueError) as caught:
            await store.tasks.update(leaf.id, expected=expected, **there)
        assert caught.value.column == "parent_task_id"
    assert await store.tasks.find_all() == [top, child, leaf, elsewhere]
    await store.tasks.delete(elsewhere.id)
    with pytest.raises(StaleStateError):
        await store.tasks.update(top.id, expected={"status": "blocked"}, **there)
    await store.tasks.update(top.id, expected={"status": "pending"}, **there)
    places = [(task.phase_id, task.initiative_id) for task in await store.tasks.find_all()]
    theirs = new.initiative_id
    assert places == [(new.id, theirs), (None, theirs), (new.id, theirs)]
    alone = await store.tasks.update(
        leaf.id, parent_task_id=None, phase_id=old.id, initiative_id=old.initiative_id
    )
    assert (alone.parent_task_id, alone.initiative_id) == (None, old.initiative_id)


async def test_a_task_without_an_initiative_takes_that_of_its_new_parent(store: Store) -> None:
    async with store.unit_of_work() as uow:
        phase = await add_phase(uow)
        parent, free = await add_task(uow, phase_id=phase.id), await add_task(uow)
        below = await add_task(uow, parent_task_id=free.id)
        with pytest.raises(InvalidValueError):
            await uow.tasks.update(parent.id, parent_task_id=free.id)
        moved = await uow.tasks.update(free.id, parent_task_id=parent.id)
        assert (moved.phase_id, moved.initiative_id) == (None, phase.initiative_id)
    found = await store.tasks.find_by_id(below.id)
    assert found is not None
    assert found.initiative_id == phase.initiative_id


async def test_a_tree_that_moves_while_it_grows_stays_in_one_initiative(store: Store) -> None:
    one, other = await add_phase(store), await add_phase(store)
    top = await add_task(store, phase_id=one.id)
    leaf = await add_task(store, parent_task_id=top.id)

    async def grow(parent_id: str) -> None:
        for _ in range(6):
            async with store.unit_of_work() as uow:
                child = await uow.tasks.create(name="child", parent_task_id=parent_id)
                await uow.tasks.update(parent_id, summary="one more")
            await store.tasks.create_many([{"name": "below", "parent_task_id": child.id}])

    async def move() -> None:
        for phase in (other, one, other):
            await store.tasks.update(top.id, phase_id=phase.id, initiative_id=phase.initiative_id)

    await asyncio.gather(grow(top.id), grow(leaf.id), grow(leaf.id), move(), move())
    found = await store.tasks.find_all()
    assert len(found) == 2 + 3 * 6 * 2
    assert {task.initiative_id for task in found} == {other.initiative_id}


async def test_a_subtask_that_is_being_created_moves_along(store: Store) -> None:
    one, other = await add_phase(store), await add_phase(store)
    top = await add_task(store, phase_id=one.id)
    child = await add_task(store, parent_task_id=top.id)

    async def move() -> Task:
        return await store.tasks.update(
            top.id, phase_id=other.id, initiative_id=other.initiative_id
        )

    async with store.unit_of_work() as uow:
        leaf = await uow.tasks.create(name="leaf", parent_task_id=child.id)
        moving = asyncio.ensure_future(move())
        await uow.tasks.create(name="below the leaf", parent_task_id=leaf.id)
    await moving
    assert {task.initiative_id for task in await store.tasks.find_all()} == {other.initiative_id}


async def test_a_task_moves_below_another_parent(store: Store) -> None:
    async with store.unit_of_work() as uow:
        one, two = await add_task(uow), await add_task(uow)
        child = await add_task(uow, parent_task_id=one.id)
        moved = await uow.tasks.update(child.id, parent_task_id=two.id)
        assert moved.parent_task_id == two.id
        assert await uow.tasks.find_by_parent_task_id(one.id) == []
        assert (await uow.tasks.update(child.id, parent_task_id=None)).parent_task_id is None
        assert (await uow.tasks.update(one.id, parent_task_id=child.id)).parent_task_id == child.id


async def test_two_tasks_moved_below_one_another_at_once_do_not_lose_their_root(
    store: Store,
) -> None:
    one, two = await add_task(store), await add_task(store)

    async def move(id: str, below: str) -> Task:
        async with store.unit_of_work() as uow:
            return await uow.tasks.update(id, parent_task_id=below)

    outcomes = await asyncio.gather(
        move(one.id, two.id), move(two.id, one.id), return_exceptions=True
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert [type(error) for error in refused] == [InvalidValueError]


async def test_a_deleted_task_takes_its_subtasks_of_every_level_along(store: Store) -> None:
    async with store.unit_of_work() as uow:
        top = await add_task(uow)
        child = await add_task(uow, parent_task_id=top.id)
        grandchild = await add_task(uow, parent_task_id=child.id)
        other = await add_task(uow)
        await uow.tasks.create_dependency(grandchild.id, other.id)
        await uow.tasks.create_dependency(other.id, top.id)
        await uow.tasks.delete(top.id)
    async with store.unit_of_work() as uow:
        for gone in (top, child, grandchild):
            assert await uow.tasks.find_by_id(gone.id) is None
        assert await uow.tasks.find_by_id(other.id) == other
        assert await uow.tasks.get_dependents(other.id) == []
        assert await uow.tasks.get_dependencies(other.id) == []


async def test_agents_and_conversations_outlive_their_task(store: Store) -> None:
    async with store.unit_of_work() as uow:
        initiative = await add_initiative(uow)
        task = await add_task(uow, initiative_id=initiative.id)
        agent = await add_agent(uow, task_id=task.id, initiative_id=initiative.id)
        conversation = await add_conversation(uow, task_id=task.id)
        await uow.tasks.delete(task.id)
        found = await uow.agents.find_by_id(agent.id)
        assert found is not None
        assert (found.task_id, found.initiative_id) == (None, initiative.id)
        kept = await uow.conversations.find_by_id(conversation.id)
        assert kept is not None
        assert kept.task_id is None


# --- retries ----------------------------------------------------------------------------------


async def test_retries_are_counted_and_reset(store: Store) -> None:
    async with store.unit_of_work() as uow:
        task, other = await add_task(uow), await add_task(uow, retry_count=5)
        once = await uow.tasks.increment_retry_count(task.id)
        assert once.retry_count == 1
        assert once.updated_at > task.updated_at
        assert (await uow.tasks.increment_retry_count(task.id)).retry_count == 2
        reset = await uow.tasks.reset_retry_count(task.id)
        assert reset.retry_count == 0
        assert reset.updated_at > once.updated_at
        assert await uow.tasks.find_by_id(task.id) == reset
        assert await uow.tasks.find_by_id(other.id) == other
        assert (await uow.tasks.reset_retry_count(other.id)).retry_count == 0


async def test_retries_of_an_unknown_task_are_not_found(store: Store) -> None:
    async with store.unit_of_work() as uow:
        for call in (uow.tasks.increment_retry_count, uow.tasks.reset_retry_count):
            with pytest.raises(NotFoundError) as caught:
                await call("unknown")
            assert (caught.value.table, caught.value.id) == ("tasks", "unknown")


async def test_a_full_retry_counter_refuses_to_count_on(store: Store) -> None:
    task = await add_task(store, retry_count=2**31 - 1)
    with pytest.raises(InvalidValueError):
        async with store.unit_of_work() as uow:
            await uow.tasks.increment_retry_count(task.id)
    assert await store.tasks.find_by_id(task.id) == task


async def test_concurrent_retries_all_count(store: Store) -> None:
    task = await add_task(store)

    async def retry() -> None:
        async with store.unit_of_work() as uow:
            await uow.tasks.increment_retry_count(task.id)

    await asyncio.gather(*(retry() for _ in range(12)))
    await asyncio.gather(*(store.tasks.increment_retry_count(task.id) for _ in range(12)))
    found = await store.tasks.find_by_id(task.id)
    assert found is not None
    assert found.retry_count == 24


# --- claimed tasks ----------------------------------------------------------------------------


@pytest.mark.parametrize("moves", [False, True])
@pytest.mark.parametrize("status", ["completed", "pending", "in_progress"])
async def test_the_status_of_a_claimed_task_changes_with_its_claim_alone(
    store: Store, moves: bool, status: TaskStatus
) -> None:
    claim = await claimed(store)
    changes: TaskChanges = {"status": status, "name": "changed"}
    if moves:
        changes["phase_id"] = (await add_phase(store)).id
    async with store.unit_of_work() as uow:
        for expected in (None, TaskExpected(claimed_by_agent_id=claim.agent.id), TaskExpected()):
            with pytest.raises(StaleStateError, match="is claimed") as raised:
                await uow.tasks.update(claim.task.id, expected=expected, **changes)
        for word in (claim.agent.name, "host-1/1", claim.agent.created_at.isoformat()):
            assert word in str(raised.value)
        assert (raised.value.table, raised.value.id) == ("tasks", claim.task.id)
        assert not isinstance(raised.value, LeaseLostError)
        await uow.tasks.create(name="the unit goes on")
    assert await store.tasks.find_by_id(claim.task.id) == claim.task
    with pytest.raises(StaleStateError, match="is claimed"):
        await store.tasks.update(claim.task.id, **changes)
    await store.claims.complete(claim)
    changed = await store.tasks.update(claim.task.id, **changes)
    assert (changed.status, changed.name) == (status, "changed")


async def test_what_is_not_its_status_can_be_changed_of_a_claimed_task(store: Store) -> None:
    claim, phase = await claimed(store), await add_phase(store)
    changed = await store.tasks.update(claim.task.id, summary="so far", phase_id=phase.id)
    assert (changed.summary, changed.phase_id) == ("so far", phase.id)
    await store.claims.check(claim)


@pytest.mark.parametrize("moves", [False, True])
async def test_a_status_with_an_expectation_tells_what_was_not_as_expected(
    store: Store, moves: bool
) -> None:
    task, phase = await add_task(store), await add_phase(store)
    changes: TaskChanges = {"status": "completed"}
    if moves:
        changes["phase_id"] = phase.id
    with pytest.raises(StaleStateError, match=r"no longer holds the expected name$"):
        await store.tasks.update(task.id, expected={"name": "another"}, **changes)
    with pytest.raises(NotFoundError):
        await store.tasks.update("unknown", expected={"name": "another"}, **changes)
    with pytest.raises(NotFoundError):
        await store.tasks.update("unknown", **changes)
    with pytest.raises(StaleStateError, match="expected claimed_by_agent_id"):
        await store.tasks.update(task.id, expected={"claimed_by_agent_id": "a"}, **changes)
    assert await store.tasks.find_by_id(task.id) == task
    held: TaskExpected = {"name": task.name, "claimed_by_agent_id": None}
    assert (await store.tasks.update(task.id, expected=held, **changes)).status == "completed"


async def test_a_status_that_is_changed_while_the_task_is_being_claimed_is_refused(
    store: Store,
) -> None:
    task = await add_task(store)
    async with store.unit_of_work() as uow:
        await uow.claims.take(task.id, holder="host-1/1", worktree_id="t", provider=None)
        changing = asyncio.create_task(store.tasks.update(task.id, status="completed"))
        await until_one_is_held_up(store)
        assert not changing.done()
    with pytest.raises(StaleStateError, match="is claimed"):
        await changing
