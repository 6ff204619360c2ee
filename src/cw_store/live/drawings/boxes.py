"""The boxes of a graph: a task's state, its name, and who is at it or why nobody is.

A box that was drawn is kept: when one of many tasks changes, one is drawn anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from cw_store import views
from cw_store.live.drawings.drawing import TEMPLATES
from cw_store.live.drawings.marks import MARKS, WORDS, Mark
from cw_store.live.drawings.text_widths import clipped, width_of
from cw_store.live.layout import Point, Sizes
from cw_store.live.pages import Part
from cw_store.safe_text import safe

ROOMY = Sizes(box_width=180, box_height=42)
"""Boxes with two lines."""

DENSE = Sizes(box_width=168, box_height=24, gap=6)
"""Boxes with one line."""

TEXT = 27
"""Where the text of a box begins; the mark is before it."""

SHORTER = [
    (re.compile(pattern), words)
    for pattern, words in (
        (r"not before \d{4}-(\d\d-\d\d) (\d\d:\d\d):\d\d UTC", r"from \1 \2 UTC"),
        (r"its phase waits for ", r"phase waits for "),
        (r"its phase is (\w+)", r"phase is \1"),
        (r"its initiative is (\w+)", r"initiative is \1"),
        (r"its initiative has as many agents at work as it may, ", r"initiative is full: "),
        (r"the lease of (\S+) ran out", r"lease ran out: \1"),
        (r"blocked after (\d+ failed tr\w+)", r"blocked, \1"),
    )
]
"""How sentences of views begin that are too long for a box, and what is said instead."""

KEPT = 8192
"""So many boxes are kept."""


class _Hint(NamedTuple):
    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]


class _Box(NamedTuple):
    element_id: str
    id: str
    at: Point
    lane: views.Lane
    classes: str
    mark: Mark
    name: str
    why: str
    title: str
    href: str | None
    hint: _Hint | None


@lru_cache(maxsize=KEPT)
def box_of(
    task: views.TaskNode, at: Point, sizes: Sizes, right: int, href: str | None, circle: bool
) -> Part:
    """Return the box of a task as SVG; `right` is the right side of the drawing.

    `circle` says that it is one of those that wait for each other around a circle.
    """
    name, why = safe(task.name), safe(_why(task, circle=circle))
    room = sizes.box_width - TEXT - 7
    size = 12 if sizes is DENSE else 13
    short, short_why = clipped(name, size, room), clipped(_briefly(why), 11, room)
    is_told = (short, short_why) == (name, why) and not (why and sizes is DENSE)
    element_id = f"drawn-task-{safe(task.id)}"
    box = _Box(
        element_id=element_id,
        id=safe(task.id),
        at=at,
        lane=task.lane,
        classes=" is-critical" * task.is_critical,
        mark=MARKS[task.lane],
        name=short,
        why="" if sizes is DENSE else short_why,
        title=_title(task, name, why),
        href=href,
        hint=None if is_told else _hint(at, right, [name, why] if why else [name]),
    )
    rendered = TEMPLATES.get_template("box.svg").render(each=box, sizes=sizes, text=TEXT)
    return Part(element_id, rendered)


def _why(task: views.TaskNode, *, circle: bool) -> str:
    """Return the second line of a box: who is at it, or why nobody is."""
    if circle:
        return "one of a circle: none can begin"
    return task.why or task.agent_name or ""


def _briefly(why: str) -> str:
    """Return what a view says in fewer words, as far as it begins as they do."""
    for pattern, words in SHORTER:
        found = pattern.match(why)
        if found is not None:
            return found.expand(words).replace("_", " ") + why[found.end() :]
    return why


def _title(task: views.TaskNode, name: str, why: str) -> str:
    agent = "" if task.agent_name is None else f" · {safe(task.agent_name)}"
    path = "on the critical path" if task.is_critical else ""
    lines = (name, f"{WORDS[task.lane]}{agent}", why, path)
    return "\n".join(line for line in lines if line)


def _hint(at: Point, right: int, texts: Iterable[str]) -> _Hint:
    """Return what is shown above a box while somebody looks at it, in its whole length."""
    lines = tuple(clipped(text, 12, 460) for text in texts)
    width = round(max(width_of(line, 12) for line in lines) + 20)
    height = 18 * len(lines) + 8
    return _Hint(min(0, right - at.x - width), -height - 4, width, height, lines)
