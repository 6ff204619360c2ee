"""Upkeep of a SQLite file: it happens, at the right time, in nobody's way, and not in silence."""

import asyncio
import logging
import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa

from cw_store import NewLogChunk, Store, StoreBusyError, StoreClosedError
from cw_store.backends.sqlite.backend import SqliteBackend
from cw_store.backends.sqlite.checkpoints import Maintenance
from cw_store.backends.sqlite.maintenance_rules import current_settings, maintenance_settings
from cw_store.backends.sqlite.raw_connection import create_private_file
from cw_store.store import backend_of
from programs import run_program
from slow_disk import environment_of_slow_disk, why_not
from waits import threads

KILOBYTE = 1024
TESTS = Path(__file__).parents[2]


PAUSE = 0.02
FOREVER = 1_000_000.0
WHATEVER_IT_COSTS = 1_000.0


@pytest.fixture(autouse=True)
def soon() -> Generator[None]:
    """Upkeep that is due in milliseconds and for kilobytes."""
    with maintenance_settings(
        look_every=0.001,
        pause=PAUSE,
        short_log=64 * KILOBYTE,
        worth_copying=128 * KILOBYTE,
        short_wait=FOREVER,
        changes_before_statistics=100,
    ):
        yield


def length(path: Path) -> int:
    return path.with_name("cw.db-wal").stat().st_size


def copied(path: Path) -> int:
    """The bytes of the database file, which grows only by checkpoints."""
    return path.stat().st_size


async def write(store: Store, kilobytes: int = 100) -> None:
    await store.log_chunks.insert_chunk("a", "a", 1, "x" * kilobytes * KILOBYTE)


def kilobytes(count: int) -> list[NewLogChunk]:
    """Return so many rows of a kilobyte."""
    row: NewLogChunk = {
        "agent_id": "a",
        "agent_name": "a",
        "session_number": 1,
        "content": "x" * KILOBYTE,
    }
    return [row for _ in range(count)]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 -- no event tells of upkeep
            await asyncio.sleep(0)


async def a_while(pauses: int) -> None:
    """Let so much time pass that upkeep would do what it must not."""
    end = asyncio.get_running_loop().time() + pauses * PAUSE
    await until(lambda: asyncio.get_running_loop().time() > end)


@contextmanager
def another_program(path: Path) -> Generator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other:
        yield other


@contextmanager
def snapshot_of_another_program(path: Path) -> Generator[sqlite3.Connection]:
    with another_program(path) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM agent_log_chunks").fetchall()
        yield other


def put_away(path: Path) -> Path:
    return path.rename(path.with_name("away.db"))


def put_back(path: Path, away: Path) -> None:
    away.rename(path)


def statistics(path: Path) -> list[tuple[int]]:
    with another_program(path) as other:
        query = "SELECT stat FROM sqlite_stat1 WHERE tbl = 'agent_log_chunks'"
        try:
            return other.execute(query).fetchall()
        except sqlite3.OperationalError:
            return []


# When nobody writes.


async def test_a_log_is_cut_to_nothing_when_nobody_writes(store: Store, path: Path) -> None:
    await write(store)
    assert length(path) > 64 * KILOBYTE
    await until(lambda: length(path) == 0)
    await write(store)  # and so it is the next time
    await until(lambda: length(path) == 0)
    assert statistics(path) == []  # of two rows


async def test_a_short_log_is_left_alone(store: Store, path: Path) -> None:
    before = threads()
    await write(store, 1)
    await a_while(3)
    assert 0 < length(path) <= 64 * KILOBYTE
    assert threads() == before


async def test_a_store_at_rest_keeps_no_thread_and_no_pipe_for_upkeep(
    store: Store, path: Path
) -> None:
    def descriptors() -> int:
        # Without those of the database file: SQLite keeps one of each connection that it closed.
        links = [os.path.realpath(f"/dev/fd/{number}") for number in os.listdir("/dev/fd")]
        return sum(link != str(path.resolve()) for link in links)

    before, descriptors_before = threads(), descriptors()
    for _ in range(3):
        await write(store)
        await until(lambda: threads() > before)
        await until(lambda: length(path) == 0)
        await until(lambda: threads() == before and descriptors() <= descriptors_before)


