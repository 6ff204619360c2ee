"""Having a SQLite file for oneself, while another is put in its place.

Every connection to a file in write-ahead mode holds a lock on it for as long as it is open, so who
gets the exclusive one is alone. The log is brought into the file before, and write-ahead mode left:
the log goes by the file's name, so what one file's log holds would be written over the other file.

**Guarantees.** While a file is seized nobody else has it open to read or write through SQLite but
who reads it without locks, as one that nobody uses. Nothing that is stored is lost.

**Runs on.** A thread that may wait.

**Order.** The lock is kept for a moment after the other file has the name. Who opened the old one
just before that is turned away by it, and opens the new one when they try again.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from pathlib import Path

from cw_store.backends.sqlite.errors import is_busy, shown, unusable
from cw_store.backends.sqlite.raw_connection import refuse_inherited, uri_of
from cw_store.errors import StoreBusyError, StoreError

logger = logging.getLogger(__name__)

LONGEST_WAIT = 0.5
"""Seconds that others have to close the file who are about to."""

GRACE = 0.1
"""Seconds in which whoever has just opened the old file tries in vain to lock it."""

DAMAGED = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})


class SeizedFile:
    """A SQLite file that is this program's alone from `seize` to `release`."""

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()
        self._raw: sqlite3.Connection | None = None

    def seize(self) -> None:
        """Lock the file; one that is damaged, or no database, is left as it is, unlocked.

        Raises StoreBusyError when somebody has it open, and StoreError for whatever else.
        """
        refuse_inherited(self._path)
        self._raw = sqlite3.connect(
            uri_of(self._path, "rw"),
            uri=True,
            timeout=LONGEST_WAIT,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            self._lock(self._raw)
        except sqlite3.Error as error:
            self._close()
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            if is_busy(error):
                raise self._in_use_error() from error
            if code not in DAMAGED:
                raise unusable(self._path, error) from error
            logger.warning(
                "%s is damaged, and could not be locked: %s",
                self._path.name,
                error,
                extra={"event": "damaged_file_unlocked"},
            )
        except BaseException:
            self._close()
            raise

    def release(self) -> None:
        """Let go of the file, whatever its name is by now."""
        if self._raw is not None:
            time.sleep(GRACE)  # in a thread: others try to lock the old file
            self._close()

    def _lock(self, raw: sqlite3.Connection) -> None:
        raw.execute("PRAGMA locking_mode = EXCLUSIVE").fetchone()
        raw.execute("PRAGMA journal_mode = DELETE").fetchone()  # busy while others have the file
        raw.execute("PRAGMA locking_mode = NORMAL").fetchone()
        # Lets go of the journal, which would stay beside the file, and for a moment of the lock.
        raw.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
        raw.execute("BEGIN EXCLUSIVE")
        (mode,) = raw.execute("PRAGMA journal_mode").fetchone()
        if mode != "delete":  # a store was opened in that moment
            raise self._in_use_error()

    def _in_use_error(self) -> StoreError:
        return StoreBusyError(
            f"{shown(self._path)} is open in a program, this one or another; close every store on "
            "it, and every other program that uses it, and try again"
        )

    def _close(self) -> None:
        raw, self._raw = self._raw, None
        if raw is not None:
            raw.close()
