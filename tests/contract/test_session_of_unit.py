"""The session of a unit of work: its transaction is the unit's, whatever it is asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import CacheStats
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from cw_store import Store, StoreError, UnitOfWorkError


class Failure(Exception):
    """What a test raises inside a block."""


class Base(DeclarativeBase):
    """The application's own tables."""


class Mark(Base):
    __tablename__ = "application_marks"

    id: Mapped[str] = mapped_column(primary_key=True)


MARKS = Base.metadata.tables["application_marks"]


@pytest.fixture(autouse=True)
async def marks(store: Store) -> AsyncIterator[None]:
    """The application's own table, in the store's database."""
    async with store.unit_of_work() as uow:
        await uow.session.execute(sa.schema.CreateTable(MARKS))
    yield
    async with store.unit_of_work() as uow:
        await uow.session.execute(sa.schema.DropTable(MARKS))


async def stored(store: Store) -> tuple[list[str], list[str]]:
    """The names of the initiatives and the marks that another unit sees."""
    async with store.unit_of_work(read_only=True) as uow:
        names = [initiative.name for initiative in await uow.initiatives.find_all()]
        found = await uow.session.scalars(sa.select(Mark.id).order_by(Mark.id))
        return names, list(found)


# What a database keeps for a session.


@pytest.mark.parametrize("is_kept", [True, False])
async def test_temporary_tables_are_gone_with_the_transaction(store: Store, is_kept: bool) -> None:
    made = [
        "CREATE TEMPORARY TABLE initiatives (id text)",
        'CREATE TEMPORARY TABLE "a ""name" (id text PRIMARY KEY)',
        'CREATE TEMPORARY VIEW own AS SELECT * FROM "a ""name"',
    ]
    for _ in range(2):
        async with store.unit_of_work() as uow:
            for sql in made:
                await uow.session.execute(sa.text(sql))
            await uow.session.execute(sa.text('INSERT INTO "a ""name" VALUES (\'x\')'))
            assert await uow.session.scalar(sa.text("SELECT id FROM own")) == "x"
            await (uow.commit() if is_kept else uow.rollback())
            await uow.initiatives.create(name="in the store's table")
        await store.initiatives.create(name="in the store's table")
    assert len(await store.initiatives.find_all()) == 4


# Savepoints.


async def test_begin_nested_undoes_what_repositories_did_inside(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="before")
        with pytest.raises(Failure):
            async with uow.session.begin_nested():
                await uow.initiatives.create(name="undone")
                raise Failure
        await uow.initiatives.create(name="after")
    assert await stored(store) == (["before", "after"], [])


async def test_begin_nested_forgets_the_objects_that_were_added_inside(store: Store) -> None:
    async with store.unit_of_work() as uow:
        for savepoint in (uow.session.begin_nested, uow.savepoint):
            with pytest.raises(Failure):
                async with savepoint():
                    uow.session.add(Mark(id="undone"))
                    await uow.session.flush()
                    raise Failure
            assert await uow.session.get(Mark, "undone") is None
    assert await stored(store) == ([], [])


async def test_savepoints_of_both_kinds_nest(store: Store) -> None:
    async with store.unit_of_work() as uow:
        async with uow.session.begin_nested():
            uow.session.add(Mark(id="a"))
            with pytest.raises(Failure):
                async with uow.savepoint():
                    await uow.initiatives.create(name="undone")
                    uow.session.add(Mark(id="undone"))
                    async with uow.session.begin_nested():
                        await uow.initiatives.create(name="undone too")
                        await uow.session.flush()
                    raise Failure
            await uow.initiatives.create(name="kept")
            uow.session.add(Mark(id="b"))
    assert await stored(store) == (["kept"], ["a", "b"])


async def test_a_savepoint_is_undone_or_kept_by_hand(store: Store) -> None:
    async with store.unit_of_work() as uow:
        undone = await uow.session.begin_nested()
        await uow.initiatives.create(name="undone")
        await undone.rollback()
        kept = await uow.session.begin_nested()
        await uow.initiatives.create(name="kept")
        await kept.commit()
        assert not kept.is_active
        async with uow.session.begin_nested() as within:
            await uow.initiatives.create(name="undone within its block")
            await within.rollback()
        with pytest.raises(UnitOfWorkError, match="has ended"):
            await kept.commit()
    assert await stored(store) == (["kept"], [])


