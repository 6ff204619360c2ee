"""Moving house: a copy holds what the source held, or nothing."""

import asyncio
import itertools
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text

from builders import (
    add_account,
    add_initiative,
    add_page,
    add_phase,
)
from cw_store import (
    CopyReport,
    SchemaBehindError,
    Store,
    StoreBusyError,
    StoreError,
    copy_store,
    schema,
)
from cw_store.testing.postgres_server import PostgresServer
from databases import Fresh
from fillings import CHUNKS, HOSTILE, contents, fill_everything, fill_log, fill_trees

KEY = Fernet.generate_key()


@pytest.fixture
async def source(
    new_target: Fresh,
    new_file: Fresh,
    migrated_file: Path,
    postgres_server: PostgresServer,
    migrated_template: str,
) -> AsyncIterator[str]:
    """A small store, on the other database than the target."""
    is_server = new_target is new_file
    if is_server:
        url = postgres_server.create_database(migrated_template)
    else:
        url = str(shutil.copyfile(migrated_file, new_file()))
    async with Store(url) as store, store.unit_of_work() as uow:
        await fill_log(uow, 50)
        await fill_trees(uow)
    yield url
    if is_server:
        postgres_server.drop_database(url)


async def test_a_store_comes_back_from_the_other_database_as_it_was(
    new_file: Fresh, new_server_database: Fresh
) -> None:
    first, server, last = new_file(), new_server_database(), new_file()
    async with Store(first, encryption_keys=[KEY]) as store:
        await fill_everything(store)
    there = await copy_store(first, server)
    back = await copy_store(server, last)
    assert there.tables == back.tables
    assert {table.name for table in there.tables} == schema.metadata.tables.keys() - {"changes"}
    assert all(table.rows for table in there.tables), "every table is to hold rows"
    original = await contents(first, encryption_keys=[KEY])
    assert await contents(server, encryption_keys=[KEY]) == original
    assert await contents(last, encryption_keys=[KEY]) == original
    # Encrypted text travels encrypted: byte for byte, so that nothing was decrypted on the way.
    query = "SELECT id, credentials, config_json FROM accounts ORDER BY id"
    with closing(sqlite3.connect(first)) as old, closing(sqlite3.connect(last)) as new:
        encrypted = old.execute(query).fetchall()
        assert new.execute(query).fetchall() == encrypted
        assert sum(str(row[1]).startswith("cw-store:bound:") for row in encrypted) == len(HOSTILE)


async def test_a_copy_within_one_kind_of_database_is_equal(
    source: str, new_file: Fresh, new_server_database: Fresh
) -> None:
    same = new_server_database if "://" in source else new_file
    target = same()
    report = await copy_store(source, target)
    assert await contents(target) == await contents(source)
    assert report.rows == sum(table.rows for table in report.tables) > 50
    assert report.seconds > 0


async def test_json_numbers_keep_their_type(new_file: Fresh, new_server_database: Fresh) -> None:
    first, server, last = new_file(), new_server_database(), new_file()
    numbers = [1e16, 10**16, 1.2345678901234568e18, 1.0, 1, 1e18, -1e17, 1e308]
    async with Store(first) as store:
        phase = await add_phase(store, content=numbers)
    await copy_store(first, server)
    await copy_store(server, last)
    for url in (server, last):
        async with Store(url) as store:
            copied = await store.phases.find_by_id(phase.id)
            assert copied is not None
            assert repr(copied.content) == repr(numbers), "1e16 is not 10**16"


async def test_a_change_set_is_undone_in_a_copy(
    new_file: Fresh, new_server_database: Fresh
) -> None:
    deepest: Any = 1e16
    for _ in range(100):
        deepest = [deepest]
    first, server, last = new_file(), new_server_database(), new_file()
    async with Store(first) as store:
        page = await add_page(store, content=deepest)
        async with (
            store.unit_of_work() as uow,
            uow.change_sets.recording(
                initiative_id=page.initiative_id, agent_name="someone", mode="plan"
            ) as recording,
        ):
            await uow.pages.delete(page.id)
    await copy_store(first, server)
    await copy_store(server, last)
    for url in (first, server, last):
        async with Store(url) as store:
            await store.change_sets.revert(recording.id)
            found = await store.pages.find_by_id(page.id)
            assert found is not None and found.content == deepest


