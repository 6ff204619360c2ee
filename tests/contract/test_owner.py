"""A store, and what it gave out, used elsewhere than where it was opened."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa

from cw_store import Store, StoreClosedError, StoreError, UnitOfWork

Use = Callable[[], Awaitable[Any]]


def in_a_child(use: Use) -> str:
    """Begin to await it in a forked process, and return the error's name, or how it went on."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            use().__await__().send(None)
            answer = "waits"
        except StopIteration:
            answer = "returned"
        except BaseException as error:
            answer = type(error).__name__
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


def wait_for(child: int) -> None:
    os.waitpid(child, 0)


def in_another_loop(use: Use) -> str:
    """Await it in a thread of its own, and return the error's name."""
    answers: list[str] = []

    async def attempt() -> None:
        try:
            async with asyncio.timeout(5):
                await use()
            answers.append("returned")
        except BaseException as error:
            answers.append(type(error).__name__)

    thread = threading.Thread(target=lambda: asyncio.run(attempt()))
    thread.start()
    thread.join()
    return answers[0]


@pytest.fixture
async def opened(store: Store) -> AsyncIterator[UnitOfWork]:
    """A unit of work in the midst of its work, which ends well after the test."""
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="before")
        await uow.session.execute(sa.text("SELECT 1"))
        yield uow
        async with uow.savepoint():
            await uow.initiatives.create(name="after")
        await uow.session.execute(sa.text("SELECT 1"))
    assert uow.committed is True
    found = [initiative.name for initiative in await store.initiatives.find_all()]
    assert found == ["before", "after"]


USES: dict[str, Callable[[UnitOfWork], Awaitable[Any]]] = {
    "find": lambda uow: uow.initiatives.find_all(),
    "create": lambda uow: uow.initiatives.create(name="elsewhere"),
    "create_many": lambda uow: uow.tasks.create_many([{"name": "elsewhere"}]),
    "compound": lambda uow: uow.tasks.create_dependency("a", "b"),
    "commit": lambda uow: uow.commit(),
    "rollback": lambda uow: uow.rollback(),
    "savepoint": lambda uow: uow.savepoint().__aenter__(),
    "end": lambda uow: uow.__aexit__(None, None, None),
    "session_commit": lambda uow: uow.session.commit(),
}


@pytest.mark.parametrize("elsewhere", [in_a_child, in_another_loop])
@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_an_open_unit_is_refused_elsewhere_and_unharmed_where_it_belongs(
    opened: UnitOfWork,
    use: Callable[[UnitOfWork], Awaitable[Any]],
    elsewhere: Callable[[Use], str],
) -> None:
    async def attempt() -> None:
        await use(opened)

    assert elsewhere(attempt) == StoreClosedError.__name__


SESSION_USES: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "execute": lambda session: session.execute(sa.text("SELECT 1")),
    "connection": lambda session: session.connection(),
    "commit": lambda session: session.commit(),
    "rollback": lambda session: session.rollback(),
    "close": lambda session: session.close(),
    "begin": lambda session: session.begin().__aenter__(),
    "begin_nested": lambda session: session.begin_nested().__aenter__(),
}


@pytest.mark.parametrize("elsewhere", [in_a_child, in_another_loop])
@pytest.mark.parametrize("use", SESSION_USES.values(), ids=SESSION_USES)
async def test_the_session_of_an_open_unit_is_refused_elsewhere(
    opened: UnitOfWork, use: Callable[[Any], Awaitable[Any]], elsewhere: Callable[[Use], str]
) -> None:
    session = opened.session
    assert elsewhere(lambda: use(session)) == StoreClosedError.__name__


@pytest.mark.parametrize("of_unit", [True, False])
async def test_a_stream_is_refused_elsewhere_though_it_holds_rows(
    store: Store, of_unit: bool
) -> None:
    for _ in range(3):
        await store.log_chunks.insert_chunk("a", "agent", 1, "text")
    async with store.unit_of_work(read_only=True) as uow:
        stream = (uow if of_unit else store).log_chunks.stream_by_agent_id("a")
        await anext(stream)
        assert in_another_loop(lambda: anext(stream)) == StoreClosedError.__name__


async def test_a_forked_child_that_raises_in_the_block_leaves_the_unit_to_its_parent(
    database: str,
) -> None:
    async with Store(database) as store:
        async with store.unit_of_work() as uow:
            await uow.initiatives.create(name="before")
            child = os.fork()
            if child == 0:
                try:
                    await uow.__aexit__(SystemExit, SystemExit(), None)
                    await store.__aexit__(SystemExit, SystemExit(), None)
                finally:
                    os._exit(0)
            wait_for(child)
            await uow.initiatives.create(name="after")
        assert uow.committed is True
        assert len(await store.initiatives.find_all()) == 2


async def test_a_unit_whose_loop_is_gone_is_refused_in_the_next(database: str) -> None:
    async def begin() -> tuple[Store, UnitOfWork]:
        store = await Store.open(database)
        return store, await store.unit_of_work(read_only=True).__aenter__()

    loop = asyncio.new_event_loop()
    store, uow = await asyncio.to_thread(loop.run_until_complete, begin())
    with pytest.raises(StoreClosedError, match="another event loop"):
        await uow.initiatives.find_all()
    await asyncio.to_thread(loop.run_until_complete, store.close())
    loop.close()


def test_without_asyncio_it_is_said_that_asyncio_is_missing() -> None:
    opening = Store(":memory:").__aenter__()
    with pytest.raises(StoreError, match=r"asyncio\.run"):
        opening.send(None)
    entering = UnitOfWork().__aenter__()
    with pytest.raises(StoreError, match=r"asyncio\.run"):
        entering.send(None)
