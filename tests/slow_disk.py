"""A disk whose fsync takes as long as a test says, or that cannot be written to.

The C library's calls are wrapped by `slow_disk.c`, which has to be loaded when a process starts, so
whoever wants such a disk runs a program of its own with `environment_of_slow_disk`.
"""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
LIBRARY = "CW_SLOW_DISK"
"""The variable that tells the program where the library is."""


def why_not() -> str | None:
    """Return what is missing here for a slow disk, or None."""
    if sys.platform != "linux":
        return "the slow disk needs Linux"
    if _compiler() is None:
        return "the slow disk needs a C compiler"
    return None


def environment_of_slow_disk(folder: Path) -> dict[str, str]:
    """Compile the library into a folder; return the variables that load it."""
    library = folder / "slow_disk.so"
    if not library.exists():
        compiler = _compiler()
        assert compiler is not None
        command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE)]
        subprocess.run(command, check=True)
    return {"LD_PRELOAD": str(library), LIBRARY: str(library)}


def _compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


class SlowDisk:
    """The disk that a database is on, within a program that was started with the library."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(os.environ[LIBRARY])
        self._library.disk_waited.restype = ctypes.c_longlong
        self._library.disk_watch(os.fsencode(path.resolve()))

    def sync_takes(self, milliseconds: int) -> None:
        """Let every fsync of the database and its log take so long."""
        self._library.disk_slow(milliseconds)

    def fail_writes(self, error: int) -> None:
        """Let every write to the database itself fail with this error number; 0: let it succeed."""
        self._library.disk_fail_writes(error)

    def fail_syncs(self, times: int) -> None:
        """Let so many of the next fsyncs of the database and its log fail."""
        self._library.disk_fail_syncs(times)

    @property
    def syncs(self) -> int:
        """How many fsyncs there were."""
        return self._library.disk_syncs()

    def waited(self, thread: int) -> float:
        """Return the seconds that a thread has spent in slow fsyncs, by its native id."""
        return self._library.disk_waited(thread) / 1e9
