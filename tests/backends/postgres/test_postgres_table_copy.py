"""How rows leave a PostgreSQL database and come into one, seen at a table of the test's own."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
import pytest
import sqlalchemy as sa

from cw_store import StoreError
from cw_store.backends.postgres.table_copy import PostgresBulk
from cw_store.backends.table_copy import Row
from cw_store.location import locate
from cw_store.types import Json, PlainText

# Its name is a word of PostgreSQL's, and the columns are in another order there.
WINDOWS = sa.Table(
    "window",
    sa.MetaData(),
    sa.Column("name", PlainText),
    sa.Column("content", Json),
    sa.Column("id", sa.Integer, primary_key=True),
)
CREATE = 'CREATE TABLE "window" (id integer PRIMARY KEY, content jsonb, name text)'


@pytest.fixture
async def connection(migrated_server: str) -> AsyncIterator[Any]:
    """A connection to a database with an empty table of windows."""
    connection = await cast(Any, asyncpg).connect(migrated_server, command_timeout=10)
    await connection.execute(CREATE)
    yield connection
    await connection.execute('DROP TABLE "window"')
    await connection.close()


def new_bulk(server: str, *, writes: bool = False) -> PostgresBulk:
    location = locate(server).server
    assert location is not None
    return PostgresBulk(location, writes=writes, batch_rows=20, batch_size=4, busy_timeout=5)


async def read(server: str) -> list[list[Row]]:
    bulk = new_bulk(server)
    try:
        await bulk.begin()
        async with aclosing(bulk.read(WINDOWS, by_key=True)) as batches:
            return [batch async for batch in batches]
    finally:
        await bulk.close()


async def write(server: str, *rows: Row) -> None:
    async def batches() -> AsyncIterator[list[Row]]:
        yield list(rows)

    bulk = new_bulk(server, writes=True)
    try:
        await bulk.begin()
        await bulk.write(WINDOWS, batches())
        await bulk.commit()
    finally:
        await bulk.close()


async def test_what_has_not_begun_can_be_closed(migrated_server: str) -> None:
    await new_bulk(migrated_server).close()


async def test_batches_are_as_large_as_allowed_and_no_larger_but_for_a_single_row(
    migrated_server: str, connection: Any
) -> None:
    sizes = (1, 2, 1, 1, 3, 4, 9, 1)
    rows = [("x" * size, None, number) for number, size in enumerate(sizes)]
    await write(migrated_server, *rows)
    batches = await read(migrated_server)
    assert [len(batch) for batch in batches] == [3, 2, 1, 1, 1]
    assert [row for batch in batches for row in batch] == rows


async def test_json_is_text_as_the_store_writes_it(migrated_server: str, connection: Any) -> None:
    text = '{"é":[1,1e+308]}'
    await write(migrated_server, (None, text, 1))
    assert await read(migrated_server) == [[(None, text, 1)]]


async def test_json_that_the_store_cannot_read_is_not_copied(
    migrated_server: str, connection: Any
) -> None:
    await connection.execute("""INSERT INTO "window" (id, content) VALUES (1, '[1e400]')""")
    with pytest.raises(StoreError, match="window cannot be copied: it holds JSON"):
        await read(migrated_server)


@pytest.mark.parametrize(
    ("key", "reason"), [(1, "23505"), (2**40, "OverflowError"), (None, "23502")]
)
async def test_a_row_that_the_server_refuses_is_told_by_its_state_alone(
    migrated_server: str, connection: Any, key: object, reason: str
) -> None:
    with pytest.raises(StoreError, match=f"window cannot be copied: .* failed with {reason}$"):
        await write(migrated_server, ("secret", None, 1), ("secret", None, key))
    assert await connection.fetchval('SELECT count(*) FROM "window"') == 0
