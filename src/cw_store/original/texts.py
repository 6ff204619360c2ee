"""Text and JSON of the source, made into what both databases keep; nothing of it is lost."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NamedTuple, cast

from cw_store.original.shape import SourceValue
from cw_store.types import Refused
from cw_store.types.json_text import check_json

NUL_SHOWN = "\u2400"
INSTEAD = "\ufffd"
TOO_LONG_TO_TELL = 1 << 62

NOT_UTF8 = "text_not_utf8"
HAS_NUL = "text_with_nul"
IS_NUMBER = "number_as_text"
JSON_AS_TEXT = "json_as_text"
JSON_REPEATED_KEY = "json_repeated_key"
JSON_NUMBER = "json_large_number"
JSON_TEXT = "json_text"
JSON_EMPTY = "json_empty"

REASONS = {
    NOT_UTF8: "it was no UTF-8; what was not is \ufffd now",
    HAS_NUL: "the character NUL is \u2400 now",
    IS_NUMBER: "a number where text is kept",
    JSON_AS_TEXT: "it is no JSON that the store keeps; its text is kept as a JSON string",
    JSON_REPEATED_KEY: "an object has a key twice; its text is kept as a JSON string",
    JSON_NUMBER: "a number past 64 bits is a float now",
    JSON_TEXT: "NUL is \u2400 now in its texts, and half a surrogate pair \ufffd",
    JSON_EMPTY: "empty text is no JSON; it is nothing now",
}


class Read(NamedTuple):
    """What a value of the source becomes, and the codes of what had to be done for it."""

    value: str | None
    codes: tuple[str, ...] = ()


def text_of(raw: SourceValue) -> Read:
    """Return text that the store can keep, whatever its length."""
    if raw is None:
        return Read(None)
    if not isinstance(raw, bytes):
        return Read(str(raw), (IS_NUMBER,))
    try:
        text, codes = raw.decode(), ()
    except UnicodeDecodeError:
        text, codes = raw.decode(errors="replace"), (NOT_UTF8,)
    if "\0" in text:
        return Read(text.replace("\0", NUL_SHOWN), (*codes, HAS_NUL))
    return Read(text, codes)


def json_of(raw: SourceValue) -> Read:
    """Return JSON as the store writes it; what is none becomes a JSON string of its text."""
    text, codes = text_of(raw)
    if text is None:
        return Read(None)
    if isinstance(raw, (int, float)):
        codes = ()
    if not text.strip():
        return Read(None, (*codes, JSON_EMPTY))
    reader = _Reader()
    try:
        value = reader.read(text)
    except (ValueError, RecursionError):
        return Read(_written(text), (*codes, JSON_AS_TEXT))
    if reader.has_repeated_key:
        return Read(_written(text), (*codes, JSON_REPEATED_KEY))
    if reader.has_large_number:
        codes = (*codes, JSON_NUMBER)
    if value is None:
        return Read(None, codes)
    return _checked(value, text, codes)


def _checked(value: Any, text: str, codes: tuple[str, ...]) -> Read:
    try:
        return Read(_written(value), codes)
    except Refused:
        pass
    try:
        return Read(_written(_mended(value)), (*codes, JSON_TEXT))
    except (Refused, RecursionError):  # deeper than what is kept, or keys that become one
        return Read(_written(text), (*codes, JSON_AS_TEXT))


def _written(value: object) -> str:
    return check_json(value, TOO_LONG_TO_TELL)


class _Reader:
    """Reads one JSON text, and notes what the store would not give back."""

    def __init__(self) -> None:
        self.has_repeated_key = False
        self.has_large_number = False

    def read(self, text: str) -> Any:
        return json.loads(
            text,
            parse_int=self._integer,
            parse_float=_finite,
            parse_constant=_refuse,
            object_pairs_hook=self._object,
        )

    def _integer(self, digits: str) -> int | float:
        number = int(digits)
        if -(1 << 63) <= number < 1 << 63:
            return number
        self.has_large_number = True
        return _finite(digits)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            self.has_repeated_key = True
        return found


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("a number that no float can hold")
    return number


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _mended(value: Any) -> Any:
    """Return the value with texts that both databases keep; raises Refused if keys become one."""
    match value:
        case str():
            return mended_text(value)
        case list():
            return [_mended(item) for item in cast("list[Any]", value)]
        case dict():
            entries = cast("dict[str, Any]", value)
            found = {mended_text(key): _mended(item) for key, item in entries.items()}
            if len(found) < len(entries):
                raise Refused("two keys become one")
            return found
        case _:
            return value


_HALF = re.compile("[\ud800-\udfff]")


def mended_text(text: str) -> str:
    """Return text without NUL and without halves of surrogate pairs."""
    # Two halves in a row are a character, which JSON's parser has made of them already.
    return _HALF.sub(INSTEAD, text.replace("\0", NUL_SHOWN))
