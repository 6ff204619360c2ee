"""A look at a long list before it is stored, whether the database would refuse one of its rows.

Storing the list up to that row only to undo it takes as long as storing all of it, in which time
other writers wait. Here the references and ids of all rows are looked up by sets.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from sqlalchemy import Column
from sqlalchemy.sql import Insert

from cw_store.errors import AlreadyExistsError, BrokenReferenceError, StoreError
from cw_store.statements.compiled import CompiledStatement, Parameters

LONG = 200
"""So many rows are looked at first; storing fewer takes hardly longer than the look."""


class Looked(NamedTuple):
    """A column whose values are looked up: where it is in a row, and what it refers to."""

    place: int
    name: str
    target: Column[Any]


class RefusedRow(NamedTuple):
    """The first row that would be refused, stored so many times, and why."""

    row: Parameters
    times: int
    error: StoreError


def looked_up(statement: CompiledStatement[Any], batch: Sequence[Parameters]) -> list[Looked]:
    """Return what to look up of a list: its references, and its ids; nothing of a short one."""
    if len(batch) < LONG or not isinstance(statement.query.statement, Insert):
        return []
    table = statement.query.table
    targets = {key.parent.name: key.column for key in table.foreign_keys}
    if "id" in table.columns:
        targets["id"] = table.columns["id"]
    return [
        Looked(place, name, targets[name])
        for place, name in enumerate(statement.columns())
        if name in targets
    ]


def values_of(looked: Looked, batch: Sequence[Parameters]) -> set[str]:
    """Return the different values that the rows have in this column."""
    return {row[looked.place] for row in batch} - {None}


def as_parameter(values: Iterable[str]) -> str:
    """Write any number of values as one parameter: a list in JSON."""
    return json.dumps(list(values))


def first_refused(
    statement: CompiledStatement[Any],
    batch: Sequence[Parameters],
    found: Mapping[Looked, AbstractSet[str]],
) -> RefusedRow | None:
    """Return the first row that would be refused, given which of the values there are, or None.

    A row may refer to one before it in the list.
    """
    table = statement.query.table
    ids = [(looked.place, taken) for looked, taken in found.items() if looked.name == "id"]
    missing = {
        looked: values_of(looked, batch) - there
        for looked, there in found.items()
        if looked.name != "id"
    }
    suspicious = {looked: values for looked, values in missing.items() if values}
    if not suspicious and not any(taken or _repeats(place, batch) for place, taken in ids):
        return None
    before: set[Any] = set()
    for row in batch:
        for place, taken in ids:
            if row[place] in taken or row[place] in before:
                times = 1 if row[place] in taken else 2
                return RefusedRow(row, times, AlreadyExistsError(table.name, ("id",)))
            before.add(row[place])
        for looked, values in suspicious.items():
            if row[looked.place] in values and not (
                looked.target.table is table and row[looked.place] in before
            ):
                return RefusedRow(row, 1, BrokenReferenceError(table.name, (looked.name,)))
    return None


def _repeats(place: int, batch: Sequence[Parameters]) -> bool:
    return len({row[place] for row in batch}) < len(batch)
