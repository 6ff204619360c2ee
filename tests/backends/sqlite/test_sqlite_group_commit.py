"""Calls that are a transaction each: alone, and those that wait together."""

import asyncio
import gc
import sqlite3
import threading
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, TypeVar

import pytest

from builders import add_initiative
from clocks import Nanoseconds, TickingClock
from cw_store import (
    AlreadyExistsError,
    NewLogChunk,
    Store,
    StoreBusyError,
    StoreClosedError,
    StoreError,
)
from cw_store.backends.sqlite.connection import GRACE
from cw_store.backends.sqlite.group_commit import GROUP_LIMIT
from cw_store.backends.sqlite.process_queue import ProcessQueue
from cw_store.store import backend_of
from steppable_loop import SteppableLoop
from waits import until_idle

pytestmark = pytest.mark.usefixtures("way_to_wait")

T = TypeVar("T")

HUGE = "x" * 1_000_000

IN_ONE_JOB, IN_MANY_JOBS = 0.0, 1.0
"""Seconds that each call takes by the clock of the writer."""


@pytest.fixture(params=[IN_ONE_JOB, IN_MANY_JOBS])
def clock(request: pytest.FixtureRequest) -> TickingClock:
    """Let a group be done in one job, or each of its calls in one."""
    return TickingClock(request.param)


def timed(store: Store, clock: TickingClock) -> Store:
    backend: Any = backend_of(store)
    backend.writer.clock = clock
    return store


@pytest.fixture
def nanoseconds() -> Nanoseconds:
    """The clock of all processes that queue up."""
    return Nanoseconds()


def another_process(path: Path, store: Store, nanoseconds: Nanoseconds) -> ProcessQueue:
    """Return the queue of processes as another one has it; it and the store go by this clock."""
    backend: Any = backend_of(store)
    backend.writer.process_queue.clock = nanoseconds
    return ProcessQueue(path.with_name("cw.db-turns"), clock=nanoseconds)


@pytest.fixture
async def store(store: Store, clock: TickingClock) -> Store:
    """A store whose groups take as long as the clock says."""
    return timed(store, clock)


@asynccontextmanager
async def turn_taken(store: Store) -> AsyncGenerator[None]:
    """Hold the writer's turn, so that the calls made meanwhile gather behind it."""
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="holder")
        yield


async def together(store: Store, *calls: Coroutine[Any, Any, T]) -> list[T | BaseException]:
    async with turn_taken(store):
        tasks = [asyncio.create_task(call) for call in calls]
        await until_idle()
    async with asyncio.timeout(10):
        return await asyncio.gather(*tasks, return_exceptions=True)


async def begun_group(store: Store, size: int, goes_on: threading.Event) -> list[asyncio.Task[Any]]:
    """Return the calls of a group that has begun, and waits in its first until it may go on."""
    backend: Any = backend_of(store)
    loop = asyncio.get_running_loop()
    begun = asyncio.Event()

    def note_insert(sql: str) -> None:
        if sql.startswith("INSERT"):
            loop.call_soon_threadsafe(begun.set)
            goes_on.wait(10)

    async with turn_taken(store):
        await backend.writer.connection.run(
            partial(backend.writer.connection.raw.set_trace_callback, note_insert)
        )
        tasks = [asyncio.create_task(add_initiative(store)) for _ in range(size)]
        await until_idle()
    await begun.wait()
    return tasks


def chunks(store: Store, *contents: str, same_id: str | None = None) -> Coroutine[Any, Any, Any]:
    rows: list[NewLogChunk] = [
        {"agent_id": "a", "agent_name": "a", "session_number": 1, "content": content}
        for content in contents
    ]
    if same_id is not None:
        for row in rows:
            row["id"] = same_id
    return store.log_chunks.insert_chunks(rows)


async def stored(store: Store) -> list[str]:
    return [chunk.content for chunk in await store.log_chunks.find_by_agent_id("a")]


async def leave_pages(store: Store, pages: int) -> None:
    """Let the disk be full when the file has grown by so many pages."""
    backend: Any = backend_of(store)

    def limit() -> None:
        (now,) = backend.writer.connection.raw.execute("PRAGMA page_count").fetchone()
        backend.writer.connection.raw.execute(f"PRAGMA max_page_count = {now + pages}")

    await backend.writer.connection.run(limit)


