"""Chats of the user and an agent about a phase or a task."""

import pytest

from builders import (
    add_agent,
    add_change_set,
    add_chat_message,
    add_chat_session,
    add_initiative,
)
from cw_store import NotFoundError, Store


async def test_a_new_session_is_active(store: Store) -> None:
    async with store.unit_of_work() as uow:
        initiative = await add_initiative(uow)
        session = await uow.chat_sessions.create_session(
            target_type="task", target_id="t1", initiative_id=initiative.id
        )
    assert (session.target_type, session.target_id) == ("task", "t1")
    assert session.initiative_id == initiative.id
    assert (session.agent_id, session.status) == (None, "active")


async def test_the_newest_active_session_about_a_target_is_found(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await add_chat_session(uow, id="z", target_id="x")
        newest = await add_chat_session(uow, id="m", target_id="x")
        await add_chat_session(uow, id="a", target_id="x", status="closed")
        task = await add_chat_session(uow, target_type="task", target_id="x")
        await add_chat_session(uow, target_id="y")
        repository = uow.chat_sessions
        assert await repository.find_active_session("phase", "x") == newest
        assert await repository.find_active_session("task", "x") == task
        assert await repository.find_active_session("task", "y") is None
        await repository.close_session("m")
        found = await repository.find_active_session("phase", "x")
        assert found is not None and found.id == "z"
        await repository.close_session("z")
        assert await repository.find_active_session("phase", "x") is None


async def test_the_newest_active_session_of_an_agent_is_found(store: Store) -> None:
    async with store.unit_of_work() as uow:
        agent, other = await add_agent(uow), await add_agent(uow)
        await add_chat_session(uow, id="z", agent_id=agent.id)
        newest = await add_chat_session(uow, id="a", agent_id=agent.id, target_id="p2")
        await add_chat_session(uow, id="b", agent_id=agent.id, status="closed")
        repository = uow.chat_sessions
        assert await repository.find_active_session_by_agent_id(agent.id) == newest
        assert await repository.find_active_session_by_agent_id(other.id) is None
        assert await repository.find_active_session_by_agent_id("unknown") is None


async def test_a_session_is_closed_once_or_more(store: Store) -> None:
    async with store.unit_of_work() as uow:
        session = await add_chat_session(uow)
        closed = await uow.chat_sessions.close_session(session.id)
        assert closed.status == "closed"
        assert closed.updated_at > session.updated_at
        assert (await uow.chat_sessions.close_session(session.id)).status == "closed"
        with pytest.raises(NotFoundError) as caught:
            await uow.chat_sessions.close_session("unknown")
        assert (caught.value.table, caught.value.id) == ("chat_sessions", "unknown")
        opened = await uow.chat_sessions.update_session(session.id, status="active")
        assert opened.status == "active"


async def test_a_session_gets_and_loses_its_agent(store: Store) -> None:
    async with store.unit_of_work() as uow:
        session, agent = await add_chat_session(uow), await add_agent(uow)
        updated = await uow.chat_sessions.update_session(session.id, agent_id=agent.id)
        assert (updated.agent_id, updated.status) == (agent.id, "active")
        updated = await uow.chat_sessions.update_session(session.id, agent_id=None)
        assert updated.agent_id is None


async def test_messages_of_a_session_are_found_oldest_first(store: Store) -> None:
    async with store.unit_of_work() as uow:
        session, other = await add_chat_session(uow), await add_chat_session(uow)
        change_set = await add_change_set(uow)
        question = await uow.chat_sessions.create_message(
            id="z", chat_session_id=session.id, role="user", content="Split it."
        )
        answer = await uow.chat_sessions.create_message(
            id="a",
            chat_session_id=session.id,
            role="assistant",
            content="Done.",
            change_set_id=change_set.id,
        )
        await add_chat_message(uow, chat_session_id=other.id)
        assert (question.chat_session_id, question.role) == (session.id, "user")
        assert (question.content, question.change_set_id) == ("Split it.", None)
        assert answer.change_set_id == change_set.id
        repository = uow.chat_sessions
        assert await repository.find_messages_by_session_id(session.id) == [question, answer]
        assert await repository.find_messages_by_session_id("unknown") == []
    found = await store.chat_sessions.find_messages_by_session_id(session.id)
    assert found == [question, answer]


async def test_a_deleted_session_takes_its_messages_along(store: Store) -> None:
    async with store.unit_of_work() as uow:
        session, other = await add_chat_session(uow), await add_chat_session(uow)
        await add_chat_message(uow, chat_session_id=session.id)
        kept = await add_chat_message(uow, chat_session_id=other.id)
        await uow.chat_sessions.delete_session(session.id)
        assert await uow.chat_sessions.find_messages_by_session_id(session.id) == []
        assert await uow.chat_sessions.find_messages_by_session_id(other.id) == [kept]


async def test_a_message_outlives_its_change_set(store: Store) -> None:
    async with store.unit_of_work() as uow:
        change_set = await add_change_set(uow)
        message = await add_chat_message(uow, change_set_id=change_set.id)
        await uow.change_sets.delete(change_set.id)
        [kept] = await uow.chat_sessions.find_messages_by_session_id(message.chat_session_id)
        assert (kept.id, kept.change_set_id) == (message.id, None)
