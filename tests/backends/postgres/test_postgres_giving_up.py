"""Whatever runs on a server can be given up, also when the server or the network is silent."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, cast

import anyio
import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
import pytest
import sqlalchemy as sa

from cw_store import (
    NewLogChunk,
    OutcomeUnknownError,
    Store,
    StoreBusyError,
    StoreClosedError,
    StoreError,
    UnitOfWork,
)
from cw_store.backends.postgres.backend import STATEMENT_SECONDS
from cw_store.migrations import SILENCE_SECONDS
from postgres_proxy import Proxy
from steppable_loop import SteppableLoop
from waits import until_idle

BUSY_TIMEOUT = 5.0
SOON = 0.2
"""Seconds by the loop's clock in which what is given up has to be over."""

SLACK = 2.0
"""Seconds more, where time passes by itself: on a machine that has a lot to do."""

OWN_PROCESS = sa.text("SELECT pg_backend_pid()")
SLEEP = sa.text("SELECT pg_sleep(60)")


@pytest.fixture(autouse=True)
def held(steppable_loop: SteppableLoop) -> None:
    """Let no time pass by itself: whatever needs a timer of this side's to end does not end."""
    steppable_loop.hold()


@contextmanager
def soon() -> Generator[None]:
    """Check that neither a limit of this side's nor the statement of a minute was waited for."""
    loop = asyncio.get_running_loop()
    began, began_outside = loop.time(), time.monotonic()
    yield
    assert loop.time() - began < SOON + SLACK
    assert time.monotonic() - began_outside < 20


async def let_pass(loop: SteppableLoop) -> None:
    """Let `SOON` pass in small steps, as what is ended by one timer may need another."""
    for _ in range(10):
        loop.advance(SOON / 10)
        await until_idle()
    loop.go_on()


class PassingTime:
    """Lets `SOON` pass, in small steps, from the loop's next round on."""

    def __init__(self, loop: SteppableLoop) -> None:
        self._loop = loop
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        self._loop.call_soon(
            lambda: self._tasks.append(self._loop.create_task(let_pass(self._loop)))
        )

    async def after(self, event: asyncio.Event) -> None:
        """Wait for the event, and begin when the one who awaits this has gone on."""
        await event.wait()
        self.begin()


@pytest.fixture
def passing_time(steppable_loop: SteppableLoop) -> PassingTime:
    """What lets time pass in which a silent server is given up."""
    return PassingTime(steppable_loop)


@pytest.fixture
async def onlooker(migrated_server: str) -> AsyncIterator[Any]:
    """A connection that looks at the others."""
    connection = await cast(Any, asyncpg).connect(migrated_server)
    yield connection
    await connection.close()


async def running(onlooker: Any, what: str) -> int:
    return await onlooker.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE $1 "
        "AND pid <> pg_backend_pid()",
        f"%{what}%",
    )


async def begun(onlooker: Any, what: str) -> None:
    while not await running(onlooker, what):
        pass