async def test_calls_that_wait_together_share_a_commit_up_to_a_limit(store: Store) -> None:
    backend: Any = backend_of(store)
    seen: list[str] = []
    async with turn_taken(store):
        await backend.writer.connection.run(
            partial(backend.writer.connection.raw.set_trace_callback, seen.append)
        )
        tasks = [asyncio.create_task(add_initiative(store)) for _ in range(2 * GROUP_LIMIT)]
        await until_idle()
    await asyncio.gather(*tasks)
    assert seen.count("COMMIT") == 1 + 2  # of the holder, and of two groups


async def test_a_group_leaves_nothing_for_the_garbage_collector(store: Store) -> None:
    await together(store, *(add_initiative(store) for _ in range(10)))
    gc.collect()
    gc.disable()
    try:
        await together(store, *(add_initiative(store) for _ in range(10)))
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("clock", [IN_MANY_JOBS], indirect=True)
async def test_the_loop_has_a_round_after_each_job_of_a_group(store: Store) -> None:
    backend: Any = backend_of(store)
    loop = asyncio.get_running_loop()
    seen: list[str] = []
    ended = asyncio.Event()

    def note_rounds() -> None:
        seen.append("a round")
        if not ended.is_set():
            loop.call_soon(note_rounds)

    async with turn_taken(store):
        await backend.writer.connection.run(
            partial(backend.writer.connection.raw.set_trace_callback, seen.append)
        )
        tasks = [asyncio.create_task(add_initiative(store)) for _ in range(30)]
        await until_idle()
        note_rounds()
    await asyncio.gather(*tasks)
    ended.set()
    # A statement is told of again for each of its triggers, in the same words.
    order = [each.partition(" ")[0] for each, _ in groupby(seen)]
    assert order.count("INSERT") == 30
    assert ("INSERT", "INSERT") not in pairwise(order)


@pytest.mark.parametrize("clock", [IN_MANY_JOBS], indirect=True)
async def test_a_store_that_is_closed_between_the_jobs_of_a_group_has_stored_nothing_of_it(
    path: Path, clock: TickingClock, steppable_loop: SteppableLoop
) -> None:
    store, goes_on = timed(await Store.open(path), clock), threading.Event()
    tasks = await begun_group(store, 10, goes_on)
    closing = asyncio.create_task(store.close())
    await until_idle()
    steppable_loop.advance(GRACE)
    await until_idle()
    goes_on.set()
    await closing
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StoreClosedError}
    async with Store(path) as again:
        assert [each.name for each in await again.initiatives.find_all()] == ["holder"]


@pytest.mark.parametrize("clock", [IN_MANY_JOBS], indirect=True)
async def test_calls_that_are_cancelled_between_the_jobs_of_a_group_keep_no_other(
    store: Store,
) -> None:
    goes_on = threading.Event()
    tasks = await begun_group(store, 100, goes_on)
    cancelled, kept = tasks[::2], tasks[1::2]
    for task in cancelled:
        task.cancel()
    goes_on.set()
    async with asyncio.timeout(10):
        outcomes = await asyncio.gather(*cancelled, return_exceptions=True)
        answered = {initiative.id for initiative in await asyncio.gather(*kept)}
    assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
    assert answered <= {initiative.id for initiative in await store.initiatives.find_all()}


async def test_a_group_whose_savepoints_are_refused_is_done_one_by_one(store: Store) -> None:
    backend: Any = backend_of(store)

    def refuse_savepoints(action: int, *_: str | None) -> int:
        return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_SAVEPOINT else sqlite3.SQLITE_OK

    await backend.writer.connection.run(
        partial(backend.writer.connection.raw.set_authorizer, refuse_savepoints)
    )
    outcomes = await together(
        store, chunks(store, "one"), chunks(store, "a", "pair"), chunks(store, "last")
    )
    assert [each for each in outcomes if isinstance(each, BaseException)] == []
    assert await stored(store) == ["one", "a", "pair", "last"]


async def test_a_call_that_has_the_turn_is_known_by_its_task(store: Store) -> None:
    backend: Any = backend_of(store)
    task = asyncio.create_task(add_initiative(store), name="dispatcher")
    await asyncio.sleep(0)
    assert backend.writer.queue.holder().task_name == "dispatcher"
    await task


