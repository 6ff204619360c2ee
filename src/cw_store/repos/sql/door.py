"""The one door: every statement of every repository goes through it.

A `Query` is a statement, written once when its module is imported. For each store it is
compiled once into a `Prepared`: SQL text, the order of its parameters, the checks and
conversions of its column types, and how a row becomes a record. After that a call binds
values, visits the database once, and fills records by position.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from itertools import repeat, starmap, zip_longest
from operator import itemgetter
from typing import Any, Generic, Protocol, TypeVar, cast

from sqlalchemy import Dialect, Table
from sqlalchemy.sql import Delete, Insert, Select, Update

from cw_store.errors import InvalidValueError
from cw_store.types import Encrypted, Refused

R = TypeVar("R")

NEW_VALUE = "changed_"
"""Begins the name of a parameter that an UPDATE sets, as SQLAlchemy keeps the plain names."""

Statement = Select[Any] | Insert | Update | Delete
Processor = Callable[[Any], Any]
Row = Sequence[Any]


class Query(Generic[R]):
    """One statement and what its rows become: a record, or the value of its only column.

    `table` names the table in errors. The statement's own parameters are the names that
    the door's methods take. `on_sqlite` is what does the same there, with the same parameters,
    and costs less.
    """

    __slots__ = ("on_sqlite", "record", "statement", "table", "writes")

    def __init__(
        self,
        record: type[R],
        statement: Statement,
        table: Table,
        on_sqlite: Statement | None = None,
    ) -> None:
        self.record = record
        self.statement = statement
        self.on_sqlite = statement if on_sqlite is None else on_sqlite
        self.table = table
        self.writes = not isinstance(statement, Select)

    def _needs(self, parameter: str) -> bool:
        """Whether None is no argument: a comparison with NULL would silently find nothing."""
        if isinstance(self.statement, Insert):
            return False
        return not (isinstance(self.statement, Update) and parameter.startswith(NEW_VALUE))

    def prepare(self, dialect: Dialect) -> Prepared[R]:
        """Compile for one dialect, once."""
        statement = self.on_sqlite if dialect.name == "sqlite" else self.statement
        compiled = statement.compile(dialect=dialect)
        positions: Sequence[str] = getattr(compiled, "positiontup", None) or ()
        parameters: list[tuple[str, Processor]] = []
        constants: list[Any] = []
        given: list[str] = []
        fixed: list[str] = []
        for name in dict.fromkeys(positions):
            bind = compiled.binds[name]
            process = bind.type.dialect_impl(dialect).bind_processor(dialect) or _unchanged
            if bind.required:
                parameters.append((name, process))
                given.append(name)
            else:
                constants.append(process(bind.value))
                fixed.append(name)
        order = [(given + fixed).index(name) for name in positions]
        # An INSERT that returns nothing is given its rows back by `Door.insert_all`.
        returned = list(self.statement.exported_columns) or list(self.table.columns)
        processors = tuple(
            column.type.dialect_impl(dialect).result_processor(dialect, None) for column in returned
        )
        make, make_all = _maker(self.record, processors)
        return Prepared(
            query=self,
            sql=str(compiled),
            parameters=tuple(parameters),
            places={name: (place, each) for place, (name, each) in enumerate(parameters)},
            defaults=self._defaults(parameters),
            needed=tuple(name for name in given if self._needs(name)),
            constants=constants,
            order=order,
            arrange=_arranger(order, constants),
            make=make,
            make_all=make_all,
            fallible=any(isinstance(column.type, Encrypted) for column in returned),
        )

    def _defaults(self, parameters: Sequence[tuple[str, Processor]]) -> list[Any] | None:
        """Return what a new row holds where nothing is given; None when no row is new."""
        if not isinstance(self.statement, Insert):
            return None
        columns = self.table.columns
        defaults: list[Any] = []
        for name, process in parameters:
            default: Any = columns[name].default
            defaults.append(None if default is None else process(default.arg))
        return defaults


@dataclass(frozen=True, slots=True)
class Prepared(Generic[R]):
    """A statement ready for one backend.

    `parameters` are the names and checks of what a caller gives, `places` the same by name, with
    the place of each; `needed` are those that must not be None, and `defaults` what a new row
    holds where nothing is given. `constants` are part of the statement and come behind them;
    `order` are the places in the driver's order, which `arrange` brings about.

    `make` makes a record of a row, `make_all` those of many; `fallible` when that can fail, for
    want of a key.
    """

    query: Query[R]
    sql: str
    parameters: tuple[tuple[str, Processor], ...]
    places: Mapping[str, tuple[int, Processor]]
    defaults: list[Any] | None
    needed: tuple[str, ...]
    constants: list[Any]
    order: list[int]
    arrange: Callable[[list[Any]], Row]
    make: Callable[[Row], R]
    make_all: Callable[[Sequence[Row]], list[R]]
    fallible: bool

    def names(self) -> list[str]:
        """Return the column that each of the driver's parameters is for, in their order."""
        names = [name.removeprefix(NEW_VALUE) for name, _ in self.parameters]
        names += [""] * len(self.constants)
        return [names[place] for place in self.order]

    def bind(self, values: Mapping[str, Any]) -> Row:
        """Check and convert `values` into the driver's parameters, in the statement's order."""
        if self.defaults is not None:
            return self.arrange(self.row(values))
        try:
            checked = [process(values[name]) for name, process in self.parameters]
        except Refused:
            self._refuse(values)
            raise
        if None in checked:
            self._refuse(values)
        return self.arrange(checked)

    def row(self, values: Mapping[str, Any]) -> list[Any]:
        """Check and convert `values`, and return them in their places among the defaults."""
        assert self.defaults is not None
        row = self.defaults.copy()
        try:
            for name, value in values.items():
                place, process = self.places[name]
                row[place] = process(value)
        except Refused:
            self._refuse(values)
            raise
        return row

    def bind_all(self, batch: Iterable[Mapping[str, Any]]) -> list[Row]:
        """Do what `bind` does for each entry; of many new rows it is the quicker way."""
        entries = list(batch)
        names = entries[0].keys() if entries else ()
        if (
            self.defaults is None
            or self.arrange is not _as_it_is
            or any(values.keys() != names for values in entries)
        ):
            return [self.bind(values) for values in entries]
        try:
            columns = [
                map(process, map(itemgetter(name), entries))
                if name in names
                else repeat(default, len(entries))
                for (name, process), default in zip(self.parameters, self.defaults, strict=True)
            ]
            return list(zip(*columns, strict=True))
        except Refused:
            for values in entries:
                self._refuse(values)
            raise

    def _refuse(self, values: Mapping[str, Any]) -> None:
        """Raise for the first value that is refused, if any is."""
        for name, process in self.parameters:
            if name not in values:
                continue
            try:
                process(values[name])
                if values[name] is None and name in self.needed:
                    # A comparison with NULL would silently find nothing.
                    raise Refused("must not be None")
            except Refused as refused:
                column = name.removeprefix(NEW_VALUE)
                raise InvalidValueError(
                    self.query.table.name, column, values[name], str(refused)
                ) from None

    def load(self, rows: Sequence[Row]) -> list[R]:
        """Return the records of the rows that a statement found."""
        if type(rows) is Loaded:
            return list(rows)
        if len(rows) < 2:
            return [self.make(rows[0])] if rows else []
        return self.make_all(rows)

    def loaded(self, rows: Sequence[Row]) -> Loaded:
        """Return the records as what `load` takes, to make them now and not there."""
        return Loaded(self.load(rows))


