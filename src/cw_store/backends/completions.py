"""The way back from a connection's thread to the event loop.

`call_soon_threadsafe` makes a handle for each call, and the loop reads its own wake-up pipe
before anything else: a system call that gives up the interpreter's lock, for which the
connection's thread is just waiting. The thread then goes to sleep over an empty queue, and has
to be woken a moment later. Here the loop first runs what is finished, which usually gives the
thread its next piece of work, and reads the pipe afterwards. That is a fifth of the way there
and back.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable


class Completions:
    """What is to be run on the event loop, in order; a loop that is closed runs nothing."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._finished: deque[Callable[[], None]] = deque()
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)
        loop.add_reader(self._reading, self._run)

    def add(self, finished: Callable[[], None]) -> None:
        """Have the loop call `finished`; from any thread."""
        self._finished.append(finished)
        try:
            os.write(self._writing, b"\0")
        except BlockingIOError:
            pass  # so full that the loop is awake anyway

    def stop(self) -> None:
        """Call nothing any more; on the loop, once nobody waits."""
        self._loop.remove_reader(self._reading)

    def _run(self) -> None:
        self._run_finished()
        os.read(self._reading, 4096)
        # What came in between has no byte in the pipe any more.
        self._run_finished()

    def _run_finished(self) -> None:
        finished = self._finished
        try:
            while finished:
                finished.popleft()()
        finally:
            if finished:  # one raised, and the rest must not wait for the next byte
                self._loop.call_soon(self._run_finished)

    def __del__(self) -> None:
        """Close the pipe when no thread can write to it any more.

        Any sooner, and the last byte could go to a file that was given the same number.
        """
        os.close(self._reading)
        os.close(self._writing)
