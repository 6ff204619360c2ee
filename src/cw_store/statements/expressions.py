"""The few expressions that the two databases, or SQLAlchemy for them, spell differently."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Self

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Integer,
    Select,
    Table,
    bindparam,
    literal_column,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from cw_store.types import EPOCH, MICROSECOND, Ids, Now, SharedNow, Stamp, UtcDateTime

insert_unless = insert
"""An INSERT that may say `on_conflict_do_nothing`, which both databases write the same."""

PRESENT = literal_column("1", Integer())
"""What a query selects that only asks whether there is a row."""


class Later(FunctionElement[datetime]):
    """The later of two times, neither of them NULL."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(Later, "sqlite")
def _later_on_sqlite(element: Later, compiler: SQLCompiler, **options: Any) -> str:
    return f"max({compiler.process(element.clauses, **options)})"


@compiles(Later, "postgresql")
def _later_on_postgresql(element: Later, compiler: SQLCompiler, **options: Any) -> str:
    return f"greatest({compiler.process(element.clauses, **options)})"


class LaterThan(FunctionElement[datetime]):
    """A stamp, or the time a microsecond after a column's value if that is later.

    A value that is no time, as another program may have written one, is written over.
    """

    type = UtcDateTime()
    inherit_cache = True


@compiles(LaterThan, "sqlite")
def _later_than_on_sqlite(element: LaterThan, compiler: SQLCompiler, **options: Any) -> str:
    stamp, column, end = (compiler.process(one, **options) for one in element.clauses)
    return f"max({stamp}, iif({column} < {end}, {column} + 1, -{end}))"


@compiles(LaterThan, "postgresql")
def _later_than_on_postgresql(element: LaterThan, compiler: SQLCompiler, **options: Any) -> str:
    stamp, column, end = (compiler.process(one, **options) for one in element.clauses)
    next_timestamp = f"{column} + interval '1 microsecond'"
    return f"greatest({stamp}, CASE WHEN {column} < {end} THEN {next_timestamp} END)"


class MicrosecondAfter(FunctionElement[datetime]):
    """The time one microsecond after another."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(MicrosecondAfter, "sqlite")
def _after_on_sqlite(element: MicrosecondAfter, compiler: SQLCompiler, **options: Any) -> str:
    return f"({compiler.process(element.clauses, **options)} + 1)"


@compiles(MicrosecondAfter, "postgresql")
def _after_on_postgresql(element: MicrosecondAfter, compiler: SQLCompiler, **options: Any) -> str:
    return f"({compiler.process(element.clauses, **options)} + interval '1 microsecond')"


class SharedTime(FunctionElement[datetime]):
    """A parameter, or where it is NULL the time that all who use the database share."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(SharedTime, "sqlite")
