"""One agent: what it is at, under which account, what it wrote last, whom it waits for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    bindparam,
    case,
    func,
    literal_column,
    select,
)

from cw_store import JsonValue, MessageStatus, NotFoundError, TaskStatus, UnitOfWork, metadata
from cw_store.views.plans import initiatives, phases
from cw_store.views.reading import (
    IS_PENDING,
    accounts,
    agents,
    check_limit,
    chunks,
    conversations,
    exactly,
    read,
    read_accounts,
    read_agents,
    read_circles,
    read_questions,
    tasks,
)
from cw_store.views.seen import AccountSeen, AgentSeen, QuestionSeen
from cw_store.views.snapshots import Source, snapshot

messages = metadata.tables["messages"]

LAST_CHUNKS = 10
"""Of so many chunks of the log are the last lines."""

LONGEST_END = 20_000
"""So many characters of the end of the log are shown, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimSeen:
    """The claim that an agent holds.

    `is_over` says that the lease has run out, so that anybody may take the task; until somebody
    does the agent still has it.
    """

    task_id: str
    epoch: int
    holder: str | None
    lease_expires_at: datetime | None
    is_over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSession:
    """One session of an agent's log."""

    number: int
    chunks: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSeen:
    """A message between an agent and the user, or another agent.

    `is_from_agent` says that the agent that is looked at wrote it.
    """

    id: str
    sent_at: datetime
    is_from_agent: bool
    other_agent_name: str | None
    content: str
    requires_response: bool
    status: MessageStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView:
    """One agent in the snapshot of `now`.

    `asked` are the questions that it asked, `asked_of_it` those that it was asked, `messages` those
    that it sent or got, `tries` the agents that were at its task, this one among them, empty when
    it has none; all of them oldest first, and no more of the older ones than was asked for.
    `last_lines` is the end of what it wrote, as it is stored: at most ten chunks, and 20,000
    characters.
    """

    now: datetime
    agent: AgentSeen
    initiative_name: str | None
    phase_id: str | None
    phase_name: str | None
    task_status: TaskStatus | None
    retry_count: int | None
    max_retries: int | None
    session_id: str | None
    output_file_path: str | None
    pending_questions: JsonValue
    result: JsonValue
    account: AccountSeen | None
    claim: ClaimSeen | None
    asked: tuple[QuestionSeen, ...]
    asked_of_it: tuple[QuestionSeen, ...]
    messages: tuple[MessageSeen, ...]
    tries: tuple[AgentSeen, ...]
    sessions: tuple[LogSession, ...]
    last_lines: str


async def agent(source: Source, id_or_name: str, *, limit: int = 20) -> AgentView:
    """Return an agent by its id, or else by its name.

    At most `limit` questions each way, messages and tries, the newest, and all questions that are
    pending.
    `NotFoundError` when there is none; `InvalidValueError` for a `limit` below 1.
    """
    check_limit("agent", limit=limit)
    async with snapshot(source) as uow:
        found = await uow.agents.find_by_id(id_or_name) or await uow.agents.find_by_name(id_or_name)
        if found is None:
            raise NotFoundError("agents", id_or_name)
        now = await uow.claims.now()
        (seen,) = await read_agents(uow, HAS_ID, id=found.id)
        (place,) = await read(uow, PLACE, id=found.id)
        account = await read_accounts(uow, now, IS_ACCOUNT, account_id=found.account_id)
        return AgentView(
            now=now,
            agent=seen,
            **place._asdict(),
            session_id=found.session_id,
            output_file_path=found.output_file_path,
            pending_questions=found.pending_questions,
            result=found.result,
            account=account[0] if account else None,
            claim=await _read_claim(uow, seen, now),
            asked=await _questions(uow, IS_ASKED_BY, found.id, limit),
            asked_of_it=await _questions(uow, IS_ASKED_OF, found.id, limit),
            messages=await _messages(uow, found.id, limit),
            tries=await _tries(uow, found.task_id, limit),
            sessions=await _sessions(uow, found.id),
            last_lines=await _last_lines(uow, found.id),
        )


HAS_ID = agents.c.id == bindparam("id")

IS_ACCOUNT = accounts.c.id == bindparam("account_id")

IS_ASKED_BY = conversations.c.from_agent_id == bindparam("id")

IS_ASKED_OF = conversations.c.to_agent_id == bindparam("id")

IS_OF_TASK = agents.c.task_id == bindparam("task_id")

PLACE = (
    select(
        initiatives.c.name.label("initiative_name"),
        phases.c.id.label("phase_id"),
        phases.c.name.label("phase_name"),
        tasks.c.status.label("task_status"),
        tasks.c.retry_count,
        tasks.c.max_retries,
    )
    .select_from(
        agents.outerjoin(tasks, tasks.c.id == agents.c.task_id)
        .outerjoin(phases, phases.c.id == tasks.c.phase_id)
        .outerjoin(
            initiatives,
            initiatives.c.id == func.coalesce(agents.c.initiative_id, tasks.c.initiative_id),
        )
    )
    .where(HAS_ID)
)

