"""How writers take turns on a SQLite file."""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from builders import add_initiative
from cw_store import Store, StoreBusyError, UnitOfWorkError, schema
from programs import run_program
from waits import until_idle

Write = Callable[[Store], Coroutine[Any, Any, object]]


def written(path: Path) -> list[str]:
    """Return the names in the order in which they were written."""
    other = sqlite3.connect(path)
    found = other.execute("SELECT name FROM initiatives ORDER BY rowid").fetchall()
    other.close()
    return [name for (name,) in found]


async def test_writers_take_turns_first_come_first_served(store: Store, path: Path) -> None:
    order: list[int] = []

    async def write(number: int) -> None:
        async with store.unit_of_work() as uow:
            for _ in range(3):
                await uow.initiatives.create(name=f"{number}")
            order.append(number)

    async with store.unit_of_work() as holder:
        await holder.initiatives.create(name="holder")
        tasks: list[asyncio.Task[None]] = []
        for number in range(20):
            tasks.append(asyncio.create_task(write(number)))
            await until_idle()
        assert order == []
    await asyncio.gather(*tasks)
    assert order == list(range(20))
    assert written(path) == ["holder"] + [f"{number}" for number in range(20) for _ in range(3)]


async def test_one_call_takes_its_turn_among_units_of_work(store: Store, path: Path) -> None:
    async def unit(name: str) -> None:
        async with store.unit_of_work() as uow:
            await uow.initiatives.create(name=name)
            await uow.initiatives.find_all()

    async with store.unit_of_work() as holder:
        await holder.initiatives.create(name="holder")
        tasks: list[asyncio.Task[object]] = []
        for number in range(6):
            work = unit(f"{number}") if number % 3 == 0 else add_initiative(store, name=f"{number}")
            tasks.append(asyncio.create_task(work))
            await until_idle()
    await asyncio.gather(*tasks)
    assert written(path) == ["holder", "0", "1", "2", "3", "4", "5"]


async def test_a_writer_who_waits_too_long_is_told_who_holds_the_turn(path: Path) -> None:
    async with Store(path, busy_timeout=0.05) as store:
        holding, done = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            async with store.unit_of_work(label="dispatch") as uow:
                await uow.initiatives.create(name="held")
                holding.set()
                await done.wait()

        holder = asyncio.create_task(hold(), name="supervisor")
        await holding.wait()
        for write in (_in_a_unit, add_initiative):
            with pytest.raises(TimeoutError) as raised:
                await write(store)
            assert isinstance(raised.value, StoreBusyError)
            assert raised.value.holder is not None
            assert raised.value.holder.label == "dispatch"
            assert raised.value.holder.task_name == "supervisor"
            assert 0.04 < raised.value.holder.seconds < 10
            assert "'dispatch' in task 'supervisor'" in str(raised.value)
        done.set()
        await holder
        assert len(await store.initiatives.find_all()) == 1


async def _in_a_unit(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="late")


async def test_a_turn_that_was_not_to_be_had_does_not_spend_the_unit(path: Path) -> None:
    async with Store(path, busy_timeout=0.05) as store:
        async with store.unit_of_work() as uow:
            async with store.unit_of_work() as holder:
                await holder.initiatives.create(name="first")
                waiting = asyncio.create_task(uow.initiatives.create(name="refused"))
                with pytest.raises(StoreBusyError):
                    await waiting
            await uow.initiatives.create(name="second")
        assert [one.name for one in await store.initiatives.find_all()] == ["first", "second"]


async def test_a_writer_cancelled_while_it_waits_passes_its_place_on(store: Store) -> None:
    async with store.unit_of_work() as holder:
        await holder.initiatives.create(name="holder")
        waiting = [asyncio.create_task(_in_a_unit(store)) for _ in range(3)]
        await until_idle()
        waiting[0].cancel()
        await until_idle()
    waiting[1].cancel()  # whose turn it has just become
    async with asyncio.timeout(10):
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in outcomes] == [True, True, False]
    assert len(await store.initiatives.find_all()) == 2


async def test_64_tasks_that_read_modify_and_write_lose_no_update(store: Store) -> None:
    counter = await add_initiative(store, name="0")

    async def increment() -> None:
        for _ in range(4):
            async with store.unit_of_work() as uow:
                found = await uow.initiatives.find_by_id(counter.id)
                assert found is not None
                await uow.initiatives.update(counter.id, name=str(int(found.name) + 1))

    await asyncio.gather(*(increment() for _ in range(64)))
    found = await store.initiatives.find_by_id(counter.id)
    assert found is not None and found.name == "256"


# Another program on the same file.


@pytest.fixture
def other(path: Path, store: Store) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


