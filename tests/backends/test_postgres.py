"""What only PostgreSQL has: schemas, and a driver that is an extra."""

import asyncio
from typing import Any, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
import pytest
import sqlalchemy as sa

from cw_store import SchemaError, Store, StoreBusyError, ensure_schema
from postgres_server import PostgresServer

OTHER_SCHEMA = "&options=-csearch_path%3Dother"


async def test_a_schema_other_than_public_holds_the_whole_store(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.create_database()
    driver = cast(Any, asyncpg)
    connection = await driver.connect(url)
    await connection.execute("CREATE SCHEMA other")
    for _ in range(2):
        async with Store(url + OTHER_SCHEMA) as store:
            await store.initiatives.create(name="there")
            async with store.unit_of_work() as uow:
                assert await uow.session.scalar(sa.text("SELECT current_schema()")) == "other"
    count = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
    assert await connection.fetchval(count) == 0
    assert await connection.fetchval("SELECT count(*) FROM other.initiatives") == 2
    await connection.close()
    postgres_server.drop_database(url)


async def test_without_a_busy_timeout_nobody_waits_for_a_connection(migrated_server: str) -> None:
    async with Store(migrated_server, pool_size=1, busy_timeout=0) as store:
        async with store.unit_of_work(read_only=True) as uow:
            assert await uow.initiatives.find_all() == []
            async with asyncio.timeout(10):
                with pytest.raises(StoreBusyError, match="none of the 1 connections"):
                    await store.initiatives.find_all()
        assert await store.initiatives.find_all() == []


async def test_a_statement_that_takes_too_long_is_one_of_our_errors(migrated_server: str) -> None:
    async with Store(migrated_server, busy_timeout=0) as store:
        with pytest.raises(StoreBusyError, match="did not answer in time"):
            async with store.unit_of_work() as uow:
                await uow.session.execute(sa.text("SELECT pg_sleep(60)"))
        assert store.connections_in_use == 0


async def test_a_schema_that_does_not_exist_is_a_clear_error(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.create_database()
    with pytest.raises(SchemaError, match="no schema"):
        await ensure_schema(url + OTHER_SCHEMA)
    postgres_server.drop_database(url)


async def test_a_server_that_is_not_there_is_a_clear_error() -> None:
    with pytest.raises(StoreBusyError, match="not there"):
        await Store.open("postgresql://nobody@/nowhere?host=%2Fnonexistent&port=1")


async def test_connections_can_be_told_apart_on_the_server(migrated_server: str) -> None:
    async with Store(migrated_server) as store, store.unit_of_work() as uow:
        name = await uow.session.scalar(sa.text("SHOW application_name"))
    assert name == "cw_store"
