"""Processes killed in the middle of writing."""

import asyncio
import itertools
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Literal

import pytest
from drill import Drill, integrity, open_transactions, randomness, rows_by_key, torn
from processes import Workers
from workers import PREFIX, hold_turns, storm, storm_on_slow_disk

from cw_store import Store

Synchronous = Literal["NORMAL", "FULL"]


class Storm:
    """Rounds of processes that write until they are killed, all on one database."""

    def __init__(self, url: str, workers: Workers) -> None:
        self.url = url
        self.workers = workers
        self.chance = randomness()
        self.kills = 0
        self.acknowledged: set[str] = set()

    def round(self, processes: int, synchronous: Synchronous) -> None:
        crowd = [
            self.workers.start(storm, self.url, synchronous, f"{self.kills}/{number}")
            for number in range(processes)
        ]
        # Listen to all until every one has begun to write: one that cannot tell what it did
        # stands still, maybe with the database's lock.
        silent = set(crowd)
        while silent:
            for worker in crowd:
                if words := worker.listen(0.005):
                    self.acknowledged.update(words)
                    silent.discard(worker)
        self.acknowledged.update(crowd[0].listen(self.chance.uniform(0.0, 0.15)))
        for worker in crowd:
            worker.kill()
            self.acknowledged.update(worker.last_words())
            worker.close()
        self.kills += processes

    async def check(self) -> None:
        async with Store(self.url) as store:
            if not self.url.startswith(PREFIX):
                await integrity(store)
            rows = await rows_by_key(store)
            assert torn(rows) == []
            missing = self.acknowledged - rows.keys()
            assert not missing, f"{len(missing)} acknowledged units are missing"


@pytest.mark.parametrize(
    ("synchronous", "processes"),
    [("NORMAL", 1), ("FULL", 1), ("NORMAL", 3)],
    ids=["NORMAL", "FULL", "three processes"],
)
def test_a_killed_process_loses_nothing_that_was_acknowledged(
    file: str, drill: Drill, workers: Workers, synchronous: Synchronous, processes: int
) -> None:
    storms = Storm(file, workers)
    for _ in range(drill.amount(4, 30)):
        storms.round(processes, synchronous)
        asyncio.run(storms.check())
    drill.held(
        f"{storms.kills} kills, {len(storms.acknowledged)} acknowledged units: "
        "none missing, none torn, integrity_check ok"
    )


@pytest.mark.parametrize("milliseconds", [10, 300])
def test_a_process_killed_while_its_log_is_copied_loses_nothing(
    file: str, drill: Drill, workers_on_slow_disk: Workers, milliseconds: int
) -> None:
    acknowledged: set[str] = set()
    copied = kills = 0
    storms = Storm(file, workers_on_slow_disk)
    for number in range(drill.amount(3, 30)):
        size = Path(file).stat().st_size if number else 0
        worker = workers_on_slow_disk.start(storm_on_slow_disk, file, milliseconds, f"{number}")
        acknowledged.add(worker.receive())
        end = time.monotonic() + 20
        # Into a copy that comes after the first: the file grows by nothing else.
        while Path(file).stat().st_size < size + 4_000_000 and time.monotonic() < end:
            acknowledged.update(worker.listen(0.005))
        acknowledged.update(worker.listen(storms.chance.uniform(0.0, 0.2)))
        worker.kill()
        acknowledged.update(worker.last_words())
        worker.close()
        copied += Path(file).stat().st_size > size
        kills += 1
        storms.acknowledged = acknowledged
        asyncio.run(storms.check())
    assert copied
    drill.held(
        f"{kills} kills, {copied} with a part of the log copied, {len(acknowledged)} acknowledged "
        "units: none missing, none torn, integrity_check ok"
    )


def test_a_killed_client_of_a_server_loses_nothing_that_was_acknowledged(
    postgres: str, drill: Drill, workers: Workers
) -> None:
    storms = Storm(postgres, workers)
    for _ in range(drill.amount(3, 30)):
        storms.round(2, "NORMAL")
    asyncio.run(storms.check())
    assert asyncio.run(open_transactions(postgres)) == 0
    drill.held(
        f"{storms.kills} kills, {len(storms.acknowledged)} acknowledged units: "
        "none missing, none torn, no transaction left open"
    )


def test_a_killed_holder_of_the_turn_keeps_nobody_waiting(
    file: str, drill: Drill, workers: Workers
) -> None:
    async def create() -> None:
        async with Store(file):
            pass

    asyncio.run(create())
    longest: list[float] = []
    for _ in range(drill.amount(2, 10)):
        doomed = [workers.start(hold_turns, file, 30.0, 0.05) for _ in range(3)]
        other = workers.start(hold_turns, file, 1.0, 0.0)
        for worker in (*doomed, other):
            worker.receive()
        for worker in (*doomed, other):
            worker.tell(time.monotonic())
        other.pipe.poll(0.3)
        for worker in doomed:
            worker.kill()
            worker.close()
        waits: list[float] = other.receive()
        other.ended()
        longest.append(max(waits))
    assert max(longest) < 1.5, "a dead process kept its turn"
    drill.held(
        f"{len(longest) * 3} killed among waiting processes; longest wait {max(longest):.2f} s"
    )


def test_a_log_cut_anywhere_is_read_up_to_its_last_whole_commit(
    file: str, drill: Drill, workers: Workers
) -> None:
    # True as long as nothing of the log has been copied into the database file, which SQLite
    # does from 4 MB on, and only after a sync.
    source = Path(file)
    worker = workers.start(storm, file, "NORMAL", "cut")
    worker.receive()
    while source.with_name("cw.db-wal").stat().st_size < 300_000:
        worker.listen(0.005)
    worker.kill()
    worker.close()
    log = source.with_name("cw.db-wal").read_bytes()
    assert len(log) < 4_000_000
    chance = randomness()
    cuts = [chance.randrange(len(log)) for _ in range(drill.amount(10, 200))]
    counts: list[int] = []
    for number, cut in enumerate(sorted(cuts)):
        copy = source.with_name(f"cut-{number}.db")
        shutil.copyfile(source, copy)
        copy.with_name(f"{copy.name}-wal").write_bytes(log[:cut])
        raw = sqlite3.connect(copy)
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = raw.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'agent_log_chunks'")
        if tables.fetchone() == (1,):
            query = "SELECT agent_id, count(*) FROM agent_log_chunks GROUP BY agent_id"
            rows = dict(raw.execute(query).fetchall())
            assert torn(rows) == []
            counts.append(len(rows))
        raw.close()
    assert all(one <= later for one, later in itertools.pairwise(counts))
    drill.held(
        f"{len(cuts)} cuts in {len(log) // 1024} KiB, {max(counts)} units at most, none torn"
    )
