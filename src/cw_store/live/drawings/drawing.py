"""A drawing: SVG that is put into a page, or is a file of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Environment(
    loader=PackageLoader("cw_store.live.drawings"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

MARGIN = 24
"""What is around a drawing in a file, in pixels."""

TITLE = 34
"""The height of the title above it."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn, from 0, 0 to `width`, `height`; `title` names it, `description` tells it.

    With `has_links` there is something in it to go to, so that it is no picture for those who have
    it read to them.
    """

    title: str
    description: str
    width: int
    height: int
    has_links: bool
    content: Markup

    def element(self) -> Markup:
        """Return it for a page, which has `drawing_rules` and defines the colours."""
        return self._rendered("element.svg")

    def document(self) -> str:
        """Return it as a file that needs no other, light or dark as whoever looks prefers."""
        rules = Markup(colours() + drawing_rules())  # noqa: S704 -- files of our own
        return f"{self._rendered('document.svg', rules=rules)}\n"

    def _rendered(self, template: str, **more: object) -> Markup:
        rendered = TEMPLATES.get_template(template).render(
            drawing=self, margin=MARGIN, title_height=TITLE, **more
        )
        return Markup(rendered)  # noqa: S704 -- the template has escaped it


@cache
def drawing_rules() -> str:
    """Return the style sheet of drawings: rules, whose colours are variables."""
    return _read("static/drawings.css")


@cache
def colours() -> str:
    """Return the style sheet that defines the colours of files."""
    return _read("static/colours.css")


def _read(name: str) -> str:
    return files("cw_store.live").joinpath(name).read_text(encoding="utf-8")
