"""Cancelled tasks: nothing torn, nothing held, nobody hears of it."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa
from drill import (
    CHUNKS,
    Drill,
    add_pair,
    collector_off,
    driver,
    integrity,
    load,
    milliseconds,
    open_descriptors,
    open_transactions,
    randomness,
    rows_by_key,
    silence,
    timed,
    torn,
    until,
    write_unit,
)
from processes import Workers
from workers import lock_now_and_then

from cw_store import NewLogChunk, Store, StoreClosedError, UnitOfWork
from cw_store.testing.cancellation import (
    CANCELLATIONS,
    EARLY,
    LATE_TWICE,
    Cancellation,
    cancelled_at,
)
from waits import threads

pytestmark = pytest.mark.alone


@dataclass
class Attempt:
    """One unit of work that will be cancelled somewhere."""

    store: Store
    key: str
    uow: UnitOfWork | None = None
    stored: list[str] = field(default_factory=list[str])

    def unit(self, *, read_only: bool = False) -> UnitOfWork:
        self.uow = self.store.unit_of_work(read_only=read_only, label=self.key)
        return self.uow


async def a_writer(attempt: Attempt) -> None:
    async with attempt.unit() as uow:
        await add_pair(uow, attempt.key)


async def a_writer_who_commits_inside(attempt: Attempt) -> None:
    async with attempt.unit() as uow:
        first = f"{attempt.key}, first"
        await add_pair(uow, first)
        await uow.commit()
        attempt.stored.append(first)
        await add_pair(uow, f"{attempt.key}, undone")
        await uow.rollback()
        await add_pair(uow, attempt.key)


async def a_writer_with_savepoints(attempt: Attempt) -> None:
    async with attempt.unit() as uow:
        await uow.log_chunks.insert_chunk(attempt.key, "drill", 1, "{}")
        try:
            async with uow.savepoint():
                await uow.log_chunks.insert_chunk(attempt.key, "drill", 7, "{}")
                raise LookupError
        except LookupError:
            pass
        async with uow.savepoint():
            await uow.log_chunks.insert_chunk(attempt.key, "drill", 2, "{}")


async def a_writers_session(attempt: Attempt) -> None:
    async with attempt.unit() as uow:
        await uow.log_chunks.insert_chunk(attempt.key, "drill", 1, "{}")
        result = await uow.session.stream(sa.select(CHUNKS).limit(3))
        await result.fetchone()
        await uow.log_chunks.insert_chunk(attempt.key, "drill", 2, "{}")


async def a_writer_who_fails(attempt: Attempt) -> None:
    try:
        async with attempt.unit() as uow:
            await add_pair(uow, attempt.key)
            raise LookupError
    except LookupError:
        pass


async def a_writer_of_many_rows(attempt: Attempt) -> None:
    row = {"agent_id": attempt.key, "agent_name": "drill", "content": "{}"}
    await attempt.store.log_chunks.insert_chunks(
        [{**row, "session_number": 1}, {**row, "session_number": 2}]  # pyright: ignore
    )
    attempt.stored.append(attempt.key)


async def a_compound_call(attempt: Attempt) -> None:
    initiative = await attempt.store.initiatives.create(name=attempt.key)
    await attempt.store.pages.get_or_create_root_page(initiative.id)
    await attempt.store.initiatives.delete(initiative.id)


async def a_reader(attempt: Attempt) -> None:
    async with attempt.unit(read_only=True) as uow:
        await uow.log_chunks.find_by_agent_id("nobody")
        await uow.accounts.find_all()


async def a_readers_session(attempt: Attempt) -> None:
    async with attempt.unit(read_only=True) as uow:
        result = await uow.session.stream(sa.select(CHUNKS))
        await result.fetchone()
        await result.fetchone()


async def a_single_read(attempt: Attempt) -> None:
    await attempt.store.log_chunks.find_by_agent_id("nobody")
    async for _ in attempt.store.log_chunks.stream_by_agent_id("warm"):
        pass


@asynccontextmanager
async def nobody_else(store: Store) -> AsyncGenerator[None]:
    yield


@asynccontextmanager
async def a_crowd(store: Store) -> AsyncGenerator[None]:
    """Others hold the writer's turn and every connection for a moment, and go on doing so."""
    begun = asyncio.Event()

    async def write(number: int) -> None:
        async with store.unit_of_work(label=f"crowd {number}") as uow:
            await uow.initiatives.find_all()
            begun.set()
            await asyncio.sleep(0.002)  # the turn is held for this long

    async def read() -> None:
        async with store.unit_of_work(read_only=True) as uow:
            await uow.initiatives.find_all()
            await asyncio.sleep(0.002)  # the connection is held for this long

    crowd = [asyncio.ensure_future(write(number)) for number in range(2)]
    crowd += [asyncio.ensure_future(read()) for _ in range(4)]
    await begun.wait()
    try:
        yield
    finally:
        await asyncio.gather(*crowd)


