"""A SQLite file as a backend: what it opens, closes and keeps."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from cw_store import StoreBusyError, schema
from cw_store.backends.sqlite.backend import SqliteBackend
from cw_store.backends.sqlite.connection import Connection
from cw_store.backends.sqlite.process_queue import ProcessQueue
from cw_store.statements.database import RECORDS
from cw_store.statements.query import Query
from cw_store.types import ValueRules

NAMES = Query(str, sa.select(schema.initiatives.c.name), schema.initiatives)


async def closed_backend(path: Path) -> SqliteBackend:
    return SqliteBackend(path, synchronous="FULL", readers=1, busy_timeout=0.02, rules=ValueRules())


@pytest.fixture
async def backend(path: Path) -> AsyncIterator[SqliteBackend]:
    backend = await closed_backend(path)
    await backend.open()
    yield backend
    await backend.close()


async def setting(connection: Connection, name: str) -> int:
    def read() -> int:
        (value,) = connection.raw.execute(f"PRAGMA {name}").fetchone()
        return value

    return await connection.run(read)


async def test_a_backend_may_be_closed_before_it_was_opened_and_more_than_once(path: Path) -> None:
    for opened in (False, True):
        for terminated in (False, True):
            backend = await closed_backend(path)
            assert backend.writer.nobody_waits()
            if opened:
                await backend.open()
            for _ in range(2):
                if terminated:
                    backend.terminate()
                else:
                    await backend.close()
                assert backend.writer.nobody_waits()


async def test_the_connections_are_what_they_are_for(backend: SqliteBackend) -> None:
    reader = await backend.readers.take()
    assert [await setting(one, "query_only") for one in (backend.writer.connection, reader)] == [
        0,
        1,
    ]
    assert [await setting(one, "busy_timeout") for one in (backend.writer.connection, reader)] == [
        5,
        5,
    ]
    assert [one.busy_timeout for one in (backend.writer.connection, reader)] == [0, 0.02]
    assert [await setting(one, "synchronous") for one in (backend.writer.connection, reader)] == [
        2,
        2,
    ]
    assert [await setting(one, "cache_size") for one in (backend.writer.connection, reader)] == [
        -4096,
        -4096,
    ]
    with pytest.raises(StoreBusyError, match=r"within 0\.02 s"):
        await backend.readers.take()
    backend.readers.give(reader)


async def test_a_query_is_compiled_once(backend: SqliteBackend) -> None:
    assert backend.statements[NAMES] is backend.statements[NAMES]


async def test_a_process_that_waits_is_seen(backend: SqliteBackend, path: Path) -> None:
    process_queue = ProcessQueue(path.with_name("cw.db-turns"))
    assert backend.writer.nobody_waits()
    ticket = process_queue.join()
    assert ticket is not None
    assert not backend.writer.nobody_waits()
    ticket.leave()
    assert backend.writer.nobody_waits()
    process_queue.close()


async def test_the_transaction_of_a_compound_call_has_no_other_inside(
    backend: SqliteBackend,
) -> None:
    async with backend.atomic() as outer:
        async with outer.atomic() as inner:
            assert inner is outer
            assert await inner.run(RECORDS, backend.statements[NAMES], []) == []
