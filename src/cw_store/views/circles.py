"""Circles: who waits for whom around a circle, found in the edges alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence


def circles_of(edges: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Return one circle of each group that waits for itself, the first of it again at its end.

    It is a shortest one through the member that `edges` names first. `edges` has for each whom it
    waits for, in any order; groups come in the order in which `edges` names them.
    """
    groups = _groups(edges)
    members_of: dict[int, set[str]] = {}
    for one, group in groups.items():
        members_of.setdefault(group, set()).add(one)
    found: list[list[str]] = []
    for start in edges:
        members = members_of.pop(groups[start], set())
        if len(members) > 1 or (members and start in edges[start]):
            found.append(_around(start, edges, members))
    return found


def _around(start: str, edges: Mapping[str, Sequence[str]], members: set[str]) -> list[str]:
    """Return a shortest way from a member of a group back to it."""
    came_from: dict[str, str] = {}
    waiting = deque([start])
    while start not in came_from:
        one = waiting.popleft()
        for other in edges.get(one, ()):
            if other in members and other not in came_from:
                came_from[other] = one
                waiting.append(other)
    way = [start]
    while (one := came_from[way[-1]]) != start:
        way.append(one)
    return [start, *reversed(way)]


def _groups(edges: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return the group of each: those who wait for each other, directly or not, have the same.

    Tarjan's strongly connected components, without recursion, as chains may be long.
    """
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    group: dict[str, int] = {}
    path: list[str] = []
    for root in edges:
        if root in number:
            continue
        number[root] = lowest[root] = len(number)
        path.append(root)
        work = [(root, iter(edges[root]))]
        while work:
            one, others = work[-1]
            for other in others:
                if other not in number:
                    number[other] = lowest[other] = len(number)
                    path.append(other)
                    work.append((other, iter(edges.get(other, ()))))
                    break
                if other not in group:
                    lowest[one] = min(lowest[one], number[other])
            else:
                work.pop()
                if work:
                    above = work[-1][0]
                    lowest[above] = min(lowest[above], lowest[one])
                if lowest[one] == number[one]:
                    while True:
                        member = path.pop()
                        group[member] = number[one]
                        if member == one:
                            break
    return group
