"""How the help of one command is written: in the columns of that of all."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cw_store.cli.examples import EXAMPLES

if TYPE_CHECKING:  # every command loads this file
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

WIDEST = 100
"""Characters of a line, however wide the terminal is."""

WIDEST_LABEL = 22
"""Characters of an option beside which there is room for what it means; else that stands below."""

VALUES = {"STR": "TEXT", "INT": "N", "CHOICE": "WHICH"}
"""What stands for a value of which no parameter says what it is."""


OPTIONAL_WORDS = {
    **dict.fromkeys(("ready", "inbox", "graph", "watch"), "[INITIATIVE]"),
    "retry": "[TASK…]",
    "sql": "[QUERY]",
}
"""The word that a command takes and does not need, which cyclopts calls [ARGS]."""


class CommandHelp:
    """Writes usage, description, examples and options, one after the other."""

    def __init__(self, command: str | None) -> None:
        self._examples = EXAMPLES.get(command or "", ())
        self._optional = OPTIONAL_WORDS.get(command or "", "")

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        """Write how it is typed."""
        words = re.sub(r"\[ARGS(\.\.\.)?\]", self._optional, _named(str(usage).strip()))
        _write(console, _wrapped(f"Usage: {words}", console, "  "))

    def render_description(
        self, console: Console, options: ConsoleOptions, description: Any
    ) -> None:
        """Write what it does, and some of what one would type."""
        _write(console, ["", *_plain(description, console)])
        if self._examples:
            _write(console, ["", "Examples:", *(f"  {one}" for one in self._examples)])

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Write what it takes."""
        rows = [(_label(entry), _meaning(entry, console)) for entry in panel.entries]
        if rows:
            title = "Options" if panel.title == "Parameters" else panel.title
            _write(console, ["", f"{title}:", *_columns(rows, console)])


def _label(entry: HelpEntry) -> str:
    return _named(", ".join(entry.display_labels_with_metavar))


def _named(text: str) -> str:
    return re.sub(r"(?<= )(STR|INT|CHOICE)\b", lambda found: VALUES[found[0]], text)


def _meaning(entry: HelpEntry, console: Console) -> str:
    meaning = " ".join(_plain(entry.description, console))
    if entry.choices:
        meaning += f" One of {', '.join(entry.choices)}."
    if entry.default is not None:
        meaning += f" (default: {entry.default})"
    return meaning


def _plain(text: Any, console: Console) -> list[str]:
    """Return the lines of what cyclopts made of a docstring, without what only pads them."""
    lines = console.render_lines(text, console.options.update(width=_width(console)), pad=False)
    written = ["".join(segment.text for segment in line).rstrip() for line in lines]
    return "\n".join(written).strip("\n").split("\n")


def _columns(rows: Sequence[tuple[str, str]], console: Console) -> Iterator[str]:
    width = max((len(label) for label, _ in rows if len(label) <= WIDEST_LABEL), default=0)
    for label, meaning in rows:
        begin = f"  {label:{width}}  "
        if len(label) > width:
            yield f"  {label}"
            begin = " " * (width + 4)
        yield from _wrapped(begin + meaning, console, " " * (width + 4))


def _wrapped(text: str, console: Console, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        _width(console),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )


def _width(console: Console) -> int:
    return min(console.width, WIDEST)


def _write(console: Console, lines: Iterable[str]) -> None:
    """Write the lines as they are: an example may be longer than the terminal is wide."""
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
