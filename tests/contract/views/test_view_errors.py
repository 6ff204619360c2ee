"""What a view raises when it cannot be read, and what it leaves behind then: nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text

from builders import add_account, add_agent, add_initiative, add_task
from cw_store import InvalidValueError, Store, StoreClosedError, StoreError
from cw_store.store import backend_of
from cw_store.testing.stores import all_given_back
from cw_store.views import agent, board, graph, inbox, search, timeline

VIEWS: dict[str, Callable[[Any, Any], Awaitable[Any]]] = {
    "inbox": lambda source, id: inbox(source, initiative_id=id),
    "board": board,
    "graph": graph,
    "timeline": timeline,
    "agent": agent,
    "search": search,
}


@pytest.mark.parametrize("view", VIEWS)
async def test_a_closed_store_says_so(database: str, view: str) -> None:
    store = await Store.open(database)
    await store.close()
    with pytest.raises(StoreClosedError):
        await VIEWS[view](store, "an-id")


@pytest.mark.parametrize("wrong", ["", "a\0b", "\ud800", 5, b"a"], ids=repr)
@pytest.mark.parametrize("view", VIEWS)
async def test_what_cannot_be_an_id_is_refused(store: Store, view: str, wrong: Any) -> None:
    with pytest.raises(InvalidValueError):
        await VIEWS[view](store, wrong)


LIMITED: dict[str, Callable[[Store, int], Awaitable[Any]]] = {
    "inbox": lambda store, limit: inbox(store, limit=limit),
    "board": lambda store, limit: board(store, cards=limit),
    "timeline": lambda store, limit: timeline(store, "one", limit=limit),
    "agent": lambda store, limit: agent(store, "one", limit=limit),
    "search": lambda store, limit: search(store, "text", limit=limit),
    "rows of a search": lambda store, limit: search(store, "text", row_limit=limit),
}


@pytest.mark.parametrize("view", LIMITED)
async def test_a_limit_that_no_database_takes_is_refused(store: Store, view: str) -> None:
    initiative = await add_initiative(store, id="one")
    await add_task(store, initiative_id=initiative.id, status="completed")
    await add_agent(store, id="one", initiative_id=initiative.id)
    await LIMITED[view](store, 2**62 - 1)
    for wrong in (2**62, 10**30):
        with pytest.raises(InvalidValueError, match="62 bits"):
            await LIMITED[view](store, wrong)


@pytest.mark.parametrize("view", VIEWS)
async def test_whoever_gives_up_leaves_nothing_behind(store: Store, view: str) -> None:
    initiative = await add_initiative(store, id="one")
    await add_agent(store, id="one", initiative_id=initiative.id)
    for step in range(12):
        looking = asyncio.ensure_future(VIEWS[view](store, "one"))
        for _ in range(step):
            await asyncio.sleep(0)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    await all_given_back(store)
    await VIEWS[view](store, "one")


async def test_a_value_that_another_program_wrote_is_an_error_of_the_store(store: Store) -> None:
    if backend_of(store).dialect.name != "sqlite":
        pytest.skip("the server takes nothing that is not of the column's type")
    task = await add_task(store, status="blocked")
    async with store.unit_of_work() as uow:
        await uow.session.execute(text("UPDATE tasks SET updated_at = 'yesterday'"))
    for look in (inbox, board):
        with pytest.raises(StoreError, match="cannot be read") as refused:
            await look(store)
        assert isinstance(refused.value.__cause__, ValueError)
    async with store.unit_of_work() as uow:
        await uow.session.execute(text("UPDATE tasks SET updated_at = 0"))
    assert (await inbox(store)).items[0].id == task.id


async def test_no_secret_is_read(database: str) -> None:
    from cryptography.fernet import Fernet

    if database == ":memory:":
        pytest.skip("no other store can be on it")
    async with Store(database, encryption_keys=[Fernet.generate_key()]) as store:
        await add_account(store, credentials="secret", is_exhausted=True)
    async with Store(database, encryption_keys=[Fernet.generate_key()]) as store:
        assert (await inbox(store)).total == 1
        (account,) = (await board(store)).accounts
        assert account.state == "exhausted" and "secret" not in repr(account)
