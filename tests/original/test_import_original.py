"""The TypeScript program's database, brought over whole or not at all, and never written."""

# ruff: noqa: ASYNC240 -- nobody else runs on these loops

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from builders import add_account, add_initiative
from cw_store import (
    ImportReport,
    SchemaError,
    Store,
    StoreBusyError,
    StoreError,
    copy_store,
    ensure_schema,
    import_original,
)
from databases import Fresh
from old_database import kept_file
from originals import TIME, add, add_ground, create_tables, named, small_original, stored_rows

KEY = Fernet.generate_key()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "original"
    folder.mkdir()
    return folder


@pytest.fixture
def source(folder: Path) -> Path:
    return small_original(folder / "cw.db")


def traces(folder: Path) -> dict[str, bytes]:
    """Return what there is, to the byte, but an index and an empty log, which may stay."""
    found = {file.name: file.read_bytes() for file in folder.iterdir()}
    return {name: each for name, each in found.items() if each and not name.endswith("-shm")}


def levels(report: ImportReport) -> set[str]:
    return {finding.level for finding in report.findings}


async def is_empty(url: str) -> bool:
    return not any((await stored_rows(url)).values())


# What comes over.


async def test_all_of_it_comes_over_and_nothing_is_written_to_the_source(
    source: Path, new_target: Fresh
) -> None:
    before = traces(source.parent)
    target = new_target()
    report = await import_original(source, target)
    assert traces(source.parent) == before
    assert (report.read, report.written, report.repaired, report.left_out) == (61, 61, 0, 0)
    assert levels(report) == set()
    assert report.left_out_file is None
    rows = await stored_rows(target)
    assert {table.name: table.written for table in report.tables} == {
        name: len(found) for name, found in rows.items()
    }
    assert list(rows["agent_log_chunks"]) == [f"chunk {number}" for number in range(50)]
    assert rows["tasks"]["t"]["created_at"] == datetime.fromtimestamp(TIME, UTC)
    assert report.migrations is not None
    assert report.migrations.count == 1
    assert report.migrations.newest == datetime(2026, 11, 28, 4, 6, 41, 661000, UTC)


async def test_what_a_killed_program_left_in_its_log_comes_over(
    folder: Path, new_file: Fresh
) -> None:
    path = small_original(folder / "cw.db")
    with closing(sqlite3.connect(path)) as original:
        original.execute("PRAGMA wal_autocheckpoint = 0")
        add(original, "messages", id="in the log")
        original.commit()
        killed = folder / "killed"
        killed.mkdir()
        for name in ("cw.db", "cw.db-wal"):
            shutil.copyfile(folder / name, killed / name)
    before = traces(killed)
    report = await import_original(killed / "cw.db", target := new_file())
    assert traces(killed) == before and "cw.db-wal" in before
    assert report.log_sha256 is not None
    assert "in the log" in (await stored_rows(target))["messages"]


async def test_the_order_of_storing_stays_where_times_are_alike(
    folder: Path, new_target: Fresh
) -> None:
    with closing(sqlite3.connect(folder / "cw.db")) as original:
        create_tables(original)
        add_ground(original)
        for number in (7, 3, 9, 1, 8, 2):
            add(original, "phases", id=f"phase {number}", initiative_id="other")
            add(original, "messages", id=f"message {number}", created_at=TIME - number)
        original.commit()
    await import_original(folder / "cw.db", target := new_target())
    async with Store(target) as store:
        phases = await store.phases.find_by_initiative_id("other")
        messages = await store.messages.find_all()
    order = ["7", "3", "9", "1", "8", "2"]
    assert [phase.id[-1] for phase in phases[1:]] == order
    assert [message.id[-1] for message in messages] == order


async def test_a_store_goes_on_after_an_import(source: Path, new_target: Fresh) -> None:
    await import_original(source, target := new_target())
    async with Store(target) as store:
        account = await add_account(store)
        claim = await store.claims.next(
            holder="here", worktree_id="tree", phase_statuses=("pending", "approved")
        )
        assert claim is not None and claim.task.id == "t"
        assert claim.account is not None and claim.account.id == account.id
        later = await store.log_chunks.insert_chunk("a", "brave-otter", 1, "later")
        assert (await store.log_chunks.find_by_agent_id("a"))[-1] == later


