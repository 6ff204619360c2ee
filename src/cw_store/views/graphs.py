"""The graph: the phases and tasks of an initiative, and who waits for whom."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Unpack

from cw_store import InitiativeStatus, PhaseStatus, ReadyOptions, TaskPriority, TaskStatus
from cw_store.views.seen import Lane, LaneCounts
from cw_store.views.snapshots import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseNode:
    """A phase of the graph, and how many of its tasks are in which lane."""

    id: str
    name: str
    status: PhaseStatus
    counts: LaneCounts
    is_critical: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskNode:
    """A task of the graph.

    `rank` is its column in a drawing: higher than that of all that it waits for, and as low as that
    allows. `why` says in a few words why it is not begun, or what it needs; None where there is
    nothing to say. `is_critical` says that it is on the critical path.
    """

    id: str
    name: str
    phase_id: str | None
    parent_task_id: str | None
    status: TaskStatus
    priority: TaskPriority
    lane: Lane
    why: str | None
    agent_name: str | None
    rank: int
    is_critical: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`id` waits for `depends_on_id`; `is_met` when that is completed."""

    id: str
    depends_on_id: str
    is_met: bool
    is_critical: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """The whole plan of an initiative, in the snapshot of `now`.

    Phases and tasks are oldest first. `critical_path` has the ids of the tasks of the longest chain
    of what is not done, the first to be done first; a task in a phase waits for the tasks of the
    phases that this phase waits for as well. `circles` has the ids of tasks that wait for each
    other around a circle, which edges alone never close but edges and phases can: none of them can
    ever begin.
    """

    now: datetime
    initiative_id: str
    initiative_name: str
    initiative_status: InitiativeStatus
    counts: LaneCounts
    phases: tuple[PhaseNode, ...]
    tasks: tuple[TaskNode, ...]
    phase_edges: tuple[Edge, ...]
    task_edges: tuple[Edge, ...]
    critical_path: tuple[str, ...]
    circles: tuple[tuple[str, ...], ...]


async def graph(source: Source, initiative_id: str, **options: Unpack[ReadyOptions]) -> Graph:
    """Return the graph of an initiative; `options` as for `board`.

    `NotFoundError` for an unknown initiative.
    """
    raise NotImplementedError
