"""What an import finds, kept for its report: every kind of finding is made here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Table

from cw_store.inspection import plain_name
from cw_store.original.report import Finding, FindingLevel
from cw_store.original.shape import SourceTable, SourceValue

MOST_OF_A_KIND = 1_000
"""How many findings of one kind in one column are told one by one; the rest is counted."""

MOST_CHARACTERS = 80
"""How much of a value a finding shows."""

SECRETS = frozenset(("config_json", "credentials"))
"""The columns whose values no finding shows, and no file of rows that were left out."""

_HIDDEN = "(not shown)"


@dataclass(slots=True, eq=False)
class Draft:
    """A row of the source on its way into the store.

    `number` is its place in the order of storing, `raw` what the source has, `values` what is to be
    stored so far, by the store's columns.
    """

    source: SourceTable
    number: int
    raw: tuple[SourceValue, ...]
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    is_repaired: bool = False
    is_left_out: bool = False

    @property
    def table(self) -> Table:
        """The store's table that the row is for."""
        return self.source.table

    @property
    def id(self) -> str | None:
        """The row's id as it is stored; of an edge, both ends as the source has them."""
        if "id" in self.table.columns:
            return self.values.get("id")
        ends = [self.get(name) for name in self.table.primary_key.columns.keys()]
        return " → ".join(cut(end) or "" for end in ends)

    def get(self, column: str) -> SourceValue:
        """Return what the source has in a column of the store's; None where it has no such."""
        place = self.source.places.get(column)
        return None if place is None else self.raw[place]

    def is_secret(self, name: str) -> bool:
        """Whether a column, by the source's name, is one whose values are not shown."""
        return self.table.name == "accounts" and plain_name(name) in map(plain_name, SECRETS)

    def whole(self) -> dict[str, SourceValue]:
        """Return all that the source has in the row, by its own names."""
        return dict(zip(self.source.names, self.raw, strict=True))


class Findings:
    """The findings of one import, in the order in which they were made."""

    def __init__(self) -> None:
        self._kept: list[Finding] = []
        self._numbers: Counter[Finding] = Counter()
        self.left_out: list[tuple[Draft, str, str]] = []
        """The rows that are not stored, each with the code and the reason."""
        self.has_repairs = False

    def __iter__(self) -> Iterator[Finding]:
        """Give all findings; what was too much of a kind comes at the end, as a number."""
        yield from self._kept
        for kind, number in self._numbers.items():
            if number > MOST_OF_A_KIND:
                yield replace(kind, count=number - MOST_OF_A_KIND)

    def note(
        self,
        code: str,
        reason: str,
        *,
        table: str | None = None,
        id: str | None = None,
        column: str | None = None,
        count: int = 1,
    ) -> None:
        """Tell what changes nothing that the source has."""
        self._add(Finding("note", code, reason, table, id, column, count=count))

    def changed(
        self, draft: Draft, code: str, reason: str, column: str, old: Any, new: Any
    ) -> None:
        """Tell what follows from the move itself, and is no repair."""
        self._add(_finding("note", draft, code, reason, column, old, new))

    def repair(self, draft: Draft, code: str, reason: str, column: str, old: Any, new: Any) -> None:
        """Tell that another value is stored than the source has."""
        draft.is_repaired = self.has_repairs = True
        self._add(_finding("repair", draft, code, reason, column, old, new))

    def leave_out(
        self, draft: Draft, code: str, reason: str, column: str | None = None, old: Any = None
    ) -> None:
        """Tell that a row is not stored."""
        draft.is_left_out = self.has_repairs = True
        self.left_out.append((draft, code, reason))
        self._add(_finding("left_out", draft, code, reason, column, old, None))

    def _add(self, finding: Finding) -> None:
        kind = replace(finding, id=None, old=None, new=None, count=1)
        self._numbers[kind] += 1
        if self._numbers[kind] <= MOST_OF_A_KIND:
            self._kept.append(finding)


def _finding(
    level: FindingLevel,
    draft: Draft,
    code: str,
    reason: str,
    column: str | None,
    old: Any,
    new: Any,
) -> Finding:
    if column in SECRETS:
        old, new = (None if value is None else _HIDDEN for value in (old, new))
    name = draft.table.name
    return Finding(level, code, reason, name, draft.id, column, cut(old), cut(new))


def cut(value: Any) -> str | None:
    """Return a value as text of 80 characters at most; None for no value."""
    if value is None:
        return None
    if isinstance(value, bytes):
        value = value[: MOST_CHARACTERS * 4].decode(errors="backslashreplace")
    text = str(value)
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
