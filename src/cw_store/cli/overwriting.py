"""What is never written over, whatever a command was told to."""

from __future__ import annotations

import os

from cw_store.cli.failures import CommandError

OF_A_DATABASE = ("-wal", "-journal", "-shm", "-turns")
"""How the names end of what lies beside a database that is used."""

FIRST_BYTES = b"SQLite format 3\0"


def refuse_database(path: str) -> None:
    """Raise CommandError for a place where a database is, or what belongs to one.

    While no store is open: to close the file drops the locks that this process has on it.
    """
    if _is_database(path):
        raise CommandError("refused", f"{path} is a database, and stays as it is; name another")
    for suffix in OF_A_DATABASE:
        store = path.removesuffix(suffix)
        if store != path and os.path.lexists(store):
            message = f"{path} is a name that belongs to {store}; name another file"
            raise CommandError("refused", message)


def _is_database(path: str) -> bool:
    try:
        # NONBLOCK, should it be a fifo that nobody writes to.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return False
    try:
        return os.read(descriptor, len(FIRST_BYTES)) == FIRST_BYTES
    except OSError:  # a folder, or a device with nothing to read
        return False
    finally:
        os.close(descriptor)