async def test_columns_may_be_named_either_way(folder: Path, new_file: Fresh) -> None:
    with closing(sqlite3.connect(folder / "cw.db")) as original:
        create_tables(original, in_camel_case=True)
        original.execute(
            "INSERT INTO initiatives (id, name, status, createdAt, updatedAt) "
            f"VALUES ('i', 'I', 'active', {TIME}, {TIME})"
        )
        original.execute(
            "INSERT INTO phases (id, initiativeId, name, status, createdAt, updatedAt) "
            f"VALUES ('p', 'i', 'P', 'pending', {TIME}, {TIME})"
        )
        original.commit()
    report = await import_original(folder / "cw.db", target := new_file())
    assert levels(report) == set()
    assert (await stored_rows(target))["phases"]["p"]["initiative_id"] == "i"
    assert named("created_at", True) == "createdAt"


async def test_what_an_older_version_lacks_is_said_once_and_is_default(
    source: Path, new_file: Fresh
) -> None:
    with closing(sqlite3.connect(source)) as original:
        original.execute("DROP TABLE errands")
        original.execute("ALTER TABLE tasks DROP COLUMN retry_count")
        original.execute("ALTER TABLE phases DROP COLUMN status")
    report = await import_original(source, target := new_file())
    found = {(each.code, each.table, each.column, each.count) for each in report.findings}
    assert found == {
        ("missing_table", "errands", None, 1),
        ("missing_column", "tasks", "retry_count", 1),
        ("missing_column", "phases", "status", 2),
    }
    assert report.repaired == 0
    assert (await stored_rows(target))["phases"]["p"]["status"] == "pending"


async def test_what_the_store_has_no_place_for_is_named_with_numbers(
    source: Path, new_file: Fresh
) -> None:
    with closing(sqlite3.connect(source)) as original:
        original.executescript(
            "ALTER TABLE tasks ADD COLUMN mood text; UPDATE tasks SET mood = 'good';"
            "ALTER TABLE tasks ADD COLUMN unused text;"
            "CREATE TABLE notes (id, body); INSERT INTO notes VALUES (1, 'x'), (2, 'y');"
            "CREATE VIEW open_tasks AS SELECT * FROM tasks;"
            "CREATE TRIGGER noted AFTER INSERT ON notes BEGIN SELECT 1; END;"
        )
    report = await import_original(source, new_file())
    found = {(each.code, each.table, each.column, each.count) for each in report.findings}
    assert found == {
        ("unknown_column", "tasks", "mood", 1),
        ("unknown_table", "notes", None, 2),
        ("view", "open_tasks", None, 1),
        ("trigger", "noted", None, 1),
    }
    assert levels(report) == {"note"}


async def test_a_database_in_utf16_comes_over(folder: Path, new_file: Fresh) -> None:
    with closing(sqlite3.connect(folder / "cw.db")) as original:
        original.execute("PRAGMA encoding = 'UTF-16le'")
        create_tables(original)
        add_ground(original)
        add(original, "tasks", id="über", description="🦊 日本語")
        original.commit()
    await import_original(folder / "cw.db", target := new_file())
    assert (await stored_rows(target))["tasks"]["über"]["description"] == "🦊 日本語"


async def test_a_table_without_row_numbers_comes_over(folder: Path, new_file: Fresh) -> None:
    with closing(sqlite3.connect(folder / "cw.db")) as original:
        create_tables(original)
        add_ground(original)
        original.execute("DROP TABLE phase_dependencies")
        original.execute(
            "CREATE TABLE phase_dependencies (phase_id text, depends_on_phase_id text, "
            "PRIMARY KEY (phase_id, depends_on_phase_id)) WITHOUT ROWID"
        )
        original.execute("INSERT INTO phase_dependencies VALUES ('p', 'elsewhere')")
        original.commit()
    await import_original(folder / "cw.db", target := new_file())
    rows = await stored_rows(target)
    assert list(rows["phase_dependencies"]) == ["p → elsewhere"]
    assert rows["phases"]["p"]["open_dependencies"] == 1


async def test_accounts_are_encrypted_under_the_keys(source: Path, new_target: Fresh) -> None:
    secret = '{"accessToken": "not-a-token"}'
    with closing(sqlite3.connect(source)) as original:
        add(original, "accounts", id="x", credentials=secret, config_json="cw-store:fernet:no")
        original.commit()
    report = await import_original(source, target := new_target(), encryption_keys=[KEY])
    assert "not-a-token" not in json.dumps(report.as_json())
    async with Store(target, encryption_keys=[KEY]) as store:
        account = await store.accounts.find_by_id("x")
        assert account is not None
        assert (account.credentials, account.config_json) == (secret, "cw-store:fernet:no")
    async with Store(target) as store:
        with pytest.raises(StoreError, match="encrypted"):
            await store.accounts.find_by_id("x")


