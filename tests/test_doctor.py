"""What the doctor finds, and what it leaves alone."""

# ruff: noqa: ASYNC240 -- nobody else runs on these loops

import asyncio
import os
import shutil
import socket
import sqlite3
import stat
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from builders import add_account, add_agent, add_conversation, add_initiative, add_task
from cw_store import Store
from cw_store.doctor import Finding, diagnose, fix
from cw_store.doctor import files as files_of_doctor
from cw_store.testing import SteppableClock
from cw_store.testing.postgres_server import PostgresServer
from fillings import fill_log
from programs import start_program

KEY = "s4Kd0gk1kF1bTMDVh5xK2f8YkCkqjk0m0m0c8q6m5kE="
OTHER_KEY = "b3RoZXIga2V5IG90aGVyIGtleSBvdGhlciBrZXkgb3Q="


@pytest.fixture
def path(tmp_path: Path, migrated_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store that is well, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(migrated_file, tmp_path / "cw.db")
    (tmp_path / "cw.db").chmod(0o600)
    return tmp_path / "cw.db"


async def fill(store: Store, chunks: int) -> None:
    async with store.unit_of_work() as uow:
        await fill_log(uow, chunks)


async def found(url: Path | str, check: str, **settings: Any) -> Finding:
    """Return what one check says."""
    [finding] = [each for each in await diagnose(url, **settings) if each.check == check]
    return finding


def listing(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {each.name: (each.stat().st_mtime_ns, each.read_bytes()) for each in folder.iterdir()}


async def test_a_store_that_is_well_has_no_problem(database: str) -> None:
    if database == ":memory:":
        pytest.skip("it would be another one")
    if not database.startswith("postgres"):
        Path(database).chmod(0o600)
    findings = await diagnose(database)
    assert [each for each in findings if each.level == "problem"] == []
    names = [each.check for each in findings]
    assert len(names) == len({*names}) >= 10
    assert all(each.what for each in findings)
    assert all(each.why or each.check == "file system" for each in findings if each.level == "note")


async def test_each_check_is_told_of_when_it_begins(path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    findings = await diagnose(
        path, on_progress=lambda what, done, total: told.append((what, done, total))
    )
    assert {name for name, _, _ in told} >= {each.check for each in findings}
    assert [done for _, done, _ in told] == list(range(len(told)))
    assert {total for _, _, total in told} == {len(told)}


async def test_looking_changes_nothing(path: Path) -> None:
    before = listing(path.parent)
    await diagnose(path, deep=True)
    assert listing(path.parent) == before


async def test_a_store_that_cannot_be_opened_is_a_finding(path: Path, tmp_path: Path) -> None:
    missing = await found(tmp_path / "missing.db", "store")
    assert (missing.level, missing.command) == ("problem", "cw-store init")
    (tmp_path / "text.db").write_text("no database" * 100)
    assert "no SQLite database" in (await found(tmp_path / "text.db", "store")).what
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE cw_store_version SET version_num = '9999'")
    assert "9999" in (await found(path, "store")).what
    assert sorted(os.listdir(tmp_path)) == ["cw.db", "text.db"]


async def test_a_server_that_does_not_answer_is_a_finding() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        url = f"postgresql://127.0.0.1:{listening.getsockname()[1]}/cw"
        begun = time.monotonic()
        finding = await found(url, "store", seconds=0.3)
        assert finding.level == "problem" and time.monotonic() - begun < 10


async def test_a_locked_file_is_a_finding(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("PRAGMA journal_mode = DELETE")
        raw.execute("BEGIN EXCLUSIVE")
        raw.execute("UPDATE cw_store_version SET version_num = version_num")
        findings = await diagnose(path, seconds=0.3)
    assert any(each.level == "problem" for each in findings)


async def test_a_check_that_takes_too_long_is_given_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(_: Path) -> list[Finding]:
        time.sleep(2)
        return []

    monkeypatch.setitem(files_of_doctor.FILE_CHECKS, "free space", hang)
    async with Store(path) as store:
        await fill(store, 20_000)
    begun = time.monotonic()
    findings = await diagnose(path, seconds=0.005)
    assert time.monotonic() - begun < 2
    given_up = [each.check for each in findings if "could not be told" in each.what]
    assert "free space" in given_up


# Around the file.


async def test_a_file_that_everybody_can_read_is_closed_to_them(path: Path) -> None:
    path.chmod(0o666)
    finding = await found(path, "permissions")
    assert finding.level == "problem" and finding.fixable
    assert await fix(path, await diagnose(path)) == [finding]
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert (await found(path, "permissions")).level == "note"
    path.chmod(0o600)
    assert (await found(path, "permissions")).level == "fine"
    assert await fix(path, await diagnose(path)) == []


async def test_half_a_file_and_another_store_are_named(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cw.db.partial").touch()
    assert "cw.db.partial" in (await found(path, "left over")).what
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "cw.db").touch()
    assert (await found(path, "other store")).level == "fine"
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert (await found(path, "other store")).level == "note"


def test_file_systems_of_other_machines_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind, level in (("nfs4", "problem"), ("fuse.sshfs", "problem"), ("ext4", "fine")):

        def mounted(_: Path, kind: str = kind) -> str:
            return kind

        monkeypatch.setattr(files_of_doctor, "_file_system_of", mounted)
        assert files_of_doctor.check_file_system(tmp_path)[0].level == level


# What is stored.


async def test_damage_is_found(path: Path) -> None:
    async with Store(path) as store:
        await fill(store, 5_000)
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + os.urandom(65_536) + whole[middle + 65_536 :])
    finding = await found(path, "file")
    assert finding.level == "problem" and "restore" in (finding.command or "cw-store restore")


async def test_an_index_that_lies_is_found_by_looking_deeply(path: Path) -> None:
    async with Store(path) as store:
        await add_initiative(store)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("PRAGMA writable_schema = ON")
        raw.execute(
            "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = "
            "'ix_tasks_status') WHERE name = 'ix_phases_initiative_id'"
        )
    assert (await found(path, "file", deep=True)).level == "problem"


async def test_references_to_nothing_are_found(path: Path) -> None:
    async with Store(path) as store:
        await add_task(store)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("DELETE FROM phases")
        raw.execute("DELETE FROM initiatives")
        raw.execute("UPDATE tasks SET phase_id = 'gone'")
    finding = await found(path, "references")
    assert finding.level == "problem" and "tasks" in finding.what


@pytest.mark.parametrize(
    ("change", "lacking"),
    [
        ("DROP INDEX ix_tasks_open", "the index ix_tasks_open"),
        ("ALTER TABLE projects DROP COLUMN default_branch", "projects.default_branch"),
    ],
)
async def test_what_another_program_took_from_the_schema_is_named(
    database: str, postgres_server: PostgresServer, tmp_path: Path, change: str, lacking: str
) -> None:
    is_server = database.startswith("postgres")
    url = postgres_server.create_database() if is_server else str(tmp_path / "new.db")
    async with Store(url) as store, store.unit_of_work() as uow:
        await uow.session.execute(text(change))
    finding = await found(url, "schema")
    assert finding.level == "problem" and lacking in finding.what


async def test_a_trigger_that_is_gone_is_named(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw, raw:
        [name] = raw.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchone()
        raw.execute(f'DROP TRIGGER "{name}"')
    assert name in (await found(path, "schema")).what


async def test_credentials_in_clear_and_under_a_lost_key_are_found(database: str) -> None:
    if database == ":memory:":
        pytest.skip("it would be another one")
    async with Store(database) as store:
        await add_account(store, credentials="my-secret")
    finding = await found(database, "credentials")
    assert finding.level == "note" and "1 accounts are in clear" in finding.what
    async with Store(database, encryption_keys=[KEY]) as store:
        await store.rekey()
    assert (await found(database, "credentials", encryption_keys=[KEY])).level == "fine"
    lost = await found(database, "credentials", encryption_keys=[OTHER_KEY])
    assert lost.level == "problem" and "my-secret" not in repr(lost)


# What goes on.


async def test_agents_that_are_gone_or_silent_are_found(path: Path) -> None:
    clock = SteppableClock()
    with start_program("import sys; sys.stdin.read()", cwd=path.parent) as process:
        pid = process.pid
        process.kill()
    async with Store(path) as store:
        agent = await add_agent(store, name="brave-otter", status="running", pid=pid)
        assert (await found(path, "agents")).level == "fine", "on which machine is not known"
        async with store.unit_of_work() as uow:
            await uow.session.execute(
                text("UPDATE agents SET holder = :holder"), {"holder": f"{socket.gethostname()}/1"}
            )
        gone = await found(path, "agents")
        assert gone.level == "problem" and "brave-otter" in gone.what
        await store.agents.update(agent.id, pid=os.getpid())
        assert (await found(path, "agents")).level == "fine"
        clock.set(agent.updated_at + timedelta(hours=2))
        silent = await found(path, "agents", clock=clock)
        assert silent.level == "problem" and silent.command == "cw-store logs brave-otter"


async def test_what_waits_for_a_person_is_found(database: str) -> None:
    if database == ":memory:":
        pytest.skip("it would be another one")
    async with Store(database) as store:
        await add_task(store, status="blocked")
        account = await add_account(store, email="olive@example.com")
        await store.accounts.mark_exhausted(account.id)
        crashed = await add_agent(store, status="crashed")
        asking = await add_agent(store, name="quiet-yak")
        question = await add_conversation(store, from_agent_id=asking.id, to_agent_id=crashed.id)
        answer = f"cw-store answer {question.id} TEXT"
        for check, command, named in (
            ("tasks", "cw-store retry --blocked", "1 task is blocked"),
            ("accounts", "cw-store account available olive@example.com", "olive@example.com"),
            ("questions", answer, "quiet-yak"),
        ):
            finding = await found(database, check)
            assert (finding.level, finding.command) == ("problem", command)
            assert named in finding.what
        await store.conversations.answer(question.id, "yes")
        other = await add_agent(store)
        await add_conversation(store, from_agent_id=asking.id, to_agent_id=other.id)
        assert (await found(database, "questions")).level == "fine"
        await add_conversation(store, from_agent_id=other.id, to_agent_id=asking.id)
        assert "circle" in (await found(database, "questions")).what


async def test_a_clock_that_is_behind_is_found(database: str) -> None:
    if database == ":memory:":
        pytest.skip("it would be another one")
    clock = SteppableClock()
    async with Store(database, clock=clock) as store:
        await add_task(store)
    assert (await found(database, "clock", clock=clock)).level == "fine"
    clock.advance(-3600)
    assert (await found(database, "clock", clock=clock)).level == "problem"


async def test_a_server_without_statistics_gets_some(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database()
    async with Store(url) as store:
        await fill(store, 2_000)
        while (finding := await found(url, "tables")).level == "fine":  # noqa: ASYNC110 -- a server
            await asyncio.sleep(0.1)  # counts a little later
        assert finding.fixable and "agent_log_chunks" in finding.what
        await fix(url, [finding])
        assert (await found(url, "tables")).level == "fine"
