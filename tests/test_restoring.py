"""Restoring: all of the backup, or what was there before."""

# ruff: noqa: ASYNC240 -- nobody else runs on these loops

import asyncio
import os
import signal
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from builders import add_initiative
from cw_store import (
    SchemaAheadError,
    SchemaError,
    StaleCursorError,
    Store,
    StoreBusyError,
    StoreError,
    restore_store,
)
from cw_store.revisions import revisions
from cw_store.testing.postgres_server import PostgresServer
from fillings import contents, fill_everything, fill_log
from programs import start_program
from test_backing_up import on_a_full_disk


@pytest.fixture
async def backup(tmp_path: Path) -> Path:
    """The backup of a store with one initiative, called `then`."""
    path = tmp_path / "backups" / "backup.db"
    path.parent.mkdir()
    async with Store(":memory:") as store:
        await add_initiative(store, name="then")
        await store.backup(path)
    return path


@pytest.fixture
async def target(tmp_path: Path) -> Path:
    """A store with one initiative, called `now`, that nobody has open."""
    path = tmp_path / "cw.db"
    async with Store(path) as store:
        await add_initiative(store, name="now")
    return path


async def names(path: Path | str) -> list[str]:
    async with Store(path, read_only=True) as store:
        return [each.name for each in await store.initiatives.find_all()]


def files(path: Path) -> list[str]:
    return sorted(name for name in os.listdir(path.parent) if not name.endswith("-turns"))


