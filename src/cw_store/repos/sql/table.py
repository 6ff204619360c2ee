"""What every repository shares: insert, get, change and delete a row by its id."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Generic, NamedTuple, TypeVar, cast

from sqlalchemy import ColumnElement, Table, bindparam, delete, insert, select, update
from sqlalchemy.sql import Update

from cw_store.errors import InvalidValueError, NotFoundError, StaleStateError, StoreError
from cw_store.repos.sql.ids import new_id
from cw_store.repos.sql.listings import oldest_first
from cw_store.schema import record_columns
from cw_store.statements.compiled import NONE_REFUSED
from cw_store.statements.database import Database
from cw_store.statements.expressions import PRESENT, later_than
from cw_store.statements.query import NEW_VALUE, OLD_VALUE, Query, new_values
from cw_store.types import Stamp

R = TypeVar("R")

STAMPED = ("created_at", "updated_at")
"""The columns that the store's clock fills in when a row is stored."""

Expectation = tuple[tuple[str, bool], ...]
"""The columns that a row has to hold a value in, and whether that is None."""


class Expected(NamedTuple):
    """What a row has to hold to be changed: of which columns, and the values that are not None."""

    names: Expectation
    values: dict[str, Any]


class TableGateway(Generic[R]):
    """The rows of one table, whose primary key is `id`, as records.

    `new`, `changes` and `expected` are the TypedDicts of the port: their keys are what may be
    passed.
    `columns` fill the record, where that is more than the table's own columns.

    `columns` are what every query for records selects or returns, and `new_row` are the
    parameters of an INSERT of one.
    """

    def __init__(
        self,
        table: Table,
        record: type[R],
        new: Any,
        changes: Any = None,
        expected: Any = None,
        columns: Sequence[ColumnElement[Any]] | None = None,
    ) -> None:
        self.table = table
        self.record = record
        self.columns: Sequence[ColumnElement[Any]] = columns or record_columns(table)
        self.new_row = {
            column.name: bindparam(
                column.name, type_=Stamp() if column.name in STAMPED else column.type
            )
            for column in record_columns(table)
        }
        self._required: frozenset[str] = new.__required_keys__
        self._allowed: frozenset[str] = self._required | new.__optional_keys__
        self._changeable: frozenset[str] = (
            frozenset() if changes is None else changes.__optional_keys__
        )
        self._expectable: frozenset[str] = (
            frozenset() if expected is None else expected.__optional_keys__
        )
        self._fitting: set[frozenset[str]] = set()  # keys that were found to be right
        new = insert(table).values(self.new_row)
        self._insert = Query(record, new, table)
        self._insert_and_return = (
            None if columns is None else Query(record, new.returning(*self.columns), table)
        )
        self._get = Query(record, select(*self.columns).where(table.c.id == bindparam("id")), table)
        self._delete = Query(record, delete(table).where(table.c.id == bindparam("id")), table)
        self._exists = Query(
            int, select(PRESENT).select_from(table).where(table.c.id == bindparam("id")), table
        )
        self._patches: dict[tuple[str, ...], Query[R]] = {}
        self._patches_if: dict[tuple[tuple[str, ...], Expectation], Query[R]] = {}

    def listing_by(self, column: str, *order: str) -> Query[R]:
        """Return the query for all rows with one value of a column, its parameter.

        They come in the order of the columns given, and else in that of storing.
        """
        columns = self.table.c
        return Query(
            self.record,
            select(*self.columns)
            .where(columns[column] == bindparam(column))
            .order_by(*(columns[name] for name in order), *oldest_first(self.table)),
            self.table,
        )

    def complete(self, values: Mapping[str, Any], **known: Any) -> dict[str, Any]:
        """Return the row for `values`, with an id; times and defaults are the statement's.

        `known` are columns that the repository fills in itself. Raises TypeError for an
        unknown or missing key.
        """
        try:
            row: dict[str, Any] = {**values, **known}
        except TypeError:
            kind = type(values).__name__
            raise TypeError(f"a new row of {self.table.name} is a dict, not {kind}") from None
        if frozenset(values) not in self._fitting:
            if not self._required <= values.keys() <= self._allowed:
                raise TypeError(self._unfit(values))
            self._fitting.add(frozenset(values))
        if "id" not in row:
            row["id"] = new_id()
        return row

    def insert(self, database: Database, values: Mapping[str, Any]) -> Awaitable[R]:
        """Complete one row, store it and return it."""
        return self.store(database, self.complete(values))

    async def insert_many(self, database: Database, rows: Sequence[Mapping[str, Any]]) -> list[R]:
        """Complete all rows, store them, or none, and return them in the order given."""
        return await self.store_many(database, [self.complete(row) for row in rows])

    async def store(self, database: Database, row: Mapping[str, Any]) -> R:
        """Store one complete row and return it."""
        if self._insert_and_return is None:
            stored = await database.insert(self._insert, row)
        else:
            stored = await database.first(self._insert_and_return, **row)
        assert stored is not None
        return stored

    def check(self, database: Database, rows: Sequence[Mapping[str, Any]]) -> None:
        """Raise InvalidValueError for a complete row that `store_many` would refuse."""
        database.check(self._insert, rows)

    async def store_many(self, database: Database, rows: Sequence[Mapping[str, Any]]) -> list[R]:
        """Store complete rows, all or none, and return them in the order given."""
        return await database.insert_all(self._insert, rows)

    async def get(self, database: Database, id: str) -> R | None:
        """Return the row with this id, or None."""
        return await database.first(self._get, id=id)

    async def need(self, database: Database, id: str) -> R:
        """Return the row with this id; raises NotFoundError when there is none."""
        found = await self.get(database, id)
        if found is None:
            raise NotFoundError(self.table.name, id)
        return found

    async def change(
        self, database: Database, id: str, changes: Mapping[str, Any], expected: object = None
    ) -> R:
        """Change just the columns passed, and updated_at; return the row.

        With `expected` only if the row holds these values, else raises StaleStateError.
        """
        self.refuse_unknown(changes)
        if expected is None:
            return await self.patch(database, id, changes)
        return await self.patch_if(database, id, changes, self.expectation(expected))

    async def patch(self, database: Database, id: str, changes: Mapping[str, Any]) -> R:
        """Like `change`, for the columns that only the repository's own verbs may change."""
        columns = tuple(sorted(changes))
        query = self._patches.get(columns)
        if query is None:
            query = self._patches[columns] = self.returning(
                self.setting(columns).where(self.table.c.id == bindparam("id"))
            )
        changed = await database.first(query, id=id, **new_values(changes))
        if changed is None:
            raise NotFoundError(self.table.name, id)
        return changed

    async def patch_if(
        self, database: Database, id: str, changes: Mapping[str, Any], expected: Expected
    ) -> R:
        """Like `patch`, in one statement that finds only a row that holds what is expected."""
        columns = tuple(sorted(changes))
        key = (columns, expected.names)
        query = self._patches_if.get(key)
        if query is None:
            query = self._patches_if[key] = self.returning(
                self.setting(columns).where(
                    self.table.c.id == bindparam("id"), *self.held(expected.names)
                )
            )
        changed = await database.first(query, id=id, **expected.values, **new_values(changes))
        if changed is None:
            raise await self.missed(database, id, expected)
        return changed

    async def missed(self, database: Database, id: str, expected: Expected) -> StoreError:
        """Return what to raise when a row with this id that holds the expected was not found."""
        if await database.first(self._exists, id=id) is None:
            return NotFoundError(self.table.name, id)
        return StaleStateError(
            self.table.name,
            id,
            f"row {id!r} of {self.table.name} no longer holds the expected "
            + ", ".join(name for name, _is_none in expected.names),
        )

    async def delete(self, database: Database, id: str) -> None:
        """Delete the row; raises NotFoundError when there is none."""
        if await database.count(self._delete, id=id) == 0:
            raise NotFoundError(self.table.name, id)

    # What a repository builds an UPDATE of its own from.

    def setting(self, columns: Sequence[str]) -> Update:
        """Return an UPDATE of these columns, to `new_values`, and updated_at, of every row."""
        return update(self.table).values(
            {
                **{name: bindparam(NEW_VALUE + name) for name in columns},
                "updated_at": later_than(self.table.c.updated_at),
            }
        )

    def returning(self, statement: Update) -> Query[R]:
        """Return the UPDATE as a query for the records it changed."""
        return Query(self.record, statement.returning(*self.columns), self.table)

    def expectation(self, expected: object) -> Expected:
        """Return what a row has to hold; raises TypeError for an unknown column."""
        if not isinstance(expected, Mapping):
            raise TypeError(f"expected is a mapping of columns, not {type(expected).__name__}")
        given = cast(Mapping[str, Any], expected)
        if not given.keys() <= self._expectable:
            raise TypeError(
                _unknown(self.table.name, given.keys() - self._expectable, self._expectable)
            )
        return Expected(
            tuple((name, given[name] is None) for name in sorted(given)),
            {OLD_VALUE + name: value for name, value in given.items() if value is not None},
        )

    def held(self, expectation: Expectation) -> list[ColumnElement[bool]]:
        """Return the conditions that a row holds what is expected."""
        columns = self.table.c
        return [
            columns[name].is_(None) if is_none else columns[name] == bindparam(OLD_VALUE + name)
            for name, is_none in expectation
        ]

    def refuse_unfit(self, changes: Mapping[str, Any], expected: object) -> None:
        """Raise TypeError for what `change` does not take, before anything is looked at."""
        self.refuse_unknown(changes)
        if expected is not None:
            self.expectation(expected)

    def refuse_unknown(self, changes: Mapping[str, Any]) -> None:
        """Raise TypeError for a key that an update does not take."""
        if not changes.keys() <= self._changeable:
            raise TypeError(
                _unknown(self.table.name, changes.keys() - self._changeable, self._changeable)
            )

    def _unfit(self, values: Mapping[str, Any]) -> str:
        unknown = values.keys() - self._allowed
        if unknown:
            return _unknown(self.table.name, unknown, self._allowed)
        missing = ", ".join(sorted(self._required - values.keys()))
        return f"a new row of {self.table.name} needs {missing}"


def refuse_none(table: Table, **values: object) -> None:
    """Raise InvalidValueError for a None where the call needs a value."""
    for name, value in values.items():
        if value is None:
            raise none_refused(table, name)


def refuse_no_flag(table: Table, **values: object) -> None:
    """Raise InvalidValueError for what is neither True nor False, though it may count as such."""
    for name, value in values.items():
        if not isinstance(value, bool):
            reason = f"takes a bool, not {type(value).__name__}"
            raise InvalidValueError(table.name, name, value, reason)


def refuse_no_list(name: str, ids: object) -> None:
    """Raise TypeError for what is no list of ids; one text would be taken letter by letter."""
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        raise TypeError(f"{name} takes a list of ids, not {type(ids).__name__}")


def none_refused(table: Table, column: str) -> InvalidValueError:
    """Return the error for a None that the column does not take."""
    return InvalidValueError(table.name, column, None, NONE_REFUSED)


def _unknown(table: str, names: AbstractSet[str], known: AbstractSet[str]) -> str:
    return f"{table} takes no {', '.join(sorted(names))} here; it takes {', '.join(sorted(known))}"
