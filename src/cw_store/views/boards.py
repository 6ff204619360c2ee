"""The board: initiatives, their phases, and where each task stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Unpack

from cw_store import (
    InitiativeStatus,
    PhaseStatus,
    ReadyOptions,
    TaskCategory,
    TaskPriority,
    TaskStatus,
)
from cw_store.views.seen import AccountSeen, AgentSeen, Lane, LaneCounts, QuestionSeen
from cw_store.views.snapshots import Source

CARDS = 100
"""How many cards there are in a lane of a phase, unless it is said otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCard:
    """A task on the board.

    `why` says in a few words why it is where it is: what a waiting task waits for, what a person
    has to do for one that needs you; None where there is nothing to say. `waits_for` are the ids of
    the tasks that it waits for. `agent` is the one on it: whoever has claimed it, or else the
    newest that is or was at it; None for tasks that are ready, wait or are done.
    """

    id: str
    name: str
    lane: Lane
    status: TaskStatus
    priority: TaskPriority
    category: TaskCategory
    retry_count: int
    max_retries: int
    not_before: datetime | None
    changed_at: datetime
    why: str | None
    waits_for: tuple[str, ...]
    agent: AgentSeen | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardLane:
    """A lane of a phase: how many tasks are in it, and the cards of the first of them.

    They are in the order in which they are taken: by priority, then `order`, then oldest first;
    those that are done with the last one that was changed first.
    """

    lane: Lane
    count: int
    cards: tuple[TaskCard, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardPhase:
    """A phase of the board; `id` is None for the tasks that belong to no phase.

    `waits_for` are the names of the phases that it waits for. The lanes are all five, in their
    order.
    """

    id: str | None
    name: str
    status: PhaseStatus | None
    waits_for: tuple[str, ...]
    counts: LaneCounts
    lanes: tuple[BoardLane, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardInitiative:
    """An initiative of the board; `id` is None for the tasks that belong to none.

    `agents_at_work` is how many agents hold a claim of it, at most `max_agents` if that is given.
    """

    id: str | None
    name: str
    status: InitiativeStatus | None
    max_agents: int | None
    agents_at_work: int
    counts: LaneCounts
    phases: tuple[BoardPhase, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Everything at work, in the snapshot of `now`.

    `agents` are those that are running, wait for input or are idle, oldest first; `questions` those
    between agents that are pending, oldest first; `circles` the names of agents that wait for each
    other around a circle, the first one again at the end of each.
    """

    now: datetime
    counts: LaneCounts
    initiatives: tuple[BoardInitiative, ...]
    agents: tuple[AgentSeen, ...]
    questions: tuple[QuestionSeen, ...]
    circles: tuple[tuple[str, ...], ...]
    accounts: tuple[AccountSeen, ...]


async def board(
    source: Source,
    initiative_id: str | None = None,
    *,
    cards: int | None = CARDS,
    **options: Unpack[ReadyOptions],
) -> Board:
    """Return the board of an initiative, or of all that are not archived, oldest first.

    What is ready is so by the rule of `claims.find_ready`, of which `options` are the options. But
    where no `provider` is given, an account of any provider will do, and a store that has no
    accounts needs none. Counts are of all tasks; there are at most `cards` cards in a lane of a
    phase, and all with None. Agents and questions are those of the initiative, where one is given.

    `NotFoundError` for an unknown initiative; `InvalidValueError` for `cards` below 1, and for what
    `claims.find_ready` refuses.
    """
    raise NotImplementedError