Company = Callable[[Store], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Scenario:
    """Work that will be cancelled somewhere, and what the end of its unit of work tells."""

    work: Callable[[Attempt], Awaitable[None]]
    commits_its_key: bool = True
    """That its unit was committed means that its key is stored: not when it only reads, nor when
    it commits something else first."""
    fails: bool = False
    """What it does is rolled back even when nobody cancels it."""

    def __str__(self) -> str:
        return self.work.__name__


WRITER = Scenario(a_writer)
WRITERS_SESSION = Scenario(a_writers_session)
WRITER_OF_MANY_ROWS = Scenario(a_writer_of_many_rows)
READER = Scenario(a_reader, commits_its_key=False)
SINGLE_READ = Scenario(a_single_read)
SCENARIOS = [
    WRITER,
    Scenario(a_writer_who_commits_inside, commits_its_key=False),
    Scenario(a_writer_with_savepoints),
    WRITERS_SESSION,
    Scenario(a_writer_who_fails, fails=True),
    WRITER_OF_MANY_ROWS,
    Scenario(a_compound_call),
    READER,
    Scenario(a_readers_session, commits_its_key=False),
    SINGLE_READ,
]
CROWDED = [WRITER, WRITER_OF_MANY_ROWS, READER, SINGLE_READ]


class EveryAwait:
    """Cancels one scenario after another at each of its awaits."""

    def __init__(self, url: str, ways: tuple[Cancellation, ...]) -> None:
        self.url = url
        self.ways = ways
        self.points = 0
        self.slowest = 0.0
        self.stored: list[str] = []

    async def warm(self, store: Store, scenario: Scenario, company: Company = nobody_else) -> None:
        """Cancel at each await on a store that is in use."""
        for how in self.ways:
            point = 0
            reached = True
            while reached:
                point += 1
                reached = await self._one(store, scenario, point, how, company)

    async def cold(self, scenario: Scenario) -> None:
        """Cancel at each await of the first thing that a store does."""
        for how in self.ways:
            point = 0
            reached = True
            while reached:
                point += 1
                async with Store(self.url, readers=1) as store:
                    reached = await self._one(store, scenario, point, how, nobody_else)

    async def _one(
        self,
        store: Store,
        scenario: Scenario,
        point: int,
        how: Cancellation,
        company: Company,
    ) -> bool:
        where = f"{scenario}, await {point}, {how}"
        attempt = Attempt(store, f"{where} ({self.points})")
        async with company(store):
            reached, finished = await cancelled_at(point, how, scenario.work(attempt))
            self.slowest = max(self.slowest, await timed(write_unit(store, f"next {self.points}")))
        assert self.slowest < 1, f"{where}: the next write took {self.slowest:.1f} s; {load()}"
        await until(lambda: store.connections_in_use == 0, 1, f"{where}: a connection is held")
        await self._check_rows(scenario, attempt, where, finished)
        if not self.url.endswith(".db"):
            assert await open_transactions(self.url) == 0, where
        self.points += reached
        return reached

    async def _check_rows(
        self, scenario: Scenario, attempt: Attempt, where: str, finished: bool
    ) -> None:
        rows = await rows_by_key(attempt.store)
        assert torn(rows) == [], where
        assert not any(key.endswith("undone") for key in rows), where
        for key in attempt.stored:
            assert key in rows, f"{where}: acknowledged, and not there"
        uow = attempt.uow
        if uow is not None and uow.committed is not None:
            there = attempt.key in rows
            if not uow.committed:
                assert not there, f"{where}: uow.committed is {uow.committed}"
            elif scenario.commits_its_key:
                assert there, f"{where}: uow.committed is {uow.committed}"
            if finished:
                assert uow.committed is (not scenario.fails), where
        async with attempt.store.unit_of_work() as clean:
            await clean.session.execute(sa.delete(CHUNKS).where(CHUNKS.c.agent_id != "warm"))


async def test_a_cancellation_at_any_await_leaves_nothing_behind(url: str, drill: Drill) -> None:
    ways = drill.amount((EARLY, LATE_TWICE), CANCELLATIONS)
    every = SCENARIOS
    every_await = EveryAwait(url, ways)
    async with Store(url) as store:
        await write_unit(store, "warm")
        with collector_off():
            for scenario in every if url.endswith(".db") else drill.amount(every[1::2], every):
                async with silence(f"{scenario}, warm"):
                    await every_await.warm(store, scenario)
            for scenario in CROWDED:
                async with silence(f"{scenario}, in a crowd"):
                    await every_await.warm(store, scenario, a_crowd)
            for scenario in drill.amount([*CROWDED, WRITERS_SESSION], SCENARIOS):
                async with silence(f"{scenario}, cold"):
                    await every_await.cold(scenario)
        if url.endswith(".db"):
            await integrity(store)
    if drill.full:
        assert every_await.points >= 300
    drill.held(
        f"{every_await.points} points; next write ≤ {milliseconds(every_await.slowest)}, "
        "none torn, nothing held, not a word"
    )


async def test_opening_and_closing_can_be_cancelled_at_any_await(url: str, drill: Drill) -> None:
    async def open_and_close() -> None:
        async with Store(url) as store:
            await write_unit(store, "opened")
            async with store.unit_of_work(read_only=True) as one:
                await one.accounts.find_all()
                async with store.unit_of_work(read_only=True) as another:
                    await another.accounts.find_all()
            await asyncio.gather(*(store.accounts.find_all() for _ in range(4)))

    known_threads = threads()
    await open_and_close()
    await until(lambda: threads() == known_threads, 10, "a thread of the store is left")
    known_descriptors = open_descriptors()

    def nothing_is_left() -> bool:
        return threads() <= known_threads and open_descriptors() <= known_descriptors

    points = 0
    with collector_off():
        async with silence("open and close"):
            for how in drill.amount((EARLY, LATE_TWICE), CANCELLATIONS):
                point, reached = 0, True
                while reached:
                    point += 1
                    where = f"await {point}, {how}"
                    reached, _ = await cancelled_at(point, how, open_and_close())
                    points += reached
                    await until(nothing_is_left, 10, f"{where}: a thread or a file is left open")
            assert await timed(open_and_close()) < 2, load()
    drill.held(f"{points} points; no thread and no file left open")


async def _open(url: str) -> None:
    async with Store(url):
        pass


async def test_a_new_file_can_be_opened_after_a_cancelled_opening(file: str, drill: Drill) -> None:
    points = 0
    for how in CANCELLATIONS:
        point, reached = 0, True
        while reached:
            point += 1
            place = f"{file}-{how}-{point}"

            async with silence(f"await {point}, {how}"):
                reached, _ = await cancelled_at(point, how, _open(place))
            async with Store(place) as store:
                await write_unit(store, "after")
            points += reached
            if points >= drill.amount(4, 10_000):
                break
    drill.held(f"{points} points; each file opened afterwards")


@dataclass
class Told:
    """What units and calls were told of their end, by their keys."""

    stored: set[str] = field(default_factory=set[str])
    undone: set[str] = field(default_factory=set[str])
    found: str = ""
    """What there is to tell, once all was seen to be true."""

    async def unit(self, store: Store, key: str) -> None:
        uow = store.unit_of_work(label=key)
        try:
            async with uow:
                await add_pair(uow, key)
        finally:
            if uow.committed is not None:
                (self.stored if uow.committed else self.undone).add(key)

    async def call(self, store: Store, key: str) -> None:
        row: NewLogChunk = {
            "agent_id": key,
            "agent_name": "drill",
            "session_number": 1,
            "content": "{}",
        }
        try:
            await store.log_chunks.insert_chunks([row, {**row, "session_number": 2}])
        except StoreClosedError:  # it waited for a task of the store's own
            self.undone.add(key)
        else:
            self.stored.add(key)

    @asynccontextmanager
    async def kept_among_locks(
        self, url: str, workers: Workers, shortest: float, longest: float
    ) -> AsyncGenerator[Store]:
        """Give a store while another program locks its database; then see that all was true."""
        async with Store(url) as store:
            await asyncio.gather(*(write_unit(store, f"warm {number}") for number in range(12)))
            await asyncio.gather(*(rows_by_key(store) for _ in range(12)))
            locker = workers.start(lock_now_and_then, url, shortest, longest)
            assert await asyncio.to_thread(locker.receive) == "locked"
            before = threads(), open_descriptors()
            async with silence("cancellations"):
                yield store
            locker.tell("stop")
            locks: int = await asyncio.to_thread(locker.receive)
            locker.ended()
            last = await timed(write_unit(store, "last"))
            assert last < 0.1, f"the last write took {last:.3f} s; {load()}"
            rows = await rows_by_key(store)
            assert torn(rows) == []
            assert not self.stored - rows.keys(), "acknowledged, and not there"
            assert not self.undone & rows.keys(), "said to be rolled back, and there"
            assert store.connections_in_use == 0
            # What copies SQLite's log comes when there is something to copy: one thread, and two
            # connections.
            late = (1, 5) if url.endswith(".db") else (0, 0)
            await until(lambda: threads() <= before[0] + late[0], 10, f"threads: {before[0]} grew")
            few = before[1] + late[1] + 2
            await until(lambda: open_descriptors() <= few, 10, f"files: {before[1]} grew")
            now = threads(), open_descriptors()
            self.found = (
                f"{locks} locks, {len(self.stored)} acknowledged, {len(self.undone)} undone; "
                f"threads and files {before} → {now}; last write {milliseconds(last)}"
            )


async def test_a_thousand_random_cancellations_lose_and_tear_nothing(
    url: str, drill: Drill, workers: Workers
) -> None:
    chance = randomness()
    told = Told()
    cancellations = drill.amount(150, 1000)
    numbers = iter(range(cancellations))

    async def writer(store: Store) -> None:
        for number in numbers:
            task = asyncio.create_task(told.unit(store, f"unit {number}"))
            longest = chance.choice((0.0, 0.002, 0.01, 0.3))
            await asyncio.wait([task], timeout=chance.uniform(0, longest))
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() or task.exception() is None, task.exception()

    async with told.kept_among_locks(url, workers, 0.05, 0.3) as store:
        await asyncio.gather(*(writer(store) for _ in range(8)))
    drill.held(f"{cancellations} cancellations, {told.found}")


async def test_cancelling_all_tasks_again_and_again_loses_and_tears_nothing(
    url: str, drill: Drill, workers: Workers
) -> None:
    """What programs do that are told to end: the store's own tasks are among those cancelled."""
    chance = randomness()
    told = Told()
    rounds = drill.amount(40, 400)
    async with told.kept_among_locks(url, workers, 0.01, 0.05) as store:
        for number in range(rounds):
            tasks = [
                asyncio.create_task(work(store, f"{work.__name__} {number}.{place}"))
                for place in range(8)
                for work in (told.unit, told.call)
            ]
            longest = chance.choice((0.002, 0.02, 0.1))
            await asyncio.wait(tasks, timeout=chance.uniform(0, longest))
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.wait(tasks)
            for task in tasks:
                assert task.cancelled() or task.exception() is None, task.exception()
    drill.held(f"{rounds} times, {told.found}")


ENDLESS = sa.text(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
    " SELECT i, agent_id FROM n, agent_log_chunks"
)


async def _take_every_lock(url: str) -> None:
    """Do what a lock or a snapshot left behind makes fail: write, and cut the log back."""
    if url.endswith(".db"):
        raw = sqlite3.connect(url, isolation_level=None, timeout=0.15)
        raw.execute("BEGIN IMMEDIATE")
        raw.execute("DELETE FROM agent_log_chunks WHERE agent_id = 'nobody'")
        raw.execute("COMMIT")
        busy, *_ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert busy == 0, "a snapshot is held"
        raw.close()
        return
    connection = await driver.connect(url)
    async with connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = '150ms'")
        await connection.execute("LOCK TABLE agent_log_chunks IN ACCESS EXCLUSIVE MODE")
    await connection.close()


@pytest.mark.parametrize("end", ["raised", "cancelled"])
@pytest.mark.parametrize("read_only", [False, True], ids=["writer", "reader"])
async def test_a_statement_left_open_holds_nothing_while_its_exception_lives(
    url: str, drill: Drill, read_only: bool, end: str
) -> None:
    kept: list[BaseException] = []
    streaming = asyncio.Event()
    slowest = 0.0

    async def unit(store: Store) -> None:
        try:
            async with store.unit_of_work(read_only=read_only) as uow:
                if not read_only:
                    await uow.log_chunks.insert_chunk("torn", "drill", 1, "{}")
                stream = await uow.session.stream(ENDLESS)
                await stream.fetchone()
                streaming.set()
                if end == "raised":
                    raise LookupError
                async for _ in stream:
                    pass
        except BaseException as error:
            kept.append(error)  # and with it its traceback, the frames, the stream
            raise

    async with Store(url) as store:
        for number in range(5):
            await write_unit(store, f"there {number}")
        with collector_off():
            for _ in range(drill.amount(3, 30)):
                streaming.clear()
                task = asyncio.ensure_future(unit(store))
                await streaming.wait()
                if end == "cancelled":
                    task.cancel()
                await asyncio.wait([task])
                slowest = max(slowest, await timed(_take_every_lock(url)))
                assert slowest < 0.15, f"free after {slowest:.3f} s; {load()}"
                assert await timed(write_unit(store, f"next {len(kept)}")) < 0.15, load()
        assert torn(await rows_by_key(store)) == []
    wanted = LookupError if end == "raised" else asyncio.CancelledError
    assert {type(error) for error in kept} == {wanted}
    drill.held(f"{len(kept)} exceptions kept; lock, snapshot free in {milliseconds(slowest)}")


async def test_units_of_work_in_memory_read_nothing_dirty_among_cancellations(
    drill: Drill,
) -> None:
    chance = randomness()
    acknowledged: set[str] = set()
    refused: set[str] = set()
    reads = 0

    async def write(store: Store, key: str) -> None:
        uow = store.unit_of_work(label=key)
        try:
            async with uow:
                await uow.log_chunks.insert_chunk(key, "drill", 1, "{}")
                await asyncio.sleep(0)
                await uow.log_chunks.insert_chunk(key, "drill", 2, "{}")
                if chance.random() < 0.1:
                    raise LookupError
        except LookupError:
            pass
        finally:
            if uow.committed is not None:
                (acknowledged if uow.committed else refused).add(key)

    async def read(store: Store) -> None:
        nonlocal reads
        rows = await rows_by_key(store)
        assert torn(rows) == [], "a dirty read"
        assert not refused & rows.keys(), "undone, and there"
        reads += 1

    async def one(store: Store, number: int) -> None:
        for turn in range(drill.amount(2, 12)):
            work = read(store) if number % 4 == 0 else write(store, f"{number}/{turn}")
            task = asyncio.create_task(work)
            if chance.random() < 0.4:
                await asyncio.wait([task], timeout=chance.uniform(0, 0.3))
                task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() or task.exception() is None, task.exception()

    async with Store(":memory:") as store:
        async with silence("in memory"):
            await asyncio.gather(*(one(store, number) for number in range(160)))
        rows = await rows_by_key(store)
        assert torn(rows) == []
        assert rows.keys() >= acknowledged
        assert not refused & rows.keys()
        assert store.connections_in_use == 0
    drill.held(f"160 at once; {len(acknowledged)} kept, {len(refused)} undone, {reads} clean reads")


async def test_who_waits_behind_a_cancelled_opening_gets_a_connection(
    file: str, drill: Drill
) -> None:
    slowest, points = 0.0, 0
    async with Store(file):
        pass
    for how in CANCELLATIONS:
        point, reached = 0, True
        while reached:
            point += 1
            async with Store(file, readers=1, busy_timeout=5) as store:
                first = asyncio.ensure_future(
                    cancelled_at(point, how, a_single_read(Attempt(store, "")))
                )
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                behind = [asyncio.ensure_future(a_reader(Attempt(store, ""))) for _ in range(3)]
                behind.append(asyncio.ensure_future(a_single_read(Attempt(store, ""))))
                slowest = max(slowest, await timed(asyncio.gather(*behind)))
                assert slowest < 1, f"await {point}, {how}: {slowest:.1f} s; {load()}"
                reached, _ = await first
                points += reached
                await until(lambda: store.connections_in_use == 0, 1, "a connection is held")
    drill.held(f"{points} points; those behind waited ≤ {milliseconds(slowest)}")
