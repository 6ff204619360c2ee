"""How rows become records, and what becomes of a value that cannot be read.

A row that holds one raises `UnreadableError` for whoever asks for it. Only a secret that cannot be
decrypted does not: the record has all the rest, and raises when the secret is looked at, so that
an account under a lost key can still be listed, passed by and taken out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import fields, is_dataclass
from functools import cache, partial
from operator import attrgetter
from typing import Any, TypeVar, cast

from sqlalchemy import ColumnElement, Dialect

from cw_store.errors import UnreadableError
from cw_store.interpreter import IS_KNOWN
from cw_store.statements.codegen import Processor, write_reader
from cw_store.types import Encrypted, Unreadable, kind_on

R = TypeVar("R")
S = TypeVar("S")

Row = Sequence[Any]
"""A row as a driver gives it, or as it is about to be stored: a value for each of its columns."""

Records = Callable[[Sequence[Row]], list[R]]


_is_in_place = IS_KNOWN


def fill_in_place(is_in_place: bool) -> bool:
    """Choose how readers that are made from now on make records, and return how they did."""
    global _is_in_place
    was_in_place, _is_in_place = _is_in_place, is_in_place
    return was_in_place


def reader_of(
    record: type[R], columns: Sequence[ColumnElement[Any]], dialect: Dialect, table: str
) -> Records[R]:
    """Return what builds a record of each row by position, or takes its only column.

    The constructor of a frozen dataclass costs five times a plain one, because it goes through
    object.__setattr__ for every field. So a plain object with the same slots is filled and then
    becomes the record; it has no other reference at that moment. Where Python is another than
    those which that was checked with, what was filled is copied: see `fill_in_place`.
    """
    if not is_dataclass(record):
        return _of_only_column(_Reader((columns[0].key or "?",), columns, dialect, table))
    reader = _Reader([field.name for field in fields(record)], columns, dialect, table)
    return _reader_in_place(record, reader) if _is_in_place else _copying_reader(record, reader)


def reader_of_pairs(
    kinds: tuple[type[R], type[S]],
    columns: Sequence[ColumnElement[Any]],
    dialect: Dialect,
    table: str,
) -> Records[tuple[R, S]]:
    """Return what builds of each row a record, or a value, and another of the columns behind."""
    kind = kinds[0]
    width = len(fields(kind)) if is_dataclass(kind) else 1
    first = reader_of(kind, columns[:width], dialect, table)
    second = reader_of(kinds[1], columns[width:], dialect, table)

    def records(rows: Sequence[Row]) -> list[tuple[R, S]]:
        firsts = first([row[:width] for row in rows])
        return list(zip(firsts, second([row[width:] for row in rows]), strict=True))

    return records


def _reader_in_place(record: type[R], reader: _Reader) -> Records[R]:
    kind_of = _kind_by_secrets(record, reader.secrets)

    def fill(blank: Any, row: Row) -> None:
        reader.fill(blank, row)
        blank.__class__ = kind_of(blank)

    return write_reader(
        record.__name__,
        reader.names,
        reader.processors,
        reader.kinds,
        reader.secrets,
        fill,
        record,
    )


def _copying_reader(record: type[R], reader: _Reader) -> Records[R]:
    kind_of = _kind_by_secrets(record, reader.secrets)
    read = write_reader(
        record.__name__,
        reader.names,
        reader.processors,
        reader.kinds,
        reader.secrets,
        reader.fill,
    )
    # By the slots themselves: a frozen record, and a secret that raises, take no assignment.
    slots = [(name, getattr(record, name).__set__) for name in reader.names]

    def records(rows: Sequence[Row]) -> list[R]:
        copies: list[R] = []
        for filled in read(rows):
            copied = object.__new__(kind_of(filled))
            for name, set_slot in slots:
                set_slot(copied, getattr(filled, name))
            copies.append(copied)
        return copies

    return records


def _kind_by_secrets(record: type[R], secrets: tuple[str, ...]) -> Callable[[Any], type[R]]:
    """Return what tells whether a filled object is the record, or its like that is unreadable."""
    if not secrets:
        return lambda _filled: record
    secrets_of = _getter(secrets)
    unreadable = _unreadable_in_part(record, secrets)

    def kind_of(filled: Any) -> type[R]:
        return unreadable if UnreadableError in map(type, secrets_of(filled)) else record

    return kind_of


def _getter(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what gets these attributes, as a tuple even of one."""
    return attrgetter(names[0], *names)


