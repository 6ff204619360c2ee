"""The timeline: which agent was at which task, from when until when."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

from cw_store import views
from cw_store.live.drawings.timeline import timeline_drawing
from cw_store.live.pages import Page, Part, Region, Viewer
from cw_store.live.rendering import part
from cw_store.live.screens.head import MOST_DRAWN, not_drawn, read_head, screen_url

MOST_AGENTS = 500
"""So many agents of an initiative are drawn, the newest."""

STEPS = 600
"""The time is told to so many parts of what is drawn: finer than a pixel can be seen to move."""


async def timeline(source: views.Source, viewer: Viewer, initiative_id: str | None) -> Page:
    """Return the timeline of an initiative, or those of all; NotFoundError when there is none."""
    async with views.snapshot(source) as uow:
        head = await read_head(uow, viewer, "timeline", initiative_id)
        seen = [
            await views.timeline(uow, initiative.id, limit=MOST_AGENTS)
            for initiative in head.shown[-MOST_DRAWN:]
        ]
    parts = [_drawn(viewer, each, is_alone=initiative_id is not None) for each in seen]
    parts += not_drawn(viewer, head, "timelines", len(seen))
    return Page(
        f"{head.name}: timeline",
        "timeline",
        (*head.regions, Region("timelines", tuple(parts))),
        seen[0].now if seen else None,
    )


def _drawn(viewer: Viewer, timeline: views.Timeline, *, is_alone: bool) -> Part:
    seen = in_steps(timeline)
    return part(
        f"timeline-of-{timeline.initiative_id}",
        "drawing.html",
        viewer,
        name=timeline.initiative_name,
        url=None if is_alone else screen_url(viewer, "timeline", timeline.initiative_id),
        what="timeline",
        seen=seen,
        drawing=lambda: timeline_drawing(seen, href=lambda id: viewer.url("agent", id)),
        told=f"Only the newest {MOST_AGENTS} agents are drawn." if timeline.is_cut else "",
    )


def in_steps(timeline: views.Timeline) -> views.Timeline:
    """Return the timeline with `now` on a step, so that it is not drawn anew at each change."""
    if timeline.start is None or timeline.end is None:
        return timeline
    span = (timeline.now - timeline.start).total_seconds()
    # A step that grows with the span would itself be another at each look.
    step = 2 ** max(0, math.ceil(math.log2(max(span, 1) / STEPS)))
    now = timeline.start + timedelta(seconds=step * math.ceil(span / step))
    lasts = timeline.end == timeline.now
    return replace(timeline, now=now, end=now if lasts else timeline.end)
