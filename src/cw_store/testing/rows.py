"""What stands in a store, row by row."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from sqlalchemy import RowMapping, select

from cw_store import Store, metadata

Rows = Mapping[str, frozenset[str]]
"""The rows of each table, as text."""


@asynccontextmanager
async def assert_unchanged(store: Store) -> AsyncGenerator[None]:
    """Assert that every row of every table is the same after the block, however it ends.

    That includes the feed, so what was changed and changed back is noticed as well. Rows are read
    as a whole, so this is for the stores of tests.
    """
    before = await _rows(store)
    yield
    after = await _rows(store)
    changes = [
        f"{table}: {len(before[table] - after[table])} rows went or changed, "
        f"{len(after[table] - before[table])} came, such as {_an_example(before, after, table)}"
        for table in before
        if before[table] != after[table]
    ]
    assert not changes, "\n".join(changes)


def _an_example(before: Rows, after: Rows, table: str) -> str:
    return min((after[table] - before[table]) or (before[table] - after[table]))


async def _rows(store: Store) -> Rows:
    found: dict[str, frozenset[str]] = {}
    async with store.unit_of_work(read_only=True) as uow:
        for table in metadata.sorted_tables:
            rows = await uow.session.execute(select(table))
            found[table.name] = frozenset(map(_shown, rows.mappings()))
    return found


def _shown(row: RowMapping) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in row.items())
