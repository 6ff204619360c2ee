"""Small pictures of what state something is in, since a colour alone tells not everybody."""

from __future__ import annotations

from typing import NamedTuple

from cw_store.views import Lane


class Mark(NamedTuple):
    """Lines in a square of 12 by 12 pixels, filled where `is_solid`."""

    path: str
    is_solid: bool = False


MARKS: dict[Lane, Mark] = {
    "needs_you": Mark("M6 1.2V7M6 10.4V10.6"),
    "running": Mark("M3 1.8L10.2 6L3 10.2Z", is_solid=True),
    "ready": Mark("M6 1.6A4.4 4.4 0 1 1 6 10.4A4.4 4.4 0 1 1 6 1.6Z"),
    "waiting": Mark("M1.8 6H2M6 6H6.2M10.2 6H10.4"),
    "done": Mark("M1.6 6.6L4.6 9.6L10.4 2.8"),
}

WORDS: dict[Lane, str] = {
    "needs_you": "needs you",
    "running": "running",
    "ready": "ready",
    "waiting": "waiting",
    "done": "done",
}
"""How lanes are called where people read it."""
