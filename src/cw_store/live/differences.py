"""What a viewer is sent: what changed of a page since what it has, as a server-sent event."""

from __future__ import annotations

import json
from collections.abc import Iterable

from cw_store.live.pages import Page, Part, Region

GONE = b"event: gone\ndata: {}\n\n"
"""What the page is about was deleted: there is nothing to come back for."""

ALIVE = b"event: alive\ndata: {}\n\n"
"""Nothing is new, and the stream is well: an event, since a browser shows a comment to nobody."""

RETRY = b"retry: 2000\n\n"
"""Milliseconds after which a browser comes back whose stream ended."""


def changed_event(id: str, before: Page | None, after: Page) -> bytes:
    """Return the event that makes of one page the other; all of it where there is none before."""
    data = json.dumps(changes(before, after), ensure_ascii=False, separators=(",", ":"))
    # JSON has no line ends of its own in it, and spells out those of texts.
    return f"event: changed\nid: {id}\ndata: {data}\n\n".encode(errors="backslashreplace")


def changes(before: Page | None, after: Page) -> dict[str, object]:
    """Return the title if it changed, and of each region the order and the parts that did."""
    told: dict[str, object] = {}
    if before is None or before.title != after.title:
        told["title"] = after.title
    regions_before = {} if before is None else {region.id: region for region in before.regions}
    regions = {
        region.id: changed
        for region in after.regions
        if (changed := _of_region(regions_before.get(region.id), region))
    }
    if regions:
        told["regions"] = regions
    return told


def _of_region(before: Region | None, after: Region) -> dict[str, object]:
    if before is not None and before.parts == after.parts:
        return {}
    told: dict[str, object] = {}
    order = _ids(after.parts)
    if before is None or _ids(before.parts) != order:
        told["order"] = order
    has = {} if before is None else {part.id: part for part in before.parts}
    parts = {
        changed.id: changed.html
        for part in after.parts
        for changed in _of_part(has.get(part.id), part)
    }
    if parts:
        told["parts"] = parts
    return told


def _of_part(before: Part | None, after: Part) -> Iterable[Part]:
    """Give the part if it changed, or those of its pieces that did if nothing else has."""
    if before is None:
        return (after,)
    if before.html == after.html:
        return ()
    if _ids(before.pieces) != _ids(after.pieces) or _frame(before) != _frame(after):
        return (after,)
    both = zip(before.pieces, after.pieces, strict=True)
    return [new for old, new in both if new.html != old.html]


def _frame(part: Part) -> list[str]:
    """Return what there is of a part around its pieces."""
    frame: list[str] = []
    end = 0
    for piece in part.pieces:
        begin = part.html.index(piece.html, end)
        frame.append(part.html[end:begin])
        end = begin + len(piece.html)
    return [*frame, part.html[end:]]


def _ids(parts: Iterable[Part]) -> list[str]:
    return [part.id for part in parts]
