"""A graph as a drawing: phases as lanes, tasks as boxes, lines from what is waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from markupsafe import Markup

from cw_store import views
from cw_store.live.drawings.drawing import TEMPLATES, Drawing, document
from cw_store.live.drawings.marks import MARKS, WORDS, Mark
from cw_store.live.drawings.text_widths import clipped, width_of
from cw_store.live.layout import Plan, Point, Sizes, layout_of
from cw_store.safe_text import safe

Href = Callable[[str], str | None]
"""Gives the address of what has this id, None where it has none."""

ROOMY = Sizes(box_width=180, box_height=42)
DENSE = Sizes(box_width=168, box_height=24, gap=6)

MANY = 40
"""With more tasks than that, phases that are done are folded."""

VERY_MANY = 120
"""With more tasks than that which are shown, boxes have one line."""

COLUMNS = {ROOMY: 5, DENSE: 6}
"""So many columns are filled before there is a second row."""

LEGEND = 32
"""The height of what stands above the first lane."""


def graph_drawing(graph: views.Graph, *, href: Href | None = None) -> Drawing:
    """Return a graph as a drawing; `href` gives the address of a task by its id."""
    return _GraphDrawer(graph, href).drawing()


def graph_svg(graph: views.Graph, *, href: Href | None = None) -> Markup:
    """Return a graph as an SVG element for a page; `href` gives the address of a task by its id."""
    return graph_drawing(graph, href=href).element()


def graph_file(*graphs: views.Graph) -> str:
    """Return graphs as an SVG file that needs no other, one below the other."""
    return document([graph_drawing(graph) for graph in graphs])


class _Share(NamedTuple):
    lane: views.Lane
    x: float
    width: float


class _Phase(NamedTuple):
    y: int
    height: int
    name: str
    status: str
    status_x: float
    told: str
    shares: tuple[_Share, ...]
    is_folded: bool


class _Line(NamedTuple):
    path: str
    begin: str
    end: str
    kind: str


class _Hint(NamedTuple):
    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]


class _Box(NamedTuple):
    id: str
    x: float
    y: float
    lane: views.Lane
    classes: str
    mark: Mark
    name: str
    why: str
    title: str
    href: str | None
    hint: _Hint | None


class _GraphDrawer:
    """Has the sizes and the words of one graph."""

    def __init__(self, graph: views.Graph, href: Href | None) -> None:
        self._graph = graph
        self._href = href
        self._tasks = {task.id: task for task in graph.tasks}
        self._phases = {phase.id: phase for phase in graph.phases}
        self._folded = frozenset(
            phase.id
            for phase in graph.phases
            if len(graph.tasks) > MANY and phase.counts.done == phase.counts.total > 0
        )
        self._in_circle = {id for circle in graph.circles for id in circle}
        shown = [task for task in graph.tasks if task.phase_id not in self._folded]
        self._sizes = DENSE if len(shown) > VERY_MANY else ROOMY
        self._layout = layout_of(self._plan(shown), self._sizes, COLUMNS[self._sizes])

    def _plan(self, shown: Sequence[views.TaskNode]) -> Plan:
        graph = self._graph
        ids = {task.id for task in shown}
        lanes: list[str | None] = list(_in_order(graph.phases, graph.phase_edges))
        if any(task.phase_id is None for task in shown):
            lanes.append(None)
        return Plan(
            tuple(lanes),
            self._folded,
            tuple((task.id, task.phase_id) for task in shown),
            tuple(
                (edge.depends_on_id, edge.id)
                for edge in graph.task_edges
                if edge.id in ids and edge.depends_on_id in ids
            ),
            tuple((edge.depends_on_id, edge.id) for edge in graph.phase_edges),
        )

    def drawing(self) -> Drawing:
        graph, layout = self._graph, self._layout
        counts = graph.counts
        content = TEMPLATES.get_template("graph.svg").render(
            legend=list(self._legend()),
            phases=[self._phase(lane.id, lane.top, lane.height) for lane in layout.lanes],
            left=layout.left,
            names_x=layout.first_column,
            width=layout.width,
            top=LEGEND,
            lines=sorted(self._lines(), key=lambda line: line.kind != "is-met"),
            tips=list(self._tips()),
            boxes=[self._box(self._tasks[id], at) for id, at in layout.boxes.items()],
            box=self._sizes,
            is_dense=self._sizes is DENSE,
            words=WORDS,
        )
        told = ", ".join(
            f"{getattr(counts, lane)} {word}" for lane, word in WORDS.items() if lane != "done"
        )
        return Drawing(
            title=f"{safe(graph.initiative_name)}: {counts.done} of {counts.total} done",
            description=f"{counts.total} tasks in {len(graph.phases)} phases: {told}.",
            width=layout.width,
            height=LEGEND + layout.height,
            has_links=self._href is not None,
            content=Markup(content),  # noqa: S704 -- the template has escaped it
        )

    def _legend(self) -> Iterable[tuple[float, views.Lane, Mark, str]]:
        x = float(self._layout.left)
        for lane, word in WORDS.items():
            count = getattr(self._graph.counts, lane)
            text = f"{count} {'need you' if lane == 'needs_you' and count != 1 else word}"
            yield round(x), lane, MARKS[lane], text
            x += 18 + width_of(text, 12) + 18

    # Phases.

    def _phase(self, id: str | None, y: int, height: int) -> _Phase:
        phase = None if id is None else self._phases[id]
        name = "without a phase" if phase is None else safe(phase.name)
        counts = self._counts(id)
        name = clipped(name, 14, self._layout.width * 0.4)
        return _Phase(
            y,
            height,
            name,
            "" if phase is None else phase.status.replace("_", " "),
            round(self._layout.first_column + width_of(name, 14) + 10),
            f"{counts.done} of {counts.total} done" if counts.total else "no tasks",
            tuple(self._shares(counts)),
            id in self._folded,
        )

    def _counts(self, phase_id: str | None) -> views.LaneCounts:
        if phase_id is not None:
            return self._phases[phase_id].counts
        lanes = [task.lane for task in self._graph.tasks if task.phase_id is None]
        return views.LaneCounts(**{lane: lanes.count(lane) for lane in views.LANES})

    def _shares(self, counts: views.LaneCounts) -> Iterable[_Share]:
        """Give the parts of a bar that says how far a phase is."""
        x, whole = self._layout.width - 12 - 120.0, counts.total
        for lane in reversed(views.LANES):
            part = getattr(counts, lane)
            if part:
                width = 120 * part / whole
                yield _Share(lane, round(x, 1), round(max(width - 1, 1), 1))
                x += width

    # Lines.

    def _kinds(self) -> Iterable[tuple[tuple[str, str], str]]:
        for edge in (*self._graph.task_edges, *self._graph.phase_edges):
            kind = "is-critical" if edge.is_critical else "is-met" if edge.is_met else ""
            yield (edge.depends_on_id, edge.id), kind

    def _lines(self) -> Iterable[_Line]:
        layout, kinds = self._layout, dict(self._kinds())
        for ways, path in ((layout.bent, _bent), (layout.square, _square)):
            for edge, points in ways.items():
                yield _Line(path(points), *edge, kinds[edge])
        for edge, points in layout.rails.items():
            yield _Line(_square(points), *edge, f"rail {kinds[edge]}".rstrip())

    def _tips(self) -> Iterable[tuple[str, str]]:
        """Give the ends of lines, one where several end at the same place."""
        layout, kinds = self._layout, dict(self._kinds())
        rank = {"is-critical": 0, "": 1, "is-met": 2}
        found: dict[Point, str] = {}
        for ways in (layout.bent, layout.square, layout.rails):
            for edge, points in ways.items():
                kind = kinds[edge]
                other = found.get(points[-1])
                if other is None or rank[kind] < rank[other]:
                    found[points[-1]] = kind
        for (x, y), kind in found.items():
            yield f"M{x - 6:g} {y - 3.5:g}L{x:g} {y:g}L{x - 6:g} {y + 3.5:g}Z", kind

    # Tasks.

    def _box(self, task: views.TaskNode, at: Point) -> _Box:
        name, why = safe(task.name), safe(self._why(task))
        room = self._sizes.box_width - 28 - 8
        size = 12 if self._sizes is DENSE else 13
        short, short_why = clipped(name, size, room), clipped(why, 11, room)
        is_told = (short, short_why) == (name, why) and not (why and self._sizes is DENSE)
        return _Box(
            id=safe(task.id),
            x=at.x,
            y=at.y,
            lane=task.lane,
            classes=" is-critical" * task.is_critical,
            mark=MARKS[task.lane],
            name=short,
            why="" if self._sizes is DENSE else short_why,
            title=self._title(task, name, why),
            href=None if self._href is None else self._href(task.id),
            hint=None if is_told else self._hint(at, [name, why] if why else [name]),
        )

    def _why(self, task: views.TaskNode) -> str:
        """Return the second line of a box: who is at it, or why nobody is."""
        if task.id in self._in_circle:
            return "one of a circle: none can begin"
        why = task.why or task.agent_name or ""
        return why.replace("its phase waits for ", "phase waits for ")

    def _title(self, task: views.TaskNode, name: str, why: str) -> str:
        agent = "" if task.agent_name is None else f" · {safe(task.agent_name)}"
        path = "on the critical path" if task.is_critical else ""
        lines = (name, f"{WORDS[task.lane]}{agent}", why, path)
        return "\n".join(line for line in lines if line)

    def _hint(self, at: Point, texts: Iterable[str]) -> _Hint:
        """Return what is shown above a box while somebody looks at it, in its whole length."""
        lines = tuple(clipped(text, 12, 460) for text in texts)
        width = round(max(width_of(line, 12) for line in lines) + 20)
        x = min(0, self._layout.width - at.x - width)
        height = 18 * len(lines) + 8
        return _Hint(x, -height - 4, width, height, lines)


def _in_order(phases: Sequence[views.PhaseNode], edges: Iterable[views.Edge]) -> Iterable[str]:
    """Give the ids of phases, oldest first, but each behind those that it waits for."""
    waits: dict[str, set[str]] = {phase.id: set() for phase in phases}
    for edge in edges:
        if edge.id in waits and edge.depends_on_id in waits:
            waits[edge.id].add(edge.depends_on_id)
    left = list(waits)
    while left:
        given = next((id for id in left if waits[id].isdisjoint(left)), left[0])
        left.remove(given)
        yield given


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
