"""The diagrams of docs/pictures: a Mermaid source each, and the drawing of it.

The entity diagrams' sources are made of schema.py. A drawing has a background of its own, so that
it can be read on a light page and on a dark one.
"""

import re
from collections.abc import Iterable

import merman  # pyright: ignore[reportMissingTypeStubs] -- it has annotations, and no py.typed
from blocks import DOCS
from sqlalchemy import Table

from cw_store import metadata

FOLDER = DOCS / "pictures"

DRAWN = ("unit-of-work", "turn", "claim")
"""Those whose sources are written by hand."""

GROUPS = {
    "work": (
        "initiatives",
        "phases",
        "phase_dependencies",
        "tasks",
        "task_dependencies",
        "projects",
        "initiative_projects",
    ),
    "agents": ("agents", "accounts", "agent_log_chunks", "errands"),
    "talk": ("conversations", "messages", "chat_sessions", "chat_messages"),
    "content": ("pages", "change_sets", "change_set_entries", "changes", "store_state"),
    "review": ("proposals", "review_comments"),
}
"""The tables of each entity diagram; those that they refer to stand beside them, empty."""

LOOK = """---
config:
  theme: base
  themeVariables:
    fontFamily: arial, sans-serif
    fontSize: 16px
    background: "#fafafa"
    primaryColor: "#e8eefc"
    primaryBorderColor: "#4a67b5"
    primaryTextColor: "#1c2333"
    lineColor: "#5a6478"
    textColor: "#1c2333"
    noteBkgColor: "#fff6d8"
    noteBorderColor: "#c9a227"
---
"""


def sources() -> dict[str, str]:
    """Return the Mermaid source of each diagram by its name."""
    drawn = {name: (FOLDER / f"{name}.mmd").read_text() for name in DRAWN}
    return drawn | {f"data-{group}": _entities(tables) for group, tables in GROUPS.items()}


def pictures() -> dict[str, str]:
    """Return the text of each file of docs/pictures that is made here, by its path in docs/."""
    found = dict[str, str]()
    for name, source in sources().items():
        if name not in DRAWN:
            found[f"pictures/{name}.mmd"] = source
        found[f"pictures/{name}.svg"] = _drawing(LOOK + source)
    return found


def _drawing(source: str) -> str:
    """Draw it on paper, and its texts smaller than room was left for: some fonts are wider."""
    drawn = merman.Merman().render_svg(source, None)
    drawn = re.sub(r"font-size: ?1[46]px", "font-size:13px", drawn)
    opening = re.match(r"<svg[^>]*>", drawn)
    assert opening
    left, top, width, height = map(float, re.findall(r'viewBox="([^"]+)"', drawn)[0].split())
    size = f'width="{width + 20:g}" height="{height + 20:g}"'
    paper = f'x="{left - 10:g}" y="{top - 10:g}" {size} rx="8" fill="#fafafa"'
    view = f'viewBox="{left - 10:g} {top - 10:g} {width + 20:g} {height + 20:g}"'
    head = re.sub(r' style="[^"]*"', "", re.sub(r'viewBox="[^"]+"', view, opening[0]))
    head = head.replace('width="100%"', size, 1)
    body = drawn[opening.end() :].replace("</style>", f"{_STYLE}</style>", 1)
    return f"{head}<rect {paper}/>{body}"


_STYLE = (
    "foreignObject{overflow:visible}"
    "#merman .messageText,#merman .loopText"
    "{paint-order:stroke;stroke:#fafafa!important;stroke-width:5px!important}"
)


def _entities(names: Iterable[str]) -> str:
    tables = [metadata.tables[name] for name in names]
    lines = ["erDiagram"]
    for table in tables:
        lines += [f"    {table.name} {{", *_columns(table), "    }"]
    lines += [line for table in tables for line in _references(table)]
    return "\n".join(lines) + "\n"


def _columns(table: Table) -> Iterable[str]:
    for column in table.columns:
        key = " PK" if column.primary_key else ""
        key += (", FK" if key else " FK") if column.foreign_keys else ""
        if key or column.name in ("name", "title", "status", "type"):
            yield f"        {_kind(column.type.python_type)} {column.name}{key}"


def _kind(python_type: type) -> str:
    return {"str": "text", "int": "number", "bool": "flag"}.get(python_type.__name__, "text")


def _references(table: Table) -> Iterable[str]:
    for column in table.columns:
        for key in column.foreign_keys:
            one = "o|" if column.nullable else "||"
            yield f'    {key.column.table.name} {one}--o{{ {table.name} : "{column.name}"'
