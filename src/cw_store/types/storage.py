"""How each database keeps what the types hold: the one place of theirs that asks which it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Dialect, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP
from sqlalchemy.types import TypeEngine

from cw_store.repos.json_value import JsonValue
from cw_store.types.json_text import (
    check_json,
    check_jsonb,
    decode_json,
    decode_json_unless_done,
    encode_json,
    encode_jsonb,
)
from cw_store.types.rules import Unreadable
from cw_store.types.timestamps import (
    finite,
    in_utc,
    microseconds_of,
    read_microseconds,
    timestamp_of,
)


@dataclass(frozen=True, slots=True)
class Storage:
    """What one database keeps text, times and JSON in, and how they get there and back.

    What writes raises `Refused`, what reads raises `Unreadable` and takes None as well.
    """

    text: TypeEngine[Any]
    timestamp: TypeEngine[Any]
    write_timestamp: Callable[[Any], Any]
    read_timestamp: Callable[[Any], Any]
    from_clock: Callable[[int], Any] | None
    """Returns what the driver is given for a clock's microseconds, None where it is those."""
    json: TypeEngine[Any]
    write_json: Callable[[object, int], str]
    """Returns the JSON text that the driver is given; told how long it may be, in bytes."""
    encode_json: Callable[[object], str]
    """Does the same for a value that was made of checked ones, however long or deep it is."""
    read_json: Callable[[Any], JsonValue]
    ids: TypeEngine[Any]
    write_ids: Callable[[list[str | None]], Any]
    """Returns what the driver is given for a list of ids."""
    read_flag: Callable[[Any], bool | None] | None
    """None where the driver gives a bool."""
    checks_kinds: bool
    """Whether a column takes values of its own type only, whoever writes them."""
    has_clock: bool
    """Whether it has a time of its own, which all who use it share."""


class _TextInByteOrder(Text):
    """Text on PostgreSQL, where the dialect would call it VARCHAR, which no column of ours is."""

    render_bind_cast = True

    def __init__(self) -> None:
        super().__init__(collation="C")


class _Flags(dict[object, bool | None]):
    """The two values of a flag on SQLite, which takes others from other programs."""

    def __missing__(self, value: object) -> bool:
        raise Unreadable("it is neither 0 nor 1")


_read_flag = _Flags({0: False, 1: True, None: None}).__getitem__

_SQLITE = Storage(
    text=Text(),
    timestamp=BigInteger(),
    write_timestamp=microseconds_of,
    read_timestamp=read_microseconds,
    from_clock=None,
    json=Text(),
    write_json=check_json,
    encode_json=encode_json,
    read_json=decode_json,
    ids=Text(),
    write_ids=json.dumps,
    read_flag=_read_flag,
    checks_kinds=False,
    has_clock=False,
)

_STORAGE = {
    "sqlite": _SQLITE,
    "postgresql": Storage(
        text=_TextInByteOrder(),
        timestamp=TIMESTAMP(timezone=True),
        write_timestamp=in_utc,
        read_timestamp=finite,
        from_clock=timestamp_of,
        json=JSONB(none_as_null=True),
        write_json=check_jsonb,
        encode_json=encode_jsonb,
        read_json=decode_json_unless_done,
        ids=ARRAY(Text()),
        write_ids=list,
        read_flag=None,
        checks_kinds=True,
        has_clock=True,
    ),
}


def storage_on(dialect: Dialect) -> Storage:
    """Return how this database keeps values; what only prints a statement is taken for SQLite."""
    return _STORAGE.get(dialect.name, _SQLITE)
