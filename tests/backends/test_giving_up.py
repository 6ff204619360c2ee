"""What runs on SQLite and is not wanted any more: it is interrupted, and nothing else is."""

import asyncio
import random
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy import text

from builders import add_initiative
from cw_store import NewLogChunk, Store, StoreClosedError, UnitOfWorkError
from cw_store.schema import projects
from cw_store.store import backend_of
from waits import until_idle

SOON = 0.5
"""Seconds of the processor's time after which what is given up has to be over.

What has no end takes as much of it as it is given, and a machine that has more to do takes none.
"""

ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT {} FROM c"
COUNT_FOR_EVER = text(ENDLESS.format("count(*)"))
ROWS_FOR_EVER = text(ENDLESS.format("x") + " WHERE x < 3 OR x < 0")
WRITE_FOR_EVER = text("INSERT INTO numbers " + ENDLESS.format("x"))

TRAP = """
CREATE TABLE numbers (x);
CREATE TRIGGER trap AFTER INSERT ON initiatives WHEN new.name = 'endless'
BEGIN
    INSERT INTO numbers SELECT a.x + b.x + c.x + d.x + e.x
    FROM many AS a, many AS b, many AS c, many AS d, many AS e;
END;
CREATE TABLE many (x);
INSERT INTO many
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 1000) SELECT x FROM c;
"""
"""Makes the creation of an initiative called 'endless' so."""

Use = Callable[[Store], Awaitable[object]]


@pytest.fixture
def path(tmp_path: Path, migrated_file: Path) -> Path:
    path = tmp_path / "cw.db"
    path.write_bytes(migrated_file.read_bytes())
    other = sqlite3.connect(path)
    other.executescript(TRAP)
    other.close()
    return path


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    async with Store(path, readers=2, busy_timeout=5) as store:
        yield store
        async with asyncio.timeout(5):
            # What was given up ends in its own thread.
            while store.connections_in_use:  # noqa: ASYNC110 -- no event tells
                await asyncio.sleep(0)


async def a_read_of_a_unit(store: Store) -> None:
    async with store.unit_of_work(read_only=True) as uow:
        await uow.session.execute(COUNT_FOR_EVER)


async def a_fetch_of_a_unit(store: Store) -> None:
    async with store.unit_of_work(read_only=True) as uow:
        async for _ in await uow.session.stream(ROWS_FOR_EVER):
            pass


async def a_read_of_a_writing_unit(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="undone")
        await uow.session.execute(COUNT_FOR_EVER)


async def a_first_statement(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.session.execute(WRITE_FOR_EVER)


async def a_write_of_a_unit(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="undone")
        await uow.initiatives.create(name="endless")


async def a_single_write(store: Store) -> None:
    await store.initiatives.create(name="endless")


async def a_single_read(store: Store) -> None:
    backend: Any = backend_of(store)

    def count(cursor: sqlite3.Cursor) -> object:
        return cursor.execute(str(COUNT_FOR_EVER)).fetchall()

    await backend.readers.read(count)


USES: list[Use] = [
    a_read_of_a_unit,
    a_fetch_of_a_unit,
    a_read_of_a_writing_unit,
    a_first_statement,
    a_write_of_a_unit,
    a_single_write,
    a_single_read,
]
every_use = pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)


def running(store: Store, task: asyncio.Task[object]) -> object:
    """Return what a thread does at this moment for a task, or for whoever writes."""
    backend: Any = backend_of(store)
    shown = repr(task)
    return backend.writer.connection.running or ("runs on the" in shown and shown)


async def until_it_runs(store: Store, *tasks: "asyncio.Task[Any]") -> None:
    """Return when each has had a statement running for so long that it is the endless one."""
    async with asyncio.timeout(10):
        for task in tasks:
            before: object = None
            while not before or before != running(store, task):
                before = running(store, task)
                await until_idle()
                await until_idle()


async def ended_soon(ended: Awaitable[object]) -> None:
    began = time.process_time()
    async with asyncio.timeout(10):
        await ended
    assert time.process_time() - began < SOON