def _shared_on_sqlite(element: SharedTime, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(SharedTime, "postgresql")
def _shared_on_postgresql(element: SharedTime, compiler: SQLCompiler, **options: Any) -> str:
    return f"coalesce({compiler.process(element.clauses, **options)}, statement_timestamp())"


class LaterBy(FunctionElement[datetime]):
    """The time so many microseconds after another."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(LaterBy, "sqlite")
def _later_by_on_sqlite(element: LaterBy, compiler: SQLCompiler, **options: Any) -> str:
    time, duration = (compiler.process(one, **options) for one in element.clauses)
    return f"({time} + {duration})"


@compiles(LaterBy, "postgresql")
def _later_by_on_postgresql(element: LaterBy, compiler: SQLCompiler, **options: Any) -> str:
    time, duration = (compiler.process(one, **options) for one in element.clauses)
    return f"({time} + ({duration}) * interval '1 microsecond')"


class Condition(FunctionElement[bool]):
    """What is true or false of a row.

    SQLAlchemy compares such a function with 1 where a database has no truth values of its own, and
    SQLite would then look at every row, since no index is of use to a comparison of comparisons.
    """

    type = Boolean()

    def self_group(self, against: Any = None) -> Self:
        """Stand in a WHERE clause as it is."""
        return self


class IsOneOf(Condition):
    """Whether a column holds one of a list of ids, which is a parameter; of any length."""

    inherit_cache = True


@compiles(IsOneOf, "sqlite")
def _is_one_of_on_sqlite(element: IsOneOf, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(one, **options) for one in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({ids}))"  # noqa: S608 -- of expressions


@compiles(IsOneOf, "postgresql")
def _is_one_of_on_postgresql(element: IsOneOf, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(one, **options) for one in element.clauses)
    return f"{column} = ANY ({ids})"


class IsAmong(Condition):
    """Whether a column holds one of the few values that a query finds, which is run first.

    With IN, PostgreSQL would run one that has a limit, and looks at an outer row, for each row of
    the column's table.
    """

    inherit_cache = True

    def __init__(self, column: ColumnElement[Any], query: Select[Any]) -> None:
        super().__init__(column, query.scalar_subquery())


@compiles(IsAmong, "sqlite")
def _is_among_on_sqlite(element: IsAmong, compiler: SQLCompiler, **options: Any) -> str:
    column, query = (compiler.process(one, **options) for one in element.clauses)
    return f"{column} IN {query}"


@compiles(IsAmong, "postgresql")
def _is_among_on_postgresql(element: IsAmong, compiler: SQLCompiler, **options: Any) -> str:
    column, query = (compiler.process(one, **options) for one in element.clauses)
    return f"{column} = ANY (ARRAY{query})"


class Unindexed(FunctionElement[Any]):
    """A column's value, for which SQLite is not to choose an index ("Unary +" in its optimizer).

    Without statistics it takes any index on a column for as good as another.
    """

    inherit_cache = True

    def __init__(self, column: ColumnElement[Any]) -> None:
        self.type = column.type
        super().__init__(column)


@compiles(Unindexed, "sqlite")
def _unindexed_on_sqlite(element: Unindexed, compiler: SQLCompiler, **options: Any) -> str:
    return f"+{compiler.process(element.clauses, **options)}"


@compiles(Unindexed, "postgresql")
def _unindexed_on_postgresql(element: Unindexed, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


class _EdgeOfTime(FunctionElement[datetime]):
    """A time beyond which none can be read."""

    type = UtcDateTime()
    inherit_cache = True
    time: datetime


class EndOfTime(_EdgeOfTime):
    """The last time that can be read."""

    inherit_cache = True
    time = datetime.max.replace(tzinfo=UTC)


class StartOfTime(_EdgeOfTime):
    """The first time that can be read."""

    inherit_cache = True
    time = datetime.min.replace(tzinfo=UTC)


@compiles(_EdgeOfTime, "sqlite")
def _edge_on_sqlite(element: _EdgeOfTime, compiler: SQLCompiler, **options: Any) -> str:
    return str((element.time - EPOCH) // MICROSECOND)


@compiles(_EdgeOfTime, "postgresql")
def _edge_on_postgresql(element: _EdgeOfTime, compiler: SQLCompiler, **options: Any) -> str:
    return f"TIMESTAMPTZ '{element.time.isoformat()}'"


class IsPlace(Condition):
    """Whether a `seq` is one that the database has given a row of the table, or will pass by.

    SQLite goes on behind the highest that there is. PostgreSQL counts, and would meet it again.
    """

    inherit_cache = False

    def __init__(self, table: Table, place: ColumnElement[Any]) -> None:
        super().__init__(place)
        self.table_name = table.name


@compiles(IsPlace, "sqlite")
def _is_place_on_sqlite(element: IsPlace, compiler: SQLCompiler, **options: Any) -> str:
    return f"{compiler.process(element.clauses, **options)} > 0"


@compiles(IsPlace, "postgresql")
def _is_place_on_postgresql(element: IsPlace, compiler: SQLCompiler, **options: Any) -> str:
    sequence = f"pg_get_serial_sequence('{element.table_name}', 'seq')"
    place = compiler.process(element.clauses, **options)
    return f"{place} <= pg_sequence_last_value({sequence})"


STAMP = bindparam("stamp", type_=Stamp())
"""The time when the statement runs, later than every stamp before; given by the store's clock."""

NOW = bindparam("now", type_=Now())
"""The clock's reading when the statement runs."""

SHARED_NOW = SharedTime(bindparam("shared_now", type_=SharedNow()))
"""The time when the statement runs, by the database's clock where it has one.

Whatever is compared with a time that another machine has written goes by it.
"""


def later_than(column: ColumnElement[Any]) -> ColumnElement[datetime]:
    """Return STAMP, or a later time if the column's value would not be passed otherwise.

    Another store may have written that, whose clock is ahead, or on PostgreSQL one for whom this
    statement has waited.
    """
    return LaterThan(STAMP, column, EndOfTime())


def is_one_of(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Say that a column holds one of the parameter `ids`."""
    return IsOneOf(column, bindparam("ids", type_=Ids()))


def exactly(value: str) -> ColumnElement[str]:
    """Write a constant into the SQL, for a column whose values a partial index is made of.

    The index is used only where the constant can be seen. And a parameter that is compared with
    such a column has SQLite plan the statement anew each time it is given another value, as the
    index might fit then; that takes several times as long as to run it ("Partial Indexes";
    sqlite3_prepare_v3).
    """
    return literal_column(f"'{value}'")
