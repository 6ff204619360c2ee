"""How one is told of what others commit to a PostgreSQL database, and over which losses."""

import asyncio
import logging
from collections.abc import AsyncIterator, Generator
from typing import Any, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
import pytest
from sqlalchemy.engine import make_url

from builders import add_initiative
from cw_store import Store
from cw_store.backends.postgres.notifications import ANSWER_SECONDS, LOOK_SECONDS
from cw_store.store import backend_of
from cw_store.testing.postgres_server import PostgresServer
from cw_store.triggers.feed import CHANNEL
from postgres_proxy import Proxy
from steppable_loop import SteppableLoop
from waits import until, until_idle
from watcher import Watcher, watching

driver = cast(Any, asyncpg)

SOON = 3.0
"""Less than it takes until the server is asked again."""


class Messages(logging.Handler):
    """What is logged of the watch, by level."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def count(self, level: int) -> int:
        return sum(record.levelno == level for record in self.records)


@pytest.fixture
def messages() -> Generator[Messages]:
    messages = Messages()
    logger = logging.getLogger("cw_store.backends.postgres.notifications")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(messages)
    yield messages
    logger.removeHandler(messages)
    logger.setLevel(level)


@pytest.fixture
async def other(migrated_server: str) -> AsyncIterator[Any]:
    """Another program's connection, which knows nothing of the store; its rows are gone after."""
    connection = await driver.connect(migrated_server)
    yield connection
    await connection.execute("DELETE FROM initiatives; DELETE FROM changes WHERE seq > 0")
    await connection.close()


@pytest.fixture
async def store(migrated_server: str, other: object) -> AsyncIterator[Store]:
    async with Store(migrated_server) as store:
        yield store
        assert store.connections_in_use == 0


async def listeners(other: Any) -> list[int]:
    """Return the server's processes that have said LISTEN last."""
    rows = await other.fetch(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND (query LIKE 'LISTEN%' OR query LIKE '%pg_is_in_recovery%')"
    )
    return [row["pid"] for row in rows]


async def test_one_is_told_of_a_notification_of_any_program(store: Store, other: Any) -> None:
    with watching(store) as watcher:
        await until(lambda: watcher.count == 1)
        for count in range(2, 6):
            await other.execute(f"NOTIFY {CHANNEL}")
            await until(lambda count=count: watcher.count == count, SOON)
        async with other.transaction():
            await other.execute(f"NOTIFY {CHANNEL}")
            await other.execute("NOTIFY another")
        await other.execute("NOTIFY another")
        await until(lambda: watcher.count == 6, SOON)
        assert len(await listeners(other)) == 1
    async with asyncio.timeout(SOON):
        while await listeners(other):
            pass


async def test_of_what_nobody_notified_one_is_told_when_the_server_is_asked(
    steppable_loop: SteppableLoop, store: Store, other: Any
) -> None:
    await other.execute("SET cw_store.notify = off")
    with watching(store) as watcher:
        await until(lambda: watcher.count == 1)
        await other.execute("CREATE TABLE by_nobody ()")
        await other.execute("DROP TABLE by_nobody")
        assert watcher.count == 1
        steppable_loop.advance(LOOK_SECONDS)
        await until(lambda: watcher.count == 2, SOON)
        looked = await _looks(other)
        steppable_loop.advance(LOOK_SECONDS)
        async with asyncio.timeout(SOON):
            while await _looks(other) == looked:
                pass
        await until_idle()
        assert watcher.count == 2, "nothing was committed meanwhile"


async def _looks(other: Any) -> object:
    return await other.fetchval(
        "SELECT max(query_start) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND query LIKE '%pg_is_in_recovery%'"
    )


async def test_a_listener_whose_connection_is_ended_hears_of_what_was_committed_meanwhile(
    store: Store, other: Any, messages: Messages
) -> None:
    with watching(store) as watcher:
        await until(lambda: watcher.count == 1)
        for round in range(1, 4):
            (listener,) = await listeners(other)
            before = watcher.count
            await other.execute(f"SELECT pg_terminate_backend({listener})")
            await until(lambda round=round: messages.count(logging.WARNING) == round, SOON)
            await other.execute(f"NOTIFY {CHANNEL}")
            await until(lambda before=before: watcher.count > before, SOON)
            await until(lambda round=round: messages.count(logging.INFO) == round, SOON)
            before = watcher.count
            await other.execute(f"NOTIFY {CHANNEL}")
            await until(lambda before=before: watcher.count > before, SOON)


async def test_while_the_server_is_away_one_is_told_now_and_then_and_again_when_it_is_back(
    steppable_loop: SteppableLoop, messages: Messages
) -> None:
    with PostgresServer() as server:
        url = server.create_database()
        async with Store(url) as store:
            with watching(store) as watcher:
                await until(lambda: watcher.count == 1)
                await asyncio.to_thread(server.kill)
                await until(lambda: messages.count(logging.WARNING) == 1)
                assert watcher.count == 1
                for count in range(2, 5):
                    steppable_loop.advance(LOOK_SECONDS)
                    await until(lambda count=count: watcher.count == count)
                assert messages.count(logging.WARNING) == 1
                await asyncio.to_thread(server.start)
                steppable_loop.advance(LOOK_SECONDS)
                await until(lambda: messages.count(logging.INFO) == 1)
                before = watcher.count
                async with Store(url) as another:
                    await add_initiative(another)
                await until(lambda: watcher.count > before, SOON)


