"""Questions that agents ask each other; what outlives what is tested at the other end."""

import asyncio

import pytest

from builders import add_agent, add_conversation, add_initiative, add_phase, add_task
from cw_store import Conversation, InvalidValueError, NotFoundError, StaleStateError, Store


async def test_a_new_conversation_is_a_pending_question(store: Store) -> None:
    async with store.unit_of_work() as uow:
        one, two = await add_agent(uow), await add_agent(uow)
        conversation = await uow.conversations.create(
            from_agent_id=one.id, to_agent_id=two.id, question="Which port?"
        )
    assert (conversation.from_agent_id, conversation.to_agent_id) == (one.id, two.id)
    assert (conversation.question, conversation.answer) == ("Which port?", None)
    assert conversation.status == "pending"
    assert conversation.initiative_id is None
    assert (conversation.phase_id, conversation.task_id) == (None, None)


async def test_pending_questions_for_an_agent_are_found_oldest_first(store: Store) -> None:
    async with store.unit_of_work() as uow:
        agent, other = await add_agent(uow), await add_agent(uow)
        asked = [await add_conversation(uow, id=id, to_agent_id=agent.id) for id in "zam"]
        await add_conversation(uow, from_agent_id=agent.id, to_agent_id=other.id)
        assert await uow.conversations.find_pending_for_agent(agent.id) == asked
        await uow.conversations.answer("a", "443")
        assert await uow.conversations.find_pending_for_agent(agent.id) == [asked[0], asked[2]]
        assert await uow.conversations.find_pending_for_agent("unknown") == []


async def test_questions_an_agent_asked_are_found_answered_or_not(store: Store) -> None:
    async with store.unit_of_work() as uow:
        agent = await add_agent(uow)
        last = await add_conversation(uow, id="z", from_agent_id=agent.id)
        await add_conversation(uow, id="a", from_agent_id=agent.id)
        await add_conversation(uow, to_agent_id=agent.id)
        answered = await uow.conversations.answer("a", "443")
        assert await uow.conversations.find_by_from_agent_id(agent.id) == [last, answered]
        assert await uow.conversations.find_by_from_agent_id("unknown") == []


async def test_an_agent_may_ask_itself(store: Store) -> None:
    async with store.unit_of_work() as uow:
        agent = await add_agent(uow)
        asked = await add_conversation(uow, from_agent_id=agent.id, to_agent_id=agent.id)
        assert await uow.conversations.find_pending_for_agent(agent.id) == [asked]
        assert await uow.conversations.find_by_from_agent_id(agent.id) == [asked]


async def test_a_question_is_answered(store: Store) -> None:
    async with store.unit_of_work() as uow:
        asked = await add_conversation(uow)
        answered = await uow.conversations.answer(asked.id, "443")
    assert (answered.status, answered.answer) == ("answered", "443")
    assert answered.updated_at > asked.updated_at
    assert await store.conversations.find_by_id(asked.id) == answered


async def test_only_the_first_answer_counts(store: Store) -> None:
    async with store.unit_of_work() as uow:
        asked = await add_conversation(uow)
        answered = await uow.conversations.answer(asked.id, "443")
        for again in ("80", "443"):
            with pytest.raises(StaleStateError) as caught:
                await uow.conversations.answer(asked.id, again)
            assert (caught.value.table, caught.value.id) == ("conversations", asked.id)
        # What has only moved on does not spend the unit of work.
        assert await uow.conversations.find_by_id(asked.id) == answered
    assert uow.committed is True
    with pytest.raises(StaleStateError):
        await store.conversations.answer(asked.id, "80")


async def test_an_unknown_question_cannot_be_answered(store: Store) -> None:
    async with store.unit_of_work() as uow:
        with pytest.raises(NotFoundError) as caught:
            await uow.conversations.answer("unknown", "443")
        assert (caught.value.table, caught.value.id) == ("conversations", "unknown")


async def test_an_answer_may_be_empty_but_not_bad(store: Store) -> None:
    one, two = await add_conversation(store), await add_conversation(store)
    assert (await store.conversations.answer(one.id, "")).answer == ""
    with pytest.raises(InvalidValueError) as caught:
        await store.conversations.answer(two.id, "a\0")
    assert (caught.value.table, caught.value.column) == ("conversations", "answer")
    assert await store.conversations.find_by_id(two.id) == two


async def test_of_many_answers_at_once_one_wins(store: Store) -> None:
    asked = await add_conversation(store)

    async def answer(text: str) -> Conversation:
        async with store.unit_of_work() as uow:
            return await uow.conversations.answer(asked.id, text)

    outcomes = await asyncio.gather(
        *(answer(str(number)) for number in range(4)),
        *(store.conversations.answer(asked.id, str(number)) for number in range(4, 8)),
        return_exceptions=True,
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert [type(error) for error in refused] == [StaleStateError] * 7
    [winner] = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert await store.conversations.find_by_id(asked.id) == winner


async def test_what_a_question_is_about_can_be_changed(store: Store) -> None:
    async with store.unit_of_work() as uow:
        initiative, phase, task = (
            await add_initiative(uow),
            await add_phase(uow),
            await add_task(uow),
        )
        asked = await add_conversation(uow, task_id=task.id)
        updated = await uow.conversations.update(
            asked.id, initiative_id=initiative.id, phase_id=phase.id, task_id=None
        )
        assert (updated.initiative_id, updated.phase_id) == (initiative.id, phase.id)
        assert (updated.task_id, updated.question) == (None, asked.question)