class Loaded(list[Any]):
    """The records of rows, made already."""


def _unchanged(value: Any) -> Any:
    return value


def _as_it_is(checked: list[Any]) -> Row:
    return checked


def _arranger(order: Sequence[int], constants: list[Any]) -> Callable[[list[Any]], Row]:
    if list(order) == [*range(len(order))]:
        return (lambda checked: checked + constants) if constants else _as_it_is
    pick = cast(Callable[[list[Any]], Row], itemgetter(*order))
    return (lambda checked: pick(checked + constants)) if constants else pick


def _maker(
    record: type[R], processors: Sequence[Processor | None]
) -> tuple[Callable[[Row], R], Callable[[Sequence[Row]], list[R]]]:
    """Return what builds a record from a row by position, or takes its only column; one, and many.

    The constructor of a frozen dataclass costs five times a plain one, because it goes through
    object.__setattr__ for every field. So a plain object with the same slots is filled and then
    becomes the record; it has no other reference at that moment.
    """
    if not is_dataclass(record):
        only = processors[0] or _unchanged
        return (lambda row: only(row[0])), (lambda rows: [only(row[0]) for row in rows])
    blank = _blank([field.name for field in fields(record)], processors)

    def make(row: Row) -> R:
        filled = blank(*row)
        filled.__class__ = record
        return filled

    def make_all(rows: Sequence[Row]) -> list[R]:
        filled: list[Any] = list(starmap(blank, rows))
        for each in filled:
            each.__class__ = record
        return filled

    return make, make_all


