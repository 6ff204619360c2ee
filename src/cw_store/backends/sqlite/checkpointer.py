"""The connection that copies SQLite's write-ahead log into the file.

Guarantees
    A checkpoint runs only while this process holds a snapshot that was taken before it. That
    excludes what SQLite 3.7.0 to 3.51.2 can do ("Write-Ahead Logging", on the WAL-reset bug):
    while one connection copies the log, another begins it anew, and the first takes the new frames
    for copied ones. A snapshot is one of two things. It is on the log, when anything was uncopied
    as it was taken: then nobody, in whatever process, can begin the log anew before it ends. Or it
    is beside the log, which was wholly copied: then others may begin it anew, but nobody can copy
    anything, since that would change the file under the snapshot (SQLite's comments in wal.c, on
    WAL_READ_LOCK(0)). The checkpoints that other programs make by themselves hold no such snapshot
    and are as safe as their SQLite is.

Runs on
    A thread of its own, which steps back a little where the event loop and the readers are on the
    same core. `terminate` and `closed` are for the loop.

Order
    In the writer's turn: copy under a snapshot on the log, let it go, and only then wait for the
    readers under one beside the log. The first would be waited for as well.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from cw_store.backends.sqlite.connection import Connection
from cw_store.backends.sqlite.maintenance_rules import PAGE, Copied, MaintenanceSettings
from cw_store.backends.sqlite.raw_connection import connect

logger = logging.getLogger(__name__)


class Checkpointer:
    """The connection that copies the log, and another that holds a snapshot meanwhile."""

    def __init__(self, connection: Connection, path: Path, settings: MaintenanceSettings) -> None:
        self.connection = connection
        self._path = path
        self._settings = settings
        self._holder: sqlite3.Connection | None = None
        self._copied = 0

    def prepare(self) -> None:
        """Open the other connection, and make the thread that this is run in step back."""
        self._holder = connect(self._path, read_only=True, synchronous="NORMAL")
        self.connection.raw.execute(busy_timeout(self._settings.wait_for_others))
        if sys.platform == "linux":  # where a thread has a priority, not only the process
            self._step_back()

    def _step_back(self) -> None:
        try:
            priority = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, 0, priority + self._settings.niceness)
        except OSError as error:  # all that it costs is time
            logger.debug(
                "checkpoints of %s do not step back: %s",
                self._path.name,
                error,
                extra={"event": "checkpoint_priority"},
            )

    def copy(self) -> Copied:
        """Copy what is in the log by now, beside the writers."""
        with self._snapshot():
            return self._checkpoint("PASSIVE")

    def begin_anew(self) -> Copied:
        """Copy the rest, so that the next writer begins the log anew; in the writer's turn."""
        return self._finish("RESTART")

    def cut(self) -> Copied:
        """Copy the rest and leave an empty log; in the writer's turn."""
        return self._finish("TRUNCATE")

    def terminate(self) -> None:
        """Close both without waiting for it; on the loop, or without one."""
        self.connection.run(self._close_holder).is_kept = True
        self.connection.terminate()

    async def close(self) -> None:
        """Close both once what has begun is done; on the loop."""
        self.connection.run(self._close_holder).is_kept = True
        await self.connection.disconnect()

    def _close_holder(self) -> None:
        if self._holder is not None:
            self._holder.close()

    def _finish(self, mode: str) -> Copied:
        with self._snapshot():
            copied = self._checkpoint("FULL")
        if not copied.is_busy:
            with self._snapshot():
                copied = self._checkpoint(mode)
        return copied

    def _checkpoint(self, mode: str) -> Copied:
        began = monotonic()
        (row,) = self.connection.raw.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
        log, copied = (max(0, frames) * PAGE for frames in row[1:])  # -1 when it could not begin
        # More was copied before only if the log was begun anew since.
        newly = copied - self._copied if copied >= self._copied else copied
        self._copied = copied
        return Copied(bool(row[0]), log, log - copied, newly, monotonic() - began)

    @contextmanager
    def _snapshot(self) -> Generator[None]:
        assert self._holder is not None
        self._holder.execute("BEGIN")
        try:
            self._holder.execute("PRAGMA user_version").fetchall()  # BEGIN alone takes none
            yield
        finally:
            self._holder.execute("ROLLBACK")


def busy_timeout(seconds: float) -> str:
    """Return the statement that sets for how long a connection waits for others."""
    return f"PRAGMA busy_timeout = {int(seconds * 1000)}"
