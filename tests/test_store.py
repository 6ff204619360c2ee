"""Opening and closing a store: where, with what, by whom, and what can go wrong."""

import asyncio
import os
import sqlite3
import stat
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from builders import add_initiative
from cw_store import Store, StoreClosedError, StoreError, UnitOfWork, ensure_schema
from cw_store.location import ENVIRONMENT_VARIABLE
from programs import run_program


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has an empty working directory and no store of the machine's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    return tmp_path


@pytest.fixture
def path(folder: Path, migrated_file: Path) -> Path:
    """A database that is up to date, outside of the working directory."""
    path = folder / "elsewhere" / "there.db"
    path.parent.mkdir()
    path.write_bytes(migrated_file.read_bytes())
    return path


def files(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if file.is_file()}


def modes(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


def copied(path: Path, target: Path) -> Path:
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(path.read_bytes())
    return target


# Where.

FORMS = [
    ("cw.db", "cw.db"),
    ("./a b%20ü.db", "a b%20ü.db"),
    (Path("cw.db"), "cw.db"),
    ("sqlite:///cw.db", "cw.db"),
    ("sqlite+aiosqlite:///cw.db", "cw.db"),
    ("sqlite:///sub/cw.db", "sub/cw.db"),
    (None, "cw.db"),
]


@pytest.mark.parametrize(("url", "expected"), FORMS)
async def test_a_path_or_url_opens_this_file(
    folder: Path, path: Path, url: str | Path | None, expected: str
) -> None:
    copied(path, folder / expected)
    async with Store(url) as store:
        await add_initiative(store)
        assert store.url == str(folder / expected)
    with sqlite3.connect(folder / expected) as other:
        assert other.execute("SELECT count(*) FROM initiatives").fetchone() == (1,)
    other.close()


async def test_an_absolute_url_opens_this_file(path: Path) -> None:
    for url in (f"sqlite:///{path}", f"sqlite+aiosqlite:///{path}", str(path), path):
        async with Store(url, migrate=False) as store:
            assert store.url == str(path)


async def test_without_a_url_the_environment_decides(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(path))
    async with Store() as store:
        assert store.url == str(path)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "")
    assert Store().url == str(path.parents[1] / "cw.db")


async def test_the_working_directory_counts_when_the_store_is_made(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    store = Store("there.db", migrate=False)
    monkeypatch.chdir(folder)
    async with store:
        assert await store.initiatives.find_all() == []


@pytest.mark.parametrize(
    "url", ["", "mysql://host/db", "://", "sqlite3:///x", "http://x", "a b://"]
)
def test_a_url_that_leads_nowhere_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError):
        Store(url)


# With what.


def test_an_unknown_setting_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="nonsense"):
        Store("cw.db", nonsense=1)  # pyright: ignore[reportCallIssue] -- on purpose
    with pytest.raises(TypeError):
        Store("cw.db", False)  # pyright: ignore[reportCallIssue] -- settings have names


async def test_an_unknown_setting_is_a_type_error_of_open_too(folder: Path) -> None:
    with pytest.raises(TypeError, match="nonsense"):
        await Store.open("cw.db", nonsense=1)  # pyright: ignore[reportCallIssue] -- on purpose
    assert files(folder) == set()


@pytest.mark.parametrize(
    "settings",
    [
        {"synchronous": "OFF"},
        {"synchronous": "normal"},
        {"wakeups": "listen"},
        {"readers": 0},
        {"pool_size": 0},
        {"max_text_bytes": 0},
        {"busy_timeout": -1},
        {"busy_timeout": float("nan")},
        {"encryption_keys": ["no key"]},
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_is_a_value_error(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Store("cw.db", **settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "4") for name in ("readers", "pool_size", "max_text_bytes", "busy_timeout")),
        *((name, True) for name in ("readers", "busy_timeout")),
        ("busy_timeout", None),
        *((name, "false") for name in ("migrate", "pin_threads", "read_only")),
    ],
)
def test_a_setting_of_another_type_is_a_type_error_that_names_it(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"^{name} .*{type(value).__name__}"):
        Store("cw.db", **{name: value})


@pytest.mark.parametrize(("synchronous", "level"), [("NORMAL", 1), ("FULL", 2)])
async def test_synchronous_reaches_the_database(path: Path, synchronous: Any, level: int) -> None:
    async with Store(path, synchronous=synchronous) as store, store.unit_of_work() as uow:
        connection = await uow.session.connection()
        found = await connection.exec_driver_sql("PRAGMA synchronous")
        assert found.scalar_one() == level


