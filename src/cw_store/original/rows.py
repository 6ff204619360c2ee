"""Rows as a store keeps them, made of what the source's became."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table

from cw_store.original.findings import Draft
from cw_store.original.trees import there
from cw_store.schema import metadata, record_columns
from cw_store.statements.reading import Row


def row_of(draft: Draft) -> Row:
    """Return the row, in the order of the table's columns; what the source never had is default."""
    values = draft.values
    return tuple([values.get(name, default) for name, default in _DEFAULTS[draft.table.name]])


def rows_of(table: Table, drafts: Sequence[Draft]) -> list[Row]:
    """Return the rows of a table in the order in which they are read: of storing, or of the key."""
    rows = [row_of(draft) for draft in there(drafts)]
    return rows if "seq" in table.columns else sorted(rows, key=_key)


def _key(row: Row) -> list[bytes]:
    return [str(value).encode() for value in row]


class _Defaults(dict[str, list[tuple[str, Any]]]):
    def __missing__(self, name: str) -> list[tuple[str, Any]]:
        found = self[name] = [
            (column.name, getattr(column.default, "arg", None))
            for column in record_columns(metadata.tables[name])
        ]
        return found


_DEFAULTS = _Defaults()