async def test_the_application_can_go_on_writing_to_the_source(
    source: str, new_target: Fresh
) -> None:
    written: list[str] = []

    async with Store(source) as store:

        async def write() -> None:
            written.append((await add_initiative(store)).id)

        tasks: list[asyncio.Task[None]] = []

        def on_progress(table: str, done: int, total: int) -> None:
            tasks.append(asyncio.ensure_future(write()))

        target = new_target()
        report = await copy_store(source, target, on_progress=on_progress)
        await asyncio.gather(*tasks)
    assert written
    rows = {table.name: table.rows for table in report.tables}
    assert rows["initiatives"] == 1, "what was written after the beginning is not copied"


async def test_progress_only_rises_and_ends_at_the_total(source: str, new_target: Fresh) -> None:
    calls: list[tuple[str, int, int]] = []
    report = await copy_store(
        source,
        new_target(),
        on_progress=lambda table, done, total: calls.append((table, done, total)),
        batch_rows=7,
    )
    for table in report.tables:
        progress = [done for name, done, _ in calls if name == table.name]
        assert progress == sorted(set(progress))
        assert progress[0] == 0
        assert progress[-1] == table.rows
        assert {total for name, _, total in calls if name == table.name} == {table.rows}
    assert len([call for call in calls if call[0] == "agent_log_chunks"]) == 1 + 8


async def test_a_target_that_holds_rows_is_refused(source: str, new_target: Fresh) -> None:
    target = new_target()
    async with Store(target) as store:
        account = await add_account(store)
    with pytest.raises(StoreError, match="not empty: accounts holds rows"):
        await copy_store(source, target)
    async with Store(target) as store:
        assert await store.accounts.find_all() == [account]
        assert await store.initiatives.find_all() == []


async def test_source_and_target_are_not_the_same(source: str) -> None:
    with pytest.raises(StoreError, match="the same database"):
        await copy_store(source, source)
    alias = source.replace("postgresql:", "postgresql+asyncpg:")
    if alias == source:
        path = Path(source)
        alias = f"sqlite:///{path.parent}/../{path.parent.name}/{path.name}"
    with pytest.raises(StoreError, match="the same database"):
        await copy_store(source, alias)


async def test_a_store_in_memory_is_not_copied(source: str, new_target: Fresh) -> None:
    with pytest.raises(StoreError, match="in memory"):
        await copy_store(":memory:", new_target())
    with pytest.raises(StoreError, match="in memory"):
        await copy_store(source, "sqlite://")


async def test_a_source_that_does_not_exist_is_not_created(
    tmp_path: Path, new_target: Fresh
) -> None:
    with pytest.raises(SchemaBehindError):
        await copy_store(tmp_path / "missing.db", new_target())
    assert not (tmp_path / "missing.db").exists()


async def test_no_batch_is_empty(source: str, new_target: Fresh) -> None:
    with pytest.raises(ValueError, match="batch_rows"):
        await copy_store(source, new_target(), batch_rows=0)


class Broken(Exception):
    """What a test raises in the middle."""


@pytest.mark.parametrize("error", [Broken, TypeError, asyncio.CancelledError])
async def test_a_copy_that_broke_leaves_nothing_and_can_be_started_again(
    source: str, new_target: Fresh, error: type[BaseException]
) -> None:
    target = new_target()

    def on_progress(table: str, done: int, total: int) -> None:
        if table == "agent_log_chunks" and done >= 20:
            raise error("enough")

    with pytest.raises(error):
        await copy_store(source, target, on_progress=on_progress, batch_rows=10)
    assert not any((await contents(target)).values())
    await copy_store(source, target)
    assert await contents(target) == await contents(source)


