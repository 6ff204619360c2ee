"""What every screen has at its top: what it is about, how far that is, and what else there is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cw_store import Initiative, NotFoundError, UnitOfWork, views
from cw_store.live.pages import Part, Region, Viewer
from cw_store.live.rendering import part

EVERYTHING = "All initiatives"

MOST_INITIATIVES = 200
"""So many initiatives can be chosen from, the newest."""


MOST_DRAWN = 12
"""So many initiatives are drawn on one page, the newest."""


class Head(NamedTuple):
    """What a screen is about: one initiative, or all at which somebody works or will."""

    name: str
    shown: tuple[Initiative, ...]
    regions: tuple[Region, ...]


async def read_head(
    uow: UnitOfWork, viewer: Viewer, screen: str, initiative_id: str | None
) -> Head:
    """Read what can be chosen from; NotFoundError for an unknown initiative."""
    found = await uow.initiatives.find_all()
    open_ones = [each for each in found if each.status != "archived"][-MOST_INITIATIVES:]
    if initiative_id is None:
        shown = tuple(each for each in open_ones if each.status != "completed")
        return Head(EVERYTHING, shown, _regions(viewer, screen, EVERYTHING, None, open_ones))
    chosen = next((each for each in found if each.id == initiative_id), None)
    if chosen is None:
        raise NotFoundError("initiatives", initiative_id)
    return Head(chosen.name, (chosen,), _regions(viewer, screen, chosen.name, chosen.id, open_ones))


def _regions(
    viewer: Viewer,
    screen: str,
    name: str,
    chosen: str | None,
    initiatives: Sequence[Initiative],
) -> tuple[Region, ...]:
    rows: list[tuple[str | None, str]] = [(None, EVERYTHING)]
    rows += [(each.id, each.name) for each in initiatives]
    listed = [
        part(
            f"choose-{id or 'all'}",
            "choice.html",
            viewer,
            name=each,
            url=screen_url(viewer, screen, id),
            is_chosen=id == chosen,
        )
        for id, each in rows
    ]
    return (
        Region("about", (part("about-name", "about.html", viewer, name=name),)),
        Region("initiatives", tuple(listed)),
    )


def screen_url(viewer: Viewer, screen: str, initiative_id: str | None) -> str:
    """Return where a screen is, of one initiative or of all."""
    segments = [] if initiative_id is None else ["initiative", initiative_id]
    return viewer.url(*segments, *([] if screen == "now" else [screen]))


def counts_region(viewer: Viewer, counts: views.LaneCounts) -> Region:
    """Return how many tasks are in which lane."""
    return Region("counts", (part("counts-all", "counts.html", viewer, counts=counts),))


def empty(id: str, viewer: Viewer, told: str, element: str = "p") -> Part:
    """Return the part of a region that has nothing else: it says so."""
    return part(id, "empty.html", viewer, told=told, element=element)


def not_drawn(viewer: Viewer, head: Head, region: str, drawn: int) -> list[Part]:
    """Return what a region of drawings says of what is not in it."""
    if not drawn:
        return [empty(f"{region}-none", viewer, "No initiative is at work.")]
    if left := len(head.shown) - drawn:
        told = f"And {left} older initiatives: choose one above."
        return [empty(f"{region}-left", viewer, told)]
    return []


def total(counts: Iterable[views.LaneCounts]) -> views.LaneCounts:
    """Add up counts."""
    listed = list(counts)
    return views.LaneCounts(
        **{lane: sum(getattr(one, lane) for one in listed) for lane in views.LANES}
    )
