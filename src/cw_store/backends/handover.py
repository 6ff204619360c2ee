"""The way from the event loop to a connection's thread and back.

A queue with a semaphore, and `call_soon_threadsafe` for the way back, take six switches between
the two threads for one piece of work: the thread that is woken finds the interpreter's lock held
by the one that woke it, and goes to sleep again. Here each is woken by a byte in a pipe. Python
gives its lock up before it writes, so whoever is woken can run, and two switches are enough. That
is less than a third of the time; `bench/` measures it as part of every call.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable

BYTES_AT_A_TIME = 4096


class Pipe:
    """Wakes one thread from another."""

    __slots__ = ("_writing", "reading")

    def __init__(self) -> None:
        self.reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)

    def wake(self) -> None:
        """Let a read of the other end return."""
        try:
            os.write(self._writing, b"\0")
        except BlockingIOError:
            pass  # so full that the other thread is awake anyway

    def clear(self) -> None:
        """Wait for a byte, and take what is there."""
        os.read(self.reading, BYTES_AT_A_TIME)

    def __del__(self) -> None:
        """Close both ends when no thread can use them any more.

        Any sooner, and the last byte could go to a file that was given the same number.
        """
        os.close(self.reading)
        os.close(self._writing)


class Jobs:
    """What a thread is to do, in order."""

    __slots__ = ("_pipe", "_waiting")

    def __init__(self) -> None:
        self._pipe = Pipe()
        self._waiting: deque[Callable[[], None] | None] = deque()

    def add(self, job: Callable[[], None]) -> None:
        """Have the thread do a job, which must not raise; from any thread."""
        self._waiting.append(job)
        self._pipe.wake()

    def end(self) -> None:
        """Let `serve` return when all jobs are done; from any thread."""
        self._waiting.append(None)
        self._pipe.wake()

    def serve(self) -> None:
        """Do the jobs, in the thread that calls this, until the end."""
        waiting = self._waiting
        while True:
            self._pipe.clear()
            while waiting:
                job = waiting.popleft()
                if job is None:
                    return
                job()
                del job  # or whatever it holds would live until the next one comes


class Completions:
    """What is to be run on the event loop, in order; a loop that is closed runs nothing."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pipe = Pipe()
        self._finished: deque[Callable[[], None]] = deque()
        os.set_blocking(self._pipe.reading, False)
        loop.add_reader(self._pipe.reading, self._run)

    def add(self, finished: Callable[[], None]) -> None:
        """Have the loop call `finished`; from any thread."""
        self._finished.append(finished)
        self._pipe.wake()

    def stop(self) -> None:
        """Call nothing any more; on the loop, once nobody waits."""
        self._loop.remove_reader(self._pipe.reading)

    def _run(self) -> None:
        # Whoever goes on now usually has more for the thread to do, which then need not sleep.
        self._run_finished()
        try:
            self._pipe.clear()
        finally:  # what came in between has no byte in the pipe any more
            self._run_finished()

    def _run_finished(self) -> None:
        finished = self._finished
        try:
            while finished:
                finished.popleft()()
        finally:
            if finished:  # one raised, and the rest must not wait for the next byte
                self._loop.call_soon(self._run_finished)
