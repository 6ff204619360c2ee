"""What SQLAlchemy finds where it expects aiosqlite."""

import sqlite3
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any, cast

import aiosqlite
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from cw_store import Store, UnitOfWork, UnitOfWorkError
from cw_store.backends.thread.worker import JobQueue

NUMBERS = sa.table("numbers", sa.column("number", sa.Integer))
ROWS = [{"number": number} for number in range(100)]


async def test_regular_expressions_work_and_may_be_part_of_an_index(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="abc")
        await uow.initiatives.create(name="xyz")
        session = uow.session
        await session.execute(
            sa.text("CREATE INDEX some ON initiatives (name) WHERE name REGEXP 'b'")
        )
        found = await session.scalars(
            sa.text("SELECT name FROM initiatives WHERE name REGEXP '^a.c$'")
        )
        assert found.all() == ["abc"]
        await session.execute(sa.text("DROP INDEX some"))


async def test_a_stream_that_is_closed_keeps_no_table_locked(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.session.execute(sa.text("CREATE TABLE numbers (number INTEGER)"))
        await uow.session.execute(sa.insert(NUMBERS), ROWS)
        stream = await uow.session.stream(sa.select(NUMBERS))
        assert await stream.fetchone() == (0,)
        assert len(await stream.fetchmany(20)) == 20
        await stream.close()
        await uow.session.execute(sa.text("DROP TABLE numbers"))


@pytest.fixture
def jobs() -> Iterator[list[str]]:
    """The jobs that threads are given, as a profiler sees it."""
    seen: list[str] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code is JobQueue.add.__code__:
            seen.append(repr(frame.f_locals["job"]))

    sys.setprofile(note)
    yield seen
    sys.setprofile(None)


async def test_each_statement_of_a_session_is_one_job_of_the_thread(
    store: Store, jobs: list[str]
) -> None:
    jobs.clear()
    async with store.unit_of_work() as uow:
        for number in range(1, 4):
            matches = sa.literal("otter").regexp_match("t+er$")
            assert (await uow.session.execute(sa.select(matches))).all() == [(1,)]
            assert len(jobs) == number
        await uow.session.execute(sa.text("CREATE TABLE numbers (number INTEGER)"))
        await uow.session.execute(sa.insert(NUMBERS), ROWS)
        assert len(jobs) == 5
        assert await uow.session.scalar(sa.select(sa.func.count()).select_from(NUMBERS)) == 100
        await uow.rollback()


async def test_the_facts_of_a_statement_are_there_without_rows(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.session.execute(sa.text("CREATE TABLE numbers (number INTEGER)"))
        inserted: Any = await uow.session.execute(sa.insert(NUMBERS), ROWS)
        assert inserted.rowcount == 100
        changed: Any = await uow.session.execute(sa.text("UPDATE numbers SET number = 1"))
        assert (changed.rowcount, changed.returns_rows) == (100, False)
        none = await uow.session.execute(sa.text("SELECT number FROM numbers WHERE number > 1"))
        assert (list(none.keys()), none.all()) == (["number"], [])
        one: Any = await uow.session.execute(sa.text("INSERT INTO numbers VALUES (7)"))
        assert one.lastrowid == 101
        gone = sa.text("DELETE FROM numbers WHERE number = 7 RETURNING number")
        assert (await uow.session.scalars(gone)).all() == [7]
        await uow.rollback()


async def test_a_session_runs_nothing_in_a_spent_unit(store: Store) -> None:
    with pytest.raises(UnitOfWorkError, match="rolled back"):
        async with store.unit_of_work() as uow:
            await uow.session.execute(sa.text("CREATE TABLE numbers (number INTEGER)"))
            with pytest.raises(OperationalError):
                await uow.session.execute(sa.text("SELECT * FROM nowhere"))
            for statement in (sa.select(NUMBERS), sa.insert(NUMBERS)):
                with pytest.raises(UnitOfWorkError, match="is spent"):
                    await uow.session.execute(statement, ROWS)


async def test_the_drivers_cursor_works_in_the_units_transaction(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="seen")
        connection = await (await uow.session.connection()).get_raw_connection()
        driver: Any = connection.driver_connection
        cursor = driver.cursor()
        assert (cursor.description, cursor.rowcount, cursor.lastrowid) == (None, -1, None)
        await cursor.execute("SELECT name FROM initiatives UNION VALUES ('x'), ('y'), ('z')")
        assert await cursor.fetchone() == ("seen",)
        assert await cursor.fetchmany() == [("x",)]
        assert await cursor.fetchmany(2) == [("y",), ("z",)]
        assert await cursor.fetchone() is None
        await cursor.close()
        await cursor.close()
        with pytest.raises(sqlite3.ProgrammingError, match=r"^the cursor is closed$"):
            await cursor.fetchall()
        await uow.rollback()  # since that spends the unit
        await cursor.execute("SELECT 1")
    await cursor.close()  # after the end of the transaction


# The driver's connection.


async def driver_of(uow: UnitOfWork) -> aiosqlite.Connection:
    connection = await (await uow.session.connection()).get_raw_connection()
    driver = connection.driver_connection
    assert isinstance(driver, aiosqlite.Connection)
    return driver


def twice(number: int) -> int:
    return 2 * number


async def test_the_drivers_connection_runs_statements_in_the_units_transaction(
    store: Store,
) -> None:
    async with store.unit_of_work() as uow:
        driver = await driver_of(uow)
        await driver.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY, text TEXT)")
        assert await driver.execute_insert("INSERT INTO numbers (text) VALUES (?)", ("a",)) == (1,)
        await driver.executemany("INSERT INTO numbers (text) VALUES (?)", [("b",), ("c",)])
        async with driver.execute("SELECT text FROM numbers") as cursor:
            assert [row async for row in cursor] == [("a",), ("b",), ("c",)]
        found = await driver.execute_fetchall("SELECT count(*) FROM numbers")
        assert list(found) == [(3,)]
        async with driver.cursor() as cursor:
            await cursor.execute("SELECT text FROM numbers WHERE number > ?", (1,))
            assert await cursor.fetchone() == ("b",)
        assert driver.in_transaction
        assert driver.total_changes >= 3
        await cast(Any, driver).create_function("twice", 1, twice)
        assert list(await driver.execute_fetchall("SELECT twice(4)")) == [(8,)]
        dump = [line async for line in driver.iterdump()]
        assert any("CREATE TABLE numbers" in line for line in dump)
        await uow.rollback()
    async with store.unit_of_work() as uow:
        tables = "SELECT name FROM sqlite_schema WHERE name = 'numbers'"
        assert list(await (await driver_of(uow)).execute_fetchall(tables)) == []


async def test_a_script_runs_in_the_units_transaction(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="undone")
        driver = await driver_of(uow)
        await driver.executescript(
            """
            CREATE TABLE numbers (number INTEGER);
            CREATE TRIGGER doubles AFTER INSERT ON numbers WHEN new.number < 3 BEGIN
                INSERT INTO numbers VALUES (3); SELECT 'a;b';
            END;
            INSERT INTO numbers VALUES (1);
            """
        )
        found = await driver.execute_fetchall("SELECT number FROM numbers")
        assert list(found) == [(1,), (3,)]
        await uow.rollback()
    assert await store.initiatives.find_all() == []


async def test_a_script_that_commits_is_refused_and_nothing_is_stored(store: Store) -> None:
    uow = store.unit_of_work()
    with pytest.raises(UnitOfWorkError, match="COMMIT as a statement"):
        async with uow:
            await uow.initiatives.create(name="undone")
            driver = await driver_of(uow)
            await driver.executescript("CREATE TABLE numbers (number); COMMIT; SELECT 1")
    assert uow.committed is False
    assert await store.initiatives.find_all() == []


async def test_rows_are_made_as_the_driver_is_told_and_records_as_ever(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="a")
        driver = await driver_of(uow)
        driver.row_factory = aiosqlite.Row
        async with driver.execute("SELECT name FROM initiatives") as cursor:
            row = await cursor.fetchone()
        assert row is not None and row["name"] == "a"
        assert [one.name for one in await uow.initiatives.find_all()] == ["a"]


@pytest.mark.parametrize("what", ["commit", "rollback", "close"])
async def test_what_would_end_the_transaction_is_refused_of_the_driver(
    store: Store, what: str
) -> None:
    uow = store.unit_of_work()
    with pytest.raises(UnitOfWorkError, match=f"^{what} is not for"):
        async with uow:
            await uow.initiatives.create(name="undone")
            await getattr(await driver_of(uow), what)()
    assert uow.committed is False
    assert await store.initiatives.find_all() == []


@pytest.mark.parametrize(
    "sql",
    [
        "PRAGMA query_only = 1",
        "pragma main.locking_mode=exclusive",
        "/* a */ PRAGMA cache_size(10)",
        "PRAGMA ignore_check_constraints = ON",
        "ATTACH ':memory:' AS other",
        "DETACH main",
    ],
)
async def test_what_would_change_the_connection_for_others_is_refused(
    store: Store, sql: str
) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="kept")
        with pytest.raises(UnitOfWorkError, match="it was not sent"):
            await uow.session.execute(sa.text(sql))
    assert len(await store.initiatives.find_all()) == 1


@pytest.mark.parametrize(
    "sql", ["PRAGMA query_only", "PRAGMA table_info(tasks)", "PRAGMA defer_foreign_keys = ON"]
)
async def test_a_pragma_that_asks_or_ends_with_the_transaction_is_run(
    store: Store, sql: str
) -> None:
    async with store.unit_of_work() as uow:
        await uow.session.execute(sa.text(sql))


async def test_a_driver_kept_after_the_units_end_reaches_no_database(store: Store) -> None:
    async with store.unit_of_work() as uow:
        driver = await driver_of(uow)
    with pytest.raises(UnitOfWorkError, match="has ended"):
        await driver.execute("SELECT 1")
    assert store.connections_in_use == 0
