"""Backups: whole, in one snapshot, or not there at all."""

# ruff: noqa: ASYNC240 -- nobody else runs on these loops

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from builders import add_account, add_initiative
from cw_store import BackupReport, Store, StoreBusyError, StoreClosedError, StoreError
from cw_store.revisions import revisions
from fillings import contents, fill_everything, fill_log
from programs import environment, start_program


async def test_a_backup_is_a_store_that_holds_the_same(database: str, tmp_path: Path) -> None:
    path = tmp_path / "backup.db"
    async with Store(database) as store:
        await fill_everything(store)
        report = await store.backup(path)
        assert os.listdir(tmp_path) == ["backup.db"]
        if database != ":memory:":
            assert await contents(str(path)) == await contents(database)
    rows = {table.name: table.rows for table in report.tables}
    with closing(sqlite3.connect(path)) as raw:
        for table, number in rows.items():
            assert raw.execute(f'SELECT count(*) FROM "{table}"').fetchone() == (number,)
    assert rows.pop("store_state", 0) >= 0
    assert all(rows.values()), "every table is to hold rows"
    assert report.rows == sum(table.rows for table in report.tables)
    assert (report.path, report.revision, report.left_behind) == (path, revisions()[-1], ())
    assert report.bytes > 0 and report.seconds > 0


async def test_only_its_owner_may_read_a_backup(database: str, tmp_path: Path) -> None:
    path = tmp_path / "backup.db"
    async with Store(database) as store:
        await store.backup(str(path))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_encrypted_text_stays_encrypted(database: str, tmp_path: Path) -> None:
    key = "s4Kd0gk1kF1bTMDVh5xK2f8YkCkqjk0m0m0c8q6m5kE="
    path = tmp_path / "backup.db"
    async with Store(database, encryption_keys=[key]) as store:
        account = await add_account(store, credentials="my-secret")
        await store.backup(path)
    assert b"my-secret" not in path.read_bytes()
    async with Store(path, encryption_keys=[key]) as copy:
        assert await copy.accounts.find_by_id(account.id) == account


async def test_a_file_that_is_there_is_kept_unless_it_is_to_be_replaced(
    database: str, tmp_path: Path
) -> None:
    path = tmp_path / "backup.db"
    path.write_text("precious")
    async with Store(database) as store:
        initiative = await add_initiative(store)
        with pytest.raises(StoreError, match="exists already"):
            await store.backup(path)
        assert path.read_text() == "precious"
        await store.backup(path, force=True)
    async with Store(path, read_only=True) as copy:
        assert await copy.initiatives.find_all() == [initiative]
    assert sorted(os.listdir(tmp_path)) == ["backup.db"]


async def test_what_holds_the_database_of_a_program_is_not_replaced(
    database: str, tmp_path: Path
) -> None:
    path = tmp_path / "used.db"
    async with Store(database) as store, Store(path) as other:
        initiative = await add_initiative(other)
        with pytest.raises(StoreError, match="a program is using a database of this name"):
            await store.backup(path, force=True)
        assert await other.initiatives.find_all() == [initiative]


async def test_a_store_is_no_backup_of_itself(tmp_path: Path) -> None:
    path = tmp_path / "cw.db"
    (tmp_path / "link.db").symlink_to(path)
    async with Store(path) as store:
        await add_initiative(store)
        for name in (path, tmp_path / "link.db"):
            with pytest.raises(StoreError, match="the store itself"):
                await store.backup(name, force=True)
    async with Store(path, read_only=True) as store:
        with pytest.raises(StoreError, match="the store itself"):
            await store.backup(path, force=True)


@pytest.mark.parametrize(
    ("name", "reason"),
    [(".", "is a folder"), ("missing/backup.db", "no folder"), ("a" * 250, "name too long")],
)
async def test_a_place_where_nothing_can_be_written_is_refused(
    database: str, tmp_path: Path, name: str, reason: str
) -> None:
    async with Store(database) as store:
        with pytest.raises(StoreError, match=f"(?i){reason}"):
            await store.backup(tmp_path / name)
    assert os.listdir(tmp_path) in ([], ["cw.db"], ["cw.db", "cw.db-turns"])


async def test_a_link_is_followed(database: str, tmp_path: Path) -> None:
    path = tmp_path / "link.db"
    path.symlink_to(tmp_path / "backup.db")
    async with Store(database) as store:
        await add_initiative(store)
        await store.backup(path)
    assert path.is_symlink() and (tmp_path / "backup.db").is_file()


def in_peace(what: str, done: int, total: int) -> None:
    """Break nothing."""