EPOCH = (
    select(tasks.c.epoch)
    .join(agents, (agents.c.id == tasks.c.claimed_by_agent_id) & (agents.c.epoch == tasks.c.epoch))
    .where(HAS_ID)
)


async def _read_claim(uow: UnitOfWork, seen: AgentSeen, now: datetime) -> ClaimSeen | None:
    """Return the claim, if agent and task agree on it."""
    held = await read(uow, EPOCH, id=seen.id)
    if not held or seen.task_id is None:
        return None
    return ClaimSeen(
        task_id=seen.task_id,
        epoch=held[0].epoch,
        holder=seen.holder,
        lease_expires_at=seen.lease_expires_at,
        is_over=seen.lease_expires_at is not None and seen.lease_expires_at <= now,
    )


async def _questions(
    uow: UnitOfWork, whose: ColumnElement[bool], id: str, limit: int
) -> tuple[QuestionSeen, ...]:
    """Return all that are pending, and of the others the newest, oldest first."""
    circles = await read_circles(uow)
    pending = await read_questions(uow, circles, whose, IS_PENDING, id=id)
    newest = await read_questions(uow, circles, whose, newest=limit, id=id)
    known = {question.id for question in newest}
    return (*[question for question in pending if question.id not in known], *newest)


async def _tries(uow: UnitOfWork, task_id: str | None, limit: int) -> tuple[AgentSeen, ...]:
    if task_id is None:
        return ()
    return tuple(await read_agents(uow, IS_OF_TASK, newest=limit, task_id=task_id))


# Messages.

other = agents.alias("other")


def _with_other(whose: str, others: str, is_from_agent: bool) -> Select[*tuple[Any, ...]]:
    """Select an agent's messages in one direction, and who is at their other end."""
    return (
        select(
            messages.c.seq,
            messages.c.id,
            messages.c.created_at.label("sent_at"),
            literal_column("1" if is_from_agent else "0", Integer()).label("is_from_agent"),
            other.c.name.label("other_agent_name"),
            messages.c.content,
            messages.c.requires_response,
            messages.c.status,
        )
        .select_from(messages.outerjoin(other, other.c.id == messages.c[f"{others}_id"]))
        .where(
            messages.c[f"{whose}_id"] == bindparam("id"),
            exactly(messages.c[f"{whose}_type"], "agent"),
        )
        .order_by(messages.c.seq.desc())
    )


DIRECTIONS = (
    _with_other("sender", "recipient", is_from_agent=True),
    _with_other("recipient", "sender", is_from_agent=False),
)


async def _messages(uow: UnitOfWork, id: str, limit: int) -> tuple[MessageSeen, ...]:
    """Return the newest messages both ways, oldest first; one to itself once."""
    found: dict[int, Any] = {}
    for statement in DIRECTIONS:
        for row in await read(uow, statement.limit(limit), id=id):
            found.setdefault(row.seq, row)
    newest = [found[seq] for seq in sorted(found)[-limit:]]
    return tuple(_message(row) for row in newest)


def _message(row: Any) -> MessageSeen:
    values = row._asdict()
    del values["seq"]
    values["is_from_agent"] = bool(values["is_from_agent"])
    return MessageSeen(**values)


# The log.

counted = (
    select(chunks.c.session_number.label("number"), func.count().label("chunks"))
    .where(chunks.c.agent_id == bindparam("id"))
    .group_by(chunks.c.session_number)
    .subquery("counted")
)


def _one_end(*order: ColumnElement[Any]) -> ColumnElement[datetime]:
    """Select when the first or the last chunk of a session was stored: an index has its order."""
    return (
        select(chunks.c.created_at)
        .where(
            chunks.c.agent_id == bindparam("id"),
            chunks.c.session_number == counted.c.number,
        )
        .order_by(*order)
        .limit(1)
        .scalar_subquery()
    )


SESSIONS = select(
    counted.c.number,
    counted.c.chunks,
    _one_end(chunks.c.seq).label("first_at"),
    _one_end(chunks.c.seq.desc()).label("last_at"),
).order_by(counted.c.number)


async def _sessions(uow: UnitOfWork, id: str) -> tuple[LogSession, ...]:
    return tuple([LogSession(**row._asdict()) for row in await read(uow, SESSIONS, id=id)])


length = func.length(chunks.c.content)

ENDS = (
    select(
        func.substr(
            chunks.c.content, case((length > LONGEST_END, length - LONGEST_END + 1), else_=1)
        ).label("end")
    )
    .where(chunks.c.agent_id == bindparam("id"))
    .order_by(chunks.c.seq.desc())
    .limit(LAST_CHUNKS)
)


async def _last_lines(uow: UnitOfWork, id: str) -> str:
    ends = [row.end for row in await read(uow, ENDS, id=id)]
    return "".join(reversed(ends))[-LONGEST_END:]
