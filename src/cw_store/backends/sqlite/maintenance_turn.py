"""The writer's turn for maintenance, and what is done in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from cw_store.backends.sqlite.checkpointer import busy_timeout
from cw_store.backends.sqlite.connection import Connection
from cw_store.backends.sqlite.raw_connection import SHORT_BUSY_TIMEOUT
from cw_store.backends.sqlite.write_queue import Turn

T = TypeVar("T")

# Quick, since it reads at most `analysis_limit` rows of an index. Before SQLite 3.46
# `PRAGMA optimize` passes over tables that were never analyzed.
MAKE_STATISTICS = "ANALYZE"


class Attempt(Generic[T]):
    """A piece of work for a thread, and what became of it: both are None when it was not run."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self.value: T | None = None
        self.error: Exception | None = None

    def __call__(self) -> None:
        """Do the work; in the thread."""
        try:
            self.value = self._work()
        except Exception as error:
            self.error = error


class MaintenanceTurn(Turn):
    """The writer's turn for maintenance, for which nobody waits."""

    __slots__ = ("_attempt", "_connection", "_ended", "_writer", "acquired_at")

    label = "maintenance"

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        writer: Connection,
        connection: Connection,
        attempt: Callable[[], None],
        ended: Callable[[MaintenanceTurn], None],
    ) -> None:
        super().__init__(loop)
        self._writer = writer
        self._connection = connection
        self._attempt = attempt
        self._ended = ended
        self.acquired_at: float | None = None

    @property
    def seconds_held(self) -> float:
        """For how long it has been had."""
        return 0.0 if self.acquired_at is None else self._loop.time() - self.acquired_at

    def acquired(self) -> None:
        """Do the work."""
        self.acquired_at = self._loop.time()
        # Whoever had the turn before may still be committing: the work stands behind that.
        self._writer.run(_do_nothing, then=self._work)

    def _work(self) -> None:
        self._connection.run(self._attempt, then=self._leave)

    def _leave(self) -> None:
        self._ended(self)

    def rejected(self, error: Exception) -> None:
        """Leave it for another time."""
        self._leave()


def _do_nothing() -> None:
    pass


def make_statistics(writer: Connection, wait_for_others: float) -> int:
    """Return how many rows had been changed when they were made; in the writer's thread."""
    cursor = writer.cursor_of_jobs
    changes = writer.raw.total_changes
    try:
        cursor.execute(busy_timeout(wait_for_others)).fetchall()
        cursor.execute(MAKE_STATISTICS).fetchall()
    finally:
        cursor.execute(busy_timeout(SHORT_BUSY_TIMEOUT)).fetchall()
    return changes
