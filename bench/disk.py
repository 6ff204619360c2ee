"""Writers on a disk whose fsync takes its time: how many writes, and how long they wait for upkeep.

The delay is added by `tests/slow_disk.c`, so it needs Linux and a C compiler. Beside the store runs
plain sqlite3 as somebody would write it who knows about checkpoints: one connection, whose writers
take turns by a lock, and a thread that copies the log beside them with PASSIVE checkpoints and
begins it anew, in their turn, once it has three fifths of the bytes that it may have.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypedDict

from bench.contenders.by_hand import INSERT_CHUNK, PRAGMAS, Stamps, new_chunk
from bench.work import LONG_LINE, NewChunk
from cw_store import Store, ensure_schema
from cw_store.backends.sqlite.backend import SqliteBackend
from cw_store.store import backend_of

WRITERS = 64
MILLISECONDS = (2, 10, 300)
MEBIBYTE = 1024 * 1024
RATIO = 0.6
"""At least so many writes of the store for one of plain sqlite3."""
WAITING = 0.2
"""The part of the time that the writers may wait for upkeep, commits for an fsync included."""
LONG_WAIT = 0.005
LONG_WAITS = 0.001
"""The part of the writes that may wait for it longer than `LONG_WAIT` seconds, at 2 and 10 ms."""


class Report(TypedDict):
    """What one contender got done on one disk."""

    per_second: float
    waiting: float
    long_waits: float
    longest_wait: float
    log: float


def longest_log(milliseconds: int) -> int:
    """Return the mebibytes that the log may have on such a disk."""
    return 256 if milliseconds < 100 else 1024


def measure_disks(
    folder: Path, seconds: float, tell: Callable[[str], None]
) -> dict[str, dict[str, Report]]:
    """Return the reports by contender within those by milliseconds of an fsync."""
    disk = _slow_disk()
    missing = disk.why_not()
    if missing is not None:
        raise SystemExit(missing)
    variables = {**os.environ, **disk.environment_of_slow_disk(folder)}
    found: dict[str, dict[str, Report]] = {}
    for milliseconds in MILLISECONDS:
        for contender in ("sqlite3", "calls", "units"):
            tell(f"{contender}, {milliseconds} ms an fsync")
            path = folder / f"{contender}-{milliseconds}.db"
            settings = json.dumps([contender, str(path), milliseconds, seconds])
            done = subprocess.run(
                [sys.executable, "-m", "bench.disk", settings],
                env=variables,
                stdout=subprocess.PIPE,
                check=True,
            )
            found.setdefault(str(milliseconds), {})[contender] = json.loads(done.stdout)
            path.unlink()
    return found


def _slow_disk() -> Any:
    """Give the slow disk of the tests, which lie beside this package."""
    path = Path(__file__).parents[1] / "tests" / "slow_disk.py"
    spec = importlib.util.spec_from_file_location("slow_disk", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Watch:
    """What is noted while a contender writes."""

    def __init__(self, path: Path, seconds: float, waited: Callable[[], float]) -> None:
        self._log = path.with_name(path.name + "-wal")
        self._waited = waited
        self._seconds = seconds
        self.end = monotonic() + seconds
        self.waits: list[float] = []
        self._before = waited()
        self._longest = 0

    def note(self, waited_before: float) -> None:
        """Note a write, before which the writers had waited so long for upkeep, all in all."""
        self.waits.append(self._waited() - waited_before)
        if len(self.waits) % 100 == 0:
            self._longest = max(self._longest, os.stat(self._log).st_size)

    def report(self) -> Report:
        """Return what came of it."""
        return {
            "per_second": len(self.waits) / self._seconds,
            "waiting": (self._waited() - self._before) / self._seconds,
            "long_waits": sum(wait > LONG_WAIT for wait in self.waits) / len(self.waits),
            "longest_wait": max(self.waits),
            "log": self._longest / MEBIBYTE,
        }


async def _store(path: Path, milliseconds: int, seconds: float, in_units: bool) -> Report:
    disk = _slow_disk().SlowDisk(path)
    async with Store(path) as store:
        backend = backend_of(store)
        assert isinstance(backend, SqliteBackend)
        thread = await backend.writer.connection.run(threading.get_native_id)

        def waited() -> float:
            return backend.maintenance.seconds_held + disk.waited(thread)

        async def write(number: int) -> None:
            chunk = NewChunk(f"agent-{number}", "agent", 2, LONG_LINE)
            while monotonic() < watch.end:
                before = waited()
                if in_units:
                    async with store.unit_of_work() as uow:
                        await uow.log_chunks.insert_chunk(*chunk)
                else:
                    await store.log_chunks.insert_chunk(*chunk)
                watch.note(before)

        disk.sync_takes(milliseconds)
        watch = Watch(path, seconds, waited)
        await asyncio.gather(*(write(number) for number in range(WRITERS)))
        disk.sync_takes(0)
        return watch.report()


class PlainSqlite:
    """Plain sqlite3, its writers in threads."""

    def __init__(self, path: Path, milliseconds: int, seconds: float) -> None:
        asyncio.run(ensure_schema(path))
        self._path = path
        self._disk = _slow_disk().SlowDisk(path)
        self._bound = longest_log(milliseconds) * MEBIBYTE * 3 // 5
        self._writer = self._connect()
        self._turn = threading.Lock()
        self._stamps = Stamps()
        self._held = 0.0
        self._in_commits = 0.0
        self._ended = threading.Event()
        self._milliseconds = milliseconds
        self._seconds = seconds

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        for pragma in (*PRAGMAS, "PRAGMA synchronous = NORMAL", "PRAGMA wal_autocheckpoint = 0"):
            connection.execute(pragma).fetchall()
        return connection

    def run(self) -> Report:
        """Let all write for the time."""
        threads = [threading.Thread(target=self._write, args=(n,)) for n in range(WRITERS)]
        upkeep = threading.Thread(target=self._keep_up)
        self._insert("agent")
        self._disk.sync_takes(self._milliseconds)
        self._watch = Watch(self._path, self._seconds, lambda: self._held + self._in_commits)
        for thread in (upkeep, *threads):
            thread.start()
        for thread in threads:
            thread.join()
        self._ended.set()
        upkeep.join()
        self._disk.sync_takes(0)
        self._writer.close()
        return self._watch.report()

    def _insert(self, agent: str) -> None:
        values, _ = new_chunk(self._stamps, NewChunk(agent, "agent", 2, LONG_LINE))
        with self._turn:
            self._writer.execute(INSERT_CHUNK, values)

    def _write(self, number: int) -> None:
        me = threading.get_native_id()
        while monotonic() < self._watch.end:
            before, mine = self._held + self._in_commits, self._disk.waited(me)
            self._insert(f"agent-{number}")
            self._in_commits += self._disk.waited(me) - mine
            self._watch.note(before)

    def _keep_up(self) -> None:
        checkpointer, holder = self._connect(), self._connect()
        while not self._ended.is_set():
            if self._copy(checkpointer, holder) > self._bound:
                self._copy(checkpointer, holder)
                with self._turn:
                    began = monotonic()
                    checkpointer.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
                    self._held += monotonic() - began
            sleep(0.02)
        checkpointer.close()
        holder.close()

    def _copy(self, checkpointer: sqlite3.Connection, holder: sqlite3.Connection) -> int:
        """Copy beside the writers, and return the bytes of the log."""
        holder.execute("BEGIN")
        holder.execute("PRAGMA user_version").fetchall()
        (row,) = checkpointer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        holder.execute("ROLLBACK")
        return row[1] * 4096


def main() -> None:
    """Run one contender; the command line has its settings as JSON, the output its report."""
    contender, path, milliseconds, seconds = json.loads(sys.argv[1])
    if contender == "sqlite3":
        report = PlainSqlite(Path(path), milliseconds, seconds).run()
    else:
        report = asyncio.run(_store(Path(path), milliseconds, seconds, contender == "units"))
    print(json.dumps(report))


if __name__ == "__main__":
    main()
