"""Where a `:memory:` store keeps its file: a private folder that nothing leaves behind.

It goes when the store is closed or collected, and when the process ends in order. One that was
killed cannot do that, so every folder is locked by the process that made it, and whoever makes the
next one removes those of this user's that nobody has locked any more.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path

PREFIX = "cw-store-memory-"
NAME = "memory.db"


class MemoryFolder:
    """A folder that only this user can enter, locked for as long as it is used."""

    def __init__(self) -> None:
        self._process = os.getpid()
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
            lock = _locked(self.path)
            if lock is not None:
                self._lock = lock
                return
            # Another process took it for one that nobody uses, in the moment before the lock.

    @property
    def database(self) -> Path:
        """Where the database is to be."""
        return self.path / NAME

    def remove(self) -> None:
        """Remove the folder, with what is in it, and the lock; a forked child leaves them alone."""
        if os.getpid() == self._process:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)


def sweep() -> None:
    """Remove what killed processes of this user's left behind."""
    try:
        with os.scandir(tempfile.gettempdir()) as entries:
            found = [Path(entry.path) for entry in entries if entry.name.startswith(PREFIX)]
    except OSError:
        return
    for path in found:
        _remove_unused(path)


def _remove_unused(path: Path) -> None:
    try:
        status = os.lstat(path)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            return
        lock = _locked(path)
    except OSError:
        return  # it went, or this process may not have one more descriptor
    if lock is not None:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _locked(path: Path) -> int | None:
    """Lock the folder and return the descriptor that holds the lock; None when somebody has it.

    None, too, when the folder was removed before it was locked.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.stat(path)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None
