"""A statement of a repository, written once when its module is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import ColumnElement, Table
from sqlalchemy.sql import Delete, Insert, Select, Update

from cw_store.schema import record_columns

R = TypeVar("R")
S = TypeVar("S")

NEW_VALUE = "changed_"
"""Begins the name of a parameter that an UPDATE sets, as SQLAlchemy keeps the plain names."""

OLD_VALUE = "expected_"
"""Begins the name of a parameter that a column has to hold to be changed."""

Statement = Select[Any] | Insert | Update | Delete


class Query(Generic[R]):
    """One statement and what its rows become: a record, or the value of its only column.

    `table` names the table in errors; a statement that writes to another as well has both. The
    statement's own parameters are the names that the database's methods take. `locks` says that a
    SELECT locks rows, or holds what writes, which only writers may.
    """

    __slots__ = ("__weakref__", "_tables", "pair", "record", "statement", "table", "writes")

    def __init__(
        self,
        record: type[R],
        statement: Statement,
        table: Table,
        *others: Table,
        locks: bool = False,
    ) -> None:
        self.record = record
        self.pair: tuple[type[Any], type[Any]] | None = None
        self.statement = statement
        self.table = table
        self._tables = (table, *others)
        self.writes = locks or not isinstance(statement, Select)

    @property
    def returned(self) -> list[ColumnElement[Any]]:
        """The columns of its rows; of a write that returns none, those of the rows it writes."""
        return list(self.statement.exported_columns) or list(record_columns(self.table))

    def needs(self, parameter: str) -> bool:
        """Whether None is refused: by the column, or as no argument of a comparison.

        A comparison with NULL would silently find nothing.
        """
        if not isinstance(self.statement, Insert) and not parameter.startswith(NEW_VALUE):
            return True
        name = column_of(parameter)
        return not any(
            name in table.columns and table.columns[name].nullable for table in self._tables
        )


class PairQuery(Query[tuple[R, S]]):
    """One statement whose rows become pairs: of a record, or a value, and another behind it."""

    __slots__ = ()

    def __init__(
        self,
        kinds: tuple[type[R], type[S]],
        statement: Statement,
        table: Table,
        *others: Table,
        locks: bool = False,
    ) -> None:
        super().__init__(cast("type[tuple[R, S]]", tuple), statement, table, *others, locks=locks)
        self.pair = kinds


def column_of(parameter: str) -> str:
    """Return the column that a parameter's value is compared with or becomes that of."""
    return parameter.removeprefix(NEW_VALUE).removeprefix(OLD_VALUE)


def new_values(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with which an UPDATE sets these columns."""
    return {NEW_VALUE + name: value for name, value in changes.items()}
