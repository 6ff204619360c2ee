"""Undoing a change set: all of it is as before, or what stands in the way is told."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import add_conversation, add_page, add_review_comment, add_task
from cw_store import (
    ChangeConflict,
    ChangeConflictError,
    Claim,
    ConflictError,
    InvalidValueError,
    LeaseLostError,
    NotFoundError,
    StaleStateError,
    Store,
    UnitOfWork,
)
from plans import Plan, add_plan, recorded, rows


def conflict(text: str) -> ChangeConflict:
    """Return the conflict that is written like `task a changed name status`."""
    entity_type, id, reason, *columns = text.split()
    return ChangeConflict(entity_type, id, reason, tuple(columns))  # pyright: ignore[reportArgumentType] -- one of them


async def claim(store: Store, task_id: str) -> Claim:
    """Have a new agent claim a task."""
    return await store.claims.take(task_id, holder="test", worktree_id="trees/1", provider=None)


async def test_a_change_set_is_reverted_once(store: Store) -> None:
    plan = await add_plan(store)
    async with recorded(store, plan) as (uow, recording):
        await uow.tasks.update("a", name="x")
    reverted = await store.change_sets.revert(recording.id)
    assert reverted.change_set.reverted_at is not None
    for force in (False, True):
        with pytest.raises(StaleStateError, match="is reverted already") as caught:
            await store.change_sets.revert(recording.id, force=force)
        assert (caught.value.table, caught.value.id) == ("change_sets", recording.id)
    with pytest.raises(NotFoundError):
        await store.change_sets.revert("unknown")


async def test_a_set_that_was_marked_reverted_by_hand_is_not_reverted(store: Store) -> None:
    plan = await add_plan(store)
    async with recorded(store, plan) as (uow, recording):
        await uow.tasks.update("a", name="x")
    await store.change_sets.mark_reverted(recording.id)
    with pytest.raises(StaleStateError):
        await store.change_sets.revert(recording.id)
    found = await store.tasks.find_by_id("a")
    assert found is not None and found.name == "x"


async def test_what_a_set_did_one_after_the_other_is_no_conflict(store: Store) -> None:
    plan = await add_plan(store)
    before = await rows(store)
    async with recorded(store, plan) as (uow, recording):
        for number in range(3):
            await uow.tasks.update("a", name=f"name {number}")
        await uow.phases.create(id="new", initiative_id=plan.initiative_id, name="New")
        await uow.tasks.update("a", phase_id="new")
        await uow.tasks.create(id="x", name="X", parent_task_id="a")
        await uow.tasks.create_dependency("x", "d")
        await uow.tasks.update("a", phase_id="r")
        await uow.phases.delete("new")
        await uow.tasks.delete("b")
        await uow.tasks.create(id="b", name="Another", phase_id="p")
        await uow.tasks.create_dependency("a", "b")
        await uow.phases.delete("p")
    reverted = await store.change_sets.revert(recording.id)
    assert await rows(store) == before
    assert {each.entity_id for each in reverted.restored} == {*"abcdspqx"} - {"p"} | {"p"}


async def test_a_root_page_is_brought_back_in_the_place_of_its_successor(store: Store) -> None:
    plan = await add_plan(store)
    before = await rows(store)
    async with recorded(store, plan) as (uow, recording):
        await uow.pages.delete("root")
        root = await uow.pages.get_or_create_root_page(plan.initiative_id)
        await uow.pages.create(
            id="two", initiative_id=plan.initiative_id, parent_page_id=root.id, title="Again"
        )
    await store.change_sets.revert(recording.id)
    assert await rows(store) == before


Change = Callable[[UnitOfWork], Awaitable[Any]]

RECORDED: dict[str, Change] = {
    "update": lambda uow: uow.tasks.update("a", name="recorded"),
    "delete": lambda uow: uow.tasks.delete("e"),
    "create": lambda uow: uow.phases.create(id="new", initiative_id="i", name="New"),
    "edges": lambda uow: uow.tasks.set_dependencies("d", ["e"]),
    "page": lambda uow: uow.pages.create(
        id="new", initiative_id="i", parent_page_id="two", title="New"
    ),
    "content": lambda uow: uow.pages.update("two", content={"done": 1}),
}
SINCE: dict[str, tuple[str, Change, list[str]]] = {
    "changed": (
        "update",
        lambda uow: uow.tasks.update("a", name="later", status="completed"),
        ["task a changed name status"],
    ),
    "changed elsewhere": (
        "update",
        lambda uow: uow.tasks.update("a", summary="later"),
        ["task a changed summary"],
    ),
    "retried": (
        "update",
        lambda uow: uow.tasks.increment_retry_count("a"),
        ["task a changed retry_count"],
    ),
    "gone": ("update", lambda uow: uow.tasks.delete("a"), ["task a gone"]),
    "there again": (
        "delete",
        lambda uow: uow.tasks.create(id="e", name="Another"),
        ["task e exists"],
    ),
    "another type": (
        "content",
        lambda uow: uow.pages.update("two", content={"done": True}),
        ["page two changed content"],
    ),
    "waits for others": (
        "edges",
        lambda uow: uow.tasks.create_dependency("d", "a"),
        ["task d changed depends_on_ids"],
    ),
    "waits for it": (
        "create",
        lambda uow: uow.phases.create_dependency("r", "new"),
        ["phase r changed depends_on_ids"],
    ),
    "waited for what is gone": (
        "edges",
        lambda uow: uow.tasks.delete("c"),
        ["task d changed depends_on_ids"],
    ),
    "tasks in it": (
        "create",
        lambda uow: uow.tasks.create_many(
            [
                {"id": "y", "name": "Y", "phase_id": "new"},
                {"id": "z", "name": "Z", "parent_task_id": "y"},
            ]
        ),
        ["task y added", "task z added"],
    ),
    "a task moved into it": (
        "create",
        lambda uow: uow.tasks.update("b", phase_id="new"),
        ["task b added", "task c changed depends_on_ids"],
    ),
    "comments on it": (
        "create",
        lambda uow: add_review_comment(uow, id="c", phase_id="new"),
        ["review_comment c added"],
    ),
    "pages below it": (
        "page",
        lambda uow: add_page(uow, id="x", initiative_id="i", parent_page_id="new"),
        ["page x added"],
    ),
}


@pytest.mark.parametrize("since", SINCE)
async def test_what_was_changed_since_is_a_conflict_that_force_overwrites(
    store: Store, since: str
) -> None:
    what, change, expected = SINCE[since]
    plan = await add_plan(store)
    before = await rows(store)
    async with recorded(store, plan) as (uow, recording):
        await RECORDED[what](uow)
    async with store.unit_of_work() as uow:
        await change(uow)
    changed = await rows(store)
    for repos in (store, store.unit_of_work()):
        async with repos if isinstance(repos, UnitOfWork) else store.unit_of_work() as uow:
            on = repos if isinstance(repos, Store) else uow
            with pytest.raises(ChangeConflictError) as caught:
                await on.change_sets.revert(recording.id)
        assert isinstance(caught.value, ConflictError)
        assert sorted(map(str, caught.value.conflicts)) == sorted(
            str(conflict(text)) for text in expected
        )
        for text in expected:
            assert conflict(text) in caught.value.conflicts
            assert str(conflict(text)) in str(caught.value)
        # Nothing is written, and the unit of work goes on.
        assert await rows(store) == changed
    change_set = await store.change_sets.find_by_id(recording.id)
    assert change_set is not None and change_set.status == "applied"
    reverted = await store.change_sets.revert(recording.id, force=True)
    assert reverted.change_set.status == "reverted"
    after = await rows(store)
    if since not in ("gone", "waited for what is gone", "there again", "a task moved into it"):
        assert after == before
    for table in after:
        assert len(after[table]) <= len(before[table])


async def test_columns_that_were_changed_since_are_named_in_one_order(store: Store) -> None:
    plan = await add_plan(store)
    async with recorded(store, plan) as (uow, recording):
        await uow.tasks.update("a", name="Tables")
    await store.tasks.update("a", summary="done", priority="high", max_retries=5, order=7)
    with pytest.raises(ChangeConflictError) as caught:
        await store.change_sets.revert(recording.id)
    [found] = caught.value.conflicts
    assert found.columns == ("max_retries", "order", "priority", "summary")


async def test_force_lists_what_came_since_and_went_with_it(store: Store) -> None:
    plan = await add_plan(store)
    async with recorded(store, plan) as (uow, recording):
        await uow.phases.create(id="new", initiative_id=plan.initiative_id, name="New")
    await add_task(store, id="y", phase_id="new")
    comment = await add_review_comment(store, phase_id="new")
    asked = await add_conversation(store, phase_id="new", task_id="y")
    reverted = await store.change_sets.revert(recording.id, force=True)
    assert {(row.entity_id, row.table, row.id, row.column) for row in reverted.lost} == {
        ("y", "tasks", "y", None),
        ("new", "review_comments", comment.id, None),
        ("new", "conversations", asked.id, "phase_id"),
        ("y", "conversations", asked.id, "task_id"),
    }


async def test_what_is_gone_already_needs_not_be_deleted(store: Store) -> None:
    plan = await add_plan(store)
    before = await rows(store)
    async with recorded(store, plan) as (uow, recording):
        await uow.tasks.create(id="new", name="New", phase_id="p")
        await uow.tasks.create(id="newer", name="Newer", phase_id="p")
    await store.tasks.delete("new")
    reverted = await store.change_sets.revert(recording.id)
    assert [each.entity_id for each in reverted.restored] == ["newer"]
    assert await rows(store) == before


async def test_a_recount_a_stamp_and_a_claim_that_is_over_are_no_changes(store: Store) -> None:
    plan = await add_plan(store)
    before = await rows(store)
    async with recorded(store, plan) as (uow, recording):
        await uow.tasks.update("b", name="x")
    found = await store.tasks.find_by_id("b")
    assert found is not None and found.open_dependencies == 1
    await store.tasks.update("a", status="completed")
    await store.tasks.update("b", name="x")
    await store.claims.release(await claim(store, "b"))
    await store.change_sets.revert(recording.id)
    after = await store.tasks.find_by_id("b")
    assert after is not None
    assert after.name == before["tasks"][1]["name"]
    assert (after.epoch, after.open_dependencies) == (1, 0)


async def test_a_claimed_task_is_not_touched_even_with_force(store: Store) -> None:
    plan = await add_plan(store)
    async with recorded(store, plan) as (uow, recording):
        await uow.tasks.update("a", name="x")
        await uow.phases.create(id="new", initiative_id=plan.initiative_id, name="New")
    await add_task(store, id="y", phase_id="new")
    for id in "ay":
        await claim(store, id)
    before = await rows(store)
    for force in (False, True):
        with pytest.raises(ChangeConflictError) as caught:
            await store.change_sets.revert(recording.id, force=force)
        claimed = {conflict("task a claimed"), conflict("task y claimed")}
        assert set(caught.value.conflicts) >= claimed
        assert await rows(store) == before
        if force:
            assert set(caught.value.conflicts) == claimed


async def test_a_task_that_was_claimed_when_it_was_deleted_comes_back_pending(
    store: Store,
) -> None:
    plan = await add_plan(store)
    await add_task(store, id="w", phase_id="p")
    claimed = await claim(store, "w")
    async with recorded(store, plan) as (uow, recording):
        await uow.tasks.delete("w")
    await store.change_sets.revert(recording.id)
    task = await store.tasks.find_by_id("w")
    assert task is not None
    assert (task.status, task.claimed_by_agent_id, task.epoch) == ("pending", None, 2)
    with pytest.raises(LeaseLostError):
        await store.claims.check(claimed)
    assert (await claim(store, "w")).epoch == 3


async def test_sets_are_undone_from_the_last_to_the_first(store: Store) -> None:
    plan = await add_plan(store)
    states, sets = [await rows(store)], list[str]()
    changes: list[Change] = [
        lambda uow: uow.tasks.update("a", phase_id="q"),
        lambda uow: uow.phases.delete("q"),
        lambda uow: uow.pages.delete("root"),
        lambda uow: uow.pages.get_or_create_root_page("i"),
    ]
    for change in changes:
        async with recorded(store, plan) as (uow, recording):
            await change(uow)
        states.append(await rows(store))
        sets.append(recording.id)
    with pytest.raises(ChangeConflictError) as caught:
        await store.change_sets.revert(sets[0])
    assert caught.value.conflicts == (conflict("task a gone"), conflict("task s gone"))
    for id in reversed(sets):
        assert await rows(store) == states.pop()
        await store.change_sets.revert(id)
    assert await rows(store) == states.pop()


async def test_a_place_that_was_taken_is_not_given_back(store: Store) -> None:
    plan = await add_plan(store)
    async with recorded(store, plan) as (uow, recording):
        await uow.pages.delete("two")
    later = [await add_page(store, initiative_id="i", parent_page_id="one") for _ in range(2)]
    await store.change_sets.revert(recording.id)
    found = [page.id for page in await store.pages.find_by_initiative_id("i")]
    ids = [page.id for page in later]
    assert found in (["root", "one", "two", *ids], ["root", "one", *ids, "two"])
    last = await add_page(store, initiative_id="i", parent_page_id="one")
    assert (await store.pages.find_by_initiative_id("i"))[-1] == last


async def test_a_revert_in_a_unit_of_work_is_part_of_it(store: Store) -> None:
    plan = await add_plan(store)
    before = await rows(store)
    async with recorded(store, plan) as (uow, recording):
        await uow.phases.delete("p")
    deleted = await rows(store)
    with pytest.raises(RuntimeError):
        async with store.unit_of_work() as uow:
            await uow.change_sets.revert(recording.id)
            assert await uow.phases.find_by_id("p") is not None
            raise RuntimeError
    assert await rows(store) == deleted
    async with store.unit_of_work() as uow:
        await uow.change_sets.revert(recording.id)
    assert await rows(store) == before


BROKEN: dict[str, tuple[Change, Change, str]] = {
    "its phase is gone": (
        lambda uow: uow.tasks.update("e", phase_id=None),
        lambda uow: uow.phases.delete("q"),
        "task e broken phase_id",
    ),
    "it would be its own ancestor": (
        lambda uow: uow.tasks.update("s", parent_task_id=None),
        lambda uow: uow.tasks.update("a", parent_task_id="s"),
        "task s broken parent_task_id",
    ),
    "a page would be its own ancestor": (
        lambda uow: uow.pages.update("two", parent_page_id="root"),
        lambda uow: uow.pages.update("one", parent_page_id="two"),
        "page two broken parent_page_id",
    ),
    "a circle would be closed": (
        lambda uow: uow.tasks.delete_dependency("b", "a"),
        lambda uow: uow.tasks.create_dependency("a", "c"),
        "task b broken depends_on_ids",
    ),
    "its parent moved to another initiative": (
        lambda uow: uow.tasks.delete("free"),
        lambda uow: uow.tasks.update("loose", initiative_id="other"),
        "task free broken initiative_id",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_what_no_longer_fits_is_a_conflict_even_with_force(store: Store, case: str) -> None:
    change, since, expected = BROKEN[case]
    plan = await add_plan(store)
    await store.initiatives.create(id="other", name="Other")
    await add_task(store, id="loose", initiative_id="i")
    await add_task(store, id="free", parent_task_id="loose")
    async with recorded(store, plan) as (uow, recording):
        await change(uow)
    async with store.unit_of_work() as uow:
        await since(uow)
    changed = await rows(store)
    for force in (False, True):
        with pytest.raises(ChangeConflictError) as caught:
            await store.change_sets.revert(recording.id, force=force)
        assert caught.value.conflicts == (conflict(expected),)
        async with store.unit_of_work() as uow:
            with pytest.raises(ChangeConflictError):
                await uow.change_sets.revert(recording.id, force=force)
        assert uow.committed
        assert await rows(store) == changed


# --- by hand ----------------------------------------------------------------------------------


async def by_hand(store: Store, *entries: Any) -> str:
    change_set = await store.change_sets.create(
        initiative_id="i", agent_name="someone", mode="plan", entries=entries
    )
    return change_set.id


def entry(action: str, entity: str, previous: Any, new: Any, sort_order: int = 0) -> Any:
    entity_type, entity_id = entity.split()
    return {
        "entity_type": entity_type,
        "entity_id": entity_id,
        "action": action,
        "previous_state": previous,
        "new_state": new,
        "sort_order": sort_order,
    }


async def test_states_that_say_some_columns_put_back_these(store: Store) -> None:
    await add_plan(store)
    await store.tasks.update("a", name="After", order=2, summary="done")
    id = await by_hand(
        store,
        entry("update", "task a", {"order": 1}, {"order": 2}, sort_order=2),
        entry("update", "task a", {"name": "Before"}, {"name": "Between"}, sort_order=0),
        entry("update", "task a", {"name": "Between"}, {"name": "After"}, sort_order=1),
        entry(
            "delete", "task old", {"name": "Old", "phase_id": "p", "depends_on_ids": ["a"]}, None
        ),
        entry(
            "delete",
            "page old",
            {"title": "Old", "initiative_id": "i", "parent_page_id": "one"},
            None,
        ),
        entry("create", "phase r", None, {"name": "Groundwork"}),
        entry("create", "phase gone", None, None),
    )
    reverted = await store.change_sets.revert(id)
    task = await store.tasks.find_by_id("a")
    assert task is not None
    assert (task.name, task.order, task.summary) == ("Before", 1, "done")
    old = await store.tasks.find_by_id("old")
    assert old is not None
    assert (old.name, old.phase_id, old.initiative_id) == ("Old", "p", "i")
    assert [task.id for task in await store.tasks.get_dependencies("old")] == ["a"]
    assert (await store.pages.find_by_initiative_id("i"))[-1].title == "Old"
    assert await store.phases.find_by_id("r") is None
    assert {each.entity_id for each in reverted.restored} == {"a", "old", "r"}


async def test_only_what_states_say_is_compared(store: Store) -> None:
    await add_plan(store)
    id = await by_hand(store, entry("update", "task a", {"name": "Before"}, {"name": "After"}))
    with pytest.raises(ChangeConflictError) as caught:
        await store.change_sets.revert(id)
    assert caught.value.conflicts == (conflict("task a changed name"),)
    id = await by_hand(store, entry("update", "task a", {"name": "Before"}, None))
    await store.change_sets.revert(id)
    task = await store.tasks.find_by_id("a")
    assert task is not None and task.name == "Before"


async def test_a_time_may_be_written_in_any_zone(store: Store) -> None:
    await add_plan(store)
    created = await store.phases.find_by_id("p")
    assert created is not None
    text = created.created_at.isoformat().replace("+00:00", "Z")
    id = await by_hand(
        store,
        entry("update", "phase p", {"name": "Before"}, {"created_at": text}),
        entry("delete", "task x", {"name": "X", "created_at": "2026-01-02T03:00:00+03:00"}, None),
    )
    await store.change_sets.revert(id)
    task = await store.tasks.find_by_id("x")
    assert task is not None and task.created_at.isoformat() == "2026-01-02T00:00:00+00:00"


HOSTILE_STATES: tuple[Any, ...] = (
    [],
    "x",
    5,
    True,
    None,
    [{}],
    1.5,
    {"naem": "x"},
    {"title": "of a page"},
    {"": 1},
    {"name": 5},
    {"name": None},
    {"name": ["x"]},
    {"name": {"x": []}},
    {"order": "1"},
    {"order": 2**40},
    {"order": True},
    {"status": "undone"},
    {"status": {}},
    {"id": "b"},
    {"id": None},
    {"phase_id": 5},
    {"phase_id": ""},
    {"not_before": "tomorrow"},
    {"not_before": "2026-01-02T03:00:00"},
    {"not_before": 1_700_000_000},
    {"not_before": "0001-01-01T00:00:00+14:00"},
    {"not_before": "9999-12-31T23:59:59-14:00"},
    {"seq": 0},
    {"seq": "1"},
    {"seq": True},
    {"seq": 2**63 - 1},
    {"depends_on_ids": "a"},
    {"depends_on_ids": [None]},
    {"depends_on_ids": [["a"]]},
    {"lost": "x"},
    {"lost": [5]},
    {"lost": [{"table": "agents", "id": 5, "column": None}]},
    {"lost": [{"table": "agents", "id": "a", "column": 5}]},
)

HOSTILE: list[Any] = [
    *[entry("update", "task a", state, None) for state in HOSTILE_STATES],
    entry("update", "task a", {"name": "x"}, {"naem": "x"}),
    entry("update", "task a", {"name": "x"}, []),
    entry("create", "task a", {"name": "x"}, {"name": "x"}),
    entry("create", "task a", [], None),
    entry("delete", "task x", None, None),
    entry("delete", "task x", {"phase_id": "p"}, None),
    entry("delete", "task x", {"name": "X"}, {"name": "X"}),
    entry("delete", "phase x", {"name": "X"}, None),
    entry("delete", "page x", {"title": "X"}, None),
    entry("delete", "page x", {"title": "X", "initiative_id": "i", "depends_on_ids": []}, None),
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda each: str(each["previous_state"])[:40])
async def test_a_state_that_cannot_be_understood_is_refused(store: Store, hostile: Any) -> None:
    await add_plan(store)
    before = await rows(store)
    id = await by_hand(
        store,
        hostile,
        entry("update", "task b", {"name": "Before"}, None, sort_order=1),
        entry("delete", "task y", {"name": "Y"}, None, sort_order=2),
    )
    for force in (False, True):
        with pytest.raises(InvalidValueError) as caught:
            await store.change_sets.revert(id, force=force)
        assert caught.value.table in ("change_set_entries", "tasks", "phases", "pages")
        async with store.unit_of_work() as uow:
            with pytest.raises(InvalidValueError):
                await uow.change_sets.revert(id, force=force)
        assert uow.committed
    assert await rows(store) == before
    change_set = await store.change_sets.find_by_id(id)
    assert change_set is not None and change_set.status == "applied"


async def test_a_place_far_ahead_puts_nothing_in_the_way_of_later_rows(store: Store) -> None:
    await add_plan(store)
    id = await by_hand(store, entry("delete", "task x", {"name": "X", "seq": 10**12}, None))
    await store.change_sets.revert(id)
    later = [await add_task(store) for _ in range(3)]
    found = await store.tasks.find_all()
    assert [task.id for task in found][-4:] == ["x", *(task.id for task in later)]


# --- at the same time -------------------------------------------------------------------------


async def test_of_a_revert_and_an_update_one_comes_first(store: Store) -> None:
    plan = await add_plan(store)

    async def change(number: int, uow: UnitOfWork) -> None:
        await uow.tasks.update("a", name="changed", summary="changed")
        await uow.tasks.update("b", order=number + 100)

    for number in range(5):
        name = f"recorded {number}"
        async with recorded(store, plan) as (uow, recording):
            await uow.tasks.update("a", name=name, summary=name)
            await uow.tasks.update("b", name=name)

        outcomes = await asyncio.gather(
            store.change_sets.revert(recording.id),
            store.run(partial(change, number)),
            return_exceptions=True,
        )
        task = await store.tasks.find_by_id("a")
        assert task is not None
        assert (task.name, task.summary) == ("changed", "changed")
        other = await store.tasks.find_by_id("b")
        assert other is not None
        if isinstance(outcomes[0], BaseException):
            assert isinstance(outcomes[0], ChangeConflictError)
            assert other.name == name
        else:
            assert other.name != name
        assert other.order == number + 100


async def test_a_revert_waits_for_who_is_changing_what_it_puts_back(store: Store) -> None:
    plan = await add_plan(store)
    async with recorded(store, plan) as (uow, recording):
        await uow.tasks.update("a", name="recorded")
    async with store.unit_of_work() as uow:
        await uow.tasks.update("a", summary="later")
        revert = asyncio.create_task(store.change_sets.revert(recording.id))
        done, _waiting = await asyncio.wait([revert], timeout=0.1)
        assert not done
    with pytest.raises(ChangeConflictError) as caught:
        await revert
    assert caught.value.conflicts == (conflict("task a changed summary"),)


async def test_a_recording_waits_for_who_is_changing_what_it_looks_at(store: Store) -> None:
    plan = await add_plan(store)

    async def record() -> str:
        async with recorded(store, plan) as (uow, recording):
            await uow.tasks.update("a", name="recorded")
        return recording.id

    async with store.unit_of_work() as uow:
        await uow.tasks.update("a", summary="meanwhile")
        recording = asyncio.create_task(record())
        done, _waiting = await asyncio.wait([recording], timeout=0.1)
        assert not done
    await store.change_sets.revert(await recording)
    task = await store.tasks.find_by_id("a")
    assert task is not None
    assert (task.name, task.summary) == ("Write the schema", "meanwhile")


async def test_of_a_revert_and_a_claim_one_comes_first(store: Store) -> None:
    plan = await add_plan(store)

    async def work(ids: list[str]) -> list[str]:
        """Claim one of the tasks after the other and complete it."""
        done: list[str] = []
        for id in ids:
            with contextlib.suppress(StaleStateError, NotFoundError):
                claimed = await claim(store, id)
                await store.claims.complete(claimed, phase_status=None, initiative_status=None)
                done.append(id)
        return done

    for _ in range(12):
        ids = [f"n{number}" for number in range(4)]
        async with recorded(store, plan) as (uow, recording):
            await uow.tasks.create_many([{"id": id, "name": id, "phase_id": "p"} for id in ids])
            await uow.tasks.set_dependencies("c", [ids[0]])
            await uow.tasks.set_dependencies(ids[3], [ids[0], "e"])
            await uow.tasks.delete_dependency("d", "c")
        done, reverted = await asyncio.gather(
            work(ids),
            store.change_sets.revert(recording.id),
            return_exceptions=True,
        )
        assert isinstance(done, list), done
        if isinstance(reverted, BaseException):
            assert isinstance(reverted, ChangeConflictError), reverted
            assert ids[0] in done
            await store.change_sets.revert(recording.id, force=True)
        else:
            assert done == []
        left = {task.id: task for task in await store.tasks.find_all()}
        assert not left.keys() & set(ids)
        assert [left[id].open_dependencies for id in "abcd"] == [0, 1, 1, 1]


async def test_a_task_is_completed_while_another_comes_to_wait_for_it_again(store: Store) -> None:
    plan = await add_plan(store)
    await store.tasks.set_dependencies("d", ["a"])
    async with recorded(store, plan) as (uow, recording):
        await uow.tasks.set_dependencies("d", [])
        await uow.tasks.update("b", name="x")
    claimed = await claim(store, "a")
    async with store.unit_of_work() as uow:
        await uow.tasks.update("a", summary="nearly done")
        revert = asyncio.create_task(store.change_sets.revert(recording.id))
        done, _waiting = await asyncio.wait([revert], timeout=0.2)
        assert not done
        # It waits for the task, and does not hold b yet, which is counted when that is completed.
        await uow.claims.complete(claimed, phase_status=None)
    await revert
    for id in "bd":
        task = await store.tasks.find_by_id(id)
        assert task is not None and task.open_dependencies == 0
        assert task.name == "Write the schema"


async def test_of_many_who_revert_at_once_one_does(store: Store) -> None:
    plan = await add_plan(store)
    before = await rows(store)
    async with recorded(store, plan) as (uow, recording):
        await uow.phases.delete("p")
    outcomes = await asyncio.gather(
        *(store.change_sets.revert(recording.id) for _ in range(4)), return_exceptions=True
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert [type(error) for error in refused] == [StaleStateError] * 3
    assert await rows(store) == before


# --- whatever was done ------------------------------------------------------------------------

PHASES, TASKS, PAGES = "pqrxy", "abcdestuvw", ("root", "one", "two", "three")
phase_ids, task_ids, page_ids = map(st.sampled_from, (PHASES, TASKS, PAGES))
statuses = st.sampled_from(["pending", "in_progress", "completed", "blocked"])
steps = st.one_of(
    st.tuples(st.just("create phase"), phase_ids, st.text("xy", max_size=2)),
    st.tuples(st.just("update phase"), phase_ids, st.sampled_from(["pending", "completed"])),
    st.tuples(st.just("delete phase"), phase_ids),
    st.tuples(st.just("phase waits"), phase_ids, st.lists(phase_ids, max_size=2)),
    st.tuples(st.just("create task"), task_ids, st.none() | phase_ids, st.none() | task_ids),
    st.tuples(st.just("update task"), task_ids, statuses),
    st.tuples(st.just("move task"), task_ids, st.none() | phase_ids),
    st.tuples(st.just("put below"), task_ids, st.none() | task_ids),
    st.tuples(st.just("retry task"), task_ids),
    st.tuples(st.just("delete task"), task_ids),
    st.tuples(st.just("task waits"), task_ids, st.lists(task_ids, max_size=3)),
    st.tuples(st.just("wait no more"), task_ids, task_ids),
    st.tuples(st.just("create page"), page_ids, st.none() | page_ids),
    st.tuples(st.just("update page"), page_ids, st.integers(0, 3)),
    st.tuples(st.just("move page"), page_ids, page_ids),
    st.tuples(st.just("delete page"), page_ids),
)


async def do(uow: UnitOfWork, plan: Plan, step: tuple[Any, ...]) -> None:
    match step:
        case "create phase", id, name:
            await uow.phases.create(id=id, initiative_id=plan.initiative_id, name=name)
        case "update phase", id, status:
            await uow.phases.update(id, status=status)
        case "delete phase", id:
            await uow.phases.delete(id)
        case "phase waits", id, others:
            await uow.phases.set_dependencies(id, others)
        case "create task", id, phase_id, parent_id:
            await uow.tasks.create(id=id, name="x", phase_id=phase_id, parent_task_id=parent_id)
        case "update task", id, status:
            await uow.tasks.update(id, status=status)
        case "move task", id, phase_id:
            await uow.tasks.update(id, phase_id=phase_id)
        case "put below", id, parent_id:
            await uow.tasks.update(id, parent_task_id=parent_id)
        case "retry task", id:
            await uow.tasks.increment_retry_count(id)
        case "delete task", id:
            await uow.tasks.delete(id)
        case "task waits", id, others:
            await uow.tasks.set_dependencies(id, others)
        case "wait no more", id, other:
            await uow.tasks.delete_dependency(id, other)
        case "create page", id, parent_id:
            await uow.pages.create(
                id=id, initiative_id=plan.initiative_id, parent_page_id=parent_id, title="x"
            )
        case "update page", id, order:
            await uow.pages.update(id, sort_order=order)
        case "move page", id, parent_id:
            await uow.pages.update(id, parent_page_id=parent_id)
        case "delete page", id:
            await uow.pages.delete(id)
        case _:
            raise AssertionError(step)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(first=st.lists(steps, max_size=4), then=st.lists(steps, min_size=1, max_size=10))
async def test_whatever_was_done_in_a_recording_is_undone(
    store: Store, first: list[Any], then: list[Any]
) -> None:
    for initiative in await store.initiatives.find_all():
        await store.initiatives.delete(initiative.id)
    for task in await store.tasks.find_all():
        if await store.tasks.find_by_id(task.id):
            await store.tasks.delete(task.id)
    plan = await add_plan(store)
    async with store.unit_of_work() as uow:
        for step in first:
            await _try(uow, plan, step)
    before = await rows(store)
    async with recorded(store, plan) as (uow, recording):
        for step in then:
            await _try(uow, plan, step)
    if recording.change_set is None:
        assert await rows(store) == before
        return
    reverted = await store.change_sets.revert(recording.id)
    assert reverted.lost == ()
    assert await rows(store) == before


async def _try(uow: UnitOfWork, plan: Plan, step: tuple[Any, ...]) -> None:
    """Do it, or nothing of it."""
    try:
        async with uow.savepoint():
            await do(uow, plan, step)
    except (ConflictError, InvalidValueError, NotFoundError):
        pass