async def test_a_log_chunk_that_is_too_long_is_split(source: Path, new_file: Fresh) -> None:
    line = "é" * 1_000 + "\n"
    content = line * (17 * 1024 * 1024 // len(line.encode()))
    with closing(sqlite3.connect(source)) as original:
        add(original, "agent_log_chunks", id="long", agent_id="long", content=content)
        original.commit()
    report = await import_original(source, target := new_file())
    async with Store(target) as store:
        chunks = await store.log_chunks.find_by_agent_id("long")
    assert len(chunks) == 2 and chunks[0].id == "long"
    assert "".join(chunk.content for chunk in chunks) == content
    assert chunks[0].content.endswith("\n")
    logs = report.tables[-1]
    assert (logs.read, logs.added, logs.written, logs.repaired) == (51, 1, 52, 1)


async def test_text_that_is_too_long_is_refused(source: Path, new_file: Fresh) -> None:
    with closing(sqlite3.connect(source)) as original:
        add(original, "tasks", id="long", description="x" * (16 * 1024 * 1024 + 1))
        original.commit()
    target = new_file()
    with pytest.raises(StoreError, match=r"tasks\.description of 'long' is 16777217 bytes"):
        await import_original(source, target)
    assert not Path(target).exists()


async def test_progress_only_rises_and_ends_at_the_total(source: Path, new_target: Fresh) -> None:
    calls: list[tuple[str, int, int]] = []

    def on_progress(table: str, done: int, total: int) -> None:
        calls.append((table, done, total))

    report = await import_original(source, new_target(), on_progress=on_progress)
    for table in report.tables:
        done = [done for name, done, _ in calls if name == table.name]
        assert done == sorted(set(done)) and (done[0], done[-1]) == (0, table.written)


# What is refused.


def other_file(folder: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(folder / "other.db")) as other:
        for statement in statements:
            other.execute(statement)
    return folder / "other.db"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "No such file"),
        (b"", "is empty"),
        (b"not a database, but long enough to look like one" * 100, "no SQLite database"),
    ],
)
async def test_what_is_no_database_is_refused(
    folder: Path, new_target: Fresh, content: bytes | None, told: str
) -> None:
    if content is not None:
        (folder / "cw.db").write_bytes(content)
    with pytest.raises(StoreError, match=told):
        await import_original(folder / "cw.db", new_target())


async def test_a_folder_and_a_pipe_are_refused(folder: Path, new_file: Fresh) -> None:
    os.mkfifo(folder / "pipe")
    for path in (folder, folder / "pipe"):
        with pytest.raises(StoreError, match="no file"):
            await import_original(path, new_file())


async def test_another_programs_database_is_refused(folder: Path, new_file: Fresh) -> None:
    path = other_file(folder, "CREATE TABLE tasks (id, parent_task_id)")
    target = new_file()
    with pytest.raises(SchemaError, match="not the database of the TypeScript program"):
        await import_original(path, target)
    assert not Path(target).exists()


async def test_a_store_is_refused_as_source(new_file: Fresh) -> None:
    await ensure_schema(source := new_file())
    with pytest.raises(SchemaError, match="a store of cw_store already"):
        await import_original(source, new_file())


async def test_a_damaged_database_is_refused(source: Path, new_file: Fresh) -> None:
    content = bytearray(source.read_bytes())
    pages = len(content) // 4096
    content[4096 * (pages - 1) :] = b"\xff" * 4096
    source.write_bytes(content)
    target = new_file()
    with pytest.raises(StoreError, match="is damaged"):
        await import_original(source, target)
    assert not Path(target).exists()


async def test_a_server_is_no_source(new_file: Fresh) -> None:
    with pytest.raises(StoreError, match="SQLite file"):
        await import_original("postgresql://localhost/cw", new_file())


async def test_source_and_target_are_not_the_same(source: Path) -> None:
    before = traces(source.parent)
    with pytest.raises(StoreError, match="the same database"):
        await import_original(source, source)
    assert traces(source.parent) == before


@pytest.mark.parametrize("dry_run", [False, True])
async def test_a_target_that_holds_rows_is_refused(
    source: Path, new_target: Fresh, dry_run: bool
) -> None:
    async with Store(target := new_target()) as store:
        initiative = await add_initiative(store)
    with pytest.raises(StoreError, match="not empty: initiatives holds rows"):
        await import_original(source, target, dry_run=dry_run)
    async with Store(target) as store:
        assert await store.initiatives.find_all() == [initiative]


async def test_a_target_of_an_older_version_is_left_as_it_is(source: Path, new_file: Fresh) -> None:
    with kept_file("third_schema", target := Path(new_file())):
        before = target.read_bytes()
        with pytest.raises(StoreError, match="older cw_store"):
            await import_original(source, target)
        assert target.read_bytes() == before


