"""A whole run: databases, checks, rounds in which all contenders take turns, and the figures."""

from __future__ import annotations

import asyncio
import shutil
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
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

    `value` is in microseconds, per second, or milliseconds of lag, as the row's kind says. The
    ratio is the median of the rounds' ratios; `rounds` are what they were made of.
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


@dataclass
class Entry:
    """One contender at one setting of `synchronous`: its process, and what it did in each round."""

    worker: Worker
    rounds: dict[str, list[dict[str, Any]]] = field(default_factory=dict[str, list[dict[str, Any]]])


Entries = dict[tuple[str, str], Entry]
"""By contender and setting of `synchronous`."""


@dataclass(frozen=True)
class Race:
    """Who runs, on which databases, against which base."""

    modules: dict[str, str]
    base: str
    rows: Sequence[Row]
    new_database: Callable[[str], str]
    """Gives the URL of a database with the schema and the seed; it is told a name for it."""
    by_cpu: bool = False
    """Compare the processor's time for a call, where neighbours make the other too noisy."""
    any_core: bool = False
    """Leave the processes to the scheduler, as a program is that does not care."""

    @contextmanager
    def entries(self) -> Iterator[Entries]:
        """Start everybody's process."""
        settings = sorted({row.synchronous for row in self.rows})
        entries: Entries = {}
        with ExitStack() as stack:
            for number, (name, module) in enumerate(self.modules.items()):
                for synchronous in settings:
                    worker = Worker(
                        name,
                        {
                            "module": module,
                            "url": self.new_database(f"{number}-{synchronous}"),
                            "synchronous": synchronous,
                            "any_core": self.any_core,
                        },
                    )
                    entries[name, synchronous] = Entry(stack.enter_context(worker))
            yield entries

    def check(self, entries: Entries) -> None:
        """Raise WrongAnswersError unless all give the base's answers and leave its rows."""
        seed = make_seed()
        expected: dict[str, Any] | None = None
        for (name, _), entry in sorted(entries.items(), key=lambda item: item[0][0] != self.base):
            found = {
                "answers": entry.worker.ask(what="answer"),
                "rows left": asyncio.run(rows_left(entry.worker.url, seed)),
            }
            if expected is None:
                expected = found
            difference = first_difference(found, expected)
            if difference is not None:
                raise WrongAnswersError(f"{name} does not agree with {self.base}: {difference}")

    def run(self, entries: Entries, effort: Effort, tell: Tell) -> Figures:
        """Let all run row by row, round by round; whoever is first changes with each round.

        Fifty tasks at once come last, the mixed run after all others: whoever gets more done in
        them has larger tables after it, and a call then costs more.
        """
        runs = list(dict.fromkeys((row.run, row.synchronous) for row in self.rows))
        self._take_turns(
            entries,
            [run for run in runs if run[0] not in RACES],
            effort.rounds,
            effort.seconds,
            lambda line: tell(f"one call at a time, {line}"),
        )
        for race in RACES:
            self._take_turns(
                entries,
                [run for run in runs if run[0] == race],
                effort.race_rounds,
                effort.race_seconds,
                lambda line, race=race: tell(f"fifty tasks at once, {race}, {line}"),
            )
        return {row.key: self._figures(row, entries) for row in self.rows}

    def _take_turns(
        self,
        entries: Entries,
        runs: Sequence[tuple[str, str]],
        rounds: int,
        seconds: float,
        tell: Tell,
    ) -> None:
        names = list(self.modules)
        for number in range(rounds if runs else 0):
            tell(f"round {number + 1} of {rounds}")
            turn = number % len(names)
            for run, synchronous in runs:
                for name in names[turn:] + names[:turn]:
                    entry = entries[name, synchronous]
                    result = entry.worker.ask(what=run, seconds=seconds)
                    entry.rounds.setdefault(run, []).append(result)

    def _figures(self, row: Row, entries: Entries) -> dict[str, Figure]:
        rounds = {name: entries[name, row.synchronous].rounds[row.run] for name in self.modules}
        base = rounds[self.base]
        return {
            name: {
                "value": _value(row, theirs),
                "ratio": self._ratio(row, theirs, base),
                "rounds": [] if row.kind == "lag" else [each[self._key(row)] for each in theirs],
            }
            for name, theirs in rounds.items()
        }

    def _ratio(
        self, row: Row, theirs: list[dict[str, Any]], base: list[dict[str, Any]]
    ) -> float | None:
        if row.kind == "lag":
            return None
        key = self._key(row)
        pairs = [(one[key], other[key]) for one, other in zip(theirs, base, strict=True)]
        if self.by_cpu and row.kind == "per second":
            return statistics.median(other / one for one, other in pairs)
        return statistics.median(one / other for one, other in pairs)

    def _key(self, row: Row) -> str:
        if self.by_cpu:
            return "cpu"
        return "median" if row.kind == "microseconds" else "per_second"


def _value(row: Row, rounds: list[dict[str, Any]]) -> float:
    match row.kind:
        case "microseconds":
            return statistics.median(each["median"] for each in rounds)
        case "per second":
            return statistics.median(each["per_second"] for each in rounds)
        case "lag":
            lags = sorted(lag for each in rounds for lag in each["lags"])
            return lags[min(len(lags) - 1, int(len(lags) * 0.99))]


def sqlite_databases(folder: Path) -> Callable[[str], str]:
    """Prepare one SQLite file with schema and seed, and hand out copies of it."""
    template = folder / "template.db"

    async def prepare() -> None:
        await ensure_schema(template)
        await plant(make_seed(), str(template))

    asyncio.run(prepare())

    def copied(name: str) -> str:
        return str(shutil.copyfile(template, folder / f"{name}.db"))

    return copied


def postgres_databases(create: Callable[[], str]) -> Callable[[str], str]:
    """Prepare empty PostgreSQL databases, which `create` gives, as they are asked for."""

    async def prepare(url: str) -> None:
        await ensure_schema(url)
        await plant(make_seed(), url)

    def created(name: str) -> str:
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
