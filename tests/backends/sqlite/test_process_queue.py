"""Fair turns between processes: tickets in a file beside the database."""

import asyncio
import os
import signal
import socket
import sqlite3
import stat
import struct
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from builders import add_initiative
from clocks import Nanoseconds
from cw_store import Store
from cw_store.backends.sqlite.process_queue import ProcessQueue
from cw_store.store import backend_of
from programs import run_program, start_program


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cw.db-turns"


@pytest.fixture
def clock() -> Nanoseconds:
    """The clock of those that queue up in this process."""
    return Nanoseconds()


@pytest.fixture
def one(path: Path, clock: Nanoseconds) -> Iterator[ProcessQueue]:
    process_queue = ProcessQueue(path, clock=clock)
    yield process_queue
    process_queue.close()


@pytest.fixture
def other(path: Path, clock: Nanoseconds) -> Iterator[ProcessQueue]:
    process_queue = ProcessQueue(path, clock=clock)
    yield process_queue
    process_queue.close()


def test_a_new_file_has_no_tickets_and_is_private(one: ProcessQueue, path: Path) -> None:
    assert one.nobody_waits()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_ticket_is_seen_by_the_others_until_it_leaves(
    one: ProcessQueue, other: ProcessQueue
) -> None:
    ticket = one.join()
    assert ticket is not None
    assert not other.nobody_waits()
    assert ticket.is_first()
    ticket.leave()
    assert other.nobody_waits()


def test_the_oldest_ticket_goes_first(one: ProcessQueue, other: ProcessQueue) -> None:
    first, second, third = one.join(), other.join(), one.join()
    assert first and second and third
    assert [ticket.is_first() for ticket in (third, second, first)] == [False, False, True]
    first.leave()
    assert [ticket.is_first() for ticket in (third, second)] == [False, True]
    second.leave()
    assert third.is_first()
    third.leave()
    assert one.nobody_waits()


def test_a_ticket_says_behind_how_many_it_waits(one: ProcessQueue, other: ProcessQueue) -> None:
    first, second, third = one.join(), other.join(), one.join()
    assert first and second and third
    assert [repr(ticket) for ticket in (first, third)] == [
        "<Ticket in slot 0, behind 0 others>",
        "<Ticket in slot 2, behind 2 others>",
    ]
    second.leave()
    assert repr(third) == "<Ticket in slot 2, behind 1 others>"


def test_a_ticket_keeps_its_place_however_often_it_looks(
    one: ProcessQueue, other: ProcessQueue
) -> None:
    first, second = one.join(), other.join()
    assert first and second
    for _ in range(3):
        assert first.is_first()
        assert not second.is_first()


def test_a_full_file_gives_no_ticket(one: ProcessQueue, other: ProcessQueue) -> None:
    tickets = [one.join() for _ in range(64)]
    assert all(tickets)
    assert other.join() is None
    assert tickets[0] is not None
    tickets[0].leave()
    assert other.join() is not None


def test_a_ticket_without_a_sign_of_life_holds_nobody_up(one: ProcessQueue, path: Path) -> None:
    long_ago = time.monotonic_ns() - 10**12
    path.write_bytes(struct.pack("<qq", 1, max(long_ago, 1)) + path.read_bytes()[16:])
    assert one.nobody_waits()
    assert path.read_bytes() == bytes(16 * 64), "the dead ticket is cleared away"


def test_a_ticket_from_before_the_last_boot_holds_nobody_up(one: ProcessQueue, path: Path) -> None:
    ahead = time.monotonic_ns() + 10**15
    path.write_bytes(struct.pack("<qq", 1, ahead) * 64)
    assert one.nobody_waits()
    assert one.join() is not None


def test_a_file_that_was_cut_short_is_mended(path: Path) -> None:
    path.write_bytes(b"short")
    process_queue = ProcessQueue(path)
    assert process_queue.nobody_waits()
    assert process_queue.join() is not None
    process_queue.close()


def test_a_ticket_that_leaves_leaves_nothing(one: ProcessQueue, path: Path) -> None:
    ticket = one.join()
    assert ticket is not None
    ticket.leave()
    assert path.read_bytes() == bytes(16 * 64)


