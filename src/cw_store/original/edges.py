"""Pairs of the source: who waits for whom, which projects an initiative has; each once, no circle.

In the order of storing: the first of two alike stays, and of a circle all but what closes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from cw_store.original.findings import Draft, Findings
from cw_store.original.trees import there

WAITING = {"task_dependencies": "tasks", "phase_dependencies": "phases"}
"""The tables of edges, and whose rows wait."""

Edge = tuple[str, str]


def sort_out(drafts: Mapping[str, Sequence[Draft]], findings: Findings) -> None:
    """Leave out pairs that are there twice, and edges that close a circle."""
    for table in (*WAITING, "initiative_projects"):
        _leave_out_doubles(drafts[table], findings)
    for table in WAITING:
        _leave_out_circles(drafts[table], findings)


def count_open(drafts: Mapping[str, Sequence[Draft]]) -> None:
    """Give tasks and phases the number of what they wait for, as the triggers would count it."""
    for edges, table in WAITING.items():
        rows = {draft.id: draft for draft in there(drafts[table])}
        for draft in rows.values():
            draft.values["open_dependencies"] = 0
        for edge in there(drafts[edges]):
            dependent, dependency = (rows[id] for id in _ends(edge))
            if "completed" not in (dependent.values["status"], dependency.values["status"]):
                dependent.values["open_dependencies"] += 1


def _ends(draft: Draft) -> Edge:
    first, second = (draft.values[name] for name in draft.table.primary_key.columns.keys())
    return first, second


def _leave_out_doubles(drafts: Sequence[Draft], findings: Findings) -> None:
    seen: set[Edge] = set()
    for draft in there(drafts):
        if _ends(draft) in seen:
            findings.leave_out(draft, "double", "the same pair is there already")
        seen.add(_ends(draft))


def _leave_out_circles(drafts: Sequence[Draft], findings: Findings) -> None:
    """Add the edges that can be in a circle one after another, and leave out what closes one."""
    edges = there(drafts)
    suspects = _in_circles([_ends(draft) for draft in edges])
    waits_for: dict[str, list[str]] = {}
    for draft in edges:
        dependent, dependency = _ends(draft)
        if (dependent, dependency) not in suspects:
            continue
        path = _path(waits_for, dependency, dependent)
        if path:
            shown = " → ".join((dependent, *path))
            findings.leave_out(draft, "circle", f"it closes a circle: {shown}")
        else:
            waits_for.setdefault(dependent, []).append(dependency)


def _in_circles(edges: Sequence[Edge]) -> set[Edge]:
    """Return the edges that are left when no row is that waits for nothing that is left.

    Most plans have no circle, and nothing is left.
    """
    open_edges = Counter(dependent for dependent, _ in edges)
    dependents: dict[str, list[str]] = {}
    for dependent, dependency in edges:
        dependents.setdefault(dependency, []).append(dependent)
    free = [id for id in dependents if id not in open_edges]
    for id in free:
        for dependent in dependents.get(id, ()):
            open_edges[dependent] -= 1
            if not open_edges[dependent]:
                free.append(dependent)  # and is come to in its turn
    return {edge for edge in edges if open_edges[edge[1]]}


def _path(waits_for: Mapping[str, Iterable[str]], start: str, end: str) -> list[str]:
    """Return a way from one to the other, both included; empty when there is none."""
    came_from: dict[str, str | None] = {start: None}
    waiting = [start]
    while waiting:
        each = waiting.pop()
        if each == end:
            break
        for further in waits_for.get(each, ()):
            if further not in came_from:
                came_from[further] = each
                waiting.append(further)
    if end not in came_from:
        return []
    path: list[str] = []
    step: str | None = end
    while step is not None:
        path.append(step)
        step = came_from[step]
    return path[::-1]
