"""What a page consists of, for whoever draws it and for whoever sends what changed of it.

A screen is a function that reads a store and returns a `Page`: regions, which are elements of the
layout, each holding parts, one element each. A part's HTML is compared with what viewers have: only
parts that changed are sent, so a part says nothing that changes with the time alone. Ages are drawn
in the browser, from `<time datetime="…">`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias
from urllib.parse import quote, unquote, urlencode

Access: TypeAlias = Literal["none", "read", "act"]
"""What somebody may do here: nothing at all, look, or look and act."""


class Part(NamedTuple):
    """One element of a page: `html` is the element, whose id is `id`; unique on its page.

    `pieces` are elements in it, in their order, with ids of their own: where nothing else differs,
    only those are sent that do.
    """

    id: str
    html: str
    pieces: tuple[Part, ...] = ()


class Region(NamedTuple):
    """The element `#id` of the layout, which holds exactly these parts, in this order."""

    id: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """What there is to see: `screen` names the layout that has a place for each of the regions.

    `now` is the store's time when it was read; a page that differs in nothing else is the same.
    """

    title: str
    screen: str
    regions: tuple[Region, ...]
    now: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Viewer:
    """For whom a page is drawn: what they may do, and under which path the application is mounted.

    All who are equal see the same, so a page is drawn once for them.
    """

    may_act: bool = False
    root: str = ""

    def url(self, *segments: str, **query: str) -> str:
        """Return the address of `segments`, as a path on this server: any id may be one of them."""
        path = "/".join(quote(segment_of(each), safe="") for each in segments)
        return f"{self.root}/{path}" + (f"?{urlencode(query)}" if query else "")


@dataclass(frozen=True, slots=True)
class Frame:
    """What the layout is told beside the page: `stream` is where its changes come from.

    `stream` is empty for one that does not renew itself. `here` is the page's own address,
    `initiative_id` the initiative that it is about, `query` what was looked for.
    """

    viewer: Viewer
    here: str
    stream: str
    initiative_id: str | None = None
    query: str = ""


def segment_of(id: str) -> str:
    """Return an id as one segment of a path, in which no slash and no dots mean anything."""
    return quote(id, safe="") if id.strip(".") else "%2E" * len(id)


def id_of(segment: str) -> str:
    """Return the id that `segment_of` made this of."""
    return unquote(segment)


Changes: TypeAlias = Mapping[str, object]
"""What a viewer is sent, as JSON: `{"title": …, "regions": {id: {"order": […], "parts": {…}}}}`."""
