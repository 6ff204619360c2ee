"""What a person does to a store, each in a unit of work that changes what was seen, or nothing.

The command line and the page do it here, so that both do the same. Each takes the unit to write in,
and whoever opens that unit commits it. Nothing is ever deleted.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from sqlalchemy import select

from cw_store import (
    Agent,
    Conversation,
    Message,
    NotFoundError,
    Proposal,
    ReviewComment,
    StaleStateError,
    Task,
    UnitOfWork,
    UnreadableError,
    metadata,
)

AccountAction: TypeAlias = Literal["available", "exhaust"]
Decision: TypeAlias = Literal["accepted", "dismissed"]

ACCOUNT = ("id", "email", "provider", "is_exhausted", "exhausted_until")
"""What is read of an account: nothing of its secrets."""


class TooLateError(Exception):
    """What was to be changed is not what it was: someone was faster. The message says what it is.

    `is_answer` says that it was answered.
    """

    def __init__(self, message: str, *, is_answer: bool = False) -> None:
        self.is_answer = is_answer
        super().__init__(message)


class NotForYouError(Exception):
    """What was to be answered is not for a person to answer."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that was given: in words, and the record that holds it."""

    told: str
    record: Message | Conversation


@dataclass(frozen=True, slots=True)
class MarkedAccount:
    """An account as it is now; `stays_longer` says that what was reported before counts more."""

    row: tuple[Any, ...]
    email: str
    stays_longer: bool


async def answer_question(uow: UnitOfWork, id: str, text: str) -> Answered:
    """Answer an agent's question to another one."""
    try:
        conversation = await uow.conversations.answer(id, text)
    except StaleStateError as error:
        raise _answered_error("question", id) from error
    asked_by = await uow.agents.find_by_id(conversation.from_agent_id)
    name = conversation.from_agent_id if asked_by is None else asked_by.name
    return Answered(f"answered the question of {name}", conversation)


async def answer_message(uow: UnitOfWork, id: str, text: str) -> Answered:
    """Reply to an agent's message to the user."""
    message = await uow.messages.find_by_id(id)
    if message is not None and message.recipient_type != "user":
        raise NotForYouError(f"message {id} is for an agent, and not for you to answer")
    try:
        reply = await uow.messages.respond(id, content=text)
    except StaleStateError as error:
        raise _answered_error("message", id) from error
    to = await uow.agents.find_by_id(reply.recipient_id) if reply.recipient_id else None
    return Answered(f"replied to {'nobody any more' if to is None else to.name}", reply)


def _answered_error(kind: str, id: str) -> TooLateError:
    return TooLateError(f"{kind} {id} is answered already", is_answer=True)


async def begin_anew(uow: UnitOfWork, id: str) -> Task:
    """Have a blocked task begin anew: pending, with no retry counted."""
    try:
        await uow.tasks.update(
            id, expected={"status": "blocked"}, status="pending", not_before=None
        )
    except StaleStateError as error:
        task = await uow.tasks.find_by_id(id)
        status = "gone" if task is None else task.status
        raise TooLateError(f"task {id} is {status} and not blocked") from error
    return await uow.tasks.reset_retry_count(id)


async def mark_account(
    uow: UnitOfWork,
    id: str,
    action: AccountAction,
    until: datetime | None = None,
    *,
    expected: bool | None = None,
) -> MarkedAccount:
    """Take an account out of the rotation or bring it back; its secrets are not looked at.

    `expected` is whether it was out when it was looked at, None where nobody has looked.
    """
    with suppress(UnreadableError):  # it is written, and its secrets are not needed
        await _mark(uow, id, action, until, expected)
    accounts = metadata.tables["accounts"]
    query = select(*(accounts.c[name] for name in ACCOUNT)).where(accounts.c.id == id)
    row = (await uow.session.execute(query)).one_or_none()
    if row is None:
        raise NotFoundError("accounts", id)
    stays_longer = until is not None and row.exhausted_until != until
    return MarkedAccount(tuple(row), row.email, stays_longer)


async def _mark(
    uow: UnitOfWork, id: str, action: AccountAction, until: datetime | None, expected: bool | None
) -> None:
    if expected is not None:
        await _expect(uow, id, expected)
    if action == "available":
        await uow.accounts.mark_available(id)
    else:
        await uow.accounts.mark_exhausted(id, until)


async def _expect(uow: UnitOfWork, id: str, is_exhausted: bool) -> None:
    try:
        with suppress(UnreadableError):
            await uow.accounts.update(id, expected={"is_exhausted": is_exhausted})
    except StaleStateError as error:
        raise TooLateError(
            f"the account is {'available' if is_exhausted else 'exhausted'} by now"
        ) from error


async def decide(uow: UnitOfWork, id: str, status: Decision) -> Proposal:
    """Accept or dismiss a proposal that is pending."""
    try:
        return await uow.proposals.update(id, expected={"status": "pending"}, status=status)
    except StaleStateError as error:
        now = await uow.proposals.find_by_id(id)
        told = "gone" if now is None else f"{now.status} already"
        raise TooLateError(f"proposal {id} is {told}") from error


async def resolve_comment(uow: UnitOfWork, id: str) -> ReviewComment:
    """Mark a review comment resolved that is not."""
    try:
        await uow.review_comments.update(id, expected={"resolved": False})
    except StaleStateError as error:
        raise TooLateError(f"comment {id} is resolved already") from error
    return await uow.review_comments.resolve(id)


async def dismiss_agent(uow: UnitOfWork, id: str, now: datetime) -> Agent:
    """Note that a person has seen that an agent crashed, and wants to hear no more of it."""
    try:
        return await uow.agents.update(
            id, expected={"status": "crashed", "user_dismissed_at": None}, user_dismissed_at=now
        )
    except StaleStateError as error:
        raise TooLateError(await _why_not_dismissed(uow, id)) from error


async def _why_not_dismissed(uow: UnitOfWork, id: str) -> str:
    agent = await uow.agents.find_by_id(id)
    if agent is None:
        return f"agent {id} is gone"
    if agent.status != "crashed":
        return f"agent {agent.name} is {agent.status} and not crashed"
    return f"agent {agent.name} is dismissed already"
