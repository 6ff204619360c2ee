"""Pages in one file: a graph, a timeline, or a report of all that is to be seen of a run.

They need no other file and no script, and ask nobody for anything: to be kept, sent, or attached to
a pull request. What is drawn is there as text too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from cw_store import views
from cw_store.live.drawings.axis import exact, how_long
from cw_store.live.drawings.drawing import TEMPLATES, colours, drawing_rules
from cw_store.live.drawings.graph import graph_drawing
from cw_store.live.drawings.marks import MARKS, WORDS
from cw_store.live.drawings.outcomes import WORDS as OUTCOMES
from cw_store.live.drawings.outcomes import outcome_of
from cw_store.live.drawings.timeline import timeline_drawing


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a report shows; all of it is of one snapshot if it is read in one unit of work.

    Graphs and timelines are of the initiatives of the board, one each, in the same order.
    """

    board: views.Board
    inbox: views.Inbox
    graphs: tuple[views.Graph, ...]
    timelines: tuple[views.Timeline, ...]


async def read_report(source: views.Source, initiative_id: str | None = None) -> Report:
    """Read what a report shows of an initiative, or of all that are not archived.

    `NotFoundError` for an unknown initiative.
    """
    board = await views.board(source, initiative_id)
    ids = [each.id for each in board.initiatives if each.id is not None]
    return Report(
        board=board,
        inbox=await views.inbox(source, initiative_id=initiative_id, limit=1000),
        graphs=tuple([await views.graph(source, id) for id in ids]),
        timelines=tuple([await views.timeline(source, id) for id in ids]),
    )


def report_page(report: Report) -> str:
    """Return a report as a whole HTML document: counts, what waits, boards, drawings, questions."""
    initiatives = report.board.initiatives
    titles = [each.name or "without an initiative" for each in initiatives]
    drawn = {
        graph.initiative_id: (_graph(graph), _timeline(timeline))
        for graph, timeline in zip(report.graphs, report.timelines, strict=True)
    }
    return _page(
        "report.html",
        titles[0] if len(titles) == 1 else "All initiatives",
        report.board.now,
        report=report,
        drawn=drawn,
        open_lanes=views.LANES[:-1],
    )


def graph_page(graphs: Sequence[views.Graph]) -> str:
    """Return graphs as a whole HTML document, each with its tasks as a table."""
    return _page(
        "graph_page.html",
        _title(each.initiative_name for each in graphs),
        graphs[0].now if graphs else None,
        graphs=list(map(_graph, graphs)),
    )


def timeline_page(timelines: Sequence[views.Timeline]) -> str:
    """Return timelines as a whole HTML document, each with its agents as a table."""
    return _page(
        "timeline_page.html",
        _title(each.initiative_name for each in timelines),
        timelines[0].now if timelines else None,
        timelines=list(map(_timeline, timelines)),
    )


def _title(names: Iterable[str]) -> str:
    found = list(names)
    return found[0] if len(found) == 1 else "All initiatives"


def _page(template: str, title: str, now: datetime | None, **values: object) -> str:
    rules = Markup(colours() + drawing_rules() + _rules())  # noqa: S704 -- files of our own
    return TEMPLATES.get_template(template).render(
        title=title, now=now, rules=rules, marks=MARKS, lane_words=WORDS, exact=exact,
        how_long=how_long, words=_words, **values,
    )  # fmt: skip


def _rules() -> str:
    return TEMPLATES.get_template("report.css").render()


def _words(name: str | None) -> str:
    return (name or "").replace("_", " ")


# What is drawn, as a drawing and as a table.


@dataclass(frozen=True, slots=True)
class _Drawn:
    name: str
    svg: Markup
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def _graph(graph: views.Graph) -> _Drawn:
    phases = {phase.id: phase.name for phase in graph.phases}
    names = {task.id: task.name for task in graph.tasks}
    waits: dict[str, list[str]] = {}
    for edge in graph.task_edges:
        if not edge.is_met:
            waits.setdefault(edge.id, []).append(names[edge.depends_on_id])
    rows = [
        (
            phases.get(task.phase_id or "", ""),
            task.name,
            WORDS[task.lane],
            task.agent_name or "",
            task.why or "",
            ", ".join(waits.get(task.id, ())),
            "yes" if task.is_critical else "",
        )
        for task in graph.tasks
    ]
    columns = ("phase", "task", "state", "agent", "why", "waits for", "critical path")
    return _Drawn(graph.initiative_name, graph_drawing(graph).element(), columns, tuple(rows))


def _timeline(timeline: views.Timeline) -> _Drawn:
    rows = [
        (
            row.task_name or "",
            str(bar.attempt or ""),
            bar.agent_name,
            OUTCOMES[outcome_of(bar)],
            exact(bar.start),
            exact(bar.end) if bar.end is not None else "",
            how_long((bar.end or timeline.now) - bar.start),
            bar.account_email or "",
        )
        for row in timeline.rows
        for bar in row.bars
    ]
    columns = ("task", "try", "agent", "how it goes", "from", "until", "lasted", "account")
    drawing = timeline_drawing(timeline)
    return _Drawn(timeline.initiative_name, drawing.element(), columns, tuple(rows))
