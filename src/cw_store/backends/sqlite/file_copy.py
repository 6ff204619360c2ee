"""What a SQLite file holds at one moment, written into another file, and compared with it.

`VACUUM INTO` keeps one snapshot and hinders no writer. It takes that snapshot itself and says
nothing of it, so that it is compared with one that another connection took in the same moment.

**Guarantees.** `FileCopy.run` returns only if the other file passes SQLite's check and holds the
same revision and as many rows in each table as the source did at one moment. Nothing is written to
the source. After `stop` it ends soon, with an error.

**Runs on.** A thread that may wait, all of `run`; `stop` and `total` are for any other.

**Order.** The snapshot that is counted is taken first, then VACUUM takes its own. Between the two
nobody may have committed, which is known only once VACUUM has taken it: when it first reads the
schema, it asks whether it may, and is told no where the two differ.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cw_store.backends.sqlite.errors import is_busy
from cw_store.backends.sqlite.raw_connection import quoted
from cw_store.backends.sqlite.unlocked import check_unchanged, connect_to_read_with_retry
from cw_store.errors import StoreBusyError, StoreError
from cw_store.inspection import READ_VERSIONS

logger = logging.getLogger(__name__)

STEPS = 10_000
"""Instructions of SQLite's between two looks whether it is to stop: some milliseconds."""

ATTEMPTS = 2_000
"""How often the two snapshots are taken anew because somebody committed between them.

An attempt takes a quarter of a millisecond, and fails only where there are commits all the time.
"""


class Holding(NamedTuple):
    """What a store's file holds: its revision, and how many rows each table has."""

    revision: str
    rows: dict[str, int]


