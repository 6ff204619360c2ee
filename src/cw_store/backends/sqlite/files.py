"""A SQLite file as it is found: what is at its path, what it holds, whether it can be written.

Nothing here changes a byte of it, nor leaves a file beside it that was not there. SQLite makes a
-wal and a -shm for whoever reads a file in its write-ahead mode, who may not even be able to remove
them again. So a file that nobody is using is read as one that does not change ("immutable" in
SQLite's documentation of URI filenames), or, where a killed program left a log and no -shm, with
the log's index in memory ("Use of WAL Without Shared-Memory"). Neither takes a lock, so whether
anything changed meanwhile is looked at afterwards.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from cw_store.backends.sqlite.errors import (
    is_busy,
    is_in_use,
    no_database,
    reason_of,
    shown,
    unusable,
)
from cw_store.backends.sqlite.raw_connection import (
    SHORT_BUSY_TIMEOUT,
    GivenUp,
    RawConnection,
    apply_settings,
    refuse_inherited,
    retry_while_busy,
    uri_of,
)
from cw_store.errors import SchemaError, StoreBusyError, StoreError
from cw_store.inspection import EMPTY, ORIGINALS_COLUMNS, READ_VERSIONS, VERSION_TABLE, Contents

SUFFIXES = ("-wal", "-shm", "-journal", "-turns")
"""How the names of the files end that belong to a database and are none."""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def is_there(path: Path) -> bool:
    """Whether there is a file; raises SchemaError for what can be no database, else StoreError."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        _refuse_bad_place(path)
        return False
    except (OSError, ValueError) as error:
        raise StoreError(f"{shown(path)} leads to no database: {reason_of(error)}") from error
    kind = _KINDS.get(stat.S_IFMT(mode))
    if kind is not None:
        raise SchemaError(f"{shown(path)} is {kind}; name a file to keep the database in")
    _refuse_file_of_another(path)
    if not _may(path, os.R_OK):
        raise StoreError(f"{shown(path)} may not be read by this user")
    return True


def _refuse_bad_place(path: Path) -> None:
    if path.is_symlink():
        raise SchemaError(
            f"{shown(path)} is a link to {os.readlink(path)!r}, where there is nothing; "
            "name the file itself to make a new database"
        )
    if not path.parent.is_dir():
        hint = "; ~ is not expanded here, Path.expanduser() does it" if "~" in path.parts else ""
        raise SchemaError(f"there is no folder {str(path.parent)!r} to keep the database in{hint}")
    _refuse_file_of_another(path)


def _refuse_file_of_another(path: Path) -> None:
    """Refuse a name that SQLite gives to what belongs to the database beside it."""
    for suffix in SUFFIXES:
        owner = path.name.removesuffix(suffix)
        if owner not in ("", path.name) and path.with_name(owner).exists():
            raise SchemaError(f"{shown(path)} belongs to the database {owner!r} beside it")


class State(NamedTuple):
    """What changes with a file: which one it is, its length, and when it was written to."""

    device: int
    inode: int
    size: int
    written: int


def state_of(path: str | Path) -> State | None:
    """Return what is so of the file at this moment, None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return State(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


class UnusedFile:
    """A database that nobody is using, and whether that is still so.

    SQLite takes no lock on it, so what was read is worth something only if nothing was written
    meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = f"{path}-wal"
        self.index = f"{path}-shm"
        self._state = state_of(path)
        self._log_state = state_of(self.log)

    @property
    def has_log(self) -> bool:
        """Whether a killed program left a log that belongs to what is stored.

        One that was cut to nothing holds nothing, and SQLite would remove it when it is closed.
        """
        return self._log_state is not None and self._log_state.size > 0

    def is_current(self) -> bool:
        """Whether all is as it was, and nobody has begun to use it."""
        return (
            state_of(self.path) == self._state
            and state_of(self.log) == self._log_state
            and not os.path.exists(self.index)
            and not os.path.exists(f"{self.path}-journal")
        )

    def check(self) -> None:
        """Raise StoreBusyError if what was read just now may be of two states.

        A log that somebody begins is in nobody's way who does not read it.
        """
        if state_of(self.path) != self._state or (
            self.has_log and state_of(self.log) != self._log_state
        ):
            raise StoreBusyError(
                f"another program wrote to {shown(self.path)} while it was read; read it again"
            )


