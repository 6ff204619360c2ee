"""What waits for a person, and who works on what."""

from __future__ import annotations

from cw_store import views
from cw_store.live.pages import Page, Part, Region, Viewer
from cw_store.live.rendering import render


async def now(source: views.Source, viewer: Viewer, initiative_id: str | None) -> Page:
    """Return the first screen, of one initiative or of all; NotFoundError when there is none."""
    inbox = await views.inbox(source, initiative_id=initiative_id)
    parts = (
        Part(f"inbox-{item.kind}-{item.id}", render("inbox_item.html", item=item, viewer=viewer))
        for item in inbox.items
    )
    return Page("now", "now", (Region("inbox", tuple(parts)),))
