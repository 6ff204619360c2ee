"""Stores that are only read, because that was asked for."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from builders import add_initiative
from cw_store import Initiative, ReadOnlyError, Store


@pytest.fixture
async def filled(lasting_database: str) -> AsyncIterator[tuple[str, Initiative]]:
    """The URL of a store, and the initiative that it holds."""
    async with Store(lasting_database) as store:
        initiative = await add_initiative(store)
    yield lasting_database, initiative


async def test_a_store_for_reading_reads_in_calls_and_units(
    filled: tuple[str, Initiative],
) -> None:
    url, initiative = filled
    async with Store(url, read_only=True) as store:
        assert await store.initiatives.find_by_id(initiative.id) == initiative
        for read_only in (True, False):
            async with store.unit_of_work(read_only=read_only) as uow:
                assert await uow.initiatives.find_all() == [initiative]
                assert (await uow.session.execute(text("SELECT 1"))).scalar_one() == 1
        assert (
            await asyncio.gather(*(store.initiatives.find_all() for _ in range(20)))
            == [[initiative]] * 20
        )


async def test_whatever_writes_is_refused_and_the_unit_goes_on(
    filled: tuple[str, Initiative],
) -> None:
    url, initiative = filled
    async with Store(url, read_only=True) as store:
        for write in (
            store.initiatives.create(name="x"),
            store.initiatives.update(initiative.id, name="x"),
            store.initiatives.delete(initiative.id),
            store.tasks.create_many([{"name": "x"}]),
            store.projects.set_initiative_projects(initiative.id, []),
            store.accounts.find_next_available(),
            store.pages.get_or_create_root_page(initiative.id),
            store.run(lambda uow: uow.initiatives.create(name="x")),
        ):
            with pytest.raises(ReadOnlyError):
                await write
        async with store.unit_of_work() as uow:
            with pytest.raises(ReadOnlyError, match=r"initiatives cannot be written: .* opened"):
                await uow.initiatives.create(name="x")
            assert await uow.initiatives.find_all() == [initiative]
        with pytest.raises(ReadOnlyError):
            async with store.unit_of_work() as uow:
                await uow.session.execute(text("DELETE FROM initiatives"))
    async with Store(url) as store:
        assert await store.initiatives.find_all() == [initiative]


async def test_a_store_for_reading_sees_what_others_commit(
    filled: tuple[str, Initiative],
) -> None:
    url, _ = filled
    async with Store(url, read_only=True) as reader:
        assert len(await reader.initiatives.find_all()) == 1
        for number in range(2, 5):
            async with Store(url) as writer:  # a file comes into use, and is left again
                await add_initiative(writer)
                assert len(await reader.initiatives.find_all()) == number
            async with reader.unit_of_work() as uow:
                assert len(await uow.initiatives.find_all()) == number


async def test_a_unit_reads_one_snapshot_while_another_begins_to_write(
    filled: tuple[str, Initiative],
) -> None:
    url, _ = filled
    async with Store(url, read_only=True) as reader, reader.unit_of_work(read_only=True) as uow:
        assert len(await uow.initiatives.find_all()) == 1
        async with Store(url) as writer:
            await add_initiative(writer)
            assert len(await uow.initiatives.find_all()) == 1
            assert len(await reader.initiatives.find_all()) == 2
    assert reader.connections_in_use == 0
