"""What goes on until it is ended, and so may write nothing for long."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def ended_when_nobody_reads() -> Generator[None]:
    """Raise BrokenPipeError in the block once whoever read the pipe on stdout has gone.

    Else it would be noticed when something is written, which may be in an hour.
    """
    pipe = _pipe_on_stdout()
    if pipe is None:
        yield
        return
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    has_gone = False

    def end() -> None:
        nonlocal has_gone
        has_gone = True
        loop.remove_reader(pipe)
        task.cancel()

    # There is never anything to read at this end; that the other one is gone is told all the same.
    loop.add_reader(pipe, end)
    try:
        yield
    except asyncio.CancelledError:
        if has_gone:
            raise BrokenPipeError from None
        raise
    finally:
        loop.remove_reader(pipe)


def _pipe_on_stdout() -> int | None:
    try:
        descriptor = sys.stdout.fileno()
        return descriptor if stat.S_ISFIFO(os.fstat(descriptor).st_mode) else None
    except (OSError, ValueError):  # it is closed, or is no file
        return None
