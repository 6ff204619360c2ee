"""How a value is written: for a program exactly, for a person briefly."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, cast

from cw_store.safe_text import safe, safe_json

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def as_json(value: object) -> Json:
    """Return what JSON can hold of a value.

    Times are in ISO 8601 and UTC, lengths of time in seconds. Of a record it holds what its `repr`
    shows, so no secret.
    """
    match value:
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return as_time(value)
        case timedelta():
            return value.total_seconds()
        case Mapping():
            pairs = cast(Mapping[object, object], value)
            return {str(key): as_json(each) for key, each in pairs.items()}
        case Iterable():
            return [as_json(each) for each in cast(Iterable[object], value)]
        case _ if dataclasses.is_dataclass(value):
            return {
                field.name: as_json(getattr(value, field.name))
                for field in dataclasses.fields(value)
                if field.repr
            }
        case _:
            return str(value)


def written(value: object, *, indent: int | None = None) -> str:
    """Return a value as JSON that a terminal can be shown."""
    plain: Any = as_json(value)
    separators = None if indent else (",", ":")
    return safe_json(json.dumps(plain, ensure_ascii=False, indent=indent, separators=separators))


def exact(value: object) -> str:
    """Return a value for one field of a line, to be read by a program."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return safe(value)
        case datetime():
            return as_time(value)
        case int() | float():
            return str(value)
        case timedelta():
            return f"{value.total_seconds():g}"
        case _:
            return written(value)


def brief(value: object, now: datetime) -> str:
    """Return a value for a person: times as far away as they are from `now`."""
    match value:
        case bool():
            return "yes" if value else "no"
        case datetime():
            return how_long_ago(value, now)
        case timedelta():
            return how_long(value)
        case _:
            return exact(value)


def as_time(value: datetime) -> str:
    """Return a time in ISO 8601, in UTC, to the microsecond."""
    utc = value.astimezone(UTC).replace(tzinfo=None)
    return f"{utc.isoformat(timespec='microseconds')}Z"


def how_long_ago(value: datetime, now: datetime) -> str:
    """Say how far away a time is: `5 min ago`, `in 2 h`, `now`."""
    away = now - value
    if abs(away) < timedelta(seconds=1):
        return "now"
    return f"{how_long(away)} ago" if away > timedelta(0) else f"in {how_long(-away)}"


def how_long(length: timedelta) -> str:
    """Say how long it is in the largest unit of which it has one: `45 s`, `5 min`, `26 h`, `3 d`.

    Days are counted from the second on.
    """
    seconds = int(length.total_seconds())
    for size, unit in _UNITS:
        if seconds >= size * (2 if unit == "d" else 1):
            return f"{seconds // size} {unit}"
    return "0 s"
