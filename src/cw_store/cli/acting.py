"""What people do to a store: each one unit of work that changes what it has seen, or nothing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import select

from cw_store import StaleStateError, UnitOfWork, UnreadableError, metadata
from cw_store.cli.context import Context
from cw_store.cli.failures import CommandError, UsageError
from cw_store.cli.finding import find
from cw_store.cli.lengths import time_of

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
        if kind.singular == "conversation":
            told, data = await _answer_question(uow, id, text)
        else:
            told, data = await _reply(uow, id, text)
    here.output.done(told, data=data)


async def _answer_question(uow: UnitOfWork, id: str, text: str) -> tuple[str, object]:
    try:
        conversation = await uow.conversations.answer(id, text)
    except StaleStateError as error:
        raise _answered_error("question", id) from error
    asked_by = await uow.agents.find_by_id(conversation.from_agent_id)
    name = conversation.from_agent_id if asked_by is None else asked_by.name
    return f"answered the question of {name}", conversation


def _answered_error(kind: str, id: str) -> CommandError:
    told = f"{kind} {id} is answered already; cw-store show {id} says how"
    return CommandError("stale", f"someone was faster: {told}")


async def _reply(uow: UnitOfWork, id: str, text: str) -> tuple[str, object]:
    message = await uow.messages.find_by_id(id)
    if message is not None and message.recipient_type != "user":
        raise UsageError(f"message {id} is for an agent, and not for you to answer")
    try:
        reply = await uow.messages.respond(id, content=text)
    except StaleStateError as error:
        raise _answered_error("message", id) from error
    to = await uow.agents.find_by_id(reply.recipient_id) if reply.recipient_id else None
    return f"replied to {'nobody any more' if to is None else to.name}", reply


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
        tasks = [await _begin_anew(uow, id) for id in dict.fromkeys(ids)]
    here.output.table(
        ("id", "name", "status"),
        [(task.id, task.name, task.status) for task in tasks],
        nothing="nothing is blocked",
    )


async def _blocked(uow: UnitOfWork, initiative: str | None) -> list[str]:
    of = None if initiative is None else (await find(uow, initiative, "initiative")).id
    blocked = await uow.tasks.find_by_status("blocked")
    return [task.id for task in blocked if of in (None, task.initiative_id)]


async def _begin_anew(uow: UnitOfWork, id: str) -> Any:
    task = await uow.tasks.find_by_id(id)
    if task is not None and task.status != "blocked":
        raise CommandError("stale", f"task {id} is {task.status} and not blocked; look again")
    await uow.tasks.update(id, expected={"status": "blocked"}, status="pending", not_before=None)
    return await uow.tasks.reset_retry_count(id)


async def mark_account(
    here: Context, action: Literal["available", "exhaust"], typed: str, until: str | None
) -> None:
    """Take an account out of the rotation or bring it back; its secrets are not looked at."""
    if until is not None and action == "available":
        raise UsageError("--until goes with exhaust; what is available is so from now on")
    end = None if until is None else time_of(until, here.now())
    if end is not None and end <= here.now():
        raise UsageError("--until is a time that is still to come")
    async with here.acting() as store, store.unit_of_work(label=LABEL) as uow:
        id = (await find(uow, typed, "account")).id
        with suppress(UnreadableError):  # it is written, and its secrets are not needed
            await _mark(uow, action, id, end)
        columns = ("id", "email", "provider", "is_exhausted", "exhausted_until")
        accounts = metadata.tables["accounts"]
        query = select(*(accounts.c[name] for name in columns)).where(accounts.c.id == id)
        row = (await uow.session.execute(query)).one()
    here.output.table(columns, [tuple(row)])
    if end is not None and row.exhausted_until != end:
        here.output.remark("it stays out for longer: what was reported before is not shortened")


async def _mark(uow: UnitOfWork, action: str, id: str, until: datetime | None) -> None:
    if action == "available":
        await uow.accounts.mark_available(id)
    else:
        await uow.accounts.mark_exhausted(id, until)


async def decide(here: Context, typed: str, status: Literal["accepted", "dismissed"]) -> None:
    """Accept or dismiss a proposal that is pending."""
    async with here.acting() as store, store.unit_of_work(label=LABEL) as uow:
        id = (await find(uow, typed, "proposal")).id
        try:
            proposal = await uow.proposals.update(id, expected={"status": "pending"}, status=status)
        except StaleStateError as error:
            now = await uow.proposals.find_by_id(id)
            told = "gone" if now is None else f"{now.status} already"
            raise CommandError("stale", f"someone was faster: proposal {id} is {told}") from error
    here.output.done(f"{status}: {proposal.title}", data=proposal)
