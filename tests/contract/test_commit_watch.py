"""Who watches for commits is told of all of them, whoever makes them, on the event loop."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from cw_store import Store, StoreError
from cw_store.store import backend_of, terminate
from programs import environment
from waits import threads, until, until_idle

SOON = 3.0
"""Seconds within which one is told of others' commits by all but a look now and then."""


class Watcher:
    """Counts how often it is told, and in which loop."""

    def __init__(self, store: Store) -> None:
        self.backend = backend_of(store)
        self.count = 0

    def told(self) -> None:
        assert asyncio.get_running_loop()
        self.count += 1

    async def begin(self) -> None:
        """Watch, and return when others are watched too, and all until now was told."""
        self.backend.start_watching(self.told)
        await until(lambda: self.count > 0)

    @asynccontextmanager
    async def hears(self, seconds: float = SOON) -> AsyncGenerator[None]:
        """Do something, and return when it was told since it began."""
        before = self.count
        yield
        await until(lambda: self.count > before, seconds)

    async def a_while(self) -> int:
        """Let a few looks go by, and return how often it was told meanwhile."""
        loop, before = asyncio.get_running_loop(), self.count
        end = loop.time() + 0.15
        await until(lambda: loop.time() > end)
        return self.count - before


@pytest.fixture
async def watcher(store: Store) -> AsyncIterator[Watcher]:
    watcher = Watcher(store)
    await watcher.begin()
    await watcher.a_while()
    yield watcher
    watcher.backend.stop_watching()


async def test_one_is_told_of_each_commit_of_the_store_before_it_is_answered(
    store: Store, watcher: Watcher
) -> None:
    before = watcher.count
    initiative = await store.initiatives.create(name="of a call")
    assert watcher.count > before
    async with store.unit_of_work() as uow:
        await uow.initiatives.update(initiative.id, name="of a unit")
        before = watcher.count
        await uow.commit()
        assert watcher.count > before
        await uow.session.execute(sa.text("UPDATE initiatives SET name = 'of a session'"))
        before = watcher.count
        await uow.session.commit()
        assert watcher.count > before
        await uow.initiatives.update(initiative.id, name="of the end")
        before = watcher.count
    assert watcher.count > before


async def test_one_is_told_when_calls_share_a_commit(store: Store, watcher: Watcher) -> None:
    seen: list[int] = []

    async def create(name: str) -> None:
        await store.initiatives.create(name=name)
        seen.append(watcher.count)

    before = watcher.count
    await asyncio.gather(*(create(f"{number}") for number in range(5)))
    assert min(seen) > before


async def test_nobody_is_told_of_what_only_reads_or_is_not_stored(
    store: Store, watcher: Watcher
) -> None:
    await store.initiatives.find_all()
    async with store.unit_of_work(read_only=True) as uow:
        await uow.initiatives.find_all()
    with suppress(LookupError):
        async with store.unit_of_work() as uow:
            await uow.initiatives.create(name="undone")
            raise LookupError
    with pytest.raises(StoreError):
        await store.phases.create(initiative_id="missing", name="p")
    assert await watcher.a_while() == 0


async def test_one_is_told_of_what_another_store_commits(
    lasting_database: str, watcher: Watcher
) -> None:
    async with Store(lasting_database) as other:
        async with watcher.hears():
            initiative = await other.initiatives.create(name="of a call")
        await watcher.a_while()
        async with watcher.hears(), other.unit_of_work() as uow:
            await uow.initiatives.update(initiative.id, name="of a unit")


async def test_nobody_is_told_of_what_another_store_reads_or_undoes(
    lasting_database: str, watcher: Watcher
) -> None:
    async with Store(lasting_database) as other:
        await watcher.a_while()
        before = watcher.count
        await other.initiatives.find_all()
        with suppress(LookupError):
            async with other.unit_of_work() as uow:
                await uow.initiatives.create(name="undone")
                raise LookupError
        await watcher.a_while()
        assert watcher.count == before


PROGRAM = """
import asyncio, sys
from cw_store import Store

async def main():
    async with Store(sys.argv[1]) as store:
        for line in sys.stdin:
            await store.initiatives.create(name=line)

asyncio.run(main())
"""


async def test_one_is_told_of_each_commit_of_another_process(
    lasting_database: str, watcher: Watcher, tmp_path: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        lasting_database,
        stdin=asyncio.subprocess.PIPE,
        cwd=tmp_path,
        env=environment(),
    )
    assert process.stdin is not None
    for _ in range(20):
        async with watcher.hears(20):
            process.stdin.write(b"one more\n")
    process.stdin.close()
    assert await process.wait() == 0


