"""Whole tables out of a SQLite file and into it."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from cw_store import StoreError
from cw_store.backends.sqlite.table_copy import SqliteBulk
from cw_store.backends.table_copy import Row

TEXTS = sa.Table("texts", sa.MetaData(), sa.Column("text", sa.Text, primary_key=True))
NOWHERE = sa.Table("nowhere", sa.MetaData(), sa.Column("text", sa.Text, primary_key=True))


async def once(*rows: Row) -> AsyncIterator[list[Row]]:
    yield list(rows)


@pytest.fixture
async def bulk(tmp_path: Path) -> AsyncIterator[SqliteBulk]:
    path = tmp_path / "cw.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE texts (text TEXT PRIMARY KEY)")
    other.close()
    bulk = SqliteBulk(path, writes=True, batch_rows=3, batch_size=10, busy_timeout=5)
    await bulk.begin()
    yield bulk
    await bulk.close()


@pytest.mark.parametrize(("length", "batches"), [(1, [3, 1]), (9, [2, 2]), (10, [1, 1, 1, 1])])
async def test_a_batch_ends_when_it_has_enough_rows_or_text(
    bulk: SqliteBulk, length: int, batches: list[int]
) -> None:
    await bulk.write(TEXTS, once(*((f"{n}" * length,) for n in range(4))))
    assert await bulk.count(TEXTS) == 4
    assert [len(batch) async for batch in bulk.read(TEXTS, by_key=True)] == batches


async def test_the_table_that_cannot_be_copied_is_named(bulk: SqliteBulk) -> None:
    with pytest.raises(StoreError, match=r"^nowhere cannot be copied"):
        await bulk.count(NOWHERE)
    with pytest.raises(StoreError, match=r"^nowhere cannot be copied"):
        await anext(bulk.read(NOWHERE, by_key=False))
    with pytest.raises(StoreError, match=r"^nowhere cannot be copied"):
        await bulk.write(NOWHERE, once(("a",)))
