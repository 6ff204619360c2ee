"""A file that has its name only once it is whole.

It is written as `NAME.partial` beside its place, and locked by the process that writes it. What a
killed process left of one is not locked any more, and is removed by whoever writes there next.

Everything here blocks but `whole_file`, which has threads do it.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import stat
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import count
from pathlib import Path

from cw_store.backends.cancellation import shielded
from cw_store.errors import StoreBusyError, StoreError

logger = logging.getLogger(__name__)

SUFFIX = ".partial"
KEPT = ".before-restore"

LOGS = ("-wal", "-journal")
INDEX = "-shm"
BESIDE = (*LOGS, INDEX)
"""How the names end of what SQLite keeps beside a database that it writes."""

USED = (*BESIDE, "-turns")
"""How those end of all that a store has beside its file."""


class PartialFile:
    """A file on its way to `path`, which is followed if it is a link.

    With `replaces` it takes the place of a file that is there, and with `keeps` that one gets
    another name, `kept_as`, in the same step, and hands on its owner and mode. Nothing is put where
    a log of SQLite's lies beside the place, unless what is there is kept, and its log with it: it
    would be taken for the new file's, and what it holds written over it.
    """

    def __init__(self, path: Path, *, replaces: bool = False, keeps: bool = False) -> None:
        self.target = Path(os.path.realpath(path))
        self.path = self.target.with_name(self.target.name + SUFFIX)
        self.kept_as: Path | None = None
        self._replaces = replaces or keeps
        self._keeps = keeps
        self._descriptor = -1
        self._is_nameless = False  # made, closed, and without its name

    def open(self) -> None:
        """Make it, empty and for its owner alone; raises StoreError where that is not possible.

        StoreBusyError says that somebody else is writing to the same place.
        """
        with failures_of_writing(self.target):
            self._refuse_target()
            while not self._make():
                self._remove_left_over()

    def write(self, data: bytes) -> int:
        """Write bytes at its end and return how many; what SQLite writes it writes by itself."""
        return os.write(self._descriptor, data)

    def publish(self) -> None:
        """Give it its name, once all of it is on the disk; raises StoreError, with nothing done."""
        with failures_of_writing(self.target):
            os.fsync(self._descriptor)
            if self._keeps:
                self._keep_old()
            # Before it has its name: to close a file that a store here has open drops SQLite's
            # locks on it ("POSIX advisory locks canceled by a separate thread doing close()" in
            # "How To Corrupt An SQLite Database File").
            self._close()
            self._is_nameless = True
            if self._replaces:
                os.replace(self.path, self.target)
            else:
                self._rename_to_new_name()
            self._is_nameless = False
            _sync_folder(self.target.parent)

    def discard(self) -> None:
        """Leave nothing of it; nothing to do where it was published."""
        if self._descriptor >= 0:
            self._remove()
            self._close()
        elif self._is_nameless:
            with suppress(StoreBusyError):  # somebody has made another of that name
                self._remove_left_over()

    def _refuse_target(self) -> None:
        if self.target.is_dir():
            raise StoreError(f"{str(self.target)!r} is a folder; name a file in it")
        if not self.target.parent.is_dir():
            raise StoreError(f"there is no folder {str(self.target.parent)!r}")
        if not self._replaces and os.path.lexists(self.target):
            raise exists_error(self.target)
        if os.path.lexists(self.target) and not stat.S_ISREG(os.lstat(self.target).st_mode):
            raise StoreError(f"{str(self.target)!r} is no ordinary file, and is left as it is")
        for suffix in USED:
            database = str(self.target).removesuffix(suffix)
            if database != str(self.target) and os.path.lexists(database):
                raise StoreError(
                    f"{str(self.target)!r} is a name that {database!r} itself uses, as a database; "
                    "name another file"
                )
        for suffix in () if self._keeps else BESIDE:
            if os.path.exists(f"{self.target}{suffix}"):
                raise StoreError(
                    f"beside {str(self.target)!r} is {self.target.name + suffix!r}: a program is "
                    "using a database of this name, or was killed over it; name another file"
                )

    def _make(self) -> bool:
        """Make and lock it; False where there is one, which may be somebody's."""
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
        try:
            descriptor = os.open(self.path, flags, 0o600)
        except FileExistsError:
            return False
        if self._is_locked_here(descriptor):
            self._descriptor = descriptor
            return True
        os.close(descriptor)  # taken for a left-over in the moment before the lock
        return False

    def _remove_left_over(self) -> None:
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(self.path, flags)
        except FileNotFoundError:
            return
        try:
            if self._is_locked_here(descriptor):
                self._remove()
                logger.info(
                    "removed %s, which nobody writes any more",
                    self.path.name,
                    extra={"event": "partial_file_removed"},
                )
            elif os.path.samestat(os.fstat(descriptor), os.stat(self.path)):
                raise StoreBusyError(f"somebody else is writing {self.path.name} just now")
        except FileNotFoundError:
            pass
        finally:
            os.close(descriptor)

    def _is_locked_here(self, descriptor: int) -> bool:
        """Lock the file; False if somebody has it, or has removed it meanwhile."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path))
        except (BlockingIOError, FileNotFoundError):
            return False

    def _remove(self) -> None:
        for suffix in ("", *BESIDE):
            with suppress(FileNotFoundError):
                os.unlink(f"{self.path}{suffix}")

    def _keep_old(self) -> None:
        """Give what is there a second name, which it has alone from the next step on."""
        try:
            old = os.stat(self.target)
        except FileNotFoundError:
            return
        kept = self._free_name()
        try:
            os.link(self.target, kept)
        except FileExistsError:
            raise exists_error(kept) from None
        except OSError:  # a file system without links: for a moment there is none of its name
            os.rename(self.target, kept)
        self.kept_as = kept
        for suffix in LOGS:  # there are none but beside a damaged file
            with suppress(FileNotFoundError):
                os.rename(f"{self.target}{suffix}", f"{kept}{suffix}")
        with suppress(FileNotFoundError):  # which is made anew of the log
            os.unlink(f"{self.target}{INDEX}")
        with suppress(PermissionError):
            os.fchown(self._descriptor, old.st_uid, old.st_gid)
        os.fchmod(self._descriptor, stat.S_IMODE(old.st_mode))

    def _free_name(self) -> Path:
        for number in count(1):
            name = f"{self.target.name}{KEPT}" + (f"-{number}" if number > 1 else "")
            if not os.path.lexists(self.target.with_name(name)):
                return self.target.with_name(name)
        raise AssertionError("numbers do not end")

    def _rename_to_new_name(self) -> None:
        """Rename it unless there is something of that name, which a rename would replace."""
        try:
            os.link(self.path, self.target)
        except FileExistsError:
            raise exists_error(self.target) from None
        except OSError:  # a file system without links
            if os.path.lexists(self.target):
                raise exists_error(self.target) from None
            os.rename(self.path, self.target)
        else:
            os.unlink(self.path)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)


@asynccontextmanager
async def whole_file(
    path: Path, *, replaces: bool = False, keeps: bool = False
) -> AsyncGenerator[PartialFile]:
    """Give an empty file, which is at `path` once the block has ended without error.

    A cancellation of the last step leaves the whole file there; anything else leaves what was.
    """
    file = PartialFile(path, replaces=replaces, keeps=keeps)
    try:
        await shielded(asyncio.to_thread(file.open))
        yield file
        await shielded(asyncio.to_thread(file.publish))
    finally:
        await shielded(asyncio.to_thread(file.discard))


def exists_error(path: Path) -> StoreError:
    """Return the error for a place that is taken."""
    return StoreError(
        f"{str(path)!r} exists already; name another file, or pass force to replace it"
    )


def _sync_folder(folder: Path) -> None:
    """Have the new name outlast a power cut too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def failures_of_writing(path: Path) -> Generator[None]:
    """Turn what the operating system refuses of a file into a StoreError."""
    try:
        yield
    except StoreError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(f"{str(path)!r} cannot be written: {reason}") from error
