"""What an application's session on a unit of work keeps of SQLAlchemy's, and what it hides."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, cast

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase

from cw_store import Store, StoreBusyError, UnitOfWork, schema
from cw_store.backends.postgres.connection import connect_beside_pool
from cw_store.backends.session import Sessions
from cw_store.location import locate
from cw_store.store import backend_of


class Base(DeclarativeBase):
    """The application's classes."""


class Row(Base):
    __table__ = schema.initiatives


@pytest.fixture
async def server(migrated_server: str) -> AsyncIterator[Store]:
    """An open store on a server."""
    async with Store(migrated_server) as store:
        yield store
        assert store.connections_in_use == 0


@pytest.fixture(params=["store", "server"])
def either(request: pytest.FixtureRequest) -> Store:
    return request.getfixturevalue(request.param)


async def test_objects_are_as_they_were_after_a_commit(either: Store) -> None:
    initiative = await either.initiatives.create(name="kept")
    async with either.unit_of_work() as uow:
        row: Any = await uow.session.get_one(Row, initiative.id)
        await uow.session.commit()
        assert row.name == "kept", "an expired object would read here, and cannot"
    await either.initiatives.delete(initiative.id)


async def test_an_error_of_the_session_does_not_show_what_was_sent(either: Store) -> None:
    with pytest.raises(DBAPIError) as raised:
        async with either.unit_of_work() as uow:
            await uow.session.execute(sa.text("SELECT nothing, :value"), {"value": "secret"})
    assert "secret" not in str(raised.value)


async def test_the_engine_of_a_session_knows_the_driver_and_no_more(either: Store) -> None:
    async with either.unit_of_work() as uow:
        engine = cast(sa.Engine, uow.session.get_bind())
        assert engine.url.get_driver_name() == engine.dialect.driver
        assert (engine.url.host, engine.url.password, engine.url.database) == (None, None, None)


async def test_a_session_on_a_file_has_the_functions_that_sqlalchemy_brings(store: Store) -> None:
    async with store.unit_of_work() as uow:
        matches = sa.literal("otter").regexp_match("t+er$")
        assert await uow.session.scalar(sa.select(matches)) == 1


async def test_the_servers_version_is_asked_for_once_in_a_store(migrated_server: str) -> None:
    connections: list[Any] = []

    async def connect() -> Any:
        server = locate(migrated_server).server
        assert server is not None
        connections.append(await connect_beside_pool(server, 1.0))
        return connections[-1]

    async with Store(migrated_server) as store:
        cast(Any, backend_of(store)).sessions = Sessions("postgresql+asyncpg", connect)
        for _ in range(2):
            async with store.unit_of_work() as uow:
                assert await uow.session.scalar(sa.text("SELECT 1")) == 1
                assert uow.session.get_bind().dialect.server_version_info
    assert len(connections) == 1


# What stands in for asyncpg's connection.


async def test_a_unit_recovers_at_the_same_savepoint_again_and_again(server: Store) -> None:
    async with server.unit_of_work() as uow:
        session = uow.session  # a spent unit does not give it any more
        await session.execute(sa.text("SAVEPOINT here"))
        for _ in range(3):
            with pytest.raises(DBAPIError):
                await session.execute(sa.text("SELECT 1 / 0"))
            await session.execute(sa.text("ROLLBACK TO here"))
        assert await session.scalar(sa.text("SELECT 1")) == 1


async def stand_in(uow: Any) -> Any:
    raw = await (await uow.session.connection()).get_raw_connection()
    return raw.driver_connection


LASTING = {
    "SET search_path = pg_catalog": "SHOW search_path",
    "SET default_transaction_read_only = on": "SHOW default_transaction_read_only",
    "SET lock_timeout = 1": "SHOW lock_timeout",
    "SET TIME ZONE 'Asia/Tokyo'": "SHOW TIME ZONE",
    "SET SESSION ROLE pg_monitor": "SELECT current_user",
    "SELECT set_config('application_name', 'mine', false)": "SHOW application_name",
    "SELECT pg_advisory_lock(4711)": "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
    "LISTEN mine": "SELECT count(*) FROM pg_listening_channels()",
    "DECLARE mine CURSOR WITH HOLD FOR SELECT 1": "SELECT count(*) FROM pg_cursors",
}


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(("change", "ask"), LASTING.items(), ids=LASTING)
async def test_what_a_session_changes_is_as_before_for_the_next(
    migrated_server: str, change: str, ask: str, fails: bool
) -> None:
    async with Store(migrated_server, pool_size=1) as server:
        seen: list[object] = []
        for statements in ([ask], [change, ask], [ask]):
            with suppress(ZeroDivisionError):
                async with server.unit_of_work() as uow:
                    results = [await uow.session.execute(sa.text(sql)) for sql in statements]
                    rows = results[-1].all()
                    seen.append((rows, await pid_of(uow)))
                    if fails:
                        raise ZeroDivisionError
        assert seen[0] == seen[2], "the same, on the same connection"


async def pid_of(uow: UnitOfWork) -> int:
    """The server's process that this unit has."""
    return (await uow.session.execute(sa.text("SELECT pg_backend_pid()"))).scalar_one()


async def test_a_statement_can_be_prepared_under_a_name(server: Store) -> None:
    async with server.unit_of_work() as uow:
        connection = await stand_in(uow)
        statement = await connection.prepare("SELECT 1", name="mine")
        names = sa.text("SELECT count(*) FROM pg_prepared_statements WHERE name = 'mine'")
        assert await uow.session.scalar(names) == 1
        assert await statement.fetch() == [(1,)]


async def test_what_takes_too_long_in_a_session_is_one_of_our_errors(server: Store) -> None:
    async def work(_connection: object) -> None:
        raise TimeoutError

    async with server.unit_of_work() as uow:
        connection = await stand_in(uow)
        with pytest.raises(StoreBusyError, match="did not answer in time"):
            await connection.run(work)
        await uow.rollback()