async def test_open_and_close_do_what_the_block_does(path: Path) -> None:
    store = await Store.open(path, readers=1)
    created = await add_initiative(store)
    await store.close()
    await store.close()
    async with Store(path) as store:
        assert await store.initiatives.find_all() == [created]


async def test_a_store_is_opened_once(path: Path) -> None:
    store = Store(path)
    async with store:
        with pytest.raises(StoreClosedError, match="once"):
            await store.__aenter__()
        assert await store.initiatives.find_all() == []
    with pytest.raises(StoreClosedError, match="once"):
        await store.__aenter__()


async def test_two_stores_of_one_process_may_share_a_file(path: Path) -> None:
    async with Store(path) as one, Store(path) as other:
        await asyncio.gather(*(add_initiative(store) for store in (one, other) * 20))
        assert len(await one.initiatives.find_all()) == 40
        assert await one.initiatives.find_all() == await other.initiatives.find_all()


# Memory.


async def test_memory_is_private_and_gone_with_its_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with Store(":memory:") as one, Store("sqlite://") as other:
        await add_initiative(one)
        assert len(await one.initiatives.find_all()) == 1
        assert await other.initiatives.find_all() == []
        assert one.url == ":memory:"
        assert list(modes(tmp_path).values()) == [0o700, 0o700]
    assert modes(tmp_path) == {}


async def test_memory_that_could_not_be_opened_is_gone_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(StoreError):
        await Store.open(":memory:", migrate=False)
    assert modes(tmp_path) == {}


# Permissions.


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.usefixtures("umask")
async def test_only_its_owner_can_read_what_is_stored(folder: Path) -> None:
    async with Store("cw.db") as store:
        await add_initiative(store)
        found = modes(folder)
    assert found == {f"cw.db{end}": 0o600 for end in ("", "-wal", "-shm", "-turns")}


# Closed, another loop, another process.


async def test_a_store_that_is_not_open_says_so(folder: Path) -> None:
    store = Store("cw.db")
    with pytest.raises(StoreClosedError, match="not open"):
        await store.initiatives.find_all()
    with pytest.raises(StoreClosedError, match="not open"):
        async with store.unit_of_work():
            pass
    await store.close()
    assert files(folder) == set()


async def test_a_store_that_was_closed_says_so(path: Path) -> None:
    async with Store(path) as store:
        pass
    for use in (
        store.initiatives.find_all(),
        store.initiatives.create(name="a"),
        store.tasks.create_many([{"name": "a"}]),
        store.tasks.create_dependency("a", "b"),
        store.unit_of_work().__aenter__(),
        store.unit_of_work(read_only=True).__aenter__(),
    ):
        with pytest.raises(StoreClosedError, match="closed"):
            await use
    assert store.connections_in_use == 0


async def test_a_store_in_another_loop_says_so(path: Path) -> None:
    async with Store(path) as store:

        async def use() -> list[str]:
            outcomes = await asyncio.gather(
                store.initiatives.find_all(),
                add_initiative(store),
                store.tasks.create_dependency("a", "b"),
                store.unit_of_work().__aenter__(),
                store.close(),
                return_exceptions=True,
            )
            return [f"{type(one).__name__}: {one}" for one in outcomes]

        async with asyncio.timeout(10):
            told = await asyncio.to_thread(lambda: asyncio.run(use()))
        assert told == [
            "StoreClosedError: the store was opened in another event loop; open one here"
        ] * len(told)
        assert await store.initiatives.find_all() == [], "its own loop can go on with it"


FORKED = """
import asyncio, os, sys, time
from cw_store import Store, StoreClosedError

async def main():
    async with Store(sys.argv[1]) as store:
        await store.initiatives.find_all()
        child = os.fork()
        if child == 0:
            begun = time.monotonic()  # half a minute is how long they would wait for others
            told = []
            for use in (
                lambda: store.initiatives.find_all(),
                lambda: store.initiatives.create(name="a"),
                lambda: store.unit_of_work().__aenter__(),
                lambda: store.close(),
            ):
                try:
                    await use()
                except StoreClosedError as error:
                    told.append("another process" in str(error))
            os._exit(0 if told == [True] * 4 and time.monotonic() - begun < 5 else 1)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status))
        await store.initiatives.create(name="the parent goes on")
        print(len(await store.initiatives.find_all()))

asyncio.run(main())
"""


