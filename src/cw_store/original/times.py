"""Times of the source, which has them in seconds, in milliseconds, and as text."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from cw_store.original.shape import SourceValue
from cw_store.types import Refused, microseconds_of

# For 1973 to 5138 no number is a time in two of them, so each value tells its unit by itself.
SECONDS_BELOW = 10**11
MILLISECONDS_BELOW = 10**14
MICROSECONDS_BELOW = 10**17

_FIRST = microseconds_of(datetime(1, 1, 2, tzinfo=UTC))
_LAST = microseconds_of(datetime(9999, 12, 30, 23, 59, 59, 999999, UTC))
_WHOLE = re.compile(r"[+-]?\d{1,20}")
_FRACTION = re.compile(r"[+-]?\d{1,20}\.\d*")


def microseconds(value: SourceValue) -> int | None:
    """Return a time in microseconds since 1970; None for what is no time the store can keep."""
    found = _text_time(value) if isinstance(value, bytes) else _number_time(value)
    return found if found is not None and _FIRST <= found <= _LAST else None


def _number_time(value: int | float | None) -> int | None:
    if value is None or not math.isfinite(value):
        return None
    size = abs(value)
    if size < SECONDS_BELOW:
        return round(value * 1_000_000)
    if size < MILLISECONDS_BELOW:
        return round(value * 1_000)
    return round(value) if size < MICROSECONDS_BELOW else None


def _text_time(value: bytes) -> int | None:
    try:
        text = value.decode("ascii").strip()
    except UnicodeDecodeError:
        return None
    if _WHOLE.fullmatch(text):
        return _number_time(int(text))
    if _FRACTION.fullmatch(text):
        return _number_time(float(text))
    try:
        time = datetime.fromisoformat(text)
        return microseconds_of(time if time.tzinfo is not None else time.replace(tzinfo=UTC))
    except (ValueError, OverflowError, Refused):
        return None