@pytest.mark.store_settings(wakeups="poll")
async def test_one_is_told_too_where_the_server_is_asked_again_and_again(
    lasting_database: str, watcher: Watcher
) -> None:
    async with Store(lasting_database) as other:
        for _ in range(3):
            async with watcher.hears():
                await other.initiatives.create(name="of another")


async def test_nobody_is_told_any_more_after_the_stop(store: Store, watcher: Watcher) -> None:
    watcher.backend.stop_watching()
    watcher.backend.stop_watching()
    await store.initiatives.create(name="unheard")
    assert await watcher.a_while() == 0
    await watcher.begin()
    before = watcher.count
    await store.initiatives.create(name="heard")
    assert watcher.count > before


async def test_whoever_watches_last_is_the_one_who_is_told(store: Store, watcher: Watcher) -> None:
    second = Watcher(store)
    await second.begin()
    before = watcher.count
    await store.initiatives.create(name="a")
    assert second.count > 1
    assert watcher.count == before


async def test_one_may_stop_while_it_is_told(store: Store) -> None:
    backend = backend_of(store)
    told: list[None] = []

    def stop() -> None:
        told.append(None)
        backend.stop_watching()

    backend.start_watching(stop)
    await until(lambda: bool(told))
    backend.start_watching(stop)
    await store.initiatives.create(name="a")
    await store.initiatives.create(name="b")
    await until_idle()
    assert len(told) == 2


async def test_a_failure_of_who_is_told_reaches_nobody_and_is_logged(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise LookupError("of who is told")

    backend_of(store).start_watching(fail)
    created = await store.initiatives.create(name="a")
    assert await store.initiatives.find_all() == [created]
    async with store.unit_of_work() as uow:
        await uow.initiatives.create(name="b")
    assert uow.committed
    backend_of(store).stop_watching()
    assert "of who is told" in caplog.text


# What is left.


def _tasks() -> int:
    return len(asyncio.all_tasks())


def _nobody_works() -> bool:
    names = [thread.name for thread in threading.enumerate()]
    return _tasks() == 1 and not any(name.startswith("cw_store") for name in names)


def _descriptors() -> int:
    return len(os.listdir("/dev/fd"))


async def test_to_watch_leaves_no_task_no_thread_and_no_descriptor(store: Store) -> None:
    await store.initiatives.find_all()
    watcher = Watcher(store)
    for is_begun in (True, False, True):
        before = _tasks(), threads()
        if is_begun:
            await watcher.begin()
        else:
            watcher.backend.start_watching(watcher.told)
            await asyncio.sleep(0)
        assert store.connections_in_use == 0
        watcher.backend.stop_watching()
        await until(lambda before=before: (_tasks(), threads()) == before)
        watcher.count = 0


@pytest.mark.parametrize("rounds", [0, 1, 3, 10, 1000])
async def test_closing_a_store_ends_the_watch_whatever_it_is_doing(
    database: str, rounds: int
) -> None:
    async with Store(database) as store:
        await store.initiatives.find_all()
    await until(_nobody_works)
    before = _descriptors()
    store = await Store.open(database)
    watcher = Watcher(store)
    watcher.backend.start_watching(watcher.told)
    for _ in range(rounds):
        await asyncio.sleep(0)
    await store.close()
    told = watcher.count
    await until(lambda: _nobody_works() and _descriptors() <= before)
    assert watcher.count == told


def test_a_watch_goes_with_its_loop(database: str) -> None:
    before = threads()

    async def begin() -> Store:
        store = await Store.open(database)
        watcher = Watcher(store)
        await watcher.begin()
        return store

    loop = asyncio.new_event_loop()
    store = loop.run_until_complete(begin())
    loop.close()
    terminate(store)
    asyncio.run(until(lambda: threads() == before))


async def test_one_is_told_still_when_all_tasks_were_cancelled(
    lasting_database: str, store: Store
) -> None:
    watcher = Watcher(store)
    watcher.backend.start_watching(watcher.told)
    await asyncio.sleep(0)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await until(lambda: watcher.count > 0)
    await watcher.a_while()
    async with Store(lasting_database) as other:
        await other.initiatives.create(name="a")
        await until(lambda: watcher.count > 1)
    watcher.backend.stop_watching()


def wait_for(child: int) -> None:
    os.waitpid(child, 0)


async def test_a_forked_child_leaves_the_watch_to_its_parent(
    lasting_database: str, store: Store, watcher: Watcher
) -> None:
    child = os.fork()
    if child == 0:
        try:
            await store.__aexit__(SystemExit, SystemExit(), None)
        finally:
            os._exit(0)
    wait_for(child)
    async with Store(lasting_database) as other, watcher.hears():
        await other.initiatives.create(name="a")
