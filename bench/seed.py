"""The data that every contender finds: the same in each database, the same in every run."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from cw_store import schema

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
PROVIDER = "claude"
TASKS_OF_A_PHASE = 100
PENDING_HITS = 3


@dataclass(slots=True)
class Seed:
    """Rows in the order in which they can be inserted, and the ids that the work asks for.

    New tasks go to `growing_phase`, so that the `listed_phases` keep their 100 tasks.
    `quiet_agents` have no pending conversation, `asked_agents` three.
    """

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict[str, list[dict[str, Any]]])
    initiative: str = ""
    growing_phase: str = ""
    listed_phases: list[str] = field(default_factory=list[str])
    tasks: list[str] = field(default_factory=list[str])
    quiet_agents: list[str] = field(default_factory=list[str])
    asked_agents: list[str] = field(default_factory=list[str])


class _Writer:
    """Makes up rows; the same ones for the same number it is given."""

    def __init__(self, number: int) -> None:
        self._random = random.Random(number)
        self._now = BEGINNING
        self.seed = Seed()

    def id(self) -> str:
        return "".join(self._random.choices(string.ascii_letters + string.digits + "_-", k=21))

    def add(self, table: str, *, updated: bool = True, **values: Any) -> str:
        self._now += timedelta(milliseconds=37, microseconds=1)
        times = {"created_at": self._now, **({"updated_at": self._now} if updated else {})}
        row = {"id": self.id(), **values, **times}
        self.seed.rows.setdefault(table, []).append(row)
        return row["id"]


def make_seed(*, agents: int = 20, phases: int = 10) -> Seed:
    """Make up an initiative in full swing; half of the agents have been asked something."""
    writer = _Writer(4)
    seed = writer.seed
    for number in range(10):
        writer.add(
            "accounts",
            email=f"agent{number}@example.org",
            provider=PROVIDER if number < 8 else "codex",
            config_json='{"model":"large"}',
            credentials=None,
            is_exhausted=number == 7,
            exhausted_until=BEGINNING + timedelta(days=365 * 500) if number == 7 else None,
            last_used_at=None,
            sort_order=number,
        )
    seed.initiative = writer.add(
        "initiatives", name="User authentication", status="active", branch="cw/user-auth"
    )
    seed.listed_phases = [_add_phase(writer, f"Phase {number}") for number in range(phases)]
    seed.growing_phase = _add_phase(writer, "What comes up on the way")
    for phase in seed.listed_phases:
        for number in range(TASKS_OF_A_PHASE):
            seed.tasks.append(_add_task(writer, phase, number))
    everyone = [_add_agent(writer, number) for number in range(agents)]
    seed.quiet_agents, seed.asked_agents = everyone[::2], everyone[1::2]
    for number, agent in enumerate(everyone):
        _add_conversations(writer, agent, everyone[number - 1], asked=agent in seed.asked_agents)
        for _ in range(20):
            _add_log_chunk(writer, agent, f"agent-{number}")
    return seed


def _add_phase(writer: _Writer, name: str) -> str:
    return writer.add(
        "phases",
        initiative_id=writer.seed.initiative,
        name=name,
        content=None,
        status="in_progress",
        merge_base=None,
    )


def _add_task(writer: _Writer, phase: str, number: int) -> str:
    return writer.add(
        "tasks",
        phase_id=phase,
        initiative_id=writer.seed.initiative,
        parent_task_id=None,
        name=f"Validate the session token, part {number}",
        description="Refuse tokens that are expired or signed with an unknown key. " * 3,
        type="auto",
        category="execute",
        priority=("low", "medium", "high")[number % 3],
        status="completed" if number % 4 else "pending",
        order=number,
        summary="Done; the middleware checks expiry first." if number % 4 else None,
        retry_count=number % 2,
    )


def _add_agent(writer: _Writer, number: int) -> str:
    return writer.add(
        "agents",
        name=f"agent-{number}",
        task_id=None,
        initiative_id=writer.seed.initiative,
        session_id=None,
        worktree_id=f"worktrees/{number}",
        provider=PROVIDER,
        account_id=None,
        status="running",
        mode="execute",
        pid=1000 + number,
        exit_code=None,
        output_file_path=None,
        result=None,
        pending_questions=None,
        user_dismissed_at=None,
    )


def _add_conversations(writer: _Writer, agent: str, asker: str, *, asked: bool) -> None:
    for number in range(5 + (PENDING_HITS if asked else 0)):
        pending = number >= 5
        writer.add(
            "conversations",
            from_agent_id=asker,
            to_agent_id=agent,
            initiative_id=writer.seed.initiative,
            phase_id=None,
            task_id=None,
            question="Which header carries the token, and is it the same for web sockets?",
            answer=None if pending else "Authorization, everywhere.",
            status="pending" if pending else "answered",
        )


def _add_log_chunk(writer: _Writer, agent: str, name: str) -> None:
    writer.add(
        "agent_log_chunks",
        updated=False,
        agent_id=agent,
        agent_name=name,
        session_number=1,
        content='{"type":"assistant","text":"Reading src/auth/session.py …"}\n',
    )


async def plant(seed: Seed, url: str) -> None:
    """Insert the rows; the database has cw_store's schema and is otherwise empty."""
    engine = create_async_engine(sqlalchemy_url(url))
    try:
        async with engine.begin() as connection:
            for table, rows in seed.rows.items():
                await connection.execute(insert(schema.metadata.tables[table]), rows)
    finally:
        await engine.dispose()


def sqlalchemy_url(url: str) -> Any:
    """Turn a file path or a PostgreSQL URL into what SQLAlchemy's asyncio engine takes."""
    if "://" not in url:
        return f"sqlite+aiosqlite:///{url}"
    return make_url(url).set(drivername="postgresql+asyncpg")