def test_a_store_in_a_forked_child_says_so_at_once(path: Path) -> None:
    done = run_program(FORKED, path, cwd=path.parent, timeout=10)
    assert done.stdout.split() == ["0", "1"], done.stderr


FORKED_AND_OPENED = """
import asyncio, os, sys
from cw_store import Store, StoreError

ready, parent_closed = os.pipe(), os.pipe()

async def parent():
    store = await Store.open(sys.argv[1])
    await store.initiatives.create(name="parent")
    child = os.fork()
    if child:
        os.read(ready[0], 1)
        await store.close()
        os.write(parent_closed[1], b"x")
    return child

async def child():
    stored = []
    try:
        async with Store(sys.argv[1]) as store:
            stored.append(await store.initiatives.create(name="before"))
            os.write(ready[1], b"x")
            os.read(parent_closed[0], 1)
            stored.append(await store.initiatives.create(name="after"))
    except StoreError as error:
        print(type(error).__name__, flush=True)
        os.write(ready[1], b"x")
    print(len(stored), flush=True)

forked = asyncio.new_event_loop().run_until_complete(parent())
if not forked:
    asyncio.run(child())
    sys.stdout.flush()
    os._exit(0)
os.waitpid(forked, 0)

async def count():
    async with Store(sys.argv[1]) as store:
        print(len(await store.initiatives.find_all()) - 1)

asyncio.run(count())
"""


def test_a_store_opened_in_a_forked_child_loses_nothing(path: Path) -> None:
    # SQLite's memory of its locks is copied by fork, the locks are not ("How To Corrupt An SQLite
    # Database File"). A clear refusal to open is good too; a broken file is not.
    done = run_program(FORKED_AND_OPENED, path, cwd=path.parent, timeout=10)
    told = done.stdout.split()
    assert told in (["2", "2"], ["StoreClosedError", "0", "0"]), done.stdout + done.stderr


# The end of a store.


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("cw_store-")}


async def test_closing_ends_every_thread(path: Path) -> None:
    before = threads()
    async with Store(path) as store:
        await asyncio.gather(*(store.initiatives.find_all() for _ in range(20)))
        own = threads() - before
        assert len(own) == 1 + 4  # it writes, reads; for checkpoints there is no need yet
    for thread in own:
        await asyncio.to_thread(thread.join, 5)
    assert not threads() & own


async def test_closing_is_finished_even_when_it_is_cancelled(path: Path) -> None:
    before = threads()
    store = await Store.open(path)
    await asyncio.gather(*(store.initiatives.find_all() for _ in range(20)))
    own = threads() - before
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    for thread in own:
        await asyncio.to_thread(thread.join, 2)
    assert not threads() & own


async def test_opening_that_is_cancelled_leaves_nothing_open(path: Path) -> None:
    before = threads()
    for steps in range(0, 400, 10):
        opening = asyncio.create_task(Store.open(path))
        for _ in range(steps):
            if not opening.done():
                await asyncio.sleep(0)
        opening.cancel()
        (outcome,) = await asyncio.gather(opening, return_exceptions=True)
        if isinstance(outcome, Store):
            await outcome.close()
    for thread in threads() - before:
        await asyncio.to_thread(thread.join, 2)
    assert not threads() - before


UNDISPOSED = """
import asyncio, sys
from cw_store import Store

async def main():
    store = await Store.open(sys.argv[1])
    await store.initiatives.create(name="kept")
    await store.initiatives.find_all()

asyncio.run(main())
"""


def test_a_store_that_nobody_closed_does_not_keep_the_program_from_ending(path: Path) -> None:
    done = run_program(UNDISPOSED, path, cwd=path.parent, timeout=10)
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT count(*) FROM initiatives").fetchone() == (1,)
    other.close()


# The default store.

STRICT = ("-X", "dev", "-W", "error")

TWICE = """
import asyncio, threading
from cw_store import UnitOfWork

async def main():
    async with UnitOfWork() as uow:
        await uow.initiatives.create(name="a")
    async with UnitOfWork(read_only=True) as uow:
        return len(await uow.initiatives.find_all())

print(asyncio.run(main()))
print(sum("worker" in thread.name for thread in threading.enumerate()))
print(asyncio.run(main()))
"""


