"""The way from the event loop to a connection's thread and back.

A queue with a semaphore, and `call_soon_threadsafe` for the way back, take six switches between
the two threads for one piece of work: the thread that is woken finds the interpreter's lock held
by the one that woke it, and goes to sleep again. Here each is woken by what is written to a pipe,
or to Linux's eventfd. Python gives its lock up before it writes, so whoever is woken can run, and
two switches are enough. That is less than a third of the time; `bench/` measures it as part of
every call.

Besides, a thread is kept on the core of whoever gives it work. The scheduler likes to spread the
two over idle cores, although they take turns by the nature of things, and to wake a sleeping core
takes ten times as long as all the rest: 70 microseconds a call instead of 5.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic

BYTES_AT_A_TIME = 4096

WAKE = (1).to_bytes(8, sys.byteorder)
"""What is written to wake the other: an eventfd takes an integer of 8 bytes."""

LONG_JOB = 0.005
"""Seconds of work after which a thread is worth a core of its own, if there is an idle one."""

LONG_ROUND = 0.00005
"""Seconds for which one round of the event loop wakes those who waited for a thread.

In a round come the tasks that were woken otherwise too, and threads that share the core, so a
round takes several times as long, and a timer waits for two or three.
"""


def _no_core() -> int:
    return 0


def core_of_caller() -> Callable[[], int]:
    """Return what tells on which core it is called; where cores cannot be chosen, always 0."""
    if sys.platform != "linux":
        return _no_core
    try:
        import ctypes  # a Python that was built without libffi has none
    except ImportError:
        return _no_core
    get_core: Callable[[], int] = getattr(ctypes.PyDLL(None), "sched_getcpu", _no_core)
    return get_core if get_core() >= 0 else _no_core


current_core = core_of_caller()


class Pipe:
    """Where one thread wakes another; each closes its own end once it is done with it.

    The other's end may be in use at that moment, and its number soon be that of another file.
    """

    __slots__ = ("reading", "writing")

    def __init__(self) -> None:
        self.reading = self.writing = -1  # for `__del__`, should there be no descriptors
        if hasattr(os, "eventfd"):  # a counter in the kernel, where a pipe has pages
            self.reading = os.eventfd(0, os.EFD_CLOEXEC)
            self.writing = os.dup(self.reading)
        else:
            self.reading, self.writing = os.pipe()
            os.set_blocking(self.writing, False)

    def close_reading(self) -> None:
        """Close the end that is read."""
        end, self.reading = self.reading, -1
        _close(end)

    def close_writing(self) -> None:
        """Close the end that is written to."""
        end, self.writing = self.writing, -1
        _close(end)

    def __del__(self) -> None:
        _close(self.reading)
        _close(self.writing)


def _close(end: int) -> None:
    if end >= 0:
        os.close(end)


def _end() -> None:
    """Stand for the last job, which is not done."""


class Jobs:
    """What a thread is to do, in order."""

    __slots__ = ("_core", "_follows", "_pipe", "_thread", "_waiting")

    def __init__(self) -> None:
        self._pipe = Pipe()
        self._waiting: deque[Callable[[], None]] = deque()
        self._thread = 0
        self._follows = False  # the caller, from core to core
        self._core: int | None = None  # where the thread is kept; None when it may run anywhere

    def add(self, job: Callable[[], None]) -> None:
        """Have the thread do a job, which must not raise; from any thread."""
        core = current_core()
        if core != self._core and self._follows:
            self._keep_to({core})
            self._core = core
        self._waiting.append(job)
        try:
            os.write(self._pipe.writing, WAKE)
        except OSError:
            pass  # so full that the thread is awake anyway, or it has ended

    def end(self) -> None:
        """Let `serve` return when all jobs are done; none may be added any more."""
        self.add(_end)
        self._pipe.close_writing()

    def abandon(self) -> None:
        """Close both ends, since there is no thread that would."""
        self._pipe.close_writing()
        self._pipe.close_reading()

    def serve(self) -> None:
        """Do the jobs, in the thread that calls this, until the end."""
        waiting = self._waiting
        self._thread = threading.get_native_id()
        self._follows = may_follow = current_core is not _no_core
        all_cores = os.sched_getaffinity(0) if may_follow else set[int]()
        pipe = self._pipe
        while True:
            os.read(pipe.reading, BYTES_AT_A_TIME)
            started = monotonic()
            while waiting:
                job = waiting.popleft()
                if job is _end:
                    self._follows = False
                    pipe.close_reading()
                    return
                job()
                del job  # or whatever it holds would live until the next one comes
            is_long = monotonic() - started > LONG_JOB
            if is_long and self._follows:
                self._follows = False
                self._keep_to(all_cores)
            elif not is_long and may_follow and not self._follows:
                self._core = None
                self._follows = True

    def _keep_to(self, cores: set[int]) -> None:
        with suppress(OSError):  # it may not be allowed, and all that it costs is time
            os.sched_setaffinity(self._thread, cores)


class Returns:
    """What is to be run on an event loop, in order, a little in each of its rounds.

    The connections of a store share it. If each ran all that it has in one round, or even a little,
    those would wait too long who wait for the loop itself: for a timer, say.
    """

    __slots__ = ("_is_resumed", "finished", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._is_resumed = False
        self.finished: deque[Callable[[], None]] = deque()
        """The loop has to be woken by whoever adds to it."""

    def run(self) -> None:
        """Run what has come, unless a round is due to do so anyway; in a callback of the loop."""
        if self._is_resumed:
            return
        finished = self.finished
        try:
            if finished:
                finished.popleft()()
            # Whoever goes on now usually has more for the thread to do, which then need not sleep.
            if finished:
                end = monotonic() + LONG_ROUND
                while finished and monotonic() < end:
                    finished.popleft()()
        finally:
            if finished:  # also when one raised
                self.resume()

    def add_all(self, finished: Iterable[Callable[[], None]]) -> None:
        """Have the loop call all of these; on the loop."""
        self.finished.extend(finished)
        self.resume()

    def resume(self) -> None:
        """Go on in the loop's next round."""
        if not self._is_resumed:
            self._is_resumed = True
            self.loop.call_soon(self._resumed)

    def _resumed(self) -> None:
        self._is_resumed = False
        self.run()


class Completions:
    """The way of a connection's thread to the event loop; a loop that is closed runs nothing."""

    def __init__(self, returns: Returns) -> None:
        self._pipe = Pipe()
        self._returns = returns
        self._finished = returns.finished
        os.set_blocking(self._pipe.reading, False)
        returns.loop.add_reader(self._pipe.reading, self._run)

    def add(self, finished: Callable[[], None]) -> None:
        """Have the loop call `finished`; from any thread."""
        self._finished.append(finished)
        try:
            os.write(self._pipe.writing, WAKE)
        except OSError:
            pass  # so full that the loop is awake anyway, or it is closed

    def stop(self) -> None:
        """Wake the loop no more; on the loop, once nobody waits for this thread."""
        self._returns.loop.remove_reader(self._pipe.reading)
        self._pipe.close_reading()

    def end(self) -> None:
        """Say that nothing will be added any more; in the thread."""
        self._pipe.close_writing()

    def _run(self) -> None:
        self._returns.run()
        if self._pipe.reading >= 0:
            os.read(self._pipe.reading, BYTES_AT_A_TIME)
        if self._finished:  # what came in between has no byte in the pipe any more
            self._returns.resume()