@every_use
@pytest.mark.parametrize("how", ["timeout", "cancel", "anyio"])
async def test_what_runs_ends_with_who_waits_for_it(store: Store, use: Use, how: str) -> None:
    began = time.process_time()
    if how == "timeout":
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await use(store)
    elif how == "anyio":
        with anyio.move_on_after(0.05) as scope:
            await use(store)
        assert scope.cancelled_caught
    else:
        task = asyncio.ensure_future(use(store))
        await until_it_runs(store, task)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
    async with asyncio.timeout(10):
        await add_initiative(store, name="after")  # the turn was passed on
    assert time.process_time() - began < SOON + 0.05
    assert [one.name for one in await store.initiatives.find_all()] == ["after"]


@every_use
async def test_a_store_that_is_closed_ends_what_runs(path: Path, use: Use) -> None:
    store = await Store.open(path)
    task = asyncio.ensure_future(use(store))
    await until_it_runs(store, task)
    await ended_soon(store.close())
    with pytest.raises(StoreClosedError):
        await task
    async with Store(path) as again:
        assert await again.initiatives.find_all() == []


async def test_four_endless_reads_close_as_quickly_as_one(path: Path) -> None:
    store = await Store.open(path, readers=4)
    tasks = [asyncio.ensure_future(a_read_of_a_unit(store)) for _ in range(4)]
    await until_it_runs(store, *tasks)
    await ended_soon(store.close())
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StoreClosedError}


async def test_reads_that_share_a_job_go_on_without_the_one_that_is_given_up(
    path: Path,
) -> None:
    async with Store(path, readers=1) as store:
        initiative = await add_initiative(store)
        async with store.unit_of_work(read_only=True) as uow:
            await uow.initiatives.find_all()  # has the only connection
            endless = asyncio.ensure_future(a_single_read(store))
            quick = [
                asyncio.ensure_future(store.initiatives.find_by_id(initiative.id)) for _ in range(5)
            ]
            await asyncio.sleep(0)
        await until_it_runs(store, endless)
        assert not any(one.done() for one in quick)
        quick[0].cancel()  # it has not begun
        endless.cancel()
        assert await asyncio.wait_for(asyncio.gather(*quick[1:]), 10) == [initiative] * 4
        assert quick[0].cancelled()


@pytest.mark.parametrize("position", [0, 2, 4])
async def test_writes_that_share_a_commit_are_stored_without_the_one_that_is_given_up(
    store: Store, position: int
) -> None:
    names = ["one", "two", "three", "four"]
    names.insert(position, "endless")
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="holder")
        tasks = [asyncio.ensure_future(store.initiatives.create(name=name)) for name in names]
        await asyncio.sleep(0)
    await until_it_runs(store, tasks[position])
    tasks.pop(position).cancel()
    async with asyncio.timeout(10):
        made = await asyncio.gather(*tasks)
    assert [one.name for one in made] == ["one", "two", "three", "four"]
    assert [one.name for one in await store.initiatives.find_all()] == [
        "holder",
        *(one.name for one in made),
    ]


async def test_writes_that_share_a_commit_are_all_refused_when_the_store_is_closed(
    path: Path,
) -> None:
    store = await Store.open(path)
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="holder")
        tasks = [
            asyncio.ensure_future(store.initiatives.create(name=name))
            for name in ("one", "endless", "three")
        ]
        await asyncio.sleep(0)
    await until_it_runs(store, tasks[1])
    await ended_soon(store.close())
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StoreClosedError}
    async with Store(path) as again:
        assert [one.name for one in await again.initiatives.find_all()] == ["holder"]


async def test_many_rows_are_given_up_between_them(store: Store) -> None:
    backend: Any = backend_of(store)
    writer = backend.writer.connection
    loop = asyncio.get_running_loop()
    begun, given_up, statements = asyncio.Event(), threading.Event(), list[str]()
    count = 5_000

    def wait_after_a_while(statement: str) -> None:
        statements.append(statement)
        if len(statements) == 1000:
            loop.call_soon_threadsafe(begun.set)
            given_up.wait(10)

    await writer.run(writer.raw.set_trace_callback, wait_after_a_while)
    before = writer.raw.total_changes
    row: NewLogChunk = {"agent_id": "a", "agent_name": "a", "session_number": 1, "content": "x"}
    task = asyncio.create_task(store.log_chunks.insert_chunks([row] * count))
    await begun.wait()
    task.cancel()
    await until_idle()
    given_up.set()
    await ended_soon(add_initiative(store))
    assert writer.raw.total_changes - before < count
    assert await store.log_chunks.find_by_agent_id("a") == []