async def test_a_store_is_what_it_was_when_it_was_backed_up(
    database: str, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    if database == ":memory:":
        pytest.skip("it ends with its object")
    async with Store(database) as store:
        await fill_everything(store)
        await store.backup(tmp_path / "backup.db")
    before = await contents(database)
    is_server = database.startswith("postgres")
    target = postgres_server.create_database() if is_server else str(tmp_path / "new.db")
    report = await restore_store(tmp_path / "backup.db", target)
    assert await contents(target) == before
    rows = {table.name: table.rows for table in report.tables}
    assert rows["agent_log_chunks"] == len(before["agent_log_chunks"])
    assert report.rows == sum(rows.values())
    assert (report.revision, report.kept_as) == (revisions()[-1], None)
    assert report.url == str(tmp_path / "new.db") or is_server


async def test_what_was_there_is_kept_beside_and_never_written_over(
    backup: Path, target: Path
) -> None:
    target.chmod(0o640)
    with pytest.raises(StoreError, match="exists already"):
        await restore_store(backup, target)
    assert await names(target) == ["now"]
    report = await restore_store(backup, target, force=True)
    kept = target.with_name("cw.db.before-restore")
    assert report.kept_as == kept
    assert await names(target) == ["then"]
    assert await names(kept) == ["now"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    async with Store(target) as store:
        await add_initiative(store, name="later")
    report = await restore_store(backup, f"sqlite:///{target}", force=True)
    kept = target.with_name("cw.db.before-restore-2")
    assert report.kept_as == kept
    assert await names(target) == ["then"]
    assert await names(kept) == ["then", "later"]
    assert await names(target.with_name("cw.db.before-restore")) == ["now"]
    assert files(target) == ["backups", "cw.db", "cw.db.before-restore", "cw.db.before-restore-2"]


async def test_only_its_owner_may_read_what_was_restored_anew(backup: Path, tmp_path: Path) -> None:
    backup.chmod(0o644)
    await restore_store(backup, tmp_path / "new.db")
    assert stat.S_IMODE((tmp_path / "new.db").stat().st_mode) == 0o600


OPENS = """
import asyncio, sys
from cw_store import Store

async def main():
    async with Store(sys.argv[1], read_only="read" in sys.argv):
        print("open", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_store_that_somebody_has_open_is_not_restored(
    backup: Path, target: Path, tmp_path: Path
) -> None:
    async with Store(target) as store:
        with pytest.raises(StoreBusyError, match="open in a program"):
            await restore_store(backup, target, force=True)
        await add_initiative(store, name="still there")
    with start_program(OPENS, target, cwd=tmp_path) as program:
        assert program.stdout is not None
        assert await asyncio.to_thread(program.stdout.readline) == "open\n"
        with pytest.raises(StoreBusyError):
            await restore_store(backup, target, force=True)
        program.kill()
    with closing(sqlite3.connect(target)) as raw:
        raw.execute("SELECT count(*) FROM tasks").fetchall()
        with pytest.raises(StoreBusyError):
            await restore_store(backup, target, force=True)
    assert await names(target) == ["now", "still there"]
    await restore_store(backup, target, force=True)
    assert await names(target) == ["then"]


async def test_what_a_killed_program_left_in_its_log_is_kept_with_the_old_file(
    backup: Path, target: Path, tmp_path: Path
) -> None:
    with start_program(WRITES_AND_WAITS, target, cwd=tmp_path) as program:
        assert program.stdout is not None
        assert await asyncio.to_thread(program.stdout.readline) == "written\n"
        program.kill()
    assert target.with_name("cw.db-wal").stat().st_size > 0
    report = await restore_store(backup, target, force=True)
    assert await names(target) == ["then"]
    assert report.kept_as is not None
    assert await names(report.kept_as) == ["now", "in the log"]
    assert files(target) == ["backups", "cw.db", "cw.db.before-restore"]


WRITES_AND_WAITS = """
import asyncio, sys
from cw_store import Store

async def main():
    async with Store(sys.argv[1]) as store:
        await store.initiatives.create(name="in the log")
        print("written", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("damage", ["no database", "a page", "nothing left"])
async def test_a_damaged_store_is_replaced_and_kept(
    backup: Path, target: Path, damage: str
) -> None:
    whole = target.read_bytes()
    damaged = {
        "no database": b"no database" * 1000,
        "a page": whole[:100] + os.urandom(8192) + whole[8292:],
        "nothing left": b"",
    }[damage]
    target.write_bytes(damaged)
    target.with_name("cw.db-wal").write_bytes(b"what is left of a log")
    report = await restore_store(backup, target, force=True)
    assert await names(target) == ["then"]
    assert report.kept_as is not None and report.kept_as.read_bytes() == damaged
    async with Store(target) as store:
        await add_initiative(store, name="new")
    assert await names(target) == ["then", "new"]


async def test_who_opens_the_store_meanwhile_waits_for_the_new_one(
    backup: Path, target: Path, tmp_path: Path
) -> None:
    """And what they have stored by then is there; the log of the old file is not the new one's."""
    stopping = asyncio.Event()

    async def open_and_write(number: int) -> list[str]:
        written: list[str] = []
        while not stopping.is_set():
            try:
                async with Store(target) as store:
                    written.append((await add_initiative(store, name=f"{number}")).id)
            except StoreBusyError:
                pass
            await asyncio.sleep(0)
        return written

    writers = [asyncio.create_task(open_and_write(number)) for number in range(2)]
    restored = 0
    while restored < 5:
        try:
            await restore_store(backup, target, force=True)
            restored += 1
        except StoreBusyError:
            pass
    stopping.set()
    written = {id for ids in await asyncio.gather(*writers) for id in ids}
    found: set[str] = set()
    for path in [target, *target.parent.glob("cw.db.before-restore*")]:
        if path.name.endswith("-turns"):
            continue
        with closing(sqlite3.connect(path)) as raw:
            assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            found |= {id for (id,) in raw.execute("SELECT id FROM initiatives")}
    assert written and written <= found, "what was acknowledged is in one of the files"


async def test_a_cursor_from_after_the_backup_is_stale(target: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup.db"
    async with Store(target) as store:
        before = await store.changes.position()
        await store.backup(backup)
        await add_initiative(store, name="lost")
        after = await store.changes.position()
    await restore_store(backup, target, force=True)
    async with Store(target) as store:
        await add_initiative(store, name="something else")
        with pytest.raises(StaleCursorError):
            await store.changes.read(after)
        page = await store.changes.read(before)
        assert len(page.changes) == 1


async def test_a_cursor_of_a_server_is_stale_elsewhere(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    url, other = postgres_server.create_database(), postgres_server.create_database()
    async with Store(url) as store:
        await add_initiative(store)
        cursor = await store.changes.position()
        await store.backup(tmp_path / "backup.db")
    await restore_store(tmp_path / "backup.db", other)
    async with Store(other) as store:
        with pytest.raises(StaleCursorError):
            await store.changes.read(cursor)


async def test_a_server_that_holds_rows_is_not_restored(
    backup: Path, postgres_server: PostgresServer
) -> None:
    url = postgres_server.create_database()
    async with Store(url) as store:
        await add_initiative(store, name="now")
    with pytest.raises(StoreError, match="not empty"):
        await restore_store(backup, url, force=True)
    assert await names(url) == ["now"]


# What is no backup.


async def test_what_is_no_backup_is_refused_before_anything_is_done(
    target: Path, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("no database" * 100)
    (tmp_path / "empty").touch()
    with closing(sqlite3.connect(tmp_path / "other")) as raw, raw:
        raw.execute("CREATE TABLE notes (note TEXT)")
    before = target.read_bytes()
    for name, kind, reason in (
        ("missing", StoreError, "no file"),
        ("text", SchemaError, "no SQLite database"),
        ("empty", SchemaError, "holds no store"),
        ("other", SchemaError, "holds no store"),
        (".", SchemaError, "a folder"),
    ):
        with pytest.raises(kind, match=reason):
            await restore_store(tmp_path / name, target, force=True)
    with pytest.raises(StoreError, match="a backup is a file"):
        await restore_store("postgresql://host/database", target, force=True)
    with pytest.raises(StoreError, match="the backup itself"):
        await restore_store(target, target, force=True)
    with pytest.raises(StoreError, match="in memory"):
        await restore_store(target, ":memory:")
    assert target.read_bytes() == before


async def test_a_backup_of_a_newer_store_is_refused(backup: Path, target: Path) -> None:
    with closing(sqlite3.connect(backup)) as raw, raw:
        raw.execute("UPDATE cw_store_version SET version_num = '9999'")
    with pytest.raises(SchemaAheadError):
        await restore_store(backup, target, force=True)
    assert await names(target) == ["now"]


async def test_a_damaged_backup_is_refused(backup: Path, target: Path) -> None:
    async with Store(backup) as store, store.unit_of_work() as uow:
        await fill_log(uow, 5_000)
    whole = backup.read_bytes()
    middle = len(whole) // 2
    backup.write_bytes(whole[:middle] + os.urandom(65536) + whole[middle + 65536 :])
    with pytest.raises(StoreError, match=r"backup\.db"):
        await restore_store(backup, target, force=True)
    backup.write_bytes(whole[: middle - middle % 4096])
    with pytest.raises(StoreError, match=r"backup\.db"):
        await restore_store(backup, target, force=True)
    assert await names(target) == ["now"]
    assert files(target) == ["backups", "cw.db"]


# Kills and full disks: real ones.

RESTORES = """
import asyncio, os, signal, sys
from cw_store import partial_file, restore_store

def pause(where):
    if where in sys.argv:
        print(where, flush=True)
        signal.pause()

publish = partial_file.PartialFile.publish
replace = os.replace

def stop_before_publishing(file):
    pause("copied")
    publish(file)

def stop_before_the_name(source, target):
    pause("kept")
    replace(source, target)

partial_file.PartialFile.publish = stop_before_publishing
os.replace = stop_before_the_name
asyncio.run(restore_store(sys.argv[1], sys.argv[2], force=True))
"""


@pytest.mark.parametrize("where", ["copied", "kept"])
async def test_a_killed_restore_leaves_what_was(
    backup: Path, target: Path, tmp_path: Path, where: str
) -> None:
    def restore_until_killed() -> int:
        with start_program(RESTORES, backup, target, where, cwd=tmp_path) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == f"{where}\n"
            process.kill()
        return process.returncode

    assert await asyncio.to_thread(restore_until_killed) == -signal.SIGKILL
    async with Store(target) as store:
        assert [each.name for each in await store.initiatives.find_all()] == ["now"]
        await add_initiative(store, name="and on")
    report = await restore_store(backup, target, force=True)
    assert await names(target) == ["then"]
    assert report.kept_as is not None
    assert await names(report.kept_as) == ["now", "and on"]
    assert not list(tmp_path.glob("*.partial*"))


FULL_DISK = """
import asyncio, sys
from cw_store import StoreError, restore_store

try:
    asyncio.run(restore_store(sys.argv[1], sys.argv[2], force=True))
except StoreError as error:
    print("refused:", error)
else:
    print("stored")
"""


async def test_a_full_disk_leaves_what_was(
    target: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    backup = tmp_path / "large.db"
    async with Store(backup) as store, store.unit_of_work() as uow:
        await fill_log(uow, 5_000)
    disk = tmp_path_factory.mktemp("disk")
    told = await asyncio.to_thread(
        on_a_full_disk,
        FULL_DISK,
        backup,
        disk / "cw.db",
        folder=disk,
        keep=f"cp {target} cw.db",
    )
    said, *left = told.splitlines()
    assert said == "refused: large.db cannot be copied: the disk is full"
    assert left == ["cw.db"]
