"""The one method that every commit on SQLite comes past."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from builders import add_initiative
from cw_store import AlreadyExistsError, Store, StoreBusyError, UnreadableError
from cw_store.store import backend_of
from waits import until_idle


@pytest.fixture
async def commits(store: Store) -> AsyncGenerator[list[str]]:
    """What was stored, as another connection sees it, at each commit that the store knows of."""
    backend: Any = backend_of(store)
    note = backend.writer.note_commit
    other = sqlite3.connect(backend.path)
    noted: list[str] = []

    def note_commit() -> None:
        found = other.execute("SELECT name FROM initiatives ORDER BY name").fetchall()
        noted.append(" ".join(name for (name,) in found))
        note()

    backend.writer.note_commit = note_commit
    yield noted
    other.close()


async def test_a_call_is_noted_once_it_is_stored(store: Store, commits: list[str]) -> None:
    await add_initiative(store, name="a")
    await add_initiative(store, name="b")
    assert commits == ["a", "a b"]


async def test_what_reads_or_fails_is_not_noted(store: Store, commits: list[str]) -> None:
    first = await add_initiative(store, name="a")
    await store.initiatives.find_all()
    with pytest.raises(AlreadyExistsError):
        await store.initiatives.create(id=first.id, name="b")
    assert commits == ["a"]


async def test_a_row_that_is_stored_and_cannot_be_read_is_noted(
    store: Store, commits: list[str]
) -> None:
    first = await add_initiative(store, name="a")
    async with store.unit_of_work() as uow:
        await uow.session.execute(sa.text("UPDATE initiatives SET created_at = 'no time'"))
    with pytest.raises(UnreadableError):
        await store.initiatives.update(first.id, name="b")
    assert commits[-1] == "b"


async def test_a_unit_is_noted_at_each_commit_and_its_rollback_is_not(
    store: Store, commits: list[str]
) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="a")
        await uow.commit()
        await uow.initiatives.create(name="lost")
        await uow.rollback()
        await uow.session.execute(sa.text("UPDATE initiatives SET name = 'b'"))
    assert commits == ["a", "b"]


async def test_a_group_is_noted_once_in_the_order_of_the_commits(
    store: Store, commits: list[str]
) -> None:
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="a")
        tasks = [asyncio.create_task(add_initiative(store, name=name)) for name in ("b", "c")]
        await until_idle()
    await asyncio.gather(*tasks)
    assert commits[-1] == "a b c"
    assert len(commits) == 2


async def test_what_the_lock_refused_is_not_noted(path: Path) -> None:
    async with Store(path, busy_timeout=0.02) as store:
        backend: Any = backend_of(store)
        noted: list[None] = []
        backend.writer.note_commit = lambda: noted.append(None)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError):
            await add_initiative(store)
        assert noted == []
        other.execute("ROLLBACK")
        other.close()
        await add_initiative(store)
        assert noted == [None]