async def sleep_in_unit(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.session.execute(SLEEP)


async def sleep_in_reading_unit(store: Store) -> None:
    async with store.unit_of_work(read_only=True) as uow:
        await uow.session.execute(SLEEP)


async def sleep_in_savepoint(store: Store) -> None:
    async with store.unit_of_work() as uow, uow.savepoint():
        await uow.session.execute(SLEEP)


Work = Callable[[Store], Awaitable[None]]
SLEEPERS: list[Work] = [sleep_in_unit, sleep_in_reading_unit, sleep_in_savepoint]


async def by_cancellation(store: Store, work: Work, begins: Awaitable[object]) -> None:
    task = asyncio.ensure_future(work(store))
    await begins
    task.cancel("enough")
    with soon(), pytest.raises(asyncio.CancelledError, match="enough"):
        await task


async def by_timeout(store: Store, work: Work, begins: Awaitable[object]) -> None:
    async def limited() -> float:
        try:
            async with asyncio.timeout(None) as limit:
                limits.append(limit)
                await work(store)
        except TimeoutError:
            return time.monotonic()
        raise AssertionError("it ended")

    limits: list[asyncio.Timeout] = []
    task = asyncio.ensure_future(limited())
    await begins
    with soon():
        limits[0].reschedule(asyncio.get_running_loop().time())
        await task


async def by_scope(store: Store, work: Work, begins: Awaitable[object]) -> None:
    async def scoped() -> None:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            await work(store)
        assert scope.cancelled_caught
        task = asyncio.current_task()
        assert task is not None and task.cancelling() == 0

    scopes: list[anyio.CancelScope] = []
    task = asyncio.ensure_future(scoped())
    await begins
    with soon():
        scopes[0].cancel()
        await task


Way = Callable[[Store, Work, Awaitable[object]], Awaitable[None]]
WAYS: list[Way] = [by_cancellation, by_timeout, by_scope]


@pytest.mark.parametrize("work", SLEEPERS)
@pytest.mark.parametrize("way", WAYS)
async def test_a_running_statement_ends_on_the_server_too_and_the_connection_stays(
    migrated_server: str, onlooker: Any, way: Way, work: Work
) -> None:
    async with Store(migrated_server, pool_size=1) as store:
        before = await pid(store)
        await way(store, work, begun(onlooker, "pg_sleep"))
        assert await running(onlooker, "pg_sleep") == 0
        assert store.connections_in_use == 0
        assert await pid(store) == before


async def pid(store: Store) -> int:
    async with store.unit_of_work() as uow:
        return cast(int, await uow.session.scalar(OWN_PROCESS))


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_that_waits_for_a_lock_is_given_up(
    migrated_server: str, onlooker: Any, way: Way
) -> None:
    async def write(store: Store) -> None:
        await store.initiatives.create(name="refused")

    row: NewLogChunk = {"agent_id": "a", "agent_name": "n", "session_number": 1, "content": "{}"}

    async def write_many(store: Store) -> None:
        await store.log_chunks.insert_chunks([row] * 9)

    async def read(store: Store) -> None:
        await store.initiatives.find_all()

    async with Store(migrated_server, pool_size=1) as store:
        before = await pid(store)
        for work, table in ((write, "initiatives"), (read, "initiatives"), (write_many, "log")):
            locker = await cast(Any, asyncpg).connect(migrated_server)
            async with locker.transaction():
                await locker.execute("LOCK TABLE initiatives, agent_log_chunks")
                await way(store, work, begun(onlooker, table))
                assert store.connections_in_use == 0
            await locker.close()
            assert await pid(store) == before
        assert await store.initiatives.find_all() == []
        assert await store.log_chunks.find_by_agent_id("a") == []


async def test_whoever_waits_for_a_connection_is_given_up(migrated_server: str) -> None:
    async def call(store: Store) -> None:
        await store.initiatives.find_all()

    async with Store(migrated_server, pool_size=1) as store, store.unit_of_work() as uow:
        await uow.initiatives.find_all()
        for way in WAYS:
            await way(store, call, asyncio.sleep(0))
        assert store.connections_in_use == 1


async def test_closing_ends_what_runs(migrated_server: str, onlooker: Any) -> None:
    for work in SLEEPERS:
        store = await Store.open(migrated_server)
        task = asyncio.ensure_future(work(store))
        await begun(onlooker, "pg_sleep")
        with soon():
            await store.close()
        assert await running(onlooker, "pg_sleep") == 0
        with soon(), pytest.raises(StoreClosedError):
            await task


async def test_closing_answers_those_who_wait_for_a_connection(migrated_server: str) -> None:
    store = await Store.open(migrated_server, pool_size=1)
    async with asyncio.TaskGroup() as group:

        async def hold() -> None:
            with pytest.raises(StoreClosedError):
                async with store.unit_of_work() as uow:
                    await uow.initiatives.find_all()
                    held.set()
                    await waited.wait()

        async def wait() -> None:
            with pytest.raises(StoreClosedError):
                await store.initiatives.find_all()

        held, waited = asyncio.Event(), asyncio.Event()
        group.create_task(hold())
        await held.wait()
        waiters = [group.create_task(wait()) for _ in range(3)]
        await asyncio.sleep(0)
        with soon():
            await store.close()
            await asyncio.gather(*waiters)
        waited.set()


# A server that does not answer.


@pytest.fixture
async def proxy(migrated_server: str) -> AsyncIterator[Proxy]:
    """A proxy that can stop to forward; what was stored is gone afterwards."""
    async with Proxy(migrated_server) as proxy:
        yield proxy
    await proxy.empty("initiatives")


async def outlasted(loop: SteppableLoop, withheld: asyncio.Event, work: Awaitable[object]) -> None:
    """Await work, and let the time pass that a server has which answers nothing any more."""
    task = asyncio.ensure_future(work)
    await withheld.wait()
    loop.advance(STATEMENT_SECONDS / 2)
    await until_idle()
    assert not task.done(), "it is waited for longer than for a lock"
    loop.advance(STATEMENT_SECONDS / 2 + BUSY_TIMEOUT)
    await let_pass(loop)
    with soon():
        await task


async def write(store: Store) -> None:
    await store.initiatives.create(name="x")


async def write_in_unit(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="x")


async def read(store: Store) -> None:
    await store.initiatives.find_all()


@pytest.mark.parametrize("work", [write, write_in_unit, read])
@pytest.mark.parametrize("way", WAYS)
async def test_a_server_that_is_silent_loses_the_connection_of_who_gives_up(
    proxy: Proxy, passing_time: PassingTime, way: Way, work: Work
) -> None:
    async with Store(proxy.url, pool_size=1, busy_timeout=5) as store:
        await store.initiatives.find_all()
        proxy.freeze()
        await way(store, work, passing_time.after(proxy.withheld))
        assert store.connections_in_use == 0
        proxy.thaw()
        with soon():
            await store.initiatives.find_all()


async def test_a_unit_given_up_while_it_does_nothing_does_not_wait_for_a_silent_server(
    proxy: Proxy, passing_time: PassingTime
) -> None:
    async def idle(store: Store) -> None:
        async with store.unit_of_work() as uow:
            await uow.initiatives.create(name="x")
            proxy.freeze()
            idling.set()
            await asyncio.Event().wait()

    idling = asyncio.Event()
    async with Store(proxy.url, pool_size=1, busy_timeout=5) as store:
        for way in WAYS:
            idling.clear()
            await way(store, idle, passing_time.after(idling))
            assert store.connections_in_use == 0
            proxy.thaw()
            assert await store.initiatives.find_all() == []


async def test_a_silent_server_is_waited_for_as_long_as_for_a_statement(
    proxy: Proxy, steppable_loop: SteppableLoop
) -> None:
    async with Store(proxy.url, pool_size=1, busy_timeout=BUSY_TIMEOUT) as store:
        await store.initiatives.find_all()
        for work, kind in (
            (write, OutcomeUnknownError),
            (read, StoreBusyError),
            (write_in_unit, StoreBusyError),
        ):
            proxy.freeze()
            with pytest.raises(kind):
                await outlasted(steppable_loop, proxy.withheld, work(store))
            assert store.connections_in_use == 0
            proxy.thaw()
            await store.initiatives.find_all()


async def test_a_commit_that_a_silent_server_does_not_answer_may_be_stored(
    proxy: Proxy, steppable_loop: SteppableLoop
) -> None:
    async with Store(proxy.url, busy_timeout=BUSY_TIMEOUT) as store:
        uow = store.unit_of_work()

        async def commit() -> None:
            async with uow:
                await uow.initiatives.create(name="x")
                proxy.freeze()

        with pytest.raises(OutcomeUnknownError):
            await outlasted(steppable_loop, proxy.withheld, commit())
        assert uow.committed is None and store.connections_in_use == 0
        proxy.thaw()


async def test_an_error_in_a_unit_ends_although_the_server_is_silent(
    proxy: Proxy, steppable_loop: SteppableLoop
) -> None:
    async with Store(proxy.url, busy_timeout=BUSY_TIMEOUT) as store:

        async def fail() -> None:
            async with store.unit_of_work() as uow:
                await uow.initiatives.create(name="x")
                proxy.freeze()
                raise LookupError

        with pytest.raises(LookupError):
            await outlasted(steppable_loop, proxy.withheld, fail())
        assert store.connections_in_use == 0
        proxy.thaw()


async def test_closing_leaves_a_silent_server_behind(
    proxy: Proxy, passing_time: PassingTime
) -> None:
    store = await Store.open(proxy.url, busy_timeout=5)
    uow: UnitOfWork = store.unit_of_work()
    await uow.__aenter__()
    await uow.initiatives.create(name="x")
    proxy.freeze()
    task = asyncio.ensure_future(read(store))
    await asyncio.sleep(0)
    passing_time.begin()
    with soon():
        await store.close()
    with soon(), pytest.raises(StoreClosedError):
        await task
    with soon():
        await uow.__aexit__(LookupError, LookupError(), None)
    assert uow.committed is False


async def test_opening_a_silent_server_ends_in_time_and_can_be_given_up(
    proxy: Proxy, steppable_loop: SteppableLoop
) -> None:
    proxy.freeze()
    task = asyncio.ensure_future(Store.open(proxy.url, busy_timeout=BUSY_TIMEOUT))
    await proxy.withheld.wait()
    steppable_loop.advance(BUSY_TIMEOUT)
    with soon(), pytest.raises(StoreBusyError):
        await task
    proxy.withheld.clear()
    task = asyncio.ensure_future(Store.open(proxy.url))
    await proxy.withheld.wait()
    task.cancel()
    with soon(), pytest.raises(asyncio.CancelledError):
        await task


async def test_opening_ends_although_the_server_falls_silent_meanwhile(
    proxy: Proxy, steppable_loop: SteppableLoop
) -> None:
    for statement in ("application_name", "pg_backend_pid", "set_config", "cw_store_version"):
        proxy.freeze_at(statement)
        opening = asyncio.ensure_future(Store.open(proxy.url, busy_timeout=BUSY_TIMEOUT))
        await proxy.reached.wait()
        for seconds in (BUSY_TIMEOUT, max(STATEMENT_SECONDS, SILENCE_SECONDS)):
            steppable_loop.advance(seconds)
            await until_idle()
        with soon(), pytest.raises(StoreError):
            await opening
        proxy.thaw()
