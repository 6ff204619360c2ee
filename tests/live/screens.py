"""The screens as whoever opens them gets them."""

from collections.abc import Awaitable, Callable

from cw_store import UnitOfWork
from cw_store.live.pages import Frame, Page, Viewer
from cw_store.live.rendering import document
from cw_store.live.screens.agent import agent, raw_agent
from cw_store.live.screens.graph import graph
from cw_store.live.screens.now import now
from cw_store.live.screens.search import search
from cw_store.live.screens.timeline import timeline

READS, ACTS = Viewer(), Viewer(may_act=True, root="/agents")

Screen = Callable[[UnitOfWork, Viewer], Awaitable[Page]]


def screens(initiative_id: str, agent_id: str, text: str) -> dict[str, Screen]:
    """Return all screens that a store has: of all, of an initiative, of an agent, of a search."""
    return {
        "now": lambda uow, viewer: now(uow, viewer, None),
        "now of one": lambda uow, viewer: now(uow, viewer, initiative_id),
        "graph": lambda uow, viewer: graph(uow, viewer, None),
        "graph of one": lambda uow, viewer: graph(uow, viewer, initiative_id),
        "timeline": lambda uow, viewer: timeline(uow, viewer, None),
        "timeline of one": lambda uow, viewer: timeline(uow, viewer, initiative_id),
        "agent": lambda uow, viewer: agent(uow, viewer, agent_id),
        "agent, raw": lambda uow, viewer: raw_agent(uow, viewer, agent_id),
        "search": lambda uow, viewer: search(uow, viewer, text),
        "search of nothing": lambda uow, viewer: search(uow, viewer, ""),
    }


def written(page: Page, viewer: Viewer) -> str:
    """Return the document of a page."""
    return document(page, Frame(viewer, "/", "/?stream"))


def parts_of(page: Page) -> dict[str, str]:
    """Return the HTML of each part."""
    return {part.id: part.html for region in page.regions for part in region.parts}
