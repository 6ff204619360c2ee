"""What each cell of the source becomes: by the type of the store's column, and said if changed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Column, Table

from cw_store.original.enumerations import Enumerations
from cw_store.original.findings import Draft, Findings
from cw_store.original.ids import too_long
from cw_store.original.shape import LOGS, SourceValue, columns_of_original
from cw_store.original.texts import REASONS, Read, json_of, text_of
from cw_store.original.times import microseconds
from cw_store.types import (
    Cell,
    Encrypted,
    Flag,
    Id,
    Json,
    OneOf,
    PlainText,
    UtcDateTime,
    ValueRules,
    WholeNumber,
)

ORDERS = frozenset(("order", "sort_order"))

_FIRST = {"session_number": 1, "line_number": 1}
_TRUE = frozenset((b"true", b"t", b"yes", b"y", b"on", b"1"))
_FALSE = frozenset((b"false", b"f", b"no", b"n", b"off", b"0", b""))

NULL_REASON = "nothing was there; it is the default"


Reader = Callable[[Draft], None]


class Cells:
    """Fills rows with what their cells become, except ids and references.

    Rows of a table come in the order of storing: a time that is none is taken from the row before.
    """

    def __init__(self, findings: Findings, enumerations: Enumerations, rules: ValueRules) -> None:
        self._findings = findings
        self._enumerations = enumerations
        self._rules = rules
        self._now = time.time_ns() // 1000
        self._last_created: dict[str, int] = {}
        self._readers: dict[str, list[Reader]] = {}
        self.disordered: dict[tuple[str, str], list[Draft]] = {}
        """By table and column, the rows whose place among their siblings is no integer."""

    def fill(self, draft: Draft) -> None:
        """Read every cell of the row; it may be left out by that."""
        table = draft.table
        readers = self._readers.get(table.name)
        if readers is None:
            readers = self._readers[table.name] = self._readers_of(table)
        for read in readers:
            read(draft)
            if draft.is_left_out:
                return

    def _readers_of(self, table: Table) -> list[Reader]:
        """Return what reads the cells of a table's rows: one for each column, times at the end."""
        columns = [table.c[name] for name in columns_of_original(table)]
        readers = [reader for column in columns if (reader := self._reader_of(column)) is not None]
        return [*readers, self._read_created] if "created_at" in table.columns else readers

    def _reader_of(self, column: Column[Any]) -> Reader | None:
        name = column.name
        match column.type:
            case Id():
                return None  # its own id, and references
            case OneOf():
                return partial(self._read_enumeration, name=name)
            case Encrypted():
                return partial(self._read_secret, name=name)
            case PlainText():
                return partial(self._read_text, name=name, column=column)
            case Json():
                return partial(self._read_json, name=name)
            case Flag():
                return partial(self._read_flag, name=name)
            case WholeNumber():
                return partial(self._read_number, name=name, column=column)
            case UtcDateTime() if column.nullable:
                return partial(self._read_time, name=name)
            case _:
                return None  # created_at and updated_at, which need each other

    def _read_enumeration(self, draft: Draft, name: str) -> None:
        value, code, reason = self._enumerations.choose(draft, name)
        if value is None:
            reason = "an unknown value, and none that could stand for it"
            self._findings.leave_out(draft, code, reason, name, draft.get(name))
            return
        draft.values[name] = value
        if code and name in draft.source.places:
            self._findings.repair(draft, code, reason, name, draft.get(name), value)

    def _read_text(self, draft: Draft, name: str, column: Column[Any]) -> None:
        read = text_of(draft.get(name))
        if read.value is None and not column.nullable:
            self._set_default(draft, name, _default(column, draft))
            return
        most = min(getattr(column.type, "max_bytes"), self._rules.max_text_bytes)  # noqa: B009 -- of PlainText
        if (draft.table.name, name) == (LOGS, "content"):
            most = len(read.value or "") * 4  # it is split
        self._set_text(draft, name, read, most)

    def _read_secret(self, draft: Draft, name: str) -> None:
        self._set_text(draft, name, text_of(draft.get(name)), self._rules.max_text_bytes)
        text = draft.values[name]
        if text is not None:
            cell = Cell(draft.table.name, name, draft.values["id"])
            draft.values[name] = self._rules.encrypt(text, cell)

    def _read_json(self, draft: Draft, name: str) -> None:
        self._set_text(draft, name, json_of(draft.get(name)), self._rules.max_text_bytes)

    def _set_text(self, draft: Draft, name: str, read: Read, most: int) -> None:
        if read.value is not None and len(read.value) * 4 > most:
            size = len(read.value.encode())
            if size > most:
                raise too_long(draft.table.name, name, draft.id, size, most)
        draft.values[name] = read.value
        for code in read.codes:
            self._findings.repair(draft, code, REASONS[code], name, draft.get(name), read.value)

    def _set_default(self, draft: Draft, name: str, value: Any) -> None:
        """Store the default; of a column that the source lacks, that is said once."""
        draft.values[name] = value
        if name in draft.source.places:
            self._findings.repair(draft, "null", NULL_REASON, name, draft.get(name), value)

    def _read_flag(self, draft: Draft, name: str) -> None:
        raw = draft.get(name)
        if raw is None:
            self._set_default(draft, name, 0)
            return
        text = raw.strip().lower() if isinstance(raw, bytes) else None
        if text is not None:
            value = 1 if text in _TRUE else 0
            reason = "text where true or false is kept"
            if text not in _TRUE | _FALSE:
                reason = "neither true nor false; it is the default"
        else:
            value, reason = int(raw != 0), "neither 0 nor 1"
        draft.values[name] = value
        if raw not in (0, 1):
            self._findings.repair(draft, "flag", reason, name, raw, value)

    def _read_number(self, draft: Draft, name: str, column: Column[Any]) -> None:
        raw = draft.get(name)
        if raw is None and (column.nullable or name not in ORDERS):
            if column.nullable:
                draft.values[name] = None
            else:
                self._set_default(draft, name, _default(column, draft))
            return
        number = 0 if raw is None else _integer(raw)
        if number is None:
            self._read_misfit(draft, name, column)
            return
        draft.values[name] = number
        if raw is None:
            self._set_default(draft, name, number)
        elif isinstance(raw, bytes):
            reason = "text where an integer is kept"
            self._findings.repair(draft, "number_text", reason, name, raw, number)

    def _read_misfit(self, draft: Draft, name: str, column: Column[Any]) -> None:
        """Read what is no integer of 32 bits."""
        if name in ORDERS:
            draft.values[name] = 0
            self.disordered.setdefault((draft.table.name, name), []).append(draft)
            return
        value = None if column.nullable else _default(column, draft)
        draft.values[name] = value
        reason = "no integer of 32 bits; it is nothing now" if value is None else "no such integer"
        self._findings.repair(draft, "number", reason, name, draft.get(name), value)

    def _read_time(self, draft: Draft, name: str) -> None:
        raw = draft.get(name)
        value = draft.values[name] = microseconds(raw)
        if value == 0:
            draft.values[name] = None
            self._findings.repair(draft, "time_zero", "0 is no time", name, raw, None)
        elif value is None:
            if raw is not None:
                self._findings.repair(draft, "time", "no time that can be kept", name, raw, None)
        else:
            self._note_text_time(draft, name)

    def _read_created(self, draft: Draft) -> None:
        """Read when the row was created and updated, one from the other where one is none."""
        table = draft.table.name
        has_update = "updated_at" in draft.table.columns
        created = microseconds(draft.get("created_at"))
        updated = microseconds(draft.get("updated_at")) if has_update else None
        first = created
        if first is None:
            first = updated if updated is not None else self._last_created.get(table, self._now)
        last = updated if updated is not None else first
        self._last_created[table] = draft.values["created_at"] = first
        self._say_time(draft, "created_at", created, first)
        if has_update:
            draft.values["updated_at"] = last
            self._say_time(draft, "updated_at", updated, last)

    def _say_time(self, draft: Draft, name: str, read: int | None, value: int) -> None:
        if name not in draft.source.places:
            return
        if read is None:
            reason = "no time that can be kept; it is that of its neighbour"
            self._findings.repair(draft, "time", reason, name, draft.get(name), shown_time(value))
        else:
            self._note_text_time(draft, name)

    def _note_text_time(self, draft: Draft, name: str) -> None:
        raw = draft.get(name)
        if isinstance(raw, bytes):
            value = shown_time(draft.values[name])
            self._findings.repair(draft, "time_text", "text where a time is kept", name, raw, value)


def shown_time(value: int) -> str:
    """Show microseconds since 1970 as they are stored."""
    return f"{value} µs"


def _integer(raw: int | float | bytes) -> int | None:
    """Return an integer of 32 bits, None for what is none."""
    number = number_of(raw)
    if number is None or not number.is_integer() or not -(1 << 31) <= number < 1 << 31:
        return None
    return int(number)


def number_of(raw: SourceValue) -> float | None:
    """Return a number as a float, None for what is none."""
    try:
        number = float(raw) if raw is not None else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _default(column: Column[Any], draft: Draft) -> Any:
    """Return what the store has where nothing is said, or what comes nearest to that."""
    if column.default is not None:
        value = getattr(column.default, "arg")  # noqa: B009 -- of one kind of default alone
        return int(value) if isinstance(column.type, WholeNumber) else value
    if isinstance(column.type, WholeNumber):
        return _FIRST.get(column.name, 0)
    is_unique = draft.table.name in ("agents", "projects") and column.name in ("name", "url")
    return draft.values["id"] if is_unique else ""
