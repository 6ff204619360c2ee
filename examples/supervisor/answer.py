"""What a command runs to answer the questions of other agents.

    python -m examples.supervisor.answer --until asks-the-guide COMMAND...

Each question is answered with what COMMAND writes; it finds the question in CW_QUESTION. It ends
when the task that is named, the one that asks, is completed.
"""

import argparse
import asyncio
import os
import sys

from cw_store import StaleStateError, Store, Task, UnitOfWork

from .terminal import harmless

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0


async def answer_until_completed(
    store: Store, agent_id: str, until: str, command: list[str]
) -> bool:
    """Answer until the task `until` is over; return whether it was completed."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        async with store.unit_of_work(read_only=True) as uow:
            questions = await uow.conversations.find_pending_for_agent(agent_id)
            task = await find_task(uow, agent_id, until)
        for conversation in questions:
            answer = await output_of(command, conversation.question)
            async with store.unit_of_work(label="answer") as uow:
                try:
                    await uow.conversations.answer(conversation.id, answer)
                except StaleStateError:
                    continue  # someone else was faster; the first answer counts
            print(harmless(f"{conversation.question} {answer}"))
            pause = FIRST_PAUSE_SECONDS
        if task.status in ("completed", "blocked"):
            return task.status == "completed"
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)


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
