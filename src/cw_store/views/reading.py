"""What several views read: agents and when they were last seen, accounts, questions, circles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from itertools import islice, pairwise
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Executable,
    Select,
    Text,
    bindparam,
    literal_column,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from cw_store import (
    Initiative,
    InvalidValueError,
    NotFoundError,
    StoreError,
    UnitOfWork,
    metadata,
)
from cw_store.views.circles import circles_of
from cw_store.views.seen import AccountSeen, AccountState, AgentSeen, QuestionSeen

IDS_AT_A_TIME = 1_000

accounts = metadata.tables["accounts"]
agents = metadata.tables["agents"]
chunks = metadata.tables["agent_log_chunks"]
conversations = metadata.tables["conversations"]
tasks = metadata.tables["tasks"]


async def read(uow: UnitOfWork, statement: Executable, **parameters: object) -> Sequence[Any]:
    """Return the rows of a statement; whatever goes wrong is a StoreError."""
    try:
        return (await uow.session.execute(statement, parameters)).all()
    except SQLAlchemyError as error:
        raise StoreError("the database could not answer what a view asks of it") from error
    except ValueError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"a view has met a stored value that cannot be read: {error}") from error


def exactly(column: ColumnElement[Any], *values: str) -> ColumnElement[bool]:
    """Say that a column has one of these values, as constants: an index of some rows needs them."""
    constants = [literal_column(f"'{value}'", Text()) for value in values]
    return column == constants[0] if len(constants) == 1 else column.in_(constants)


# SQLAlchemy takes as long to build a statement as the database takes to answer it for a small plan.
@cache
def narrowed(
    statement: Select[*tuple[Any, ...]], *conditions: ColumnElement[bool], is_limited: bool = False
) -> Select[*tuple[Any, ...]]:
    """Return a statement with conditions, built once: constants, as what they ask are parameters.

    With `is_limited` it gives at most as many rows as the parameter `most` says.
    """
    narrow = statement.where(*conditions)
    return narrow.limit(bindparam("most")) if is_limited else narrow


def is_any_of(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Say that a column has one of the parameter `ids`, of which there is at least one."""
    return column.in_(bindparam("ids", expanding=True))


def in_parts(ids: Iterable[str]) -> Iterable[list[str]]:
    """Give the ids in lists that are not too long for a statement."""
    left = iter(ids)
    while part := list(islice(left, IDS_AT_A_TIME)):
        yield part


def check_limit(view: str, **limits: object) -> None:
    """Raise InvalidValueError for a limit that is no whole number from 1 on, or is too large.

    One more than it must fit into the 64 bits of both databases.
    """
    for name, limit in limits.items():
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise InvalidValueError(view, name, limit, "takes a whole number of at least 1")
        if limit.bit_length() > 62:
            raise InvalidValueError(view, name, limit, "does not fit into 62 bits")


async def needed_initiative(uow: UnitOfWork, id: str) -> Initiative:
    """Return the initiative; raises NotFoundError."""
    initiative = await uow.initiatives.find_by_id(id)
    if initiative is None:
        raise NotFoundError("initiatives", id)
    return initiative


# Agents.

LAST_LINE = (
    select(chunks.c.created_at)
    .where(chunks.c.agent_id == agents.c.id)
    .order_by(chunks.c.seq.desc())
    .limit(1)
    .scalar_subquery()
)

AGENTS = select(
    agents.c.id,
    agents.c.name,
    agents.c.status,
    agents.c.mode,
    agents.c.provider,
    agents.c.account_id,
    accounts.c.email.label("account_email"),
    agents.c.initiative_id,
    agents.c.task_id,
    tasks.c.name.label("task_name"),
    agents.c.worktree_id,
    agents.c.pid,
    agents.c.exit_code,
    agents.c.holder,
    agents.c.lease_expires_at,
    agents.c.created_at.label("started_at"),
    LAST_LINE.label("last_line_at"),
    agents.c.updated_at,
).select_from(
    agents.outerjoin(accounts, accounts.c.id == agents.c.account_id).outerjoin(
        tasks, tasks.c.id == agents.c.task_id
    )
)

NEWEST_AGENTS = AGENTS.order_by(agents.c.seq.desc())

HOLDS_A_CLAIM = agents.c.lease_expires_at.is_not(None)

IS_THERE = agents.c.status.in_(["running", "waiting_for_input", "idle"]) | HOLDS_A_CLAIM

OF_INITIATIVE = (agents.c.initiative_id == bindparam("initiative_id")) | (
    tasks.c.initiative_id == bindparam("initiative_id")
)
"""An agent is of the initiative of this parameter, or at a task of it."""