async def test_a_call_that_is_refused_alone_is_told_why_and_the_next_goes_on(store: Store) -> None:
    first = await store.initiatives.create(name="first")
    with pytest.raises(AlreadyExistsError) as caught:
        await store.initiatives.create(id=first.id, name="second")
    assert caught.value.columns == ("id",)
    await store.initiatives.create(name="third")


async def test_when_the_database_undoes_a_group_each_call_is_tried_alone(store: Store) -> None:
    await leave_pages(store, 40)
    outcomes = await together(
        store,
        chunks(store, "one"),
        chunks(store, "a", "pair"),
        chunks(store, "lost", HUGE),
        add_initiative(store, name="kept"),
        add_initiative(store, name=HUGE),
        chunks(store, "last"),
    )
    failed = [number for number, one in enumerate(outcomes) if isinstance(one, StoreError)]
    assert failed == [2, 4]
    for number in failed:
        assert str(outcomes[number]).startswith("the disk is full")
    assert await stored(store) == ["one", "a", "pair", "last"]
    assert [one.name for one in await store.initiatives.find_all()] == ["holder", "kept"]


async def test_a_commit_that_is_refused_loses_only_the_call_at_fault(
    store: Store, path: Path
) -> None:
    other = sqlite3.connect(path)
    other.executescript(
        """
        CREATE TABLE promises (kept REFERENCES initiatives (id) DEFERRABLE INITIALLY DEFERRED);
        CREATE TRIGGER promise AFTER INSERT ON initiatives WHEN new.name = 'broken'
        BEGIN INSERT INTO promises VALUES ('nowhere'); END;
        """
    )
    other.close()
    outcomes = await together(
        store,
        add_initiative(store, name="first"),
        add_initiative(store, name="broken"),
        add_initiative(store, name="last"),
    )
    assert type(outcomes[1]) is StoreError
    assert "SQLITE_CONSTRAINT_FOREIGNKEY" in str(outcomes[1])
    names = [one.name for one in await store.initiatives.find_all()]
    assert names == ["holder", "first", "last"]


async def test_a_group_that_is_undone_while_another_program_writes_is_told(
    store: Store, path: Path
) -> None:
    await leave_pages(store, 40)
    backend: Any = backend_of(store)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    begun: list[str] = []

    def note(sql: str) -> None:
        """Take the lock when the group, which has lost it, begins with the first call alone."""
        if sql == "BEGIN IMMEDIATE":
            begun.append(sql)
            if len(begun) == 2:
                other.execute("BEGIN IMMEDIATE")

    async with turn_taken(store):
        await backend.writer.connection.run(
            partial(backend.writer.connection.raw.set_trace_callback, note)
        )
        tasks = [asyncio.create_task(chunks(store, text)) for text in ("one", HUGE)]
        await until_idle()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    other.execute("ROLLBACK")
    other.close()
    assert [type(one) for one in outcomes] == [StoreBusyError, StoreBusyError]
    assert await stored(store) == []


async def test_a_compound_call_that_fails_leaves_nothing_of_itself(store: Store) -> None:
    with pytest.raises(AlreadyExistsError):
        await chunks(store, "first", "second", same_id="same")
    assert await stored(store) == []
    outcomes = await together(
        store,
        chunks(store, "before"),
        chunks(store, "first", "second", same_id="same"),
        chunks(store, "after"),
    )
    assert isinstance(outcomes[1], AlreadyExistsError)
    assert await stored(store) == ["before", "after"]


@pytest.mark.parametrize("calls", [1, 2])
async def test_calls_let_another_process_go_first_that_waits(
    store: Store, path: Path, nanoseconds: Nanoseconds, calls: int
) -> None:
    process_queue = another_process(path, store, nanoseconds)
    async with turn_taken(store):
        tasks = [asyncio.create_task(add_initiative(store)) for _ in range(calls)]
        await until_idle()
        ticket = process_queue.join()
        assert ticket is not None
    for _ in range(50):
        await store.initiatives.find_all()
    assert not any(task.done() for task in tasks)
    ticket.leave()
    async with asyncio.timeout(10):
        await asyncio.gather(*tasks)
    process_queue.close()
    assert len(await store.initiatives.find_all()) == 1 + calls


