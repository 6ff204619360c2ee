"""What a command runs to answer the questions of other agents.

    python -m examples.supervisor.answer --until asks-the-guide COMMAND...

Each question is answered with what COMMAND writes; it finds the question in CW_QUESTION. It ends
when the task that is named, the one that asks, is completed.
"""

import argparse
import asyncio
import os
import sys

from cw_store import Conversation, StaleStateError, Store, Task, UnitOfWork

from .terminal import harmless

OVER = ("completed", "blocked")


async def answer_until_completed(
    store: Store, agent_id: str, until: str, command: list[str]
) -> bool:
    """Answer until the task `until` is over; return whether it was completed."""

    async def questions_or_end(uow: UnitOfWork) -> tuple[list[Conversation], Task] | None:
        questions = await uow.conversations.find_pending_for_agent(agent_id)
        task = await find_task(uow, agent_id, until)
        return (questions, task) if questions or task.status in OVER else None

    while True:
        questions, task = await store.wait_for(questions_or_end)
        for conversation in questions:
            answer = await output_of(command, conversation.question)
            try:
                await store.conversations.answer(conversation.id, answer)
            except StaleStateError:
                continue  # someone else was faster; the first answer counts
            print(harmless(f"{conversation.question} {answer}"))
        if task.status in OVER:
            return task.status == "completed"


async def find_task(uow: UnitOfWork, agent_id: str, name: str) -> Task:
    """Return the task with this name in the initiative of the agent."""
    me = await uow.agents.find_by_id(agent_id)
    if me is not None and me.initiative_id is not None:
        for task in await uow.tasks.find_by_initiative_id(me.initiative_id):
            if task.name == name:
                return task
    raise LookupError(f"this agent's initiative has no task {name!r}")


async def output_of(command: list[str], question: str) -> str:
    """Run the command that knows the answer, and return what it writes."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "CW_QUESTION": question},
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    return output.decode(errors="replace").replace("\0", "\ufffd").strip()


async def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m examples.supervisor.answer")
    parser.add_argument("--until", required=True, help="the name of the task that asks")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="writes the answer")
    given = parser.parse_args()
    async with Store() as store:
        completed = await answer_until_completed(
            store, os.environ["CW_AGENT_ID"], given.until, given.command
        )
    return 0 if completed else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
