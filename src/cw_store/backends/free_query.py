"""A statement of a person's own that only reads: what comes back, and which statements are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cw_store.backends.transaction_control import leading_words
from cw_store.errors import InvalidValueError, ReadOnlyError

QueryValue = str | int | float | bool | bytes | datetime | None


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What `query_store` found: the names of the columns, and the rows.

    `is_cut` says that there are more rows than were asked for.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[QueryValue, ...], ...]
    is_cut: bool


def refuse_unless_reading(sql: str, allowed: Sequence[str], *, nested: bool) -> None:
    """Raise ReadOnlyError unless the statement begins with one of these words, or a parenthesis.

    It is the first of two fences, and says clearly what the second would say in the database's own
    words. `nested` says how the database reads comments.
    """
    words = leading_words(sql.replace("(", " "), nested=nested)
    first = words[0].upper() if words else "nothing"
    if first not in allowed:
        raise ReadOnlyError(
            f"only one statement that reads is run here ({', '.join(allowed)}), and not {first}"
        )


def not_run(database: str, sql: str, reason: str) -> InvalidValueError:
    """Return the error for a statement that the database cannot make sense of."""
    return InvalidValueError("query", "sql", sql, f"cannot be run by {database}: {reason}")