async def test_a_second_import_is_refused(source: Path, new_target: Fresh) -> None:
    await import_original(source, target := new_target())
    rows = await stored_rows(target)
    with pytest.raises(StoreError, match="not empty"):
        await import_original(source, target)
    assert await stored_rows(target) == rows


async def test_whoever_keeps_the_source_locked_is_waited_for(source: Path, new_file: Fresh) -> None:
    with closing(sqlite3.connect(source, isolation_level=None)) as original:
        original.execute("PRAGMA journal_mode = DELETE")
        original.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreBusyError, match="locked"):
            await import_original(source, new_file(), busy_timeout=0.05)


async def test_whoever_writes_to_the_source_meanwhile_is_not_waited_for(
    source: Path, new_file: Fresh
) -> None:
    with closing(sqlite3.connect(source, isolation_level=None)) as original:
        original.execute("BEGIN IMMEDIATE")
        add(original, "messages", id="not committed")
        report = await import_original(source, new_file(), busy_timeout=0.05)
        original.execute("COMMIT")
    assert report.read == 61


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        ({"tasks.state": {"a": "pending"}}, "tasks.state"),
        ({"tasks.name": {"a": "pending"}}, "tasks.name"),
        ({"tasks.status": {"failed": "broken"}}, "broken"),
    ],
)
async def test_a_map_of_what_there_is_not_is_refused(
    source: Path, new_file: Fresh, mapping: dict[str, dict[str, str]], told: str
) -> None:
    target = new_file()
    with pytest.raises(ValueError, match=told):
        await import_original(source, target, map=mapping)
    assert not Path(target).exists()


ODD = {
    "in a table": ("UPDATE tasks SET status = 'failed'", "tasks.status of 't'"),
    "in the logs": ("UPDATE agent_log_chunks SET content = X'FF' WHERE id = 'chunk 7'", "chunk 7"),
    "an edge": ("INSERT INTO task_dependencies VALUES ('e', 't', 'gone', 1)", "task_dependencies"),
}


@pytest.mark.parametrize("what", ODD)
async def test_strict_refuses_what_would_have_to_be_repaired(
    source: Path, new_file: Fresh, what: str
) -> None:
    sql, told = ODD[what]
    with closing(sqlite3.connect(source, isolation_level=None)) as original:
        original.execute(sql)
    target = new_file()
    with pytest.raises(StoreError, match=told):
        await import_original(source, target, strict=True)
    assert not Path(target).exists()


async def test_strict_takes_what_needs_no_repair(source: Path, new_file: Fresh) -> None:
    with closing(sqlite3.connect(source, isolation_level=None)) as original:
        original.execute("UPDATE agents SET status = 'running'")
    report = await import_original(source, new_file(), strict=True)
    assert report.written == 61 and levels(report) == {"note"}


# Dry runs, and logs by themselves.


async def test_a_dry_run_writes_nothing_and_tells_the_same(source: Path, new_target: Fresh) -> None:
    with closing(sqlite3.connect(source, isolation_level=None)) as original:
        for sql, _ in ODD.values():
            original.execute(sql)
    target = new_target()
    tried = await import_original(source, target, dry_run=True)
    if not target.startswith("postgresql"):
        assert list(Path(target).parent.glob("new-*")) == []
    assert tried.dry_run and tried.left_out_file is None and tried.left_out == 1
    done = await import_original(source, target)
    assert (tried.tables, tried.findings) == (done.tables, done.findings)
    if done.left_out_file is not None:
        Path(done.left_out_file).unlink()


async def test_logs_may_follow_later_and_again_beside_others(
    source: Path, new_target: Fresh
) -> None:
    await import_original(source, whole := new_target())
    report = await import_original(source, target := new_target(), logs=False)
    assert (await stored_rows(target))["agent_log_chunks"] == {}
    assert report.read == 11
    assert [(each.code, each.count) for each in report.findings] == [("logs_later", 50)]
    async with Store(target) as store:
        await store.log_chunks.insert_chunk("a", "brave-otter", 2, "meanwhile")
        tried = await import_original(source, target, logs="only", dry_run=True)
        first = await import_original(source, target, logs="only")
        again = await import_original(source, target, logs="only")
        await add_initiative(store)
    for each, written, known in ((tried, 50, 0), (first, 50, 0), (again, 0, 50)):
        (logs,) = each.tables
        assert (logs.read, logs.written, logs.known) == (50, written, known)
    chunks = (await stored_rows(target))["agent_log_chunks"]
    assert list(chunks)[1:] == list((await stored_rows(whole))["agent_log_chunks"])