def test_who_comes_later_keeps_the_tickets_in_the_file(
    one: ProcessQueue, path: Path, clock: Nanoseconds
) -> None:
    assert one.join() is not None
    late = ProcessQueue(path, clock=clock)
    assert not late.nobody_waits()
    late.close()


STALE = 250_000_000
AGES = {  # nanoseconds since a sign of life: does it wait, is its slot free
    0: (True, False),
    STALE: (True, False),
    STALE + 1: (False, False),
    4 * STALE: (False, False),
    4 * STALE + 1: (False, True),
}


@pytest.mark.parametrize("age", AGES)
def test_the_age_of_the_last_sign_of_life_decides_what_a_ticket_is_worth(
    path: Path, age: int
) -> None:
    waits, is_free = AGES[age]
    now = 10**12
    one = ProcessQueue(path, clock=lambda: now)
    tickets = struct.pack("<qq", 1, now - age) * 64
    path.write_bytes(tickets)
    assert one.nobody_waits() is not waits
    assert path.read_bytes() == (bytes(16 * 64) if is_free else tickets)
    path.write_bytes(tickets)
    assert (one.join() is not None) is is_free
    one.close()


def test_what_comes_after_the_end_goes_into_no_file(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    process_queue = ProcessQueue(path)
    ticket = process_queue.join()
    assert ticket is not None
    process_queue.close()
    held = path.read_bytes()
    ticket.leave()
    assert process_queue.join() is None
    assert process_queue.nobody_waits()
    assert path.read_bytes() == held
    assert capfd.readouterr().out == ""


def test_a_process_without_a_standard_input_queues_up_too(path: Path) -> None:
    kept = os.dup(0)
    os.close(0)
    try:
        process_queue = ProcessQueue(path)  # the file has the lowest free number: 0
        assert process_queue.join() is not None
        assert not process_queue.nobody_waits()
        process_queue.close()
    finally:
        os.dup2(kept, 0)
        os.close(kept)


# Two processes.

WAITER = """
import sys
from pathlib import Path
from cw_store.backends.sqlite.process_queue import ProcessQueue
process_queue = ProcessQueue(Path(sys.argv[1]))
ticket = process_queue.join()
print("joined", flush=True)
for line in sys.stdin:
    if line == "leave\\n":
        ticket.leave()
    print(ticket.is_first() if line == "first?\\n" else line.strip(), flush=True)
"""


def ask(process: Popen[str], line: str) -> str:
    assert process.stdin and process.stdout
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


@pytest.fixture
def newcomer(path: Path) -> Iterator[ProcessQueue]:
    """A queue by the machine's own clock, as other processes have it."""
    process_queue = ProcessQueue(path)
    yield process_queue
    process_queue.close()


@pytest.fixture
def waiter(path: Path) -> Iterator[Popen[str]]:
    with start_program(WAITER, path, cwd=path.parent) as process:
        assert process.stdout and process.stdout.readline() == "joined\n"
        yield process
        process.kill()


def test_a_waiting_process_goes_before_one_that_comes_later(
    waiter: Popen[str], newcomer: ProcessQueue
) -> None:
    assert ask(waiter, "first?") == "True"
    assert not newcomer.nobody_waits()
    ticket = newcomer.join()
    assert ticket is not None
    assert not ticket.is_first()
    assert ask(waiter, "leave") == "leave"
    assert ticket.is_first()


def test_a_waiting_process_that_is_killed_holds_nobody_up_for_long(
    waiter: Popen[str], newcomer: ProcessQueue
) -> None:
    assert ask(waiter, "first?") == "True"
    ticket = newcomer.join()
    assert ticket is not None
    waiter.send_signal(signal.SIGKILL)
    waiter.wait()
    deadline = time.monotonic() + 5
    while not ticket.is_first():
        assert time.monotonic() < deadline
        os.sched_yield()
    ticket.leave()
    while not newcomer.nobody_waits():
        assert time.monotonic() < deadline
        os.sched_yield()


# A store among other processes.


def go_by(clock: Nanoseconds, store: Store) -> None:
    """Have a store ask the same clock as the others in the queue."""
    backend: Any = backend_of(store)
    backend.writer.process_queue.clock = clock


async def _in_a_unit(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="a")


@pytest.mark.parametrize("write", [_in_a_unit, add_initiative])
async def test_a_writer_lets_a_process_go_first_that_has_waited_longer(
    tmp_path: Path,
    path: Path,
    clock: Nanoseconds,
    write: Callable[[Store], Coroutine[Any, Any, object]],
) -> None:
    async with Store(tmp_path / "cw.db") as store:
        go_by(clock, store)
        other = ProcessQueue(path, clock=clock)
        ticket = other.join()
        assert ticket is not None
        task = asyncio.create_task(write(store))
        for _ in range(200):
            assert ticket.is_first()
            assert await store.initiatives.find_all() == []
        assert not task.done()
        ticket.leave()
        async with asyncio.timeout(10):
            await task
        assert other.nobody_waits()
        other.close()


async def test_a_writer_who_finds_the_lock_taken_queues_up(
    tmp_path: Path, path: Path, clock: Nanoseconds
) -> None:
    async with Store(tmp_path / "cw.db") as store:
        go_by(clock, store)
        other = ProcessQueue(path, clock=clock)
        lock = sqlite3.connect(tmp_path / "cw.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        task = asyncio.create_task(_in_a_unit(store))
        async with asyncio.timeout(10):
            while other.nobody_waits():  # noqa: ASYNC110 -- a file tells of no event
                await asyncio.sleep(0)
        late = other.join()
        assert late is not None and not late.is_first()
        lock.execute("COMMIT")
        lock.close()
        async with asyncio.timeout(10):
            await task
        assert late.is_first()
        late.leave()
        other.close()


# What else may happen to the file. It costs fairness, and nothing else.


def make_link(path: Path) -> None:
    path.with_name("victim").write_bytes(b"precious")
    path.symlink_to("victim")


def make_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def make_hard_link(path: Path) -> None:
    path.with_name("victim").write_bytes(b"precious")
    path.hardlink_to(path.with_name("victim"))


def make_name_of_the_database(path: Path) -> None:
    path.hardlink_to(path.with_name("cw.db"))


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


KINDS: list[Callable[[Path], None]] = [
    Path.mkdir,
    make_link,
    make_dangling_link,
    make_hard_link,
    make_name_of_the_database,
    make_fifo,
    make_socket,
]


async def _write_against_another_program(database: Path) -> int:
    async with Store(database, busy_timeout=5) as store:
        await add_initiative(store)
        lock = sqlite3.connect(database, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        task = asyncio.create_task(_in_a_unit(store))
        for _ in range(50):
            await store.initiatives.find_all()
        lock.execute("COMMIT")
        lock.close()
        await task
        return len(await store.initiatives.find_all())


@pytest.mark.parametrize("make", KINDS)
def test_what_is_no_queue_is_left_alone_and_keeps_nobody_out(
    migrated_file: Path, path: Path, make: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    database = path.with_name("cw.db")
    database.write_bytes(migrated_file.read_bytes())
    make(path)
    kind = path.lstat().st_mode
    assert asyncio.run(_write_against_another_program(database)) == 2
    assert path.lstat().st_mode == kind
    assert ["no fair turns" in record.getMessage() for record in caplog.records] == [True]
    if (victim := path.with_name("victim")).exists():
        assert victim.read_bytes() == b"precious"
    assert not path.with_name("nowhere").exists()


def remove(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    path.with_name("new").write_bytes(bytes(16 * 64))
    path.with_name("new").rename(path)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def cut_short(path: Path) -> None:
    os.truncate(path, 5)


def fill_with_rubbish(path: Path) -> None:
    path.write_bytes(os.urandom(16 * 64))


def fill_with_the_largest(path: Path) -> None:
    path.write_bytes(b"\xff" * 16 * 64)


def make_huge(path: Path) -> None:
    os.truncate(path, 1 << 30)


HARMS = [remove, replace, empty, cut_short, fill_with_rubbish, fill_with_the_largest, make_huge]


@pytest.mark.parametrize("harm", HARMS)
def test_a_file_that_was_harmed_holds_nobody_up_and_is_good_again(
    one: ProcessQueue,
    other: ProcessQueue,
    path: Path,
    clock: Nanoseconds,
    harm: Callable[[Path], None],
) -> None:
    first = one.join()
    assert first is not None
    harm(path)
    assert other.nobody_waits() or other.oldest() is not None
    assert first.is_first()
    first.leave()
    second, third = one.join(), other.join()
    assert second and third
    assert second.is_first() and not third.is_first()
    late = ProcessQueue(path, clock=clock)
    assert not late.nobody_waits()
    late.close()
    second.leave()
    assert third.is_first()
    third.leave()
    assert one.nobody_waits() and other.nobody_waits()


def test_a_file_that_is_larger_than_expected_is_not_cut(one: ProcessQueue, path: Path) -> None:
    path.write_bytes(bytes(16 * 64) + b"more")
    ticket = one.join()
    assert ticket is not None and ticket.is_first()
    ticket.leave()
    assert path.read_bytes() == bytes(16 * 64) + b"more"


def test_a_look_is_good_for_less_than_a_waiter_takes_between_two(path: Path) -> None:
    now = 10**12
    one = ProcessQueue(path, clock=lambda: now)
    assert one.nobody_waits()
    path.write_bytes(struct.pack("<qq", now, now) * 64)
    now += 199_999
    assert one.nobody_waits(), "it has just looked"
    now += 1
    assert not one.nobody_waits()
    assert not one.nobody_waits(), "only an empty queue is good for a while"
    one.close()


HARMED_WHILE_IN_USE = """
import asyncio, os, sys
from cw_store import Store
async def main():
    async with Store(sys.argv[1], busy_timeout=5) as store:
        for number in range(40):
            await store.initiatives.create(name="one")
            if number % 4 == 0:
                os.truncate(sys.argv[1] + "-turns", 0)
            elif number % 4 == 2:
                os.unlink(sys.argv[1] + "-turns")
                open(sys.argv[1] + "-turns", "w").close()
        print(len(await store.initiatives.find_all()))
asyncio.run(main())
"""


def test_a_process_survives_that_the_file_is_emptied_again_and_again(tmp_path: Path) -> None:
    done = run_program(HARMED_WHILE_IN_USE, tmp_path / "cw.db", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "40\n"), done.stderr


WITHOUT_DESCRIPTORS = """
import logging, os, resource, sys
from pathlib import Path
from cw_store.backends.sqlite.process_queue import ProcessQueue
logging.disable()
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
free = os.dup(0)
os.close(free)
resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
process_queue = ProcessQueue(Path(sys.argv[1]))
print(process_queue.nobody_waits(), process_queue.join())
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(process_queue.join().is_first())
process_queue.close()
"""


def test_without_descriptors_there_is_no_queue_until_there_are(path: Path) -> None:
    done = run_program(WITHOUT_DESCRIPTORS, path, cwd=path.parent)
    assert done.stdout.split() == ["True", "None", "True"], done.stderr


WITHOUT_ROOM = """
import resource, sys
from pathlib import Path
from cw_store.backends.sqlite.process_queue import ProcessQueue
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
process_queue = ProcessQueue(Path(sys.argv[1]))
ticket = process_queue.join()
print(process_queue.nobody_waits(), ticket is None or ticket.is_first())
process_queue.close()
"""


def test_without_room_nobody_is_held_up(path: Path) -> None:
    done = run_program(WITHOUT_ROOM, path, cwd=path.parent)
    assert done.stdout.split() == ["True", "True"], done.stderr


# Two users.

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

AS_ANOTHER = """
import asyncio, os, sys
from pathlib import Path
from cw_store import Store
from cw_store.backends.sqlite.process_queue import ProcessQueue
from cw_store.store import backend_of
async def main(path):
    async with Store(path, busy_timeout=5) as store:
        await store.initiatives.create(name="x")
        process_queue = backend_of(store).writer.process_queue
        ticket = process_queue.join()
        print(ticket is not None and ticket.is_first(), flush=True)
        ticket and ticket.leave()
asyncio.run(main(":memory:"))  # what is imported late may not be another user's to read
for line in sys.stdin:
    path, user, *groups = line.split()
    if os.fork():  # it has no thread and no open file any more
        os.wait()
        continue
    try:
        os.setgroups([*map(int, groups)])
        os.setgid(int(user))
        os.setuid(int(user))
        asyncio.run(main(path))
    except Exception as error:
        print(repr(error), flush=True)
    finally:
        os._exit(0)
"""
ADA, BEA, BOTH = 60_001, 60_002, 60_010


@pytest.fixture
def shared(migrated_file: Path) -> Iterator[Path]:
    """An empty database in a folder that all may write to."""
    with TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        path = Path(folder) / "cw.db"
        path.write_bytes(migrated_file.read_bytes())
        yield path


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Popen[str]]:
    """A process that becomes other users, and has loaded what takes time, for all of these."""
    with start_program(AS_ANOTHER, cwd=tmp_path_factory.mktemp("others")) as process:
        assert process.stdout and process.stdout.readline() == "True\n"
        yield process
        process.communicate()


def as_another(others: Popen[str], path: Path, user: int, *groups: int) -> str:
    assert others.stdin and others.stdout
    print(path, user, *groups, file=others.stdin, flush=True)
    return others.stdout.readline().strip()


async def _open_and_write(path: Path) -> None:
    async with Store(path) as store:
        await add_initiative(store)


def turns_of(path: Path) -> os.stat_result:
    return path.with_name("cw.db-turns").stat()


@needs_root
@pytest.mark.parametrize("mode", [0o600, 0o660, 0o644])
def test_the_file_belongs_to_whom_the_database_belongs(
    others: Popen[str], shared: Path, mode: int
) -> None:
    os.chown(shared, ADA, BOTH)
    shared.chmod(mode)
    asyncio.run(_open_and_write(shared))
    file = turns_of(shared)
    assert (file.st_uid, file.st_gid, stat.S_IMODE(file.st_mode)) == (ADA, BOTH, mode)
    assert as_another(others, shared, ADA) == "True"


@needs_root
def test_a_file_that_root_left_behind_is_given_to_whom_the_database_belongs(
    others: Popen[str],
    shared: Path,
) -> None:
    ProcessQueue(shared.with_name("cw.db-turns")).close()
    os.chown(shared, ADA, ADA)
    assert turns_of(shared).st_uid == 0
    assert as_another(others, shared, ADA) == "False", (
        "without fair turns it is a store all the same"
    )
    asyncio.run(_open_and_write(shared))
    assert turns_of(shared).st_uid == ADA
    assert as_another(others, shared, ADA) == "True"


@needs_root
@pytest.mark.parametrize("first", [ADA, BEA])
def test_users_of_one_group_queue_up_together(others: Popen[str], shared: Path, first: int) -> None:
    os.chown(shared, ADA, BOTH)
    shared.chmod(0o660)
    for user in (first, ADA, BEA, ADA):
        assert as_another(others, shared, user, BOTH) == "True"
    file = turns_of(shared)
    assert (file.st_uid, file.st_gid, stat.S_IMODE(file.st_mode)) == (first, BOTH, 0o660)


@needs_root
def test_a_file_of_somebody_who_may_not_write_to_the_database_is_left_alone(
    others: Popen[str],
    shared: Path,
) -> None:
    path = shared.with_name("cw.db-turns")
    now = time.monotonic_ns()
    path.write_bytes(struct.pack("<qq", 1, now + 10**15) * 64)
    os.chown(path, BEA, BEA)
    path.chmod(0o666)
    os.chown(shared, ADA, ADA)
    held = path.read_bytes()
    assert as_another(others, shared, ADA) == "False"
    assert path.read_bytes() == held
    shared.chmod(0o666)
    assert as_another(others, shared, ADA) == "True", (
        "whoever may write to one may write to the other"
    )
