"""Lengths of time and times, as they are typed."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta


class NoTimeError(ValueError):
    """What was typed is no length of time, or no time; the message says what one is like."""


_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LENGTH = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(ms|s|min|m|h|d|w)", re.ASCII)


def length_of(typed: str) -> timedelta:
    """Return a length of time: `90s`, `10m`, `1.5h`, `30d`, `2w`; NoTimeError for another."""
    found = _LENGTH.fullmatch(typed.strip().lower())
    if found is None:
        raise NoTimeError(f"a length of time is like 90s, 10m, 2h, 30d or 2w, not {typed!r}")
    try:
        return timedelta(seconds=float(found[1]) * _SECONDS[found[2]])
    except OverflowError:
        raise NoTimeError(f"{typed!r} is longer than there is time") from None


def time_of(typed: str, now: datetime) -> datetime:
    """Return a time: a length from `now` on, or one in ISO 8601, in UTC unless it says another."""
    try:
        at = datetime.fromisoformat(typed.strip())
    except ValueError:
        return _after(now, typed)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def _after(now: datetime, typed: str) -> datetime:
    try:
        return now + length_of(typed)
    except (NoTimeError, OverflowError):
        example = "2026-11-30T09:00 (UTC unless it says another), or a length from now on, like 2h"
        raise NoTimeError(f"a time is like {example}, not {typed!r}") from None
