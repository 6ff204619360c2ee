"""How wide a text is, without asking a font: wide enough for any that a page is shown in.

The widths are those of DejaVu Sans, the widest of what system font stacks usually come to. So a
label that fits by them fits everywhere, and is cut a little early where the font is narrower.
"""

from __future__ import annotations

import unicodedata

_GROUPS = {
    27: "'",
    28: "ijl",
    29: "IJ",
    32: " ,.·",
    34: "/:;\\|",
    35: "f",
    36: "-",
    39: "()[]t",
    41: "!r",
    46: '"',
    50: "*_`",
    53: "?csz",
    58: "FLPkvxy",
    63: "ESTYabdeghnopqu",
    65: "$0123456789{}K",
    69: "ABRVXZ",
    77: "CDGHNU&",
    80: "OQ",
    84: "w#+<=>^~→",
    87: "M",
    100: "%mW@…—",
}
"""Hundredths of the size of the font, and the characters that are so wide at most."""

_WIDTHS = {character: width for width, group in _GROUPS.items() for character in group}

ELLIPSIS = "…"


def width_of(text: str, size: float) -> float:
    """Return how wide a text is at most, in pixels, in a font of this size."""
    return sum(map(_width, text)) * size / 100


def clipped(text: str, size: float, room: float) -> str:
    """Return the text, or as much of its beginning as fits, and an ellipsis."""
    left = room * 100 / size
    if sum(map(_width, text)) <= left:
        return text
    left -= _WIDTHS[ELLIPSIS]
    for at, character in enumerate(text):
        left -= _width(character)
        if left < 0:
            return text[:at].rstrip() + ELLIPSIS
    return text


def _width(character: str) -> int:
    return _WIDTHS.get(character) or _width_of_another(character)


def _width_of_another(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    if unicodedata.east_asian_width(character) in "WF":
        return 105
    # Of a letter with an accent the letter is in the table; other alphabets are no wider than this.
    return _WIDTHS.get(unicodedata.normalize("NFD", character)[0], 85)
