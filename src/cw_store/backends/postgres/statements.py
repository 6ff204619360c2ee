"""Running the store's statements on a connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import Any, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
from sqlalchemy import ARRAY, TEXT, Column, bindparam, func, select
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect

from cw_store.backends.long_lists import Looked, first_refused, looked_up, values_of
from cw_store.backends.postgres.errors import unreadable_time_error
from cw_store.backends.postgres.functions import Functions
from cw_store.errors import UnreadableError
from cw_store.statements.compiled import CompiledStatement, Parameters, Statements
from cw_store.statements.database import ATTEMPT, COUNT, MANY, RECORDS, STEPS, Operation
from cw_store.statements.procedure import (
    Attempt,
    Begin,
    InsertAll,
    Lock,
    Mark,
    NotAtOnceError,
    Run,
    Undo,
    advance,
)

_dialect = asyncpg_dialect()

TAKE_TURNS = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"

AT_ONCE = Operation[Any]("AT_ONCE")
"""Do what STEPS does, in a transaction that nothing else is done in, at once if it can be.

The parameters are those of STEPS, and the functions that it is done with. Raises NotAtOnceError
when the procedure is to be run anew in another transaction, step by step.
"""

MARK = "cw_store_mark"
"""The savepoint of a procedure; further ones of this name stand in front of those before."""


async def fetch_records(
    connection: Any, statement: CompiledStatement[Any], parameters: Parameters
) -> list[Any]:
    """Run a statement and return the records of its rows."""
    if statement.set_times is not None:
        statement.set_times(parameters)
    try:
        found = await connection.fetch(statement.sql, *parameters)
    except OverflowError as error:
        raise unreadable_time_error(statement.query.table.name) from error
    return statement.records(found)


async def count_changes(
    connection: Any, statement: CompiledStatement[Any], parameters: Parameters
) -> int:
    """Run a statement and return how many rows it changed."""
    if statement.set_times is not None:
        statement.set_times(parameters)
    status: str = await connection.execute(statement.sql, *parameters)
    return int(status.rpartition(" ")[2])


async def execute(connection: Any, sql: str, *parameters: Any) -> None:
    """Run SQL that is no statement of the store's, and returns nothing."""
    await connection.execute(sql, *parameters)


async def run_many(
    connection: Any, statement: CompiledStatement[Any], batch: Sequence[Parameters]
) -> None:
    """Run a statement once for each entry of the batch, all or nothing."""
    await _refuse_a_row_of_many(connection, statement, batch)
    if statement.set_times is not None:
        for parameters in batch:
            statement.set_times(parameters)
    await connection.executemany(statement.sql, batch)


async def run_steps(
    connection: Any,
    statement: CompiledStatement[Any],
    parameters: Parameters,
    functions: Functions | None = None,
) -> Any:
    """Run a procedure to its end, in the transaction that has begun.

    Steps that have no answer go in one message, which is sent before the next step is taken. What
    can be done at once is, where the transaction is this procedure's own and has `functions`.
    """
    statements, begin = cast("tuple[Statements, Begin[Any]]", parameters)
    procedure, answer = begin(), None
    unsent: list[str] = []
    try:
        while True:
            step = advance(procedure, answer)
            answer = None
            if isinstance(step, Lock | Mark | Undo):
                unsent.append(sql_of(step))
                continue
            if isinstance(step, Attempt):
                if functions is not None:
                    answer = await functions.attempt(connection, statements, step)
                continue
            await _send(connection, unsent)
            answer = await _take_step(connection, statements, step)
    except StopIteration as end:
        await _send(connection, unsent)
        return end.value


async def run_at_once(
    connection: Any, statement: CompiledStatement[Any], parameters: Parameters
) -> Any:
    """Run a procedure that is all of the transaction that has begun; see `AT_ONCE`."""
    *of_steps, functions = parameters
    return await run_steps(connection, statement, of_steps, functions)


async def run_attempt(
    connection: Any, _statement: CompiledStatement[Any], parameters: Parameters
) -> list[Any]:
    """Run a chain that is whole, outside of a transaction, with the functions given last.

    Raises NotAtOnceError when it comes to nothing.
    """
    statements, attempt, functions = parameters
    records: list[Any] | None = await functions.attempt(connection, statements, attempt)
    if records is None:
        raise NotAtOnceError
    return records


async def _send(connection: Any, unsent: list[str]) -> None:
    if unsent:
        await connection.execute("; ".join(unsent))
        unsent.clear()


def sql_of(step: Lock | Mark | Undo) -> str:
    """Return the SQL of a step that has no answer; it has no parameters."""
    if isinstance(step, Lock):
        return TAKE_TURNS.replace("$1", _literal(step.name))
    return f"SAVEPOINT {MARK}" if isinstance(step, Mark) else f"ROLLBACK TO {MARK}"


def _literal(text: str) -> str:
    """Write a text into SQL, whatever is in it and whatever the server takes a backslash for."""
    return f"convert_from(decode('{text.encode().hex()}', 'hex'), 'UTF8')"


async def _take_step(connection: Any, statements: Statements, step: Run | InsertAll) -> Any:
    statement = statements[step.query]
    if isinstance(step, InsertAll):
        bound = statement.bind_all(step.batch)
        await run_many(connection, statement, bound)
        return statement.records(bound)
    try:
        return await fetch_records(connection, statement, statement.bind(step.values))
    except UnreadableError as error:
        return error


OPERATIONS: dict[Operation[Any], Callable[..., Awaitable[Any]]] = {
    RECORDS: fetch_records,
    COUNT: count_changes,
    MANY: run_many,
    STEPS: run_steps,
    AT_ONCE: run_at_once,
    ATTEMPT: run_attempt,
}
"""What is done on a connection with a statement and its parameters."""


async def _refuse_a_row_of_many(
    connection: Any, statement: CompiledStatement[Any], batch: Sequence[Parameters]
) -> None:
    """Raise for the first row of a long list that would be refused, without storing the rest."""
    found: dict[Looked, set[str]] = {}
    for looked in looked_up(statement, batch):
        values = values_of(looked, batch)
        rows = await connection.fetch(_lookup(looked.target), list(values)) if values else ()
        found[looked] = {value for (value,) in rows}
    refused = first_refused(statement, batch, found)
    if refused is None:
        return
    try:
        # Twice, so that nothing is stored if what was missing is just being stored by another.
        await connection.executemany(statement.sql, [refused.row] * 2)
    except asyncpg.IntegrityConstraintViolationError as error:
        raise refused.error from error


@cache
def _lookup(column: Column[Any]) -> str:
    values = bindparam("values", type_=ARRAY(TEXT))
    return str(select(column).where(column == func.any(values)).compile(dialect=_dialect))
