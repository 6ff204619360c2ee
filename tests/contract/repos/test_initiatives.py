"""The initiatives, and what a deleted one takes along."""

import pytest

from builders import (
    add_agent,
    add_change_set,
    add_chat_message,
    add_chat_session,
    add_conversation,
    add_initiative,
    add_page,
    add_phase,
    add_project,
    add_proposal,
    add_review_comment,
    add_task,
)
from cw_store import NotFoundError, Store


async def test_a_new_initiative_is_active_and_has_no_branch(store: Store) -> None:
    async with store.unit_of_work() as uow:
        initiative = await uow.initiatives.create(name="User auth")
    assert initiative.name == "User auth"
    assert initiative.status == "active"
    assert initiative.branch is None


async def test_initiatives_are_found_by_status_oldest_first(store: Store) -> None:
    async with store.unit_of_work() as uow:
        active = [await add_initiative(uow, id=id) for id in ("b", "a", "c")]
        completed = await add_initiative(uow, status="completed")
    assert await store.initiatives.find_by_status("active") == active
    assert await store.initiatives.find_by_status("completed") == [completed]
    assert await store.initiatives.find_by_status("archived") == []
    moved = await store.initiatives.update("a", status="completed")
    assert await store.initiatives.find_by_status("active") == [active[0], active[2]]
    assert await store.initiatives.find_by_status("completed") == [moved, completed]


async def test_all_initiatives_are_listed_whatever_their_status(store: Store) -> None:
    statuses = ("archived", "active", "pending_review", "completed")
    created = [await add_initiative(store, status=status) for status in statuses]
    assert await store.initiatives.find_all() == created
    assert await store.initiatives.find_all(limit=1, after=created[1].id) == [created[2]]


async def test_an_initiative_changes_its_name_status_and_branch(store: Store) -> None:
    async with store.unit_of_work() as uow:
        initiative = await add_initiative(uow, branch="cw/user-auth")
        updated = await uow.initiatives.update(initiative.id, name="Login", status="archived")
        assert (updated.name, updated.status) == ("Login", "archived")
        assert updated.branch == "cw/user-auth"
        updated = await uow.initiatives.update(initiative.id, branch=None)
        assert updated.branch is None
    with pytest.raises(NotFoundError):
        await store.initiatives.update("unknown", name="x")


async def test_a_deleted_initiative_takes_all_that_belongs_to_it_along(store: Store) -> None:
    async with store.unit_of_work() as uow:
        initiative, other = await add_initiative(uow), await add_initiative(uow)
        phase = await add_phase(uow, initiative_id=initiative.id)
        comment = await add_review_comment(uow, phase_id=phase.id)
        in_phase = await add_task(uow, phase_id=phase.id)
        direct = await add_task(uow, initiative_id=initiative.id)
        below = await add_task(uow, parent_task_id=direct.id)
        root = await add_page(uow, initiative_id=initiative.id)
        page = await add_page(uow, initiative_id=initiative.id, parent_page_id=root.id)
        proposal = await add_proposal(uow, initiative_id=initiative.id)
        chat = await add_chat_session(uow, initiative_id=initiative.id)
        await add_chat_message(uow, chat_session_id=chat.id)
        change_set = await uow.change_sets.create(
            initiative_id=initiative.id,
            agent_name="brave-otter",
            mode="plan",
            entries=[{"entity_type": "page", "entity_id": page.id, "action": "update"}],
        )
        project = await add_project(uow)
        await uow.projects.add_initiative_project(initiative.id, project.id)
        kept = await add_task(uow, initiative_id=other.id)

        await uow.initiatives.delete(initiative.id)

    async with store.unit_of_work(read_only=True) as uow:
        assert await uow.initiatives.find_by_id(initiative.id) is None
        assert await uow.phases.find_by_id(phase.id) is None
        assert await uow.review_comments.find_by_id(comment.id) is None
        for task in (in_phase, direct, below):
            assert await uow.tasks.find_by_id(task.id) is None
        for gone in (root, page):
            assert await uow.pages.find_by_id(gone.id) is None
        assert await uow.proposals.find_by_id(proposal.id) is None
        assert await uow.chat_sessions.find_session_by_id(chat.id) is None
        assert await uow.chat_sessions.find_messages_by_session_id(chat.id) == []
        assert await uow.change_sets.find_by_id(change_set.id) is None
        assert await uow.change_sets.find_entries(change_set.id) == []
        assert await uow.projects.find_projects_by_initiative_id(initiative.id) == []
        assert await uow.projects.find_by_id(project.id) == project
        assert await uow.initiatives.find_all() != []
        assert await uow.tasks.find_by_id(kept.id) == kept


async def test_agents_and_conversations_outlive_their_initiative(store: Store) -> None:
    async with store.unit_of_work() as uow:
        initiative = await add_initiative(uow)
        agent = await add_agent(uow, initiative_id=initiative.id)
        conversation = await add_conversation(uow, initiative_id=initiative.id)
        phase = await add_phase(uow, initiative_id=initiative.id)
        task = await add_task(uow, phase_id=phase.id)
        on_task = await add_agent(uow, task_id=task.id)
        about_phase = await add_conversation(uow, phase_id=phase.id, task_id=task.id)
        await uow.initiatives.delete(initiative.id)
    async with store.unit_of_work() as uow:
        found = await uow.agents.find_by_id(agent.id)
        assert found is not None and found.initiative_id is None
        found = await uow.agents.find_by_id(on_task.id)
        assert found is not None and found.task_id is None
        kept = await uow.conversations.find_by_id(conversation.id)
        assert kept is not None and kept.initiative_id is None
        kept = await uow.conversations.find_by_id(about_phase.id)
        assert kept is not None and (kept.phase_id, kept.task_id) == (None, None)


async def test_change_sets_of_other_initiatives_stay(store: Store) -> None:
    async with store.unit_of_work() as uow:
        kept, doomed = await add_change_set(uow), await add_change_set(uow)
        await uow.initiatives.delete(doomed.initiative_id)
    assert await store.change_sets.find_by_id(kept.id) == kept
