"""A query compiled for one database: its SQL, what binds its parameters, and what reads its rows.

The parameters of a new row are in two orders. In `RowOrder` each stands once, where its column
stands in the table, which is what a record is made of. In `DriverOrder` they stand where the SQL
has them, some twice, among others that are constants of the statement. Of most INSERTs the two are
the same. Other statements have a `DriverOrder` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from operator import itemgetter
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import Dialect
from sqlalchemy.sql import Insert

from cw_store.errors import InvalidValueError, ReadOnlyError
from cw_store.statements.codegen import Processor, write_binder
from cw_store.statements.query import Query, column_of
from cw_store.statements.reading import Records, Row, reader_of, reader_of_pairs
from cw_store.statements.text import Text, text_for
from cw_store.types import (
    Clock,
    Encrypted,
    Now,
    PlainText,
    Refused,
    SharedNow,
    Stamp,
    StrictClock,
    UtcDateTime,
    clock_of,
)
from cw_store.types.storage import storage_on

R = TypeVar("R")

Parameters = list[Any]
"""The values of a statement's parameters in the driver's order."""

Values = Mapping[str, Any]
"""The values of a statement's parameters by name."""

SetTimes = Callable[[Parameters], None]

NONE_REFUSED = "must not be None"


class Statements(dict[Query[Any], Any]):
    """The queries of one open database, each compiled when it is first asked for.

    Values are `CompiledStatement`, those of an INSERT `CompiledInsert`. `refusal` says why nothing
    is written here, if so; what writes is a ReadOnlyError then.
    """

    def __init__(self, dialect: Dialect, refusal: str | None = None) -> None:
        self._dialect = dialect
        self.refusal = refusal

    def __missing__(self, query: Query[Any]) -> CompiledStatement[Any]:
        if query.writes and self.refusal is not None:
            raise ReadOnlyError(f"{query.table.name} cannot be written: {self.refusal}")
        statement = self[query] = compile_for(self._dialect, query)
        return statement


@dataclass(frozen=True, slots=True)
class DriverOrder:
    """A statement's parameters as the driver takes them: the name of each place.

    `constants` are part of the statement, and `times` what the store's clock gives.
    """

    names: Sequence[str]
    constants: Mapping[str, Any]
    times: Mapping[str, UtcDateTime]

    def places_of(self, kind: type[UtcDateTime]) -> list[int]:
        """Return the places that take this kind of time."""
        return [
            place for place, name in enumerate(self.names) if type(self.times.get(name)) is kind
        ]


@dataclass(frozen=True, slots=True)
class RowOrder:
    """The parameters of a new row as its columns stand, and what it holds where none is given."""

    names: Sequence[str]
    defaults: Values

    def arranger(self, driver: DriverOrder) -> Callable[[list[Any]], Parameters]:
        """Return what brings a whole row, and the constants, into the driver's order."""
        if list(self.names) == list(driver.names):
            return _as_it_is
        places = map([*self.names, *driver.constants].index, driver.names)
        pick = cast(Callable[[Row], Row], itemgetter(*places))
        constants = list(driver.constants.values())
        return lambda row: list(pick([*row, *constants]))

    def places_of_times(self, driver: DriverOrder) -> list[tuple[int, int]]:
        """Return where the clock's times stand, here and in the driver's order."""
        return [(self.names.index(name), driver.names.index(name)) for name in driver.times]


