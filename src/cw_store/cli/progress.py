"""A bar on a terminal for what takes longer than a person waits without a word.

A thread shows it, since what takes long may say nothing for as long.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from threading import Timer

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from cw_store.cli.advance import Advance

UNSEEN_SECONDS = 1.0
"""Seconds without a bar: what is done by then needs none."""


@contextmanager
def shown_progress(console: Console, what: str) -> Generator[Advance]:
    """Give the function that moves the bar, which is shown once it was worth waiting for."""
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    task = bar.add_task(what, total=None)
    [shown] = bar.tasks

    def advance(done: int, total: int | None, what: str | None = None, /) -> None:
        shown.total = total  # which None would leave as it is below
        bar.update(task, completed=done, description=what)

    timer = Timer(UNSEEN_SECONDS, bar.start)
    timer.name = f"cw_store progress of {what}"
    timer.daemon = True
    timer.start()
    try:
        yield advance
    finally:
        timer.cancel()
        timer.join()
        bar.stop()
