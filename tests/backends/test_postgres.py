"""What only PostgreSQL has: schemas, SQLSTATEs, and connections that others can end."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
import pytest
import sqlalchemy as sa

from cw_store import (
    AlreadyExistsError,
    BrokenReferenceError,
    InvalidValueError,
    ReadOnlyError,
    SchemaError,
    Store,
    StoreBusyError,
    StoreClosedError,
    StoreError,
    UnitOfWorkError,
    ensure_schema,
)
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


# What the server refuses, told apart by its SQLSTATE.

REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'refused' USING ERRCODE = NEW.name, CONSTRAINT = coalesce(NEW.branch, '');
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON initiatives FOR EACH ROW EXECUTE FUNCTION refuse();
"""

REFUSALS: dict[str, type[StoreError]] = {
    "23505": AlreadyExistsError,
    "23503": BrokenReferenceError,
    "23514": InvalidValueError,
    "23502": InvalidValueError,
    "40001": StoreBusyError,
    "40P01": StoreBusyError,
    "55P03": StoreBusyError,
    "57014": StoreBusyError,
    "53300": StoreBusyError,
    "57000": StoreBusyError,
    "25006": ReadOnlyError,
    "25P02": UnitOfWorkError,
    "42P01": SchemaError,
    "42703": SchemaError,
    "3F000": SchemaError,
    "28000": StoreError,
    "28P01": StoreError,
    "3D000": StoreError,
    "22012": StoreError,
}
LOST = ("08000", "08006", "57P01", "57P02", "57P03")


@pytest.fixture
async def refusing(migrated_server: str) -> AsyncIterator[Store]:
    """A store whose server refuses each initiative with the SQLSTATE that is its name."""
    driver = cast(Any, asyncpg)
    connection = await driver.connect(migrated_server)
    await connection.execute(REFUSE)
    async with Store(migrated_server) as store:
        yield store
        assert store.connections_in_use == 0
    await connection.execute("DROP FUNCTION refuse CASCADE")
    await connection.close()


async def refusal_in_a_unit(store: Store, **values: Any) -> StoreError:
    with pytest.raises(StoreError) as raised:
        async with store.unit_of_work() as uow:
            await uow.initiatives.create(**values)
    return raised.value


async def refusal_of_a_call(store: Store, **values: Any) -> StoreError:
    with pytest.raises(StoreError) as raised:
        await store.initiatives.create(**values)
    return raised.value


async def test_what_the_server_refuses_is_told_apart(refusing: Store) -> None:
    for state, kind in REFUSALS.items():
        for refusal in (refusal_in_a_unit, refusal_of_a_call):
            error = await refusal(refusing, name=state)
            assert type(error) is kind, state
            assert getattr(error.__cause__, "sqlstate", None) == state


async def test_the_columns_are_those_of_the_constraint(refusing: Store) -> None:
    for state in ("23505", "23503"):
        error = await refusal_of_a_call(refusing, name=state, branch="fk_phases_initiative_id")
        assert isinstance(error, AlreadyExistsError | BrokenReferenceError)
        assert (error.table, list(error.columns)) == ("initiatives", ["initiative_id"])
    for state in ("23514", "23502"):
        error = await refusal_of_a_call(refusing, name=state, branch="ck_tasks_status")
        assert isinstance(error, InvalidValueError)
        assert (error.table, error.value) == ("initiatives", None)
    error = await refusal_of_a_call(refusing, name="23503")
    assert isinstance(error, BrokenReferenceError) and list(error.columns) == []
    error = await refusal_of_a_call(refusing, name="23514")
    assert isinstance(error, InvalidValueError) and error.column == "?"


async def test_a_write_whose_connection_is_lost_may_be_stored(refusing: Store) -> None:
    for state in LOST:
        assert type(await refusal_in_a_unit(refusing, name=state)) is StoreBusyError
        error = await refusal_of_a_call(refusing, name=state)
        assert type(error) is StoreError and "not known" in str(error)


async def test_a_lock_that_does_not_come_in_time_is_store_busy(migrated_server: str) -> None:
    async with Store(migrated_server, busy_timeout=0.05) as store:
        one = await store.initiatives.create(name="one")
        async with store.unit_of_work() as holder:
            await holder.initiatives.update(one.id, name="held")
            with pytest.raises(StoreBusyError, match="lock"):
                await store.initiatives.update(one.id, name="refused")
        found = await store.initiatives.find_by_id(one.id)
        assert found is not None and found.name == "held"
        await store.initiatives.delete(one.id)


async def test_units_wait_for_a_connection_in_turn_and_not_for_ever(migrated_server: str) -> None:
    async with Store(migrated_server, pool_size=1, busy_timeout=0.2) as store:
        async with store.unit_of_work() as holder:
            await holder.initiatives.find_all()
            assert store.connections_in_use == 1
            with pytest.raises(StoreBusyError, match="none of the 1 connections"):
                await store.initiatives.find_all()
        assert store.connections_in_use == 0
        assert await store.initiatives.find_all() == []


async def test_closing_ends_the_units_that_are_open(migrated_server: str) -> None:
    store = await Store.open(migrated_server)
    uow = store.unit_of_work()
    await uow.__aenter__()
    await uow.initiatives.create(name="lost")
    await store.close()
    with pytest.raises(StoreClosedError):
        await uow.initiatives.find_all()
    await uow.__aexit__(StoreClosedError, None, None)
    assert uow.committed is False
    async with Store(migrated_server) as other:
        assert await other.initiatives.find_all() == []


async def test_a_connection_that_the_server_ended_is_replaced(migrated_server: str) -> None:
    own = sa.text("SELECT pg_backend_pid()")
    driver = cast(Any, asyncpg)
    connection = await driver.connect(migrated_server)
    async with Store(migrated_server, pool_size=1) as store:
        async with store.unit_of_work() as uow:
            pid = await uow.session.scalar(own)
        await connection.execute("SELECT pg_terminate_backend($1, 5000)", pid)
        async with store.unit_of_work() as uow:
            assert await uow.session.scalar(own) != pid
        assert store.connections_in_use == 0
    await connection.close()


async def test_a_commit_whose_connection_is_lost_may_be_stored(migrated_server: str) -> None:
    driver = cast(Any, asyncpg)
    connection = await driver.connect(migrated_server)
    async with Store(migrated_server) as store:
        uow = store.unit_of_work()
        with pytest.raises(UnitOfWorkError, match="not known"):
            async with uow:
                pid = await uow.session.scalar(sa.text("SELECT pg_backend_pid()"))
                await uow.initiatives.create(name="lost")
                await connection.execute("SELECT pg_terminate_backend($1, 5000)", pid)
        assert uow.committed is False
        assert store.connections_in_use == 0
        assert await store.initiatives.find_all() == []
    await connection.close()


async def test_what_the_server_refuses_at_commit_is_told_apart_too(refusing: Store) -> None:
    async with refusing.unit_of_work() as uow:
        await uow.session.execute(sa.text("DROP TRIGGER refuse ON initiatives"))
        await uow.session.execute(
            sa.text(
                "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON initiatives DEFERRABLE"
                " INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()"
            )
        )
    for state, kind in REFUSALS.items():
        uow = refusing.unit_of_work()
        with pytest.raises(StoreError) as raised:
            async with uow:
                await uow.initiatives.create(name=state)
        assert type(raised.value) is kind, state
        assert uow.committed is False
