"""The templates: the one place where stored text becomes harmless in HTML.

Whatever a template writes out is made visible where it would be obeyed or would not be seen
(`safe_text`), and is then escaped, without a template having to ask for either. What was drawn of a
part is kept, and drawn anew when one of the values differs that it was drawn of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from cw_store.live.pages import Frame, Page, Part, Viewer
from cw_store.safe_text import lines_of, safe

KEPT = 8_000_000
"""So many characters of drawn parts are kept, at most."""


def document(page: Page, frame: Frame) -> str:
    """Return the whole document of a page: its first state, readable without JavaScript."""
    regions = {region.id: region.parts for region in page.regions}
    return render("layout.html", page=page, frame=frame, viewer=frame.viewer, regions=regions)


def render(template: str, **values: object) -> str:
    """Return what a template makes of these values, each of them harmless."""
    return TEMPLATES.get_template(template).render(values)


def part(
    id: str,
    template: str,
    viewer: Viewer,
    *,
    drawing: Callable[[], Drawn] | None = None,
    **values: object,
) -> Part:
    """Draw one part of a page, or return what was drawn last of the same values.

    `drawing` gives one that follows from the values, and is asked for only when it is needed.
    """
    key = (template, viewer, id)
    found = DRAWN.find(key, values)
    if found is None:
        drawn = None if drawing is None else drawing()
        given = values if drawn is None else {**values, "drawing": drawn.element()}
        html = render(template, id=id, viewer=viewer, **given).strip()
        found = Part(id, html, () if drawn is None else drawn.pieces)
        DRAWN.keep(key, values, found)
    return found


class Drawn(Protocol):
    """A drawing, in which there are pieces that are sent alone when only they change."""

    @property
    def pieces(self) -> tuple[Part, ...]:
        """The pieces, in the order in which they are in the element."""
        ...

    def element(self) -> Markup:
        """Return it for a page."""
        ...


class _Kept(NamedTuple):
    values: Mapping[str, object]
    part: Part


class Memo:
    """What was drawn last of each part, up to so many characters; what is not asked for goes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._drawn: dict[object, _Kept] = {}

    def find(self, key: object, values: Mapping[str, object]) -> Part | None:
        """Return what was drawn, if it was drawn of these values."""
        drawn = self._drawn.pop(key, None)
        if drawn is None:
            return None
        if drawn.values != values:
            self._size -= len(drawn.part.html)
            return None
        self._drawn[key] = drawn  # the last one to go
        return drawn.part

    def keep(self, key: object, values: Mapping[str, object], part: Part) -> None:
        """Keep what was drawn, and forget what was not asked for the longest."""
        self._drawn[key] = _Kept(values, part)
        self._size += len(part.html)
        while self._size > self._most and len(self._drawn) > 1:
            oldest = self._drawn.pop(next(iter(self._drawn)))
            self._size -= len(oldest.part.html)


DRAWN = Memo(KEPT)


def harmless(value: object) -> object:
    """Return text with what would not be seen spelled out, and anything else as it is."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "\n".join(map(safe, lines_of(value)))


# Times: the exact one is in the HTML, and the browser says how long ago it was.

TIME = Markup('<time datetime="{}" data-as="{}">{}</time>')


def _time(at: datetime, how: str, written: str) -> Markup:
    exact = at.astimezone(UTC)
    return TIME.format(exact.isoformat(timespec="milliseconds"), how, exact.strftime(written))


def ago(at: datetime) -> Markup:
    """Write a time that is shown as `5 min ago`, or as `in 5 min`."""
    return _time(at, "ago", "%-d %b %H:%M UTC")


def age(at: datetime) -> Markup:
    """Write a time that is shown as `5 min`: how long something lasts."""
    return _time(at, "age", "since %H:%M UTC")


def clock(at: datetime) -> Markup:
    """Write a time that is shown as the time of the day."""
    return _time(at, "clock", "%H:%M:%S")


def share(part: int, whole: int) -> str:
    """Return a share in percent, as a number of SVG."""
    return f"{100 * part / whole:.2f}" if whole else "0"


def words(name: str) -> str:
    """Return a name of the schema as words, like `pending review`."""
    return name.replace("_", " ")


MARK = Markup("<mark>{}</mark>")


def marked(text: str, wanted: str) -> Markup:
    """Mark in a text what was looked for, whatever the case of its letters."""
    pieces = re.split(f"({re.escape(wanted)})", text, flags=re.IGNORECASE | re.ASCII)
    return Markup().join(
        MARK.format(harmless(piece)) if number % 2 else escape(harmless(piece))
        for number, piece in enumerate(pieces)
    )


LANE_NAMES = {
    "needs_you": "Needs you",
    "running": "Running",
    "ready": "Ready",
    "waiting": "Waiting",
    "done": "Done",
}


def environment(package: str) -> Environment:
    """Return what renders the templates of a package: stored text becomes harmless in it."""
    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )


TEMPLATES = environment("cw_store.live")
FILTERS: dict[str, Callable[..., str]] = {
    "ago": ago,
    "age": age,
    "clock": clock,
    "marked": marked,
    "words": words,
}
GLOBALS: dict[str, object] = {"lane_names": LANE_NAMES, "share": share}

# Jinja2 does not tell of what its dicts are.
TEMPLATES.filters.update(FILTERS)  # pyright: ignore[reportUnknownMemberType]
TEMPLATES.globals.update(GLOBALS)  # pyright: ignore[reportUnknownMemberType]
