"""Where everything of a graph stands: phases as lanes from top to bottom, tasks in columns in them.

All lanes have the same columns, with channels between them that hold no box. A line from lane to
lane runs in channels, and across between two lanes; one within a lane goes from column to column.
So no line passes behind a box. On the left the lines between phases run, from the end of one to the
beginning of the other.

A plan of the same structure is laid out once: what changes while agents work does not move a box.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from cw_store.live.layers import Arrangement, Spot, arranged

Edge = tuple[str, str]
"""What is waited for, and who waits: the ids of two tasks, or of two phases."""


class Sizes(NamedTuple):
    """Sizes in pixels: of a box, of what is between two of them, and of a lane's edges."""

    box_width: int
    box_height: int
    gap: int = 10
    channel: int = 44
    header: int = 34
    padding: int = 12
    between: int = 16
    rail: int = 9


class Plan(NamedTuple):
    """The structure of a graph; the tasks of a phase that is folded are none of `tasks`.

    Phases and tasks are oldest first; a lane whose `id` is None holds the tasks of no phase.
    """

    lanes: tuple[str | None, ...]
    folded: frozenset[str]
    tasks: tuple[tuple[str, str | None], ...]
    task_edges: tuple[Edge, ...]
    phase_edges: tuple[Edge, ...]


class Point(NamedTuple):
    """A place, in pixels from the left and from the top."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Lane:
    """The lane of a phase."""

    id: str | None
    top: int
    height: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is.

    Lanes begin at `left`, and the boxes of their first columns at `first_column`. `boxes` are the
    left upper corners of tasks, lane by lane, in the order in which they are read. A line is given
    by its turning points: between tasks of a lane it goes through them from left to right, `bent`,
    and else with right angles, `square`; so do the lines between phases, `rails`.
    """

    width: int
    height: int
    left: int
    first_column: int
    lanes: tuple[Lane, ...]
    boxes: dict[str, Point]
    bent: dict[Edge, tuple[Point, ...]]
    square: dict[Edge, tuple[Point, ...]]
    rails: dict[Edge, tuple[Point, ...]]


@lru_cache(maxsize=32)
def layout_of(plan: Plan, sizes: Sizes, columns: int) -> Layout:
    """Return the layout of a plan, in at least so many columns as far as there are tasks for them.

    Every two tasks of a phase that wait for each other, over others as well, have to do so in one
    direction: edges that close a circle are refused by the store.
    """
    return _Grid(plan, sizes, columns).layout()