async def test_a_server_that_hangs_is_found_and_what_it_did_meanwhile_is_told(
    migrated_server: str, steppable_loop: SteppableLoop, other: Any, messages: Messages
) -> None:
    async with Proxy(migrated_server) as proxy, Store(proxy.url) as store:
        with watching(store) as watcher:
            await until(lambda: watcher.count == 1)
            proxy.freeze()
            await other.execute(f"NOTIFY {CHANNEL}")
            steppable_loop.advance(LOOK_SECONDS)
            await proxy.withheld.wait()
            assert watcher.count == 1
            steppable_loop.advance(ANSWER_SECONDS)
            await until(lambda: watcher.count == 2, SOON)
            assert messages.count(logging.WARNING) == 1
            proxy.thaw()
            await until(lambda: watcher.count == 3)
            await other.execute(f"NOTIFY {CHANNEL}")
            await until(lambda: watcher.count == 4, SOON)


@pytest.mark.parametrize("frozen_at", ["connecting", "LISTEN", "looking"])
@pytest.mark.parametrize("closes", [True, False])
async def test_whoever_stops_while_the_server_hangs_is_not_kept_and_leaves_nothing(
    migrated_server: str, steppable_loop: SteppableLoop, frozen_at: str, closes: bool
) -> None:
    async with Proxy(migrated_server) as proxy, Store(proxy.url) as store:
        await store.initiatives.find_all()
        before = _tasks()
        if frozen_at == "connecting":
            proxy.freeze()
        elif frozen_at == "LISTEN":
            proxy.freeze_at(f'LISTEN "{CHANNEL}"')
        watcher = Watcher()
        backend_of(store).start_watching(watcher.told)
        if frozen_at == "looking":
            await until(lambda: watcher.count == 1)
            proxy.freeze()
            steppable_loop.advance(LOOK_SECONDS)
        await (proxy.reached if frozen_at == "LISTEN" else proxy.withheld).wait()
        async with asyncio.timeout(SOON):
            await store.close() if closes else backend_of(store).stop_watching()
        await until(lambda: _tasks() <= before, SOON)
        proxy.thaw()


def _tasks() -> int:
    """How many tasks the store has, without those of the proxy."""
    return sum(task.get_name().startswith("cw_store") for task in asyncio.all_tasks())


async def test_asking_again_and_again_finds_commits_that_nobody_notified(
    migrated_server: str, other: Any
) -> None:
    async with Store(migrated_server, wakeups="poll") as store:
        with watching(store) as watcher:
            await until(lambda: watcher.count == 1)
            await other.execute(f"NOTIFY {CHANNEL}")
            for count in range(2, 5):
                await other.execute("CREATE TABLE by_nobody ()")
                await until(lambda count=count: watcher.count >= count, SOON)
                await other.execute("DROP TABLE by_nobody")
                await until_idle()
            assert await listeners(other)


async def test_a_commit_is_found_beside_transactions_that_stay_open(
    migrated_server: str, other: Any
) -> None:
    older = await driver.connect(migrated_server)
    async with older.transaction():
        await older.fetchval("SELECT pg_current_xact_id()")
        async with Store(migrated_server, wakeups="poll") as store:
            async with other.transaction():
                await other.fetchval("SELECT pg_current_xact_id()")
                with watching(store) as watcher:
                    await until(lambda: watcher.count == 1)
                    begun = asyncio.get_running_loop().time()
                    await until(lambda: asyncio.get_running_loop().time() > begun + 0.3)
                    assert watcher.count == 1
                    await other.execute("COMMIT")
                    await until(lambda: watcher.count == 2, SOON)
                    await other.execute("BEGIN")
    await older.close()


async def test_a_standby_is_asked_and_one_is_told_of_what_reaches_it(
    migrated_server: str, postgres_server: PostgresServer, other: Any, messages: Messages
) -> None:
    if not postgres_server.owned:
        pytest.skip("the server is not ours to be copied")
    with postgres_server.standby() as host:
        there = make_url(migrated_server).update_query_dict({"host": host})
        async with Store(there.render_as_string(hide_password=False)) as store:
            with watching(store) as watcher:
                await until(lambda: watcher.count > 0)
                assert messages.count(logging.INFO) == 1
                for number in range(3):
                    async with Store(migrated_server) as primary:
                        before = watcher.count
                        await primary.initiatives.create(name=f"{number}")
                        await until(lambda before=before: watcher.count > before)
                found = await store.initiatives.find_all()
                assert found
                assert not messages.count(logging.WARNING)


async def test_the_connection_that_listens_is_none_of_the_pool(
    migrated_server: str, other: Any
) -> None:
    async with Store(migrated_server, pool_size=1) as store:
        with watching(store) as watcher:
            await until(lambda: watcher.count == 1)
            assert store.connections_in_use == 0
            async with store.unit_of_work() as uow:
                await uow.initiatives.create(name="on the only connection of the pool")
                before = watcher.count
                await other.execute(f"NOTIFY {CHANNEL}")
                await until(lambda: watcher.count > before, SOON)
