"""`graph`: the plan of an initiative, as a list, drawn, for Mermaid, or for Graphviz."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from cw_store import views
from cw_store.cli.blocks import Block, Table, Text
from cw_store.cli.context import Context
from cw_store.cli.extras import needs_extra
from cw_store.cli.files import initiatives, is_for_file, write_text
from cw_store.cli.in_pipe import lines_of
from cw_store.safe_text import safe

Format = Literal["text", "svg", "html", "mermaid", "dot"]

COLUMNS = ("task", "lane", "agent", "waits_for", "id")

COLOURS = {
    "needs_you": "#f4b6b6",
    "running": "#f6e3a1",
    "ready": "#bfe3c0",
    "waiting": "#e6e6e6",
    "done": "#c9d8ee",
}


async def show_graph(here: Context, initiative: str | None, form: Format, file: str | None) -> None:
    """Show the graph of an initiative, or of each that is not archived, or write it to a file."""
    async with here.reading() as store, store.unit_of_work(read_only=True) as uow:
        graphs = [await views.graph(uow, id) for id in await initiatives(uow, initiative)]
    blocks = [block for graph in graphs for block in _listed(graph)] if form == "text" else []
    if here.output.is_json and not is_for_file(file):
        here.output.page(graphs)
    elif form == "text" and not is_for_file(file):
        blocks = blocks or [Table(COLUMNS, (), nothing="no initiatives")]
        here.output.page(graphs, *blocks, now=graphs[0].now if graphs else None)
    else:
        write_text(here, file, _drawn(graphs, form) or "\n".join(lines_of(blocks)))


def _drawn(graphs: Sequence[views.Graph], form: Format) -> str | None:
    """Return what draws the graphs, or the drawing; None where they are to be listed."""
    match form:
        case "text":
            return None
        case "mermaid":
            return "\n".join(_mermaid(graphs))
        case "dot":
            return "\n".join(_dot(graphs))
        case "svg" | "html":
            with needs_extra("live"):
                from cw_store.live import graph_file, graph_page
            return graph_file(*graphs) if form == "svg" else graph_page(graphs)


def _listed(graph: views.Graph) -> Iterator[Block]:
    """Give a table for each phase, and one for the tasks of none."""
    names = {task.id: task.name for task in graph.tasks}
    counts = graph.counts
    yield Text(
        (
            f"{graph.initiative_name} ({graph.initiative_status}): {counts.done} of {counts.total} "
            f"done, {counts.running} running, {counts.ready} ready, {counts.waiting} waiting, "
            f"{counts.needs_you} need you",
        )
    )
    waited_for = _waited_for(graph.phase_edges, {each.id: each.name for each in graph.phases})
    titles: dict[str | None, str] = {
        each.id: f"{each.name} ({each.status})" + _after(waited_for.get(each.id, ()))
        for each in graph.phases
    }
    open_edges = _waited_for(graph.task_edges, names)
    for phase_id, title in {**titles, None: "no phase"}.items():
        rows = [
            (task.name, task.lane, task.agent_name, ", ".join(open_edges.get(task.id, ())), task.id)
            for task in graph.tasks
            if task.phase_id == phase_id
        ]
        if rows or phase_id is not None:
            yield Table(COLUMNS, rows, title=title, nothing="no tasks")


def _after(names: Sequence[str]) -> str:
    return f", waits for {', '.join(names)}" if names else ""


def _waited_for(edges: Iterable[views.Edge], names: dict[str, str]) -> dict[str, list[str]]:
    """Return the names of what each still waits for."""
    found: dict[str, list[str]] = {}
    for edge in edges:
        if not edge.is_met:
            name = names.get(edge.depends_on_id, edge.depends_on_id)
            found.setdefault(edge.id, []).append(name)
    return found


def _numbered(graphs: Iterable[views.Graph]) -> dict[str, str]:
    """Return for each phase and task a name that needs no quoting anywhere."""
    ids = [each.id for graph in graphs for each in (*graph.phases, *graph.tasks)]
    return {id: f"n{number}" for number, id in enumerate(ids)}


def _mermaid(graphs: Sequence[views.Graph]) -> Iterator[str]:
    node = _numbered(graphs)
    yield "flowchart LR"
    for graph in graphs:
        for phase in graph.phases:
            yield f'  subgraph {node[phase.id]}["{_in_mermaid(phase.name)}"]'
            yield from _mermaid_tasks(graph, phase.id, node)
            yield "  end"
        yield from _mermaid_tasks(graph, None, node)
        for edge in (*graph.phase_edges, *graph.task_edges):
            yield f"  {_end(node, edge.depends_on_id)} --> {_end(node, edge.id)}"
    for lane, colour in COLOURS.items():
        yield f"  classDef {lane} fill:{colour},color:#222,stroke:#888"


def _mermaid_tasks(graph: views.Graph, phase_id: str | None, node: dict[str, str]) -> Iterator[str]:
    for task in graph.tasks:
        if task.phase_id == phase_id:
            yield f'    {node[task.id]}["{_in_mermaid(task.name)}"]:::{task.lane}'


def _in_mermaid(name: str) -> str:
    """Return a name as Mermaid takes text in quotes: what means something there by its number."""
    return "".join(
        letter if letter.isalnum() or letter in " .,-_/()+" else f"#{ord(letter)};"
        for letter in safe(name)
    )


def _dot(graphs: Sequence[views.Graph]) -> Iterator[str]:
    node = _numbered(graphs)
    yield "digraph plan {"
    yield "  rankdir=LR; compound=true; node [shape=box, style=filled, fontname=sans];"
    for graph in graphs:
        for phase in graph.phases:
            name = node[phase.id]
            yield f"  subgraph cluster_{name} {{ label={_in_dot(phase.name)};"
            # Edges of a cluster begin and end at a node in it.
            yield f'    {name} [shape=point, style=invis, label=""];'
            yield from _dot_tasks(graph, phase.id, node)
            yield "  }"
        yield from _dot_tasks(graph, None, node)
        for edge in graph.phase_edges:
            begin, end = _end(node, edge.depends_on_id), _end(node, edge.id)
            yield f"  {begin} -> {end} [ltail=cluster_{begin}, lhead=cluster_{end}, style=dashed];"
        for edge in graph.task_edges:
            yield f"  {_end(node, edge.depends_on_id)} -> {_end(node, edge.id)};"
    yield "}"


def _dot_tasks(graph: views.Graph, phase_id: str | None, node: dict[str, str]) -> Iterator[str]:
    for task in graph.tasks:
        if task.phase_id == phase_id:
            colour = COLOURS[task.lane]
            yield f'    {node[task.id]} [label={_in_dot(task.name)}, fillcolor="{colour}"];'


def _in_dot(name: str) -> str:
    escaped = safe(name).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _end(node: dict[str, str], id: str) -> str:
    """Return the node at an end of an edge; one of another initiative has no name."""
    return node.setdefault(id, f"n{len(node)}")