class FileCheck:
    """Reads a store's file from end to end, and says what it holds."""

    def __init__(self, path: Path, *, busy_timeout: float) -> None:
        self._path = path.resolve()
        self._timeout = busy_timeout
        self._stopping = threading.Event()
        self._lock = threading.Lock()  # held while the connections below are closed or interrupted
        self._connections: list[sqlite3.Connection] = []

    def stop(self) -> None:
        """Have it end soon."""
        self._stopping.set()
        with self._lock:
            for raw in self._connections:
                raw.interrupt()

    def run(self) -> Holding:
        """Return what the file holds; raises StoreError when it does not pass SQLite's check."""
        with self._failures(), self._connected(self._path) as raw:
            return self._checked(raw)

    def _checked(self, raw: sqlite3.Connection) -> Holding:
        problems = [line for (line,) in raw.execute("PRAGMA quick_check(5)")]
        if problems != ["ok"]:
            raise StoreError(
                f"{self._path.name} does not pass SQLite's check: {'; '.join(problems)}"
            )
        return _holding(raw)

    @contextmanager
    def _connected(self, path: Path) -> Generator[sqlite3.Connection]:
        raw = connect_to_read_with_retry(path, self._timeout, given_up=self._stopping)
        raw.set_progress_handler(self._stopping.is_set, STEPS)
        with self._lock:
            self._connections.append(raw)
        try:
            yield raw
        finally:
            with self._lock:
                self._connections.remove(raw)
                raw.close()

    @contextmanager
    def _failures(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def _failure(self, error: sqlite3.Error) -> StoreError:
        if is_busy(error):
            return StoreBusyError(f"another program holds the lock on {self._path.name}")
        match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF:
            case sqlite3.SQLITE_FULL:
                reason = "the disk is full"
            case sqlite3.SQLITE_INTERRUPT:
                reason = "it was given up"
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                reason = "it is damaged"
            case _:
                reason = f"SQLite failed with {getattr(error, 'sqlite_errorname', 'an error')}"
        return StoreError(f"{self._path.name} cannot be copied: {reason}")


class FileCopy(FileCheck):
    """Writes what `source` holds into `target`, an empty file, and checks that."""

    def __init__(self, source: Path, target: Path, *, busy_timeout: float) -> None:
        super().__init__(source, busy_timeout=busy_timeout)
        self._target = target.resolve()
        self.total = 0
        """Bytes that the target will have at most, as soon as that is known."""

    def run(self) -> Holding:
        """Write the target and return what both hold.

        Raises StoreBusyError when somebody keeps the source locked, else StoreError.
        """
        with self._failures():
            with (
                self._connected(self._path) as copying,
                self._connected(self._path) as counting,
                self._connected(self._path) as watching,
            ):
                self._copy_in_one_snapshot(copying, counting, watching)
                expected = _holding(counting)
                check_unchanged(counting)
            with self._connected(self._target) as raw:
                found = self._checked(raw)
        if found != expected:
            raise StoreError(
                f"{self._path.name} cannot be copied: the copy does not hold what it holds; "
                "try again, and look at the disk"
            )
        return found

    def _copy_in_one_snapshot(
        self,
        copying: sqlite3.Connection,
        counting: sqlite3.Connection,
        watching: sqlite3.Connection,
    ) -> None:
        self.total = _bytes_of(copying)
        copying.execute("PRAGMA query_only = OFF")  # the source can only be read in any case
        for _ in range(ATTEMPTS):
            comparison = _Comparison(watching)
            _take_snapshot(counting)
            if self._copied(copying, comparison):
                return
            logger.debug(
                "somebody committed just when %s was to be copied",
                self._path.name,
                extra={"event": "backup_repeated"},
            )
        raise StoreBusyError(
            f"somebody committed to {self._path.name} whenever it was to be copied; "
            "try again when less is written"
        )

    def _copied(self, copying: sqlite3.Connection, comparison: _Comparison) -> bool:
        """Copy, unless somebody has committed since the other snapshot."""
        copying.set_authorizer(comparison)
        try:
            copying.execute("VACUUM INTO ?", [str(self._target)])
        except sqlite3.Error:
            if not comparison.has_failed:
                raise
        return comparison.has_held


class _Comparison:
    """Lets VACUUM go on if nobody has committed since the version was looked at.

    SQLite asks it, as its authorizer, before each of the statements that VACUUM consists of.
    """

    def __init__(self, watching: sqlite3.Connection) -> None:
        self._watching = watching
        self._version = _version(watching)
        self.has_held = False
        self.has_failed = False

    def __call__(
        self, action: int, _first: object, _second: object, database: object, _trigger: object
    ) -> int:
        if action == sqlite3.SQLITE_READ and database == "main" and not self.has_held:
            if _version(self._watching) != self._version:
                self.has_failed = True
                return sqlite3.SQLITE_DENY
            self.has_held = True
        return sqlite3.SQLITE_OK


def _version(raw: sqlite3.Connection) -> int:
    """Return a number that changes with each commit of another connection."""
    return raw.execute("PRAGMA data_version").fetchone()[0]


def _take_snapshot(raw: sqlite3.Connection) -> None:
    if raw.in_transaction:
        raw.execute("ROLLBACK")
    raw.execute("BEGIN")
    raw.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()  # takes it; BEGIN does not


def _bytes_of(raw: sqlite3.Connection) -> int:
    (pages,) = raw.execute("PRAGMA page_count").fetchone()
    (size,) = raw.execute("PRAGMA page_size").fetchone()
    return pages * size


def _holding(raw: sqlite3.Connection) -> Holding:
    (revision,) = raw.execute(READ_VERSIONS).fetchone()
    names = raw.execute(
        # Without those that need a module that only the application has.
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' "
        "ESCAPE '\\' AND sql LIKE 'CREATE TABLE%' ORDER BY name"
    ).fetchall()
    return Holding(revision, {name: _count(raw, name) for (name,) in names})


def _count(raw: sqlite3.Connection, table: str) -> int:
    counting = f"SELECT count(*) FROM {quoted(table)}"  # noqa: S608 -- a name cannot be bound
    return raw.execute(counting).fetchone()[0]
