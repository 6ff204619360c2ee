"""The one door: every statement of every repository goes through it.

A `Query` is a statement, written once when its module is imported. For each store it is
compiled once into a `Prepared`: SQL text, the order of its parameters, the checks and
conversions of its column types, and how a row becomes a record. After that a call binds
values, visits the database once, and fills records by position.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, fields, is_dataclass, make_dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Dialect, Table
from sqlalchemy.sql import Delete, Insert, Select, Update

from cw_store.errors import InvalidValueError
from cw_store.types import Encrypted, Refused

R = TypeVar("R")

NEW_VALUE = "changed_"
"""Begins the name of a parameter that an UPDATE sets, as SQLAlchemy keeps the plain names."""

Statement = Select[Any] | Insert | Update | Delete
Processor = Callable[[Any], Any]


class Query(Generic[R]):
    """One statement and what its rows become: a record, or the value of its only column.

    `table` names the table in errors. The statement's own parameters are the names that
    the door's methods take.
    """

    __slots__ = ("record", "statement", "table", "writes")

    def __init__(self, record: type[R], statement: Statement, table: Table) -> None:
        self.record = record
        self.statement = statement
        self.table = table
        self.writes = not isinstance(statement, Select)

    def _needs(self, parameter: str) -> bool:
        """Whether None is no argument: a comparison with NULL would silently find nothing."""
        if isinstance(self.statement, Insert):
            return False
        return not (isinstance(self.statement, Update) and parameter.startswith(NEW_VALUE))

    def prepare(self, dialect: Dialect) -> Prepared[R]:
        """Compile for one dialect, once."""
        compiled = self.statement.compile(dialect=dialect)
        names: Sequence[str] = getattr(compiled, "positiontup", None) or ()
        parameters: list[tuple[str, Processor]] = []
        constants: list[tuple[int, Any]] = []
        for position, name in enumerate(names):
            bind = compiled.binds[name]
            process = bind.type.dialect_impl(dialect).bind_processor(dialect) or _unchanged
            if bind.required:
                if self._needs(name):
                    process = _needed(process)
                parameters.append((name, process))
            else:
                constants.append((position, process(bind.value)))
        # An INSERT that returns nothing is given its rows back by `Door.insert_all`.
        returned = list(self.statement.exported_columns) or list(self.table.columns)
        processors = tuple(
            column.type.dialect_impl(dialect).result_processor(dialect, None) for column in returned
        )
        return Prepared(
            query=self,
            sql=str(compiled),
            parameters=tuple(parameters),
            constants=tuple(constants),
            load=_loader(self.record, processors),
            width=len(processors),
            fallible=any(isinstance(column.type, Encrypted) for column in returned),
        )


@dataclass(frozen=True, slots=True)
class Prepared(Generic[R]):
    """A statement ready for one backend.

    `parameters` are the names and checks of the driver's parameters in their order;
    `constants` are those, by position, whose value is part of the statement. `load` makes
    records of rows of `width` columns; `fallible` when that can fail, for want of a key.
    """

    query: Query[R]
    sql: str
    parameters: tuple[tuple[str, Processor], ...]
    constants: tuple[tuple[int, Any], ...]
    load: Callable[[Sequence[Sequence[Any]]], list[R]]
    width: int
    fallible: bool

    def names(self) -> list[str]:
        """Return the column that each of the driver's parameters is for, in their order."""
        names = [name.removeprefix(NEW_VALUE) for name, _ in self.parameters]
        for position, _ in self.constants:
            names.insert(position, "")
        return names

    def bind(self, values: Mapping[str, Any]) -> list[Any]:
        """Check and convert `values` into the driver's parameters, in the statement's order."""
        try:
            bound = [process(values[name]) for name, process in self.parameters]
        except Refused:
            self._refuse(values)
            raise
        for position, constant in self.constants:
            bound.insert(position, constant)
        return bound

    def bind_all(self, batch: Iterable[Mapping[str, Any]]) -> list[Sequence[Any]]:
        """Do what `bind` does for each entry; of many it is the quicker way."""
        entries = list(batch)
        if self.constants:
            return [self.bind(values) for values in entries]
        try:
            columns = [
                map(process, map(itemgetter(name), entries)) for name, process in self.parameters
            ]
            return list(zip(*columns, strict=True))
        except Refused:
            for values in entries:
                self._refuse(values)
            raise

    def _refuse(self, values: Mapping[str, Any]) -> None:
        for name, process in self.parameters:
            try:
                process(values[name])
            except Refused as refused:
                column = name.removeprefix(NEW_VALUE)
                raise InvalidValueError(
                    self.query.table.name, column, values[name], str(refused)
                ) from None


def _unchanged(value: Any) -> Any:
    return value


def _needed(process: Processor) -> Processor:
    def check(value: Any) -> Any:
        if value is None:
            raise Refused("must not be None")
        return process(value)

    return check


