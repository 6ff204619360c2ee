"""Which JSON both databases can keep, and how its text is written for each and read again."""

from __future__ import annotations

import json
import math
import re
from itertools import count
from typing import Any, cast

from cw_store.repos.json_value import JsonValue
from cw_store.types.rules import MAX_TEXT_BYTES, Refused, Unreadable
from cw_store.types.text import check_text

MAX_DEPTH = 100
INTEGER_BITS = 64


class JsonText(str):
    """JSON that is encoded already, where PostgreSQL's driver would give the decoded value."""

    __slots__ = ()


class UnreadableJson(str):
    """JSON that another program wrote and that Python cannot parse: too deep, too many digits."""

    __slots__ = ()


def check_json(value: object, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Return `value` as JSON text when both databases can keep it, else raise `Refused`."""
    _check_values(value)
    return check_text(encode_json(value), max_bytes)


def encode_json(value: object) -> str:
    """Return JSON text of a value that is known to be right."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _check_values(value: object) -> None:
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
                    if item.bit_length() >= INTEGER_BITS and item != -(1 << 63):
                        raise Refused("holds an integer past 64 bits")
                case float():
                    if not math.isfinite(item):
                        raise Refused("holds NaN or infinity, which JSON does not have")
                case list() | dict() if depth == MAX_DEPTH:
                    raise Refused(f"is nested deeper than {MAX_DEPTH} levels")
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


def decode_json(value: Any) -> JsonValue:
    """Return the value of JSON text, or None; raises `Unreadable`."""
    try:
        return None if value is None else read_json(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise Unreadable("it is no JSON that can be parsed") from error


def decode_json_unless_done(value: Any) -> JsonValue:
    """Return what asyncpg has decoded already, with the same `read_json`, where it could."""
    return decode_json(value) if isinstance(value, (JsonText, UnreadableJson)) else value


def check_jsonb(value: object, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Return the text that jsonb reads as `value`; raises `Refused`, as `check_json` does."""
    return for_jsonb(check_json(value, max_bytes))


def encode_jsonb(value: object) -> str:
    """Return the text that jsonb reads as a value that is known to be right."""
    return for_jsonb(encode_json(value))


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
