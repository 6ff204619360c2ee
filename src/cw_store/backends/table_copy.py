"""What a copy asks of a database: the port that both bulk backends implement."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Select, Table

from cw_store.inspection import VERSION_TABLE
from cw_store.schema import metadata
from cw_store.statements.reading import Row


def in_order(table: Table, query: Select[Any], *, by_key: bool) -> Select[Any]:
    """Order what is read of a table by its key, or as the rows were stored."""
    if by_key or "seq" not in table.columns:
        return query.order_by(*table.primary_key.columns)
    return query.order_by(table.c.seq)


def strangers_among(columns: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what of these tables and their columns is not the store's, as `Bulk.strangers`."""
    found: list[str] = []
    for name, its_columns in columns.items():
        table = metadata.tables.get(name)
        if table is not None:
            found += [f"{name}.{one}" for one in its_columns if one not in table.columns]
        elif name != VERSION_TABLE:
            found.append(name)
    return sorted(found)


class Bulk(Protocol):
    """Whole tables, read or written in one transaction on a connection of its own.

    Values are the same on every database: a time is microseconds since 1970, a flag 0 or 1,
    JSON is text as the store writes it, and encrypted text stays encrypted.
    """

    async def begin(self) -> None:
        """Connect and begin; what is read is one snapshot, and nobody else writes what is written.

        Raises StoreBusyError or StoreError when that is not possible.
        """
        ...

    async def count(self, table: Table) -> int:
        """Return how many rows the table has."""
        ...

    async def strangers(self) -> list[str]:
        """Return what is not the store's: columns of its tables as table.column, and tables."""
        ...

    def read(self, table: Table, *, by_key: bool) -> AsyncGenerator[list[Row]]:
        """Give every row, in batches: in the order of the key's bytes, or in that of storing."""
        ...

    async def write(self, table: Table, batches: AsyncIterator[list[Row]]) -> None:
        """Insert the rows, whose order becomes that of storing; tables come in theirs.

        A row may refer to one that comes later.
        """
        ...

    async def commit(self) -> None:
        """Commit; done even when the caller is cancelled."""
        ...

    async def close(self) -> None:
        """Close the connection; what was not committed is rolled back."""
        ...
