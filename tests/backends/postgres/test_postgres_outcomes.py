"""What is told of a commit when the connection to the server goes wrong around it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
import pytest
import sqlalchemy as sa

from cw_store import NewLogChunk, OutcomeUnknownError, Store, StoreBusyError, StoreError, UnitOfWork
from cw_store.testing.postgres_server import PostgresServer
from postgres_proxy import Proxy
from waits import until_idle

COMMIT = "COMMIT\0"  # as it is sent; BEGIN names a level that has the word in it


@pytest.fixture
async def proxy(migrated_server: str) -> AsyncIterator[Proxy]:
    """A proxy in front of the server; the test's rows are gone afterwards."""
    async with Proxy(migrated_server) as proxy:
        yield proxy
    await proxy.empty("initiatives")


@pytest.fixture
async def store(proxy: Proxy) -> AsyncIterator[Store]:
    """A store behind the proxy."""
    async with Store(proxy.url, busy_timeout=5) as store:
        yield store
        assert store.connections_in_use == 0


async def names(store: Store) -> list[str | None]:
    return [initiative.name for initiative in await store.initiatives.find_all()]


async def test_a_commit_whose_answer_is_lost_may_be_stored(store: Store, proxy: Proxy) -> None:
    uow = store.unit_of_work()
    with pytest.raises(OutcomeUnknownError):
        async with uow:
            await uow.initiatives.create(name="stored")
            proxy.cut_instead_of_answer(COMMIT)
    assert uow.committed is None
    assert await names(store) == ["stored"]


async def test_a_commit_that_is_lost_on_its_way_may_be_stored_for_all_one_can_know(
    store: Store, proxy: Proxy
) -> None:
    uow = store.unit_of_work()
    with pytest.raises(OutcomeUnknownError):
        async with uow:
            await uow.initiatives.create(name="lost")
            proxy.cut_before(COMMIT)
    assert uow.committed is None
    assert await names(store) == []


async def test_what_may_be_stored_is_not_repeated(store: Store, proxy: Proxy) -> None:
    calls = 0

    async def work(uow: UnitOfWork) -> None:
        nonlocal calls
        calls += 1
        await uow.initiatives.create(name="once")
        proxy.cut_instead_of_answer(COMMIT)

    with pytest.raises(OutcomeUnknownError):
        await store.run(work)
    assert calls == 1
    assert await names(store) == ["once"]


async def test_a_call_whose_answer_is_lost_may_be_stored(store: Store, proxy: Proxy) -> None:
    await store.initiatives.create(name="first")
    proxy.cut_instead_of_answer("second")
    with pytest.raises(OutcomeUnknownError):
        await store.initiatives.create(name="second")
    assert await names(store) == ["first", "second"]


async def test_many_rows_whose_answer_is_lost_may_be_stored(store: Store, proxy: Proxy) -> None:
    row: NewLogChunk = {"agent_id": "a", "agent_name": "n", "session_number": 1, "content": "{}"}
    proxy.cut_instead_of_answer("second")
    with pytest.raises(OutcomeUnknownError):
        await store.log_chunks.insert_chunks([row, {**row, "content": "second"}])
    assert await store.log_chunks.delete_by_agent_id("a") == 2


async def test_a_call_of_several_statements_whose_commit_is_lost_may_be_stored(
    store: Store, proxy: Proxy
) -> None:
    initiative = await store.initiatives.create(name="i")
    project = await store.projects.create(name="p", url="u")
    proxy.cut_instead_of_answer(COMMIT)
    with pytest.raises(OutcomeUnknownError):
        await store.projects.set_initiative_projects(initiative.id, [project.id])
    assert await store.projects.find_projects_by_initiative_id(initiative.id) == [project]
    await store.projects.delete(project.id)


async def test_a_read_whose_connection_is_lost_is_repeated(store: Store, proxy: Proxy) -> None:
    await store.initiatives.create(name="there")
    for lose in (proxy.cut_before, proxy.cut_instead_of_answer):
        lose("there")
        found = await store.initiatives.find_by_id("there")
        assert found is None and proxy.reached.is_set()


async def test_a_reading_unit_whose_end_is_lost_has_read_what_it_read(
    store: Store, proxy: Proxy
) -> None:
    await store.initiatives.create(name="there")
    for lose in (proxy.cut_before, proxy.cut_instead_of_answer):
        async with store.unit_of_work(read_only=True) as uow:
            assert len(await uow.initiatives.find_all()) == 1
            lose(COMMIT)
        assert proxy.reached.is_set()


