"""What every test may ask for, the databases among it, and what a test is asked that hangs."""

import asyncio
import faulthandler
import itertools
import os
import re
import warnings
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from browsers import NO_BROWSER
from cw_store.testing.databases import MigratedDatabase, migrate
from cw_store.testing.databases import migrated_file as migrated_file_at
from cw_store.testing.postgres_server import PostgresServer
from databases import DATABASES, Fresh
from steppable_loop import SteppableLoop


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server of this test run's own, or the one that CW_STORE_TEST_POSTGRES names."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_database(postgres_server: PostgresServer) -> Iterator[MigratedDatabase]:
    """A server's database at the newest schema, which each test leaves empty."""
    with MigratedDatabase(postgres_server.create_database()) as database:
        yield database


@pytest.fixture(scope="session")
def migrated_server(migrated_database: MigratedDatabase) -> str:
    """The URL of that database."""
    return migrated_database.url


@pytest.fixture(scope="session")
def migrated_template(postgres_server: PostgresServer) -> str:
    """The URL of a server's database at the newest schema; to be copied, never to be opened.

    A copy takes a sixth of the time of a migration.
    """
    url = postgres_server.create_database()
    migrate(url)
    return url


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty file database at the newest schema, closed; to be copied, never to be opened."""
    return migrated_file_at(tmp_path_factory.mktemp("stores") / "template.db")


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.ends_with_its_store) if name == "memory" else name
        for name in DATABASES
    ]
)
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty database at the newest schema."""
    with DATABASES[request.param](request) as url:
        yield url


@pytest.fixture
def new_file(tmp_path: Path) -> Fresh:
    """Give the path of a file that does not exist, another with each call."""
    numbers = itertools.count(1)
    return lambda: str(tmp_path / f"new-{next(numbers)}.db")


@pytest.fixture
def new_server_database(postgres_server: PostgresServer) -> Iterator[Fresh]:
    """Give the URL of an empty database, without a schema, another with each call."""
    urls: list[str] = []

    def fresh() -> str:
        urls.append(postgres_server.create_database())
        return urls[-1]

    yield fresh
    for url in urls:
        postgres_server.drop_database(url)


@pytest.fixture(params=["to a server", "to a file"])
def new_target(
    request: pytest.FixtureRequest, new_file: Fresh, new_server_database: Fresh
) -> Fresh:
    """Give databases that nobody has used, on either."""
    return new_file if request.param == "to a file" else new_server_database


@pytest.fixture
async def steppable_loop() -> SteppableLoop:
    """The loop on which this test runs, whose time it can move on."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteppableLoop)
    return loop


STDERR = pytest.StashKey[int]()
"""Where to write when a test hangs: while tests run, pytest keeps what they write to stderr."""


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give each asynchronous test its loop: asyncio's own, or what it or the run asks for."""
    if "steppable_loop" in getattr(item, "fixturenames", ()):
        return {"steppable": SteppableLoop}
    if config.getoption("uvloop"):
        return {"uvloop": loop_of_uvloop()}
    return {"asyncio": asyncio.new_event_loop}


def loop_of_uvloop() -> Callable[[], asyncio.AbstractEventLoop]:
    import uvloop

    class Loop(uvloop.Loop):
        """One whose end can be told of what was left open.

        uvloop warns of it before it closes it. Where a warning is an error, it does not get to
        closing it, and then waits for ever for it to be closed.
        """

        def close(self) -> None:
            with warnings.catch_warnings(record=True) as left_open:
                warnings.simplefilter("always")
                super().close()
            for warning in left_open:
                warnings.warn_explicit(
                    warning.message, warning.category, warning.filename, warning.lineno
                )

    return Loop


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--uvloop", action="store_true", help="run the tests on uvloop's event loop")
    parser.addoption(
        "--files-only",
        action="store_true",
        help="of tests that run on several databases, run those on SQLite files",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "ends_with_its_store: no other store can be on `database`")
    config.addinivalue_line("markers", "alone: measures times, and has the machine to itself")
    config.stash[STDERR] = os.dup(2)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly that nobody has looked at the page, or nobody would know."""
    skipped: list[pytest.TestReport] = terminalreporter.stats.get("skipped", [])
    unseen = [report for report in skipped if NO_BROWSER in str(report.longrepr)]
    if unseen:
        terminalreporter.write_sep("!", f"{len(unseen)} tests skipped: {NO_BROWSER}", red=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("files_only"):
        return
    others = re.compile(r"\[.*\b(memory|postgres|server)\b.*\]")
    left_out = [item for item in items if others.search(item.name)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not others.search(item.name)]


def pytest_unconfigure(config: pytest.Config) -> None:
    os.close(config.stash[STDERR])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Set a new limit: pytest forgets its own when a test fails, and what fails may hang then."""
    seconds = float(item.config.getini("faulthandler_timeout"))
    faulthandler.dump_traceback_later(seconds, exit=True, file=item.config.stash[STDERR])
    return (yield)
