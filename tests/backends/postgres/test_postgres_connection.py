"""How a store connects to a server, and what it tells every connection."""

import asyncio
import socket
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from cw_store import Store, StoreBusyError
from cw_store.backends.postgres.backend import PostgresBackend
from cw_store.backends.postgres.connection import connect_beside_pool
from cw_store.backends.postgres.errors import refusals
from cw_store.location import locate
from cw_store.postgres_url import Server
from cw_store.types import ValueRules


def server_of(url: str) -> Server:
    server = locate(url).server
    assert server is not None
    return server


async def test_a_connection_waits_for_a_lock_for_the_busy_timeout_and_never_for_ever(
    migrated_server: str,
) -> None:
    for seconds, expected in ((2.5, "2500ms"), (0, "1ms")):
        async with Store(migrated_server, busy_timeout=seconds) as store:
            async with store.unit_of_work() as uow:
                assert await uow.session.scalar(sa.text("SHOW lock_timeout")) == expected


async def test_a_connection_beside_the_pool_has_the_same_settings(migrated_server: str) -> None:
    connection = await connect_beside_pool(server_of(migrated_server), 2.5)
    assert await connection.fetchval("SHOW application_name") == "cw_store"
    assert await connection.fetchval("SHOW lock_timeout") == "2500ms"
    await connection.close()


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The URL of a server that lets everybody in and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        yield f"postgresql://nobody:@127.0.0.1:{port}/nothing?ssl=disable"


async def test_nobody_waits_for_ever_for_a_server_that_says_nothing(silent_server: str) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(StoreBusyError, match="did not answer"), refusals():
            await connect_beside_pool(server_of(silent_server), 0.02)
        with pytest.raises(StoreBusyError, match="did not answer"):
            await PostgresBackend(
                server_of(silent_server), pool_size=1, busy_timeout=0.02, rules=ValueRules()
            ).open()
