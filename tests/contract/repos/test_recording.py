"""What is done to pages, phases and tasks in a block, as the entries of one change set."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from builders import add_agent, add_conversation, add_initiative, add_review_comment
from cw_store import (
    BrokenReferenceError,
    InvalidValueError,
    NotFoundError,
    ReadOnlyError,
    Store,
    UnitOfWork,
    UnitOfWorkError,
)
from plans import add_plan, recorded, rows
from waits import until_idle, until_one_is_held_up


async def entries(store: Store, id: str) -> list[str]:
    """Return what was recorded, one text for each entry."""
    found = await store.change_sets.find_entries(id)
    assert [entry.sort_order for entry in found] == list(range(len(found)))
    return [f"{entry.action} {entry.entity_type} {entry.entity_id}" for entry in found]


async def test_what_is_done_in_the_block_is_one_change_set(store: Store) -> None:
    plan = await add_plan(store)
    agent = await store.agents.find_by_id(plan.agent_id)
    assert agent is not None
    async with store.unit_of_work() as uow:
        await uow.tasks.update("e", name="before")
        async with uow.change_sets.recording(
            initiative_id=plan.initiative_id,
            agent_id=agent.id,
            mode="detail",
            summary="Split the groundwork",
        ) as recording:
            assert recording.change_set is None
            await uow.tasks.create(id="new", name="New", phase_id="q")
            await uow.tasks.update("new", name="Newer")
            await uow.phases.update("p", status="approved")
            await uow.pages.delete("two")
            assert await uow.tasks.find_by_id("new") is not None
        await uow.tasks.update("e", name="after")
    change_set = recording.change_set
    assert change_set is not None
    assert change_set == await store.change_sets.find_by_id(recording.id)
    assert change_set.initiative_id == plan.initiative_id
    assert (change_set.agent_id, change_set.agent_name) == (agent.id, agent.name)
    assert (change_set.mode, change_set.summary) == ("detail", "Split the groundwork")
    assert (change_set.status, change_set.reverted_at) == ("applied", None)
    assert await entries(store, recording.id) == [
        "create task new",
        "update task new",
        "update phase p",
        "delete page two",
    ]


async def test_a_state_holds_the_row_what_it_waits_for_and_its_place(store: Store) -> None:
    plan = await add_plan(store)
    before = {row["id"]: row for row in (await rows(store))["tasks"]}["c"]
    async with recorded(store, plan) as (uow, recording):
        changed = await uow.tasks.update("c", name="After")
    [entry] = await store.change_sets.find_entries(recording.id)
    previous, new = entry.previous_state, entry.new_state
    assert isinstance(previous, dict)
    assert isinstance(new, dict)
    assert previous["seq"] == before["seq"]
    assert previous["depends_on_ids"] == ["b"]
    assert previous["created_at"] == changed.created_at.isoformat()
    assert new["updated_at"] == changed.updated_at.isoformat()
    assert {name: previous[name] for name in ("id", "phase_id", "order", "summary")} == {
        "id": "c",
        "phase_id": "p",
        "order": ord("c"),
        "summary": None,
    }
    differing = {name for name in new if new[name] != previous[name]}
    assert differing == {"name", "updated_at"}
    assert new.keys() == previous.keys() == before.keys() | {"updated_at", "depends_on_ids"}


Verb = Callable[[UnitOfWork], Awaitable[Any]]

VERBS: dict[str, tuple[Verb, list[str]]] = {
    "pages.create": (
        lambda uow: uow.pages.create(
            id="new", initiative_id="i", parent_page_id="one", title="New"
        ),
        ["create page new"],
    ),
    "pages.update": (lambda uow: uow.pages.update("one", title="x"), ["update page one"]),
    "pages.update, moved": (
        lambda uow: uow.pages.update("two", parent_page_id="root"),
        ["update page two"],
    ),
    "pages.delete": (
        lambda uow: uow.pages.delete("root"),
        ["delete page two", "delete page one", "delete page root"],
    ),
    "phases.create": (
        lambda uow: uow.phases.create(id="new", initiative_id="i", name="New"),
        ["create phase new"],
    ),
    "phases.update": (lambda uow: uow.phases.update("p", content=[1]), ["update phase p"]),
    "phases.delete": (
        lambda uow: uow.phases.delete("p"),
        [
            "update phase q",
            "update task d",
            "delete task t",
            "delete task s",
            "delete task c",
            "delete task b",
            "delete task a",
            "delete phase p",
        ],
    ),
    "phases.create_dependency": (
        lambda uow: uow.phases.create_dependency("r", "p"),
        ["update phase r"],
    ),
    "phases.delete_dependency": (
        lambda uow: uow.phases.delete_dependency("r", "q"),
        ["update phase r"],
    ),
    "phases.set_dependencies": (
        lambda uow: uow.phases.set_dependencies("r", ["p"]),
        ["update phase r"],
    ),
    "tasks.create": (
        lambda uow: uow.tasks.create(id="new", name="New", parent_task_id="s"),
        ["create task new"],
    ),
    "tasks.create_many": (
        lambda uow: uow.tasks.create_many(
            [
                {"id": "one", "name": "One", "phase_id": "q"},
                {"id": "two", "name": "Two", "parent_task_id": "one"},
            ]
        ),
        ["create task one", "create task two"],
    ),
    "tasks.update": (
        lambda uow: uow.tasks.update("a", status="completed", summary="done"),
        ["update task a"],
    ),
    "tasks.update, moved": (
        lambda uow: uow.tasks.update("d", parent_task_id="c", phase_id="p"),
        ["update task d"],
    ),
    "tasks.update, moved with subtasks": (
        lambda uow: uow.tasks.update("a", phase_id="r"),
        ["update task a", "update task s"],
    ),
    "tasks.delete": (
        lambda uow: uow.tasks.delete("a"),
        ["update task b", "delete task t", "delete task s", "delete task a"],
    ),
    "tasks.increment_retry_count": (
        lambda uow: uow.tasks.increment_retry_count("a"),
        ["update task a"],
    ),
    "tasks.create_dependency": (
        lambda uow: uow.tasks.create_dependency("e", "a"),
        ["update task e"],
    ),
    "tasks.delete_dependency": (
        lambda uow: uow.tasks.delete_dependency("b", "a"),
        ["update task b"],
    ),
    "tasks.set_dependencies": (
        lambda uow: uow.tasks.set_dependencies("d", ["a", "e"]),
        ["update task d"],
    ),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_each_verb_is_recorded_and_undone(store: Store, verb: str) -> None:
    do, expected = VERBS[verb]
    plan = await add_plan(store, initiative_id="i")
    before = await rows(store)
    async with recorded(store, plan) as (uow, recording):
        await do(uow)
    assert sorted(await entries(store, recording.id)) == sorted(expected)
    assert await rows(store) != before
    reverted = await store.change_sets.revert(recording.id)
    assert await rows(store) == before
    assert reverted.change_set == await store.change_sets.find_by_id(recording.id)
    assert reverted.change_set.status == "reverted"
    assert reverted.lost == ()
    undone = {"create": "delete", "update": "update", "delete": "create"}
    assert sorted(expected) == sorted(
        f"{ {v: k for k, v in undone.items()}[each.action] } {each.entity_type} {each.entity_id}"
        for each in reverted.restored
    )


async def test_a_root_that_is_made_is_recorded_and_one_that_is_there_is_not(store: Store) -> None:
    plan = await add_plan(store)
    other = await add_initiative(store)
    async with recorded(store, plan) as (uow, recording):
        await uow.pages.get_or_create_root_page(plan.initiative_id)
        root = await uow.pages.get_or_create_root_page(other.id)
        await uow.pages.get_or_create_root_page(other.id)
    assert await entries(store, recording.id) == [f"create page {root.id}"]


async def test_what_has_no_effect_leaves_no_entry_and_a_block_without_any_no_set(
    store: Store,
) -> None:
    plan = await add_plan(store)
    async with recorded(store, plan) as (uow, recording):
        task = await uow.tasks.find_by_id("a")
        assert task is not None
        await uow.tasks.update("a", name=task.name)
        await uow.tasks.reset_retry_count("a")
        await uow.phases.set_dependencies("q", ["p"])
        await uow.tasks.create_many([])
        with pytest.raises(NotFoundError):
            await uow.tasks.update("unknown", name="x")
        with pytest.raises(InvalidValueError):
            await uow.tasks.update("a\0", name="x")
        with pytest.raises(InvalidValueError):
            await uow.tasks.create(name="\0")
    assert recording.change_set is None
    assert await store.change_sets.find_all() == []


async def test_other_tasks_of_the_block_are_recorded_too(store: Store) -> None:
    plan = await add_plan(store)
    before = await rows(store)
    async with recorded(store, plan) as (uow, recording):
        await asyncio.gather(
            *(uow.tasks.increment_retry_count("a") for _ in range(10)),
            *(uow.tasks.update(id, name="x") for id in "bcde"),
        )
    assert len(await entries(store, recording.id)) == 14
    found = await store.tasks.find_by_id("a")
    assert found is not None and found.retry_count == 10
    await store.change_sets.revert(recording.id)
    assert await rows(store) == before


async def test_repositories_taken_before_the_block_record_in_it_and_not_after(
    store: Store,
) -> None:
    plan = await add_plan(store)
    async with store.unit_of_work() as uow:
        tasks = uow.tasks
        await tasks.update("a", name="before")
        async with uow.change_sets.recording(
            initiative_id=plan.initiative_id, agent_name="someone", mode="plan"
        ) as recording:
            inside = uow.tasks
            await tasks.update("b", name="inside")
            await inside.update("c", name="inside")
        await tasks.update("d", name="after")
        await inside.update("e", name="after")
        assert uow.tasks is tasks is inside
    assert await entries(store, recording.id) == ["update task b", "update task c"]
    assert recording.change_set is not None
    assert (recording.change_set.agent_id, recording.change_set.agent_name) == (None, "someone")


async def test_what_comes_from_outside_of_the_block_waits_and_is_not_recorded(
    store: Store,
) -> None:
    plan = await add_plan(store)
    begun = asyncio.Event()

    async def elsewhere(uow: UnitOfWork) -> None:
        await begun.wait()
        await uow.tasks.update("a", name="outside")

    async with store.unit_of_work() as uow:
        other = asyncio.create_task(elsewhere(uow))
        async with uow.change_sets.recording(
            initiative_id=plan.initiative_id, agent_id=plan.agent_id, mode="plan"
        ) as recording:
            begun.set()
            await until_idle()
            await uow.tasks.update("b", name="inside")
            assert not other.done()
        await other
    assert await entries(store, recording.id) == ["update task b"]
    task = await store.tasks.find_by_id("a")
    assert task is not None and task.name == "outside"


async def test_who_deletes_a_phase_and_who_ends_a_claim_in_it_do_not_wait_for_each_other(
    store: Store,
) -> None:
    plan = await add_plan(store)
    claim = await store.claims.take("a", holder="h", worktree_id="t", provider=None)

    async def delete_phase() -> None:
        async with recorded(store, plan) as (uow, _):
            await uow.phases.delete("p")

    async with store.unit_of_work(claim=claim) as uow:
        deleting = asyncio.create_task(delete_phase())
        await until_one_is_held_up(store)
        await uow.claims.complete(claim)
    await deleting
    assert await store.phases.find_by_id("p") is None


async def test_a_block_that_raises_leaves_nothing_and_the_unit_goes_on(store: Store) -> None:
    plan = await add_plan(store)
    before = await rows(store)
    async with store.unit_of_work() as uow:
        for refused in (False, True):
            with pytest.raises(BrokenReferenceError if refused else RuntimeError):
                async with uow.change_sets.recording(
                    initiative_id=plan.initiative_id, agent_id=plan.agent_id, mode="plan"
                ):
                    await uow.phases.delete("p")
                    if refused:
                        await uow.tasks.create(name="x", phase_id="unknown")
                    raise RuntimeError
        await uow.tasks.update("a", order=before["tasks"][0]["order"])
    assert uow.committed
    assert await rows(store) == before
    assert await store.change_sets.find_all() == []


async def test_what_a_savepoint_undoes_is_not_recorded(store: Store) -> None:
    plan = await add_plan(store)
    before = await rows(store)
    async with recorded(store, plan) as (uow, recording):
        with pytest.raises(RuntimeError):
            async with uow.savepoint():
                await uow.phases.delete("p")
                raise RuntimeError
        with pytest.raises(RuntimeError):
            async with uow.session.begin_nested():
                await uow.pages.delete("one")
                raise RuntimeError
        async with uow.savepoint():
            await uow.tasks.update("a", name="kept")
    found = await store.change_sets.find_entries(recording.id)
    assert [(entry.action, entry.entity_id) for entry in found] == [("update", "a")]
    await store.change_sets.revert(recording.id)
    assert await rows(store) == before


async def test_a_block_is_part_of_its_unit(store: Store) -> None:
    plan = await add_plan(store)
    before = await rows(store)
    with pytest.raises(RuntimeError):
        async with recorded(store, plan) as (uow, _recording):
            await uow.phases.delete("p")
            with pytest.raises(UnitOfWorkError):
                await uow.commit()
            with pytest.raises(UnitOfWorkError):
                await uow.rollback()
            raise RuntimeError
    assert await rows(store) == before
    assert await store.change_sets.find_all() == []


async def test_recordings_do_not_nest_but_follow_each_other(store: Store) -> None:
    plan = await add_plan(store)
    async with recorded(store, plan) as (uow, first):
        await uow.tasks.update("a", name="x")
        with pytest.raises(UnitOfWorkError, match="a recording is on"):
            async with uow.change_sets.recording(
                initiative_id=plan.initiative_id, agent_id=plan.agent_id, mode="plan"
            ):
                raise AssertionError("it does not begin")
        with pytest.raises(UnitOfWorkError, match="inside of a recording"):
            await uow.change_sets.revert(first.id)
        await uow.tasks.update("b", name="x")
    async with recorded(store, plan) as (uow, second):
        await uow.tasks.update("c", name="x")
    assert await entries(store, first.id) == ["update task a", "update task b"]
    assert await entries(store, second.id) == ["update task c"]


async def test_a_recording_is_begun_in_a_unit_of_work_that_writes(store: Store) -> None:
    plan = await add_plan(store)
    with pytest.raises(UnitOfWorkError, match="unit_of_work"):
        async with store.change_sets.recording(
            initiative_id=plan.initiative_id, agent_id=plan.agent_id, mode="plan"
        ):
            raise AssertionError("it does not begin")
    async with store.unit_of_work(read_only=True) as uow:
        with pytest.raises(ReadOnlyError):
            async with uow.change_sets.recording(
                initiative_id=plan.initiative_id, agent_id=plan.agent_id, mode="plan"
            ):
                raise AssertionError("it does not begin")


@pytest.mark.parametrize(
    ("values", "error", "column"),
    [
        ({"initiative_id": "unknown"}, BrokenReferenceError, "initiative_id"),
        ({"agent_id": "unknown"}, BrokenReferenceError, "agent_id"),
        ({"agent_id": "unknown", "agent_name": "x"}, BrokenReferenceError, "agent_id"),
        ({"agent_id": None}, InvalidValueError, "agent_name"),
        ({"mode": "undo"}, InvalidValueError, "mode"),
        ({"summary": "\0"}, InvalidValueError, "summary"),
    ],
)
async def test_what_a_change_set_cannot_be_is_refused_before_the_block(
    store: Store, values: dict[str, Any], error: type[Exception], column: str
) -> None:
    plan = await add_plan(store)
    given: dict[str, Any] = {
        "initiative_id": plan.initiative_id,
        "agent_id": plan.agent_id,
        "mode": "plan",
    }
    async with store.unit_of_work() as uow:
        with pytest.raises(error) as caught:
            async with uow.change_sets.recording(**{**given, **values}):
                raise AssertionError("it does not begin")
        assert column in getattr(caught.value, "columns", [getattr(caught.value, "column", None)])
        await uow.tasks.update("a", name="goes on")
    assert uow.committed


async def test_what_goes_with_a_deletion_is_listed_in_its_state(store: Store) -> None:
    plan = await add_plan(store)
    comment = await add_review_comment(store, phase_id="p")
    asked = await add_conversation(store, task_id="b", phase_id="p")
    worker = await add_agent(store, task_id="b")
    async with recorded(store, plan) as (uow, recording):
        await uow.phases.delete("p")
    found = {
        entry.entity_id: entry.previous_state
        for entry in await store.change_sets.find_entries(recording.id)
    }
    lost: dict[str, Any] = {
        id: state.get("lost") for id, state in found.items() if isinstance(state, dict)
    }
    for id, expected in {
        "p": [("conversations", asked.id, "phase_id"), ("review_comments", comment.id, None)],
        "b": [("agents", worker.id, "task_id"), ("conversations", asked.id, "task_id")],
    }.items():
        listed = [tuple(row[key] for key in ("table", "id", "column")) for row in lost.pop(id)]
        assert sorted(listed) == expected
    assert set(lost.values()) == {None}
    reverted = await store.change_sets.revert(recording.id)
    assert {(row.table, row.id, row.column, row.entity_id) for row in reverted.lost} == {
        ("conversations", asked.id, "phase_id", "p"),
        ("review_comments", comment.id, None, "p"),
        ("agents", worker.id, "task_id", "b"),
        ("conversations", asked.id, "task_id", "b"),
    }
    again = await store.agents.find_by_id(worker.id)
    assert again is not None and again.task_id is None


async def test_the_set_goes_with_an_initiative_that_the_block_deletes(store: Store) -> None:
    plan = await add_plan(store)
    async with recorded(store, plan) as (uow, recording):
        await uow.tasks.update("a", name="x")
        await uow.initiatives.delete(plan.initiative_id)
    assert recording.change_set is None
    assert await store.change_sets.find_all() == []


@pytest.mark.store_settings(max_text_bytes=64)
async def test_a_row_is_recorded_however_long_and_deep_its_values_are(store: Store) -> None:
    plan = await add_plan(store)
    nested: Any = "x"
    for _ in range(20):
        nested = [nested]
    before = await rows(store)
    async with recorded(store, plan) as (uow, recording):
        await uow.tasks.update("a", name="n" * 64, description="d" * 64, summary="s" * 64)
        await uow.pages.update("one", content=nested, title="ü" * 32)
    await store.change_sets.revert(recording.id)
    assert await rows(store) == before


async def test_the_deepest_document_is_recorded(store: Store) -> None:
    plan = await add_plan(store)
    deepest: Any = [1.0, True, 2**63 - 1, None, "\u2028"]
    for level in range(99):
        deepest = [deepest] if level % 2 else {"a": deepest}
    await store.pages.update("one", content=deepest)
    async with recorded(store, plan) as (uow, recording):
        await uow.pages.delete("root")
    await store.change_sets.revert(recording.id)
    page = await store.pages.find_by_id("one")
    assert page is not None and page.content == deepest
