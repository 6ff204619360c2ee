"""Questions that agents ask each other; what outlives what is tested at the other end."""

import asyncio
from typing import Any

import pytest

from builders import Repos, add_agent, add_conversation, add_initiative, add_phase, add_task
from cw_store import (
    BrokenReferenceError,
    Conversation,
    DependencyCycleError,
    InvalidValueError,
    NotFoundError,
    StaleStateError,
    Store,
)


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
            with pytest.raises(StaleStateError, match="is answered already") as caught:
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


async def ask(repos: Repos, *questions: str) -> None:
    """Ask questions written like `a>b`: a asks b."""
    for question in questions:
        asks, asked = question.split(">")
        await add_conversation(repos, id=question, from_agent_id=asks, to_agent_id=asked)


async def ask_if_no_deadlock(repos: Repos, question: str, **values: Any) -> Conversation:
    asks, asked = question.split(">")
    return await add_conversation(
        repos, from_agent_id=asks, to_agent_id=asked, refuse_deadlock=True, **values
    )


@pytest.mark.parametrize(
    ("questions", "closing", "path"),
    [
        ([], "a>a", "aa"),
        (["b>a"], "a>b", "aba"),
        (["b>c", "c>a", "b>d"], "a>b", "abca"),
        (["b>c", "c>d", "d>a", "c>a", "b>b"], "a>b", "abca"),
    ],
    ids=["itself", "two", "three", "shortest"],
)
async def test_a_question_that_would_close_a_circle_is_refused(
    store: Store, questions: list[str], closing: str, path: str
) -> None:
    for id in "abcd":
        await add_agent(store, id=id)
    await ask(store, *questions)
    async with store.unit_of_work() as uow:
        with pytest.raises(DependencyCycleError) as caught:
            await ask_if_no_deadlock(uow, closing)
        # It is refused before it reaches the database, so the unit of work goes on.
        assert len(await uow.conversations.find_all()) == len(questions)
    with pytest.raises(DependencyCycleError):
        await ask_if_no_deadlock(store, closing)
    assert caught.value.path == tuple(path)
    assert (caught.value.table, caught.value.column) == ("conversations", "to_agent_id")
    # Who does not ask for it may close one.
    await ask(store, closing)


async def test_a_question_that_closes_no_circle_is_asked(store: Store) -> None:
    for id in "abcd":
        await add_agent(store, id=id)
    await ask(store, "a>b", "b>c", "d>a", "a>c")
    asked = await ask_if_no_deadlock(store, "d>c", initiative_id=None)
    assert await store.conversations.find_by_id(asked.id) == asked
    assert await ask_if_no_deadlock(store, "a>b") in await store.conversations.find_pending()


async def test_nobody_waits_for_what_is_answered(store: Store) -> None:
    for id in "abc":
        await add_agent(store, id=id)
    await ask(store, "b>c", "c>a")
    answered = await ask_if_no_deadlock(store, "a>b", status="answered", answer="443")
    assert (answered.status, answered.answer) == ("answered", "443")
    await store.conversations.answer("b>c", "443")
    await ask_if_no_deadlock(store, "a>b")


async def test_what_is_wrong_with_a_question_is_said_before_its_circle(store: Store) -> None:
    await add_agent(store, id="a")
    async with store.unit_of_work() as uow:
        for values in ({"question": "\0"}, {"question": None}, {"from_agent_id": None}):
            with pytest.raises(InvalidValueError) as caught:
                await uow.conversations.create(
                    **{"from_agent_id": "a", "to_agent_id": "a", "question": "?", **values},  # pyright: ignore[reportArgumentType] -- what is wrong with it
                    refuse_deadlock=True,
                )
            assert caught.value.column == next(iter(values))
    with pytest.raises(BrokenReferenceError):
        await ask_if_no_deadlock(store, "a>unknown")


async def test_of_two_halves_of_a_circle_asked_at_once_the_second_is_refused(store: Store) -> None:
    for id in "ab":
        await add_agent(store, id=id)
    async with store.unit_of_work() as uow:
        await ask_if_no_deadlock(uow, "a>b")
        second = asyncio.create_task(ask_if_no_deadlock(store, "b>a"))
        # The second cannot know yet whether the first will be stored.
        done, _waiting = await asyncio.wait([second], timeout=0.1)
        assert not done
    with pytest.raises(DependencyCycleError):
        await second
    async with store.unit_of_work() as uow:
        await uow.conversations.delete((await uow.conversations.find_all())[0].id)
        await ask_if_no_deadlock(uow, "b>a")


async def test_of_the_parts_of_a_longer_circle_asked_at_once_one_is_refused(store: Store) -> None:
    for id in "abcdef":
        await add_agent(store, id=id)
    outcomes = await asyncio.gather(
        *(ask_if_no_deadlock(store, part) for part in ("a>b", "b>c", "c>d", "d>e", "e>f", "f>a")),
        return_exceptions=True,
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert [type(error) for error in refused] == [DependencyCycleError]


async def test_a_circle_that_is_closed_outside_of_a_question_is_walked_once(store: Store) -> None:
    for id in "abcx":
        await add_agent(store, id=id)
    await ask(store, "a>b", "b>c", "c>a")
    await ask_if_no_deadlock(store, "x>a")
    with pytest.raises(DependencyCycleError) as caught:
        await ask_if_no_deadlock(store, "c>x")
    assert caught.value.path == ("c", "x", "a", "b", "c")


async def test_questions_to_those_who_are_gone_are_found_oldest_first(store: Store) -> None:
    for id, status in (("a", "running"), ("s", "stopped"), ("c", "crashed"), ("i", "idle")):
        await add_agent(store, id=id, status=status)
    await ask(store, "i>s", "a>c", "a>i", "s>a", "a>s")
    found = await store.conversations.find_unanswerable()
    assert [conversation.id for conversation in found] == ["i>s", "a>c", "a>s"]
    await store.conversations.answer("a>c", "found elsewhere")
    await store.agents.update("s", status="running")
    assert await store.conversations.find_unanswerable() == []