async def test_others_write_on_and_the_backup_is_of_one_moment(
    database: str, tmp_path: Path
) -> None:
    async with Store(database) as store:
        async with store.unit_of_work() as uow:
            await fill_log(uow, 20_000)
        stopping = asyncio.Event()

        async def write_pairs() -> int:
            number = 0
            while not stopping.is_set():
                async with store.unit_of_work() as uow:
                    await add_initiative(uow, name=f"{number}")
                    await add_initiative(uow, name=f"{number}")
                number += 1
            return number

        writers = [asyncio.create_task(write_pairs()) for _ in range(3)]
        while len(await store.initiatives.find_all()) < 10:
            pass
        reports = [
            await store.backup(tmp_path / f"{number}.db", on_progress=in_peace)
            for number in range(3)
        ]
        stopping.set()
        written = sum(await asyncio.gather(*writers))
    held: list[int] = []
    for report in reports:
        async with Store(report.path, read_only=True) as copy:
            names = [each.name for each in await copy.initiatives.find_all()]
            assert all(names.count(name) % 2 == 0 for name in set(names)), "torn"
            assert ("initiatives", len(names)) in report.tables
            held.append(len(names))
    assert 0 < held[0] < held[1] < held[2] < 2 * written


async def test_another_program_that_writes_all_the_time_hinders_no_backup(tmp_path: Path) -> None:
    path = tmp_path / "cw.db"
    async with Store(path) as store:
        await add_initiative(store)
        with start_program(WRITES_ON, path, cwd=tmp_path) as writer:
            assert writer.stdout is not None
            assert await asyncio.to_thread(writer.stdout.readline) == "writing\n"
            for number in range(5):
                await store.backup(tmp_path / f"{number}.db")
            writer.kill()


WRITES_ON = """
import sqlite3, sys
raw = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
print("writing", flush=True)
while True:
    raw.execute("UPDATE initiatives SET name = name || 'x'")
"""


async def test_progress_rises_to_the_end(database: str, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []

    def on_progress(what: str, done: int, total: int) -> None:
        calls.append((what, done, total))

    async with Store(database) as store:
        async with store.unit_of_work() as uow:
            await fill_log(uow, 5_000)
        await store.backup(tmp_path / "backup.db", on_progress=on_progress)
    assert calls
    for what in {what for what, _, _ in calls}:
        done = [done for name, done, _ in calls if name == what]
        assert done == sorted(done)
        assert all(done <= total for name, done, total in calls if name == what)
    assert {what for what, _, _ in calls} & {"file", "agent_log_chunks"}


class Broken(Exception):
    """What a test raises in the middle."""


@pytest.mark.parametrize("error", [Broken, asyncio.CancelledError])
async def test_what_progress_raises_breaks_the_backup(
    database: str, tmp_path: Path, error: type[BaseException]
) -> None:
    def on_progress(*_: object) -> None:
        raise error("enough")

    async with Store(database) as store:
        await add_initiative(store)
        with pytest.raises(error):
            await store.backup(tmp_path / "backup.db", on_progress=on_progress)
        assert [name for name in os.listdir(tmp_path) if "backup" in name] == []


async def test_a_store_for_reading_only_is_backed_up(database: str, tmp_path: Path) -> None:
    if database == ":memory:":
        pytest.skip("it would be empty")
    async with Store(database) as store:
        initiative = await add_initiative(store)
    async with Store(database, read_only=True) as store:
        await store.backup(tmp_path / "backup.db")
    async with Store(tmp_path / "backup.db") as copy:
        assert await copy.initiatives.find_all() == [initiative]


async def test_what_an_application_has_besides_comes_along_or_is_named(
    database: str, tmp_path: Path
) -> None:
    path = tmp_path / "backup.db"
    async with Store(database) as store:
        async with store.unit_of_work() as uow:
            await uow.session.execute(text('CREATE TABLE "app ""notes""" (note TEXT)'))
            await uow.session.execute(text("""INSERT INTO "app ""notes\""" VALUES ('one')"""))
        try:
            report = await store.backup(path)
        finally:
            async with store.unit_of_work() as uow:
                await uow.session.execute(text('DROP TABLE "app ""notes"""'))
    if database.startswith("postgres"):
        assert report.left_behind == ('app "notes"',)
    else:
        assert report.left_behind == ()
        assert report.tables[-1] == ('app "notes"', 1)


async def test_a_closed_store_is_not_backed_up(database: str, tmp_path: Path) -> None:
    store = Store(database)
    with pytest.raises(StoreClosedError):
        await store.backup(tmp_path / "backup.db")
    async with store:
        pass
    with pytest.raises(StoreClosedError):
        await store.backup(tmp_path / "backup.db")


async def test_two_backups_to_one_place_do_not_mix(database: str, tmp_path: Path) -> None:
    path = tmp_path / "backup.db"
    async with Store(database) as store:
        async with store.unit_of_work() as uow:
            await fill_log(uow, 5_000)
        results = await asyncio.gather(
            *(store.backup(path) for _ in range(4)), return_exceptions=True
        )
    assert sum(isinstance(result, BackupReport) for result in results) == 1
    assert all(isinstance(result, BackupReport | StoreError) for result in results)
    assert any(isinstance(result, StoreBusyError) for result in results), results
    assert [name for name in os.listdir(tmp_path) if name.startswith("backup")] == ["backup.db"]
    async with Store(path) as copy:
        assert await copy.log_chunks.find_last("agent-0", limit=1)


async def test_a_damaged_store_gives_no_backup(tmp_path: Path) -> None:
    path = tmp_path / "cw.db"
    async with Store(path) as store:
        async with store.unit_of_work() as uow:
            await fill_log(uow, 5_000)
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + os.urandom(64 * 1024) + whole[middle + 64 * 1024 :])
    async with Store(path) as store:
        with pytest.raises(StoreError, match=r"cw\.db"):
            await store.backup(tmp_path / "backup.db")
    assert not list(tmp_path.glob("backup*"))


