"""Writing a table of an import, and looking whether the target has what it should."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import NamedTuple

from sqlalchemy import Table

from cw_store.backends.table_copy import Bulk
from cw_store.errors import StoreError
from cw_store.statements.reading import Row
from cw_store.whole_tables import BATCH_ROWS, Progress, TableDigest


class WrittenTable(NamedTuple):
    """What was written of a table: how many rows, and their digest."""

    rows: int
    digest: str


async def write_table(
    writer: Bulk,
    table: Table,
    batches: AsyncGenerator[list[Row]],
    total: int,
    report: Progress,
) -> WrittenTable:
    """Write rows in the order in which they are read again, which then have to be the same."""
    digest = TableDigest(table)
    report(table.name, 0, total)

    async def noted() -> AsyncGenerator[list[Row]]:
        async for batch in batches:
            await digest.add(_once(batch))
            yield batch
            report(table.name, digest.rows, max(total, digest.rows))

    async with aclosing(batches), aclosing(noted()) as rows:
        await writer.write(table, rows)
    stored = TableDigest(table)
    async with aclosing(writer.read(table, by_key=False)) as rows:
        await stored.add(rows)
    if (stored.rows, stored.hexadecimal()) != (digest.rows, digest.hexadecimal()):
        raise StoreError(
            f"{table.name} was not imported: {digest.rows} rows were written, and of the "
            f"{stored.rows} that the target has something differs from them"
        )
    return WrittenTable(digest.rows, digest.hexadecimal())


async def in_batches(rows: Sequence[Row]) -> AsyncGenerator[list[Row]]:
    """Give rows in batches."""
    for start in range(0, len(rows), BATCH_ROWS):
        yield list(rows[start : start + BATCH_ROWS])


async def _once(batch: list[Row]) -> AsyncIterator[list[Row]]:
    yield batch
