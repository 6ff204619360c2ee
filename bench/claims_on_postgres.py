"""Claim and complete on PostgreSQL, by one process and by eight, in turns.

Each contender has a database of its own on one server, which does not wait for its disk.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import Any, NamedTuple, TypedDict

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none

from bench.claimers import CONTENDERS, Done
from bench.claims import WAITING, fill_plan

PROCESSES = 8

OURS = "cw_store"

# Nobody's table of agents is empty for long, and the server plans for what it knows it to be.
_FINISHED = """
INSERT INTO agents (id, name, worktree_id, status, created_at, updated_at)
SELECT 'finished-' || n, 'finished-' || n, 'trees/one', 'stopped', now(), now()
FROM generate_series(1, 5000) AS numbers (n)
"""


class Comparison(NamedTuple):
    """The store beside another: what is measured, and what the ratio of the two is to be."""

    title: str
    other: str
    processes: int
    unit: str
    target: float

    def is_met(self, ratio: float) -> bool:
        """Whether it is: less of the time, or more a second."""
        return ratio <= self.target if self.unit == "µs" else ratio >= self.target


COMPARISONS = (
    Comparison("one process", "asyncpg by hand", 1, "µs", 1.25),
    Comparison("eight processes", "asyncpg by hand", PROCESSES, "/s", 1 / 1.25),
    Comparison("eight processes", "procrastinate", PROCESSES, "/s", 2.0),
)


class Found(TypedDict):
    """Medians over the rounds, and the median of the rounds' ratios."""

    other: float
    cw_store: float
    ratio: float


def measure_claims_on_postgres(
    create_database: Callable[[], str], rounds: int, seconds: float, tell: Callable[[str], None]
) -> list[tuple[Comparison, Found]]:
    """Let all who are installed take turns."""
    names = [name for name in CONTENDERS if name != "procrastinate" or find_spec(name)]
    urls = {name: create_database() for name in names}
    tell(f"filling a database for each of {', '.join(names)}")
    for name, url in urls.items():
        asyncio.run(_fill_jobs(url) if name == "procrastinate" else _fill(url))
    compared = [one for one in COMPARISONS if one.other in names]
    figures: dict[tuple[str, int], list[float]] = {}
    for processes in dict.fromkeys(one.processes for one in compared):
        with ExitStack() as stack:
            teams = {
                name: stack.enter_context(_team(name, url, processes)) for name, url in urls.items()
            }
            for number in range(rounds):
                tell(f"{processes} at a time, round {number + 1} of {rounds}")
                for name in names[:: -1 if number % 2 else 1]:
                    done = _let_work(teams[name], seconds)
                    figures.setdefault((name, processes), []).append(_figure(done, seconds))
    return [(one, _found(one, figures)) for one in compared]


def _found(one: Comparison, figures: dict[tuple[str, int], list[float]]) -> Found:
    ours, theirs = figures[OURS, one.processes], figures[one.other, one.processes]
    return {
        "other": statistics.median(theirs),
        "cw_store": statistics.median(ours),
        "ratio": statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
    }


def _figure(done: list[Done], seconds: float) -> float:
    """Return microseconds for one, of one process, or how many a second, of several."""
    if len(done) == 1:
        return done[0]["median"]
    return sum(one["number"] for one in done) / seconds


Team = list["subprocess.Popen[str]"]


@contextmanager
def _team(name: str, url: str, processes: int) -> Iterator[Team]:
    team: Team = []
    try:
        for _ in range(processes):
            command = [sys.executable, "-m", "bench.claimers", name, url]
            team.append(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
        for process in team:
            _hear(process)
        yield team
    finally:
        for process in team:
            process.communicate()


def _let_work(team: Team, seconds: float) -> list[Done]:
    for process in team:
        assert process.stdin is not None
        process.stdin.write(f"{seconds}\n")
        process.stdin.flush()
    return [_hear(process) for process in team]


def _hear(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("a process has ended that was to claim")
    return json.loads(line)


async def _fill(url: str) -> None:
    await fill_plan(url)
    await _execute(url, _FINISHED, "VACUUM ANALYZE")


async def _fill_jobs(url: str) -> None:
    from procrastinate import App, PsycopgConnector

    async with App(connector=PsycopgConnector(conninfo=url)).open_async() as app:
        await app.schema_manager.apply_schema_async()
        deferrer = app.configure_task("work", allow_unknown=True)
        await deferrer.batch_defer_async(*({"number": n} for n in range(WAITING)))
    await _execute(url, "VACUUM ANALYZE")


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()