def unused(path: Path) -> UnusedFile | None:
    """Return the file as one that nobody uses, or None: who writes has an index or a journal."""
    if os.path.exists(f"{path}-shm") or os.path.exists(f"{path}-journal"):
        return None
    return UnusedFile(path)


class UnlockedConnection(RawConnection):
    """A connection to a file that nobody uses; each fetch checks that the file has not changed."""

    file: UnusedFile

    def cursor(self, *args: Any, **settings: Any) -> sqlite3.Cursor:
        """Return a cursor that checks."""
        return super().cursor(_CheckingCursor)

    def close(self) -> None:
        """Close, unless that could take locks from somebody in this process.

        To close any descriptor of a file drops all locks that the process has on it ("How To
        Corrupt An SQLite Database File", on POSIX advisory locks). SQLite sees to that, but not
        where it was told to lock nothing.
        """
        if self.file.has_log and os.path.exists(self.file.index):
            _never_closed.append(self)
        else:
            super().close()


_never_closed: list[sqlite3.Connection] = []


def check_unchanged(raw: sqlite3.Connection) -> None:
    """Raise StoreBusyError if what was read just now without a lock may be of two states."""
    if isinstance(raw, UnlockedConnection):
        raw.file.check()


class _CheckingCursor(sqlite3.Cursor):
    def fetchall(self) -> list[Any]:
        found = super().fetchall()
        check_unchanged(self.connection)
        return found

    def fetchmany(self, size: int | None = None) -> list[Any]:
        found = super().fetchmany(self.arraysize if size is None else size)
        check_unchanged(self.connection)
        return found

    def fetchone(self) -> Any:
        found = super().fetchone()
        check_unchanged(self.connection)
        return found


def connect_to_read(path: Path, timeout: float) -> sqlite3.Connection:
    """Open a connection that needs no right to write, and makes no file where nobody writes.

    `path` is the file itself and no link. Raises StoreError when the file was left by a killed
    process, and SQLite may not make what it needs to read it; what is busy is sqlite3's own error.
    """
    refuse_inherited(path)
    file = unused(path)
    mode = "ro" if file is None else "ro&vfs=unix-none" if file.has_log else "ro&immutable=1"
    raw = sqlite3.connect(
        uri_of(path, mode),
        uri=True,
        timeout=timeout,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=512,
        factory=RawConnection if file is None else UnlockedConnection,
    )
    try:
        if isinstance(raw, UnlockedConnection) and file is not None:
            raw.file = file
            raw.execute("PRAGMA locking_mode = EXCLUSIVE")  # the log's index is kept in memory
        apply_settings(raw)
        raw.execute("PRAGMA query_only = ON")
        raw.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
        if file is not None and not file.is_current():
            raise StoreBusyError(f"another program is opening {shown(path)}")
    except sqlite3.Error as error:
        raw.close()
        if is_busy(error):
            raise
        raise unusable(path, error) from error
    except BaseException:
        raw.close()
        raise
    return raw


def connect_to_read_with_retry(
    path: Path, timeout: float, given_up: GivenUp | None = None
) -> sqlite3.Connection:
    """Do what `connect_to_read` does, and wait out another process that opens or closes the file.

    Blocks; for a thread. Raises StoreBusyError after `timeout` seconds, or once `given_up`.
    """
    return retry_while_busy(
        partial(connect_to_read, path, timeout),
        timeout=timeout,
        given_up=given_up,
        too_late=f"another program kept {path.name} locked for {timeout:g} s",
    )


