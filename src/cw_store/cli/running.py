"""Running a command to its end, or to where somebody ends it.

Ctrl-C, a terminal that goes away and a request to end cancel the command, so that what it was
writing is rolled back, and it is told as one line.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Generator
from contextlib import contextmanager, suppress
from typing import TypeVar

T = TypeVar("T")

ENDING = (signal.SIGTERM, signal.SIGHUP)
"""What ends the command beside Ctrl-C, which asyncio's runner sees to."""


def run_to_its_end(work: Coroutine[object, object, T]) -> T:
    """Return what the command returns; KeyboardInterrupt when it was ended from outside."""
    with asyncio.Runner() as runner:
        try:
            return runner.run(_until_ended(work))
        except KeyboardInterrupt:
            # What a second Ctrl-C tears from whoever waited for it fails with nobody to hear of it.
            runner.get_loop().set_exception_handler(_ignore)
            raise


def _ignore(_loop: asyncio.AbstractEventLoop, _context: dict[str, object]) -> None:
    pass


async def _until_ended(work: Coroutine[object, object, T]) -> T:
    told = asyncio.Event()
    with _cancelled_by_signals(told):
        try:
            return await work
        except asyncio.CancelledError:
            if told.is_set():
                raise KeyboardInterrupt from None
            raise


@contextmanager
def _cancelled_by_signals(told: asyncio.Event) -> Generator[None]:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def end() -> None:
        told.set()
        task.cancel()

    heard: list[signal.Signals] = []
    for number in ENDING:
        # What was told to outlive its terminal (nohup) goes on; signals reach the main thread only.
        if signal.getsignal(number) is not signal.SIG_IGN:
            with suppress(ValueError, RuntimeError):
                loop.add_signal_handler(number, end)
                heard.append(number)
    try:
        yield
    finally:
        for number in heard:
            loop.remove_signal_handler(number)
