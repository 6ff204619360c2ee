"""What an import tells: every table, every finding, as values, as JSON and as a page of text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

ValueMap = Mapping[str, Mapping[str, str]]
"""For a column, as `table.column`: which of the source's values becomes which of the store's."""

FindingLevel = Literal["note", "repair", "left_out"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that an import found in the source.

    `level` says what it means: a note changes nothing that was there, a repair stored another
    value than the source has, and what is left out is in the file of rows that were left out.
    `code` is the kind of finding, for programs, and `reason` says it for people. `table` and
    `column` are the store's names, or the source's where the store has none of it; `id` is the
    row's as it is stored. `old` and `new` are the values, cut at 80 characters, never those of
    `config_json` and `credentials`. `count` is how many there are of it, 1 but for what is said
    once of a whole column or table, and for the rest of what is found in very many rows.
    """

    level: FindingLevel
    code: str
    reason: str
    table: str | None = None
    id: str | None = None
    column: str | None = None
    old: str | None = None
    new: str | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class ImportedTable:
    """One table of an import.

    `read` are the source's rows and `written` those that the store has of them: `read + added`
    is `written + left_out + known`. `repaired` are rows that were written with another value than
    the source has. `added` are those that long log chunks were split into, beyond the first.
    `known` are log chunks that the store had already. `digest` is the SHA-256, in hexadecimal, of
    what was written, which was found equal in the store before the commit; it is empty where logs
    were brought over by themselves.
    """

    name: str
    read: int
    written: int
    repaired: int = 0
    left_out: int = 0
    added: int = 0
    known: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class OriginalMigrations:
    """The migrations that the source says it has: how many, and when the newest was made."""

    count: int
    newest: datetime | None


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What `import_original` did, or with `dry_run` would do.

    `tables` has all tables of the store that the source could have filled, parents first;
    `findings` are in the order in which they were found. `source_sha256` is of the file alone and
    `log_sha256` of its -wal, None where there is none or an empty one. `left_out_file` has the rows
    that were left out, whole, one JSON object a line; None when there are none, or in a dry run.
    """

    source: str
    target: str
    source_sha256: str
    log_sha256: str | None
    migrations: OriginalMigrations | None
    tables: tuple[ImportedTable, ...]
    findings: tuple[Finding, ...]
    left_out_file: str | None
    dry_run: bool
    seconds: float

    @property
    def read(self) -> int:
        """How many rows of the source were read."""
        return sum(table.read for table in self.tables)

    @property
    def written(self) -> int:
        """How many rows were written."""
        return sum(table.written for table in self.tables)

    @property
    def repaired(self) -> int:
        """How many rows were written with another value than the source has."""
        return sum(table.repaired for table in self.tables)

    @property
    def left_out(self) -> int:
        """How many rows were left out."""
        return sum(table.left_out for table in self.tables)

    def as_json(self) -> dict[str, Any]:
        """Return the report as values that JSON has; times are ISO 8601 in UTC."""
        values = asdict(self)
        if self.migrations is not None and self.migrations.newest is not None:
            values["migrations"]["newest"] = self.migrations.newest.isoformat()
        totals = {name: getattr(self, name) for name in ("read", "written", "repaired", "left_out")}
        return json.loads(json.dumps({**values, "totals": totals}))

    def __str__(self) -> str:
        """Return the report as a page of text, in which no stored text does harm."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        verb = "would be written" if self.dry_run else "written"
        yield f"{_plain(self.source)} → {_plain(self.target)}"
        yield f"SHA-256 {self.source_sha256}"
        if self.log_sha256 is not None:
            yield f"    and {self.log_sha256} of its -wal"
        if self.migrations is not None:
            newest = self.migrations.newest
            of = "" if newest is None else f", the newest of {newest:%Y-%m-%d %H:%M} UTC"
            yield f"{self.migrations.count} migrations{of}"
        yield ""
        yield from self._table_lines()
        yield ""
        yield (
            f"{self.read} rows read, {self.written} {verb}, {self.repaired} repaired, "
            f"{self.left_out} left out"
        )
        for level, title in _TITLES.items():
            found = [finding for finding in self.findings if finding.level == level]
            if found:
                yield ""
                yield title
                yield from _finding_lines(found)
        if self.left_out_file is not None:
            yield ""
            yield f"The rows that were left out are in {_plain(self.left_out_file)}"

    def _table_lines(self) -> Iterator[str]:
        width = max((len(table.name) for table in self.tables), default=5)
        columns = ("read", "written", "repaired", "left out")
        yield " ".join(("table".ljust(width), *(name.rjust(9) for name in columns)))
        for table in self.tables:
            numbers = (table.read, table.written, table.repaired, table.left_out)
            yield " ".join((table.name.ljust(width), *(str(one).rjust(9) for one in numbers)))


LINES_OF_A_KIND = 10
"""How many findings of one kind in one column the page of text has; the others are in the JSON."""

_TITLES = {"left_out": "Left out", "repair": "Repaired", "note": "Worth knowing"}


def _finding_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Give a line for each finding, and of many of a kind for the first ones and a number."""
    numbers: Counter[tuple[str, str | None, str | None]] = Counter()
    for finding in findings:
        kind = (finding.code, finding.table, finding.column)
        numbers[kind] += 1
        if numbers[kind] <= LINES_OF_A_KIND:
            yield _finding_line(finding)
    for (code, table, column), number in numbers.items():
        if number > LINES_OF_A_KIND:
            place = ".".join(filter(None, (table, column)))
            yield f"  and {number - LINES_OF_A_KIND} more of {_plain(place)}: {code}"


def _finding_line(finding: Finding) -> str:
    named = [finding.table or "", f".{finding.column}" if finding.column else ""]
    place = _plain("".join(named) + (f" {finding.id}" if finding.id is not None else ""))
    change = ""
    if finding.old is not None or finding.new is not None:
        change = f" ({_plain(finding.old or 'nothing')} → {_plain(finding.new or 'nothing')})"
    times = "" if finding.count == 1 else f" [{finding.count}]"
    start = f"  {place}: " if place else "  "
    return f"{start}{_plain(finding.reason)}{change}{times}"


def _plain(text: str) -> str:
    """Show what a terminal would obey, or not show, as an escape sequence of Python's."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