def test_the_default_store_works_in_one_asyncio_run_after_another(folder: Path) -> None:
    done = run_program(TWICE, cwd=folder, options=STRICT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["1", "0", "2"]
    assert (folder / "cw.db").exists()
    assert not (folder / "cw.db-wal").exists(), "it was closed with the loop"


LEFT = """
import asyncio
from cw_store import UnitOfWork

async def main():
    uow = UnitOfWork()
    await uow.__aenter__()
    await uow.initiatives.create(name="never committed")

loop = asyncio.new_event_loop()
loop.run_until_complete(main())
"""


def test_a_default_store_left_open_does_not_keep_the_program_from_ending(folder: Path) -> None:
    done = run_program(LEFT, cwd=folder, timeout=10)
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(folder / "cw.db", timeout=0) as other:
        assert other.execute("SELECT count(*) FROM initiatives").fetchone() == (0,)
    other.close()


def test_a_default_store_whose_loop_was_just_closed_is_let_go(folder: Path) -> None:
    async def use() -> None:
        async with UnitOfWork() as uow:
            await uow.initiatives.create(name="a")

    before = threads()
    for _ in range(3):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(use())
        loop.close()  # without shutdown_asyncgens: what a careless test runner does
    asyncio.run(use())
    for thread in threads() - before:
        thread.join(5)
    assert not threads() - before


@pytest.fixture
async def default_unit() -> AsyncIterator[UnitOfWork]:
    async with UnitOfWork() as uow:
        yield uow


@pytest.mark.parametrize("count", [1, 2])
async def test_a_suite_whose_tests_have_a_loop_each_uses_the_default_store(
    default_unit: UnitOfWork, folder: Path, count: int
) -> None:
    assert len(await default_unit.initiatives.find_all()) == 0
    await default_unit.initiatives.create(name="a")
    await default_unit.commit()
    async with UnitOfWork() as other:
        assert len(await other.initiatives.find_all()) == 1
    assert (folder / "cw.db").exists()


async def test_many_tasks_open_the_default_store_once(folder: Path) -> None:
    async def use() -> None:
        async with UnitOfWork() as uow:
            await uow.initiatives.create(name="a")

    before = threads()
    await asyncio.gather(*(use() for _ in range(10)))
    assert len(threads() - before) == 1  # it writes; for checkpoints there is no need yet


# What is no database.


async def test_a_file_that_is_no_database_is_a_clear_error_and_stays_as_it_is(folder: Path) -> None:
    notes = folder / "notes.txt"
    notes.write_text("my notes\n" * 1000)
    for attempt in (Store.open(notes), Store.open(notes, migrate=False), ensure_schema(notes)):
        with pytest.raises(StoreError, match=r"notes\.txt"):
            await attempt
    assert notes.read_text() == "my notes\n" * 1000
    assert not threads()


async def test_a_folder_that_does_not_exist_is_a_clear_error(folder: Path) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        await Store.open(folder / "nowhere" / "cw.db")
    assert not (folder / "nowhere").exists()


async def test_a_folder_in_place_of_a_file_is_a_clear_error(folder: Path) -> None:
    with pytest.raises(StoreError):
        await Store.open(folder)


AS_NOBODY = """
import asyncio, os, sys
from cw_store import Store, StoreError
import alembic.command, sqlalchemy.dialects.sqlite.aiosqlite

async def main():
    try:
        async with Store(sys.argv[1]) as store:
            print(len(await store.initiatives.find_all()))
            await store.initiatives.create(name="a")
    except StoreError as error:
        print(type(error).__name__, "cw.db" in str(error) or "written" in str(error))

asyncio.run(Store(":memory:").__aenter__())  # whatever is imported late
if os.geteuid() == 0:
    os.setgid(65534), os.setuid(65534)
asyncio.run(main())
"""


@pytest.mark.parametrize("locked", ["file", "folder"])
def test_what_may_not_be_written_is_a_clear_error(migrated_file: Path, locked: str) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        file = folder / "cw.db"
        file.write_bytes(migrated_file.read_bytes())
        file.chmod(0o444 if locked == "file" else 0o666)
        folder.chmod(0o777 if locked == "file" else 0o555)
        done = run_program(AS_NOBODY, file, cwd=Path("/"))
        folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split() in (
        ["StoreError", "True"],
        ["ReadOnlyError", "True"],
    )
