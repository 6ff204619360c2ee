"""Column types: what each column takes, how each database keeps it, what is refused.

A type checks a value before it reaches a driver, so both databases refuse the same
things for the same reason. It raises `Refused`; the database adds table and column and
makes an `InvalidValueError` of it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, NamedTuple, Protocol, cast, get_args
from weakref import WeakKeyDictionary

from sqlalchemy import BigInteger, Boolean, Dialect, Integer, Text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.types import TypeDecorator, TypeEngine

from cw_store.repos.json_value import JsonValue

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
TIMESTAMPS_KEPT = 4096
# asyncpg takes the very first and the very last datetime for infinity, and the rotation of
# accounts stamps a microsecond after the latest use.
EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
TOO_LATE = datetime(9999, 12, 31, tzinfo=UTC)
EARLIEST_DAY = (EARLIEST - EPOCH).days
TOO_LATE_DAY = (TOO_LATE - EPOCH).days
OUT_OF_RANGE = "is not from 0001-01-02 to 9999-12-30 in UTC"
ENCRYPTION_MARK = "cw-store:"
"""Begins every text that is not what it was when it was stored."""
MAX_TEXT_BYTES = 16 * 1024 * 1024
# A row of a B-tree takes a third of a page at most, 2,704 bytes of PostgreSQL's (its documentation,
# "B-Tree Indexes": Implementation).
MAX_INDEXED_BYTES = 2_000
MAX_JSON_DEPTH = 100
INTEGER_BITS = 32
JSON_INTEGER_BITS = 64


class Refused(ValueError):
    """A value that a column type does not take; the message is the reason."""


class Unreadable(ValueError):
    """A stored value that a column type cannot read; the message is the reason."""


class Cell(NamedTuple):
    """Where a value is stored: its table, its column and the id of its row."""

    table: str
    column: str
    id: str


def _keep(text: str, _cell: Cell | None) -> str:
    return text


class Clock(Protocol):
    """A store's time, in microseconds since 1970; its methods raise StoreError."""

    def now(self) -> int:
        """Return the clock's reading, which may stand still or step back."""
        ...

    def stamp(self) -> int:
        """Return a time later than any stamp before."""
        ...

    def now_and_stamp(self) -> tuple[int, int]:
        """Return both, from one reading."""
        ...


@dataclass(frozen=True, slots=True)
class ValueRules:
    """What statements and types must know of the store that uses them.

    `encrypt` and `decrypt` are told which cell a text is for, None where nobody knows. `clock` is
    None where nothing is stamped.
    """

    max_text_bytes: int = MAX_TEXT_BYTES
    encrypts: bool = False
    encrypt: Callable[[str, Cell | None], str] = _keep
    decrypt: Callable[[str, Cell | None], str] = _keep
    clock: Clock | None = None


_DEFAULT_RULES = ValueRules()
_rules: WeakKeyDictionary[Dialect, ValueRules] = WeakKeyDictionary()


def use_rules(dialect: Dialect, rules: ValueRules) -> None:
    """Make every statement compiled or run with `dialect` follow `rules`."""
    _rules[dialect] = rules


def clock_of(dialect: Dialect) -> Clock | None:
    """Return the clock of the store that uses this dialect."""
    return _rules_of(dialect).clock


def _rules_of(dialect: Dialect) -> ValueRules:
    return _rules.get(dialect, _DEFAULT_RULES)


