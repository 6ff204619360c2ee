"""The graph: who waits for whom."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from cw_store import views
from cw_store.live.drawings.graph import graph_drawing
from cw_store.live.pages import Page, Part, Region, Viewer
from cw_store.live.rendering import part
from cw_store.live.screens.head import (
    MOST_DRAWN,
    counts_region,
    not_drawn,
    read_head,
    screen_url,
    total,
)

NEVER = datetime.min.replace(tzinfo=UTC)
"""Stands for the time where it makes no difference to what is drawn."""


async def graph(source: views.Source, viewer: Viewer, initiative_id: str | None) -> Page:
    """Return the graph of an initiative, or those of all; NotFoundError when there is none."""
    async with views.snapshot(source) as uow:
        head = await read_head(uow, viewer, "graph", initiative_id)
        seen = [await views.graph(uow, initiative.id) for initiative in head.shown[-MOST_DRAWN:]]
    parts = [_drawn(viewer, each, is_alone=initiative_id is not None) for each in seen]
    parts += not_drawn(viewer, head, "graphs", len(seen))
    counts = total(each.counts for each in seen)
    return Page(
        f"{head.name}: graph",
        "graph",
        (*head.regions, counts_region(viewer, counts), Region("graphs", tuple(parts))),
        seen[0].now if seen else None,
    )


def _drawn(viewer: Viewer, graph: views.Graph, *, is_alone: bool) -> Part:
    def href(task_id: str) -> str | None:
        return urls.get(task_id)

    urls = {
        task.id: viewer.url("agent", task.agent_name)
        for task in graph.tasks
        if task.agent_name is not None
    }
    return part(
        f"graph-of-{graph.initiative_id}",
        "drawing.html",
        viewer,
        name=graph.initiative_name,
        url=None if is_alone else screen_url(viewer, "graph", graph.initiative_id),
        what="graph",
        told="",
        seen=replace(graph, now=NEVER),
        drawing=lambda: graph_drawing(graph, href=href),
    )
