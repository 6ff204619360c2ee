"""Running the store's statements on a connection."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
from sqlalchemy import ARRAY, TEXT, Column, bindparam, func, select
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect

from cw_store.backends.long_lists import Looked, first_refused, looked_up, values_of
from cw_store.errors import UnreadableError
from cw_store.statements.database import Prepared, Row

_dialect = asyncpg_dialect()


async def fetch_rows(connection: Any, prepared: Prepared[Any], parameters: Row) -> Sequence[Row]:
    """Run a statement and return its rows."""
    if prepared.set_times is not None:
        prepared.set_times(parameters)
    try:
        return await connection.fetch(prepared.sql, *parameters)
    except OverflowError as error:
        # asyncpg cannot make a datetime of it, and does not say in which row. It was done.
        raise UnreadableError(
            prepared.query.table.name, None, "a time", "it is not from the year 1 to 9999"
        ) from error


async def count_changes(connection: Any, prepared: Prepared[Any], parameters: Row) -> int:
    """Run a statement and return how many rows it changed."""
    if prepared.set_times is not None:
        prepared.set_times(parameters)
    status: str = await connection.execute(prepared.sql, *parameters)
    return int(status.rpartition(" ")[2])


async def execute(connection: Any, sql: str, *parameters: Any) -> None:
    """Run SQL that is no statement of the store's, and returns nothing."""
    await connection.execute(sql, *parameters)


async def run_many(connection: Any, prepared: Prepared[Any], batch: Sequence[Row]) -> None:
    """Run a statement once for each entry of the batch, all or nothing."""
    await _refuse_a_row_of_many(connection, prepared, batch)
    if prepared.set_times is not None:
        for parameters in batch:
            prepared.set_times(parameters)
    await connection.executemany(prepared.sql, batch)


async def _refuse_a_row_of_many(
    connection: Any, prepared: Prepared[Any], batch: Sequence[Row]
) -> None:
    """Raise for the first row of a long list that would be refused, without storing the rest."""
    found: dict[Looked, set[str]] = {}
    for looked in looked_up(prepared, batch):
        values = values_of(looked, batch)
        rows = await connection.fetch(_lookup(looked.target), list(values)) if values else ()
        found[looked] = {value for (value,) in rows}
    refused = first_refused(prepared, batch, found)
    if refused is None:
        return
    try:
        # Twice, so that nothing is stored if what was missing is just being stored by another.
        await connection.executemany(prepared.sql, [refused.row] * 2)
    except asyncpg.IntegrityConstraintViolationError as error:
        raise refused.error from error


@cache
def _lookup(column: Column[Any]) -> str:
    values = bindparam("values", type_=ARRAY(TEXT))
    return str(select(column).where(column == func.any(values)).compile(dialect=_dialect))
