"""What a command shows is made of: tables, facts, texts; how they look is decided elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

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
    """Text of any number of lines, as it is stored or made."""

    text: str
    title: str | None = None


Block: TypeAlias = Table | Facts | Text
