"""Stores that are only read: because that was asked for, or because nothing else is possible."""

# ruff: noqa: ASYNC240 -- nobody else runs on these loops

import asyncio
import os
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
import pytest
from sqlalchemy import make_url

from builders import add_initiative
from cw_store import (
    ReadOnlyError,
    SchemaBehindError,
    Store,
    UnitOfWork,
    copy_store,
    ensure_schema,
)
from cw_store.testing.postgres_server import PostgresServer
from programs import run_program, start_program

driver = cast(Any, asyncpg)


def listing(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir()}


async def test_a_store_for_reading_migrates_nothing(
    database: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    is_server = database.startswith("postgres")
    url = postgres_server.create_database() if is_server else str(tmp_path / "new.db")
    with pytest.raises(SchemaBehindError):
        await Store.open(url, read_only=True)
    assert list(tmp_path.iterdir()) == []
    await ensure_schema(url)
    async with Store(url, read_only=True) as store:
        assert await store.initiatives.find_all() == []


async def test_memory_may_be_read_only_too() -> None:
    async with Store(":memory:", read_only=True) as store:
        assert await store.initiatives.find_all() == []
        with pytest.raises(ReadOnlyError):
            await add_initiative(store)


# Files.


@pytest.fixture
def path(tmp_path: Path, migrated_file: Path) -> Path:
    path = tmp_path / "folder" / "cw.db"
    path.parent.mkdir()
    shutil.copyfile(migrated_file, path)
    return path


async def test_nothing_is_made_beside_a_file_that_nobody_uses(path: Path) -> None:
    before = listing(path.parent)
    async with Store(path, read_only=True) as store:
        await asyncio.gather(*(store.initiatives.find_all() for _ in range(8)))
        async with store.unit_of_work() as uow:
            await uow.initiatives.find_all()
        assert listing(path.parent) == before
    assert listing(path.parent) == before


async def test_a_log_that_holds_nothing_is_left_where_it_is(path: Path) -> None:
    path.with_name("cw.db-wal").touch()
    before = listing(path.parent)
    async with Store(path, read_only=True) as store:
        assert await store.initiatives.find_all() == []
    assert listing(path.parent) == before
    async with Store(path, read_only=True) as store:
        assert await store.initiatives.find_all() == []
        async with Store(path) as writer:
            await add_initiative(writer)
            assert len(await store.initiatives.find_all()) == 1
        assert len(await store.initiatives.find_all()) == 1


async def test_a_file_whose_writer_was_killed_is_read_with_all_that_was_stored(
    path: Path,
) -> None:
    killed = run_program(KILLED, path, cwd=path.parent)
    assert killed.returncode == -signal.SIGKILL
    for index in ("kept", "lost"):
        if index == "lost":
            path.with_name("cw.db-shm").unlink()
        before = listing(path.parent)
        async with Store(path, read_only=True) as store:
            assert len(await store.initiatives.find_all()) == 3
            async with store.unit_of_work() as uow:
                assert len(await uow.initiatives.find_all()) == 3
        after = listing(path.parent)
        assert {name: after[name] for name in before if name != "cw.db-shm"} == {
            name: before[name] for name in before if name != "cw.db-shm"
        }
        assert set(after) == set(before)


KILLED = """
import asyncio, os, sys
from cw_store import Store

async def main():
    store = await Store.open(sys.argv[1])
    for _ in range(3):
        await store.initiatives.create(name="x")
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""

LIVING = """
import asyncio, sys
from cw_store import Store

async def main():
    async with Store(sys.argv[1]) as store:
        for line in sys.stdin:
            await store.initiatives.create(name=line.strip())
            print("stored", flush=True)

asyncio.run(main())
"""


async def test_a_reader_beside_a_living_writer_sees_each_commit(path: Path) -> None:
    process = start_program(LIVING, path, cwd=path.parent)
    try:
        async with Store(path, read_only=True) as store:
            for number in range(1, 4):
                assert process.stdin and process.stdout
                process.stdin.write(f"{number}\n")
                process.stdin.flush()
                assert process.stdout.readline() == "stored\n"
                assert len(await store.initiatives.find_all()) == number
            process.communicate(timeout=10)
            assert len(await store.initiatives.find_all()) == 3
            async with Store(path) as writer:
                await add_initiative(writer)
            assert len(await store.initiatives.find_all()) == 4
    finally:
        process.kill()
        process.communicate()


async def test_a_backup_without_a_log_is_read_and_copied(path: Path, tmp_path: Path) -> None:
    async with Store(path) as store:
        await add_initiative(store)
    backup = tmp_path / "backup.db"
    other = sqlite3.connect(path)
    other.execute("VACUUM INTO ?", [str(backup)])
    other.close()
    backup.chmod(0o444)
    before = backup.read_bytes()
    async with Store(backup, read_only=True) as store:
        assert len(await store.initiatives.find_all()) == 1
    await copy_store(backup, tmp_path / "copy.db")
    assert backup.read_bytes() == before
    async with Store(tmp_path / "copy.db") as store:
        assert len(await store.initiatives.find_all()) == 1


# Without the right to write.

UNPRIVILEGED = """
import asyncio, os, sys, tempfile
from cw_store import ReadOnlyError, Store, StoreError, copy_store

async def main(path, *steps):
    async with Store(":memory:"):
        pass  # what is loaded late is loaded, before it may not be any more
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    try:
        async with Store(path, busy_timeout=2) as store:
            async with store.unit_of_work() as uow:
                print(len(await uow.initiatives.find_all()), "read", flush=True)
            try:
                await store.initiatives.create(name="x")
            except ReadOnlyError as error:
                print(error)
            print(len(await store.initiatives.find_all()), "read", flush=True)
    except StoreError as error:
        print(type(error).__name__, error)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user can enter."""
    folder = Path(tempfile.mkdtemp(prefix="cw-test-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def without_rights(path: Path) -> list[str]:
    ran = run_program(UNPRIVILEGED, path, cwd=path.parent)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stderr
    return ran.stdout.splitlines()


async def _filled(path: Path) -> None:
    async with Store(path) as store:
        await add_initiative(store)


@pytest.mark.parametrize("what", ["the folder", "the file"])
def test_what_this_user_may_not_write_to_is_opened_for_reading(place: Path, what: str) -> None:
    path = place / "cw.db"
    asyncio.run(_filled(path))
    for suffix in ("-turns",):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    path.chmod(0o444 if what == "the file" else 0o666)
    place.chmod(0o555 if what == "the folder" else 0o777)
    before = listing(place)
    first, why, last = without_rights(path)
    assert (first, last) == ("1 read", "1 read")
    assert "initiatives cannot be written" in why and "not writable for this user" in why
    assert ("folder" in why) == (what == "the folder")
    assert listing(place) == before


def test_it_is_the_effective_user_whose_rights_count(place: Path) -> None:
    path = place / "cw.db"
    asyncio.run(_filled(path))
    path.chmod(0o444)
    program = UNPRIVILEGED.replace("setgid", "setegid").replace("setuid", "seteuid")
    ran = run_program(program, path, cwd=place)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stderr
    assert "cw.db' is not writable for this user" in ran.stdout


def test_beside_a_living_writer_it_is_read_without_any_right(place: Path) -> None:
    path = place / "cw.db"
    asyncio.run(_filled(path))
    path.chmod(0o644)
    process = start_program(LIVING, path, cwd=place)
    try:
        assert process.stdin and process.stdout
        process.stdin.write("x\n")
        process.stdin.flush()
        process.stdout.readline()
        first, why, _ = without_rights(path)
        assert first == "2 read"
        assert "not writable for this user" in why
    finally:
        process.kill()
        process.communicate()
    assert without_rights(path)[0] == "2 read"  # and after the writer was killed
    path.with_name("cw.db-shm").unlink()
    assert without_rights(path)[0] == "2 read"


def test_what_this_user_may_not_read_is_told(place: Path) -> None:
    path = place / "cw.db"
    asyncio.run(_filled(path))
    path.chmod(0o000)
    assert without_rights(path) == ["StoreError 'cw.db' may not be read by this user"]


def test_a_new_database_where_nothing_may_be_made_is_told(place: Path) -> None:
    place.chmod(0o555)
    (told,) = without_rights(place / "new.db")
    assert told.startswith("StoreError cannot create the database file: Permission denied")
    assert list(place.iterdir()) == []


def test_a_file_that_is_behind_and_may_not_be_written_is_told(place: Path) -> None:
    path = place / "cw.db"
    sqlite3.connect(path).close()
    path.touch()
    path.chmod(0o444)
    place.chmod(0o555)
    (told,) = without_rights(path)
    assert told.startswith("SchemaBehindError") and "not writable for this user" in told


# Servers.


async def test_a_role_that_may_only_read_opens_for_reading(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.create_database()
    async with Store(url) as store:
        initiative = await add_initiative(store)
    server = await driver.connect(url)
    name = f"reader_{os.getpid()}"
    await server.execute(f"CREATE ROLE {name} LOGIN")
    await server.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}")
    await server.close()
    for read_only in (False, True):
        async with Store(as_role(url, name), read_only=read_only) as store:
            assert await store.initiatives.find_all() == [initiative]
            async with store.unit_of_work() as uow:
                assert await uow.initiatives.find_all() == [initiative]
            reason = "that is how it was opened" if read_only else "its role has the right"
            with pytest.raises(ReadOnlyError, match=f"initiatives cannot .* as {reason}"):
                await add_initiative(store)
            async with store.unit_of_work() as uow:
                with pytest.raises(ReadOnlyError, match=reason):
                    await uow.initiatives.create(name="x")
                assert await uow.initiatives.find_all() == [initiative]


async def test_a_role_that_may_not_do_everything_is_told_what_it_lacks(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.create_database()
    async with Store(url) as store:
        initiative = await add_initiative(store)
    server = await driver.connect(url)
    name = f"adder_{os.getpid()}"
    await server.execute(f"CREATE ROLE {name} LOGIN")
    await server.execute(f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO {name}")
    await server.close()
    async with Store(as_role(url, name)) as store:
        await add_initiative(store)
        calls = 0

        async def work(uow: UnitOfWork) -> None:
            nonlocal calls
            calls += 1
            await uow.initiatives.delete(initiative.id)

        for write in (
            store.initiatives.delete(initiative.id),
            store.accounts.find_next_available(),
            store.run(work),
        ):
            with pytest.raises(ReadOnlyError, match=r"cannot be written: .* (DELETE|UPDATE) needs"):
                await write
        assert calls == 1
        assert len(await store.initiatives.find_all()) == 2


def as_role(url: str, name: str) -> str:
    return make_url(url).set(username=name).render_as_string(hide_password=False)