def _loader(
    record: type[R], processors: Sequence[Processor | None]
) -> Callable[[Sequence[Sequence[Any]]], list[R]]:
    """Build records from rows by position, or take the only column of each row.

    The constructor of a frozen dataclass costs five times a plain one, because it goes
    through object.__setattr__ for every field. So a plain class with the same slots is
    filled and then becomes the record; it has no other reference at that moment.
    """
    converted = [(index, process) for index, process in enumerate(processors) if process]
    if not is_dataclass(record):
        only = processors[0] or _unchanged
        return lambda rows: [only(row[0]) for row in rows]
    names = [field.name for field in fields(record)]
    blank: Any = make_dataclass(f"Blank{record.__name__}", names, slots=True, eq=False, repr=False)

    def load_one(row: Sequence[Any]) -> R:
        values = list(row)
        for index, process in converted:
            values[index] = process(values[index])
        filled = blank(*values)
        filled.__class__ = record
        return filled

    def load(rows: Sequence[Sequence[Any]]) -> list[R]:
        if len(rows) < 2:
            return [load_one(row) for row in rows]
        columns: list[Iterable[Any]] = list(zip(*rows, strict=True))
        for index, process in converted:
            columns[index] = map(process, columns[index])
        filled: list[Any] = list(map(blank, *columns))
        for each in filled:
            each.__class__ = record
        return filled

    return load


class Executor(Protocol):
    """What stands behind a door: a unit of work, or a store for one call at a time."""

    def prepare(self, query: Query[R]) -> Prepared[R]:
        """Return the query compiled for this backend."""
        ...

    def rows(self, prepared: Prepared[R], parameters: Sequence[Any]) -> Awaitable[list[R]]:
        """Run a statement and return its rows as records."""
        ...

    def count(self, prepared: Prepared[Any], parameters: Sequence[Any]) -> Awaitable[int]:
        """Run a statement and return how many rows it changed."""
        ...

    def many(self, prepared: Prepared[Any], batch: Sequence[Sequence[Any]]) -> Awaitable[None]:
        """Run a statement once for each entry of the batch, in one visit, all or nothing."""
        ...

    def serialize(self, name: str) -> Awaitable[None]:
        """Take turns with every other transaction that names `name`, until the end of this one."""
        ...

    def atomic(self) -> AbstractAsyncContextManager[Executor]:
        """Give an executor whose statements form one transaction that nobody interrupts."""
        ...


class Clock(Protocol):
    """The store's time."""

    def now(self) -> datetime:
        """Return the clock's reading, which may stand still or step back."""
        ...

    def stamp(self) -> datetime:
        """Return a time later than any this process stamped before."""
        ...


class Door:
    """Runs queries for the repositories, and tells them the time."""

    __slots__ = ("_executor", "clock")

    def __init__(self, executor: Executor, clock: Clock) -> None:
        self._executor = executor
        self.clock = clock

    async def all(self, query: Query[R], **values: Any) -> list[R]:
        """Return every row as a record, in the statement's order."""
        prepared = self._executor.prepare(query)
        return await self._executor.rows(prepared, prepared.bind(values))

    async def first(self, query: Query[R], **values: Any) -> R | None:
        """Return the first row as a record, or None when there is none."""
        prepared = self._executor.prepare(query)
        found = await self._executor.rows(prepared, prepared.bind(values))
        return found[0] if found else None

    async def count(self, query: Query[Any], **values: Any) -> int:
        """Return how many rows the statement changed."""
        prepared = self._executor.prepare(query)
        return await self._executor.count(prepared, prepared.bind(values))

    async def many(self, query: Query[Any], batch: Iterable[Mapping[str, Any]]) -> None:
        """Run the statement once for each entry, all or nothing, in one visit."""
        prepared = self._executor.prepare(query)
        bound = prepared.bind_all(batch)
        if bound:
            await self._executor.many(prepared, bound)

    async def insert(self, query: Query[R], row: Mapping[str, Any]) -> R | None:
        """Insert one whole row; return it as it is stored, or None if a condition kept it out.

        The statement's parameters begin with the row's columns in their order. Asking the
        database for what it was just given costs more than making the record from that.
        """
        prepared = self._executor.prepare(query)
        bound = prepared.bind(row)
        if await self._executor.count(prepared, bound) == 0:
            return None
        return prepared.load([bound[: prepared.width]])[0]

    async def insert_all(self, query: Query[R], batch: Iterable[Mapping[str, Any]]) -> list[R]:
        """Insert whole rows, all or none, in one visit; return them as they are stored.

        The statement is an INSERT of every column, so its parameters are the stored row.
        """
        prepared = self._executor.prepare(query)
        bound = prepared.bind_all(batch)
        if bound:
            await self._executor.many(prepared, bound)
        return prepared.load(bound)

    def check(self, query: Query[Any], batch: Iterable[Mapping[str, Any]]) -> None:
        """Raise InvalidValueError for what `insert_all` would refuse, and write nothing."""
        prepared = self._executor.prepare(query)
        prepared.bind_all(batch)

    async def serialize(self, name: str) -> None:
        """Let only one transaction at a time past this point for `name`, until it ends."""
        await self._executor.serialize(name)

    def atomic(self) -> _AtomicDoor:
        """Give a door whose statements belong together: `async with door.atomic() as door:`."""
        return _AtomicDoor(self._executor.atomic(), self.clock)


class _AtomicDoor:
    __slots__ = ("_clock", "_scope")

    def __init__(self, scope: AbstractAsyncContextManager[Executor], clock: Clock) -> None:
        self._scope = scope
        self._clock = clock

    async def __aenter__(self) -> Door:
        return Door(await self._scope.__aenter__(), self._clock)

    async def __aexit__(self, *exc_info: Any) -> None:
        await self._scope.__aexit__(*exc_info)
