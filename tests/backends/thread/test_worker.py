"""What goes to a thread, and what comes back from it to the event loop."""

import asyncio
import os
import select
import threading
import time
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from clocks import TickingClock
from cw_store.backends.thread import worker
from cw_store.backends.thread.worker import (
    LONG_JOB,
    LONG_ROUND,
    JobQueue,
    LoopCallbacks,
    ThreadCallbacks,
    current_core,
)
from programs import run_program
from waits import until_idle

cores_can_be_chosen = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system lets nobody choose a core"
)


@pytest.fixture(autouse=True, params=["eventfd", "pipe"])
def way_to_wake(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let threads wake each other by what this system has, and by what every system has."""
    if request.param == "pipe":
        monkeypatch.delattr(os, "eventfd", raising=False)


@contextmanager
def serving(clock: Callable[[], float] = time.monotonic) -> Generator[JobQueue]:
    """Give jobs with a thread that does them; it has ended afterwards."""
    jobs = JobQueue(clock=clock)
    thread = threading.Thread(target=jobs.serve)
    thread.start()
    try:
        yield jobs
    finally:
        jobs.end()
        thread.join(5)


def in_a_thread(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def open_files() -> int:
    return len(os.listdir("/dev/fd"))


def test_jobs_are_done_in_order_in_the_thread_that_serves() -> None:
    jobs = JobQueue()
    done: list[tuple[int, threading.Thread]] = []
    for number in range(5):
        jobs.add(lambda n=number: done.append((n, threading.current_thread())))
    thread = threading.Thread(target=jobs.serve)
    thread.start()
    for number in range(5, 10):
        jobs.add(lambda n=number: done.append((n, threading.current_thread())))
    jobs.end()
    thread.join(5)
    assert done == [(number, thread) for number in range(10)]


def test_more_jobs_than_the_pipe_holds_neither_block_nor_get_lost() -> None:
    jobs = JobQueue()
    done: list[int] = []
    count = 100_000  # times 8 bytes; a pipe on Linux holds 65,536
    for number in range(count):
        jobs.add(lambda n=number: done.append(n))
    jobs.end()
    jobs.serve()
    assert done == list(range(count))


def test_a_job_that_is_done_is_not_kept_until_the_next_one_comes() -> None:
    class Job:
        def __call__(self) -> None:
            pass

    jobs = JobQueue()
    job = Job()
    gone = weakref.ref(job)
    served = threading.Event()
    thread = threading.Thread(target=jobs.serve)
    jobs.add(job)
    jobs.add(served.set)
    del job
    thread.start()
    assert served.wait(5)
    assert gone() is None
    jobs.end()
    thread.join(5)


@cores_can_be_chosen
def test_a_thread_is_kept_on_the_core_of_its_caller_while_its_jobs_are_short() -> None:
    all_cores = os.sched_getaffinity(0)
    clock = TickingClock()

    def where_a_job_runs(jobs: JobQueue) -> set[int]:
        cores: list[set[int]] = []
        done = threading.Event()
        jobs.add(lambda: cores.append(os.sched_getaffinity(0)))
        jobs.add(done.set)
        assert done.wait(5)
        return cores[0]

    def until_jobs_run_on(cores: set[int], jobs: JobQueue) -> None:
        deadline = time.monotonic() + 5
        while where_a_job_runs(jobs) != cores:
            assert time.monotonic() < deadline
        assert [where_a_job_runs(jobs) for _ in range(3)] == [cores] * 3

    try:
        with serving(clock) as jobs:
            where_a_job_runs(jobs)  # which says that the thread has begun
            core = -1
            for core in sorted(all_cores):
                os.sched_setaffinity(0, {core})
                assert current_core() == core
                assert where_a_job_runs(jobs) == {core}
            clock.step = 2 * LONG_JOB
            until_jobs_run_on({core}, jobs)  # where its caller may run
            clock.step = 0
            until_jobs_run_on({core}, jobs)
            os.sched_setaffinity(0, all_cores)
            clock.step = 2 * LONG_JOB
            until_jobs_run_on(all_cores, jobs)
            os.sched_setaffinity(0, {core})
            clock.step = 0
            until_jobs_run_on({core}, jobs)
    finally:
        os.sched_setaffinity(0, all_cores)


@pytest.fixture
def at_rest(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """An event that is set while the one thread that reads waits for something to read.

    A thread that has done its last job may still be about to choose its cores.
    """
    rests = threading.Event()
    real = os.read

    def read(descriptor: int, length: int) -> bytes:
        if not select.select([descriptor], [], [], 0)[0]:
            rests.set()
        try:
            return real(descriptor, length)
        finally:
            rests.clear()

    monkeypatch.setattr(os, "read", read)
    return rests


def confined(jobs: JobQueue, at_rest: threading.Event) -> set[int]:
    """Return the cores that the thread may use after a long job and a few short ones."""
    cores: list[set[int]] = []
    for work in (partial(time.sleep, 2 * LONG_JOB), lambda: None, lambda: None):
        done = threading.Event()
        jobs.add(work)
        jobs.add(lambda: cores.append(os.sched_getaffinity(0)))
        jobs.add(done.set)
        assert done.wait(5) and at_rest.wait(5)
    assert len({tuple(each) for each in cores}) == 1
    return cores[0]


@cores_can_be_chosen
@pytest.mark.parametrize("whose", ["all threads", "the caller", "the thread"])
def test_a_thread_stays_on_the_cores_that_somebody_confined_it_to(
    whose: str, at_rest: threading.Event
) -> None:
    all_cores = os.sched_getaffinity(0)
    threads: list[int] = []
    try:
        with serving() as jobs:
            done = threading.Event()
            jobs.add(lambda: threads.append(threading.get_native_id()))
            jobs.add(done.set)
            assert done.wait(5) and at_rest.wait(5)
            # Where it was kept already, it could not notice that somebody confines it there.
            kept_on = os.sched_getaffinity(threads[0])
            for core in sorted(all_cores, key=lambda core: ({core} == kept_on, core)):
                if whose != "the thread":
                    os.sched_setaffinity(0, {core})
                if whose != "the caller":
                    os.sched_setaffinity(threads[0], {core})
                if whose == "the thread":  # and its caller is elsewhere
                    os.sched_setaffinity(0, all_cores - {core} or all_cores)
                assert confined(jobs, at_rest) == {core}
    finally:
        os.sched_setaffinity(0, all_cores)


@cores_can_be_chosen
def test_a_thread_that_is_not_pinned_runs_where_it_likes(at_rest: threading.Event) -> None:
    all_cores = os.sched_getaffinity(0)
    jobs = JobQueue(pin_threads=False)
    thread = threading.Thread(target=jobs.serve)
    thread.start()
    assert confined(jobs, at_rest) == all_cores
    jobs.end()
    thread.join(5)


@cores_can_be_chosen
def test_jobs_are_done_where_cores_may_not_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: int, _cores: set[int]) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    with serving() as jobs:
        for _ in range(3):
            done = threading.Event()
            jobs.add(done.set)
            assert done.wait(5)


UNPINNED = """
import ctypes, os, sys, threading
from types import SimpleNamespace
if sys.argv[1] == "no ctypes":
    sys.modules["ctypes"] = None
else:
    ctypes.PyDLL = lambda _name: SimpleNamespace(sched_getcpu=lambda: -1)
from cw_store.backends.thread.worker import JobQueue
jobs, cores, serves = JobQueue(), [], threading.Event()
thread = threading.Thread(target=jobs.serve)
thread.start()
jobs.add(serves.set)
serves.wait()
for _ in range(2):
    jobs.add(lambda: cores.append(os.sched_getaffinity(0)))
jobs.end()
thread.join()
print(cores == [os.sched_getaffinity(0)] * 2)
"""


@cores_can_be_chosen
@pytest.mark.parametrize("what", ["no ctypes", "no core is told"])
def test_without_ctypes_or_a_core_to_be_told_of_a_thread_runs_where_it_likes(
    what: str, tmp_path: Path
) -> None:
    done = run_program(UNPINNED, what, cwd=tmp_path)
    assert done.stdout == "True\n", done.stderr


async def test_what_is_added_runs_on_the_loop_in_order() -> None:
    callbacks = ThreadCallbacks(LoopCallbacks(asyncio.get_running_loop()))
    ran: list[tuple[int, bool]] = []
    ended = asyncio.Event()

    def add_all() -> None:
        for number in range(10):
            callbacks.add(
                lambda n=number: ran.append(
                    (n, threading.current_thread() is threading.main_thread())
                )
            )
        callbacks.add(ended.set)

    in_a_thread(add_all)
    await ended.wait()
    assert ran == [(number, True) for number in range(10)]
    callbacks.stop()


async def test_more_than_the_pipe_holds_is_run_all_the_same() -> None:
    callbacks = ThreadCallbacks(LoopCallbacks(asyncio.get_running_loop()))
    ran: list[int] = []
    ended = asyncio.Event()
    count = 100_000  # times 8 bytes; a pipe on Linux holds 65,536

    def add_all() -> None:
        for number in range(count):
            callbacks.add(lambda n=number: ran.append(n))
        callbacks.add(ended.set)

    in_a_thread(add_all)
    await ended.wait()
    assert ran == list(range(count))
    callbacks.stop()


async def test_what_is_added_while_the_loop_runs_others_is_not_left_behind() -> None:
    callbacks = ThreadCallbacks(LoopCallbacks(asyncio.get_running_loop()))
    ended = asyncio.Event()
    left = 2_000

    def one_more() -> None:
        nonlocal left
        left -= 1
        # The thread's byte is in the pipe before the loop reads it.
        in_a_thread(lambda: callbacks.add(one_more if left else ended.set))

    callbacks.add(one_more)
    await asyncio.wait_for(ended.wait(), 30)
    callbacks.stop()


async def test_one_that_raises_is_logged_and_does_not_keep_the_rest_waiting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    callbacks = ThreadCallbacks(LoopCallbacks(asyncio.get_running_loop()))
    ended = asyncio.Event()
    error = ValueError("raised")

    def fail() -> None:
        raise error

    def add_all() -> None:
        callbacks.add(fail)
        callbacks.add(ended.set)

    in_a_thread(add_all)
    await asyncio.wait_for(ended.wait(), 5)
    (record,) = caplog.records
    assert record.name == worker.__name__ and record.exc_info is not None
    assert record.exc_info[1] is error
    callbacks.stop()


@pytest.mark.parametrize(("seconds", "expected_rounds"), [(LONG_ROUND, 30), (0.0, 1)])
async def test_those_who_wait_for_the_loop_itself_have_a_turn_when_a_round_gets_long(
    seconds: float, expected_rounds: int
) -> None:
    loop = asyncio.get_running_loop()
    loop_callbacks = LoopCallbacks(loop, TickingClock(seconds))
    connections = [ThreadCallbacks(loop_callbacks) for _ in range(3)]
    rounds = 0
    ran_in: list[int] = []
    ended = asyncio.Event()

    def count_rounds() -> None:
        nonlocal rounds
        rounds += 1
        if not ended.is_set():
            loop.call_soon(count_rounds)

    def run_one() -> None:
        ran_in.append(rounds)
        if len(ran_in) == 30:
            ended.set()

    for connection in connections:
        for _ in range(5):
            in_a_thread(partial(connection.add, run_one))
    loop_callbacks.add_all([run_one] * 15)
    count_rounds()
    await asyncio.wait_for(ended.wait(), 5)
    assert len(set(ran_in)) == expected_rounds
    for connection in connections:
        connection.stop()


async def test_nothing_is_run_after_the_stop() -> None:
    callbacks = ThreadCallbacks(LoopCallbacks(asyncio.get_running_loop()))
    callbacks.stop()
    ran: list[int] = []
    in_a_thread(lambda: callbacks.add(lambda: ran.append(1)))
    await until_idle()
    assert ran == []


@pytest.mark.parametrize("stopped", [True, False])
def test_a_closed_loop_is_told_nothing_and_no_file_stays_open(stopped: bool) -> None:
    async def make() -> ThreadCallbacks:
        callbacks = ThreadCallbacks(LoopCallbacks(asyncio.get_running_loop()))
        if stopped:
            callbacks.stop()
        return callbacks

    before = open_files()
    add = asyncio.run(make()).add
    in_a_thread(partial(add, lambda: None))
    del add
    assert open_files() == before
