"""The one database: every statement of every repository goes through it.

A `Query` is a statement, written once when its module is imported. For each store it is
compiled once into a `Prepared`: SQL text, the order of its parameters, the checks and
conversions of its column types, and how a row becomes a record. After that a call binds
values, jobs the database once, and fills records by position.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Container, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from itertools import repeat
from operator import itemgetter
from typing import Any, Generic, Protocol, TypeVar, cast

from sqlalchemy import Dialect, Table
from sqlalchemy.sql import Delete, Insert, Select, Update

from cw_store.clock import StrictClock
from cw_store.errors import InvalidValueError, UnreadableError
from cw_store.schema import record_columns
from cw_store.statements.codegen import Processor, write_binder
from cw_store.statements.reading import Row, makers
from cw_store.types import (
    Clock,
    Encrypted,
    Now,
    Refused,
    Stamp,
    UtcDateTime,
    clock_of,
    timestamp_of,
)

R = TypeVar("R")

NEW_VALUE = "changed_"
"""Begins the name of a parameter that an UPDATE sets, as SQLAlchemy keeps the plain names."""

OLD_VALUE = "expected_"
"""Begins the name of a parameter that a column has to hold to be changed."""

NONE_REFUSED = "must not be None"

Statement = Select[Any] | Insert | Update | Delete


class Query(Generic[R]):
    """One statement and what its rows become: a record, or the value of its only column.

    `table` names the table in errors. The statement's own parameters are the names that
    the database's methods take. `on_sqlite` is what does the same there, with the same parameters,
    and costs less. `locks` says that a SELECT locks rows, which only writers may.
    """

    __slots__ = ("on_sqlite", "record", "statement", "table", "writes")

    def __init__(
        self,
        record: type[R],
        statement: Statement,
        table: Table,
        on_sqlite: Statement | None = None,
        *,
        locks: bool = False,
    ) -> None:
        self.record = record
        self.statement = statement
        self.on_sqlite = statement if on_sqlite is None else on_sqlite
        self.table = table
        self.writes = locks or not isinstance(statement, Select)

    def _needs(self, parameter: str) -> bool:
        """Whether None is refused: by the column, or as no argument of a comparison.

        A comparison with NULL would silently find nothing.
        """
        is_new_value = isinstance(self.statement, Insert) or parameter.startswith(NEW_VALUE)
        return not (is_new_value and self.table.columns[parameter.removeprefix(NEW_VALUE)].nullable)

    def prepare(self, dialect: Dialect) -> Prepared[R]:
        """Compile for one dialect, once."""
        statement = self.on_sqlite if dialect.name == "sqlite" else self.statement
        compiled = statement.compile(dialect=dialect)
        positions: Sequence[str] = getattr(compiled, "positiontup", None) or ()
        checks: dict[str, Processor] = {}
        constants: dict[str, Any] = {}
        with_id: set[str] = set()
        times: dict[str, type[UtcDateTime]] = {}
        for name in self._in_order(positions):
            bind = compiled.binds[name]
            if isinstance(bind.type, (Stamp, Now)):
                times[name] = type(bind.type)
                continue
            process = bind.type.dialect_impl(dialect).bind_processor(dialect) or _unchanged
            if not bind.required:
                constants[name] = process(bind.value)
            elif isinstance(bind.type, Encrypted):
                column = name.removeprefix(NEW_VALUE)
                checks[name] = bind.type.cell_bind_processor(dialect, self.table.name, column)
                with_id.add(name)
            else:
                checks[name] = process
        # An INSERT that returns nothing is given its rows back by `Database.insert_all`.
        returned = list(self.statement.exported_columns) or record_columns(self.table)
        make, make_all = makers(self.record, returned, dialect, self.table.name)
        return Prepared(
            query=self,
            sql=str(compiled),
            positions=positions,
            checks=checks,
            with_id=with_id,
            row_names=[name for name in self._in_order(positions) if name not in constants],
            defaults=self._defaults(checks),
            times=times,
            set_times=_time_setter(
                clock_of(dialect) or StrictClock(),
                [place for place, name in enumerate(positions) if times.get(name) is Stamp],
                [place for place, name in enumerate(positions) if times.get(name) is Now],
                None if dialect.name == "sqlite" else timestamp_of,
            ),
            needed=frozenset(name for name in checks if self._needs(name)),
            constants=constants,
            make=make,
            make_all=make_all,
        )

    def _in_order(self, positions: Sequence[str]) -> Iterable[str]:
        """Return each parameter once; those of a new row in the order of its columns."""
        if not isinstance(self.statement, Insert):
            return dict.fromkeys(positions)
        places = {name: place for place, name in enumerate(self.table.columns.keys())}
        return sorted(dict.fromkeys(positions), key=lambda name: places.get(name, len(places)))

    def _defaults(self, checks: Mapping[str, Processor]) -> dict[str, Any] | None:
        """Return what a new row holds where nothing is given; None when no row is new."""
        if not isinstance(self.statement, Insert):
            return None
        columns = self.table.columns
        defaults: dict[str, Any] = {}
        for name, process in checks.items():
            default: Any = columns[name].default
            defaults[name] = None if default is None else process(default.arg)
        return defaults


class Prepared(Generic[R]):
    """A statement ready for one backend.

    `positions` are the names of its parameters in the driver's order, some of them twice.
    `checks` check and convert what a caller gives, by name, those of the names `with_id` together
    with the id of the row; `needed` are the names that must not be None, and `defaults` what a
    new row holds where nothing is given, all in the row's order.
    `constants` are part of the statement. `times` are the names of what the store's clock gives;
    `set_times` puts them into bound parameters when the statement is about to run, and is None
    where there are none.

    `bind` checks and converts values by name into the driver's parameters, in their order, and
    `arrange` brings a whole row into that order. `make` makes a record of a row, `make_all` those
    of many; they raise UnreadableError.
    """

    __slots__ = (
        "_checks",
        "_defaults",
        "_needed",
        "_positions",
        "_row_binders",
        "_row_names",
        "_times_in_row",
        "_with_id",
        "arrange",
        "bind",
        "make",
        "make_all",
        "query",
        "set_times",
        "sql",
    )

    def __init__(
        self,
        *,
        query: Query[R],
        sql: str,
        positions: Sequence[str],
        checks: Mapping[str, Processor],
        with_id: Container[str],
        row_names: Sequence[str],
        times: Collection[str],
        set_times: Callable[[Row], None] | None,
        defaults: Mapping[str, Any] | None,
        needed: frozenset[str],
        constants: Mapping[str, Any],
        make: Callable[[Row], R],
        make_all: Callable[[Sequence[Row]], list[R]],
    ) -> None:
        self.query = query
        self.sql = sql
        self.make = make
        self.make_all = make_all
        self._positions = positions
        self._checks = checks
        self._with_id = with_id
        self._defaults = defaults
        self._needed = needed
        self._row_names = row_names
        self.set_times = set_times
        self._times_in_row = (
            [(row_names.index(name), positions.index(name)) for name in times] if defaults else []
        )
        self._row_binders: dict[frozenset[str], Callable[[Mapping[str, Any]], Row]] = {}
        self.arrange = _arranger([*row_names], positions, constants)
        self.bind: Callable[[Mapping[str, Any]], Row] = (
            self._bind_new
            if defaults is not None
            else write_binder(
                positions,
                checks,
                {**constants, **dict.fromkeys(times)},
                needed,
                self._refuse,
                with_id,
            )
        )

    def names(self) -> list[str]:
        """Return the column that each of the driver's parameters is for, in their order."""
        return [
            name.removeprefix(NEW_VALUE) if name in self._checks else "" for name in self._positions
        ]

    def row(self, values: Mapping[str, Any]) -> Row:
        """Check and convert `values`, and return them in their places among the defaults."""
        names = frozenset(values)
        binder = self._row_binders.get(names)
        if binder is None:
            binder = self._row_binders[names] = self._row_binder(names)
        return binder(values)

    def _row_binder(self, names: frozenset[str]) -> Callable[[Mapping[str, Any]], Row]:
        assert self._defaults is not None and names <= self._checks.keys()
        others = {name: self._defaults.get(name) for name in self._row_names if name not in names}
        return write_binder(
            self._row_names, self._checks, others, self._needed, self._refuse, self._with_id
        )

    def _bind_new(self, values: Mapping[str, Any]) -> Row:
        return self.arrange(self.row(values))

    def bind_all(self, batch: Iterable[Mapping[str, Any]]) -> list[Row]:
        """Do what `bind` does for each entry; of many new rows it is the quicker way."""
        entries = list(batch)
        names = entries[0].keys() if entries else ()
        if (
            self._defaults is None
            or self.arrange is not _as_it_is
            or any(values.keys() != names for values in entries)
        ):
            return [self.bind(values) for values in entries]
        columns: list[Iterable[Any]] = []
        try:
            for name in self._row_names:
                if name not in names:
                    columns.append(repeat(self._defaults.get(name), len(entries)))
                    continue
                process = self._checks[name]
                taken = [name, "id"] if name in self._with_id else [name]
                column = list(map(process, *(map(itemgetter(key), entries) for key in taken)))
                if name in self._needed and None in column:
                    raise Refused(NONE_REFUSED)
                columns.append(column)
        except Refused:
            for values in entries:
                self._refuse(values)
            raise
        return list(map(list, zip(*columns, strict=True)))

    def with_times(self, row: Row, parameters: Row) -> Row:
        """Return a whole row with the times that its arranged parameters were given."""
        if parameters is not row:
            for place, source in self._times_in_row:
                cast(list[Any], row)[place] = parameters[source]
        return row

    def _refuse(self, values: Mapping[str, Any]) -> None:
        """Raise for the first value that is refused, if any is."""
        for name, process in self._checks.items():
            if name not in values:
                continue
            try:
                process(values[name], *([values["id"]] if name in self._with_id else ()))
                if values[name] is None and name in self._needed:
                    raise Refused(NONE_REFUSED)
            except Refused as refused:
                column = name.removeprefix(NEW_VALUE).removeprefix(OLD_VALUE)
                raise InvalidValueError(
                    self.query.table.name, column, values[name], str(refused)
                ) from None

    def load(self, rows: Sequence[Row]) -> list[R]:
        """Return the records of the rows that a statement found; raises UnreadableError."""
        if type(rows) is Loaded:
            return list(rows)
        if len(rows) < 2:
            return [self.make(rows[0])] if rows else []
        return self.make_all(rows)

    def loaded(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Return the records as what `load` takes, to make them now and not there.

        Only there is a row that cannot be read an error, as the statement was none.
        """
        try:
            return Loaded(self.load(rows))
        except UnreadableError:
            return rows


class Loaded(list[Any]):
    """The records of rows, made already."""


def _unchanged(value: Any) -> Any:
    return value


def _as_it_is(row: Row) -> Row:
    return row


def _arranger(
    names: list[str], positions: Sequence[str], constants: Mapping[str, Any]
) -> Callable[[Row], Row]:
    """Return what brings a whole row, and the constants, into the driver's order."""
    if names == list(positions):
        return _as_it_is
    pick = cast(Callable[[Row], Row], itemgetter(*map([*names, *constants].index, positions)))
    fixed = list(constants.values())
    return lambda row: list(pick([*row, *fixed]))


def _time_setter(
    clock: Clock,
    stamps: Sequence[int],
    readings: Sequence[int],
    convert: Callable[[int], datetime] | None,
) -> Callable[[Any], None] | None:
    """Return what puts the time into these places of a list of parameters."""

    def set_stamps(parameters: Any) -> None:
        stamp = clock.stamp()
        for place in stamps:
            parameters[place] = stamp

    def set_all(parameters: Any) -> None:
        now, stamp = clock.now_and_stamp() if stamps else (clock.now(), 0)
        for places, time in ((readings, now), (stamps, stamp)):
            for place in places:
                parameters[place] = time if convert is None else convert(time)

    if not stamps and not readings:
        return None
    return set_stamps if convert is None and not readings else set_all


class Executor(Protocol):
    """What stands behind a database: a unit of work, or a store for one call at a time."""

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
        """Run a statement once for each entry of the batch, in one job, all or nothing."""
        ...

    @property
    def takes_turns(self) -> bool:
        """Whether `lock` does anything: not where a transaction is alone anyway."""
        ...

    def lock(self, name: str) -> Awaitable[None]:
        """Take turns with every other transaction that names `name`, until the end of this one."""
        ...

    def atomic(self) -> AbstractAsyncContextManager[Executor]:
        """Give an executor whose statements form one transaction that nobody interrupts."""
        ...


class Database:
    """Runs queries for the repositories."""

    __slots__ = ("_executor",)

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

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
        """Run the statement once for each entry, all or nothing, in one job."""
        prepared = self._executor.prepare(query)
        bound = prepared.bind_all(batch)
        if bound:
            await self._executor.many(prepared, bound)

    async def insert(self, query: Query[R], row: Mapping[str, Any]) -> R | None:
        """Insert one row; return it as it is stored, or None if a condition kept it out.

        The statement's parameters are all columns of the row. Asking the database for what it
        was just given costs more than making the record from that.
        """
        prepared = self._executor.prepare(query)
        whole = prepared.row(row)
        parameters = prepared.arrange(whole)
        if await self._executor.count(prepared, parameters) == 0:
            return None
        return prepared.make(prepared.with_times(whole, parameters))

    async def insert_all(self, query: Query[R], batch: Iterable[Mapping[str, Any]]) -> list[R]:
        """Insert rows, all or none, in one job; return them as they are stored.

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

    async def lock(self, name: str) -> None:
        """Let only one transaction at a time past this point for `name`, until it ends."""
        await self._executor.lock(name)

    @property
    def takes_turns(self) -> bool:
        """Whether `lock` does anything here."""
        return self._executor.takes_turns

    def atomic(self) -> _AtomicDatabase:
        """Give a database whose statements belong together; used with `async with`."""
        return _AtomicDatabase(self._executor.atomic())


class _AtomicDatabase:
    __slots__ = ("_scope",)

    def __init__(self, scope: AbstractAsyncContextManager[Executor]) -> None:
        self._scope = scope

    async def __aenter__(self) -> Database:
        return Database(await self._scope.__aenter__())

    async def __aexit__(self, *exc_info: Any) -> None:
        await self._scope.__aexit__(*exc_info)