@pytest.mark.parametrize("write", [_in_a_unit, add_initiative])
async def test_a_writer_waits_for_another_programs_lock(
    store: Store, other: sqlite3.Connection, write: Write
) -> None:
    other.execute("BEGIN IMMEDIATE")
    task = asyncio.create_task(write(store))
    for _ in range(50):
        assert await store.initiatives.find_all() == []  # reading goes on meanwhile
    assert not task.done()
    other.execute("COMMIT")
    other.close()
    async with asyncio.timeout(10):
        await task
    assert len(await store.initiatives.find_all()) == 1


@pytest.mark.parametrize("write", [_in_a_unit, add_initiative])
async def test_another_programs_lock_held_too_long_is_store_busy(path: Path, write: Write) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    async with Store(path, busy_timeout=0.1) as store:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError, match="another program") as raised:
            await write(store)
        assert raised.value.holder is None
        assert store.connections_in_use == 0
        other.execute("COMMIT")
        await write(store)
    other.close()


async def test_who_waits_for_another_programs_lock_can_be_cancelled(
    store: Store, other: sqlite3.Connection
) -> None:
    other.execute("BEGIN IMMEDIATE")
    task = asyncio.create_task(_in_a_unit(store))
    await until_idle()
    task.cancel()
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await task
    other.execute("COMMIT")
    other.close()
    await add_initiative(store)
    assert len(await store.initiatives.find_all()) == 1


async def test_a_task_left_behind_while_it_waits_for_the_lock_begins_nothing(
    store: Store, other: sqlite3.Connection
) -> None:
    other.execute("BEGIN IMMEDIATE")
    async with store.unit_of_work() as uow:
        late = asyncio.create_task(uow.initiatives.create(name="late"))
        for _ in range(50):
            await store.initiatives.find_all()
    other.execute("COMMIT")
    other.close()
    async with asyncio.timeout(10):
        await asyncio.wait([late])
        await add_initiative(store, name="next")
    assert isinstance(late.exception(), UnitOfWorkError)
    assert [one.name for one in await store.initiatives.find_all()] == ["next"]


CLOSED_MEANWHILE = """
import asyncio, sys
from cw_store import Store

async def unit(store, begun, closed, read_only):
    async with store.unit_of_work(read_only=read_only) as uow:
        await uow.initiatives.find_all()
        if not read_only:
            await uow.initiatives.create(name="lost")
        begun.set()
        await closed.wait()
        await uow.initiatives.find_all()

async def main(path):
    store = await Store.open(path)
    for read_only in (True, False):
        begun, closed = asyncio.Event(), asyncio.Event()
        store = await Store.open(path)
        open_unit = asyncio.create_task(unit(store, begun, closed, read_only))
        await begun.wait()
        waiting = [] if read_only else [
            asyncio.create_task(store.initiatives.create(name="late")),
            asyncio.create_task(unit(store, asyncio.Event(), closed, False)),
        ]
        await asyncio.sleep(0)
        await store.close()
        closed.set()
        for outcome in await asyncio.gather(open_unit, *waiting, return_exceptions=True):
            print(type(outcome).__name__)
    async with Store(path) as store:
        print(len(await store.initiatives.find_all()))

asyncio.run(main(sys.argv[1]))
"""


async def test_closing_refuses_units_of_work_that_are_open_and_those_that_wait(path: Path) -> None:
    # A process of its own, since what hangs here cannot be cancelled either.
    done = run_program(CLOSED_MEANWHILE, path, cwd=path.parent, timeout=10)
    assert done.stdout.split() == ["StoreClosedError"] * 4 + ["0"], done.stderr


# Readers.


async def test_readers_wait_for_a_connection_in_turn(path: Path) -> None:
    async with Store(path, readers=1) as store:
        async with store.unit_of_work(read_only=True) as uow:
            await uow.initiatives.find_all()
            waiting = [
                asyncio.create_task(store.initiatives.find_all()),
                asyncio.create_task(store.unit_of_work(read_only=True).__aenter__()),
                asyncio.create_task(store.initiatives.find_all()),
            ]
            await until_idle()
            assert [task.done() for task in waiting] == [False, True, False]
        assert await waiting[0] == await waiting[2] == []


async def test_a_reader_who_gets_no_connection_is_told(path: Path) -> None:
    async with Store(path, readers=1, busy_timeout=0.05) as store:
        async with store.unit_of_work(read_only=True) as uow:
            await uow.initiatives.find_all()
            with pytest.raises(StoreBusyError, match="1 reading connections"):
                await store.initiatives.find_all()
            with pytest.raises(StoreBusyError, match="1 reading connections"):
                async with store.unit_of_work(read_only=True) as other:
                    await other.initiatives.find_all()
        assert await store.initiatives.find_all() == []
        assert store.connections_in_use == 0