class _Reader:
    """What is known of the columns of a row: how each is converted, and of what kind it is."""

    def __init__(
        self,
        names: Sequence[str],
        columns: Sequence[ColumnElement[Any]],
        dialect: Dialect,
        table: str,
    ) -> None:
        # A query may go by one table and give rows of another, which it may have named anew.
        owners = [getattr(base, "table", None) for base in columns[0].base_columns]
        self._table = str(getattr(owners[0], "name", None) or table)
        self.names = names
        self._columns = [str(column.key) for column in columns]
        self.processors = [_processor(column, dialect, self._table) for column in columns]
        # A reference is what the id is that it refers to.
        self.kinds = [
            None if column.foreign_keys else kind_on(column.type, dialect) for column in columns
        ]
        self.secrets = tuple(
            name
            for name, column in zip(names, columns, strict=False)
            if isinstance(column.type, Encrypted)
        )

    def fill(self, blank: Any, row: Row) -> None:
        """Fill in what can be read, and the error in place of a secret that cannot.

        Raises UnreadableError for any other value that cannot be read.
        """
        for name, value in self._values(row):
            if type(value) is UnreadableError and name not in self.secrets:
                raise value
            setattr(blank, name, value)

    def only(self, row: Row) -> Any:
        """Read the first column; raises UnreadableError."""
        _name, value = next(self._values(row[:1]))
        if type(value) is UnreadableError:
            raise value
        return value

    def _values(self, row: Row) -> Iterator[tuple[str, Any]]:
        id = row[self.names.index("id")] if "id" in self.names else None
        for place, (name, value) in enumerate(zip(self.names, row, strict=False)):
            convert = self.processors[place]
            if convert is not None and name in self.secrets:
                convert = partial(convert, id=id)
            try:
                yield name, _read(value, convert, self.kinds[place])
            except UnreadableError as error:
                yield name, error
            except Exception as error:
                told = isinstance(error, Unreadable)
                reason = str(error) if told else f"it holds a {type(value).__name__} of no use here"
                column = self._columns[place]
                unreadable = UnreadableError(
                    self._table, id if type(id) is str else None, column, reason
                )
                unreadable.__cause__ = error
                yield name, unreadable


def _processor(column: ColumnElement[Any], dialect: Dialect, table: str) -> Processor | None:
    if isinstance(column.type, Encrypted):
        return column.type.cell_result_processor(dialect, table, str(column.key))
    return column.type.dialect_impl(dialect).result_processor(dialect, None)


def _read(value: Any, convert: Callable[[Any], Any] | None, kind: type | None) -> Any:
    if value is None:
        return None
    if kind is not None and type(value) is not kind:
        raise Unreadable(f"it holds a {type(value).__name__} and no {kind.__name__}")
    return value if convert is None else convert(value)


def _of_only_column(reader: _Reader) -> Records[Any]:
    convert = reader.processors[0]
    if convert is None:
        return lambda rows: [row[0] for row in rows]

    def read(row: Row) -> Any:
        try:
            return convert(row[0])
        except Exception:
            return reader.only(row)

    return lambda rows: list(map(read, rows))


@cache
def _unreadable_in_part(record: type[R], secrets: tuple[str, ...]) -> type[R]:
    """Return the record's like, which raises when a secret is asked for that is an error."""
    slots = {name: _raising(getattr(record, name)) for name in secrets}
    return cast(Any, type(record.__name__, (record,), {"__slots__": (), **slots}))


def _raising(slot: Any) -> property:
    def secret(self: object) -> object:
        value = slot.__get__(self)
        if type(value) is UnreadableError:
            raise copy(value) from value.__cause__
        return value

    return property(secret)