class _Grid:
    """Lanes, one below the other, and the channels between their columns."""

    def __init__(self, plan: Plan, sizes: Sizes, columns: int) -> None:
        self._plan = plan
        self._sizes = sizes
        self._lane_of = dict(plan.tasks)
        self._tracks = _Tracks(plan)
        self._left = self._tracks.count * sizes.rail + (sizes.rail if self._tracks.count else 0)
        self._members: dict[str | None, list[str]] = {lane: [] for lane in plan.lanes}
        for task, lane in plan.tasks:
            self._members[lane].append(task)
        self._arranged = {lane: self._arrange(lane, columns) for lane in plan.lanes}
        widths = [each.columns for each in self._arranged.values()]
        self._columns = max([columns, *widths])
        self._lanes = list(self._stack())
        self._lane_at = {lane.id: lane for lane in self._lanes}
        self._spots: dict[str, Spot] = {}
        for lane in plan.lanes:
            spots = self._arranged[lane].spots
            for number, task in enumerate(self._members[lane]):
                self._spots[task] = spots[number]

    def _arrange(self, lane: str | None, columns: int) -> Arrangement:
        members = self._members[lane]
        number = {task: at for at, task in enumerate(members)}
        edges = [
            (number[begin], number[end])
            for begin, end in self._plan.task_edges
            if begin in number and end in number
        ]
        return arranged(len(members), edges, columns)

    def _stack(self) -> Iterable[Lane]:
        sizes = self._sizes
        top = 0
        for id in self._plan.lanes:
            height = sizes.header
            if self._members[id]:
                rows = self._arranged[id].height
                height += round(rows * (sizes.box_height + sizes.gap)) - sizes.gap + sizes.padding
            yield Lane(id, top, height)
            top += height + sizes.between

    def layout(self) -> Layout:
        sizes = self._sizes
        width = self._x(self._columns) - sizes.channel // 2 + sizes.padding
        last = self._lanes[-1] if self._lanes else Lane(None, 0, 0)
        inner = self._inner_edges()
        boxes = {task: self._corner(task) for task in self._in_order()}
        return Layout(
            width=width,
            height=last.top + last.height,
            left=self._left,
            first_column=self._x(0),
            lanes=tuple(self._lanes),
            boxes=boxes,
            bent={edge: self._bent(edge, inner[edge]) for edge in inner},
            square=dict(self._square(inner)),
            rails={edge: self._rail(edge) for edge in self._tracks.edges},
        )

    def _in_order(self) -> Iterable[str]:
        for lane in self._plan.lanes:
            yield from sorted(
                self._members[lane], key=lambda id: (self._spots[id].row, self._spots[id].column)
            )

    # Places.

    def _x(self, column: int) -> int:
        """Return the left side of the boxes of a column; before it is the column's channel."""
        sizes = self._sizes
        return (
            self._left + sizes.channel // 2 + sizes.padding
            + column * (sizes.box_width + sizes.channel)
        )  # fmt: skip

    def _y(self, lane: str | None, row: float) -> int:
        """Return the middle of the boxes of a row."""
        sizes = self._sizes
        top = self._lane_at[lane].top + sizes.header
        return top + round(row * (sizes.box_height + sizes.gap) - sizes.gap / 2)

    def _corner(self, task: str) -> Point:
        spot = self._spots[task]
        middle = self._y(self._lane_of[task], spot.row)
        return Point(self._x(spot.column), middle - self._sizes.box_height / 2)

    def _begin(self, task: str) -> Point:
        """Return where lines to those begin that wait for a task: at its right side."""
        x, y = self._corner(task)
        return Point(x + self._sizes.box_width, y + self._sizes.box_height / 2)

    def _end(self, task: str) -> Point:
        """Return where lines to a task end: at its left side."""
        x, y = self._corner(task)
        return Point(x, y + self._sizes.box_height / 2)

    # Lines.

    def _inner_edges(self) -> dict[Edge, tuple[Spot, ...]]:
        """Return the edges within lanes, and what each passes on its way."""
        found: dict[Edge, tuple[Spot, ...]] = {}
        for lane in self._plan.lanes:
            members = self._members[lane]
            for (begin, end), way in self._arranged[lane].ways.items():
                found[members[begin], members[end]] = way
        return found

    def _bent(self, edge: Edge, way: Sequence[Spot]) -> tuple[Point, ...]:
        begin, end = edge
        points = [self._begin(begin)]
        for column, row in way:
            x, y = self._x(column), self._y(self._lane_of[begin], row)
            points += [Point(x, y), Point(x + self._sizes.box_width, y)]
        return (*points, self._end(end))

    def _square(
        self, inner: dict[Edge, tuple[Spot, ...]]
    ) -> Iterable[tuple[Edge, tuple[Point, ...]]]:
        """Give the lines from lane to lane; those that begin at one task share their way."""
        begins = _Offsets(self._sizes.channel)
        ends = _Offsets(self._sizes.channel)
        across = _Offsets(self._sizes.between)
        for begin, end in self._plan.task_edges:
            if (begin, end) in inner:
                continue
            first, last = self._begin(begin), self._end(end)
            own, other = self._spots[begin].column + 1, self._spots[end].column
            down = self._x(own) - self._sizes.channel / 2 + begins.of(own, begin)
            if own == other:
                points = (first, Point(down, first.y), Point(down, last.y), last)
            else:
                lane = self._lane_at[self._lane_of[end]]
                gap = lane.top - self._sizes.between / 2 + across.of(lane.top, begin)
                turn = self._x(other) - self._sizes.channel / 2 + ends.of(other, end)
                points = (
                    first, Point(down, first.y), Point(down, gap),
                    Point(turn, gap), Point(turn, last.y), last,
                )  # fmt: skip
            yield (begin, end), points

    def _rail(self, edge: Edge) -> tuple[Point, ...]:
        begin, end = self._lane_at[edge[0]], self._lane_at[edge[1]]
        x = self._left - (self._tracks.of(edge[0]) + 1) * self._sizes.rail
        first = Point(self._left, begin.top + begin.height - self._sizes.header / 2 + 3)
        last = Point(self._left, end.top + self._sizes.header / 2)
        return first, Point(x, first.y), Point(x, last.y), last


class _Offsets:
    """Gives each line in a channel a place beside its middle, another one as far as it goes."""

    def __init__(self, width: int) -> None:
        self._most = max(1, width // 6)
        self._given: dict[tuple[float, str], int] = {}
        self._count: dict[float, int] = {}

    def of(self, channel: float, task: str) -> float:
        """Return how far from the middle of the channel the lines of a task run."""
        at = self._given.get((channel, task))
        if at is None:
            at = self._given[channel, task] = self._count.get(channel, 0)
            self._count[channel] = at + 1
        place = at % self._most
        return (place + 1) // 2 * 4 * (1 if place % 2 else -1)


class _Tracks:
    """The lines between phases: those that begin at one phase share a track beside the lanes."""

    def __init__(self, plan: Plan) -> None:
        place = {lane: at for at, lane in enumerate(plan.lanes)}
        self.edges = [edge for edge in plan.phase_edges if edge[0] in place and edge[1] in place]
        spans: dict[str, list[int]] = {}
        for begin, end in self.edges:
            spans.setdefault(begin, [place[begin]]).append(place[end])
        self._track: dict[str, int] = {}
        taken: list[list[tuple[int, int]]] = []
        by_length = sorted(spans, key=lambda id: (max(spans[id]) - min(spans[id]), place[id]))
        for begin in by_length:
            low, high = min(spans[begin]), max(spans[begin])
            track = next(
                (at for at, others in enumerate(taken) if _is_free(others, low, high)), len(taken)
            )
            if track == len(taken):
                taken.append([])
            taken[track].append((low, high))
            self._track[begin] = track
        self.count = len(taken)

    def of(self, phase: str) -> int:
        """Return on which track the lines of a phase run; 0 is next to the lanes."""
        return self._track[phase]


def _is_free(others: Iterable[tuple[int, int]], low: int, high: int) -> bool:
    return all(high <= start or end <= low for start, end in others)
