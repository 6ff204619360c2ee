"""What surrounds a SQLite file: its folder, its disk, who may read it. Nothing here opens it.

Everything here blocks, and some of it for ever where a file system does not answer.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from cw_store.doctor.finding import Finding, fine, note, problem, some

NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "sshfs"}
)
"""File systems of other machines; those of FUSE are told by what stands behind `fuse.`."""

LONG_LOG = 256 * 1024 * 1024
"""Bytes of a -wal file that say that it is not begun anew."""

FileCheck = Callable[[Path], list[Finding]]


def check_file_system(path: Path) -> list[Finding]:
    """Look where the file is: SQLite's locks and its shared memory need one machine."""
    kind = _file_system_of(path)
    if kind is None:
        return note("file system", "which file system it is cannot be told here", "")
    if kind.removeprefix("fuse.") in NETWORK:
        return problem(
            "file system",
            f"the file is on {kind}, a file system of another machine",
            "there locks do not hold and memory is not shared, so that writers damage the file",
            "cw-store copy cw.db postgresql://…",
        )
    return fine("file system", f"on {kind}")


def _file_system_of(path: Path) -> str | None:
    """Return the kind of the file system, as Linux lists them; None elsewhere."""
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return None
    best, kind = "", None
    for line in lines:
        _, place, found, *_ = line.split(" ")
        place = place.replace("\\040", " ")
        inside = place == "/" or str(path) == place or str(path).startswith(f"{place}/")
        if inside and len(place) >= len(best):
            best, kind = place, found
    return kind


def check_permissions(path: Path) -> list[Finding]:
    """Look who may read the file, and so credentials that are in clear."""
    open_to_all = [each.name for each in files_of(path) if _mode(each) & stat.S_IRWXO]
    if open_to_all:
        return problem(
            "permissions",
            f"{some(open_to_all)} can be read or written by every user of this machine",
            "logs and accounts are nobody else's business",
            f"chmod o-rwx {path}*",
            fixable=True,
        )
    if _mode(path) & stat.S_IRWXG:
        return note(
            "permissions",
            "the file's group may use it too",
            "that is right if it is meant, and chmod 600 if not",
        )
    return fine("permissions", "for its owner alone")


def close_to_others(path: Path) -> None:
    """Take from every other user of the machine what they may do with the files."""
    for each in files_of(path):
        os.chmod(each, _mode(each) & ~stat.S_IRWXO)


def files_of(path: Path) -> list[Path]:
    """Return the database and what lies beside it, where it is there."""
    names = (f"{path}{suffix}" for suffix in ("", "-wal", "-shm", "-journal", "-turns"))
    return [Path(name) for name in names if os.path.exists(name)]


TOO_LITTLE = 1024 * 1024
"""Bytes of a disk on which SQLite's log, or the index of it, has no room."""


def check_free_space(path: Path) -> list[Finding]:
    """Look for the room that a migration, a VACUUM and a growing log take again."""
    disk = os.statvfs(path.parent)
    free, size = disk.f_bavail * disk.f_frsize, os.stat(path).st_size
    if free < TOO_LITTLE:
        return problem(
            "free space",
            f"the disk is full: {free:,} bytes are free",
            "nothing can be written, not even what would give room back: remove other files",
        )
    if free < 2 * size:
        return problem(
            "free space",
            f"{free:,} bytes are free, and the file has {size:,}",
            "to migrate it, or to give room back, takes as much again, and a backup too",
            "cw-store prune logs --older-than 30d",
        )
    return fine("free space", f"{free:,} bytes")


def check_log(path: Path) -> list[Finding]:
    """Look whether the log only grows, and fills the disk."""
    log = Path(f"{path}-wal")
    size = os.stat(log).st_size if log.exists() else 0
    if size > LONG_LOG:
        return problem(
            "log",
            f"the log beside the file has {size:,} bytes",
            "it is not begun anew while somebody reads an old snapshot, or nobody writes",
            "cw-store status",
        )
    return fine("log", f"{size:,} bytes")


def check_left_over(path: Path) -> list[Finding]:
    """Look for what a killed backup or restore left."""
    found = sorted(each.name for each in path.parent.glob(f"{_escaped(path.name)}*.partial"))
    if found:
        return note(
            "left over",
            f"{some(found)} is half a file",
            "it is being written, or who wrote it was killed; the next backup there removes it",
        )
    return fine("left over", "nothing")


def check_other_store(path: Path) -> list[Finding]:
    """Look for a cw.db that was made by accident, and is filled in place of this one."""
    here = Path.cwd() / "cw.db"
    if here.exists() and not (path.exists() and os.path.samefile(here, path)):
        return note(
            "other store",
            "there is a cw.db in this folder, which is another store",
            "a program that is started without $CW_STORE_URL uses that one",
        )
    return fine("other store", "none here")


def _mode(path: Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def _escaped(name: str) -> str:
    return "".join(f"[{each}]" if each in "*?[" else each for each in name)


FILE_CHECKS: dict[str, FileCheck] = {
    "file system": check_file_system,
    "permissions": check_permissions,
    "free space": check_free_space,
    "log": check_log,
    "left over": check_left_over,
    "other store": check_other_store,
}
