"""The graph: the phases and tasks of an initiative, and who waits for whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Unpack

from sqlalchemy import bindparam, select

from cw_store import (
    InitiativeStatus,
    PhaseStatus,
    ReadyOptions,
    TaskPriority,
    TaskStatus,
    UnitOfWork,
)
from cw_store.views.chains import Chains, chains_of
from cw_store.views.lanes import Place, read_lanes
from cw_store.views.plans import Plan, Spot, read_details, read_plan
from cw_store.views.reading import (
    IS_THERE,
    OF_INITIATIVE,
    needed_initiative,
    read,
    read_accounts,
    read_agents,
    tasks,
)
from cw_store.views.seen import LANES, Lane, LaneCounts
from cw_store.views.snapshots import Source, snapshot
from cw_store.views.telling import Told, told_of


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
    """`id` waits for `depends_on_id`; `is_met` says that this is completed."""

    id: str
    depends_on_id: str
    is_met: bool
    is_critical: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """The whole plan of an initiative, in the snapshot of `now`.

    Phases and tasks are oldest first. `critical_path` has the ids of the tasks of the longest chain
    of what is not done, the first to be done first; a task in a phase waits for the tasks of the
    phases that this phase waits for as well. An edge to another initiative is not there, but `why`
    names what is waited for. `circles` has the ids of tasks that wait for each
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
    async with snapshot(source) as uow:
        initiative = await needed_initiative(uow, initiative_id)
        rows = await read(uow, TASKS, initiative_id=initiative_id)
        plan = await read_plan(uow, initiative_id)
        told = await _read_told(uow, plan, initiative_id, options)
        task_edges, phase_edges = await _read_edges(
            uow, initiative_id, {row.id for row in rows}, {row.id for row in plan.phases}
        )
        chains = chains_of(
            {row.id: row.phase_id for row in rows},
            task_edges,
            phase_edges,
            {row.id for row in rows if row.status != "completed"},
        )
        drawer = _Drawer(rows, plan.phases, told, chains)
        return Graph(
            now=await uow.claims.now(),
            initiative_id=initiative.id,
            initiative_name=initiative.name,
            initiative_status=initiative.status,
            counts=drawer.counts(rows),
            phases=tuple(map(drawer.phase, plan.phases)),
            tasks=tuple(map(drawer.task, rows)),
            phase_edges=tuple(drawer.phase_edge(*edge) for edge in phase_edges),
            task_edges=tuple(drawer.task_edge(*edge) for edge in task_edges),
            critical_path=tuple(chains.critical_path),
            circles=tuple(map(tuple, chains.circles)),
        )


Pair = tuple[str, str]
"""Who waits, and for whom."""

TASKS = (
    select(
        tasks.c.id,
        tasks.c.name,
        tasks.c.phase_id,
        tasks.c.parent_task_id,
        tasks.c.status,
        tasks.c.priority,
    )
    .where(tasks.c.initiative_id == bindparam("initiative_id"))
    .order_by(tasks.c.seq)
)


async def _read_edges(
    uow: UnitOfWork, initiative_id: str, task_ids: set[str], phase_ids: set[str]
) -> tuple[list[Pair], list[Pair]]:
    """Return the edges between the tasks, and those between the phases."""
    of_tasks = await uow.tasks.find_dependencies_by_initiative_id(initiative_id)
    of_phases = await uow.phases.find_dependencies_by_initiative_id(initiative_id)
    between_tasks = [(edge.task_id, edge.depends_on_task_id) for edge in of_tasks]
    between_phases = [(edge.phase_id, edge.depends_on_phase_id) for edge in of_phases]
    return (
        [edge for edge in between_tasks if task_ids.issuperset(edge)],
        [edge for edge in between_phases if phase_ids.issuperset(edge)],
    )


async def _read_told(
    uow: UnitOfWork, plan: Plan, initiative_id: str, options: ReadyOptions
) -> dict[str, Told]:
    """Return what is told of each open task."""
    accounts = await read_accounts(uow, await uow.claims.now())
    alive = await read_agents(uow, IS_THERE, OF_INITIATIVE, initiative_id=initiative_id)
    lanes = await read_lanes(uow, alive, accounts, initiative_id, options)
    details = await read_details(uow, lanes.standings, ())
    places = dict(plan.spots())
    told: dict[str, Told] = {}
    for one in lanes.standings:
        if one.task_id not in details.tasks:
            continue  # deleted meanwhile, in a unit of work that writes beside others
        place = places.get(Spot(initiative_id, one.phase_id), Place())
        told[one.task_id] = told_of(lanes, details, lanes.lane_of(one), one, place)
    return told


class _Drawer:
    """Makes nodes and edges of what was read."""

    def __init__(
        self, rows: Sequence[Any], phases: Sequence[Any], told: dict[str, Told], chains: Chains
    ) -> None:
        self._status = {row.id: row.status for row in (*rows, *phases)}
        self._phase_of = {row.id: row.phase_id for row in rows}
        self._told = told
        self._ranks = chains.ranks
        path = chains.critical_path
        self._critical = set(path) | {self._phase_of[id] for id in path}
        self._steps = set(pairwise(path))
        self._rows_of: dict[str | None, list[Any]] = {}
        for row in rows:
            self._rows_of.setdefault(row.phase_id, []).append(row)

    def counts(self, rows: Iterable[Any]) -> LaneCounts:
        found = Counter(self._told_of(row.id).lane for row in rows)
        return LaneCounts(**{lane: found[lane] for lane in LANES})

    def _told_of(self, task_id: str) -> Told:
        return self._told.get(task_id, DONE)

    def phase(self, row: Any) -> PhaseNode:
        return PhaseNode(
            id=row.id,
            name=row.name,
            status=row.status,
            counts=self.counts(self._rows_of.get(row.id, ())),
            is_critical=row.id in self._critical,
        )

    def task(self, row: Any) -> TaskNode:
        told = self._told_of(row.id)
        return TaskNode(
            id=row.id,
            name=row.name,
            phase_id=row.phase_id,
            parent_task_id=row.parent_task_id,
            status=row.status,
            priority=row.priority,
            lane=told.lane,
            why=told.why,
            agent_name=None if told.agent is None else told.agent.name,
            rank=self._ranks[row.id],
            is_critical=row.id in self._critical,
        )

    def task_edge(self, id: str, depends_on_id: str) -> Edge:
        return self._edge(id, depends_on_id, (depends_on_id, id) in self._steps)

    def phase_edge(self, id: str, depends_on_id: str) -> Edge:
        between = (
            (self._phase_of[first], self._phase_of[then]) == (depends_on_id, id)
            for first, then in self._steps
        )
        return self._edge(id, depends_on_id, any(between))

    def _edge(self, id: str, depends_on_id: str, is_critical: bool) -> Edge:
        is_met = self._status[depends_on_id] == "completed"
        return Edge(id=id, depends_on_id=depends_on_id, is_met=is_met, is_critical=is_critical)


DONE = Told("done")
