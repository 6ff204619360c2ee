"""Which commits pass through the one method where somebody can be told of them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from cw_store import (
    InvalidValueError,
    NewLogChunk,
    OutcomeUnknownError,
    Store,
    StoreError,
    UnreadableError,
)
from cw_store.store import backend_of
from postgres_proxy import Proxy

CHUNK: NewLogChunk = {
    "agent_id": "a",
    "agent_name": "otter",
    "session_number": 1,
    "content": "x",
}


def commits(store: Store) -> int:
    """How many commits the backend took note of."""
    backend: Any = backend_of(store)
    return backend.commits


@pytest.fixture
async def proxy(migrated_server: str) -> AsyncIterator[Proxy]:
    """A proxy in front of the server; the test's rows are gone afterwards."""
    async with Proxy(migrated_server) as proxy:
        yield proxy
    for table in ("initiatives", "agent_log_chunks"):
        await proxy.empty(table)


@pytest.fixture
async def store(proxy: Proxy) -> AsyncIterator[Store]:
    """A store behind the proxy."""
    async with Store(proxy.url, busy_timeout=5) as store:
        yield store
        assert store.connections_in_use == 0


async def test_every_commit_is_noted_once(store: Store) -> None:
    one = await store.initiatives.create(name="one")
    assert commits(store) == 1
    await store.initiatives.update(one.id, name="two")
    assert commits(store) == 2
    await store.log_chunks.insert_chunks([CHUNK] * 3)
    assert commits(store) == 3
    await store.projects.set_initiative_projects(one.id, [])
    assert commits(store) == 4
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="three")
        await uow.initiatives.create(name="four")
        assert commits(store) == 4
        await uow.commit()
        assert commits(store) == 5
        await uow.session.execute(sa.text("UPDATE initiatives SET name = 'five'"))
        await uow.session.commit()
        assert commits(store) == 6
        await uow.initiatives.delete(one.id)
    assert commits(store) == 7


async def test_what_only_reads_or_is_not_stored_is_noted_by_nobody(store: Store) -> None:
    await store.initiatives.find_all()
    async with store.unit_of_work(read_only=True) as uow:
        await uow.initiatives.find_all()
    with pytest.raises(InvalidValueError):
        await store.initiatives.create(name="\0")
    with pytest.raises(StoreError):
        await store.phases.create(initiative_id="missing", name="p")
    with pytest.raises(LookupError):
        async with store.unit_of_work() as uow:
            await uow.initiatives.create(name="undone")
            raise LookupError
    async with store.unit_of_work():
        pass
    assert commits(store) == 0


async def test_a_commit_of_which_nobody_knows_is_noted(store: Store, proxy: Proxy) -> None:
    proxy.cut_instead_of_answer("of a call")
    with pytest.raises(OutcomeUnknownError):
        await store.initiatives.create(name="of a call")
    assert commits(store) == 1
    with pytest.raises(OutcomeUnknownError):
        async with store.unit_of_work() as uow:
            await uow.initiatives.create(name="of a unit")
            proxy.cut_instead_of_answer("COMMIT\0")
    assert commits(store) == 2


async def test_a_call_that_was_cancelled_may_be_stored_and_is_noted(
    store: Store, proxy: Proxy
) -> None:
    await store.initiatives.find_all()
    proxy.hold_answer("cancelled")
    task = asyncio.create_task(store.initiatives.create(name="cancelled"))
    await proxy.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert commits(store) == 1
    proxy.answer()


async def test_a_change_whose_row_cannot_be_read_is_noted(store: Store) -> None:
    initiative = await store.initiatives.create(name="one")
    async with store.unit_of_work() as uow:
        await uow.session.execute(
            sa.text("UPDATE initiatives SET created_at = '20000-01-01' WHERE id = :id"),
            {"id": initiative.id},
        )
    assert commits(store) == 2
    with pytest.raises(UnreadableError):
        await store.initiatives.update(initiative.id, name="two")
    assert commits(store) == 3
