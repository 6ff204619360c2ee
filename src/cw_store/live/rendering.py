"""The templates: the one place where stored text becomes harmless in HTML and SVG."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from cw_store.live.pages import Frame, Page

TEMPLATES = Environment(
    loader=PackageLoader("cw_store.live"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **values: object) -> str:
    """Return what a template makes of these values, each of them escaped."""
    return TEMPLATES.get_template(template).render(values)


def document(page: Page, frame: Frame) -> str:
    """Return the whole document of a page: its first state, readable without JavaScript."""
    return render("layout.html", page=page, frame=frame, viewer=frame.viewer)
