"""A bar on a terminal for what takes longer than a person waits without a word."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

UNSEEN_SECONDS = 1.0
"""Seconds without a bar: what is done by then needs none."""


@contextmanager
def shown_progress(console: Console, what: str) -> Generator[Callable[[int, int | None], None]]:
    """Give the function that moves the bar, which is shown when it is called late enough."""
    begun = time.monotonic()
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    task = bar.add_task(what, total=None)

    def advance(done: int, total: int | None) -> None:
        bar.update(task, completed=done, total=total)
        if not bar.live.is_started and time.monotonic() - begun > UNSEEN_SECONDS:
            bar.start()

    try:
        yield advance
    finally:
        bar.stop()
