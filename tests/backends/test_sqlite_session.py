"""What SQLAlchemy finds where it expects aiosqlite."""

import sqlite3
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from cw_store import Store, UnitOfWorkError

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
