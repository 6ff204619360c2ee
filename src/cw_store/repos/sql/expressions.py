"""The few expressions that the two databases spell differently."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Integer, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from cw_store.types import EPOCH, MICROSECOND, UtcDateTime

PRESENT = literal_column("1", Integer())
"""What a query selects that only asks whether there is a row."""


class Later(FunctionElement[datetime]):
    """The later of two moments, neither of them NULL."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(Later, "sqlite")
def _later_on_sqlite(element: Later, compiler: SQLCompiler, **options: Any) -> str:
    return f"max({compiler.process(element.clauses, **options)})"


@compiles(Later, "postgresql")
def _later_on_postgresql(element: Later, compiler: SQLCompiler, **options: Any) -> str:
    return f"greatest({compiler.process(element.clauses, **options)})"


class MicrosecondAfter(FunctionElement[datetime]):
    """The moment one microsecond after another."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(MicrosecondAfter, "sqlite")
def _after_on_sqlite(element: MicrosecondAfter, compiler: SQLCompiler, **options: Any) -> str:
    return f"({compiler.process(element.clauses, **options)} + 1)"


@compiles(MicrosecondAfter, "postgresql")
def _after_on_postgresql(element: MicrosecondAfter, compiler: SQLCompiler, **options: Any) -> str:
    return f"({compiler.process(element.clauses, **options)} + interval '1 microsecond')"


class EndOfTime(FunctionElement[datetime]):
    """The last moment that can be read."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(EndOfTime, "sqlite")
def _end_on_sqlite(element: EndOfTime, compiler: SQLCompiler, **options: Any) -> str:
    return str((datetime.max.replace(tzinfo=UTC) - EPOCH) // MICROSECOND)


@compiles(EndOfTime, "postgresql")
def _end_on_postgresql(element: EndOfTime, compiler: SQLCompiler, **options: Any) -> str:
    return f"TIMESTAMPTZ '{datetime.max.replace(tzinfo=UTC).isoformat()}'"


def exactly(value: str) -> ColumnElement[str]:
    """Write a constant into the SQL, where a partial index is used only when it can be seen."""
    return literal_column(f"'{value}'")
