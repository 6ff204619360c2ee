"""The messages: who gets which, what waits for an answer, threads."""

from builders import add_agent, add_message
from cw_store import Store


async def test_a_new_message_is_pending_information_that_needs_no_answer(store: Store) -> None:
    async with store.unit_of_work() as uow:
        message = await uow.messages.create(
            sender_type="agent", recipient_type="user", content="done"
        )
    assert (message.type, message.status) == ("info", "pending")
    assert message.requires_response is False
    assert (message.sender_id, message.recipient_id) == (None, None)
    assert message.parent_message_id is None
    assert message.content == "done"


async def test_messages_are_found_by_sender_oldest_first(store: Store) -> None:
    async with store.unit_of_work() as uow:
        one, two = await add_agent(uow), await add_agent(uow)
        last = await add_message(uow, id="z", sender_type="agent", sender_id=one.id)
        other = await add_message(uow, id="m", sender_type="agent", sender_id=two.id)
        first = await add_message(uow, id="a", sender_type="agent", sender_id=one.id)
        user = await add_message(uow, sender_type="user")
        assert await uow.messages.find_by_sender("agent", one.id) == [last, first]
        assert await uow.messages.find_by_sender("agent") == [last, other, first]
        assert await uow.messages.find_by_sender("user") == [user]
        assert await uow.messages.find_by_sender("agent", "unknown") == []
        assert await uow.messages.find_by_sender("user", one.id) == []


async def test_messages_are_found_by_recipient_oldest_first(store: Store) -> None:
    async with store.unit_of_work() as uow:
        one, two = await add_agent(uow), await add_agent(uow)
        last = await add_message(uow, id="z", recipient_type="agent", recipient_id=one.id)
        other = await add_message(uow, id="m", recipient_type="agent", recipient_id=two.id)
        first = await add_message(uow, id="a", recipient_type="agent", recipient_id=one.id)
        user = await add_message(uow, recipient_type="user")
        await uow.messages.update("z", status="read")
        last = await uow.messages.find_by_id("z")
        assert await uow.messages.find_by_recipient("agent", one.id) == [last, first]
        assert await uow.messages.find_by_recipient("agent") == [last, other, first]
        assert await uow.messages.find_by_recipient("user") == [user]
        assert await uow.messages.find_by_recipient("agent", "unknown") == []
        assert await uow.messages.find_by_recipient("user", id=None) == [user]


async def test_pending_messages_for_the_user_are_found_oldest_first(store: Store) -> None:
    async with store.unit_of_work() as uow:
        agent = await add_agent(uow)
        assert await uow.messages.find_pending_for_user() == []
        pending = [
            await add_message(uow, id=id, sender_type="agent", sender_id=agent.id) for id in "zam"
        ]
        await add_message(uow, status="read")
        await add_message(uow, status="responded")
        await add_message(uow, recipient_type="agent", recipient_id=agent.id)
        assert await uow.messages.find_pending_for_user() == pending
        await uow.messages.update("a", status="read")
        assert await uow.messages.find_pending_for_user() == [pending[0], pending[2]]


async def test_messages_that_require_a_response_are_found_until_they_have_one(
    store: Store,
) -> None:
    async with store.unit_of_work() as uow:
        assert await uow.messages.find_requiring_response() == []
        pending = await add_message(uow, id="z", requires_response=True)
        read = await add_message(
            uow, id="a", requires_response=True, status="read", recipient_type="agent"
        )
        await add_message(uow, requires_response=True, status="responded")
        await add_message(uow, type="question")
        assert await uow.messages.find_requiring_response() == [pending, read]
        await uow.messages.update("z", status="responded")
        await uow.messages.update("a", requires_response=False)
        assert await uow.messages.find_requiring_response() == []


async def test_direct_replies_are_found_oldest_first(store: Store) -> None:
    async with store.unit_of_work() as uow:
        question = await add_message(uow, type="question")
        replies = [
            await add_message(uow, id=id, type="response", parent_message_id=question.id)
            for id in "zam"
        ]
        follow_up = await add_message(uow, parent_message_id="z")
        assert await uow.messages.find_replies(question.id) == replies
        assert await uow.messages.find_replies("z") == [follow_up]
        assert await uow.messages.find_replies("m") == []
        assert await uow.messages.find_replies("unknown") == []


async def test_a_thread_is_created_at_once(store: Store) -> None:
    async with store.unit_of_work() as uow:
        question, reply = await uow.messages.create_many(
            [
                {"id": "q", "sender_type": "agent", "recipient_type": "user", "content": "?"},
                {
                    "sender_type": "user",
                    "recipient_type": "agent",
                    "content": "!",
                    "parent_message_id": "q",
                },
            ]
        )
        assert await uow.messages.find_replies(question.id) == [reply]


async def test_replies_outlive_the_message_they_answer(store: Store) -> None:
    async with store.unit_of_work() as uow:
        question = await add_message(uow)
        reply = await add_message(uow, parent_message_id=question.id)
        await uow.messages.delete(question.id)
        kept = await uow.messages.find_by_id(reply.id)
        assert kept is not None
        assert kept.parent_message_id is None
        assert await uow.messages.find_replies(question.id) == []