async def test_a_cancelled_copy_leaves_nothing(source: str, new_target: Fresh) -> None:
    target = new_target()
    reached = asyncio.Event()

    def on_progress(table: str, done: int, total: int) -> None:
        if table == "tasks" and done:
            reached.set()

    copy = asyncio.ensure_future(copy_store(source, target, on_progress=on_progress, batch_rows=1))
    await reached.wait()
    copy.cancel()
    with pytest.raises(asyncio.CancelledError):
        await copy
    assert not any((await contents(target)).values())
    await copy_store(source, target)


KILLED = """
import asyncio, sys, time
from cw_store import copy_store

def on_progress(table, done, total):
    if table == "agent_log_chunks" and done >= total // 2:
        print("half", flush=True)
        time.sleep(60)

asyncio.run(copy_store(sys.argv[1], sys.argv[2], on_progress=on_progress, batch_rows=100))
"""


async def test_a_killed_copy_leaves_nothing_and_can_be_started_again(
    new_file: Fresh, new_target: Fresh
) -> None:
    source, target = new_file(), new_target()
    async with Store(source) as store, store.unit_of_work() as uow:
        await fill_log(uow, CHUNKS)

    def copy_until_killed() -> int:
        command = [sys.executable, "-c", KILLED, source, target]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "half\n"
            process.kill()
        return process.returncode

    assert await asyncio.to_thread(copy_until_killed) == -signal.SIGKILL
    assert not any((await contents(target)).values())
    report = await copy_store(source, target)
    assert report.rows == CHUNKS
    assert await contents(target) == await contents(source)


LATER = "UPDATE agent_log_chunks SET created_at = created_at + {microsecond} WHERE id = new.id"
FEWER = "DELETE FROM agent_log_chunks WHERE id = new.id"


async def alter_one(source: str, target: str, change: str) -> None:
    """Have the target change one row of the log that is copied into it, by a trigger."""
    async with Store(source) as store, store.unit_of_work() as uow:
        id = await uow.session.scalar(text("SELECT min(id) FROM agent_log_chunks"))
    is_server = target.startswith("postgresql")
    change = change.format(microsecond="interval '1 microsecond'" if is_server else 1)
    when = f"AFTER INSERT ON agent_log_chunks FOR EACH ROW WHEN (new.id = '{id}')"
    async with Store(target) as store, store.unit_of_work() as uow:
        if is_server:
            await uow.session.execute(
                text(
                    "CREATE FUNCTION alter_it() RETURNS trigger LANGUAGE plpgsql "
                    f"AS $$BEGIN {change}; RETURN NULL; END$$"
                )
            )
            what = "EXECUTE FUNCTION alter_it()"
        else:
            what = f"BEGIN {change}; END"
        await uow.session.execute(text(f"CREATE TRIGGER alter_it {when} {what}"))


@pytest.mark.parametrize(
    ("change", "message"),
    [(LATER, "rows differ"), (FEWER, "50 rows in the source and 49")],
    ids=["a microsecond later", "a row less"],
)
async def test_a_difference_of_one_row_is_noticed(
    source: str, new_target: Fresh, change: str, message: str
) -> None:
    target = new_target()
    await alter_one(source, target, change)
    with pytest.raises(StoreError, match=f"agent_log_chunks .*{message}"):
        await copy_store(source, target)
    assert not any((await contents(target)).values())


async def test_the_digest_does_not_depend_on_the_order_of_storage(
    new_file: Fresh, new_target: Fresh
) -> None:
    forwards, backwards = new_file(), new_file()
    timestamp = datetime(2024, 1, 1, tzinfo=UTC)
    rows = [
        {
            "id": text,
            "name": text,
            "status": "active",
            "created_at": timestamp,
            "updated_at": timestamp,
        }
        for text in ("b", "B", "a", "ä", "Z", "\uffff", "🦊", "a b")
    ]
    reports: list[CopyReport] = []
    for url, values in ((forwards, rows), (backwards, rows[::-1])):
        async with Store(url) as store, store.unit_of_work() as uow:
            for row in values:
                await uow.session.execute(schema.initiatives.insert().values(row))
        target = new_target()
        reports.append(await copy_store(url, target))
        async with Store(target) as store:
            await store.initiatives.update("a", name="changed")
        reports.append(await copy_store(target, new_file()))
    assert reports[0].tables == reports[2].tables
    assert reports[1].tables != reports[0].tables


