"""Notices that the file of an open store is no longer the one at its path.

SQLite goes on with a file that was removed or replaced, as nothing tells it, and what it stores
then is gone with the last descriptor. So whoever begins something looks whether the file is there,
at most once in a while: to ask the file system costs as much as a small read.
"""

from __future__ import annotations

import os
from contextlib import suppress
from math import inf
from pathlib import Path

from cw_store.backends.sqlite.files import identity_of
from cw_store.errors import StoreError

LOOK_EVERY = 0.5
"""Seconds between two looks, so that nothing is stored that began more than a second too late."""

SUFFIXES = ("", "-wal", "-shm")


class FileWatch:
    """The files that were opened; before `begin` nothing is watched. On the loop."""

    def __init__(self) -> None:
        self.due = inf
        """When to look again, in the loop's time."""
        self._path = Path()
        self._identities: dict[str, tuple[int, int]] = {}

    def begin(self, path: Path, now: float, suffixes: tuple[str, ...] = SUFFIXES) -> None:
        """Watch the files that are at `path` at this moment, the log and its index included."""
        self._path = path
        for suffix in suffixes:
            with suppress(OSError):
                self._identities[suffix] = identity_of(f"{path}{suffix}")
        self.due = now + LOOK_EVERY

    def refusal(self, now: float) -> StoreError | None:
        """Return what is wrong, and None when there is nothing or it is too soon to look again."""
        if now < self.due:
            return None
        for suffix, identity in self._identities.items():
            what = self._what_happened(suffix, identity)
            if what is not None:
                return StoreError(
                    f"{self._path.name + suffix!r} {what} while the store had it open; nothing "
                    "more can be stored or read here: close the store and open it anew"
                )
        self.due = now + LOOK_EVERY
        return None

    def _what_happened(self, suffix: str, identity: tuple[int, int]) -> str | None:
        try:
            found = os.stat(f"{self._path}{suffix}")
        except (FileNotFoundError, NotADirectoryError):
            return "was removed"
        except OSError:
            return None  # nobody can tell
        if (found.st_dev, found.st_ino) != identity:
            return "was replaced"
        if not suffix and not found.st_size:
            return "was emptied"
        return None
