"""One transaction on a server: how it begins, and how it ends."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
import pytest
import sqlalchemy as sa

from cw_store import Store, StoreBusyError, StoreError, UnitOfWorkError
from cw_store.backends.postgres.backend import PostgresBackend
from cw_store.backends.postgres.transaction import PostgresTransaction
from cw_store.store import backend_of


@pytest.fixture
async def backend(migrated_server: str) -> AsyncIterator[PostgresBackend]:
    """A backend with one connection, which has to be there for the next when a test ends."""
    async with Store(migrated_server, pool_size=1, busy_timeout=5) as store:
        backend = backend_of(store)
        assert isinstance(backend, PostgresBackend)
        yield backend
        assert store.connections_in_use == 0
        async with asyncio.timeout(5):
            assert await store.initiatives.find_all() == []


def new_transaction(backend: PostgresBackend) -> PostgresTransaction:
    return backend.writing()


async def pid_of(transaction: PostgresTransaction) -> int:
    return await transaction.run_for_session(
        lambda connection: connection.fetchval("SELECT pg_backend_pid()")
    )


async def pid_of_the_next_connection(backend: PostgresBackend) -> int:
    transaction = new_transaction(backend)
    pid = await pid_of(transaction)
    await transaction.rollback()
    return pid


async def test_a_unit_that_reads_has_one_snapshot_and_a_writer_sees_what_others_commit(
    migrated_server: str,
) -> None:
    show = sa.text(
        "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')"
    )
    async with Store(migrated_server) as store:
        for read_only, expected in (
            (True, ("repeatable read", "on")),
            (False, ("read committed", "off")),
        ):
            async with store.unit_of_work(read_only=read_only) as uow:
                assert (await uow.session.execute(show)).one() == expected


async def test_a_connection_that_is_lost_at_the_beginning_is_replaced(
    backend: PostgresBackend,
) -> None:
    lost = await pid_of_the_next_connection(backend)
    transaction = PostgresTransaction(
        backend,
        f"DO $$ BEGIN IF pg_backend_pid() = {lost} THEN"
        " RAISE EXCEPTION 'lost' USING ERRCODE = '08006'; END IF; END $$; BEGIN",
    )
    async with asyncio.timeout(5):
        assert await pid_of(transaction) != lost
    await transaction.rollback()


async def test_a_beginning_that_the_server_refuses_is_not_tried_again(
    backend: PostgresBackend,
) -> None:
    transaction = PostgresTransaction(backend, "SELECT 1 / 0")
    async with asyncio.timeout(5):
        with pytest.raises(StoreError, match="22012: division by zero"):
            await transaction.savepoint("a")
    assert not transaction.active


End = Callable[[PostgresTransaction], Coroutine[Any, Any, None]]
COMMIT, ROLLBACK = PostgresTransaction.commit, PostgresTransaction.rollback


async def TERMINATE(transaction: PostgresTransaction) -> None:
    transaction.terminate()


@pytest.mark.parametrize("ends", [(COMMIT,), (ROLLBACK,), (TERMINATE,), (COMMIT, ROLLBACK)])
async def test_a_transaction_that_ended_takes_no_connection_any_more(
    backend: PostgresBackend, ends: tuple[End, ...]
) -> None:
    holder, transaction = new_transaction(backend), new_transaction(backend)
    await holder.savepoint("a")
    waiting = asyncio.create_task(transaction.savepoint("a"))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        for end in ends:
            await end(transaction)
        await holder.rollback()
        with pytest.raises(UnitOfWorkError, match="ended while this waited"):
            await waiting
        with pytest.raises(UnitOfWorkError, match="ended"):
            await transaction.savepoint("a")
    assert transaction.committed is None


async def test_a_transaction_that_is_cut_while_it_begins_gives_its_connection_back_once(
    backend: PostgresBackend,
) -> None:
    await pid_of_the_next_connection(backend)
    transaction = new_transaction(backend)
    beginning = asyncio.create_task(transaction.savepoint("a"))
    await asyncio.sleep(0)
    assert transaction.active
    transaction.terminate()
    assert backend.connections_in_use == 0
    with pytest.raises(UnitOfWorkError, match="ended"):
        await beginning
    assert backend.connections_in_use == 0


async def test_a_transaction_shows_where_it_stands(backend: PostgresBackend) -> None:
    transaction = new_transaction(backend)
    assert "READ WRITE: not begun; <0 of 1 connections in use>" in repr(transaction)
    await transaction.savepoint("a")
    assert "READ WRITE: open; <1 of 1 connections in use>" in repr(transaction)
    await transaction.rollback()
    assert "READ WRITE: ended; <0 of 1 connections in use>" in repr(transaction)


async def test_a_rollback_keeps_the_connection(backend: PostgresBackend) -> None:
    transaction = new_transaction(backend)
    pid = await pid_of(transaction)
    await transaction.rollback()
    assert await pid_of_the_next_connection(backend) == pid


async def test_what_the_server_refuses_of_a_savepoint_is_told(backend: PostgresBackend) -> None:
    transaction = new_transaction(backend)
    with pytest.raises(StoreError, match="3B001"):
        await transaction.release("nowhere")
    await transaction.rollback()


async def test_a_commit_that_the_server_turns_into_a_rollback_is_an_error(
    backend: PostgresBackend,
) -> None:
    transaction = new_transaction(backend)
    with pytest.raises(cast(Any, asyncpg).PostgresError):
        await transaction.run_for_session(lambda connection: connection.execute("SELECT 1 / 0"))
    with pytest.raises(UnitOfWorkError, match="rolled this unit of work back"):
        await transaction.commit()
    assert transaction.committed is False


@pytest.mark.parametrize("end", [COMMIT, ROLLBACK])
async def test_a_transaction_whose_end_is_lost_has_not_committed(
    backend: PostgresBackend, end: End, migrated_server: str
) -> None:
    transaction = new_transaction(backend)
    pid = await pid_of(transaction)
    other = await cast(Any, asyncpg).connect(migrated_server)
    await other.execute("SELECT pg_terminate_backend($1, 5000)", pid)
    await other.close()
    if end is COMMIT:
        with pytest.raises(StoreBusyError, match="nothing of it is stored"):
            await end(transaction)
    else:
        await end(transaction)
    assert transaction.committed is False


async def test_a_transaction_is_its_own_atomic_executor(backend: PostgresBackend) -> None:
    transaction = new_transaction(backend)
    async with transaction.atomic() as executor:
        assert executor is transaction


@pytest.mark.parametrize("ends", ["commit", "rollback", "the block"])
async def test_the_end_waits_for_a_statement_of_the_session_that_another_task_has_under_way(
    migrated_server: str, ends: str
) -> None:
    onlooker = await cast(Any, asyncpg).connect(migrated_server)
    sleeping = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    async with Store(migrated_server) as store:
        uow = store.unit_of_work()
        async with uow:
            initiative = await uow.initiatives.create(name="of the unit")
            connection = await uow.session.connection()
            statement = asyncio.create_task(connection.execute(sa.text("SELECT pg_sleep(0.3)")))
            while not statement.done() and not await onlooker.fetch(sleeping):
                pass
            if ends != "the block":
                await getattr(uow, ends)()
        await statement
        is_kept = ends != "rollback"
        assert uow.committed is is_kept
        assert (await store.initiatives.find_by_id(initiative.id) is not None) is is_kept
        if is_kept:
            await store.initiatives.delete(initiative.id)
    await onlooker.close()


async def test_a_result_that_is_read_step_by_step_ends_with_its_transaction(
    migrated_server: str,
) -> None:
    async with Store(migrated_server) as store:
        with pytest.raises(UnitOfWorkError, match="ended"):
            async with store.unit_of_work() as uow:
                connection = await uow.session.connection()
                rows = await connection.stream(sa.text("SELECT generate_series(1, 100000)"))
                assert await rows.fetchone() is not None
                await uow.commit()
                await uow.initiatives.find_all()
                await rows.fetchall()