async def test_a_reader_cancelled_while_it_waits_keeps_no_connection(path: Path) -> None:
    async with Store(path, readers=1) as store:

        async def read() -> None:
            async with store.unit_of_work(read_only=True) as uow:
                await uow.initiatives.find_all()

        async with store.unit_of_work(read_only=True) as uow:
            await uow.initiatives.find_all()
            waiting = [asyncio.create_task(read()) for _ in range(2)]
            await until_idle()
            waiting[0].cancel()
        waiting[1].cancel()  # who has just been handed the connection
        await asyncio.wait(waiting)
        async with asyncio.timeout(10):
            await read()
        assert store.connections_in_use == 0


async def test_a_stream_left_open_does_not_keep_old_pages_alive(store: Store, path: Path) -> None:
    for _ in range(3):
        await add_initiative(store)
    for read_only in (False, True):
        async with store.unit_of_work(read_only=read_only) as uow:
            stream = await uow.session.stream(sa.select(schema.initiatives.c.name))
            await stream.fetchone()
        await add_initiative(store)
        other = sqlite3.connect(path)
        (blocked, *_) = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        other.close()
        assert blocked == 0


async def test_a_task_left_behind_while_it_waits_to_write_takes_no_turn(store: Store) -> None:
    async with store.unit_of_work() as holder:
        await holder.initiatives.create(name="holder")
        async with store.unit_of_work() as uow:
            late = asyncio.create_task(uow.initiatives.create(name="late"))
            await until_idle()
    async with asyncio.timeout(10):
        await asyncio.wait([late])
        await add_initiative(store, name="next")
    assert isinstance(late.exception(), UnitOfWorkError)
    assert [one.name for one in await store.initiatives.find_all()] == ["holder", "next"]


async def test_names_of_one_file_share_its_log_and_its_queue(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(path)
    async with Store(link) as store:
        await add_initiative(store, name="there")
        beside = sorted(file.name for file in link.parent.iterdir())
        assert path.with_name("cw.db-turns").exists()
        assert beside == ["link.db"]
    assert written(path) == ["there"]


@pytest.fixture(params=["this path", "a link", "a folder's link"])
def other_path(request: pytest.FixtureRequest, path: Path) -> Path:
    """Another way to the same file."""
    other = path.with_name("other.db")
    if request.param == "this path":
        return path
    if request.param == "a link":
        other.symlink_to(path)
    else:
        path.with_name("folder").symlink_to(path.parent)
        return path.with_name("folder") / path.name
    return other


@pytest.mark.parametrize("write", [_in_a_unit, add_initiative])
async def test_stores_of_one_program_name_each_other_who_hold_the_turn(
    store: Store, other_path: Path, write: Write
) -> None:
    async with Store(other_path, busy_timeout=0.1) as other:
        async with store.unit_of_work(label="dispatch") as uow:
            await uow.initiatives.create(name="held")
            with pytest.raises(StoreBusyError, match="another store of this program") as raised:
                await write(other)
        holder = raised.value.holder
        task = asyncio.current_task()
        assert holder is not None and task is not None
        assert (holder.label, holder.task_name) == ("dispatch", task.get_name())
        assert 0.05 < holder.seconds < 5
        await write(other)


async def test_stores_of_one_program_in_two_threads_name_each_other(
    store: Store, path: Path
) -> None:
    async def wait() -> StoreBusyError:
        async with Store(path, busy_timeout=0.1) as other:
            with pytest.raises(StoreBusyError) as raised:
                await add_initiative(other)
            return raised.value

    async with store.unit_of_work(label="dispatch") as uow:
        await uow.initiatives.create(name="held")
        error = await asyncio.to_thread(asyncio.run, wait())
    assert error.holder is not None and error.holder.label == "dispatch"


async def test_stores_of_one_program_write_equally_often(store: Store, path: Path) -> None:
    counts = [0, 0]
    ended = asyncio.get_running_loop().time() + 1

    async def write(number: int, one: Store) -> None:
        while asyncio.get_running_loop().time() < ended:
            async with one.unit_of_work() as uow:
                await uow.initiatives.create(name=f"{number}")
                await until_idle()  # the turn is held
            counts[number] += 1

    async with Store(path) as other:
        await asyncio.gather(write(0, store), write(1, other))
    assert min(counts) > 0.5 * max(counts), counts


async def test_a_writer_who_waits_can_be_told_behind_whom(store: Store) -> None:
    async with store.unit_of_work(label="dispatch") as uow:
        await uow.initiatives.create(name="held")
        tasks = [asyncio.create_task(add_initiative(store)) for _ in range(2)]
        await until_idle()
        assert "behind 0 others and 'dispatch' in task" in repr(tasks[0])
        assert "behind 1 others" in repr(tasks[1])
    await asyncio.gather(*tasks)
