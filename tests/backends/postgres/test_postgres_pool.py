"""How units and calls share the connections to a server."""

import asyncio
import gc
import warnings
from typing import Any, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
import pytest
import sqlalchemy as sa

from cw_store import Store, StoreBusyError, StoreError, UnitOfWork
from cw_store.backends.postgres.pool import IDLE_SECONDS
from cw_store.store import terminate
from cw_store.testing.postgres_server import PostgresServer
from steppable_loop import SteppableLoop


async def open_units(store: Store, how_many: int) -> list[UnitOfWork]:
    """Return so many units that have begun."""
    units = [store.unit_of_work(read_only=True) for _ in range(how_many)]
    for uow in units:
        await uow.__aenter__()
        await uow.initiatives.find_all()
    return units


async def end(units: list[UnitOfWork]) -> None:
    for uow in units:
        await uow.__aexit__(None, None, None)


async def pid_of(uow: UnitOfWork) -> int:
    pid = await uow.session.scalar(sa.text("SELECT pg_backend_pid()"))
    assert isinstance(pid, int)
    return pid


async def test_a_pool_is_as_large_as_was_asked_for(migrated_server: str) -> None:
    async with Store(migrated_server, pool_size=11, busy_timeout=0) as store:
        units = await open_units(store, 11)
        assert store.connections_in_use == 11
        with pytest.raises(StoreBusyError, match="none of the 11 connections"):
            await store.initiatives.find_all()
        await end(units)
        assert store.connections_in_use == 0


async def test_without_a_busy_timeout_nobody_waits_for_a_connection(migrated_server: str) -> None:
    async with Store(migrated_server, pool_size=1, busy_timeout=0) as store:
        async with store.unit_of_work(read_only=True) as uow:
            assert await uow.initiatives.find_all() == []
            async with asyncio.timeout(10):
                with pytest.raises(StoreBusyError, match="none of the 1 connections"):
                    await store.initiatives.find_all()
        assert await store.initiatives.find_all() == []


async def test_units_wait_for_a_connection_in_turn_and_not_for_ever(
    migrated_server: str, steppable_loop: SteppableLoop
) -> None:
    async with Store(migrated_server, pool_size=1, busy_timeout=5) as store:
        async with store.unit_of_work() as holder:
            await holder.initiatives.find_all()
            assert store.connections_in_use == 1
            steppable_loop.call_soon(steppable_loop.advance, 5)
            with pytest.raises(StoreBusyError, match="none of the 1 connections"):
                await store.initiatives.find_all()
        assert store.connections_in_use == 0
        assert await store.initiatives.find_all() == []


async def test_who_waits_for_a_connection_shows_for_what_and_behind_whom(
    migrated_server: str,
) -> None:
    async with Store(migrated_server, pool_size=2) as store:
        units = await open_units(store, 2)
        waiting = [asyncio.create_task(store.initiatives.find_all()) for _ in range(3)]
        await asyncio.sleep(0)
        for place, task in enumerate(waiting):
            assert f"wait for a connection behind {place} others" in repr(task)
            assert "2 of 2 connections in use, 3 wait" in repr(task)
        await end(units)
        assert await asyncio.gather(*waiting) == [[], [], []]


async def test_a_connection_that_the_server_refuses_says_why(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.create_database()
    async with Store(url, pool_size=2) as store:
        units = await open_units(store, 1)
        postgres_server.drop_database(url)
        with pytest.raises(StoreError, match="refused the connection") as raised:
            await store.initiatives.find_all()
        assert getattr(raised.value.__cause__, "sqlstate", None) == "3D000"
        await end(units)


async def test_a_connection_is_closed_when_nobody_needed_it_for_long(
    migrated_server: str, steppable_loop: SteppableLoop
) -> None:
    onlooker = await cast(Any, asyncpg).connect(migrated_server)
    async with Store(migrated_server, pool_size=2) as store:
        units = await open_units(store, 2)
        pids = [await pid_of(uow) for uow in units]
        await end(units)
        steppable_loop.advance(IDLE_SECONDS)
        async with asyncio.timeout(5):
            while await onlooker.fetch(
                "SELECT FROM pg_stat_activity WHERE pid = ANY ($1::int[])", pids
            ):
                pass
    await onlooker.close()


def test_a_store_whose_loop_was_closed_leaves_no_socket_to_the_garbage_collector(
    migrated_server: str,
) -> None:
    async def open_and_hold() -> Store:
        store = await Store.open(migrated_server, pool_size=2)
        await end((await open_units(store, 2))[:1])  # the other goes on
        return store

    async def wait_until_none_is_left() -> None:
        onlooker = await cast(Any, asyncpg).connect(migrated_server)
        async with asyncio.timeout(5):
            while await onlooker.fetch(
                "SELECT FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'cw_store'"
            ):
                pass
        await onlooker.close()

    loop = asyncio.new_event_loop()
    store = loop.run_until_complete(open_and_hold())
    loop.close()
    terminate(store)
    asyncio.run(wait_until_none_is_left())
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        del store
        gc.collect()
    assert [str(warning.message) for warning in warned] == []