async def test_logs_of_another_source_are_refused(source: Path, new_file: Fresh) -> None:
    async with Store(target := new_file()) as store:
        await add_initiative(store)
    with pytest.raises(StoreError, match="none of the source's initiatives"):
        await import_original(source, target, logs="only")


# Whatever breaks it.


class Broken(Exception):
    """What a test raises in the middle."""


@pytest.mark.parametrize("error", [Broken, TypeError, asyncio.CancelledError])
async def test_an_import_that_broke_leaves_nothing_and_can_be_started_again(
    source: Path, new_target: Fresh, error: type[BaseException]
) -> None:
    target = new_target()

    def on_progress(table: str, done: int, total: int) -> None:
        if table == "agent_log_chunks" and done:
            raise error("enough")

    with pytest.raises(error):
        await import_original(source, target, on_progress=on_progress)
    assert await is_empty(target)
    assert (await import_original(source, target)).written == 61


KILLED = """
import asyncio, sys, time
from cw_store import import_original

def on_progress(table, done, total):
    if table == "agent_log_chunks" and done:
        print("half", flush=True)
        time.sleep(60)

asyncio.run(import_original(sys.argv[1], sys.argv[2], on_progress=on_progress))
"""


async def test_a_killed_import_leaves_nothing_and_can_be_started_again(
    source: Path, new_target: Fresh
) -> None:
    target = new_target()
    before = traces(source.parent)

    def import_until_killed() -> int:
        command = [sys.executable, "-c", KILLED, str(source), target]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "half\n"
            process.kill()
        return process.returncode

    assert await asyncio.to_thread(import_until_killed) == -signal.SIGKILL
    assert await is_empty(target)
    assert traces(source.parent) == before
    assert (await import_original(source, target)).written == 61


CHANGED = {
    "the log": "UPDATE agent_log_chunks SET session_number = 9 WHERE id = new.id",
    "a row less": "DELETE FROM agent_log_chunks WHERE id = new.id",
}


@pytest.mark.parametrize("what", CHANGED)
async def test_what_the_target_makes_of_a_row_is_found_out_before_the_commit(
    source: Path, new_file: Fresh, what: str
) -> None:
    await ensure_schema(target := new_file())
    with closing(sqlite3.connect(target)) as other:
        other.execute(
            "CREATE TRIGGER meddles AFTER INSERT ON agent_log_chunks WHEN new.id = 'chunk 3' "
            f"BEGIN {CHANGED[what]}; END"
        )
    with pytest.raises(StoreError, match="agent_log_chunks was not imported"):
        await import_original(source, target)
    assert await is_empty(target)


# The report.


async def test_the_report_is_a_page_of_text_and_json(source: Path, new_file: Fresh) -> None:
    with closing(sqlite3.connect(source, isolation_level=None)) as original:
        original.execute("UPDATE tasks SET status = 'failed'")
    report = await import_original(source, new_file())
    page = str(report)
    assert "61 rows read, 61 written, 1 repaired, 0 left out" in page
    assert "tasks.status t: an unknown value; it is at rest now (failed → blocked)" in page
    values = report.as_json()
    assert json.loads(json.dumps(values)) == values
    assert values["totals"] == {"read": 61, "written": 61, "repaired": 1, "left_out": 0}
    assert values["findings"][0]["code"] == "enum_unknown"


async def test_very_many_findings_of_a_kind_are_counted(folder: Path, new_file: Fresh) -> None:
    path = small_original(folder / "cw.db", chunks=2_500)
    with closing(sqlite3.connect(path, isolation_level=None)) as original:
        original.execute("UPDATE agent_log_chunks SET content = X'FF'")
    report = await import_original(path, new_file())
    assert report.repaired == 2_500
    assert len(report.findings) == 1_001
    assert report.findings[-1].count == 1_500


# The store's own look at such a file.


async def test_a_store_on_such_a_file_says_what_brings_it_over(source: Path) -> None:
    before = traces(source.parent)
    for way in (lambda: ensure_schema(source), lambda: Store.open(source)):
        with pytest.raises(
            SchemaError, match="TypeScript program; nothing was changed; cw-store import"
        ):
            await way()
    assert traces(source.parent) == before


async def test_what_was_imported_can_be_copied(source: Path, new_file: Fresh) -> None:
    report = await import_original(source, target := new_file())
    copied = await copy_store(target, new_file())
    digests = {table.name: table.digest for table in copied.tables}
    assert copied.rows == report.written
    assert all(table.digest for table in report.tables)
    assert len(digests) == len(report.tables) + 1