async def test_references_that_lead_nowhere_are_named(new_file: Fresh, new_target: Fresh) -> None:
    source = new_file()
    async with Store(source) as store:
        await add_phase(store)
    with closing(sqlite3.connect(source)) as raw, raw:  # foreign keys are off here
        raw.execute("DELETE FROM initiatives")
    with pytest.raises(StoreError, match="phases cannot be copied"):
        await copy_store(source, new_target())


@pytest.mark.parametrize(
    "foreign",
    [
        "CAST('my-secret' AS BLOB)",
        "'my-secret' || CAST(x'ff' AS TEXT)",
    ],
    ids=["bytes", "no UTF-8"],
)
async def test_what_no_store_wrote_is_refused_and_not_shown(
    new_file: Fresh, new_target: Fresh, foreign: str
) -> None:
    source, target = new_file(), new_target()
    async with Store(source) as store:
        await add_account(store)
    with closing(sqlite3.connect(source)) as raw, raw:
        raw.execute(f"UPDATE accounts SET credentials = {foreign}")
    with pytest.raises(StoreError, match="accounts cannot be copied") as caught:
        await copy_store(source, target)
    assert "my-secret" not in str(caught.value)
    assert not any((await contents(target)).values())


async def test_long_texts_are_copied_a_few_at_a_time(source: str, new_target: Fresh) -> None:
    async with Store(source) as store:
        await store.log_chunks.insert_chunks(
            [
                {
                    "agent_id": "a",
                    "agent_name": "n",
                    "session_number": 1,
                    "content": "ä" * 1_000_000,
                }
                for _ in range(6)
            ]
        )
    done: list[int] = []

    def on_progress(table: str, rows: int, total: int) -> None:
        if table == "agent_log_chunks":
            done.append(rows)

    await copy_store(source, new_target(), on_progress=on_progress)
    steps = [after - before for before, after in itertools.pairwise(done)]
    assert len(steps) >= 2
    assert steps[-1] <= 3


async def test_a_busy_target_is_waited_for_and_then_said_to_be_busy(
    source: str, new_file: Fresh
) -> None:
    target = new_file()
    async with Store(target) as store, store.unit_of_work() as uow:
        await add_initiative(uow)
        with pytest.raises(StoreBusyError):
            await copy_store(source, target, busy_timeout=0.2)
        await uow.rollback()
        await copy_store(source, target)


def test_a_report_is_a_value() -> None:
    second = timedelta(seconds=1)
    assert CopyReport((), 1.0) == CopyReport((), second.total_seconds())


async def test_a_report_names_what_an_application_has_besides(
    source: str, new_target: Fresh
) -> None:
    async with Store(source) as store, store.unit_of_work() as uow:
        for statement in (
            "ALTER TABLE tasks ADD COLUMN ticket TEXT",
            "CREATE TABLE app_notes (note TEXT)",
        ):
            await uow.session.execute(text(statement))
    report = await copy_store(source, new_target())
    assert report.left_behind == ("app_notes", "tasks.ticket")


async def test_a_link_that_leads_to_itself_is_refused_with_a_sentence(tmp_path: Path) -> None:
    loop = tmp_path / "loop.db"
    loop.symlink_to(loop)
    async with Store(tmp_path / "cw.db"):
        pass
    with pytest.raises(StoreError, match="loop"):
        await copy_store(tmp_path / "cw.db", loop)
    with pytest.raises(StoreError, match="loop"):
        await copy_store(loop, tmp_path / "new.db")
