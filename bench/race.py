"""A whole run: databases, checks, rounds in which all contenders take turns, and the figures."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from bench.answers import first_difference, rows_left
from bench.seed import make_seed, plant, sqlalchemy_url
from bench.work import RACES, Row
from bench.worker import Worker
from cw_store import ensure_schema

Tell = Callable[[str], None]
"""Takes a line for whoever watches."""


class Figure(TypedDict):
    """One contender in one row: the median over the rounds, and its ratio to the base.

    `value` is in microseconds, per second, or milliseconds of lag, as the row's kind says; the
    lag of a round is what 99 of 100 ticks stayed below. The ratio is the median of the rounds'
    ratios; `rounds` are what they were made of.
    """

    value: float
    ratio: float | None
    rounds: list[float]


Figures = dict[str, dict[str, Figure]]
"""By row, then by contender."""


class Effort(NamedTuple):
    """How long everything is measured: rounds, and seconds in each of them.

    Many short rounds bring out a difference better than few long ones, where the machine is
    faster in one minute than in the next.
    """

    rounds: int
    seconds: float
    race_rounds: int
    race_seconds: float


class WrongAnswersError(Exception):
    """The contenders do not do the same work."""


class Run(NamedTuple):
    """What a worker is asked to do, and at which setting of `synchronous`."""

    what: str
    synchronous: str


Workers = dict[tuple[str, str], Worker]
"""By contender and setting of `synchronous`."""

Rounds = dict[tuple[str, Run], list[dict[str, Any]]]
"""What the workers reported, by contender and run."""


@dataclass(frozen=True)
class Race:
    """Who runs, on which databases, against which base."""

    modules: dict[str, str]
    base: str
    rows: Sequence[Row]
    new_database: Callable[[], str]
    """Gives the URL of a new database with the schema and the seed."""
    by_cpu: bool = False
    """Compare the processor's time for a call, where other processes make the other too noisy."""
    any_core: bool = False
    """Leave the processes to the scheduler, as a program is that does not care."""

    def check(self) -> None:
        """Raise WrongAnswersError unless all give the base's answers and leave its rows."""
        seed = make_seed()
        expected: dict[str, Any] | None = None
        with self._workers({row.synchronous for row in self.rows}) as workers:
            base_first = sorted(workers.items(), key=lambda item: item[0][0] != self.base)
            for (name, _), worker in base_first:
                found = {
                    "answers": worker.ask(what="answer"),
                    "rows left": asyncio.run(rows_left(worker.url, seed)),
                }
                if expected is None:
                    expected = found
                difference = first_difference(found, expected)
                if difference is not None:
                    raise WrongAnswersError(f"{name} does not agree with {self.base}: {difference}")

    def run(self, effort: Effort, tell: Tell) -> Figures:
        """Let all run row by row, round by round; whoever is first changes with each round.

        One call at a time, and each race of fifty tasks, begins with new processes on new
        databases: whoever got more done in the one before would have larger tables in the next,
        and a call costs more in them.
        """
        runs = list(dict.fromkeys(Run(row.run, row.synchronous) for row in self.rows))
        calls = [run for run in runs if run.what not in RACES]
        rounds = self._take_turns("one call at a time", calls, effort.rounds, effort.seconds, tell)
        for what, title in RACES.items():
            race = [run for run in runs if run.what == what]
            title = f"fifty tasks at once, {title}"
            rounds |= self._take_turns(title, race, effort.race_rounds, effort.race_seconds, tell)
        return {row.key: self._figures(row, rounds) for row in self.rows}

    def _take_turns(
        self, title: str, runs: Sequence[Run], rounds: int, seconds: float, tell: Tell
    ) -> Rounds:
        done: Rounds = {}
        if not runs:
            return done
        names = list(self.modules)
        with self._workers({run.synchronous for run in runs}) as workers:
            for number in range(rounds):
                tell(f"{title}, round {number + 1} of {rounds}")
                turn = number % len(names)
                for run in runs:
                    for name in names[turn:] + names[:turn]:
                        result = workers[name, run.synchronous].ask(what=run.what, seconds=seconds)
                        done.setdefault((name, run), []).append(result)
        return done

    @contextmanager
    def _workers(self, settings: Iterable[str]) -> Iterator[Workers]:
        """Start everybody's process at each setting of `synchronous`, on a database of its own."""
        workers: Workers = {}
        with ExitStack() as stack:
            for name, module in self.modules.items():
                for synchronous in settings:
                    worker = Worker(
                        name,
                        {
                            "module": module,
                            "url": self.new_database(),
                            "synchronous": synchronous,
                            "any_core": self.any_core,
                        },
                    )
                    workers[name, synchronous] = stack.enter_context(worker)
            yield workers

    def _figures(self, row: Row, rounds: Rounds) -> dict[str, Figure]:
        run = Run(row.run, row.synchronous)
        base = self._compared(row, rounds[self.base, run])
        figures: dict[str, Figure] = {}
        for name in self.modules:
            compared = self._compared(row, rounds[name, run])
            figures[name] = {
                "value": statistics.median(_value(row, each) for each in rounds[name, run]),
                "ratio": self._ratio(row, compared, base),
                "rounds": compared,
            }
        return figures

    def _compared(self, row: Row, rounds: Iterable[dict[str, Any]]) -> list[float]:
        if self.by_cpu and row.kind != "lag":
            return [each["cpu"] for each in rounds]
        return [_value(row, each) for each in rounds]

    def _ratio(self, row: Row, theirs: list[float], base: list[float]) -> float | None:
        if row.kind == "lag":
            return None
        pairs = zip(theirs, base, strict=True)
        if self.by_cpu and row.kind == "per second":
            return statistics.median(other / one for one, other in pairs)
        return statistics.median(one / other for one, other in pairs)


def _value(row: Row, report: dict[str, Any]) -> float:
    match row.kind:
        case "microseconds":
            return report["median"]
        case "per second":
            return report["per_second"]
        case "lag":
            lags = sorted(report["lags"])
            return lags[min(len(lags) - 1, int(len(lags) * 0.99))]


def sqlite_databases(folder: Path) -> Callable[[], str]:
    """Prepare one SQLite file with schema and seed, and hand out copies of it."""
    template = folder / "template.db"
    numbers = itertools.count(1)

    async def prepare() -> None:
        await ensure_schema(template)
        await plant(make_seed(), str(template))

    asyncio.run(prepare())

    def copied() -> str:
        return str(shutil.copyfile(template, folder / f"{next(numbers)}.db"))

    return copied


def postgres_databases(create: Callable[[], str]) -> Callable[[], str]:
    """Prepare empty PostgreSQL databases, which `create` gives, as they are asked for."""

    async def prepare(url: str) -> None:
        await ensure_schema(url)
        await plant(make_seed(), url)

    def created() -> str:
        url = create()
        asyncio.run(prepare(url))
        return url

    return created


def postgres_version(url: str) -> str:
    """Ask a server what it is."""

    async def ask() -> str:
        engine = create_async_engine(sqlalchemy_url(url))
        try:
            async with engine.connect() as connection:
                found = await connection.execute(text("SHOW server_version"))
                return found.scalar_one().partition(" ")[0]
        finally:
            await engine.dispose()

    return asyncio.run(ask())
