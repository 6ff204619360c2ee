"""A graph as a drawing: phases as lanes, tasks as boxes, lines from what is waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from cw_store import views
from cw_store.live.drawings.boxes import DENSE, ROOMY, box_of
from cw_store.live.drawings.drawing import TEMPLATES, Drawing, document
from cw_store.live.drawings.lines import lines_of
from cw_store.live.drawings.marks import MARKS, WORDS, Mark
from cw_store.live.drawings.text_widths import clipped, width_of
from cw_store.live.layout import Edge, Plan, layout_of
from cw_store.live.pages import Part
from cw_store.safe_text import safe

Href = Callable[[str], str | None]
"""Gives the address of what has this id, None where it has none."""

MANY = 40
"""With more tasks than that, phases that are done are folded."""

VERY_MANY = 120
"""With more tasks than that which are shown, boxes have one line."""

COLUMNS = {ROOMY: 5, DENSE: 6}
"""So many columns are filled before there is a second row."""

KINDS = ("is-critical", "", "is-met")
"""What is drawn of an edge, the most important first."""

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


class _GraphDrawer:
    """Has the sizes and the words of one graph."""

    def __init__(self, graph: views.Graph, href: Href | None) -> None:
        self._graph = graph
        self._id = f"drawn-graph-{safe(graph.initiative_id)}"
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
        placed = self._plan(shown), self._sizes, COLUMNS[self._sizes]
        self._layout, self._lines = layout_of(*placed), lines_of(*placed)

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
        phases = [self._phase(lane.id, lane.top, lane.height) for lane in layout.lanes]
        legend = self._element("legend.svg", "legend", legend=list(self._legend()))
        lines, heads, boxes = list(self._line_groups()), self._heads(phases), list(self._boxes())
        content = TEMPLATES.get_template("graph.svg").render(
            legend=_joined([legend]),
            phases=phases,
            left=layout.left,
            width=layout.width,
            top=LEGEND,
            lines=_joined(lines),
            heads=_joined(heads),
            boxes=_joined(boxes),
            is_dense=self._sizes is DENSE,
        )
        told = ", ".join(
            f"{getattr(counts, lane)} {word}" for lane, word in WORDS.items() if lane != "done"
        )
        return Drawing(
            id=self._id,
            name=safe(graph.initiative_name),
            told=f"{counts.done} of {counts.total} done",
            description=f"{counts.total} tasks in {len(graph.phases)} phases: {told}.",
            width=layout.width,
            height=LEGEND + layout.height,
            has_links=self._href is not None,
            content=Markup(content),  # noqa: S704 -- the template has escaped it
            elements=(legend, *lines, *heads, *boxes),
        )

    def _element(self, template: str, name: str, **values: object) -> Part:
        id = f"{self._id}-{name}"
        return Part(id, TEMPLATES.get_template(template).render(id=id, **values))

    def _legend(self) -> Iterable[tuple[float, views.Lane, Mark, str]]:
        x = float(self._layout.left)
        for lane, word in WORDS.items():
            count = getattr(self._graph.counts, lane)
            text = f"{count} {'need you' if lane == 'needs_you' and count != 1 else word}"
            yield round(x), lane, MARKS[lane], text
            x += 18 + width_of(text, 12) + 18

    # Phases.

    def _heads(self, phases: Iterable[_Phase]) -> list[Part]:
        given = {"names_x": self._layout.first_column, "width": self._layout.width}
        return [
            self._element("phase.svg", f"phase-{at}", phase=phase, **given)
            for at, phase in enumerate(phases)
        ]

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

    def _kinds(self) -> Iterable[tuple[Edge, str]]:
        for edge in (*self._graph.task_edges, *self._graph.phase_edges):
            kind = "is-critical" if edge.is_critical else "is-met" if edge.is_met else ""
            yield (edge.depends_on_id, edge.id), kind

    def _line_groups(self) -> Iterable[Part]:
        """Give the lines between phases, then those to the tasks of each phase."""
        kinds = dict(self._kinds())
        groups: dict[str | None, list[Edge]] = {lane.id: [] for lane in self._layout.lanes}
        for edge in self._lines.tasks:
            groups[self._tasks[edge[1]].phase_id].append(edge)
        for at, edges in enumerate((list(self._lines.phases), *groups.values())):
            lines = sorted(self._drawn(edges, kinds), key=lambda line: line.kind != "is-met")
            ends = self._ends(edges, kinds)
            yield self._element("lines.svg", f"lines-{at}", lines=lines, ends=ends)

    def _drawn(self, edges: Iterable[Edge], kinds: Mapping[Edge, str]) -> Iterable[_Line]:
        for edge in edges:
            if edge in self._lines.tasks:
                yield _Line(self._lines.tasks[edge], *edge, kinds[edge])
            else:
                yield _Line(self._lines.phases[edge], *edge, f"rail {kinds[edge]}".rstrip())

    def _ends(self, edges: Iterable[Edge], kinds: Mapping[Edge, str]) -> dict[str, str]:
        """Return the ends of lines and of which kind each is, the most important one's."""
        found: dict[str, str] = {}
        for edge in edges:
            path = self._lines.ends[edge]
            other = found.get(path)
            if other is None or KINDS.index(kinds[edge]) < KINDS.index(other):
                found[path] = kinds[edge]
        return found

    # Tasks.

    def _boxes(self) -> Iterable[Part]:
        layout, sizes = self._layout, self._sizes
        for id, at in layout.boxes.items():
            href = None if self._href is None else self._href(id)
            circle = id in self._in_circle
            yield box_of(self._tasks[id], at, sizes, layout.width, href, circle)


def _joined(parts: Iterable[Part]) -> Markup:
    return Markup("\\n".join(part.html for part in parts))  # noqa: S704 -- templates have escaped it


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
