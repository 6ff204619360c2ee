"""A statement of a person's own that only reads: what comes back, and which statements are none."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

from cw_store.backends.transaction_control import leading_words
from cw_store.errors import InvalidValueError, ReadOnlyError

QueryValue: TypeAlias = str | int | float | bool | bytes | datetime | None
QueryRow: TypeAlias = tuple[QueryValue, ...]

LONGEST_VALUE = 64 * 1024 * 1024
"""Bytes of a value, stored or computed; four times those of the longest text that a store takes."""

BATCH_SIZE = 1024 * 1024
"""Characters or bytes after which no further row is fetched at once."""

BATCH_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What `query_store` found: the names of the columns, and the rows.

    `is_cut` says that there are more rows than were asked for.
    """

    columns: tuple[str, ...]
    rows: tuple[QueryRow, ...]
    is_cut: bool


class Answer(Protocol):
    """The rows of a statement, of which no more are in memory than were just fetched."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        ...

    async def fetch(self, most: int) -> list[QueryRow]:
        """Return the next rows: at most so many, fewer where they are large, none at the end."""
        ...


class QueryRows:
    """What `stream_query` finds: the names of the columns, and the rows as they come, once."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return self._answer.columns

    async def __aiter__(self) -> AsyncGenerator[QueryRow]:
        """Give the rows one by one, each as `QueryResult` has it."""
        while rows := await self._answer.fetch(BATCH_ROWS):
            for row in rows:
                yield row


def size_of(row: Iterable[object]) -> int:
    """Return how many characters or bytes the values of a row have, numbers and times aside."""
    return sum(len(value) for value in row if isinstance(value, str | bytes))


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