@dataclass(frozen=True, slots=True)
class Checks:
    """What checks and converts the values that a caller gives, by the parameter's name.

    Those `with_id` are checked together with the id of the row. What is `needed` must not be None.
    Where there are `plain` lengths, ASCII of such a length and without NUL is bound as it is.
    """

    query: Query[Any]
    processors: Mapping[str, Processor]
    with_id: AbstractSet[str]
    needed: AbstractSet[str]
    plain: Mapping[str, range]

    def binder(self, names: Sequence[str], fixed: Values) -> Callable[[Values], list[Any]]:
        """Return what checks and converts values, and returns them and the fixed ones in order."""
        statement = self.query.statement
        what = f"{statement.__visit_name__} {self.query.table.name}"
        return write_binder(
            what,
            names,
            self.processors,
            fixed,
            self.needed,
            self.refuse,
            self.with_id,
            self.plain,
        )

    def column(self, name: str, entries: Sequence[Values]) -> list[Any]:
        """Check and convert the value that each entry has of this name; raises Refused."""
        names = (name, "id") if name in self.with_id else (name,)
        column = list(
            map(self.processors[name], *(map(itemgetter(each), entries) for each in names))
        )
        if name in self.needed and None in column:
            raise Refused(NONE_REFUSED)
        return column

    def refuse(self, values: Values) -> None:
        """Raise InvalidValueError for the first value that is refused, if any is."""
        for name, process in self.processors.items():
            if name not in values:
                continue
            try:
                process(values[name], *([values["id"]] if name in self.with_id else ()))
                if values[name] is None and name in self.needed:
                    raise Refused(NONE_REFUSED)
            except Refused as refused:
                table = self.query.table.name
                raise InvalidValueError(
                    table, column_of(name), values[name], str(refused)
                ) from None


class CompiledStatement(Generic[R]):
    """A query compiled for one database.

    `bind` checks and converts values by name into parameters; raises InvalidValueError. `set_times`
    puts the clock's times into them when the statement is about to run, and is None where there are
    none. `records` makes records of the rows that came back; raises UnreadableError.
    """

    __slots__ = (
        "bind",
        "checks",
        "driver",
        "query",
        "records",
        "set_times",
        "sql",
        "writes",
    )

    def __init__(
        self, query: Query[R], sql: str, driver: DriverOrder, checks: Checks, dialect: Dialect
    ) -> None:
        self.query = query
        self.writes = query.writes
        self.sql = sql
        self.driver = driver
        self.checks = checks
        self.set_times = _time_setter(clock_of(dialect) or StrictClock(), driver, dialect)
        self.records = self._reader(dialect)
        self.bind = self._binder()

    def _reader(self, dialect: Dialect) -> Records[R]:
        query, table = self.query, self.query.table.name
        if query.pair is not None:
            return cast("Records[R]", reader_of_pairs(query.pair, query.returned, dialect, table))
        return reader_of(query.record, query.returned, dialect, table)

    def _binder(self) -> Callable[[Values], Parameters]:
        driver = self.driver
        return self.checks.binder(driver.names, {**driver.constants, **dict.fromkeys(driver.times)})

    def bind_all(self, batch: Iterable[Values]) -> list[Parameters]:
        """Do what `bind` does for each entry."""
        return [self.bind(values) for values in batch]

    def columns(self) -> list[str]:
        """Return the column that each of the driver's parameters is for; "" where it is none."""
        given = self.checks.processors
        return [column_of(name) if name in given else "" for name in self.driver.names]


class CompiledInsert(CompiledStatement[R]):
    """An INSERT compiled for one database, whose values are those of a new row.

    `arrange` brings a row into the driver's order.
    """

    __slots__ = ("_binders", "_order", "_times", "arrange")

    def __init__(
        self,
        query: Query[R],
        sql: str,
        order: RowOrder,
        driver: DriverOrder,
        checks: Checks,
        dialect: Dialect,
    ) -> None:
        self._order = order
        self._times = order.places_of_times(driver)
        self._binders: dict[frozenset[str], Callable[[Values], list[Any]]] = {}
        self.arrange = order.arranger(driver)
        super().__init__(query, sql, driver, checks, dialect)

    def _binder(self) -> Callable[[Values], Parameters]:
        if self.arrange is _as_it_is:
            return self.row
        return lambda values: self.arrange(self.row(values))

    def row(self, values: Values) -> list[Any]:
        """Check and convert `values`, and return them in their places among the defaults."""
        names = frozenset(values)
        bind = self._binders.get(names)
        if bind is None:
            bind = self._binders[names] = self._row_binder(names)
        return bind(values)

    def _row_binder(self, names: AbstractSet[str]) -> Callable[[Values], list[Any]]:
        assert names <= self.checks.processors.keys()
        defaults = self._order.defaults
        others = {name: defaults.get(name) for name in self._order.names if name not in names}
        return self.checks.binder(self._order.names, others)

    def with_times(self, row: list[Any], parameters: Parameters) -> Row:
        """Return a whole row with the times that its arranged parameters were given."""
        if parameters is not row:
            for place, source in self._times:
                row[place] = parameters[source]
        return row

    def bind_all(self, batch: Iterable[Values]) -> list[Parameters]:
        """Do what `bind` does for each entry; of many it is the quicker way, column by column."""
        entries = list(batch)
        names = entries[0].keys() if entries else ()
        if self.arrange is not _as_it_is or any(values.keys() != names for values in entries):
            return super().bind_all(entries)
        try:
            columns = [
                self.checks.column(name, entries)
                if name in names
                else repeat(self._order.defaults.get(name), len(entries))
                for name in self._order.names
            ]
        except Refused:
            for values in entries:
                self.checks.refuse(values)
            raise
        return list(map(list, zip(*columns, strict=True)))


