"""What becomes of the room that pruned rows took, on each database."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
import pytest

from builders import add_task
from cw_store import Pruned, ReadOnlyError, Store, StoreBusyError, StoreClosedError, ensure_schema
from cw_store.testing.postgres_server import PostgresServer
from other_program import rows

ALL = datetime(2100, 1, 1, tzinfo=UTC)
CHUNK = "line\n" * 1000


@pytest.fixture
def path(tmp_path: Path, migrated_file: Path) -> Path:
    path = tmp_path / "cw.db"
    path.write_bytes(migrated_file.read_bytes())
    return path


def size(path: Path) -> int:
    return path.stat().st_size


async def add_chunks(store: Store, number: int) -> None:
    await store.log_chunks.insert_chunks(
        [
            {"agent_id": "a", "agent_name": "otter", "session_number": 1, "content": CHUNK}
            for _ in range(number)
        ]
    )


async def test_the_room_in_a_file_is_given_back(path: Path) -> None:
    async with Store(path) as store:
        empty = size(path)
        await add_chunks(store, 400)
        await store.prune()  # which brings nothing into the file
        assert await store.prune(log_chunks_before=ALL) == Pruned(0, 400)
        assert size(path) <= empty, "and the log has been brought into it"
        assert size(path.with_name("cw.db-wal")) == 0
        await add_task(store)
        assert rows(path, "PRAGMA integrity_check") == [("ok",)]


async def test_a_file_of_which_little_is_free_is_left_as_it_is(path: Path) -> None:
    async with Store(path) as store:
        await add_chunks(store, 300)
        before = datetime.now(UTC)
        await asyncio.sleep(0)
        await add_chunks(store, 2000)
        pages = rows(path, "PRAGMA page_count")
        assert await store.prune(log_chunks_before=before) == Pruned(0, 300)
        assert rows(path, "PRAGMA page_count") == pages
        [(free,)] = rows(path, "PRAGMA freelist_count")
        assert free > 0


async def test_the_auto_vacuum_of_a_file_is_not_changed(path: Path) -> None:
    before = rows(path, "PRAGMA auto_vacuum")
    async with Store(path) as store:
        await add_chunks(store, 400)
        await store.prune(log_chunks_before=ALL)
    assert rows(path, "PRAGMA auto_vacuum") == before


async def test_a_reader_of_an_old_snapshot_sees_it_to_its_end(path: Path) -> None:
    async with Store(path) as store:
        await add_chunks(store, 400)
        async with store.unit_of_work(read_only=True) as uow:
            assert len(await uow.log_chunks.find_by_agent_id("a")) == 400
            assert await store.prune(log_chunks_before=ALL) == Pruned(0, 400)
            assert len(await uow.log_chunks.find_by_agent_id("a")) == 400
        assert await store.log_chunks.find_by_agent_id("a") == []


async def test_others_write_while_a_file_is_pruned(path: Path) -> None:
    async with Store(path) as store, Store(path) as other:
        await add_chunks(store, 400)
        pruning = asyncio.create_task(store.prune(log_chunks_before=ALL, batch_rows=10))
        written = 0
        while not pruning.done():
            await add_task(store)
            await add_task(other)
            written += 2
        assert (await pruning).log_chunks == 400
        assert written > 20
        assert len(await store.tasks.find_all()) == written


async def test_who_keeps_the_lock_is_waited_for_no_longer_than_for_others(path: Path) -> None:
    async with Store(path, busy_timeout=0.2) as store, Store(path) as other:
        await add_chunks(store, 400)
        await store.prune(log_chunks_before=ALL - timedelta(days=365 * 100))
        pruning = asyncio.create_task(store.prune(log_chunks_before=ALL, batch_rows=400))
        async with other.unit_of_work() as uow:
            await add_task(uow)
            with pytest.raises(StoreBusyError):
                await pruning
        assert (await store.prune(log_chunks_before=ALL)).log_chunks in (0, 400)


async def test_a_store_that_closes_ends_a_pruning(path: Path) -> None:
    store = await Store.open(path)
    await add_chunks(store, 400)
    pruning = asyncio.create_task(store.prune(log_chunks_before=ALL, batch_rows=1))
    while rows(path, "SELECT count(*) FROM agent_log_chunks") == [(400,)]:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await store.close()
    with pytest.raises(StoreClosedError):
        await pruning
    async with Store(path) as again:
        left = len(await again.log_chunks.find_by_agent_id("a"))
        assert await again.prune(log_chunks_before=ALL) == Pruned(0, left)


async def test_a_store_for_reading_only_prunes_nothing(path: Path) -> None:
    async with Store(path, read_only=True) as store:
        with pytest.raises(ReadOnlyError):
            await store.prune(log_chunks_before=ALL)
        with pytest.raises(ReadOnlyError):
            await store.prune()


async def test_the_two_tables_of_a_server_are_vacuumed(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database()
    await ensure_schema(url)
    vacuumed = (
        "SELECT relname FROM pg_stat_user_tables WHERE vacuum_count > 0 "
        "AND relname IN ('changes', 'agent_log_chunks', 'tasks') ORDER BY relname"
    )
    server = await cast(Any, asyncpg).connect(url)
    async with Store(url, pool_size=1) as store:
        await add_chunks(store, 50)
        assert await store.prune(log_chunks_before=ALL) == Pruned(0, 50)
        async with asyncio.timeout(30):
            while not (found := await server.fetch(vacuumed)):  # the statistics come a bit later
                await server.execute("SELECT pg_stat_clear_snapshot()")
        assert [name for (name,) in found] == ["agent_log_chunks", "changes"]
        assert store.connections_in_use == 0
    await server.close()
    postgres_server.drop_database(url)


async def test_what_a_transaction_that_is_open_may_not_have_seen_is_kept(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.create_database()
    await ensure_schema(url)
    async with Store(url) as store, Store(url) as other:
        await add_task(store, id="a")
        async with other.unit_of_work() as uow:
            await add_task(uow, id="slow")  # it has its place, and nobody sees it
            for id in ("b", "c", "d"):
                await add_task(store, id=id)
            async with store.unit_of_work(read_only=True) as reading:
                position = await reading.changes.position()
            await asyncio.sleep(0.001)
            assert await store.prune(changes_kept=timedelta()) == Pruned(1, 0)
        async with store.unit_of_work(read_only=True) as reading:
            page = await reading.changes.read(position)
        assert [change.entity_id for change in page.changes] == ["slow"]
        assert await store.prune(changes_kept=timedelta()) == Pruned(3, 0)
    postgres_server.drop_database(url)
