"""The types of the columns: what each takes, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, get_args

from sqlalchemy import BigInteger, Boolean, Dialect, Integer, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from cw_store.repos.json_value import JsonValue
from cw_store.types.json_text import JsonText
from cw_store.types.rules import ENCRYPTION_MARK, MAX_TEXT_BYTES, Cell, Refused, rules_of
from cw_store.types.storage import storage_on
from cw_store.types.text import check_text, plain

# A row of a B-tree takes a third of a page at most, 2,704 bytes of PostgreSQL's (its documentation,
# "B-Tree Indexes": Implementation).
MAX_INDEXED_BYTES = 2_000


class PlainText(TypeDecorator[str]):
    """Any text up to `max_text_bytes` of UTF-8 without NUL; compared byte by byte."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Sort by bytes on every database, whatever its locale."""
        return storage_on(dialect).text

    # The types give their processors themselves: what TypeDecorator makes of
    # process_bind_param is two calls and a look-up for every value.

    max_bytes = MAX_TEXT_BYTES
    """What the type itself allows; the store may allow less."""

    def bind_processor(self, dialect: Dialect) -> Callable[..., str | None]:
        """Refuse what is no text that both databases can keep."""
        max_bytes = min(self.max_bytes, rules_of(dialect).max_text_bytes)

        def check(value: Any) -> str | None:
            # Most text is short ASCII, and len() and find() are cheap.
            if type(value) is str and value.isascii() and len(value) <= max_bytes:
                if "\0" not in value:
                    return value
            return None if value is None else check_text(value, max_bytes)

        return check

    def plain_lengths(self, dialect: Dialect) -> range | None:
        """Return how long ASCII without NUL may be to be bound as it is, None if it must not be.

        Most text is that, so whoever checks many values need not call a function for each.
        """
        return range(min(self.max_bytes, rules_of(dialect).max_text_bytes) + 1)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Give text back as the driver does."""
        return None


class IndexedText(PlainText):
    """Text in a column that an index holds, which PostgreSQL's cannot for any length."""

    cache_ok = True
    max_bytes = MAX_INDEXED_BYTES


class Id(IndexedText):
    """The id of a row: text that is not empty."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[..., str | None]:
        """Refuse an empty id."""
        max_bytes = min(self.max_bytes, rules_of(dialect).max_text_bytes)

        def check(value: Any) -> str | None:
            if type(value) is str and value.isascii() and 0 < len(value) <= max_bytes:
                if "\0" not in value:
                    return value
            if value is None:
                return None
            text = check_text(value, max_bytes)
            if not text:
                raise Refused("must not be empty")
            return text

        return check

    def plain_lengths(self, dialect: Dialect) -> range | None:
        """Leave out the empty text."""
        lengths = super().plain_lengths(dialect)
        return lengths and lengths[1:]


class Ids(TypeDecorator[list[str]]):
    """A parameter that is a list of ids, of any length."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Give the list as the database takes one."""
        return dialect.type_descriptor(storage_on(dialect).ids)

    def bind_processor(self, dialect: Dialect) -> Callable[..., Any]:
        """Check each id."""
        check, write = Id().bind_processor(dialect), storage_on(dialect).write_ids

        def convert(ids: Any) -> Any:
            return None if ids is None else write(list(map(check, ids)))

        return convert


class OneOf(PlainText):
    """Text that is one of a Literal's values."""

    cache_ok = True

    def __init__(self, *values: str) -> None:
        self.values = values
        super().__init__()

    @classmethod
    def literal(cls, literal: object) -> OneOf:
        """Take the values of a `Literal[...]`."""
        return cls(*get_args(literal))

    def bind_processor(self, dialect: Dialect) -> Callable[..., str | None]:
        """Refuse a value that is not one of those listed."""
        values = self.values

        def check(value: Any) -> str | None:
            if value is None:
                return None
            if not isinstance(value, str):
                raise Refused(f"takes text, not {type(value).__name__}")
            if (text := plain(value)) not in values:
                raise Refused(f"must be one of {', '.join(values)}")
            return text

        return check

    def plain_lengths(self, dialect: Dialect) -> range | None:
        """Say that text has to be compared with the values."""
        return None


class WholeNumber(TypeDecorator[int]):
    """An integer of 32 bits, the smaller of what the two databases keep."""

    impl = Integer
    cache_ok = True
    bits = 32

    def bind_processor(self, dialect: Dialect) -> Callable[..., int | None]:
        """Refuse what is no integer (a bool is none) or too large."""
        bits = self.bits
        most = (1 << bits - 1) - 1
        least = -most - 1

        def check(value: Any) -> int | None:
            if value is None:
                return None
            if not isinstance(value, int) or isinstance(value, bool):
                raise Refused(f"takes an integer, not {type(value).__name__}")
            number = value if type(value) is int else int.__int__(value)
            if not least <= number <= most:
                raise Refused(f"does not fit into {bits} bits")
            return number

        return check


class LargeNumber(WholeNumber):
    """An integer of 64 bits, for what only grows."""

    impl = BigInteger
    cache_ok = True
    bits = 64