async def test_the_end_of_an_outer_savepoint_ends_those_inside(store: Store) -> None:
    async with store.unit_of_work() as uow:
        for keeps in (False, True):
            outer = await uow.session.begin_nested()
            await uow.initiatives.create(name=f"outer {keeps}")
            inner = await uow.session.begin_nested()
            await uow.initiatives.create(name=f"inner {keeps}")
            await (outer.commit() if keeps else outer.rollback())
            with pytest.raises(UnitOfWorkError, match="has ended"):
                await inner.commit()
    assert await stored(store) == (["outer True", "inner True"], [])


async def test_a_savepoint_that_nobody_ended_is_kept_with_the_unit(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.session.begin_nested()
        await uow.initiatives.create(name="kept")
        uow.session.add(Mark(id="kept"))
    assert await stored(store) == (["kept"], ["kept"])


async def test_a_refused_flush_that_is_caught_in_a_savepoint_undoes_it(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.session.execute(sa.insert(MARKS).values(id="there"))
        with pytest.raises(UnitOfWorkError, match="the savepoint is rolled back"):
            async with uow.session.begin_nested():
                await uow.initiatives.create(name="undone")
                uow.session.add(Mark(id="there"))
                with pytest.raises(IntegrityError):
                    await uow.session.flush()
        await uow.initiatives.create(name="after")
    assert await stored(store) == (["after"], ["there"])


async def test_a_savepoint_of_the_connection_is_one_of_the_transaction(store: Store) -> None:
    async with store.unit_of_work() as uow:
        async with uow.session.begin_nested():
            await uow.initiatives.create(name="before")
        connection = await uow.session.connection()
        with pytest.raises(Failure):
            async with connection.begin_nested():
                await uow.initiatives.create(name="undone")
                raise Failure
        await uow.initiatives.create(name="after")
    assert await stored(store) == (["before", "after"], [])


# Commit and roll back.


async def test_the_first_thing_a_session_is_asked_may_be_a_commit(store: Store) -> None:
    with pytest.raises(Failure):
        async with store.unit_of_work() as uow:
            await uow.initiatives.create(name="kept")
            await uow.session.commit()
            raise Failure
    assert await stored(store) == (["kept"], [])


async def test_the_first_thing_a_session_is_asked_may_be_a_rollback(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="undone")
        await uow.session.rollback()
        await uow.initiatives.create(name="kept")
    assert await stored(store) == (["kept"], [])


async def test_a_commit_past_the_session_is_refused(store: Store) -> None:
    uow = store.unit_of_work()
    with pytest.raises(UnitOfWorkError, match="commit the session"):
        async with uow:
            await uow.initiatives.create(name="undone")
            connection = await uow.session.connection()
            await connection.execute(sa.insert(MARKS).values(id="undone"))
            await connection.commit()
    assert uow.committed is False
    assert await stored(store) == ([], [])


async def test_what_a_rollback_past_the_session_undid_is_not_stored(store: Store) -> None:
    uow = store.unit_of_work()
    with pytest.raises(StoreError):
        async with uow:
            await uow.initiatives.create(name="undone")
            connection = await uow.session.connection()
            await connection.execute(sa.insert(MARKS).values(id="undone"))
            await connection.rollback()
    assert uow.committed is False
    assert await stored(store) == ([], [])


@pytest.mark.parametrize("ends", ["commit", "rollback", "the block", "an error"])
async def test_a_unit_ends_as_told_while_its_session_is_used_in_another_task(
    store: Store, ends: str
) -> None:
    uow = store.unit_of_work()
    statements: list[asyncio.Task[object]] = []
    with suppress(Failure):
        async with uow:
            await uow.initiatives.create(name="of the unit")
            connection = await uow.session.connection()
            insert = MARKS.insert().values(id="a")
            statements.append(asyncio.create_task(connection.execute(insert)))
            await asyncio.sleep(0)
            if ends == "commit":
                await uow.commit()
            elif ends == "rollback":
                await uow.rollback()
            elif ends == "an error":
                raise Failure
    async with asyncio.timeout(10):
        await asyncio.wait(statements)
    is_kept = ends in ("commit", "the block")
    assert uow.committed is is_kept
    names, marks = await stored(store)
    assert names == (["of the unit"] if is_kept else [])
    # Where it takes more than one step, the unit may have ended between them.
    assert marks == (["a"] if is_kept and statements[0].exception() is None else [])


async def test_a_block_of_session_begin_commits_the_unit(store: Store) -> None:
    with pytest.raises(Failure):
        async with store.unit_of_work() as uow:
            for name in ("a", "b"):
                async with uow.session.begin():
                    await uow.initiatives.create(name=name)
                    uow.session.add(Mark(id=name))
            raise Failure
    assert await stored(store) == (["a", "b"], ["a", "b"])


async def test_a_block_of_session_begin_that_raises_rolls_the_unit_back(store: Store) -> None:
    async with store.unit_of_work() as uow:
        with pytest.raises(Failure):
            async with uow.session.begin():
                await uow.initiatives.create(name="undone")
                raise Failure
        await uow.initiatives.create(name="kept")
    assert await stored(store) == (["kept"], [])


async def test_session_begin_in_a_unit_that_has_begun_is_refused(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="a")
        with pytest.raises(UnitOfWorkError, match="begin_nested"):
            async with uow.session.begin():
                pytest.fail("it has begun")
    assert await stored(store) == (["a"], [])


async def test_a_refused_commit_of_the_session_raises_what_sqlalchemy_does(store: Store) -> None:
    uow = store.unit_of_work()
    with pytest.raises(IntegrityError):
        async with uow:
            await uow.session.execute(sa.insert(MARKS).values(id="there"))
            uow.session.add(Mark(id="there"))
            await uow.session.commit()
    assert uow.committed is False
    assert await stored(store) == ([], [])


async def test_an_isolation_level_is_refused(store: Store) -> None:
    async with store.unit_of_work() as uow:
        with pytest.raises(UnitOfWorkError, match="isolation"):
            await uow.session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})


