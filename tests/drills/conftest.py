"""The fault drills: their length, their databases, and the table of what they measured.

`CW_STORE_DRILLS=full` runs them at full length. A drill takes the fixture `drill`, sizes itself
with `drill.amount(short, full)`, and ends with `drill.held("its figures")`.
"""

import multiprocessing
import os
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from drill import Drill
from processes import Workers
from rich.console import Console
from rich.table import Table

from cw_store.testing.postgres_server import PostgresServer
from slow_disk import environment_of_slow_disk, why_not

FULL = os.environ.get("CW_STORE_DRILLS") == "full"


@pytest.fixture
def drill(request: pytest.FixtureRequest) -> Iterator[Drill]:
    """The drill's size, and where its figures go."""
    drill = Drill(FULL)
    request.node.user_properties += [("drill", drill.figures), ("counts", drill.counts)]
    yield drill


@pytest.fixture
def workers() -> Iterator[Workers]:
    """Starts other processes; whatever still runs at the end is killed."""
    with Workers() as workers:
        yield workers


@pytest.fixture
def workers_on_slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    """The same with the calls of a slow disk, which are loaded when a process starts."""
    missing = why_not()
    if missing is not None:
        pytest.skip(missing)
    for name, value in environment_of_slow_disk(tmp_path).items():
        monkeypatch.setenv(name, value)
    with Workers(multiprocessing.get_context("spawn")) as workers:
        yield workers


@pytest.fixture(scope="session")
def drill_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server for the drills."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def file(tmp_path: Path) -> str:
    """The path of a SQLite file that does not exist yet."""
    return str(tmp_path / "cw.db")


@pytest.fixture
def postgres(drill_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    url = drill_server.create_database()
    yield url
    drill_server.drop_database(url)


@pytest.fixture(params=["file", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """Where an empty database is, one after the other."""
    return request.getfixturevalue(request.param)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line for each drill, and a table for those that have counted something."""
    lines: list[tuple[str, str, str]] = []
    counted = defaultdict[str, dict[str, dict[str, int]]](dict)
    for outcome, word in (("passed", "held"), ("failed", "FAILED"), ("error", "FAILED")):
        for report in terminalreporter.stats.get(outcome, []):
            properties: dict[str, Any] = dict(getattr(report, "user_properties", ()))
            if "drill" in properties:
                title = _title(report.nodeid)
                lines.append((word, title, "; ".join(properties["drill"])))
                if properties["counts"]:
                    name, _, parameters = title.partition(" · ")
                    counted[name][parameters] = properties["counts"]
    if lines:
        terminalreporter.section("drills, full length" if FULL else "drills, short form")
        width = max(len(title) for _, title, _ in lines)
        for word, title, figures in lines:
            terminalreporter.write_line(f"{word:6}  {title:{width}}  {figures}".rstrip())
    for name, columns in counted.items():
        terminalreporter.write_line(_table(name, columns))


def _table(title: str, columns: dict[str, dict[str, int]]) -> str:
    table = Table("", title=title, title_justify="left")
    for heading in columns:
        table.add_column(heading, justify="right")
    for row in dict.fromkeys(chain(*columns.values())):
        values = (counts.get(row) for counts in columns.values())
        table.add_row(row, *("" if value is None else f"{value:,}" for value in values))
    console = Console(width=100)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def _title(nodeid: str) -> str:
    name, _, parameters = nodeid.rpartition("::")[2].removesuffix("]").partition("[")
    title = name.removeprefix("test_").replace("_", " ")
    return f"{title} · {parameters}" if parameters else title
