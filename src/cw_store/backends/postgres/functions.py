"""Chains of queries that the server runs in one message, each in a function of the session.

A query that waits for the network costs more by that than by what it does, and whoever waits for a
lock that it holds waits for the network too. So a chain becomes a function, from the text of the
same queries. It belongs to the session (`pg_temp`) and not to the schema: no migration has to know
it, and another version of the store on the same database has its own.

Guarantees: each query has a snapshot of its own, as if it had been sent by itself ("Function
Volatility Categories": a volatile function sees what was committed before each of its statements),
so what one has locked the next looks at. The time of the server is read after the turn was waited
for. A function that cannot be made is never missed: what it would do is done step by step.

Runs on: the event loop.

A chain that is whole is a transaction by itself, one message in all: there the function undoes by a
subtransaction what came to nothing.

Order: a function is made in a transaction of its own, before that of whoever calls it, whose end
would else take it along.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from itertools import count
from typing import Any, NamedTuple

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
from sqlalchemy import Dialect
from sqlalchemy.types import TypeEngine

from cw_store.backends.postgres.errors import (
    DRIVER_ERRORS,
    is_interrupted,
    is_lost,
    may_be_tried_again,
    unreadable_time_error,
)
from cw_store.errors import UnreadableError
from cw_store.statements.compiled import CompiledStatement, Parameters, Statements, Values
from cw_store.statements.procedure import Attempt, Chain, Link, NotAtOnceError
from cw_store.statements.text import text_for
from cw_store.types import SharedNow

logger = logging.getLogger(__name__)

PARAMETER = re.compile(r"\$(\d+)")

MOST_FUNCTIONS = 24
"""So many chains have a function, as each takes a megabyte of every session that has called it."""

TAKE_TURN = "PERFORM pg_advisory_xact_lock(hashtextextended(turn, 0))"

LEAVE = "RETURN NEXT; RETURN"

UNDONE = "CW000"
"""The SQLSTATE of what has a whole chain undone; it never leaves the function."""


class Functions:
    """The functions of a store's chains, made on each connection when it first needs them.

    `begin` is the statement that the transactions begin with in which they are called.
    """

    def __init__(self, dialect: Dialect, begin: str) -> None:
        self._dialect = dialect
        self._begin = begin
        self._numbers = count(1)
        self._functions: dict[Chain, Function] = {}
        self._can_be_made = True

    async def attempt(
        self, connection: Any, statements: Statements, attempt: Attempt
    ) -> list[Any] | None:
        """Run a chain as the first thing in a transaction, or as a whole one, and answer.

        The answer is what `Attempt` says. Raises NotAtOnceError after which the transaction has to
        be rolled back, UnreadableError for a row of a chain that was done as a whole, and the
        errors of the driver.
        """
        function = self._function(attempt.chain, statements)
        if function is None:
            return None
        if function.name in connection.functions or await self._make(connection, function):
            try:
                return await function.call(connection, attempt)
            except asyncpg.UndefinedFunctionError:
                # Somebody has dropped it, as DROP OWNED does for whoever may.
                connection.functions.discard(function.name)
        if attempt.chain.is_whole:
            return None
        raise NotAtOnceError

    def _function(self, chain: Chain, statements: Statements) -> Function | None:
        """Return the function of a chain; None if it is to be done step by step."""
        if not self._can_be_made:
            return None
        function = self._functions.get(chain)
        if function is None and len(self._functions) < MOST_FUNCTIONS:
            name = f"{chain.name}_{next(self._numbers)}"
            function = self._functions[chain] = Function(name, chain, statements, self._dialect)
        return function

    async def _make(self, connection: Any, function: Function) -> bool:
        """Make a function in a transaction of its own; whether it could be made.

        A connection that is lost meanwhile, before a transaction, is an error as of one that was
        lost before: whoever would have called the function has asked for nothing yet.
        """
        ddl, is_within = function.ddl, connection.is_in_transaction()
        if is_within:
            ddl = f"ROLLBACK; BEGIN; {ddl}; COMMIT; {self._begin}"
        try:
            await connection.execute(ddl)
        except DRIVER_ERRORS as error:
            if is_lost(error) or is_interrupted(error):
                if is_within:
                    raise
                raise asyncpg.InterfaceError("it was lost before it was asked") from error
            self._can_be_made = may_be_tried_again(error)
            logger.info(
                "a temporary function cannot be made, so claims are sent step by step: %s",
                error,
                extra={"event": "function_refused"},
            )
            return False
        connection.functions.add(function.name)
        connection.functions_made += 1
        return True


class _Part(NamedTuple):
    """What a link of a chain is in the function."""

    bind: Callable[[Values], Parameters]
    set_times: Callable[[Parameters], None] | None
    given: list[int]
    """The places of those parameters that are arguments of the function."""
    columns: slice
    """Where its row stands in that of the function."""
    records: Callable[[Any], list[Any]]


class Function:
    """A chain as a function: what makes it, and what calls it.

    Its row holds how many queries have found something, and what each of them has found. There is
    no row of what was undone: its values would be left in there, and may be such as cannot be read.
    """

    def __init__(self, name: str, chain: Chain, statements: Statements, dialect: Dialect) -> None:
        self.name = name
        self._chain = chain
        self._dialect = dialect
        self._arguments = ["turn text"]
        self._columns = ["reached integer"]
        self._body: list[str] = []
        self._parts: list[_Part] = []
        self._fields: list[dict[str, str]] = []
        for link in chain.links:
            self._add(link, statements[link.query])
        self.ddl = self._ddl()
        marks = ", ".join(f"${number + 1}" for number in range(len(self._arguments)))
        self._call = f"SELECT * FROM pg_temp.{name}({marks})"  # noqa: S608 -- values are bound

    async def call(self, connection: Any, attempt: Attempt) -> list[Any] | None:
        """Run the chain, and answer; see `Functions.attempt`."""
        try:
            rows = await connection.fetch(self._call, attempt.turn, *self._bound(attempt.values))
            if not rows:
                return None
            row = rows[0]
            if row[0] == len(self._parts):
                values = tuple(row)
                return [part.records([values[part.columns]])[0] for part in self._parts]
        except OverflowError as error:
            if self._chain.is_whole:
                raise unreadable_time_error(self._chain.links[0].query.table.name) from error
            raise NotAtOnceError from error
        except UnreadableError as error:
            if self._chain.is_whole:
                raise
            raise NotAtOnceError from error
        if row[0] == 0 or self._chain.is_whole:
            return None
        raise NotAtOnceError

    def _bound(self, values: Values) -> list[Any]:
        bound: list[Any] = []
        for part in self._parts:
            parameters = part.bind(values)
            if part.set_times is not None:
                part.set_times(parameters)
            bound += [parameters[place] for place in part.given]
        return bound

    # Writing it.

    def _add(self, link: Link, statement: CompiledStatement[Any]) -> None:
        driver = statement.driver
        text = text_for(self._dialect, link.query)
        words: list[str] = []
        given: list[int] = []
        for place, name in enumerate(driver.names):
            if name in link.found:
                number, field = link.found[name]
                words.append(self._fields[number][field])
            else:
                words.append(self._argument(text.binds[name].type))
                given.append(place)
        columns = slice(len(self._columns), len(self._columns) + len(link.query.returned))
        self._body.append(self._query(PARAMETER.sub(_put(words), text.sql), link))
        fixed = {**driver.constants, **dict.fromkeys([*driver.times, *link.found])}
        bind = statement.checks.binder(driver.names, fixed)
        self._parts.append(_Part(bind, statement.set_times, given, columns, statement.records))

    def _argument(self, type_: TypeEngine[Any]) -> str:
        """Declare one more argument, and return its name."""
        name = f"argument_{len(self._arguments)}"
        self._arguments.append(f"{name} {self._declared(type_)}")
        if isinstance(type_, SharedNow):
            self._body.append(f"    {name} := coalesce({name}, clock_timestamp());\n")
        return name

    def _query(self, sql: str, link: Link) -> str:
        """Write a query, whose row becomes further columns of the function's."""
        names: list[str] = []
        for column in link.query.returned:
            names.append(f"found_{len(self._columns)}")
            self._columns.append(f"{names[-1]} {self._declared(column.type)}")
        record = link.query.record
        of_record = [field.name for field in fields(record)] if is_dataclass(record) else []
        self._fields.append(dict(zip(of_record, names, strict=False)))
        leave = f"RAISE SQLSTATE '{UNDONE}'" if self._parts and self._chain.is_whole else LEAVE
        return (
            f"    {sql}\n    INTO {', '.join(names)};\n"
            f"    IF NOT FOUND THEN reached := {len(self._parts)}; {leave}; END IF;\n"
        )

    def _declared(self, type_: TypeEngine[Any]) -> str:
        """Return a type as a function declares it, which takes no collation."""
        return type_.compile(self._dialect).partition(" COLLATE ")[0]

    def _ddl(self) -> str:
        body = "".join(self._body)
        if self._chain.is_whole:
            body = (
                f"    BEGIN\n{body}    EXCEPTION WHEN SQLSTATE '{UNDONE}' THEN RETURN;\n    END;\n"
            )
        return (
            f"CREATE OR REPLACE FUNCTION pg_temp.{self.name}({', '.join(self._arguments)})\n"
            f"RETURNS TABLE ({', '.join(self._columns)}) LANGUAGE plpgsql AS $function$\n"
            "#variable_conflict use_column\n"
            "BEGIN\n"
            f"    IF turn IS NOT NULL THEN {TAKE_TURN}; END IF;\n"
            f"{body}"
            f"    reached := {len(self._parts)}; {LEAVE};\n"
            "END\n"
            "$function$"
        )


def _put(words: Sequence[str]) -> Callable[[re.Match[str]], str]:
    """Return what gives the word that stands for a parameter."""
    return lambda mark: words[int(mark[1]) - 1]