# The transaction as text.

ENDS = (
    "COMMIT",
    " commit ;",
    "ROLLBACK",
    "ROLLBACK /* TO */ ",
    "ROLLBACK WORK",
    "END",
    "Abort",
    "BEGIN",
    "START TRANSACTION",
    "COMMIT AND CHAIN",
    "/* a */ -- b\nCOMMIT",
    ";;\n;COMMIT",
    "/* /* */ COMMIT",
    "/* /* */ */ COMMIT",
    "PREPARE TRANSACTION 'a'",
    "RELEASE cw_savepoint_1",
    'ROLLBACK TO SAVEPOINT "cw_savepoint_1"',
)


@pytest.mark.parametrize("by_driver", [False, True])
@pytest.mark.parametrize("sql", ENDS)
async def test_a_statement_that_would_end_the_transaction_is_refused_and_nothing_is_stored(
    store: Store, sql: str, by_driver: bool
) -> None:
    uow = store.unit_of_work()
    with pytest.raises(UnitOfWorkError):
        async with uow:
            await uow.initiatives.create(name="before")
            with pytest.raises(UnitOfWorkError, match="was not sent"):
                if by_driver:
                    await (await uow.session.connection()).exec_driver_sql(sql)
                else:
                    await uow.session.execute(sa.text(sql))
            await uow.initiatives.create(name="after")
    assert uow.committed is False
    assert await stored(store) == ([], [])


async def test_no_savepoint_makes_a_unit_good_again_whose_end_was_sent_as_text(
    store: Store,
) -> None:
    with pytest.raises(UnitOfWorkError, match="spent"):
        async with store.unit_of_work() as uow:
            with pytest.raises(UnitOfWorkError, match="was not sent"):
                async with uow.savepoint():
                    await uow.session.execute(sa.text("COMMIT"))
            await uow.initiatives.create(name="after")
    async with store.unit_of_work() as uow:
        with pytest.raises(UnitOfWorkError, match="was not sent"):
            await uow.session.execute(sa.text("COMMIT"))
        await uow.rollback()
        await uow.initiatives.create(name="in a new transaction")
    assert await stored(store) == (["in a new transaction"], [])


async def test_an_applications_savepoints_as_text_are_its_own(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.session.execute(sa.text("SAVEPOINT mine"))
        await uow.initiatives.create(name="undone")
        await uow.session.execute(sa.text("ROLLBACK TRANSACTION TO SAVEPOINT mine"))
        await uow.initiatives.create(name="kept")
        await uow.session.execute(sa.text("RELEASE SAVEPOINT mine"))
    assert await stored(store) == (["kept"], [])


async def test_a_statement_of_many_units_sessions_is_compiled_once(store: Store) -> None:
    statement = sa.select(MARKS.c.id).where(MARKS.c.id == sa.bindparam("id"))
    contexts: list[Any] = []
    for _ in range(3):
        async with store.unit_of_work() as uow:
            result: Any = await uow.session.execute(statement, {"id": "a"})
            contexts.append(result.context)
    known = [context.cache_hit is CacheStats.CACHE_HIT for context in contexts]
    assert known == [False, True, True]