@pytest.mark.parametrize("times", [1, 3])
async def test_a_commit_that_has_begun_is_waited_for(
    store: Store, proxy: Proxy, times: int
) -> None:
    uow = store.unit_of_work()

    async def work() -> None:
        async with uow:
            await uow.initiatives.create(name="stored")
            proxy.hold_answer(COMMIT)

    task = asyncio.create_task(work())
    await proxy.reached.wait()
    for _ in range(times):
        task.cancel("enough")
        await until_idle()
        assert not task.done()
    proxy.answer()
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await task
    assert uow.committed is True
    assert await names(store) == ["stored"]


async def test_closing_waits_for_a_commit_that_has_begun(store: Store, proxy: Proxy) -> None:
    uow = store.unit_of_work()

    async def work() -> None:
        async with uow:
            await uow.initiatives.create(name="stored")
            proxy.hold_answer(COMMIT)

    task = asyncio.create_task(work())
    await proxy.reached.wait()
    closing = asyncio.create_task(store.close())
    await until_idle()
    assert not closing.done()
    proxy.answer()
    await closing
    await task
    assert uow.committed is True


# What the server says when it ends the connection.


@pytest.fixture
async def server_with_short_timeouts(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """A database whose transactions may idle for half a second, and no longer."""
    url = postgres_server.create_database()
    connection = await cast(Any, asyncpg).connect(url)
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(
        f"ALTER DATABASE \"{name}\" SET idle_in_transaction_session_timeout = '500ms'"
    )
    await connection.close()
    yield url
    postgres_server.drop_database(url)


async def ended(url: str, pid: int) -> None:
    """Return when the server has ended the process of a connection."""
    connection = await cast(Any, asyncpg).connect(url)
    query = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1"
    while await connection.fetchval(query, pid):
        pass
    await connection.close()


async def pid_of(uow: UnitOfWork) -> int:
    pid = await uow.session.scalar(sa.text("SELECT pg_backend_pid()"))
    assert isinstance(pid, int)
    return pid


async def test_a_unit_that_the_server_ended_for_idling_is_told_so_and_not_repeated(
    server_with_short_timeouts: str,
) -> None:
    async with Store(server_with_short_timeouts) as store:
        calls = 0

        async def think(uow: UnitOfWork) -> None:
            nonlocal calls
            calls += 1
            await uow.initiatives.create(name="before")
            await ended(server_with_short_timeouts, await pid_of(uow))
            await uow.initiatives.create(name="after")

        with pytest.raises(StoreError, match="idle_in_transaction_session_timeout") as raised:
            await store.run(think)
        assert not isinstance(raised.value, StoreBusyError) and calls == 1
        uow = store.unit_of_work()
        with pytest.raises(StoreError, match="idle_in_transaction_session_timeout"):
            async with uow:
                await uow.initiatives.create(name="before")
                await ended(server_with_short_timeouts, await pid_of(uow))
        assert uow.committed is False
        assert await names(store) == []
        assert store.connections_in_use == 0


async def test_an_idle_connection_that_the_server_ended_is_replaced_for_a_write(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.create_database()
    connection = await cast(Any, asyncpg).connect(url)
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE \"{name}\" SET idle_session_timeout = '300ms'")
    await connection.close()
    async with Store(url) as store:
        for number in range(5):
            async with store.unit_of_work(read_only=True) as uow:
                pid = await pid_of(uow)
            while pid in await pids(postgres_server.url("postgres")):
                pass
            await store.initiatives.create(name=f"{number}")
        assert len(await names(store)) == 5
    postgres_server.drop_database(url)


async def pids(url: str) -> list[int]:
    connection = await cast(Any, asyncpg).connect(url)
    found = await connection.fetch("SELECT pid FROM pg_stat_activity")
    await connection.close()
    return [pid for (pid,) in found]


async def end_connection(proxy: Proxy, pid: int) -> None:
    """End a connection, so that the program has its last message and does not see its end."""
    connection = await cast(Any, asyncpg).connect(proxy.behind)
    proxy.reached.clear()
    proxy.hide_end()
    await connection.execute("SELECT pg_terminate_backend($1, 5000)", pid)
    await connection.close()
    await proxy.reached.wait()
    await until_idle()  # the message is in the socket already


async def test_nothing_is_stored_by_a_commit_after_the_server_has_said_goodbye(
    store: Store, proxy: Proxy
) -> None:
    uow = store.unit_of_work()
    with pytest.raises(StoreBusyError):
        async with uow:
            await uow.initiatives.create(name="undone")
            await end_connection(proxy, await pid_of(uow))
    assert uow.committed is False
    assert await names(store) == []


async def test_a_write_after_the_server_has_said_goodbye_is_made_on_another_connection(
    store: Store, proxy: Proxy
) -> None:
    async with store.unit_of_work() as uow:
        pid = await pid_of(uow)
    await end_connection(proxy, pid)
    await store.initiatives.create(name="once")
    assert await names(store) == ["once"]
