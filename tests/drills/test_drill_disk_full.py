"""A full disk: SQLite rolls back by itself, and whoever goes on must not store a half."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import sqlalchemy as sa
from drill import Drill, add_pair, integrity, rows_by_key, torn, write_unit
from sqlalchemy.exc import DBAPIError

from cw_store import Store, StoreError, UnitOfWork, UnitOfWorkError
from cw_store.backends.sqlite.backend import SqliteBackend
from cw_store.store import backend_of

BIG = "x" * 40_000


async def limit(store: Store, pages: int) -> None:
    """Give the file this many pages more than it has; below zero, all there are."""
    backend = backend_of(store)
    assert isinstance(backend, SqliteBackend)
    raw = backend.writer.connection.raw

    def set_limit() -> None:
        (now,) = raw.execute("PRAGMA page_count").fetchone()
        raw.execute(f"PRAGMA max_page_count = {now + pages if pages >= 0 else 2**31}")

    await backend.writer.connection.run(set_limit)


@asynccontextmanager
async def nearly_full(store: Store, pages: int) -> AsyncGenerator[None]:
    await limit(store, pages)
    yield
    await limit(store, -1)


async def by_repository(uow: UnitOfWork) -> None:
    await uow.log_chunks.insert_chunk("half", "drill", 1, BIG * 10)


async def by_session(uow: UnitOfWork) -> None:
    await uow.session.execute(
        sa.text("UPDATE initiatives SET name = name || :big"), {"big": BIG * 10}
    )


async def by_many_rows(uow: UnitOfWork) -> None:
    row = {"agent_id": "half", "agent_name": "drill", "session_number": 1, "content": BIG}
    await uow.log_chunks.insert_chunks([row] * 10)  # pyright: ignore[reportArgumentType]


async def in_a_savepoint(uow: UnitOfWork) -> None:
    async with uow.savepoint():
        await uow.log_chunks.insert_chunk("half", "drill", 1, BIG * 10)


Fill = Callable[[UnitOfWork], Awaitable[None]]


@pytest.mark.parametrize("fill", [by_repository, by_session, by_many_rows, in_a_savepoint])
async def test_an_error_of_a_full_disk_that_is_caught_stores_no_half(
    file: str, drill: Drill, fill: Fill
) -> None:
    async with Store(file) as store:
        await store.initiatives.create(name="before")
        for number in range(drill.amount(3, 30)):
            async with nearly_full(store, 5):
                uow = store.unit_of_work()
                with pytest.raises(UnitOfWorkError):
                    async with uow:
                        await uow.log_chunks.insert_chunk("half", "drill", 1, "{}")
                        with pytest.raises((StoreError, DBAPIError)):
                            await fill(uow)
                        try:
                            await uow.log_chunks.insert_chunk("half", "drill", 2, "{}")
                        except StoreError:
                            pass  # an application that catches everything and goes on
                assert uow.committed is False
                assert "half" not in await rows_by_key(store)
                await write_unit(store, f"next, still full {number}")
            await write_unit(store, f"next {number}")
        rows = await rows_by_key(store)
        assert torn(rows) == []
        assert "half" not in rows and len(rows) == 2 * drill.amount(3, 30)
        await integrity(store)
        assert store.connections_in_use == 0
    drill.held(f"{drill.amount(3, 30)} times; nothing of the unit stored, the next one works")


async def test_a_commit_that_finds_the_disk_full_stores_no_half(file: str, drill: Drill) -> None:
    async with Store(file) as store:
        async with nearly_full(store, 5):
            with pytest.raises(StoreError):
                async with store.unit_of_work() as uow:
                    for number in range(100):
                        await add_pair(uow, f"{number}")
                        await uow.log_chunks.insert_chunk("big", "drill", number, BIG)
        assert await rows_by_key(store) == {}
        await write_unit(store, "next")
    drill.held("nothing stored, the next unit works")


async def test_calls_that_share_a_commit_on_a_full_disk_are_each_answered(
    file: str, drill: Drill
) -> None:
    stored = refused = 0
    async with Store(file) as store:
        for round in range(drill.amount(3, 30)):
            async with nearly_full(store, 50):

                async def call(number: int, round: int = round) -> str | None:
                    key = f"{round}/{number}"
                    content = BIG if number % 3 else "{}"
                    row = {"agent_id": key, "agent_name": "drill", "content": content}
                    rows = [{**row, "session_number": 1}, {**row, "session_number": 2}]
                    try:
                        await store.log_chunks.insert_chunks(rows)  # pyright: ignore
                    except StoreError as error:
                        assert isinstance(error.__cause__, sqlite3.Error) or error.__cause__ is None
                        return None
                    return key

                outcomes = await asyncio.gather(*(call(number) for number in range(60)))
                singles = await asyncio.gather(
                    *(
                        store.log_chunks.insert_chunk(f"single/{round}/{n}", "drill", 1, BIG)
                        for n in range(40)
                    ),
                    return_exceptions=True,
                )
                assert all(isinstance(one, StoreError) for one in singles if not _is_chunk(one))
            rows = await rows_by_key(store)
            single_rows = {key for key in rows if key.startswith(f"single/{round}/")}
            assert len(single_rows) == sum(_is_chunk(one) for one in singles)
            there = {key for key in rows if key.startswith(f"{round}/")}
            assert there == {key for key in outcomes if key is not None}
            assert all(rows[key] == 2 for key in there), "torn"
            stored += len(there) + len(single_rows)
            refused += 100 - len(there) - len(single_rows)
        assert stored and refused
        await integrity(store)
        assert store.connections_in_use == 0
    drill.held(f"{stored} stored, {refused} refused, each was told so")


def _is_chunk(outcome: object) -> bool:
    return not isinstance(outcome, BaseException)
