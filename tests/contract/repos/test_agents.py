"""The agents: names, what they are found by, and what outlives them."""

import asyncio
import re

import pytest

from builders import (
    add_account,
    add_agent,
    add_change_set,
    add_chat_session,
    add_conversation,
    add_errand,
    add_log_chunk,
    add_message,
    add_proposal,
    add_task,
)
from claims import claimed
from cw_store import Agent, AlreadyExistsError, NotFoundError, StaleStateError, Store
from cw_store.repos.sql.agent_names import ADJECTIVES, ANIMALS
from cw_store.testing import SteppableClock


async def test_a_new_agent_is_idle_and_works_for_claude(store: Store) -> None:
    async with store.unit_of_work() as uow:
        agent = await uow.agents.create(worktree_id="/worktrees/1")
    assert agent.worktree_id == "/worktrees/1"
    assert (agent.provider, agent.status, agent.mode) == ("claude", "idle", "execute")
    assert (agent.task_id, agent.initiative_id, agent.account_id) == (None, None, None)
    assert (agent.session_id, agent.output_file_path) == (None, None)
    assert (agent.pid, agent.exit_code) == (None, None)
    assert (agent.result, agent.pending_questions, agent.user_dismissed_at) == (None, None, None)


# --- names ------------------------------------------------------------------------------------


async def test_an_agent_without_a_name_gets_one_that_a_person_can_remember(store: Store) -> None:
    agent = await add_agent(store)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)+(-\d+)?", agent.name)
    assert await store.agents.find_by_name(agent.name) == agent


async def test_no_two_made_up_names_are_alike(store: Store) -> None:
    async with store.unit_of_work() as uow:
        names = [(await add_agent(uow)).name for _ in range(300)]
    assert len(set(names)) == 300


async def test_a_name_is_made_up_even_when_all_the_plain_ones_are_taken(store: Store) -> None:
    plain = {f"{adjective}-{animal}" for adjective in ADJECTIVES for animal in ANIMALS}
    async with store.unit_of_work() as uow:
        for name in plain:
            await add_agent(uow, name=name)
        more = [(await add_agent(uow)).name for _ in range(20)]
    assert len({*more}) == 20
    assert plain.isdisjoint(more)


async def test_names_made_up_at_once_are_not_alike(store: Store) -> None:
    async def create() -> Agent:
        async with store.unit_of_work() as uow:
            return await add_agent(uow)

    agents = await asyncio.gather(*(create() for _ in range(20)))
    assert len({agent.name for agent in agents}) == 20


