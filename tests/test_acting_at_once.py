"""What a person does to an agent or a message that somebody else changes meanwhile."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from builders import add_agent, add_message
from cw_store import Agent, Store, acting
from cw_store.acting import TooLateError
from waits import until_one_is_held_up

SIDE_BY_SIDE = pytest.mark.parametrize("database", ["postgres"], indirect=True)
"""Where units of work write side by side; elsewhere the second begins when the first has ended."""


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    async with Store(database) as store:
        yield store


async def dismiss(store: Store, id: str) -> Agent:
    async with store.unit_of_work() as uow:
        return await acting.dismiss_agent(uow, id, await uow.claims.now())


@SIDE_BY_SIDE
async def test_who_dismisses_an_agent_second_is_told_so(store: Store) -> None:
    agent = await add_agent(store, name="brave-otter", status="crashed")
    async with store.unit_of_work() as uow:
        await acting.dismiss_agent(uow, agent.id, await uow.claims.now())
        second = asyncio.create_task(dismiss(store, agent.id))
        await until_one_is_held_up(store)
    with pytest.raises(TooLateError, match=r"^agent brave-otter is dismissed already$"):
        await second


@SIDE_BY_SIDE
async def test_what_else_is_written_about_an_agent_keeps_nobody_from_dismissing_it(
    store: Store,
) -> None:
    agent = await add_agent(store, status="crashed")
    async with store.unit_of_work() as uow:
        await uow.agents.update(agent.id, exit_code=9)
        second = asyncio.create_task(dismiss(store, agent.id))
        await until_one_is_held_up(store)
    dismissed = await second
    assert dismissed.user_dismissed_at is not None and dismissed.exit_code == 9


@SIDE_BY_SIDE
async def test_a_message_that_is_read_meanwhile_is_responded_to(store: Store) -> None:
    message = await add_message(store, requires_response=True)
    async with store.unit_of_work() as uow:
        await uow.messages.update(message.id, status="read")
        responding = asyncio.create_task(store.messages.respond(message.id, content="yes"))
        await until_one_is_held_up(store)
    reply = await responding
    assert await store.messages.find_replies(message.id) == [reply]
    assert await store.messages.find_requiring_response() == []


async def test_an_agent_that_works_again_is_told_of_as_what_it_is(store: Store) -> None:
    agent = await add_agent(store, name="brave-otter", status="crashed")
    await dismiss(store, agent.id)
    await store.agents.update(agent.id, status="running")
    with pytest.raises(TooLateError, match=r"^agent brave-otter is running and not crashed$"):
        await dismiss(store, agent.id)