@pytest.mark.parametrize("calls", [1, 2])
async def test_calls_that_wait_too_long_for_another_process_are_told_and_nobody_else(
    path: Path,
    clock: TickingClock,
    nanoseconds: Nanoseconds,
    calls: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Store(path, busy_timeout=0.05) as store:
        timed(store, clock)
        process_queue = another_process(path, store, nanoseconds)
        async with turn_taken(store):
            tasks = [asyncio.create_task(add_initiative(store)) for _ in range(calls)]
            await until_idle()
            ticket = process_queue.join()
            assert ticket is not None
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        ticket.leave()
        assert [type(one) for one in outcomes] == [StoreBusyError] * calls
        await add_initiative(store)
    process_queue.close()
    gc.collect()
    assert caplog.records == []


def cancel_others(*but: asyncio.Task[Any]) -> None:
    """Cancel all tasks, those of the store's own too, as asyncio.run does at its end."""
    kept = {asyncio.current_task(), *but}
    for task in asyncio.all_tasks() - kept:
        task.cancel()


async def until_others_run(*but: asyncio.Task[Any]) -> None:
    """Return in the round of the loop in which a task of the store's own has been made."""
    kept = {asyncio.current_task(), *but}
    async with asyncio.timeout(10):
        while not asyncio.all_tasks() - kept:  # noqa: ASYNC110 -- no event tells of it
            await asyncio.sleep(0)


@pytest.mark.parametrize("rounds", [0, 20])
async def test_a_closing_loop_refuses_calls_that_wait_for_another_program(
    store: Store, path: Path, rounds: int
) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    call = asyncio.create_task(add_initiative(store))
    await until_others_run(call)
    for _ in range(rounds):
        await asyncio.sleep(0)
    cancel_others(call)
    await asyncio.sleep(0)
    cancel_others(call)
    async with asyncio.timeout(10):
        with pytest.raises(StoreClosedError, match="while this waited"):
            await call
    other.execute("COMMIT")
    other.close()
    await add_initiative(store)


@pytest.mark.parametrize("size", [1, 100])
async def test_what_has_begun_when_the_loop_closes_is_brought_to_its_end(
    store: Store, path: Path, nanoseconds: Nanoseconds, size: int
) -> None:
    backend: Any = backend_of(store)
    loop = asyncio.get_running_loop()
    begun, cancelled = asyncio.Event(), threading.Event()

    def wait_at_insert(sql: str) -> None:
        if sql.startswith("INSERT"):
            loop.call_soon_threadsafe(begun.set)
            cancelled.wait(10)

    process_queue = another_process(path, store, nanoseconds)
    async with turn_taken(store):
        calls = [asyncio.create_task(add_initiative(store)) for _ in range(size)]
        await until_idle()
        ticket = process_queue.join()
        assert ticket is not None
    await until_others_run(*calls)
    await backend.writer.connection.run(
        partial(backend.writer.connection.raw.set_trace_callback, wait_at_insert)
    )
    ticket.leave()
    await begun.wait()
    cancel_others(*calls)
    await asyncio.sleep(0)
    cancelled.set()
    async with asyncio.timeout(10):
        answered = {initiative.id for initiative in await asyncio.gather(*calls)}
    last = await add_initiative(store)
    process_queue.close()
    other = sqlite3.connect(path)
    found = {id for (id,) in other.execute("SELECT id FROM initiatives WHERE name <> 'holder'")}
    other.close()
    assert found == answered | {last.id}


async def test_a_compound_call_waits_for_another_programs_lock(store: Store, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    backend: Any = backend_of(store)
    seen: list[str] = []
    await backend.writer.connection.run(
        partial(backend.writer.connection.raw.set_trace_callback, seen.append)
    )
    call = asyncio.create_task(chunks(store, "first", "second"))
    async with asyncio.timeout(10):
        while seen.count("BEGIN IMMEDIATE") < 3:
            assert await stored(store) == []
    assert not call.done()
    other.execute("COMMIT")
    other.close()
    async with asyncio.timeout(10):
        await call
    assert await stored(store) == ["first", "second"]
