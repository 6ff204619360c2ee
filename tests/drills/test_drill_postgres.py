"""A server that goes away and comes back, deadlocks, and changes of the schema under load."""

import asyncio
import time
from collections.abc import Iterator
from functools import partial

import pytest
from drill import Drill, driver, load, open_transactions, rows_by_key, timed, torn, write_unit
from processes import Workers
from workers import PREFIX, write_with_retry

from cw_store import Store, StoreError, UnitOfWork
from cw_store.testing.postgres_server import PostgresServer


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that this drill may kill."""
    with PostgresServer() as server:
        if not server.owned:
            pytest.skip("the server of CW_STORE_TEST_POSTGRES is not ours to be killed")
        yield server


async def test_a_killed_server_is_a_clear_error_and_good_again_when_it_is_back(
    own_server: PostgresServer, drill: Drill
) -> None:
    slowest = back = 0.0
    acknowledged: set[str] = set()
    url = own_server.create_database()
    async with Store(url, busy_timeout=2) as store:
        for number in range(drill.amount(2, 10)):

            async def unit(name: str, *, number: int = number) -> None:
                key = f"{name} {number}"
                await write_unit(store, key)
                acknowledged.add(key)

            async def write_without_end(writer: int, number: int = number) -> None:
                for turn in range(100_000):
                    await unit(f"{writer}/{turn}", number=number)

            await unit("before")
            writers = [asyncio.ensure_future(write_without_end(n)) for n in range(8)]
            caught: list[StoreError] = []
            began = time.monotonic()
            with pytest.raises(StoreError):
                async with store.unit_of_work() as uow:
                    await uow.log_chunks.insert_chunk(f"half {number}", "drill", 1, "{}")
                    await asyncio.to_thread(own_server.kill)
                    try:
                        await uow.log_chunks.insert_chunk(f"half {number}", "drill", 2, "{}")
                    except StoreError as error:
                        caught.append(error)
                        raise
            assert caught, "the killed server was not noticed"
            outcomes = await asyncio.gather(*writers, return_exceptions=True)
            assert all(isinstance(outcome, StoreError) for outcome in outcomes), outcomes
            for call in (store.initiatives.find_all(), unit("while it is away")):
                with pytest.raises(StoreError):
                    await call
            slowest = max(slowest, time.monotonic() - began)
            assert slowest < 8, f"{slowest:.1f} s; {load()}"
            assert store.connections_in_use == 0
            await asyncio.to_thread(own_server.start)
            back = max(back, await timed(unit("back")))
            await store.initiatives.find_all()
            rows = await rows_by_key(store)
            assert torn(rows) == []
            assert not acknowledged - rows.keys(), "acknowledged, and not there"
        assert await open_transactions(url) == 0
    drill.held(
        f"{len(acknowledged)} acknowledged and kept; every error within {slowest:.1f} s; "
        f"first write after the return {back:.2f} s"
    )


async def _look_for_deadlocks_early(url: str) -> None:
    """Let the server look after 20 ms that two wait for each other, which is else a second."""
    connection = await driver.connect(url)
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE \"{name}\" SET deadlock_timeout = '20ms'")
    await connection.close()


async def test_deadlocks_are_tried_again_and_end_in_the_exact_sum(url: str, drill: Drill) -> None:
    tasks, turns = 8, drill.amount(6, 40)
    if url.startswith(PREFIX):
        await _look_for_deadlocks_early(url)
    async with Store(url, pool_size=tasks) as store:
        one = await store.initiatives.create(name="0")
        two = await store.initiatives.create(name="0")

        async def add(ids: tuple[str, str], uow: UnitOfWork) -> None:
            for id in ids:
                await uow.initiatives.update(id, branch="locked first")
                await asyncio.sleep(0)
            for id in ids:
                found = await uow.initiatives.find_by_id(id)
                assert found is not None
                await uow.initiatives.update(id, name=str(int(found.name) + 1))

        async def worker(number: int) -> None:
            ids = (one.id, two.id) if number % 2 else (two.id, one.id)
            for _ in range(turns):
                await store.run(partial(add, ids), attempts=50)

        await asyncio.gather(*(worker(number) for number in range(tasks)))
        found = await store.initiatives.find_all()
        assert [initiative.name for initiative in found] == [str(tasks * turns)] * 2
        assert store.connections_in_use == 0
    drill.held(f"{tasks} tasks in opposite orders: {tasks * turns} of {tasks * turns} added twice")


async def test_the_schema_can_change_under_load(
    postgres: str, drill: Drill, workers: Workers
) -> None:
    async with Store(postgres) as store:
        crowd = [workers.start(write_with_retry, postgres) for _ in range(4)]
        for worker in crowd:
            await asyncio.to_thread(worker.receive)
        connection = await driver.connect(postgres)
        changes = 0
        until = time.monotonic() + drill.amount(1.0, 10.0)
        while time.monotonic() < until:
            for change in (
                "ALTER COLUMN content TYPE varchar",
                "ADD COLUMN extra integer DEFAULT 7",
                "ALTER COLUMN content TYPE text",
                "DROP COLUMN extra",
            ):
                await connection.execute(f"ALTER TABLE agent_log_chunks {change}")
                changes += 1
                await write_unit(store, f"between {changes}")
        await connection.close()
        written = refused = 0
        for worker in crowd:
            worker.tell("stop")
            counts: tuple[int, int] = await asyncio.to_thread(worker.receive)
            written, refused = written + counts[0], refused + counts[1]
            worker.ended()
        rows = await rows_by_key(store)
        assert torn(rows) == []
        assert len(rows) == written + changes
    drill.held(f"{changes} changes, {written} units of 4 processes, {refused} tried again, 0 lost")
