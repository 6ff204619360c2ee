"""What a person sees on a terminal: tables as wide as it is, colours where they say something."""

from __future__ import annotations

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

WHOLE = frozenset({"id", "command", "email"})
"""Columns of which nothing is left out, since it is to be typed again."""

FOLDED = frozenset({"command"})
"""Those of them that take several lines rather than room from others."""

SHORT = 11
"""A column that is no wider keeps its width on a terminal that is too narrow for all."""

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
        no_color={"auto": None, "always": False, "never": True}[colour],
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
    )


def drawn(blocks: Iterable[Block], now: datetime) -> Iterator[Drawn]:
    """Give what Rich prints for blocks; nothing of what is stored is taken for markup."""
    for number, block in enumerate(blocks):
        if number:
            yield RichText("")
        if block.title is not None:
            yield RichText(safe(block.title), style="bold")
        match block:
            case Table():
                yield _table(block, now) if block.rows else RichText(block.nothing, style="dim")
            case Facts():
                yield _facts(block, now)
            case Text():
                yield _text(block)


def cell(value: object, now: datetime) -> RichText:
    """Return one value, with the colour of its word."""
    text = brief(value, now)
    return RichText(text, style=STYLES.get(text, "") if isinstance(value, str) else "")


def _table(block: Table, now: datetime) -> RichTable:
    table = RichTable(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for position, name in enumerate(block.columns):
        is_number = all(_is_number(row[position]) for row in block.rows)
        table.add_column(
            RichText(name.replace("_", " ")),
            justify="right" if is_number else "left",
            no_wrap=name not in FOLDED,
            overflow="fold" if name in WHOLE else "ellipsis",
            min_width=_least_width(block, position, now),
        )
    for row in block.rows:
        table.add_row(*(cell(value, now) for value in row))
    return table


def _facts(block: Facts, now: datetime) -> RichTable:
    table = RichTable(box=None, pad_edge=False, show_header=False)
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


def _least_width(block: Table, position: int, now: datetime) -> int:
    """Return how narrow a column may be: what is short or is typed again is not cut."""
    name = block.columns[position]
    widest = max(cell_len(brief(row[position], now)) for row in block.rows)
    width = max(widest, len(name))
    return width if width <= SHORT or (name in WHOLE and name not in FOLDED) else SHORT