async def test_a_name_is_given_only_once(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await add_agent(uow, name="brave-otter")
        other = await add_agent(uow, name="calm-lynx")
    with pytest.raises(AlreadyExistsError) as caught:
        async with store.unit_of_work() as uow:
            await add_agent(uow, name="brave-otter")
    assert (caught.value.table, caught.value.columns) == ("agents", ("name",))
    with pytest.raises(AlreadyExistsError) as caught:
        await store.agents.update(other.id, name="brave-otter")
    assert (caught.value.table, caught.value.columns) == ("agents", ("name",))
    assert await store.agents.find_by_id(other.id) == other
    assert (await store.agents.update(other.id, name="calm-lynx")).name == "calm-lynx"


async def test_names_are_compared_letter_by_letter(store: Store) -> None:
    async with store.unit_of_work() as uow:
        names = ("otter", "Otter", "ötter", "o\u0308tter", "otter ", "o%", "_tter")
        agents = [await add_agent(uow, name=name) for name in names]
        for agent in agents:
            assert await uow.agents.find_by_name(agent.name) == agent
        assert await uow.agents.find_by_name("OTTER") is None
        assert await uow.agents.find_by_name("o") is None


async def test_the_name_of_a_deleted_agent_is_free_again(store: Store) -> None:
    agent = await add_agent(store, name="brave-otter")
    await store.agents.delete(agent.id)
    assert await store.agents.find_by_name("brave-otter") is None
    assert (await add_agent(store, name="brave-otter")).name == "brave-otter"


# --- finding ----------------------------------------------------------------------------------


async def test_the_newest_agent_of_a_task_is_found(store: Store) -> None:
    async with store.unit_of_work() as uow:
        task, other = await add_task(uow), await add_task(uow)
        await add_agent(uow, id="z", task_id=task.id)
        newest = await add_agent(uow, id="a", task_id=task.id)
        await add_agent(uow)
        assert await uow.agents.find_by_task_id(task.id) == newest
        assert await uow.agents.find_by_task_id(other.id) is None
        assert await uow.agents.find_by_task_id("unknown") is None


async def test_the_newest_agent_of_a_session_is_found(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await add_agent(uow, id="z", session_id="s1")
        newest = await add_agent(uow, id="a", session_id="s1")
        other = await add_agent(uow, session_id="s2")
        await add_agent(uow)
        assert await uow.agents.find_by_session_id("s1") == newest
        assert await uow.agents.find_by_session_id("s2") == other
        assert await uow.agents.find_by_session_id("s3") is None


async def test_agents_are_found_by_status_oldest_first(store: Store) -> None:
    async with store.unit_of_work() as uow:
        running = [await add_agent(uow, id=id, status="running") for id in ("c", "a", "b")]
        await add_agent(uow)
        assert await uow.agents.find_by_status("running") == running
        assert await uow.agents.find_by_status("crashed") == []
        await uow.agents.update("a", status="stopped")
        assert await uow.agents.find_by_status("running") == [running[0], running[2]]


async def test_an_agent_keeps_its_result_and_its_questions(store: Store) -> None:
    questions = [{"id": "q1", "question": "Which port?", "options": ["80", None, 443]}]
    async with store.unit_of_work() as uow:
        agent = await add_agent(uow, pending_questions=questions)
        done = await uow.agents.update(
            agent.id, status="stopped", exit_code=0, result={"ok": True}, pending_questions=None
        )
    assert agent.pending_questions == questions
    assert (done.status, done.exit_code) == ("stopped", 0)
    assert (done.result, done.pending_questions) == ({"ok": True}, None)


# --- what outlives an agent -------------------------------------------------------------------


async def test_a_deleted_agent_takes_its_proposals_and_conversations_along(store: Store) -> None:
    async with store.unit_of_work() as uow:
        agent, other = await add_agent(uow), await add_agent(uow)
        proposal = await add_proposal(uow, agent_id=agent.id)
        kept = await add_proposal(uow, agent_id=other.id)
        asked = await add_conversation(uow, from_agent_id=agent.id, to_agent_id=other.id)
        answered = await add_conversation(uow, from_agent_id=other.id, to_agent_id=agent.id)
        await uow.agents.delete(agent.id)
    async with store.unit_of_work() as uow:
        assert await uow.proposals.find_by_id(proposal.id) is None
        assert await uow.proposals.find_by_id(kept.id) == kept
        assert await uow.conversations.find_by_id(asked.id) is None
        assert await uow.conversations.find_by_id(answered.id) is None


async def test_messages_chats_change_sets_and_errands_outlive_their_agent(store: Store) -> None:
    async with store.unit_of_work() as uow:
        agent = await add_agent(uow)
        sent = await add_message(uow, sender_type="agent", sender_id=agent.id)
        received = await add_message(uow, recipient_type="agent", recipient_id=agent.id)
        chat = await add_chat_session(uow, agent_id=agent.id)
        change_set = await add_change_set(uow, agent_id=agent.id, agent_name=agent.name)
        errand = await add_errand(uow, agent_id=agent.id)
        assert errand.agent_alias == agent.name
        await uow.agents.delete(agent.id)
    async with store.unit_of_work() as uow:
        message = await uow.messages.find_by_id(sent.id)
        assert message is not None
        assert (message.sender_type, message.sender_id) == ("agent", None)
        message = await uow.messages.find_by_id(received.id)
        assert message is not None
        assert (message.recipient_type, message.recipient_id) == ("agent", None)
        session = await uow.chat_sessions.find_session_by_id(chat.id)
        assert session is not None
        assert session.agent_id is None
        applied = await uow.change_sets.find_by_id(change_set.id)
        assert applied is not None
        assert (applied.agent_id, applied.agent_name) == (None, agent.name)
        open_errand = await uow.errands.find_by_id(errand.id)
        assert open_errand is not None
        assert (open_errand.agent_id, open_errand.agent_alias) == (None, None)


async def test_the_log_survives_its_agent(store: Store) -> None:
    async with store.unit_of_work() as uow:
        agent = await add_agent(uow)
        chunk = await add_log_chunk(uow, agent_id=agent.id, agent_name=agent.name)
        await uow.agents.delete(agent.id)
    assert await store.log_chunks.find_by_agent_id(agent.id) == [chunk]


async def test_an_agent_outlives_its_account_and_its_task(store: Store) -> None:
    async with store.unit_of_work() as uow:
        account, task = await add_account(uow), await add_task(uow)
        agent = await add_agent(uow, account_id=account.id, task_id=task.id)
        await uow.accounts.delete(account.id)
        found = await uow.agents.find_by_id(agent.id)
        assert found is not None
        assert (found.account_id, found.task_id) == (None, task.id)
        await uow.tasks.delete(task.id)
        found = await uow.agents.find_by_id(agent.id)
        assert found is not None
        assert found.task_id is None


async def test_an_agent_that_holds_a_lease_is_not_deleted(
    store: Store, clock: SteppableClock
) -> None:
    claim = await claimed(store)
    clock.advance(24 * 60 * 60)  # it ran out, and nobody has recovered it
    async with store.unit_of_work() as uow:
        with pytest.raises(StaleStateError, match="has task") as raised:
            await uow.agents.delete(claim.agent.id)
        for word in (claim.task.id, claim.agent.name, "host-1/1"):
            assert word in str(raised.value)
        assert (raised.value.table, raised.value.id) == ("agents", claim.agent.id)
        await uow.tasks.create(name="the unit goes on")
    assert await store.agents.find_by_id(claim.agent.id) == claim.agent
    await store.claims.check(claim)
    await store.claims.release(claim)
    await store.agents.delete(claim.agent.id)
    assert await store.agents.find_by_id(claim.agent.id) is None
    with pytest.raises(NotFoundError):
        await store.agents.delete(claim.agent.id)
