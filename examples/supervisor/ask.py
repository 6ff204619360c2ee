"""What a command runs to ask another agent a question and wait for its answer.

    python -m examples.supervisor.ask --to guide "Which SQLite is this?"

`--to` is the name of an agent, or of a task of the same plan: then whichever agent works on that
task is asked. The answer is printed. It is remembered, too: when this task has to run again after
an interruption, a question that was answered already is not asked again.
"""

import argparse
import asyncio
import os
import sys

from cw_store import Agent, Conversation, LeaseLostError, Store, UnitOfWork

from .terminal import harmless


class NobodyAnswersError(Exception):
    """There is nobody, or nobody any more, who could answer."""


async def ask(store: Store, agent_id: str, to: str, question: str) -> str:
    """Ask `question`, wait, and return the answer; `NobodyAnswersError` when none can come.

    Raises `LeaseLostError` when another agent has the task by now: what is asked is asked under the
    claim, although it is the supervisor that keeps it.
    """
    async with store.unit_of_work(read_only=True) as uow:
        claims = [one for one in await uow.claims.find_live() if one.agent.id == agent_id]
        if not claims:
            raise NobodyAnswersError("only an agent that has a task can ask")
        claim, me = claims[0], claims[0].agent
        tries = [agent.id for agent in await uow.agents.find_all_by_task_id(claim.task.id)]

    asked_id = None

    async def answered_or_to_be_asked(uow: UnitOfWork) -> Conversation | Agent | None:
        answered = await find_answered(uow, tries, question)
        if answered is not None:
            return answered
        # A new agent at the other end, because the one that was asked crashed, is asked afresh.
        addressee = await find_addressee(uow, me, to)
        return addressee if addressee is not None and addressee.id != asked_id else None

    while isinstance(found := await store.wait_for(answered_or_to_be_asked), Agent):
        async with store.unit_of_work(label="ask", claim=claim) as uow:
            await uow.conversations.create(
                from_agent_id=me.id,
                to_agent_id=found.id,
                initiative_id=me.initiative_id,
                task_id=me.task_id,
                question=question,
            )
            await uow.agents.update(me.id, status="waiting_for_input")
        asked_id = found.id

    if asked_id is not None:
        async with store.unit_of_work(label="go on after an answer", claim=claim) as uow:
            await uow.agents.update(me.id, status="running")
    return found.answer or ""


async def find_answered(uow: UnitOfWork, tries: list[str], question: str) -> Conversation | None:
    """Return the answer to this question that some try of the task was given, if one was."""
    for agent_id in tries:
        for conversation in await uow.conversations.find_by_from_agent_id(agent_id):
            if conversation.question == question and conversation.status == "answered":
                return conversation
    return None


async def find_addressee(uow: UnitOfWork, me: Agent, to: str) -> Agent | None:
    """Return the agent to ask, `None` while it is not there yet."""
    addressee = await uow.agents.find_by_name(to)
    if addressee is None and me.initiative_id is not None:
        tasks = await uow.tasks.find_by_initiative_id(me.initiative_id)
        task = next((task for task in tasks if task.name == to), None)
        if task is None:
            raise NobodyAnswersError(f"there is no agent and no task {to!r}")
        if task.status in ("completed", "blocked"):
            raise NobodyAnswersError(f"the task {to!r} is {task.status}: nobody works on it")
        addressee = await uow.agents.find_by_task_id(task.id)
        if addressee is None or addressee.status not in ("running", "waiting_for_input"):
            return None
    if addressee is None or addressee.status not in ("running", "waiting_for_input"):
        raise NobodyAnswersError(f"the agent {to!r} has ended")
    return addressee


async def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m examples.supervisor.ask")
    parser.add_argument("question")
    parser.add_argument("--to", required=True, help="the name of an agent or of a task")
    parser.add_argument("--timeout", type=float, default=60.0, help="in seconds")
    given = parser.parse_args()
    try:
        async with asyncio.timeout(given.timeout), Store() as store:
            answer = await ask(store, os.environ["CW_AGENT_ID"], given.to, given.question)
            print(harmless(answer))
    except TimeoutError:
        print(f"{given.to} did not answer within {given.timeout:g} seconds", file=sys.stderr)
        return 1
    except (NobodyAnswersError, LeaseLostError) as error:
        print(harmless(str(error)), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
