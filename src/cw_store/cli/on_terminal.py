"""What a person sees on a terminal: tables as wide as it is, colours where they say something."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Literal, TextIO, TypeVar

from rich.cells import cell_len
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text as RichText

from cw_store.cli.blocks import Block, Facts, Table, Text
from cw_store.cli.cells import brief
from cw_store.safe_text import lines_of, safe

KEPT = frozenset({"email", "status"})
"""Columns of which nothing is left out: they are to be typed again, or say how something is."""

NAME = 16
"""Of names so much is left at least, as long as there is room: they are what is typed next."""

COMMAND = "command"
"""The column of what is to be typed next; it is never broken, or it could not be pasted."""

FOLDED = frozenset({"what", "why", "excerpt"})
"""Columns that take several lines rather than room from others."""

ROOM = 30
"""So wide are columns that take several lines at least beside a command; else that is below."""

INDENT = 4
"""Spaces before a command that is below its row."""

SHORT = 11
"""A column that is no wider is made narrower after all others are as narrow as that."""

SHORTEST = 8
"""The width of what is left of a column; with less than that rows are shown line by line."""

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

Drawn = RichTable | RichText | Padding | Group

T = TypeVar("T")


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
                yield from _table(block, now, width)
            case Facts():
                yield _facts(block, now)
            case Text():
                yield _text(block)


def cell(value: object, now: datetime) -> RichText:
    """Return one value, with the colour of its word."""
    text = brief(value, now)
    return RichText(text, style=STYLES.get(text, "") if isinstance(value, str) else "")


def _table(block: Table, now: datetime, width: int) -> Iterator[Drawn]:
    if not block.rows:
        yield RichText(block.nothing, style="dim")
        return
    if COMMAND in block.columns and not _has_room(block, now, width):
        yield from _above_commands(block, now, width)
        return
    widths = _widths(block, now, width)
    if widths is None:
        yield from _line_by_line(block, now)
    else:
        yield _grid(block, now, widths)


def _grid(block: Table, now: datetime, widths: Sequence[int], *, has_header: bool = True) -> Drawn:
    table = RichTable(
        box=None, padding=PADDING, pad_edge=False, header_style="bold", show_header=has_header
    )
    for position, name in enumerate(block.columns):
        is_number = all(_is_number(row[position]) for row in block.rows)
        table.add_column(
            RichText(name.replace("_", " ")),
            justify="right" if is_number else "left",
            no_wrap=name not in FOLDED,
            overflow="fold" if name in FOLDED else "crop" if name == "id" else "ellipsis",
            width=widths[position],
        )
    for row in block.rows:
        table.add_row(*(cell(value, now) for value in row))
    return table


def _has_room(block: Table, now: datetime, width: int) -> bool:
    """Whether commands are as wide as they are and leave enough for the other columns."""
    least = [
        min(each, ROOM) if name in FOLDED else each
        for name, each in zip(block.columns, _natural(block, now), strict=True)
    ]
    return sum(least) + GAP * len(least) <= width


def _above_commands(block: Table, now: datetime, width: int) -> Iterator[Drawn]:
    """Give each row with its command on a line of its own, which the terminal breaks if it must.

    What the terminal breaks is copied as one line.
    """
    at = block.columns.index(COMMAND)
    columns = _without(block.columns, at)
    rows = [_without(row, at) for row in block.rows]
    widths = _widths(Table(columns, rows), now, width)
    for number, row in enumerate(rows):
        if widths is None:
            yield from _line_by_line(Table(columns, [row]), now)
        else:
            yield _grid(Table(columns, [row]), now, widths, has_header=number == 0)
        yield _unbroken(brief(block.rows[number][at], now))


def _unbroken(command: str, mark: str = "") -> Group:
    text = RichText(" " * INDENT + mark + command)
    text.no_wrap, text.overflow = True, "ignore"
    # Within a group it stays as it is; alone it would be broken in the middle.
    return Group(text)


def _without(row: Sequence[T], at: int) -> list[T]:
    return [*row[:at], *row[at + 1 :]]


def _line_by_line(block: Table, now: datetime) -> Iterator[Drawn]:
    """Give each row as names and values, for a terminal that is too narrow for all columns."""
    for number, row in enumerate(block.rows):
        if number:
            yield RichText("")
        yield _facts(Facts(dict(zip(block.columns, row, strict=True))), now)


def _widths(block: Table, now: datetime, width: int) -> list[int] | None:
    """Return how wide the columns are: as wide as what is in them, or the widest ones less.

    Where that is not enough ids are as long as it takes to tell them apart; the beginning of an id
    is enough to type. None where not all columns can be shown.
    """
    free = width - GAP * (len(block.columns) - 1)
    natural = _natural(block, now)
    for shortest, name_shortest, ids_are_whole in (
        (SHORT, NAME, True),
        (SHORT, NAME, False),
        (SHORTEST, NAME, False),
        (SHORTEST, SHORTEST, False),
    ):
        widths, least = natural.copy(), [shortest] * len(natural)
        for at, name in enumerate(block.columns):
            if name == "id" and not ids_are_whole:
                widths[at] = _shortest_prefix([brief(row[at], now) for row in block.rows])
            if name == "name":
                least[at] = min(widths[at], name_shortest)
            if name in KEPT or name in ("id", COMMAND):
                least[at] = widths[at]
        _narrow(widths, free, least)
        if sum(widths) <= free:
            return widths
    return None


def _natural(block: Table, now: datetime) -> list[int]:
    return [
        max(cell_len(name), *(cell_len(brief(row[position], now)) for row in block.rows))
        for position, name in enumerate(block.columns)
    ]


def _shortest_prefix(ids: Sequence[str]) -> int:
    """Return how many characters it takes to tell these ids apart."""
    different, longest = set(ids), max(map(len, ids))
    for length in range(SHORTEST, longest):
        if len({id[:length] for id in different}) == len(different):
            return length
    return longest


def _narrow(widths: list[int], width: int, least: Sequence[int]) -> None:
    """Take from the widest columns until all fit, or are as narrow as they may be."""
    while sum(widths) > width:
        spare = [at for at, low in enumerate(least) if widths[at] > low]
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


def _text(block: Text) -> RichText | Padding | Group:
    text = RichText("\n".join(map(safe, block.lines)), overflow="fold")
    if block.command is not None:
        return Group(text, _unbroken(safe(block.command), "→ "))
    return text if block.title is None else Padding(text, (0, 0, 0, 2))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