class Limit(WholeNumber):
    """How many there may be at once: 1 or more."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[..., int | None]:
        """Refuse a limit that lets nothing through."""
        check_number = super().bind_processor(dialect)

        def check(value: Any) -> int | None:
            number = check_number(value)
            if number is not None and number < 1:
                raise Refused("must be at least 1")
            return number

        return check


class Flag(TypeDecorator[bool]):
    """True or false, and nothing that merely counts as such."""

    impl = Boolean
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[..., bool | None]:
        """Refuse what is no bool."""

        def check(value: Any) -> bool | None:
            if value is None or isinstance(value, bool):
                return value
            raise Refused(f"takes a bool, not {type(value).__name__}")

        return check

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Make a bool of what the driver gives, where it is none yet."""
        return storage_on(dialect).read_flag


class UtcDateTime(TypeDecorator[datetime]):
    """A time: UTC microseconds since 1970 on SQLite, timestamptz on PostgreSQL."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Keep times as each database compares and indexes them best."""
        return dialect.type_descriptor(storage_on(dialect).timestamp)

    def bind_processor(self, dialect: Dialect) -> Callable[..., Any]:
        """Refuse a naive datetime; convert any zone to UTC."""
        write = storage_on(dialect).write_timestamp

        def check(value: Any) -> Any:
            return None if value is None else write(value)

        return check

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Give back an aware datetime in UTC."""
        return storage_on(dialect).read_timestamp


class Stamp(UtcDateTime):
    """A parameter that the store's clock gives when the statement runs: the next stamp."""

    cache_ok = True


class Now(UtcDateTime):
    """A parameter that the store's clock gives when the statement runs: its reading."""

    cache_ok = True


class SharedNow(Now):
    """A parameter that the store's clock gives, unless the database has a time that all share.

    It is NULL then, but for a store that was given a clock of the application's.
    """

    cache_ok = True


class Json(TypeDecorator[JsonValue]):
    """A JSON value: text on SQLite, jsonb on PostgreSQL; None is NULL."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Let PostgreSQL understand the value, and SQLite keep its text."""
        return dialect.type_descriptor(storage_on(dialect).json)

    def bind_processor(self, dialect: Dialect) -> Callable[..., str | None]:
        """Check and encode once; the driver is given JSON text on both databases."""
        write = storage_on(dialect).write_json
        max_bytes = rules_of(dialect).max_text_bytes

        def encode(value: Any) -> str | None:
            return None if value is None else JsonText(write(value, max_bytes))

        return encode

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[..., JsonValue]:
        """Decode JSON text, unless the driver has."""
        return storage_on(dialect).read_json


class CheckedJson(Json):
    """JSON that the store itself makes of values that were checked when they were stored.

    A row as JSON is a level deeper than the deepest of its values, and longer than the longest.
    """

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[..., str | None]:
        """Encode, whatever the length and depth."""
        encode = storage_on(dialect).encode_json

        def encode_unless_none(value: Any) -> str | None:
            return None if value is None else JsonText(encode(value))

        return encode_unless_none


class Encrypted(PlainText):
    """Opaque text, returned byte for byte; encrypted at rest when the store has keys.

    The repositories bind what they encrypt to its row and column, whose names `cell_bind_processor`
    and `cell_result_processor` are given. A statement of an application's own, through its
    session, tells a type the value and nothing else: what it writes is bound to nothing, and what
    is bound it reads as it is stored.
    """

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[..., str | None]:
        """Check the text, then encrypt it, bound to nothing."""
        check = super().bind_processor(dialect)
        encrypt = rules_of(dialect).encrypt

        def check_and_encrypt(value: Any) -> str | None:
            text = check(value)
            return None if text is None else encrypt(text, None)

        return check_and_encrypt

    def plain_lengths(self, dialect: Dialect) -> range | None:
        """Say that text has to be encrypted."""
        return None

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Give back what was passed in, unless it is bound to a row."""
        decrypt = rules_of(dialect).decrypt

        def decrypt_text(value: Any) -> str | None:
            if value is None or not value.startswith(ENCRYPTION_MARK):
                return value
            return decrypt(value, None)

        return decrypt_text

    def cell_bind_processor(
        self, dialect: Dialect, table: str, column: str
    ) -> Callable[[Any, Any], str | None]:
        """Return what checks a text and encrypts it for the row whose id it is given as well."""
        check = super().bind_processor(dialect)
        encrypt = rules_of(dialect).encrypt

        def check_and_encrypt(value: Any, id: Any) -> str | None:
            text = check(value)
            return None if text is None else encrypt(text, Cell(table, column, id))

        return check_and_encrypt

    def cell_result_processor(
        self, dialect: Dialect, table: str, column: str
    ) -> Callable[[Any, Any], str]:
        """Return what gives back a text that was encrypted for the row whose id it is given."""
        decrypt = rules_of(dialect).decrypt

        def decrypt_text(value: Any, id: Any) -> str:
            if not value.startswith(ENCRYPTION_MARK):
                return value
            return decrypt(value, Cell(table, column, id))

        return decrypt_text


def kind_on(type_: TypeEngine[Any], dialect: Dialect) -> type | None:
    """Return what every value of a column is, as the driver gives it, or else cannot be read.

    None where the database itself sees to it, or where the type's conversion does. A column of
    SQLite's takes values of any type from other programs; a CHECK keeps them from an enumeration.
    """
    if storage_on(dialect).checks_kinds or isinstance(type_, (OneOf, Encrypted)):
        return None
    if isinstance(type_, PlainText):
        return str
    return int if isinstance(type_, WholeNumber) else None