# Kills and full disks: real ones.

BACKS_UP = """
import asyncio, os, signal, sys
from cw_store import Store, partial_file

def stop_before_the_name(file):
    print("written", flush=True)
    signal.pause()

async def main(url, path):
    async with Store(url) as store:
        if "publish" in sys.argv:
            partial_file.PartialFile.publish = stop_before_the_name
        await store.backup(path, force=True, on_progress=progress)

def progress(what, done, total):
    if "progress" in sys.argv and done:
        print("half", flush=True)
        signal.pause()

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


@pytest.mark.parametrize("where", ["progress", "publish"])
async def test_a_killed_backup_leaves_what_was_and_the_next_one_cleans_up(
    database: str, tmp_path: Path, where: str
) -> None:
    if database == ":memory:":
        pytest.skip("it ends with the process")
    path = tmp_path / "backup.db"
    path.write_text("the old one")
    async with Store(database) as store:
        async with store.unit_of_work() as uow:
            await fill_log(uow, 5_000)

    def back_up_until_killed() -> int:
        with start_program(BACKS_UP, database, path, where, cwd=tmp_path) as process:
            assert process.stdout is not None
            assert process.stdout.readline() in ("half\n", "written\n")
            process.kill()
        return process.returncode

    assert await asyncio.to_thread(back_up_until_killed) == -signal.SIGKILL
    assert path.read_text() == "the old one"
    assert (tmp_path / "backup.db.partial").exists()
    async with Store(database) as store:
        await store.backup(path, force=True)
    assert sorted(os.listdir(tmp_path)) in (["backup.db"], ["backup.db", "cw.db", "cw.db-turns"])
    assert await contents(str(path)) == await contents(database)


FULL_DISK = """
import asyncio, sys
from cw_store import Store, StoreError

async def main(url, path):
    async with Store(url) as store:
        try:
            await store.backup(path, force=True)
        except StoreError as error:
            print("refused:", error)
        else:
            print("stored")

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


def on_a_full_disk(code: str, *arguments: object, folder: Path, keep: str = "") -> str:
    """Run a program that has a disk of one megabyte at `folder`; return what it prints."""
    script = (
        'mount -t tmpfs -o size=1m tmpfs "$1" && cd "$1" && '
        f'{keep or "true"} && shift && "$@"; code=$?; ls -A >&2; exit $code'
    )
    own = "-m" if os.geteuid() == 0 else "-rm"
    command = ["unshare", own, "sh", "-c", script, "sh", folder, sys.executable, "-c", code]
    done = subprocess.run(
        [*command, *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no disk can be mounted here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


async def test_a_full_disk_leaves_what_was(
    database: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if database == ":memory:":
        pytest.skip("it ends with the process")
    async with Store(database) as store:
        async with store.unit_of_work() as uow:
            await fill_log(uow, 20_000)
    disk = tmp_path_factory.mktemp("disk")
    told = await asyncio.to_thread(
        on_a_full_disk,
        FULL_DISK,
        database,
        disk / "backup.db",
        folder=disk,
        keep="echo precious > backup.db",
    )
    said, *left = told.splitlines()
    assert said.startswith("refused:") and ("disk is full" in said or "SQLITE_FULL" in said)
    assert left == ["backup.db"], "nothing but the old one"


async def test_what_is_no_ordinary_file_is_never_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    async with Store(tmp_path / "cw.db") as store:
        with pytest.raises(StoreError, match="no ordinary file"):
            await store.backup(pipe, force=True)
    assert pipe.is_fifo()


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal", "-turns"])
async def test_a_backup_takes_no_name_that_the_store_itself_uses(
    tmp_path: Path, suffix: str
) -> None:
    async with Store(tmp_path / "cw.db") as store:
        with pytest.raises(StoreError, match="the store itself"):
            await store.backup(tmp_path / f"cw.db{suffix}", force=True)
