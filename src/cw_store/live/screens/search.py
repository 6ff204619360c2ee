"""Search: one text in names, ids, questions, messages, pages and logs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote

from sqlalchemy import select

from cw_store import InvalidValueError, metadata, views
from cw_store.live.pages import Page, Part, Region, Viewer
from cw_store.live.rendering import part
from cw_store.live.screens.head import empty, screen_url

MOST_HITS = 20
"""So many hits of each kind are listed, the newest."""

NAMES = {
    "initiative": "Initiatives",
    "phase": "Phases",
    "task": "Tasks",
    "agent": "Agents",
    "account": "Accounts",
    "project": "Projects",
    "errand": "Errands",
    "proposal": "Proposals",
    "page": "Pages",
    "message": "Messages",
    "conversation": "Questions between agents",
    "comment": "Review comments",
    "chat": "Chats",
    "log": "Logs",
}


async def search(source: views.Source, viewer: Viewer, text: str) -> Page:
    """Return what was found of a text, by kind; of no text, or one that is too long, nothing."""
    if not text.strip():
        return _nothing(viewer, "Type a name, the beginning of an id, or a text of a log.")
    try:
        found = await views.search(source, text, limit=MOST_HITS)
    except InvalidValueError as error:
        return _nothing(viewer, f"Nothing can be found of this text: {error}")
    urls = {hit.id: _url(viewer, hit) for group in found.groups for hit in group.hits}
    urls |= await _places(source, viewer, found)
    title = f"Search: {found.text}"
    return _page(viewer, title, _groups(viewer, found, urls), found.now)


def _nothing(viewer: Viewer, told: str) -> Page:
    return _page(viewer, "Search", [empty("found-no", viewer, told)], None)


def _page(viewer: Viewer, title: str, parts: list[Part], now: datetime | None) -> Page:
    about = part("about-name", "about.html", viewer, name="Search")
    regions = (Region("about", (about,)), Region("found", tuple(parts)))
    return Page(title, "search", regions, now)


def _groups(
    viewer: Viewer, found: views.SearchResult, urls: Mapping[str, str | None]
) -> list[Part]:
    groups = [group for group in found.groups if group.hits]
    parts = [
        part(
            f"found-{group.kind}",
            "found.html",
            viewer,
            name=NAMES[group.kind],
            group=group,
            text=found.text,
            urls={hit.id: urls[hit.id] for hit in group.hits},
        )
        for group in groups
    ]
    if not groups:
        parts.append(empty("found-none", viewer, f"Nothing found of “{found.text}”."))
    return parts


INITIATIVES = (("task", metadata.tables["tasks"]), ("phase", metadata.tables["phases"]))
"""What has its place on the board of an initiative."""


async def _places(
    source: views.Source, viewer: Viewer, found: views.SearchResult
) -> dict[str, str | None]:
    """Return where tasks and phases are, on the boards of their initiatives."""
    places: dict[str, str | None] = {}
    async with views.snapshot(source) as uow:
        for kind, table in INITIATIVES:
            ids = [hit.id for group in found.groups if group.kind == kind for hit in group.hits]
            query = select(table.c.id, table.c.initiative_id).where(table.c.id.in_(ids))
            for id, initiative_id in (await uow.session.execute(query)).all() if ids else ():
                if initiative_id is not None:
                    board = screen_url(viewer, "now", initiative_id)
                    places[id] = f"{board}#{kind}-{quote(id)}"
    return places


def _url(viewer: Viewer, hit: views.SearchHit) -> str | None:
    """Return where more of it is to be seen, None when no screen shows it."""
    if hit.kind == "initiative":
        return screen_url(viewer, "now", hit.id)
    if hit.kind == "agent":
        return viewer.url("agent", hit.id)
    return None if hit.agent_name is None else viewer.url("agent", hit.agent_name)
