"""An export as it is in a file: JSON Lines, one for each row.

The first line says what it is, the last what it holds, and the digest of all lines before:

    {"format": 1, "schema": "0004", "secrets": false}
    {"table": "initiatives", "row": {"id": "…", "name": "…", …}}
    {"tables": {"initiatives": {"rows": 1, "digest": "…"}, …}, "sha256": "…"}

Tables come in one order, parents first, and rows in that of storing. A time is text in ISO 8601, a
flag true or false, a JSON value itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, cast

from sqlalchemy import Column, Table
from sqlalchemy.dialects.sqlite import pysqlite

from cw_store.errors import StoreError
from cw_store.schema import record_columns
from cw_store.statements.reading import Row
from cw_store.types import Encrypted, Flag, Json, Refused, UtcDateTime, timestamp_of

FORMAT = 1

_dialect = pysqlite.dialect()
"""Its types keep what a copy moves: times as microseconds, JSON as text."""

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class ExportedTable(NamedTuple):
    """One table of an export: how many rows it has, and their digest.

    The digest is the SHA-256, in hexadecimal, of the table as a JSON array of its rows in the
    order of storing; each row is an array of its values as they are stored on SQLite.
    """

    name: str
    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export holds, as its last line says it too, and how long it took.

    `sha256` is that of all lines before the last one, `bytes` the length of the whole.
    `has_secrets` says whether credentials are in it, and accounts' `config_json`.
    """

    tables: tuple[ExportedTable, ...]
    has_secrets: bool
    sha256: str
    bytes: int
    seconds: float

    @property
    def rows(self) -> int:
        """How many rows all tables have together."""
        return sum(table.rows for table in self.tables)


def head_line(revision: str, *, has_secrets: bool) -> bytes:
    """Return the first line."""
    return line_of({"format": FORMAT, "schema": revision, "secrets": has_secrets})


def tail_line(tables: Iterable[ExportedTable], sha256: str) -> bytes:
    """Return the last line."""
    held = {table.name: {"rows": table.rows, "digest": table.digest} for table in tables}
    return line_of({"tables": held, "sha256": sha256})


def line_of(value: object) -> bytes:
    """Return a value as one line."""
    return _encode(value).encode() + b"\n"


class RowFormat:
    """How the rows of a table become lines, and lines rows."""

    def __init__(self, table: Table) -> None:
        self.table = table.name
        columns = record_columns(table)
        self._names = [column.name for column in columns]
        self._writers = [
            (index, writer)
            for index, column in enumerate(columns)
            if (writer := _writer(column)) is not None
        ]
        self._readers = [_reader(column) for column in columns]
        self._secrets = [
            index for index, column in enumerate(columns) if isinstance(column.type, Encrypted)
        ]
        self._beginning = f'{{"table":{_encode(self.table)},"row":'.encode()

    def without_secrets(self, batch: list[Row]) -> list[Row]:
        """Return the rows with nothing where a secret is."""
        if not self._secrets:
            return batch
        return [self._without_secrets(row) for row in batch]

    def _without_secrets(self, row: Row) -> Row:
        values = list(row)
        for index in self._secrets:
            values[index] = None
        return tuple(values)

    def lines(self, batch: list[Row]) -> bytes:
        """Return the rows as lines; raises StoreError for a value that the store cannot read."""
        try:
            return b"".join(map(self._line, batch))
        except (TypeError, ValueError, OverflowError) as error:
            raise StoreError(
                f"{self.table} cannot be exported: it holds a value that the store cannot read"
            ) from error

    def _line(self, row: Row) -> bytes:
        values = list(row)
        for index, write in self._writers:
            if values[index] is not None:
                values[index] = write(values[index])
        named = dict(zip(self._names, values, strict=True))
        return self._beginning + _encode(named).encode() + b"}\n"

    def row(self, values: object) -> Row:
        """Return the row that was parsed from a line; raises Refused for what it cannot be."""
        if not isinstance(values, dict) or [*cast(dict[str, Any], values)] != self._names:
            raise Refused(f"is no row of {self.table}: it takes {', '.join(self._names)}")
        found = cast(dict[str, Any], values)
        return tuple(
            self._read(name, read, value)
            for (name, value), read in zip(found.items(), self._readers, strict=True)
        )

    def _read(self, name: str, read: Callable[[Any], Any], value: Any) -> Any:
        try:
            return read(value)
        except Refused as refused:
            raise Refused(f"holds what {self.table}.{name} cannot be: it {refused}") from None


def _writer(column: Column[Any]) -> Callable[[Any], Any] | None:
    """Return what makes JSON of a value as it is stored; None where it is that already."""
    match column.type:
        case UtcDateTime():
            return lambda microseconds: timestamp_of(microseconds).isoformat()
        case Flag():
            return bool
        case Json():
            return json.loads
        case _:
            return None


def _reader(column: Column[Any]) -> Callable[[Any], Any]:
    """Return what makes of JSON a value as it is stored; it raises Refused."""
    check = column.type.bind_processor(_dialect)
    assert check is not None
    parse = _parser(column)

    def read(value: Any) -> Any:
        if value is None:
            if not column.nullable:
                raise Refused("must not be null")
            return None
        return check(parse(value))

    return (lambda value: int(read(value))) if isinstance(column.type, Flag) else read


def _parser(column: Column[Any]) -> Callable[[Any], Any]:
    def time(value: Any) -> datetime:
        try:
            return datetime.fromisoformat(value)
        except (TypeError, ValueError):
            raise Refused("takes a time in ISO 8601") from None

    def as_it_is(value: Any) -> Any:
        return value

    return time if isinstance(column.type, UtcDateTime) else as_it_is
