"""What a person sees on a terminal: tables as wide as it is, colours where they say something."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text as RichText

from cw_store.cli.blocks import Block, Facts, Table, Text
from cw_store.cli.cells import brief
from cw_store.cli.safe import lines_of, safe

WHOLE = frozenset({"id", "command", "email", "account"})
"""Columns of which nothing is left out, since it is to be typed again."""

FOLDED = frozenset({"command", "what", "why", "excerpt"})
"""Columns that take several lines rather than room from others."""

KEPT = WHOLE - FOLDED
"""Those that keep their width."""

SHORT = 11
"""A column that is no wider is made narrower after all others are as narrow as that."""

SHORTEST = 5
"""The width of what is left of a column."""

GAP = 2
"""Spaces between two columns."""

PADDING = (0, GAP, 0, 0)

STYLES = {
    "completed": "green",
    "done": "green",
    "merged": "green",
    "accepted": "green",
    "answered": "green",
    "ready": "green",
    "in_progress": "yellow",
    "running": "yellow",
    "active": "yellow",
    "waiting_for_input": "bold magenta",
    "pending_review": "bold magenta",
    "needs_you": "bold magenta",
    "blocked": "bold red",
    "crashed": "bold red",
    "conflict": "bold red",
    "waiting": "dim",
    "stopped": "dim",
    "archived": "dim",
    "dismissed": "dim",
}
"""The colour of a word that says how something is."""

Drawn = RichTable | RichText | Padding


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to whoever runs the command: Rich would end the process."""
        raise BrokenPipeError


def console_on(stream: TextIO, colour: Literal["auto", "always", "never"]) -> Console:
    """Return what draws there: as wide as the terminal, no markup, colour as was asked for."""
    return _Console(
        file=stream,
        force_terminal=True if colour == "always" else None,
        color_system=None if _is_plain(colour) else "auto",
        no_color=False,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
    )


def _is_plain(colour: str) -> bool:
    return colour == "never" or (colour == "auto" and bool(os.environ.get("NO_COLOR")))


def drawn(blocks: Iterable[Block], now: datetime, width: int) -> Iterator[Drawn]:
    """Give what Rich prints for blocks, `width` columns wide.

    Nothing of what is stored is taken for markup.
    """
    for number, block in enumerate(blocks):
        if number:
            yield RichText("")
        if block.title is not None:
            yield RichText(safe(block.title), style="bold")
        match block:
            case Table():
                yield _table(block, now, width)
            case Facts():
                yield _facts(block, now)
            case Text():
                yield _text(block)


def cell(value: object, now: datetime) -> RichText:
    """Return one value, with the colour of its word."""
    text = brief(value, now)
    return RichText(text, style=STYLES.get(text, "") if isinstance(value, str) else "")


def _table(block: Table, now: datetime, width: int) -> RichTable | RichText:
    if not block.rows:
        return RichText(block.nothing, style="dim")
    table = RichTable(box=None, padding=PADDING, pad_edge=False, header_style="bold")
    widths = _widths(block, now, width - GAP * len(block.columns))
    for position, name in enumerate(block.columns):
        is_number = all(_is_number(row[position]) for row in block.rows)
        table.add_column(
            RichText(name.replace("_", " ")),
            justify="right" if is_number else "left",
            no_wrap=name not in FOLDED,
            overflow="fold" if name in WHOLE | FOLDED else "ellipsis",
            width=widths[position],
        )
    for row in block.rows:
        table.add_row(*(cell(value, now) for value in row))
    return table


def _widths(block: Table, now: datetime, width: int) -> list[int]:
    """Return how wide the columns are: as wide as what is in them, or the widest ones less.

    What is to be typed again keeps its width, even on a terminal that is too narrow for it.
    """
    widths = [
        max(cell_len(name), *(cell_len(brief(row[position], now)) for row in block.rows))
        for position, name in enumerate(block.columns)
    ]
    for least in (SHORT, SHORTEST):
        _narrow(widths, width, [0 if name in KEPT else least for name in block.columns])
    return widths


def _narrow(widths: list[int], width: int, least: list[int]) -> None:
    """Take from the widest columns until all fit; 0 says of a column that nothing is taken."""
    while sum(widths) > width:
        spare = [at for at, low in enumerate(least) if low and widths[at] > low]
        if not spare:
            return
        widths[max(spare, key=widths.__getitem__)] -= 1


def _facts(block: Facts, now: datetime) -> RichTable:
    table = RichTable(box=None, padding=PADDING, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in block.values.items():
        table.add_row(RichText(safe(name).replace("_", " ")), _fact(value, now))
    return table


def _fact(value: object, now: datetime) -> RichText:
    if isinstance(value, str) and "\n" in value:
        return RichText("\n".join(map(safe, lines_of(value))))
    return cell(value, now)


def _text(block: Text) -> RichText | Padding:
    text = RichText("\n".join(map(safe, block.lines)), overflow="fold")
    return text if block.title is None else Padding(text, (0, 0, 0, 2))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
