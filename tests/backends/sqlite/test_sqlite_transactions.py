"""Units of work on SQLite at their edges: who waits, who is cancelled, what is known of the end."""

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from builders import add_initiative
from cw_store import Store, StoreBusyError, StoreError, UnitOfWorkError
from cw_store.store import backend_of
from waits import until_idle


class Failure(Exception):
    """What a test raises inside a block."""


async def names(store: Store) -> list[str]:
    return [one.name for one in await store.initiatives.find_all()]


async def test_a_unit_may_commit_many_times_and_at_any_time(store: Store) -> None:
    async with asyncio.timeout(10):
        async with store.unit_of_work() as uow:
            await uow.commit()
            for number in range(4):
                await uow.initiatives.create(name=f"{number}")
                await uow.commit()
                await uow.commit()
                await uow.rollback()
    assert await names(store) == ["0", "1", "2", "3"]


async def test_a_holder_that_had_to_wait_is_known_by_its_label(store: Store) -> None:
    backend: Any = backend_of(store)
    held = asyncio.Event()

    async def second() -> str:
        async with store.unit_of_work(label="second") as uow:
            await uow.initiatives.create(name="second")
            held.set()
            return backend.writer.queue.holder().label

    async with store.unit_of_work(label="first") as uow:
        await uow.initiatives.create(name="first")
        task = asyncio.create_task(second())
        await until_idle()
        assert backend.writer.queue.holder().label == "first"
    assert await task == "second"


async def test_another_programs_lock_does_not_spend_the_unit(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    async with Store(path, busy_timeout=0.02) as store:
        async with store.unit_of_work() as uow:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreBusyError):
                await uow.initiatives.create(name="refused")
            other.execute("COMMIT")
            await uow.initiatives.create(name="stored")
        assert uow.committed is True
        assert await names(store) == ["stored"]
    other.close()


async def test_a_unit_that_is_cancelled_while_it_commits_knows_that_it_did(store: Store) -> None:
    backend: Any = backend_of(store)
    uow = store.unit_of_work()
    go, created, leave = threading.Event(), asyncio.Event(), asyncio.Event()

    async def write() -> None:
        async with uow:
            assert uow.committed is None
            await uow.initiatives.create(name="stored")
            created.set()
            await leave.wait()

    task = asyncio.create_task(write())
    await created.wait()
    backend.writer.connection.run(go.wait)  # the commit stands behind it
    leave.set()
    await until_idle()
    task.cancel()
    await until_idle()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert uow.committed is True
    assert await names(store) == ["stored"]


async def test_a_savepoint_that_the_database_undid_with_all_the_rest_spends_the_unit(
    store: Store,
) -> None:
    backend: Any = backend_of(store)

    def leave_no_pages() -> None:
        (now,) = backend.writer.connection.raw.execute("PRAGMA page_count").fetchone()
        backend.writer.connection.raw.execute(f"PRAGMA max_page_count = {now}")

    await backend.writer.connection.run(leave_no_pages)
    uow = store.unit_of_work()
    with pytest.raises(UnitOfWorkError):
        async with uow:
            await uow.initiatives.create(name="lost")
            with pytest.raises(StoreError, match="disk is full"):
                async with uow.savepoint():
                    await uow.log_chunks.insert_chunk("a", "a", 1, "x" * 1_000_000)
            with pytest.raises(UnitOfWorkError, match="is spent"):
                await uow.initiatives.find_all()
    assert uow.committed is False
    assert await names(store) == []


async def test_a_reading_unit_tells_how_it_ended(store: Store) -> None:
    kept, raising, spent = (store.unit_of_work(read_only=True) for _ in range(3))
    async with kept:
        await kept.initiatives.find_all()
    with pytest.raises(Failure):
        async with raising:
            await raising.initiatives.find_all()
            raise Failure
    with pytest.raises(UnitOfWorkError, match="rolled back"):
        async with spent:
            with pytest.raises(OperationalError):
                await spent.session.execute(sa.text("SELECT * FROM nowhere"))
    assert [one.committed for one in (kept, raising, spent)] == [True, False, False]


async def test_a_task_left_behind_by_a_reading_unit_takes_no_connection(path: Path) -> None:
    async with Store(path, readers=1) as store:
        async with store.unit_of_work(read_only=True) as holder:
            await holder.initiatives.find_all()
            async with store.unit_of_work(read_only=True) as unit:
                await unit.commit()  # one transaction of this unit has ended already
                late = asyncio.create_task(unit.initiatives.find_all())
                await until_idle()
        async with asyncio.timeout(10):
            await asyncio.wait([late])
            assert isinstance(late.exception(), UnitOfWorkError)
            assert await names(store) == []
            async with store.unit_of_work(read_only=True) as reader:
                assert await reader.initiatives.find_all() == []
        assert store.connections_in_use == 0


async def test_reading_units_use_the_connections_there_are(path: Path) -> None:
    async with Store(path, readers=1, busy_timeout=1) as store:
        for _ in range(3):
            async with store.unit_of_work(read_only=True) as uow:
                await uow.initiatives.find_all()
                await uow.rollback()
                await uow.initiatives.find_all()


async def test_what_another_unit_wrote_is_seen_after_a_commit(store: Store) -> None:
    async with store.unit_of_work(read_only=True) as uow:
        for number in range(3):
            assert len(await uow.initiatives.find_all()) == number
            await add_initiative(store)
            assert len(await uow.initiatives.find_all()) == number
            await uow.commit()
