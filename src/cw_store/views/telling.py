"""What is told of an open task: where it is, why, what it waits for, and who is at it."""

from __future__ import annotations

from typing import NamedTuple

from cw_store import Standing
from cw_store.views.lanes import Lanes, Place, why_blocked, why_waiting
from cw_store.views.plans import Details
from cw_store.views.seen import AgentSeen, Lane


class Told(NamedTuple):
    """What is told of a task beside what its row has."""

    lane: Lane
    why: str | None = None
    waits_for: tuple[str, ...] = ()
    agent: AgentSeen | None = None


def told_of(lanes: Lanes, details: Details, lane: Lane, one: Standing, place: Place) -> Told:
    """Return what is told of an open task, which is in this lane, at this place."""
    row = details.tasks[one.task_id]
    waits_for = details.waits_for.get(one.task_id, [])
    ids = tuple(id for id, _ in waits_for)
    if one.status == "blocked":
        why = why_blocked(row.retry_count, row.max_retries)
        return Told(lane, why, ids, details.last_agents.get(one.task_id))
    if lane in ("running", "needs_you"):
        agent = lanes.agent_of.get(one.task_id)
        return Told(lane, None if agent is None else lanes.why_it_runs_not(agent), ids, agent)
    if one.obstacle is None:
        return Told(lane, None, ids)
    names = [name for _, name in waits_for]
    return Told(lane, why_waiting(one.obstacle, row, place, names, lanes.provider), ids)
