"""What is written by hand for SQLite, whoever carries it there: records, SQL, times, ids."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import starmap
from typing import Any

import nanoid

from bench.work import NewChunk, NewTask


@dataclass(slots=True)
class Task:
    """One row of `tasks`."""

    id: str
    phase_id: str | None
    initiative_id: str | None
    parent_task_id: str | None
    name: str
    description: str | None
    type: str
    category: str
    priority: str
    status: str
    order: int
    summary: str | None
    retry_count: int
    max_retries: int
    not_before: datetime | None
    claimed_by_agent_id: str | None
    epoch: int
    open_dependencies: int
    created_at: datetime
    updated_at: datetime


@dataclass(slots=True)
class Account:
    """One row of `accounts`."""

    id: str
    email: str
    provider: str
    config_json: str | None
    credentials: str | None
    is_exhausted: bool
    exhausted_until: datetime | None
    last_used_at: datetime | None
    sort_order: int
    max_agents: int | None
    created_at: datetime
    updated_at: datetime


@dataclass(slots=True)
class Conversation:
    """One row of `conversations`."""

    id: str
    from_agent_id: str
    to_agent_id: str
    initiative_id: str | None
    phase_id: str | None
    task_id: str | None
    question: str
    answer: str | None
    status: str
    created_at: datetime
    updated_at: datetime


@dataclass(slots=True)
class LogChunk:
    """One row of `agent_log_chunks`."""

    id: str
    agent_id: str
    agent_name: str
    session_number: int
    content: str
    created_at: datetime


TASK_COLUMNS = (
    "id, phase_id, initiative_id, parent_task_id, name, description, type, category, priority, "
    'status, "order", summary, retry_count, max_retries, not_before, claimed_by_agent_id, '
    "epoch, open_dependencies, created_at, updated_at"
)
ACCOUNT_COLUMNS = (
    "id, email, provider, config_json, credentials, is_exhausted, exhausted_until, last_used_at, "
    "sort_order, max_agents, created_at, updated_at"
)
CONVERSATION_COLUMNS = (
    "id, from_agent_id, to_agent_id, initiative_id, phase_id, task_id, question, answer, status, "
    "created_at, updated_at"
)
CHUNK_COLUMNS = "id, agent_id, agent_name, session_number, content, created_at"

FIND_TASK = f"SELECT {TASK_COLUMNS} FROM tasks WHERE id = ?"
LIST_TASKS = f'SELECT {TASK_COLUMNS} FROM tasks WHERE phase_id = ? ORDER BY "order", seq'
POLL = (
    f"SELECT {CONVERSATION_COLUMNS} FROM conversations "
    "WHERE to_agent_id = ? AND status = 'pending' ORDER BY seq"
)
ROTATE = (
    "UPDATE accounts SET last_used_at = ?, updated_at = ? WHERE id = ("
    "SELECT id FROM accounts WHERE provider = ? AND (is_exhausted = 0 OR exhausted_until <= ?) "
    "ORDER BY last_used_at NULLS FIRST, sort_order, id LIMIT 1) "
    f"RETURNING {ACCOUNT_COLUMNS}"
)
INSERT_TASK = (
    f"INSERT INTO tasks ({TASK_COLUMNS}) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
INSERT_CHUNK = f"INSERT INTO agent_log_chunks ({CHUNK_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"

PRAGMAS = (
    "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA journal_mode = WAL",
    "PRAGMA journal_size_limit = 16777216",
)


class Stamps:
    """Microseconds since 1970 that strictly increase, as the store's do."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """Return the time, or a microsecond after the last if that is later."""
        now = time.time_ns() // 1000
        if now <= self._last:
            now = self._last + 1
        self._last = now
        return now


def timestamp(microseconds: Any) -> datetime:
    """Return the stored time as an aware datetime; to the microsecond until the year 2242."""
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC)


def tasks(rows: Iterable[Any]) -> list[Task]:
    """Build records from rows of all columns, by position."""
    found = list(starmap(Task, rows))
    for task in found:
        task.created_at, task.updated_at = timestamp(task.created_at), timestamp(task.updated_at)
        if task.not_before is not None:
            task.not_before = timestamp(task.not_before)
    return found


def conversations(rows: Iterable[Any]) -> list[Conversation]:
    """Build records from rows of all columns, by position."""
    at, utc = datetime.fromtimestamp, UTC
    return [
        Conversation(a, b, c, d, e, f, g, h, i, at(j / 1_000_000, utc), at(k / 1_000_000, utc))
        for a, b, c, d, e, f, g, h, i, j, k in rows
    ]


def account(row: Any) -> Account:
    """Build a record from a row of all columns."""
    a, b, c, d, e, exhausted, until, used, f, g, created_at, updated_at = row
    return Account(
        a,
        b,
        c,
        d,
        e,
        bool(exhausted),
        None if until is None else timestamp(until),
        None if used is None else timestamp(used),
        f,
        g,
        timestamp(created_at),
        timestamp(updated_at),
    )


def rotation(stamps: Stamps, provider: str) -> tuple[Any, ...]:
    """Return the parameters of ROTATE."""
    now = stamps.next()
    return now, now, provider, now


def new_task(stamps: Stamps, new: NewTask) -> tuple[tuple[Any, ...], Task]:
    """Return the parameters of INSERT_TASK, and the record that will be stored."""
    now = stamps.next()
    values = (
        nanoid.generate(),
        new.phase_id,
        new.initiative_id,
        None,
        new.name,
        new.description,
        "auto",
        "execute",
        "medium",
        "pending",
        0,
        None,
        0,
        3,
        None,
        None,
        0,
        0,
    )
    created_at = timestamp(now)
    return (*values, now, now), Task(*values, created_at, created_at)


def new_chunk(stamps: Stamps, new: NewChunk) -> tuple[tuple[Any, ...], LogChunk]:
    """Return the parameters of INSERT_CHUNK, and the record that will be stored."""
    now = stamps.next()
    id = nanoid.generate()
    return (id, *new, now), LogChunk(id, *new, timestamp(now))
