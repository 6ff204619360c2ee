"""What both ways to read the feed share: the cursor, what a row tells, and which are wanted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Protocol, TypeAlias, TypeVar, cast

from sqlalchemy import bindparam, column, select, text
from sqlalchemy.types import TypeEngine

from cw_store.errors import InvalidValueError, StaleCursorError
from cw_store.schema import changes
from cw_store.statements.query import Query
from cw_store.types import Flag, Id, Ids, LargeNumber, PlainText, UtcDateTime

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which changes are wanted, all where nothing is said."""

    entities: tuple[str, ...] | None = None
    initiative_id: str | None = None

    @property
    def shape(self) -> Shape:
        """What is asked for, whatever its value."""
        return self.entities is not None, self.initiative_id is not None

    def values(self) -> dict[str, Any]:
        """Return the parameters."""
        given: dict[str, Any] = {}
        if self.entities is not None:
            given["entities"] = list(self.entities)
        if self.initiative_id is not None:
            given["initiative_id"] = self.initiative_id
        return given


ALL = Filter()

Shape: TypeAlias = tuple[bool, bool]
"""Whether a filter names entities, and an initiative."""


def conditions_of(shape: Shape, among_entities: str) -> str:
    """Return what a query with such a filter asks of a row, behind its other conditions.

    How a column is compared with a list, each database says in its own way.
    """
    asked = (among_entities, "initiative_id = :initiative_id")
    return " ".join(f"AND {sql}" for sql, is_asked in zip(asked, shape, strict=True) if is_asked)


def parameters_of(shape: Shape) -> dict[str, TypeEngine[Any]]:
    """Return the parameters of these conditions."""
    known: dict[str, TypeEngine[Any]] = {"entities": Ids(), "initiative_id": Id()}
    return {
        name: type_
        for (name, type_), is_asked in zip(known.items(), shape, strict=True)
        if is_asked
    }


@dataclass(frozen=True, slots=True)
class Told:
    """What a row of the feed tells; `addressee_id` is the agent that the row is addressed to."""

    entity: Any
    entity_id: str
    action: Any
    initiative_id: str | None
    addressee_id: str | None
    at: datetime | None


class TellingRow(Protocol):
    """A row of a query that tells of a change, besides what it says of the feed."""

    @property
    def entity(self) -> Any: ...
    @property
    def entity_id(self) -> Any: ...
    @property
    def action(self) -> Any: ...
    @property
    def initiative_id(self) -> str | None: ...
    @property
    def addressee_id(self) -> str | None: ...
    @property
    def at(self) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class Part:
    """What was read, and the cursor behind it; `is_all` where nothing is behind that for now."""

    told: Sequence[Told]
    cursor: Cursor
    is_all: bool


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a reader is: a row that it knows, and what it has seen.

    `seen` and `window` are snapshots of PostgreSQL's, "" where there is none: what the reader has
    seen, and what it is reading, of which it has the transactions that end up to `border`.
    """

    seq: int = 0
    mark: int = 0
    life: str = ""
    seen: str = ""
    window: str = ""
    border: int = 0

    def __str__(self) -> str:
        """Return the text that `cursor_of` reads."""
        known = f"{self.seq}/{self.mark}"
        if not self.life:
            return known
        return f"{known}/{self.life}/{self.seen}/{self.window}/{self.border}"


_SNAPSHOT = r"[0-9]{1,19}:[0-9]{1,19}:(?:[0-9]{1,19}(?:,[0-9]{1,19})*)?"
_CURSOR = re.compile(
    r"(?P<seq>[0-9]{1,18})/(?P<mark>-?[0-9]{1,19})"
    rf"(?:/(?P<life>[0-9]+-[0-9A-F]+)/(?P<seen>{_SNAPSHOT})/(?P<window>(?:{_SNAPSHOT})?)"
    r"/(?P<border>[0-9]{1,18}))?"
)


def cursor_of(written: object) -> Cursor:
    """Read a cursor; raises InvalidValueError for what is none."""
    found = _CURSOR.fullmatch(written) if isinstance(written, str) else None
    parts = {} if found is None else found.groupdict(default="")
    if not parts or not _can_be_read(parts["seen"], parts["window"]):
        reason = "is no cursor; give one that read or position returned"
        raise InvalidValueError(changes.name, "cursor", written, reason)
    known = int(parts["seq"]), int(parts["mark"])
    border = int(parts["border"] or 0)
    return Cursor(*known, parts["life"], parts["seen"], parts["window"], border)


def _can_be_read(seen: str, window: str) -> bool:
    """Return whether the numbers are of 64 bits, and PostgreSQL takes the window."""
    if any(int(number) >= 2**63 for number in re.findall("[0-9]+", f"{seen},{window}")):
        return False
    if not window:
        return True
    start, end, still_open = parts_of(window)
    return (
        0 < start <= end
        and still_open == sorted(still_open)
        and (not still_open or (start <= still_open[0] and still_open[-1] < end))
    )


def parts_of(snapshot: str) -> tuple[int, int, list[int]]:
    """Return the first transaction that was open, the first that had not begun, and all open."""
    if not snapshot:  # of a cursor of SQLite's
        raise stale_error(ANOTHER_LIFE)
    start, end, still_open = snapshot.split(":")
    return int(start), int(end), [int(xid) for xid in still_open.split(",") if xid]


_NUMBERS = (
    "newest",
    "newest_mark",
    "known",
    "border",
    "border_mark",
    "number",
    "own",
    "pruned_xid",
)
_TYPES: dict[str, TypeEngine[Any]] = {
    **dict.fromkeys(_NUMBERS, LargeNumber()),
    "is_foreign": Flag(),
    "at": UtcDateTime(),
}
"""The types of a record's fields; what is not among them is text."""

TOLD = "entity, entity_id, action, initiative_id, addressee_id, at"
"""The columns of `Told`."""


def query_of(record: type[R], sql: str, **parameters: TypeEngine[Any]) -> Query[R]:
    """Return the query of a text, whose columns are the record's fields."""
    types = {field.name: _TYPES.get(field.name, PlainText()) for field in fields(cast(Any, record))}
    bound = text(sql).bindparams(
        *(bindparam(name, type_=type_) for name, type_ in parameters.items())
    )
    found = bound.columns(*(column(name, type_) for name, type_ in types.items()))
    return Query(record, select(*found.subquery("found").c), changes)


def told_of(row: TellingRow) -> Told:
    """Return what a row tells, without what else was looked up with it."""
    return Told(row.entity, row.entity_id, row.action, row.initiative_id, row.addressee_id, row.at)


def stale_error(reason: str) -> StaleCursorError:
    """Return the error that says what to do instead of following a cursor."""
    return StaleCursorError(
        f"the cursor cannot be followed, since {reason}; "
        "read the state itself, and go on from changes.position()"
    )


ANOTHER_LIFE = "it is of another life of the database: a backup was put back, or a dump restored"
PRUNED = "changes behind it were pruned"
