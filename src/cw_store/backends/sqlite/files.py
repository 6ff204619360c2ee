"""What is at the path of a SQLite database, and whether this process can write to it.

Nothing here opens the file: who closes a descriptor of it drops the locks that SQLite holds on it
in this process ("How To Corrupt An SQLite Database File", on POSIX advisory locks).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cw_store.backends.sqlite.errors import reason_of, shown
from cw_store.errors import SchemaError, StoreError

SUFFIXES = ("-wal", "-shm", "-journal", "-turns")
"""How the names of the files end that belong to a database and are none."""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def identity_of(path: str | Path) -> tuple[int, int]:
    """Return what the operating system knows a file by, whatever path leads there."""
    found = os.stat(path)
    return found.st_dev, found.st_ino


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
