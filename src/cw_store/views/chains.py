"""Chains in a plan: in which column a task is drawn, and the longest chain of what is not done.

A task waits for those that it depends on, and for all tasks of the phases that its phase depends
on. So that the second does not cost an edge for each pair, a phase has a beginning and an end here:
its tasks wait for its beginning, that for the ends of other phases, and an end for all tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from cw_store.views.circles import circles_of


class Node(NamedTuple):
    """A task, or the beginning or the end of a phase."""

    id: str
    kind: str = "task"


Waits = Mapping[Node, list[Node]]
"""For whom each waits."""


@dataclass(frozen=True, slots=True)
class Chains:
    """What follows from who waits for whom."""

    ranks: dict[str, int]
    critical_path: list[str]
    circles: list[list[str]]


def chains_of(
    phase_of: Mapping[str, str | None],
    task_edges: Iterable[tuple[str, str]],
    phase_edges: Iterable[tuple[str, str]],
    open_tasks: set[str],
) -> Chains:
    """Return the chains of a plan; an edge is who waits, and for whom."""
    tasks = list(task_edges)
    waits = _waits(phase_of, tasks, phase_edges)
    lengths = _lengths(waits)
    if len(lengths) == len(waits):
        circles: list[list[str]] = []
        ranks = {node.id: length - 1 for node, length in lengths.items() if node.kind == "task"}
    else:
        stuck = {one: others for one, others in waits.items() if one not in lengths}
        circles = _circles_of_tasks(stuck)
        alone = _lengths(_waits(dict.fromkeys(phase_of), tasks, ()))
        ranks = {node.id: length - 1 for node, length in alone.items()}
    left = {
        one: [other for other in others if other.kind != "task" or other.id in open_tasks]
        for one, others in waits.items()
        if one.kind != "task" or one.id in open_tasks
    }
    return Chains(ranks, _longest(left), circles)


def _waits(
    phase_of: Mapping[str, str | None],
    task_edges: Iterable[tuple[str, str]],
    phase_edges: Iterable[tuple[str, str]],
) -> dict[Node, list[Node]]:
    waits: dict[Node, list[Node]] = {Node(task): [] for task in phase_of}
    for task, phase in phase_of.items():
        if phase is not None:
            beginning = Node(phase, "beginning")
            waits.setdefault(beginning, [])
            waits.setdefault(Node(phase, "end"), [beginning]).append(Node(task))
            waits[Node(task)].append(beginning)
    for task, other in task_edges:
        waits[Node(task)].append(Node(other))
    for phase, other in phase_edges:
        # A phase without tasks passes on what it waits for.
        for each in (phase, other):
            waits.setdefault(Node(each, "beginning"), [])
            waits.setdefault(Node(each, "end"), [Node(each, "beginning")])
        waits[Node(phase, "beginning")].append(Node(other, "end"))
    return waits


def _lengths(waits: Waits) -> dict[Node, int]:
    """Return of each the length of the longest chain that ends with it, in tasks.

    They are in an order in which each comes behind all that it waits for; those on a circle, and
    whoever waits for them, are left out.
    """
    missing = {one: len(others) for one, others in waits.items()}
    dependents: dict[Node, list[Node]] = {}
    for one, others in waits.items():
        for other in others:
            dependents.setdefault(other, []).append(one)
    ready = [one for one, count in missing.items() if not count]
    lengths: dict[Node, int] = {}
    for one in ready:  # which grows meanwhile
        longest = max((lengths[other] for other in waits[one]), default=0)
        lengths[one] = longest + (one.kind == "task")
        for dependent in dependents.get(one, ()):
            missing[dependent] -= 1
            if not missing[dependent]:
                ready.append(dependent)
    return lengths


def _longest(waits: Waits) -> list[str]:
    """Return the tasks of the longest chain, the first to be done first."""
    lengths = _lengths(waits)
    last = max(
        (one for one in lengths if one.kind == "task"), key=lambda one: lengths[one], default=None
    )
    path: list[str] = []
    while last is not None:
        if last.kind == "task":
            path.append(last.id)
        last = max(waits[last], key=lambda one: lengths[one], default=None)
    return path[::-1]


def _circles_of_tasks(stuck: Waits) -> list[list[str]]:
    """Return the circles among those that are stuck, of their tasks alone."""
    names = {f"{one.kind} {one.id}": one for one in stuck}
    edges = {
        name: [f"{other.kind} {other.id}" for other in stuck[one] if other in stuck]
        for name, one in names.items()
    }
    circles: list[list[str]] = []
    for circle in circles_of(edges):
        tasks = [names[name].id for name in circle[:-1] if names[name].kind == "task"]
        circles.append([*tasks, tasks[0]])
    return circles