def compile_for(dialect: Dialect, query: Query[R]) -> CompiledStatement[R]:
    """Compile a query for the database that this dialect speaks to, under its store's rules."""
    text = text_for(dialect, query)
    once = _in_order(query, text.names)
    driver = _driver_order(text, once, dialect)
    given = [name for name in once if name not in driver.constants]
    checks = _checks(query, given, text, dialect)
    if not isinstance(query.statement, Insert):
        return CompiledStatement(query, text.sql, driver, checks, dialect)
    order = RowOrder(given, _defaults(query, checks))
    return CompiledInsert(query, text.sql, order, driver, checks, dialect)


def _in_order(query: Query[Any], names: Sequence[str]) -> list[str]:
    """Return each parameter once; those of a new row in the order of its columns."""
    once = list(dict.fromkeys(names))
    if isinstance(query.statement, Insert):
        places = {name: place for place, name in enumerate(query.table.columns.keys())}
        once.sort(key=lambda name: places.get(name, len(places)))
    return once


def _driver_order(text: Text, once: Sequence[str], dialect: Dialect) -> DriverOrder:
    binds = text.binds
    times = {name: binds[name].type for name in once if isinstance(binds[name].type, Stamp | Now)}
    constants = {
        name: _processor(binds[name].type, dialect)(binds[name].value)
        for name in once
        if name not in times and not binds[name].required
    }
    return DriverOrder(text.names, constants, times)


def _checks(query: Query[Any], names: Sequence[str], text: Text, dialect: Dialect) -> Checks:
    binds = text.binds
    processors: dict[str, Processor] = {}
    with_id: set[str] = set()
    plain: dict[str, range] = {}
    for name in names:
        type_ = binds[name].type
        if isinstance(type_, Encrypted):
            table = query.table.name
            processors[name] = type_.cell_bind_processor(dialect, table, column_of(name))
            with_id.add(name)
        elif not isinstance(type_, Stamp | Now):
            processors[name] = _processor(type_, dialect)
        if isinstance(type_, PlainText) and (lengths := type_.plain_lengths(dialect)) is not None:
            plain[name] = lengths
    needed = frozenset(name for name in processors if query.needs(name))
    return Checks(query, processors, with_id, needed, plain)


def _processor(type_: Any, dialect: Dialect) -> Processor:
    return type_.dialect_impl(dialect).bind_processor(dialect) or _as_it_is


def _defaults(query: Query[Any], checks: Checks) -> dict[str, Any]:
    """Return what a new row holds where nothing is given."""
    defaults: dict[str, Any] = {}
    for name, process in checks.processors.items():
        if name not in query.table.columns:
            continue  # it is always given
        default: Any = query.table.columns[name].default
        defaults[name] = None if default is None else process(default.arg)
    return defaults


def _as_it_is(value: Any) -> Any:
    return value


def _time_setter(clock: Clock, driver: DriverOrder, dialect: Dialect) -> SetTimes | None:
    """Return what puts the time into parameters, where there is any."""
    stamps, readings = driver.places_of(Stamp), driver.places_of(Now)
    if clock.is_given or not storage_on(dialect).has_clock:
        readings += driver.places_of(SharedNow)
    if not stamps and not readings:
        return None
    set_times = partial(clock.set_times, readings, stamps)
    convert = storage_on(dialect).from_clock
    if convert is None:
        return set_times

    def set_converted(parameters: Parameters) -> None:
        set_times(parameters)
        for place in (*readings, *stamps):
            parameters[place] = convert(parameters[place])

    return set_converted