def look(path: Path, *, timeout: float, given_up: GivenUp | None = None) -> Contents | None:
    """Return what the file holds, None where there is none; changes nothing.

    Blocks; for a thread. Raises SchemaError for what is no SQLite database, StoreBusyError after
    `timeout` seconds of somebody else's lock, else StoreError.
    """
    if not is_there(path):
        return None
    real = Path(os.path.realpath(path))  # SQLite keeps its log beside the file itself
    return retry_while_busy(
        partial(_look, real),
        timeout=timeout,
        given_up=given_up,
        too_late=f"another program kept {path.name} locked for {timeout:g} s",
    )


def _look(path: Path) -> Contents:
    size = os.stat(path).st_size
    if size == 0 and not is_in_use(path):  # where SQLite may not even look
        return EMPTY
    if size == 1:  # which SQLite takes for an empty database, and would write over
        raise no_database(path)
    try:
        raw = connect_to_read(path, SHORT_BUSY_TIMEOUT)
    except StoreError:
        if not _finish_own_write(path):
            raise
        raw = connect_to_read(path, SHORT_BUSY_TIMEOUT)
    try:
        return contents_of(raw)
    except sqlite3.Error as error:
        if is_busy(error):
            raise
        raise unusable(path, error) from error
    finally:
        raw.close()


def _finish_own_write(path: Path) -> bool:
    """Roll back what somebody was killed over without the write-ahead log, in a store.

    Another program's database is left to that program: to roll back is to write to it.
    """
    if not os.path.exists(f"{path}-journal") or reason_not_to_write(path) is not None:
        return False
    raw = sqlite3.connect(uri_of(path, "ro&immutable=1"), uri=True)
    try:
        raw.execute("PRAGMA writable_schema = ON")  # so that half a write is no reason to stop
        is_store = VERSION_TABLE in contents_of(raw).relations
    except sqlite3.Error:
        return False
    finally:
        raw.close()
    if is_store:
        raw = sqlite3.connect(uri_of(path, "rw"), uri=True)
        try:
            raw.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
        finally:
            raw.close()
    return is_store


def contents_of(raw: sqlite3.Connection) -> Contents:
    """Return what the database holds."""
    cursor = raw.cursor()
    # A name that is not UTF-8 is nobody's of ours.
    names = cursor.execute(
        "SELECT CAST(lower(name) AS BLOB), type FROM sqlite_schema WHERE type != 'trigger'"
    ).fetchall()
    relations = {name.decode(errors="replace"): kind for name, kind in names}
    if VERSION_TABLE in relations:
        return Contents(relations, _versions(cursor))
    columns = {table: _columns(cursor, table) for table in ORIGINALS_COLUMNS if table in relations}
    return Contents(relations, None, columns)


def _versions(cursor: sqlite3.Cursor) -> list[object] | None:
    if _columns(cursor, VERSION_TABLE) != ["version_num"]:
        return None
    return [version for (version,) in cursor.execute(READ_VERSIONS).fetchall()]


def _columns(cursor: sqlite3.Cursor, table: str) -> list[str]:
    try:
        found = cursor.execute("SELECT name FROM pragma_table_info(?)", [table]).fetchall()
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
            return []  # made by a module that only its own program has
        raise
    return [name for (name,) in found]


def reason_not_to_write(path: Path) -> str | None:
    """Say why this process cannot write to an existing file; None when it can.

    SQLite keeps its log beside the database, so the folder counts as well.
    """
    real = Path(os.path.realpath(path))
    if not _may(real, os.W_OK):
        return f"{shown(real)} is not writable for this user"
    log, index = (f"{real}{suffix}" for suffix in ("-wal", "-shm"))
    if os.path.exists(log) and os.path.exists(index):
        if _may(log, os.W_OK) and _may(index, os.W_OK):
            return None
        return f"the log beside {shown(real)} is not writable for this user"
    if not _may(real.parent, os.W_OK | os.X_OK):
        return f"the folder of {shown(real)} is not writable for this user"
    return None


def _may(path: str | Path, mode: int) -> bool:
    """Ask for the user that opens files, who is not the one that began a set-user-ID program."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)