def _blank(names: Sequence[str], processors: Sequence[Processor | None]) -> Any:
    """Write a class with these slots, whose constructor converts what it is given.

    Written out, as dataclasses do it, because a loop over the processors takes twice as long.
    """
    converters: dict[str, Any] = {}
    lines = [f"def __init__(self, {', '.join(names)}):"]
    # A statement that gives no rows back may have fewer columns than the record.
    for name, process in zip_longest(names, processors[: len(names)]):
        if process is None:
            lines.append(f"    self.{name} = {name}")
        else:
            converters[f"convert_{name}"] = process
            lines.append(f"    self.{name} = None if {name} is None else convert_{name}({name})")
    written: dict[str, Any] = {}
    exec("\n".join(lines), converters, written)  # noqa: S102 -- of a record's field names alone
    return type("Blank", (), {"__slots__": tuple(names), **written})


class Executor(Protocol):
    """What stands behind a door: a unit of work, or a store for one call at a time."""

    def prepare(self, query: Query[R]) -> Prepared[R]:
        """Return the query compiled for this backend."""
        ...

    def rows(self, prepared: Prepared[Any], parameters: Row) -> Awaitable[Sequence[Row]]:
        """Run a statement and return its rows, for `Prepared.load`."""
        ...

    def count(self, prepared: Prepared[Any], parameters: Row) -> Awaitable[int]:
        """Run a statement and return how many rows it changed."""
        ...

    def many(self, prepared: Prepared[Any], batch: Sequence[Row]) -> Awaitable[None]:
        """Run a statement once for each entry of the batch, in one visit, all or nothing."""
        ...

    @property
    def takes_turns(self) -> bool:
        """Whether `serialize` does anything: not where a transaction is alone anyway."""
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

    def now_and_stamp(self) -> tuple[datetime, datetime]:
        """Return both, from one reading."""
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
        return prepared.load(await self._executor.rows(prepared, prepared.bind(values)))

    async def first(self, query: Query[R], **values: Any) -> R | None:
        """Return the first row as a record, or None when there is none."""
        prepared = self._executor.prepare(query)
        found = await self._executor.rows(prepared, prepared.bind(values))
        if not found:
            return None
        return found[0] if type(found) is Loaded else prepared.make(found[0])

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
        """Insert one row; return it as it is stored, or None if a condition kept it out.

        The statement's parameters are the row's columns in their order. Asking the database
        for what it was just given costs more than making the record from that.
        """
        prepared = self._executor.prepare(query)
        whole = prepared.row(row)
        if await self._executor.count(prepared, prepared.arrange(whole)) == 0:
            return None
        return prepared.make(whole)

    async def insert_all(self, query: Query[R], batch: Iterable[Mapping[str, Any]]) -> list[R]:
        """Insert rows, all or none, in one visit; return them as they are stored.

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

    @property
    def takes_turns(self) -> bool:
        """Whether `serialize` does anything here."""
        return self._executor.takes_turns

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
