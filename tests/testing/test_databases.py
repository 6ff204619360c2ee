"""The databases of tests, whatever a test before has left of them."""

import pytest

from cw_store import Store, StoreError
from cw_store.testing.databases import MigratedDatabase
from databases import Fresh


async def test_a_transaction_that_was_left_open_is_told_of_and_keeps_nobody_waiting(
    new_server_database: Fresh,
) -> None:
    with MigratedDatabase(new_server_database(), busy_timeout=0.1) as database:
        async with Store(database.url) as store:
            task = await store.tasks.create(name="stored")
            uow = store.unit_of_work()
            await uow.__aenter__()
            await uow.tasks.update(task.id, name="locked")
            with pytest.raises(AssertionError, match="was left open"):
                database.empty()
            assert await store.tasks.find_all() == []
            with pytest.raises(StoreError):
                await uow.__aexit__(None, None, None)
            await store.tasks.create(name="another")
            database.empty()
            assert await store.tasks.find_all() == []
