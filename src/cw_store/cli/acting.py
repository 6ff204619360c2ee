"""What people do to a store from the command line: each in one unit of work, by `acting`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cw_store import Agent, Proposal, UnitOfWork, acting
from cw_store.acting import (
    NotForYouError,
    TooLateError,
    answer_message,
    answer_question,
    begin_anew,
)
from cw_store.cli.context import Context
from cw_store.cli.failures import CommandError, UsageError
from cw_store.cli.finding import find
from cw_store.lengths import time_of

LABEL = "cw-store"
"""What others are told who wait for the turn meanwhile."""

PLACEHOLDER = "TEXT"
"""What stands for the answer in the commands that are shown; as it is it answers nothing."""


def typed_or_read(text: str) -> str:
    """Return an answer as it was typed, or what stdin has if that was `-`; never nothing."""
    if text == "-":
        if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] -- `<&-`
            raise UsageError("there is no stdin to read the answer from")
        text = sys.stdin.buffer.read().decode(errors="surrogateescape").removesuffix("\n")
    elif text == PLACEHOLDER:
        raise UsageError("TEXT stands for your answer: write that, or - to have stdin read")
    if not text.strip():
        raise UsageError("an answer has some text")
    return text


async def answer_one(here: Context, typed: str, text: str) -> None:
    """Reply to a message to the user, or answer a question."""
    async with here.acting() as store, store.unit_of_work(label=LABEL) as uow:
        kind, id = await find(uow, typed, "message", "conversation")
        answer = answer_question if kind.singular == "conversation" else answer_message
        try:
            done = await answer(uow, id, text)
        except TooLateError as error:
            told = f"someone was faster: {error}; cw-store show {id} says how"
            raise CommandError("stale", told) from error
        except NotForYouError as error:
            raise UsageError(str(error)) from error
    here.output.done(done.told, data=done.record)


async def retry_tasks(
    here: Context, typed: Sequence[str], *, is_all: bool, initiative: str | None
) -> None:
    """Begin these tasks anew, or all that are blocked; all or none."""
    if is_all == bool(typed):
        raise UsageError("name tasks, or say --blocked")
    if initiative is not None and not is_all:
        raise UsageError("--initiative goes with --blocked")
    async with here.acting() as store, store.unit_of_work(label=LABEL) as uow:
        ids = (
            await _blocked(uow, initiative)
            if is_all
            else [(await find(uow, each, "task")).id for each in typed]
        )
        tasks = [await begin_anew(uow, id) for id in dict.fromkeys(ids)]
    here.output.table(
        ("id", "name", "status"),
        [(task.id, task.name, task.status) for task in tasks],
        nothing="nothing is blocked",
    )


async def _blocked(uow: UnitOfWork, initiative: str | None) -> list[str]:
    of = None if initiative is None else (await find(uow, initiative, "initiative")).id
    blocked = await uow.tasks.find_by_status("blocked")
    return [task.id for task in blocked if of in (None, task.initiative_id)]


async def mark_account(
    here: Context, action: acting.AccountAction, typed: str, until: str | None
) -> None:
    """Take an account out of the rotation or bring it back; its secrets are not looked at."""
    if until is not None and action == "available":
        raise UsageError("--until goes with exhaust; what is available is so from now on")
    end = None if until is None else time_of(until, here.now())
    if end is not None and end <= here.now():
        raise UsageError("--until is a time that is still to come")
    async with here.acting() as store, store.unit_of_work(label=LABEL) as uow:
        id = (await find(uow, typed, "account")).id
        marked = await acting.mark_account(uow, id, action, end)
    here.output.table(acting.ACCOUNT, [marked.row])
    if marked.stays_longer:
        here.output.remark("it stays out for longer: what was reported before is not shortened")


async def accept_proposal(here: Context, typed: str) -> None:
    """Accept a proposal that is pending."""
    async with here.acting() as store, store.unit_of_work(label=LABEL) as uow:
        id = (await find(uow, typed, "proposal")).id
        proposal = await acting.decide(uow, id, "accepted")
    here.output.done(f"accepted: {proposal.title}", data=proposal)


async def dismiss_one(here: Context, typed: str) -> None:
    """Dismiss a proposal that is pending, or an agent that crashed."""
    async with here.acting() as store, store.unit_of_work(label=LABEL) as uow:
        kind, id = await find(uow, typed, "proposal", "agent")
        if kind.singular == "agent":
            done: Agent | Proposal = await acting.dismiss_agent(uow, id, await uow.claims.now())
        else:
            done = await acting.decide(uow, id, "dismissed")
    told = f"{done.name} is dismissed" if isinstance(done, Agent) else f"dismissed: {done.title}"
    here.output.done(told, data=done)


async def resolve_comments(here: Context, typed: Sequence[str]) -> None:
    """Mark these review comments resolved; all or none."""
    async with here.acting() as store, store.unit_of_work(label=LABEL) as uow:
        ids = [(await find(uow, each, "review comment")).id for each in typed]
        comments = [await acting.resolve_comment(uow, id) for id in dict.fromkeys(ids)]
    here.output.table(
        ("id", "file_path", "line_number", "resolved"),
        [(each.id, each.file_path, each.line_number, each.resolved) for each in comments],
    )
