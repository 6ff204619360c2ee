"""What a copy asks of a database: the port that both bulk backends implement."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Protocol

from sqlalchemy import Table

Row = tuple[Any, ...]
"""A whole row, in the order of the table's columns."""


class Bulk(Protocol):
    """Whole tables, read or written in one transaction on a connection of its own.

    Values are the same on every database: a moment is microseconds since 1970, a flag 0 or 1,
    JSON is text as the store writes it, and sealed text stays sealed.
    """

    async def begin(self) -> None:
        """Connect and begin; what is read is one snapshot, and nobody else writes what is written.

        Raises StoreBusyError or StoreError when that is not possible.
        """
        ...

    async def count(self, table: Table) -> int:
        """Return how many rows the table has."""
        ...

    def read(self, table: Table, *, by_key: bool) -> AsyncGenerator[list[Row]]:
        """Give every row, in batches: in the order of the primary key's bytes, or as stored."""
        ...

    async def write(self, table: Table, batches: AsyncIterator[list[Row]]) -> None:
        """Insert the rows, which may refer to each other in any order; tables come in theirs."""
        ...

    async def commit(self) -> None:
        """Commit; done even when the caller is cancelled."""
        ...

    async def close(self) -> None:
        """Close the connection; what was not committed is rolled back."""
        ...
