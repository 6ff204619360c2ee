"""What there is of plans: initiatives, phases, and the tasks that a view shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Executable, bindparam, func, select

from cw_store import Standing, UnitOfWork, metadata
from cw_store.views.lanes import Place
from cw_store.views.reading import (
    agents,
    exactly,
    in_parts,
    is_any_of,
    narrowed,
    read,
    read_agents,
    tasks,
)
from cw_store.views.seen import AgentSeen

initiatives = metadata.tables["initiatives"]
phases = metadata.tables["phases"]
phase_dependencies = metadata.tables["phase_dependencies"]
task_dependencies = metadata.tables["task_dependencies"]


class Spot(NamedTuple):
    """Where tasks stand together: in a phase, or in none of an initiative, or of none."""

    initiative_id: str | None
    phase_id: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """Initiatives and phases, oldest first, and the names of the phases that a phase waits for."""

    initiatives: list[Any]
    phases: list[Any]
    phase_waits_for: dict[str, tuple[str, ...]]

    def spots(self) -> Iterable[tuple[Spot, Place]]:
        """Give each place where tasks may stand, those without a phase behind the phases."""
        phases_of: dict[str, list[Any]] = {}
        for phase in self.phases:
            phases_of.setdefault(phase.initiative_id, []).append(phase)
        for one in self.initiatives:
            of_it = {"initiative_status": one.status, "max_agents": one.max_agents}
            for phase in phases_of.get(one.id, ()):
                waits_for = self.phase_waits_for.get(phase.id, ())
                yield Spot(one.id, phase.id), Place(phase.status, waits_for, **of_it)
            yield Spot(one.id, None), Place(**of_it)
        yield Spot(None, None), Place()


IS_NOT_ARCHIVED = initiatives.c.status != "archived"

IS_INITIATIVE = initiatives.c.id == bindparam("initiative_id")

INITIATIVES = select(
    initiatives.c.id, initiatives.c.name, initiatives.c.status, initiatives.c.max_agents
).order_by(initiatives.c.seq)

PHASES = (
    select(phases.c.id, phases.c.initiative_id, phases.c.name, phases.c.status)
    .join(initiatives, initiatives.c.id == phases.c.initiative_id)
    .order_by(phases.c.seq)
)

earlier = phases.alias("earlier")

# Which may be of another initiative.
PHASE_WAITS_FOR = (
    select(phase_dependencies.c.phase_id, earlier.c.name)
    .select_from(phase_dependencies)
    .join(phases, phases.c.id == phase_dependencies.c.phase_id)
    .join(initiatives, initiatives.c.id == phases.c.initiative_id)
    .join(earlier, earlier.c.id == phase_dependencies.c.depends_on_phase_id)
    .where(earlier.c.status != "completed")
    .order_by(earlier.c.seq)
)


async def read_plan(uow: UnitOfWork, initiative_id: str | None) -> Plan:
    """Return the plan of an initiative, or of all that are not archived."""
    which = IS_NOT_ARCHIVED if initiative_id is None else IS_INITIATIVE
    of_it = {} if initiative_id is None else {"initiative_id": initiative_id}
    waits_for: dict[str, tuple[str, ...]] = {}
    for phase_id, name in await read(uow, narrowed(PHASE_WAITS_FOR, which), **of_it):
        waits_for[phase_id] = (*waits_for.get(phase_id, ()), name)
    return Plan(
        list(await read(uow, narrowed(INITIATIVES, which), **of_it)),
        list(await read(uow, narrowed(PHASES, which), **of_it)),
        waits_for,
    )


# Tasks that are done.


@dataclass(frozen=True, slots=True)
class Done:
    """How many tasks are completed at each spot, and the ids of those that were last changed."""

    counts: dict[Spot, int]
    newest: dict[Spot, list[str]]


# A phase is of one initiative, so one of the two says which spot it is.
spot = func.coalesce(tasks.c.phase_id, tasks.c.initiative_id, "")

IS_DONE = exactly(tasks.c.status, "completed")

DONE = select(func.min(tasks.c.initiative_id), func.min(tasks.c.phase_id), func.count()).where(
    IS_DONE
)

NEWEST_DONE = select(
    tasks.c.initiative_id,
    tasks.c.phase_id,
    tasks.c.id,
    func.row_number()
    .over(partition_by=spot, order_by=[tasks.c.updated_at.desc(), tasks.c.seq.desc()])
    .label("place"),
).where(IS_DONE)


# Built once: SQLAlchemy takes as long to build them as the database takes for a small plan.
@cache
def _done(is_of_initiative: bool, is_limited: bool) -> tuple[Executable, Executable]:
    """Return the statements for the counts, and for the ids of those that were last changed."""
    of_it = [tasks.c.initiative_id == bindparam("initiative_id")] if is_of_initiative else []
    ranked = NEWEST_DONE.where(*of_it).subquery()
    newest = select(ranked.c.initiative_id, ranked.c.phase_id, ranked.c.id)
    if is_limited:
        newest = newest.where(ranked.c.place <= bindparam("most"))
    return DONE.where(*of_it).group_by(spot), newest.order_by(ranked.c.place)


async def read_done(uow: UnitOfWork, initiative_id: str | None, most: int | None) -> Done:
    """Return what is done of an initiative, or of all and of none; at most `most` ids for each."""
    counting, listing = _done(initiative_id is not None, most is not None)
    of_it = {} if initiative_id is None else {"initiative_id": initiative_id}
    counts = {Spot(*where): count for *where, count in await read(uow, counting, **of_it)}
    if most == 0:
        return Done(counts, {})
    newest: dict[Spot, list[str]] = {}
    limit = {} if most is None else {"most": most}
    for *where, id in await read(uow, listing, **of_it, **limit):
        newest.setdefault(Spot(*where), []).append(id)
    return Done(counts, newest)


# Tasks that are shown.


@dataclass(frozen=True, slots=True)
class Details:
    """What is shown of tasks, by their ids."""

    tasks: dict[str, Any]
    waits_for: dict[str, list[tuple[str, str]]]
    """Ids and names of the tasks that are not completed for which a task waits."""
    last_agents: dict[str, AgentSeen]
    """The newest agent that was at a blocked task."""


TASKS = select(
    tasks.c.id,
    tasks.c.name,
    tasks.c.status,
    tasks.c.priority,
    tasks.c.category,
    tasks.c.retry_count,
    tasks.c.max_retries,
    tasks.c.not_before,
    tasks.c.updated_at,
).where(is_any_of(tasks.c.id))

other = tasks.alias("other")

IS_OF_TASKS = is_any_of(agents.c.task_id)

# Sorted by whoever asks: for the order SQLite would go through all tasks, not through the edges.
WAITS_FOR = (
    select(other.c.seq, task_dependencies.c.task_id, other.c.id, other.c.name)
    .join(other, other.c.id == task_dependencies.c.depends_on_task_id)
    .where(is_any_of(task_dependencies.c.task_id), other.c.status != "completed")
)


async def read_details(uow: UnitOfWork, shown: Iterable[Standing], done: Iterable[str]) -> Details:
    """Return what is shown of open tasks, and of those that are done."""
    details = Details({}, {}, {})
    open_ids = [one.task_id for one in shown]
    for ids in in_parts([*open_ids, *done]):
        for row in await read(uow, TASKS, ids=ids):
            details.tasks[row.id] = row
    waiting = [one.task_id for one in shown if one.obstacle == "waits_for_task"]
    for ids in in_parts(waiting):
        edges = sorted(await read(uow, WAITS_FOR, ids=ids), key=attrgetter("seq"))
        for _, task_id, id, name in edges:
            details.waits_for.setdefault(task_id, []).append((id, name))
    for ids in in_parts(one.task_id for one in shown if one.status == "blocked"):
        for agent in await read_agents(uow, IS_OF_TASKS, ids=ids):
            if agent.task_id is not None:
                details.last_agents[agent.task_id] = agent
    return details
