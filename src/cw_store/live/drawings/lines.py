"""The lines of a graph as paths of SVG; a plan of the same structure has the same."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from cw_store.live.layout import Edge, Plan, Point, Sizes, layout_of


class Lines(NamedTuple):
    """The paths of the lines between tasks and of those between phases, and of their ends.

    Lines that end at the same place have the same end.
    """

    tasks: dict[Edge, str]
    phases: dict[Edge, str]
    ends: dict[Edge, str]


@lru_cache(maxsize=32)
def lines_of(plan: Plan, sizes: Sizes, columns: int) -> Lines:
    """Return the lines of a plan."""
    layout = layout_of(plan, sizes, columns)
    tasks = {edge: _bent(points) for edge, points in layout.bent.items()}
    tasks |= {edge: _square(points) for edge, points in layout.square.items()}
    phases = {edge: _square(points) for edge, points in layout.rails.items()}
    ways = layout.bent | layout.square | layout.rails
    return Lines(tasks, phases, {edge: _end(points[-1]) for edge, points in ways.items()})


def _end(at: Point) -> str:
    """Return the head of an arrow to the right."""
    x, y = at
    return f"M{x - 6:g} {y - 3.5:g}L{x:g} {y:g}L{x - 6:g} {y + 3.5:g}Z"


def _bent(points: Sequence[Point]) -> str:
    """Return a line from left to right, as a curve where it goes from column to column."""
    begin = points[0]
    path = f"M{begin.x:g} {begin.y:g}"
    for at, (one, two) in enumerate(pairwise(points)):
        if at % 2:
            path += f"H{two.x:g}"
        else:
            bend = (two.x - one.x) * 0.55
            path += f"C{one.x + bend:g} {one.y:g} {two.x - bend:g} {two.y:g} {two.x:g} {two.y:g}"
    return path


def _square(points: Sequence[Point]) -> str:
    """Return a line of straight parts with round corners."""
    path = f"M{points[0].x:g} {points[0].y:g}"
    for before, at, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(8.0, _length(before, at) / 2, _length(at, after) / 2)
        first, then = _towards(at, before, radius), _towards(at, after, radius)
        path += f"L{first.x:g} {first.y:g}Q{at.x:g} {at.y:g} {then.x:g} {then.y:g}"
    return f"{path}L{points[-1].x:g} {points[-1].y:g}"


def _length(one: Point, two: Point) -> float:
    return abs(one.x - two.x) + abs(one.y - two.y)


def _towards(at: Point, other: Point, far: float) -> Point:
    """Return the point so far from one point to another that is beside, above or below it."""
    length = _length(at, other) or 1.0
    return Point(
        round(at.x + (other.x - at.x) * far / length, 1),
        round(at.y + (other.y - at.y) * far / length, 1),
    )