def check_text(value: object, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Return the text of `value` when both databases can keep it, else raise `Refused`."""
    if not isinstance(value, str):
        raise Refused(f"takes text, not {type(value).__name__}")
    value = _plain(value)
    if "\0" in value:
        raise Refused("must not contain the character NUL")
    if value.isascii():
        size = len(value)
    else:
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            raise Refused("must not contain a lone surrogate") from None
    if size > max_bytes:
        raise Refused(f"is {size} bytes long, more than the {max_bytes} allowed")
    return value


def _plain(text: str) -> str:
    """Return the text alone, of a member of an enumeration for instance, as it will be read."""
    return text if type(text) is str else str.__str__(text)


def check_json(value: object, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Return `value` as JSON text when both databases can keep it, else raise `Refused`."""
    level: list[object] = [value]
    for depth in count():
        if not level:
            break
        deeper: list[object] = []
        for item in level:
            match item:
                case None | bool():
                    pass
                case str():
                    _check_json_text(item)
                case int():
                    if item.bit_length() >= JSON_INTEGER_BITS and item != -(1 << 63):
                        raise Refused("holds an integer past 64 bits")
                case float():
                    if not math.isfinite(item):
                        raise Refused("holds NaN or infinity, which JSON does not have")
                case list() | dict() if depth == MAX_JSON_DEPTH:
                    raise Refused(f"is nested deeper than {MAX_JSON_DEPTH} levels")
                case list():
                    deeper.extend(cast(list[object], item))
                case dict():
                    for key, entry in cast(dict[object, object], item).items():
                        if not isinstance(key, str):
                            raise Refused("holds an object with a key that is not text")
                        _check_json_text(key)
                        deeper.append(entry)
                case _:
                    raise Refused(f"takes JSON values, not {type(item).__name__}")
        level = deeper
    encoded = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return check_text(encoded, max_bytes)


def _check_json_text(text: str) -> None:
    if "\0" in text:
        raise Refused("must not contain the character NUL")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Refused("must not contain a lone surrogate") from None


def read_json(text: str) -> JsonValue:
    """Parse JSON text as PostgreSQL's jsonb prints it or as `check_json` wrote it.

    jsonb prints a large float in full; since no integer past 64 bits is ever stored,
    a longer one was a float and becomes one again.
    """
    return _decoder.decode(text)


def _read_integer(digits: str) -> int | float:
    number = int(digits)
    if -(1 << 63) <= number < 1 << 63:
        return number
    if math.isinf(read := float(digits)):
        raise ValueError("a number that no float can hold")
    return read


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


_decoder = json.JSONDecoder(parse_int=_read_integer, parse_constant=_refuse_constant)


def read_json_or_keep(text: str) -> JsonValue:
    """Parse JSON text for a driver, or give back what cannot be parsed, for `Json` to refuse."""
    try:
        return read_json(text)
    except (ValueError, RecursionError):
        return UnreadableJson(text)


class UnreadableJson(str):
    """JSON that another program wrote and that Python cannot parse: too deep, too many digits."""

    __slots__ = ()


def kind_on(type_: TypeEngine[Any], dialect: Dialect) -> type | None:
    """Return what every value of a column is, as the driver gives it, or else cannot be read.

    None where the database itself sees to it, or where the type's conversion does. A column of
    SQLite's takes values of any type from other programs; a CHECK keeps them from an enumeration.
    """
    if dialect.name != "sqlite" or isinstance(type_, (OneOf, Encrypted)):
        return None
    if isinstance(type_, PlainText):
        return str
    return int if isinstance(type_, WholeNumber) else None


class _TextInByteOrder(Text):
    """Text on PostgreSQL, where the dialect would call it VARCHAR, which no column of ours is."""

    render_bind_cast = True

    def __init__(self) -> None:
        super().__init__(collation="C")


class PlainText(TypeDecorator[str]):
    """Any text up to `max_text_bytes` of UTF-8 without NUL; compared byte by byte."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Sort by bytes on PostgreSQL too, whatever the locale of the database."""
        if dialect.name == "postgresql":
            return _TextInByteOrder()
        return dialect.type_descriptor(Text())

    # The types give their processors themselves: what TypeDecorator makes of
    # process_bind_param is two calls and a look-up for every value.

    max_bytes = MAX_TEXT_BYTES
    """What the type itself allows; the store may allow less."""

    def bind_processor(self, dialect: Dialect) -> Callable[..., str | None]:
        """Refuse what is no text that both databases can keep."""
        max_bytes = min(self.max_bytes, _rules_of(dialect).max_text_bytes)

        def check(value: Any) -> str | None:
            # Most text is short ASCII, and len() and find() are cheap.
            if type(value) is str and value.isascii() and len(value) <= max_bytes:
                if "\0" not in value:
                    return value
            return None if value is None else check_text(value, max_bytes)

        return check

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
        max_bytes = min(self.max_bytes, _rules_of(dialect).max_text_bytes)

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
            if (text := _plain(value)) not in values:
                raise Refused(f"must be one of {', '.join(values)}")
            return text

        return check


class WholeNumber(TypeDecorator[int]):
    """An integer of 32 bits, the smaller of what the two databases keep."""

    impl = Integer
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[..., int | None]:
        """Refuse what is no integer (a bool is none) or too large."""

        def check(value: Any) -> int | None:
            if value is None:
                return None
            if not isinstance(value, int) or isinstance(value, bool):
                raise Refused(f"takes an integer, not {type(value).__name__}")
            number = value if type(value) is int else int.__int__(value)
            if not -0x80000000 <= number <= 0x7FFFFFFF:
                raise Refused(f"does not fit into {INTEGER_BITS} bits")
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
        """Make a bool of SQLite's 0 and 1; asyncpg's is one already."""
        return None if dialect.name == "postgresql" else _read_flag


class _Flags(dict[object, bool | None]):
    """The two values of a flag on SQLite, which takes others from other programs."""

    def __missing__(self, value: object) -> bool:
        raise Unreadable("it is neither 0 nor 1")


_read_flag = _Flags({0: False, 1: True, None: None}).__getitem__


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: UTC microseconds since 1970 on SQLite, timestamptz on PostgreSQL."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Keep moments as each database compares and indexes them best."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(BigInteger())

    def bind_processor(self, dialect: Dialect) -> Callable[..., Any]:
        """Refuse a naive datetime; convert any zone to UTC."""

        def to_utc(value: Any) -> datetime | None:
            return None if value is None else _in_utc(value)

        def to_microseconds(value: Any) -> int | None:
            return None if value is None else microseconds_of(value)

        return to_utc if dialect.name == "postgresql" else to_microseconds

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Give back an aware datetime in UTC, which asyncpg's already are but for infinity."""
        return _finite if dialect.name == "postgresql" else _timestamp


class Stamp(UtcDateTime):
    """A parameter that the store's clock gives when the statement runs: the next stamp."""

    cache_ok = True


class Now(UtcDateTime):
    """A parameter that the store's clock gives when the statement runs: its reading."""

    cache_ok = True


def microseconds_of(value: Any) -> int:
    """Return a moment in microseconds since 1970; raises `Refused` for what is none."""
    if type(value) is not datetime or value.tzinfo is not UTC:
        value = _in_utc(value)
    since = value - EPOCH
    if not EARLIEST_DAY <= since.days < TOO_LATE_DAY:
        raise Refused(OUT_OF_RANGE)
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


def timestamp_of(microseconds: int) -> datetime:
    """Return the moment so many microseconds after 1970."""
    return EPOCH + timedelta(microseconds=microseconds)


def _finite(moment: Any) -> Any:
    if moment is None or moment.tzinfo is UTC:
        return moment
    raise Unreadable("it is infinity")


def _in_utc(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise Refused(f"takes a datetime, not {type(value).__name__}")
    if value.tzinfo is not UTC:
        if value.tzinfo is None or value.utcoffset() is None:
            raise Refused("takes a datetime with a time zone, not a naive one")
        try:
            value = value.astimezone(UTC)
        except OverflowError:
            raise Refused(OUT_OF_RANGE) from None
    if type(value) is not datetime or value.fold:
        value = _plain_datetime(value)
    if not EARLIEST <= value < TOO_LATE:
        raise Refused(OUT_OF_RANGE)
    return value


def _plain_datetime(value: datetime) -> datetime:
    """Return the same time as what a read gives: no subclass, and no `fold`."""
    date = (value.year, value.month, value.day)
    return datetime(*date, value.hour, value.minute, value.second, value.microsecond, UTC)


class _Timestamps(dict[int | None, datetime | None]):
    """The moments that were read, by their microseconds, until there are too many.

    The same rows are read again and again, and most rows have the same time twice. To forget all
    at once costs a write less than to forget the oldest, which has left the processor's cache.
    """

    def __missing__(self, microseconds: int | None) -> datetime | None:
        if microseconds is None:
            return None
        if len(self) >= TIMESTAMPS_KEPT:
            self.clear()
        moment = self[microseconds] = _timestamp_at(microseconds)
        return moment


_timestamp = _Timestamps().__getitem__


def _timestamp_at(microseconds: object) -> datetime:
    if not isinstance(microseconds, int):
        raise Unreadable(f"it is a {type(microseconds).__name__} and no integer of microseconds")
    try:
        return EPOCH + microseconds * MICROSECOND
    except OverflowError:
        raise Unreadable("it is no time from the year 1 to 9999") from None


# A string is matched whole, so that nothing inside one is taken for a number.
_TEXT_OR_NUMBER = re.compile(
    r'"(?:[^"\\]|\\.)*"|(-?\d+(?:\.\d+)?e\+1\d(?!\d)|-0\.0(?!\d))',
)


def for_jsonb(text: str) -> str:
    """Write 1.2345678901234568e+18 in JSON as 1234567890123456768.0, and -0.0 as 0.0.

    jsonb writes the first as 1234567890123456800, which reads as an integer: another type, and
    another value. It keeps the second as it is. It has no negative zero.
    """
    if "e+1" in text or "-0.0" in text:
        return _TEXT_OR_NUMBER.sub(_spelled_out, text)
    return text


def _spelled_out(match: re.Match[str]) -> str:
    return f"{float(match[1]) + 0.0:.1f}" if match[1] else match[0]


class JsonText(str):
    """JSON that is encoded already, where PostgreSQL's driver would give the decoded value."""

    __slots__ = ()


class Json(TypeDecorator[JsonValue]):
    """A JSON value: text on SQLite, jsonb on PostgreSQL; None is NULL."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Let PostgreSQL understand the value, and SQLite keep its text."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(JSONB(none_as_null=True))
        return dialect.type_descriptor(Text())

    def bind_processor(self, dialect: Dialect) -> Callable[..., str | None]:
        """Check and encode once; the driver is given JSON text on both databases."""
        max_bytes = _rules_of(dialect).max_text_bytes

        def encode(value: Any) -> str | None:
            return None if value is None else JsonText(check_json(value, max_bytes))

        def encode_for_jsonb(value: Any) -> str | None:
            return None if value is None else JsonText(for_jsonb(check_json(value, max_bytes)))

        return encode_for_jsonb if dialect.name == "postgresql" else encode

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[..., JsonValue]:
        """Decode JSON text; asyncpg has decoded it already, with the same `read_json`."""

        def decode(value: Any) -> JsonValue:
            try:
                return None if value is None else read_json(value)
            except (ValueError, TypeError, RecursionError) as error:
                raise Unreadable("it is no JSON that can be parsed") from error

        def decode_unless_done(value: Any) -> JsonValue:
            return decode(value) if isinstance(value, (JsonText, UnreadableJson)) else value

        return decode_unless_done if dialect.name == "postgresql" else decode


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
        encrypt = _rules_of(dialect).encrypt

        def check_and_encrypt(value: Any) -> str | None:
            text = check(value)
            return None if text is None else encrypt(text, None)

        return check_and_encrypt

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Give back what was passed in, unless it is bound to a row."""
        decrypt = _rules_of(dialect).decrypt

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
        encrypt = _rules_of(dialect).encrypt

        def check_and_encrypt(value: Any, id: Any) -> str | None:
            text = check(value)
            return None if text is None else encrypt(text, Cell(table, column, id))

        return check_and_encrypt

    def cell_result_processor(
        self, dialect: Dialect, table: str, column: str
    ) -> Callable[[Any, Any], str]:
        """Return what gives back a text that was encrypted for the row whose id it is given."""
        decrypt = _rules_of(dialect).decrypt

        def decrypt_text(value: Any, id: Any) -> str:
            if not value.startswith(ENCRYPTION_MARK):
                return value
            return decrypt(value, Cell(table, column, id))

        return decrypt_text
