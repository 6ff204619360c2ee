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
from contextlib import suppress

BYTES_AT_A_TIME = 4096


class Pipe:
    """Wakes one thread from another; each closes its own end once it is done with it.

    The other's end may be in use at that moment, and its number soon be that of another file.
    """

    __slots__ = ("_writing", "reading")

    def __init__(self) -> None:
        self.reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)

    def wake(self) -> None:
        """Let a read of the other end return."""
        # So full that the other thread is awake anyway, or there is nobody any more.
        with suppress(OSError):
            os.write(self._writing, b"\0")

    def clear(self) -> None:
        """Wait for a byte, and take what is there."""
        if self.reading >= 0:
            os.read(self.reading, BYTES_AT_A_TIME)

    def close_reading(self) -> None:
        """Close the end that is read."""
        end, self.reading = self.reading, -1
        _close(end)

    def close_writing(self) -> None:
        """Close the end that is written to."""
        end, self._writing = self._writing, -1
        _close(end)

    def __del__(self) -> None:
        _close(self.reading)
        _close(self._writing)


def _close(end: int) -> None:
    if end >= 0:
        os.close(end)


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
        """Let `serve` return when all jobs are done; none may be added any more."""
        self._waiting.append(None)
        self._pipe.wake()
        self._pipe.close_writing()

    def serve(self) -> None:
        """Do the jobs, in the thread that calls this, until the end."""
        waiting = self._waiting
        while True:
            self._pipe.clear()
            while waiting:
                job = waiting.popleft()
                if job is None:
                    self._pipe.close_reading()
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
        self._pipe.close_reading()

    def end(self) -> None:
        """Say that nothing will be added any more; in the thread."""
        self._pipe.close_writing()

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
