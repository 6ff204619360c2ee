"""The plugin in the runs of others: whoever runs their tests, and wherever their stores are."""

import pytest

from cw_store.testing.postgres_server import EXTERNAL_URL, PostgresServer

pytest_plugins = "pytester"

STRICT = "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
AUTO = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
asyncio_default_test_loop_scope = session
"""

# Each test would see the rows of another that has the same database.
TESTS = """
import asyncio
from datetime import datetime, timedelta

import pytest
from cw_store import Store, StoreBusyError

pytestmark = [{mark}]

async def one_more(store):
    await store.initiatives.create(name="mine")
    return len(await store.initiatives.find_all())

@pytest.mark.parametrize("turn", [1, 2])
async def test_has_an_empty_store(cw_store, turn):
    assert await one_more(cw_store) == 1

async def test_is_on_the_database_of_its_url(cw_store, cw_store_url):
    async with Store(cw_store_url) as other:
        assert await one_more(other) == 1
    assert await one_more(cw_store) == 2

async def test_opens_one_by_itself(cw_store_url):
    async with Store(cw_store_url, migrate=False) as store:
        assert await one_more(store) == 1

async def test_moves_the_clock(cw_store, cw_store_clock):
    first = await cw_store.initiatives.create(name="first")
    assert first.created_at == cw_store_clock.now
    cw_store_clock.advance(60)
    second = await cw_store.initiatives.create(name="second")
    assert second.created_at - first.created_at == timedelta(seconds=60)

async def test_has_the_time_of_day_without_a_clock(cw_store):
    created = (await cw_store.initiatives.create(name="now")).created_at
    assert abs(datetime.now(created.tzinfo) - created) < timedelta(minutes=5)

@pytest.mark.cw_store(max_text_bytes=8)
async def test_has_the_settings_of_its_marker(cw_store):
    with pytest.raises(ValueError):
        await cw_store.initiatives.create(name="ten letters")
"""

PASSED = 7

FIXTURE = """
import pytest
import pytest_asyncio

@pytest_asyncio.fixture
async def initiative(cw_store):
    return await cw_store.initiatives.create(name="theirs")

@pytest.mark.asyncio(loop_scope="function")
async def test_of_a_fixture(cw_store, initiative):
    assert await cw_store.initiatives.find_all() == [initiative]

def test_that_is_not_async(initiative):
    assert initiative.name == "theirs"
"""


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", "-W", "error", *arguments)


def with_tests(pytester: pytest.Pytester, ini: str, **files: str) -> None:
    pytester.makefile(".ini", pytest=ini)
    pytester.makepyfile(**files)


def test_with_pytest_asyncio_on_loops_of_every_scope_and_beside_it_anyio(
    pytester: pytest.Pytester,
) -> None:
    with_tests(
        pytester,
        STRICT,
        test_anyio=TESTS.format(mark="pytest.mark.anyio"),
        test_function=TESTS.format(mark="pytest.mark.asyncio"),
        test_module=TESTS.format(mark="pytest.mark.asyncio(loop_scope='module')"),
        test_session=TESTS.format(mark="pytest.mark.asyncio(loop_scope='session')"),
        test_fixture=FIXTURE,
    )
    pytester.makeconftest(ONLY_ASYNCIO)
    run(pytester).assert_outcomes(passed=4 * PASSED + 2)


def test_with_pytest_asyncio_alone_in_auto_mode(pytester: pytest.Pytester) -> None:
    with_tests(pytester, AUTO, test_session=TESTS.format(mark=""), test_fixture=FIXTURE)
    run(pytester, "-p", "no:anyio").assert_outcomes(passed=PASSED + 2)


ONLY_ASYNCIO = """
import pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


def test_with_anyio_alone_and_of_what_is_wrong_it_is_said(pytester: pytest.Pytester) -> None:
    right = TESTS.format(mark="pytest.mark.anyio")
    with_tests(pytester, "[pytest]\n", test_right=right, test_wrong=WRONG)
    pytester.makeconftest(ONLY_ASYNCIO)
    base = pytester.path / "base"
    result = run(pytester, "-p", "no:asyncio", "--strict-markers", f"--basetemp={base}")
    result.assert_outcomes(passed=PASSED + 1, failed=1, errors=2)
    result.stdout.fnmatch_lines(
        [
            "*connections of the store that are still in use: 1; a unit of work was not left*",
            "*the marker cw_store takes settings by name: cw_store(readers=1)*",
        ]
    )
    left = [str(path) for path in base.rglob("cw.db")]
    assert any(f"AssertionError: {path}" in result.stdout.str() for path in left)
    assert len(left) < PASSED, "those of tests that passed went"


WRONG = """
import pytest
from cw_store import Store

kept = []

@pytest.mark.anyio
async def test_keeps_a_unit(cw_store):
    unit = cw_store.unit_of_work(label="forgotten")
    kept.append(unit)
    uow = await unit.__aenter__()
    await uow.initiatives.create(name="kept")

@pytest.mark.anyio
async def test_fails(cw_store):
    await cw_store.initiatives.create(name="to be looked at")
    assert False, cw_store.url

@pytest.mark.cw_store(1)
@pytest.mark.anyio
async def test_is_marked_wrongly(cw_store):
    pass
"""


def test_on_every_database_in_several_processes(
    pytester: pytest.Pytester, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EXTERNAL_URL, postgres_server.url("postgres"))
    with_tests(pytester, STRICT, test_all=TESTS.format(mark="pytest.mark.asyncio"))
    result = run(pytester, "--cw-store=all", "-n", "2", "-vv")
    result.assert_outcomes(passed=3 * PASSED - 2)  # others cannot open what is in memory
    assert "test_has_an_empty_store[memory-1]" in result.stdout.str()


def test_what_cannot_be_had_is_said(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EXTERNAL_URL, "postgresql://me:secret@127.0.0.1:1/none")
    with_tests(pytester, "[pytest]\n", test_wrong=IMPOSSIBLE)
    alone = ("-p", "no:asyncio", "-p", "no:anyio")
    result = run(pytester, *alone, "--cw-store=memory", "-rs")
    result.assert_outcomes(skipped=1, errors=2)
    result.stdout.fnmatch_lines(
        [
            "*install pytest-asyncio, or mark the test with pytest.mark.anyio*",
            "*server that CW_STORE_TEST_POSTGRES names cannot be reached*",
            "*a store in memory has no URL under which others could open it*",
        ]
    )
    assert "secret" not in result.stdout.str()


IMPOSSIBLE = """
def test_cannot_have_the_url_of_one_in_memory(cw_store_url):
    pass

def test_has_no_event_loop(cw_store):
    pass

def test_has_no_server(cw_store_postgres_url):
    pass
"""


PRINT_LOADED = """
import sys

def pytest_unconfigure():
    print(*sorted(name for name in sys.modules if name.split(".")[0] in ("cw_store", "sqlalchemy")))
"""


def test_a_run_that_takes_no_store_loads_none(pytester: pytest.Pytester) -> None:
    with_tests(pytester, STRICT, test_nothing="def test_nothing(): pass")
    pytester.makeconftest(PRINT_LOADED)
    result = run(pytester)
    result.assert_outcomes(passed=1)
    assert result.outlines[-1].split() == [
        "cw_store",
        "cw_store.testing",
        "cw_store.testing.on_asyncio",
        "cw_store.testing.plugin",
    ]
