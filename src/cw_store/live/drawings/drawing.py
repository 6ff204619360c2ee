"""A drawing: SVG that is put into a page, or is a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import accumulate

from markupsafe import Markup

from cw_store.live.pages import Part
from cw_store.live.rendering import environment

TEMPLATES = environment("cw_store.live.drawings")

NARROW = 1250
"""So wide is what can still be read when it is as wide as drawings.css makes it at least."""

DESCRIPTION = Markup('<desc id="{}">{}</desc>')

MARGIN = 24
"""What is around a drawing in a file, in pixels."""

TITLE = 34
"""The height of the title above one."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn, from 0, 0 to `width`, `height`.

    `name` says of what, `told` what there is to say of it in few words, `description` in more. With
    `has_links` there is something in it to go to, so that it is no picture for those who have it
    read to them. `elements` are those of the content that may change while the others do not.
    """

    id: str
    name: str
    told: str
    description: str
    width: int
    height: int
    has_links: bool
    content: Markup
    elements: tuple[Part, ...] = ()

    @property
    def title(self) -> str:
        """What stands above it in a file."""
        return f"{self.name}: {self.told}"

    @property
    def description_element(self) -> Part:
        """What is read out instead of it."""
        id = f"{self.id}-told"
        return Part(id, DESCRIPTION.format(id, self.description))

    @property
    def pieces(self) -> tuple[Part, ...]:
        """The elements that may change while the others do not, in their order."""
        return (self.description_element, *self.elements)

    @property
    def fits(self) -> bool:
        """Whether it is narrow enough to be made a little smaller where there is less room."""
        return self.width <= NARROW

    def element(self) -> Markup:
        """Return it for a page, which has `drawing_rules` and defines the colours."""
        rendered = TEMPLATES.get_template("element.svg").render(drawing=self)
        return Markup(rendered)  # noqa: S704 -- the template has escaped it


def document(drawings: Sequence[Drawing]) -> str:
    """Return drawings as one SVG file, one below the other, light or dark as a viewer prefers."""
    tops = list(accumulate((TITLE + each.height + MARGIN for each in drawings), initial=MARGIN))
    rendered = TEMPLATES.get_template("document.svg").render(
        drawings=list(zip(drawings, tops, strict=False)),
        title=", ".join(each.title for each in drawings) or "nothing to draw",
        description=" ".join(each.description for each in drawings),
        rules=Markup(colours() + drawing_rules()),  # noqa: S704 -- files of our own
        width=max([each.width for each in drawings], default=0) + 2 * MARGIN,
        height=tops[-1],
        margin=MARGIN,
        title_height=TITLE,
    )
    return f"{rendered}\n"


@cache
def drawing_rules() -> str:
    """Return the style sheet of drawings: rules, whose colours are variables."""
    return _read("static/drawings.css")


@cache
def colours() -> str:
    """Return the style sheet that defines the colours of files."""
    return _read("drawings/colours.css")


def _read(name: str) -> str:
    return files("cw_store.live").joinpath(name).read_text(encoding="utf-8")