async def test_no_log_is_cut_while_a_unit_writes(store: Store, path: Path) -> None:
    async with store.unit_of_work() as uow:
        await uow.log_chunks.insert_chunk("a", "a", 1, "x" * 100 * KILOBYTE)
        await uow.commit()
        await uow.log_chunks.insert_chunk("a", "a", 1, "y")
        kept = length(path)
        await a_while(5)
        assert length(path) == kept > 64 * KILOBYTE
        assert store.connections_in_use == 1
    await until(lambda: length(path) == 0)


@pytest.mark.parametrize("seen", ["nothing of the log", "all of the log"])
async def test_a_snapshot_of_another_program_keeps_the_log_and_nobody_is_told(
    store: Store, path: Path, caplog: pytest.LogCaptureFixture, seen: str
) -> None:
    if seen == "all of the log":
        await write(store)
    with snapshot_of_another_program(path) as other:
        if seen == "nothing of the log":
            await write(store)
        await a_while(5)
        assert length(path) > 64 * KILOBYTE
        assert other.execute("SELECT count(*) FROM agent_log_chunks").fetchone() == (
            int(seen == "all of the log"),
        )
    await until(lambda: length(path) == 0)
    assert caplog.records == []


async def test_another_programs_lock_is_waited_for_and_nobody_is_told(
    store: Store, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await write(store)
    with another_program(path) as other:
        other.execute("BEGIN IMMEDIATE")
        await a_while(5)
        assert length(path) > 64 * KILOBYTE
    await until(lambda: length(path) == 0)
    assert caplog.records == []


async def test_two_stores_on_one_file_keep_out_of_each_others_way(
    store: Store, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Store(path) as other:
        for _ in range(5):
            await asyncio.gather(*(write(one) for one in (store, other) for _ in range(3)))
        await until(lambda: length(path) == 0)
        assert len(await other.log_chunks.find_by_agent_id("a")) == 30
    assert caplog.records == []


# While there are writes.


async def test_the_log_is_copied_beside_a_writer_who_keeps_the_turn(path: Path) -> None:
    with maintenance_settings(pause=FOREVER):
        async with Store(path) as store, store.unit_of_work() as uow:
            for _ in range(3):
                await uow.log_chunks.insert_chunk("a", "a", 1, "x" * 100 * KILOBYTE)
                await uow.commit()
            await uow.log_chunks.insert_chunk("a", "a", 1, "y")
            await until(lambda: copied(path) > 300 * KILOBYTE)
            assert store.connections_in_use == 1


async def test_a_log_of_long_writes_is_begun_anew_while_others_write(path: Path) -> None:
    def was_cut() -> bool:
        return any(after < before for before, after in pairwise(lengths))

    async def writer(store: Store) -> None:
        for _ in range(300):  # when upkeep gets its turn among them is the machine's affair
            if was_cut():
                return
            await write(store, 1024)
            lengths.append(length(path))

    lengths: list[int] = []
    with maintenance_settings(
        pause=FOREVER, share_of_time=WHATEVER_IT_COSTS, worth_copying=4 * 1024 * KILOBYTE
    ):
        async with Store(path) as store:
            await asyncio.gather(writer(store), writer(store))
    assert was_cut()


async def test_a_log_that_is_written_over_many_times_is_never_cut(path: Path) -> None:
    lengths: list[int] = []
    with maintenance_settings(pause=FOREVER, share_of_time=WHATEVER_IT_COSTS):
        async with Store(path) as store:
            for number in range(100):
                await write(store)
                await until(lambda number=number: copied(path) >= (number - 5) * 100 * KILOBYTE)
                lengths.append(length(path))
    assert lengths == sorted(lengths)
    assert lengths[-1] < 3000 * KILOBYTE  # most of 10,000 kilobytes was written over others


@pytest.mark.parametrize("is_worth_it", [True, False])
async def test_what_it_costs_to_begin_the_log_anew_decides_how_long_it_grows(
    path: Path, is_worth_it: bool
) -> None:
    async def writer(store: Store) -> None:
        for _ in range(50):
            await write(store, 512)

    share = WHATEVER_IT_COSTS if is_worth_it else 0.0
    with maintenance_settings(pause=FOREVER, share_of_time=share, changes_before_statistics=1_000):
        async with Store(path) as store:
            backend = backend_of(store)
            assert isinstance(backend, SqliteBackend)
            await asyncio.gather(writer(store), writer(store))
            assert (length(path) < 25 * 1024 * KILOBYTE) is is_worth_it
            assert (length(path) < 50 * 1024 * KILOBYTE) is is_worth_it
            assert (backend.maintenance.seconds_held > 0) is is_worth_it


async def test_where_that_keeps_writers_waiting_the_log_is_long_before_it_is_begun_anew(
    path: Path,
) -> None:
    async def writer(store: Store, maintenance: Maintenance) -> None:
        for _ in range(500):  # when upkeep gets its turn among them is the machine's affair
            if maintenance.seconds_held > 0:
                return
            await write(store, 512)
            lengths.append(length(path))

    lengths: list[int] = []
    with maintenance_settings(
        pause=FOREVER,
        short_wait=0.0,
        long_log=60 * 1024 * KILOBYTE,
        largest_share=1000.0,
        changes_before_statistics=1_000_000,
    ):
        async with Store(path) as store:
            backend = backend_of(store)
            assert isinstance(backend, SqliteBackend)
            maintenance = backend.maintenance
            await asyncio.gather(writer(store, maintenance), writer(store, maintenance))
            assert maintenance.seconds_held > 0
    assert max(lengths) > 20 * 1024 * KILOBYTE


async def test_the_turn_of_upkeep_has_a_name_and_is_not_counted_as_a_callers(
    path: Path,
) -> None:
    with maintenance_settings(wait_for_others=1.0):
        async with Store(path, busy_timeout=0.05) as store:
            backend = backend_of(store)
            assert isinstance(backend, SqliteBackend)
            await write(store)
            with snapshot_of_another_program(path):  # of all of it: it can be copied, not cut
                await until(lambda: backend.maintenance.has_the_turn)
                assert store.connections_in_use == 0
                with pytest.raises(StoreBusyError) as refused:
                    await write(store, 1)
                assert refused.value.holder is not None
                assert refused.value.holder.label == "maintenance"
            await until(lambda: length(path) == 0)
            assert backend.maintenance.seconds_held > 0.05


async def test_upkeep_that_waits_too_long_for_its_turn_asks_again(path: Path) -> None:
    async with Store(path, busy_timeout=0.02) as store:
        await store.log_chunks.insert_chunks(kilobytes(100))  # statistics are due
        async with store.unit_of_work() as uow:
            await uow.log_chunks.insert_chunk("a", "a", 1, "x")
            await a_while(5)
            assert statistics(path) == []
        await until(lambda: statistics(path) != [])
        await until(lambda: length(path) == 0)


# Statistics.


async def test_statistics_are_made_when_there_is_something_to_count(
    store: Store, path: Path
) -> None:
    rows: list[NewLogChunk] = [
        {"agent_id": f"{n % 7}", "agent_name": "a", "session_number": 1, "content": "{}"}
        for n in range(100)
    ]
    await store.log_chunks.insert_chunks(rows[:99])
    await a_while(3)
    assert statistics(path) == []
    await store.log_chunks.insert_chunks(rows[:1])
    await until(lambda: statistics(path) != [])
    assert all(str(stat).startswith("('100 ") for stat in statistics(path))
    await store.log_chunks.insert_chunks(rows[:50])  # not again before there are twice as many
    await a_while(3)
    assert all(str(stat).startswith("('100 ") for stat in statistics(path))
    await store.log_chunks.insert_chunks(rows[:60])
    await until(lambda: all(str(stat).startswith("('210 ") for stat in statistics(path)))


async def test_statistics_leave_no_log_behind_and_the_writers_settings_as_they_were(
    store: Store, path: Path
) -> None:
    await store.log_chunks.insert_chunks(kilobytes(100))
    await until(lambda: length(path) == 0)
    assert statistics(path) != []
    async with asyncio.timeout(20):
        async with store.unit_of_work() as uow:
            assert await uow.session.scalar(sa.text("PRAGMA busy_timeout")) == 5
            assert await uow.session.scalar(sa.text("PRAGMA analysis_limit")) == 400
            assert await uow.session.scalar(sa.text("PRAGMA wal_autocheckpoint")) == 0


# The thread.


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has no priority of its own")
async def test_checkpoints_step_back_and_nothing_else_does(store: Store) -> None:
    def niceness() -> list[int]:
        threads = [thread.native_id for thread in threading.enumerate()]
        return sorted(os.getpriority(os.PRIO_PROCESS, id) for id in threads if id is not None)

    before = niceness()
    assert before[0] == before[-1]
    await write(store)
    await until(lambda: niceness()[-1] > before[0])
    assert niceness() == [*before, before[0] + current_settings().niceness]


# The end of the store.


async def test_a_unit_may_end_after_its_store_was_closed(path: Path) -> None:
    store = await Store.open(path)
    before = threads()
    await write(store)
    uow = await store.unit_of_work().__aenter__()
    await uow.log_chunks.insert_chunk("a", "a", 1, "x")
    await store.close()
    with suppress(StoreClosedError):
        await uow.rollback()
    await until(lambda: threads() < before)


@pytest.mark.parametrize("after", range(0, 40, 4))
async def test_a_store_can_be_closed_whatever_upkeep_is_doing(path: Path, after: int) -> None:
    before = threads()
    async with Store(path) as store:
        for _ in range(3):
            await write(store)
        await asyncio.sleep(after / 1000)
    await until(lambda: threads() == before)
    with another_program(path) as other:
        assert other.execute("SELECT count(*) FROM agent_log_chunks").fetchone() == (3,)
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)


# What fails.


def warnings(caplog: pytest.LogCaptureFixture) -> Sequence[logging.LogRecord]:
    assert all(record.name.startswith("cw_store.") for record in caplog.records)
    return [record for record in caplog.records if record.levelno == logging.WARNING]


async def test_upkeep_leaves_a_file_alone_that_took_the_place_of_the_database(
    store: Store, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    away = put_away(path)
    create_private_file(path)
    await write(store)
    await until(lambda: len(warnings(caplog)) == 1)
    await a_while(5)  # it is tried again, and told once
    assert copied(path) == 0
    (record,) = warnings(caplog)
    assert "cw.db was replaced by another file" in record.getMessage()
    assert record.exc_info is not None
    put_back(path, away)
    await until(lambda: length(path) == 0)


async def test_the_same_failure_is_told_again_after_a_while(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with maintenance_settings(tell_every=0.05):
        async with Store(path) as store:
            away = put_away(path)
            await write(store)
            await until(lambda: len(warnings(caplog)) > 1)
            assert "FileNotFoundError" in warnings(caplog)[0].getMessage()
            put_back(path, away)
            await until(lambda: length(path) == 0)


WITHOUT_RIGHTS = """
import asyncio, logging, os, sys
from cw_store import Store
from cw_store.backends.sqlite.maintenance_rules import maintenance_settings

class Told(logging.Handler):
    def emit(self, record):
        told.set()

told = asyncio.Event()

async def main():
    logging.basicConfig(stream=sys.stdout, format="%(name)s %(levelname)s")
    logging.getLogger().addHandler(Told())
    async with Store(sys.argv[1]) as store:
        await store.initiatives.create(name="before")
        await store.initiatives.find_all()
        os.setuid(65534)
        for number in range(5):
            await store.initiatives.create(name=f"{number}")
            await told.wait()
        print(len(await store.initiatives.find_all()))

with maintenance_settings(look_every=0.001):
    asyncio.run(main())
"""


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root, to give it up")
def test_a_log_that_may_not_be_looked_at_keeps_nobody_from_writing(path: Path) -> None:
    os.chmod(path.parent, 0o700)
    done = run_program(WITHOUT_RIGHTS, path, cwd=path.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "6"
    assert done.stdout.count("cw_store.backends.sqlite.checkpoints WARNING") == 1
    assert "PermissionError" in done.stdout


ON_SUCH_A_DISK = """
import asyncio, errno, logging, os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from cw_store import Store
from cw_store.backends.sqlite.maintenance_rules import maintenance_settings
from cw_store.store import backend_of
from slow_disk import SlowDisk

path = Path(sys.argv[1])
disk = SlowDisk(path)
log = path.with_name("cw.db-wal")

async def write(store, seconds=0, size=2000, until=lambda: True):
    longest = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end or not until():
        await store.log_chunks.insert_chunk("a", "a", 1, "x" * size)
        longest = max(longest, log.stat().st_size)
    return longest
"""

SLOW = (
    ON_SUCH_A_DISK
    + """
async def main():
    async with Store(path) as store:
        disk.sync_takes(20)
        began = time.monotonic()
        longest = max(await asyncio.gather(*(write(store, 4) for _ in range(16))))
        elapsed = time.monotonic() - began
        writer = backend_of(store).writer.connection
        in_commits = disk.waited(await writer.run(__import__("threading").get_native_id))
        held = backend_of(store).maintenance.seconds_held
        print(held / elapsed, in_commits / elapsed, longest, disk.syncs)

asyncio.run(main())
"""
)

BROKEN = (
    ON_SUCH_A_DISK
    + """
class Told(logging.Handler):
    def emit(self, record):
        told.append(record)

told = []

async def main():
    logging.basicConfig(stream=sys.stdout, format="%(name)s %(levelname)s")
    logging.getLogger().addHandler(Told())
    async with Store(path) as store:
        disk.fail_writes(errno.EIO)
        await write(store, 1, until=lambda: told)
        rows = len(await store.log_chunks.find_by_agent_id("a"))
        disk.fail_writes(0)
        while log.stat().st_size:
            await asyncio.sleep(0)
        assert rows == len(await store.log_chunks.find_by_agent_id("a")) > 0
    print("copied")

with maintenance_settings(pause=0.1):
    asyncio.run(main())
"""
)


def on_such_a_disk(program: str, path: Path) -> list[str]:
    missing = why_not()
    if missing is not None:
        pytest.skip(missing)
    variables = environment_of_slow_disk(path.parent)
    done = run_program(program, path, TESTS, cwd=path.parent, variables=variables, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_writers_on_a_slow_disk_hardly_wait_for_upkeep(path: Path) -> None:
    (line,) = on_such_a_disk(SLOW, path)
    held, in_commits, longest, syncs = (float(figure) for figure in line.split())
    assert syncs > 2  # the log was copied
    assert held + in_commits < 0.2
    assert longest < 1024 * 1024 * KILOBYTE  # half of that, but for a busy machine


def test_a_database_that_cannot_be_written_to_is_told_and_tried_again(path: Path) -> None:
    lines = on_such_a_disk(BROKEN, path)
    told = [line for line in lines if line.startswith("cw_store")]
    assert told == ["cw_store.backends.sqlite.checkpoints WARNING"]
    assert any("disk I/O error" in line for line in lines)
    assert lines[-1] == "copied"
