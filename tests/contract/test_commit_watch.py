"""Who watches for commits is told of all of them, whoever makes them, on the event loop."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from cw_store import Store
from cw_store.store import backend_of
from waits import until


class Watcher:
    """Counts how often it is told."""

    def __init__(self, store: Store) -> None:
        self.backend = backend_of(store)
        self.count = 0

    def told(self) -> None:
        asyncio.get_running_loop()
        self.count += 1

    async def begin(self) -> None:
        """Watch, until others are watched too."""
        self.backend.start_watching(self.told)
        await until(lambda: self.count > 0)


@pytest.fixture
async def watcher(store: Store) -> AsyncIterator[Watcher]:
    watcher = Watcher(store)
    await watcher.begin()
    yield watcher
    watcher.backend.stop_watching()


async def test_one_is_told_of_each_commit_of_the_store_before_it_is_answered(
    store: Store, watcher: Watcher
) -> None:
    before = watcher.count
    initiative = await store.initiatives.create(name="of a call")
    assert watcher.count > before
    before = watcher.count
    async with store.unit_of_work() as uow:
        await uow.initiatives.update(initiative.id, name="of a unit")
        await uow.commit()
        assert watcher.count > before
        before = watcher.count
        await uow.session.execute(sa.text("UPDATE initiatives SET name = 'of a session'"))
        await uow.session.commit()
        assert watcher.count > before
        await uow.initiatives.update(initiative.id, name="of the end")
        before = watcher.count
    assert watcher.count > before
