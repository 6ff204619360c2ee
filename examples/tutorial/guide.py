"""Answer what agents ask, and ask a person what is not known here."""

import asyncio

from cw_store import Conversation, Message, Store, UnitOfWork

KNOWN = {"style": "blue is the colour", "pages": "there are three of them"}


async def ask_a_person(store: Store, question: Conversation) -> str:
    """Return what a person replies, as soon as one does."""
    id = f"for-{question.id}"
    if await store.messages.find_by_id(id) is None:  # else it was asked before
        await store.messages.create(
            id=id,
            sender_type="agent",
            sender_id=question.to_agent_id,
            recipient_type="user",
            type="question",
            content=question.question,
            requires_response=True,
        )

    async def reply(uow: UnitOfWork) -> Message | None:
        return next(iter(await uow.messages.find_replies(id)), None)

    return (await store.wait_for(reply)).content


async def answer(store: Store, question: Conversation) -> None:
    known = [text for word, text in KNOWN.items() if word in question.question]
    text = known[0] if known else await ask_a_person(store, question)
    await store.conversations.answer(question.id, text)
    print(f"{question.question} {text}", flush=True)


async def main() -> None:
    async with Store("cw.db") as store, asyncio.TaskGroup() as answering:
        guide = await store.agents.find_by_name("guide")
        if guide is None:
            guide = await store.agents.create(name="guide", worktree_id="trees/guide")
        async for question in store.listen(guide.id):
            answering.create_task(answer(store, question))


asyncio.run(main())
