"""The phases; their dependencies are in test_dependencies.py."""

from builders import (
    add_conversation,
    add_initiative,
    add_phase,
    add_review_comment,
    add_task,
)
from cw_store import Store


async def test_a_new_phase_is_pending_and_empty(store: Store) -> None:
    async with store.unit_of_work() as uow:
        initiative = await add_initiative(uow)
        phase = await uow.phases.create(initiative_id=initiative.id, name="Groundwork")
    assert (phase.initiative_id, phase.name) == (initiative.id, "Groundwork")
    assert phase.status == "pending"
    assert phase.content is None
    assert phase.merge_base is None


async def test_phases_are_found_by_initiative_oldest_first(store: Store) -> None:
    async with store.unit_of_work() as uow:
        initiative = await add_initiative(uow)
        created = [
            await add_phase(uow, initiative_id=initiative.id, id=id) for id in ("c", "a", "b")
        ]
        await add_phase(uow)
        assert await uow.phases.find_by_initiative_id(initiative.id) == created
        assert await uow.phases.find_by_initiative_id("unknown") == []


async def test_phases_are_found_by_status_across_initiatives(store: Store) -> None:
    async with store.unit_of_work() as uow:
        blocked = [await add_phase(uow, id=id, status="blocked") for id in ("b", "a")]
        await add_phase(uow)
        assert await uow.phases.find_by_status("blocked") == blocked
        assert await uow.phases.find_by_status("completed") == []


async def test_a_phase_keeps_its_document(store: Store) -> None:
    document = {"type": "doc", "content": [{"type": "text", "text": "Grüße '\"\\ \n"}]}
    async with store.unit_of_work() as uow:
        phase = await add_phase(uow, content=document)
        updated = await uow.phases.update(phase.id, merge_base="abc123", status="completed")
        assert (updated.merge_base, updated.status) == ("abc123", "completed")
        assert updated.content == document
        assert (await uow.phases.update(phase.id, content=None)).content is None


async def test_a_deleted_phase_takes_its_tasks_and_comments_along(store: Store) -> None:
    async with store.unit_of_work() as uow:
        phase = await add_phase(uow)
        other = await add_phase(uow, initiative_id=phase.initiative_id)
        task = await add_task(uow, phase_id=phase.id)
        below = await add_task(uow, parent_task_id=task.id)
        comment = await add_review_comment(uow, phase_id=phase.id)
        kept = await add_task(uow, phase_id=other.id)
        await uow.phases.create_dependency(phase.id, other.id)
        await uow.phases.delete(phase.id)
    async with store.unit_of_work() as uow:
        assert await uow.tasks.find_by_id(task.id) is None
        assert await uow.tasks.find_by_id(below.id) is None
        assert await uow.review_comments.find_by_id(comment.id) is None
        assert await uow.tasks.find_by_id(kept.id) == kept
        assert await uow.phases.get_dependents(other.id) == []
        assert await uow.initiatives.find_by_id(phase.initiative_id) is not None


async def test_a_conversation_outlives_its_phase(store: Store) -> None:
    async with store.unit_of_work() as uow:
        phase = await add_phase(uow)
        conversation = await add_conversation(
            uow, phase_id=phase.id, initiative_id=phase.initiative_id
        )
        await uow.phases.delete(phase.id)
        kept = await uow.conversations.find_by_id(conversation.id)
    assert kept is not None
    assert kept.phase_id is None
    assert kept.initiative_id == phase.initiative_id