async def read_agents(
    uow: UnitOfWork, *conditions: ColumnElement[bool], newest: int | None = None, **asked: object
) -> list[AgentSeen]:
    """Return agents, oldest first; with `newest` only so many of the newest.

    Conditions are constants, and `asked` are their parameters.
    """
    statement = narrowed(NEWEST_AGENTS, *conditions, is_limited=newest is not None)
    return [_agent(row) for row in reversed(await read(uow, statement, **asked, **_most(newest)))]


def _most(newest: int | None) -> dict[str, int]:
    return {} if newest is None else {"most": newest}


def _agent(row: Any) -> AgentSeen:
    values = row._asdict()
    changed_at, last_line_at = values.pop("updated_at"), values["last_line_at"]
    seen_at = changed_at if last_line_at is None else max(last_line_at, changed_at)
    return AgentSeen(**values, seen_at=seen_at)


# Accounts.

ACCOUNTS = select(
    accounts.c.id,
    accounts.c.email,
    accounts.c.provider,
    accounts.c.is_exhausted,
    accounts.c.exhausted_until,
    accounts.c.last_used_at,
    accounts.c.max_agents,
).order_by(accounts.c.seq)

HOLDERS = (
    select(agents.c.account_id, agents.c.name)
    .where(HOLDS_A_CLAIM, agents.c.account_id.is_not(None))
    .order_by(agents.c.seq)
)


async def read_accounts(
    uow: UnitOfWork, now: datetime, *conditions: ColumnElement[bool], **asked: object
) -> list[AccountSeen]:
    """Return accounts, oldest first, without anything of their secrets.

    Conditions are constants, and `asked` are their parameters.
    """
    names: dict[str, list[str]] = {}
    for account_id, name in await read(uow, HOLDERS):
        names.setdefault(account_id, []).append(name)
    return [
        _account(row, now, names.get(row.id, ()))
        for row in await read(uow, narrowed(ACCOUNTS, *conditions), **asked)
    ]


def _account(row: Any, now: datetime, names: Sequence[str]) -> AccountSeen:
    state: AccountState = "available"
    if row.is_exhausted and row.exhausted_until is None:
        state = "exhausted"
    elif row.is_exhausted and row.exhausted_until > now:
        state = "exhausted_until"
    return AccountSeen(
        id=row.id,
        email=row.email,
        provider=row.provider,
        state=state,
        until=row.exhausted_until if state == "exhausted_until" else None,
        last_used_at=row.last_used_at,
        max_agents=row.max_agents,
        has_room=row.max_agents is None or row.max_agents > len(names),
        agent_names=tuple(names),
    )


# Questions.

asking, asked = agents.alias("asking"), agents.alias("asked")

NEWEST_QUESTIONS = (
    select(
        conversations.c.id,
        conversations.c.created_at.label("asked_at"),
        conversations.c.from_agent_id,
        asking.c.name.label("from_agent_name"),
        conversations.c.to_agent_id,
        asked.c.name.label("to_agent_name"),
        conversations.c.task_id,
        conversations.c.question,
        conversations.c.answer,
        conversations.c.status,
        asked.c.status.label("status_of_asked"),
    )
    .select_from(
        conversations.join(asking, asking.c.id == conversations.c.from_agent_id).join(
            asked, asked.c.id == conversations.c.to_agent_id
        )
    )
    .order_by(conversations.c.seq.desc())
)

IS_PENDING = exactly(conversations.c.status, "pending")

WAITING = (
    select(conversations.c.from_agent_id, conversations.c.to_agent_id)
    .where(IS_PENDING)
    .order_by(conversations.c.seq)
)


async def read_circles(uow: UnitOfWork) -> list[list[str]]:
    """Return the ids of agents that wait for each other, around each circle."""
    edges: dict[str, list[str]] = {}
    for from_id, to_id in await read(uow, WAITING):
        edges.setdefault(from_id, []).append(to_id)
    return circles_of(edges)


async def read_questions(
    uow: UnitOfWork,
    circles: Iterable[Sequence[str]],
    *conditions: ColumnElement[bool],
    newest: int | None = None,
    **asked: object,
) -> list[QuestionSeen]:
    """Return questions between agents, oldest first; with `newest` only so many of the newest.

    Conditions are constants, and `asked` are their parameters.
    """
    around = {pair for circle in circles for pair in pairwise(circle)}
    statement = narrowed(NEWEST_QUESTIONS, *conditions, is_limited=newest is not None)
    found = await read(uow, statement, **asked, **_most(newest))
    return [_question(row, around) for row in reversed(found)]


def _question(row: Any, around: set[tuple[str, str]]) -> QuestionSeen:
    values = row._asdict()
    is_pending = values.pop("status") == "pending"
    is_asked_in_vain = values.pop("status_of_asked") in ("stopped", "crashed")
    return QuestionSeen(
        **values,
        is_unanswerable=is_pending and is_asked_in_vain,
        is_in_circle=is_pending and (row.from_agent_id, row.to_agent_id) in around,
    )
