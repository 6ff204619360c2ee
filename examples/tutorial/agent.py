"""An agent that asks the guide before it works."""

import asyncio
import os
import sys

from cw_store import Store


async def ask(store: Store, question: str) -> str | None:
    """Return what the guide answers, as soon as it does."""
    guide = await store.wait_for(lambda uow: uow.agents.find_by_name("guide"))
    asked = await store.conversations.create(
        from_agent_id=os.environ["CW_AGENT_ID"], to_agent_id=guide.id, question=question
    )
    return (await store.wait_for_answer(asked.id)).answer


async def main(task: str) -> None:
    print(f"{task}: looking around", flush=True)
    async with Store("cw.db") as store:
        answer = await ask(store, f"{task}: what should I know?")
    print(f"{task}: done, as {answer}", flush=True)


asyncio.run(main(sys.argv[1]))
