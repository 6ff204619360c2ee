"""What a command shows is made of: tables, facts, texts; how they look is decided elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from cw_store.safe_text import lines_of

Cell: TypeAlias = object
"""A value as the store has it: text, a number, a time, a length of time, a list, nothing."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under the names of columns; without rows `nothing` is said where a person looks."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    title: str | None = None
    nothing: str = "nothing"

    def records(self) -> list[dict[str, Cell]]:
        """Return the rows with each value under its column's name."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values of one thing."""

    values: Mapping[str, Cell]
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """Lines of text; what in one of them is an end of a line is shown as such.

    `command` is what to type about it, which stands below and is never broken into lines.
    """

    lines: Sequence[str]
    title: str | None = None
    command: str | None = None

    @classmethod
    def of(cls, text: str, *, title: str | None = None) -> Text:
        """Return a text that is shown in lines as it has them."""
        return cls(lines_of(text), title)


Block: TypeAlias = Table | Facts | Text