async def test_a_unit_is_spent_by_what_was_given_up_in_it(store: Store) -> None:
    uow = store.unit_of_work()
    with pytest.raises(UnitOfWorkError):
        async with uow:
            await uow.initiatives.create(name="undone")
            with anyio.move_on_after(0.05):
                await uow.session.execute(WRITE_FOR_EVER)
            await uow.initiatives.create(name="undone too")
    assert uow.committed is False
    assert await store.initiatives.find_all() == []


async def test_a_savepoint_outlives_a_read_that_was_given_up_in_it(store: Store) -> None:
    columns = ", ".join(f"x AS {column.name}" for column in projects.columns)
    endless = ENDLESS.format(columns) + " WHERE x < 0"
    async with store.unit_of_work() as uow:
        await uow.session.execute(text(f"CREATE TEMP VIEW projects AS {endless}"))
        await uow.initiatives.create(name="kept")
        # Its rows are not read to the end, so an interruption stays on its way.
        unread = await uow.session.stream(ROWS_FOR_EVER)
        await unread.fetchone()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05), uow.savepoint():
                await uow.initiatives.create(name="undone")
                await uow.projects.find_all()
        await uow.initiatives.create(name="kept too")
    assert [one.name for one in await store.initiatives.find_all()] == ["kept", "kept too"]


async def test_a_job_that_has_not_begun_is_not_done(store: Store) -> None:
    backend: Any = backend_of(store)
    done: list[int] = []
    endless = asyncio.ensure_future(a_first_statement(store))
    await until_it_runs(store, endless)

    async def wait() -> None:
        await backend.writer.connection.run(done.append, 1)

    waiting = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    assert "behind 0 and <" in repr(waiting)
    waiting.cancel()
    await until_idle()
    endless.cancel()
    await asyncio.wait([endless, waiting])
    await backend.writer.connection.run(done.append, 2)
    assert done == [2]


@pytest.fixture
def restless_interpreter() -> Iterator[None]:
    """Let another thread go on between any two steps of one."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("restless_interpreter")
async def test_what_comes_next_on_a_connection_is_never_interrupted(store: Store) -> None:
    """Each interruption comes as one statement ends and the next begins, or near it."""
    backend: Any = backend_of(store)
    writer = backend.writer.connection
    chance = random.Random(1)

    def some(rows: int) -> object:
        sql = f"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT {rows}) "
        return writer.raw.execute(sql + "SELECT count(*) FROM c").fetchone()[0]

    async def given_up() -> object:
        return await writer.run(some, 1000)

    async def wanted() -> object:
        return await writer.run(some, 1500)

    rounds = interrupted = 0
    began = time.monotonic()
    await wanted()
    usual = time.monotonic() - began
    # On a busy machine most have ended by then, and it takes more rounds.
    while rounds < 500 or (interrupted <= 20 and rounds < 5000):
        rounds += 1
        one, other = asyncio.create_task(given_up()), asyncio.create_task(wanted())
        await asyncio.sleep(0)
        until = time.monotonic() + chance.uniform(0, 1.5 * usual)
        while time.monotonic() < until:  # noqa: ASYNC110 -- a timer is not so exact
            await asyncio.sleep(0)
        interrupted += one.cancel()
        assert await other == 1500
        await asyncio.wait([one])
    assert interrupted > 20


async def test_the_thread_goes_on_only_when_an_interruption_has_come(store: Store) -> None:
    backend: Any = backend_of(store)
    writer = backend.writer.connection
    go, begun, done = threading.Event(), asyncio.Event(), list[int]()
    loop = asyncio.get_running_loop()

    def wait_to_be_interrupted() -> None:
        loop.call_soon_threadsafe(begun.set)
        go.wait(5)

    def come_late() -> None:
        go.set()
        time.sleep(0.05)  # the thread has ended the work meanwhile
        seen.append(tuple(done))

    seen: list[tuple[int, ...]] = []

    async def given_up() -> None:
        await writer.run(wait_to_be_interrupted)

    task = asyncio.create_task(given_up())
    await begun.wait()
    following = writer.run(done.append, 1)
    writer.raw.interrupt = come_late
    task.cancel()
    await asyncio.wait([task])
    await following
    assert seen == [()]
