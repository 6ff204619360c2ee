"""Which processes read and write a SQLite file right now, as far as the system tells.

SQLite's documentation, "WAL-mode File Format", section "WAL Locks": whoever writes locks byte 120
of the -shm file, whoever reads one of the bytes 123 to 127. Linux lists the locks of a user's own
processes, and root's of all, in /proc/locks; elsewhere nothing is known.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

WRITES = "writes"

_WRITER = 120
_READERS = range(123, 128)


class Holder(NamedTuple):
    """One who is at the store: its process, what it does, the program, and for how long."""

    pid: int
    does: str
    program: str | None
    seconds: int | None


def holders_of(path: str) -> list[Holder]:
    """Return who holds the writer's lock and who reads, this process left out."""
    try:
        inode = os.stat(f"{path}-shm").st_ino
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    found: dict[int, str] = {}
    for pid, does in _held(lines, inode):
        if pid != os.getpid() and found.get(pid) != WRITES:  # who writes reads as well
            found[pid] = does
    return [Holder(pid, does, _program(pid), None) for pid, does in sorted(found.items())]


def _held(lines: list[str], inode: int) -> Iterator[tuple[int, str]]:
    for line in lines:
        # "1: POSIX  ADVISORY  WRITE 4711 fe:00:123456 120 120"
        fields = line.split()
        if len(fields) != 8 or fields[5].rpartition(":")[2] != str(inode):
            continue
        try:
            pid, first, last = int(fields[4]), int(fields[6]), int(fields[7])
        except ValueError:  # to the end of the file: not one of these
            continue
        locked = range(first, last + 1)
        if _WRITER in locked and fields[3] == "WRITE":
            yield pid, WRITES
        elif any(byte in locked for byte in _READERS):
            yield pid, "reads"


def _program(pid: int) -> str | None:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    return " ".join(os.path.basename(word.decode(errors="replace")) for word in words[:3] if word)
