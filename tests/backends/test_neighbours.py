"""Fair turns between processes: tickets in a file beside the database."""

import asyncio
import os
import signal
import sqlite3
import stat
import struct
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from builders import add_initiative
from cw_store import Store
from cw_store.backends.neighbours import Neighbours
from programs import start_program


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cw.db-turns"


@pytest.fixture
def one(path: Path) -> Iterator[Neighbours]:
    neighbours = Neighbours(path)
    yield neighbours
    neighbours.close()


@pytest.fixture
def other(path: Path) -> Iterator[Neighbours]:
    neighbours = Neighbours(path)
    yield neighbours
    neighbours.close()


def test_a_new_file_has_no_tickets_and_is_private(one: Neighbours, path: Path) -> None:
    assert one.nobody_waits()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_ticket_is_seen_by_the_others_until_it_leaves(one: Neighbours, other: Neighbours) -> None:
    ticket = one.join()
    assert ticket is not None
    assert not other.nobody_waits()
    assert ticket.is_first()
    ticket.leave()
    assert other.nobody_waits()


def test_the_oldest_ticket_goes_first(one: Neighbours, other: Neighbours) -> None:
    first, second, third = one.join(), other.join(), one.join()
    assert first and second and third
    assert [ticket.is_first() for ticket in (third, second, first)] == [False, False, True]
    first.leave()
    assert [ticket.is_first() for ticket in (third, second)] == [False, True]
    second.leave()
    assert third.is_first()
    third.leave()
    assert one.nobody_waits()


def test_a_ticket_keeps_its_place_however_often_it_looks(
    one: Neighbours, other: Neighbours
) -> None:
    first, second = one.join(), other.join()
    assert first and second
    for _ in range(3):
        assert first.is_first()
        assert not second.is_first()


def test_a_full_file_gives_no_ticket(one: Neighbours, other: Neighbours) -> None:
    tickets = [one.join() for _ in range(64)]
    assert all(tickets)
    assert other.join() is None
    assert tickets[0] is not None
    tickets[0].leave()
    assert other.join() is not None


def test_a_ticket_without_a_sign_of_life_holds_nobody_up(one: Neighbours, path: Path) -> None:
    long_ago = time.monotonic_ns() - 10**12
    path.write_bytes(struct.pack("<qq", 1, max(long_ago, 1)) + path.read_bytes()[16:])
    assert one.nobody_waits()
    assert path.read_bytes() == bytes(16 * 64), "the dead ticket is cleared away"


def test_a_ticket_from_before_the_last_boot_holds_nobody_up(one: Neighbours, path: Path) -> None:
    ahead = time.monotonic_ns() + 10**15
    path.write_bytes(struct.pack("<qq", 1, ahead) * 64)
    assert one.nobody_waits()
    assert one.join() is not None


def test_a_file_that_was_cut_short_is_mended(path: Path) -> None:
    path.write_bytes(b"short")
    neighbours = Neighbours(path)
    assert neighbours.nobody_waits()
    assert neighbours.join() is not None
    neighbours.close()


def test_a_ticket_that_leaves_leaves_nothing(one: Neighbours, path: Path) -> None:
    ticket = one.join()
    assert ticket is not None
    ticket.leave()
    assert path.read_bytes() == bytes(16 * 64)


def test_who_comes_later_keeps_the_tickets_in_the_file(one: Neighbours, path: Path) -> None:
    assert one.join() is not None
    late = Neighbours(path)
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
    one: Neighbours, path: Path, monkeypatch: pytest.MonkeyPatch, age: int
) -> None:
    waits, is_free = AGES[age]
    now = 10**12
    monkeypatch.setattr(time, "monotonic_ns", lambda: now)
    tickets = struct.pack("<qq", 1, now - age) * 64
    path.write_bytes(tickets)
    assert one.nobody_waits() is not waits
    assert path.read_bytes() == (bytes(16 * 64) if is_free else tickets)
    path.write_bytes(tickets)
    assert (one.join() is not None) is is_free


def test_what_comes_after_the_end_goes_into_no_file(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    neighbours = Neighbours(path)
    ticket = neighbours.join()
    assert ticket is not None
    neighbours.close()
    held = path.read_bytes()
    ticket.leave()
    assert neighbours.join() is None
    assert neighbours.nobody_waits()
    assert path.read_bytes() == held
    assert capfd.readouterr().out == ""


def test_a_process_without_a_standard_input_queues_up_too(path: Path) -> None:
    kept = os.dup(0)
    os.close(0)
    try:
        neighbours = Neighbours(path)  # the file has the lowest free number: 0
        assert neighbours.join() is not None
        assert not neighbours.nobody_waits()
        neighbours.close()
    finally:
        os.dup2(kept, 0)
        os.close(kept)


# Two processes.

WAITER = """
import sys
from pathlib import Path
from cw_store.backends.neighbours import Neighbours
neighbours = Neighbours(Path(sys.argv[1]))
ticket = neighbours.join()
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
def waiter(path: Path) -> Iterator[Popen[str]]:
    with start_program(WAITER, path, cwd=path.parent) as process:
        assert process.stdout and process.stdout.readline() == "joined\n"
        yield process
        process.kill()


def test_a_waiting_process_goes_before_one_that_comes_later(
    waiter: Popen[str], one: Neighbours
) -> None:
    assert ask(waiter, "first?") == "True"
    assert not one.nobody_waits()
    ticket = one.join()
    assert ticket is not None
    assert not ticket.is_first()
    assert ask(waiter, "leave") == "leave"
    assert ticket.is_first()


def test_a_waiting_process_that_is_killed_holds_nobody_up_for_long(
    waiter: Popen[str], one: Neighbours
) -> None:
    assert ask(waiter, "first?") == "True"
    ticket = one.join()
    assert ticket is not None
    waiter.send_signal(signal.SIGKILL)
    waiter.wait()
    deadline = time.monotonic() + 5
    while not ticket.is_first():
        assert time.monotonic() < deadline
        os.sched_yield()
    ticket.leave()
    while not one.nobody_waits():
        assert time.monotonic() < deadline
        os.sched_yield()


# A store among its neighbours.


async def _in_a_unit(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="a")


@pytest.mark.parametrize("write", [_in_a_unit, add_initiative])
async def test_a_writer_lets_a_process_go_first_that_has_waited_longer(
    tmp_path: Path, path: Path, write: Callable[[Store], Coroutine[Any, Any, object]]
) -> None:
    async with Store(tmp_path / "cw.db") as store:
        other = Neighbours(path)
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


async def test_a_writer_who_finds_the_lock_taken_queues_up(tmp_path: Path, path: Path) -> None:
    async with Store(tmp_path / "cw.db") as store:
        other, lock = Neighbours(path), sqlite3.connect(tmp_path / "cw.db", isolation_level=None)
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
