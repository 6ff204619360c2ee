"""`cw-store backup`, `restore`, `copy`, `export`, `import`, `prune`, as they are typed."""

import json
import os
import sys
from pathlib import Path

import pytest
from command_line import CommandLine
from stores import BOTH, FILE, prepared

from builders import add_account, add_initiative
from cw_store import Store
from cw_store.revisions import revisions
from cw_store.testing import SteppableClock
from cw_store.testing.postgres_server import PostgresServer
from hostile import fill_with, harmful
from originals import small_original
from programs import start_program

HOSTILE = "a\x1b[31mb\u202ec"


@pytest.fixture
def filled(database: str, clock: SteppableClock) -> str:
    """The store, with something of everything in it; returns the initiative's id."""

    async def fill(store: Store) -> str:
        return (await fill_with(store, HOSTILE))["initiative"]

    return prepared(database, fill, clock=clock)


@pytest.fixture
def empty(database: str, tmp_path: Path, postgres_server: PostgresServer) -> CommandLine:
    """Types commands about another store on the same database, where there is none yet."""
    if database.startswith("postgres"):
        return CommandLine(postgres_server.create_database())
    return CommandLine(str(tmp_path / "another.db"))


def ids(typed: CommandLine, what: str = "initiatives") -> list[str]:
    return [each["id"] for each in typed("ls", what, "--json").data]


@BOTH
def test_a_backup_is_made_and_put_back(
    typed: CommandLine, empty: CommandLine, filled: str, tmp_path: Path
) -> None:
    done = typed("backup", "backup.db", "--json")
    assert done.code == 0 and done.err == ""
    assert done.data["path"] == str(tmp_path / "backup.db")
    assert done.data["tables"]["initiatives"] == 2 and done.data["removed"] == []
    assert empty("restore", "backup.db").code == 0
    assert ids(empty) == ids(typed) != []
    again = typed("backup", "backup.db")
    assert (again.code, again.out) == (2, "")
    assert again.err == "cw-store: backup.db exists already; --force replaces it\n"
    assert typed("backup", "backup.db", "--force").code == 0


@FILE
def test_what_is_replaced_by_a_backup_is_kept(typed: CommandLine, filled: str) -> None:
    assert typed("backup", "backup.db").code == 0
    refused = typed("restore", "backup.db")
    assert refused.code == 2 and "--force replaces it" in refused.err
    assert not harmful(refused.err)
    done = typed("restore", "backup.db", "--force", "--json")
    assert done.code == 0
    assert done.data["kept_as"] == f"{typed.url}.before-restore"
    assert ids(CommandLine(done.data["kept_as"])) == ids(typed)


@FILE
def test_a_store_that_is_open_is_not_restored(
    typed: CommandLine, filled: str, tmp_path: Path
) -> None:
    assert typed("backup", "backup.db").code == 0
    program = "import sqlite3, sys; raw = sqlite3.connect(sys.argv[1]); "
    program += "raw.execute('SELECT * FROM tasks'); print(flush=True); sys.stdin.read()"
    with start_program(program, typed.url, cwd=tmp_path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        busy = typed("restore", "backup.db", "--force")
        process.kill()
    assert busy.code == 4 and "close every store on it" in busy.err


@BOTH
def test_a_folder_keeps_as_many_backups_as_asked(
    typed: CommandLine, filled: str, clock: SteppableClock, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / "cw-notes.db").write_text("not one of them")
    (folder / "other-20200101T000000Z.db").write_text("of another store")
    for _ in range(4):
        assert typed("backup", "backups", "--keep", "2").code == 0
        clock.advance(60)
    kept = sorted(os.listdir(folder))
    assert len(kept) == 4 and {"cw-notes.db", "other-20200101T000000Z.db"} < {*kept}
    last = typed("backup", "backups", "--keep", "1", "--json").data
    assert len(last["removed"]) == 2
    assert len(os.listdir(folder)) == 3


@FILE
def test_what_cannot_be_kept_apart_is_refused(typed: CommandLine, filled: str) -> None:
    assert typed("backup", "one.db", "--keep", "3").code == 2
    assert typed("backup", ".", "--keep", "0").code == 2
    assert not os.path.exists("one.db")


@BOTH
def test_a_store_is_copied(typed: CommandLine, empty: CommandLine, filled: str) -> None:
    done = typed("copy", typed.url, empty.url, "--json")
    assert done.code == 0
    assert {"table", "rows", "sha256"} == set(done.data["tables"][0])
    assert ids(empty) == ids(typed)
    assert typed("copy", typed.url, empty.url).code == 3
    assert typed("copy", typed.url, "mysql://host/db").code == 2


@BOTH
def test_an_export_goes_to_a_pipe_or_a_file_and_comes_back(
    typed: CommandLine, empty: CommandLine, filled: str, tmp_path: Path
) -> None:
    piped = typed("export")
    assert piped.code == 0 and "without credentials" in piped.err
    assert not harmful(piped.err)
    lines = [json.loads(line) for line in piped.out.splitlines()]
    assert lines[0] == {"format": 1, "schema": revisions()[-1], "secrets": False}
    done = typed("export", "-o", "export.jsonl", "--json")
    assert done.code == 0 and done.data["sha256"] == lines[-1]["sha256"]
    assert (tmp_path / "export.jsonl").read_text() == piped.out
    assert typed("export", "-o", "export.jsonl").code == 2
    tried = empty("import", "export.jsonl", "--dry-run", "--json")
    assert tried.code == 0 and tried.data["would_import"] == "export.jsonl"
    imported = empty("import", "export.jsonl")
    assert imported.code == 0 and "without credentials" in imported.err
    assert ids(empty) == ids(typed)
    assert empty("import", "export.jsonl").code == 3, "it is not empty any more"


@FILE
def test_secrets_are_exported_only_when_asked_for(typed: CommandLine, database: str) -> None:
    prepared(database, lambda store: add_account(store, credentials="my-secret"))
    assert "my-secret" not in typed("export").out
    assert "my-secret" in typed("export", "--include-secrets").out


@FILE
def test_an_export_that_was_cut_is_refused_with_a_sentence(
    typed: CommandLine, empty: CommandLine, filled: str, tmp_path: Path
) -> None:
    assert typed("export", "-o", "export.jsonl").code == 0
    whole = (tmp_path / "export.jsonl").read_bytes()
    (tmp_path / "export.jsonl").write_bytes(whole[: len(whole) // 2])
    done = empty("import", "export.jsonl")
    assert (done.code, done.out) == (3, "") and "cut off" in done.err
    assert not os.path.exists(empty.url)
    assert empty("import", "export.jsonl", "--strict").code == 2


@FILE
def test_an_export_is_not_written_to_a_terminal(typed: CommandLine, filled: str) -> None:
    done = typed.on_terminal("export")
    assert (done.code, done.out) == (2, "") and "-o" in done.err


@BOTH
def test_old_log_chunks_are_counted_and_deleted(
    typed: CommandLine, filled: str, clock: SteppableClock
) -> None:
    clock.advance(10 * 86_400)
    assert typed("prune", "logs", "--older-than", "30d").out.startswith("deleted 0 log chunks")
    tried = typed("prune", "logs", "--older-than", "5d", "--dry-run", "--json")
    assert tried.data["would_delete"] > 0
    done = typed("prune", "logs", "--older-than", "5d", "--json")
    assert done.data["deleted"] == tried.data["would_delete"]
    assert typed("prune", "logs", "--older-than", "5d", "--json").data["deleted"] == 0
    assert typed("prune", "changes", "--older-than", "5d", "--json").data["deleted"] > 0
    assert typed("prune", "logs", "--older-than", "old").code == 2
    assert typed("prune", "tasks", "--older-than", "5d").code == 2


@pytest.mark.parametrize(
    "words", [("backup", "b.db"), ("export",), ("prune", "logs", "--older-than", "1d")]
)
def test_where_there_is_no_store_nothing_is_made(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = CommandLine(str(tmp_path / "missing.db"))(*words)
    assert (done.code, done.out) == (3, "")
    assert os.listdir(tmp_path) == []


def test_a_backup_that_is_none_is_refused(tmp_path: Path) -> None:
    typed = CommandLine(str(tmp_path / "cw.db"))
    (tmp_path / "notes.txt").write_text("notes " * 100)
    assert typed("restore", "notes.txt").code == 3
    assert typed("restore", "missing.db").code == 3
    assert typed("import", "notes.txt").code == 2
    assert typed("import", "missing.jsonl").code == 2
    assert os.listdir(tmp_path) == ["notes.txt"]


HEAD = """
import subprocess, sys
command = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
command.stdout.readline()
command.stdout.close()
sys.exit(command.wait())
"""


@FILE
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
def test_nothing_is_written_over_a_database_or_what_belongs_to_it(
    typed: CommandLine, filled: str, suffix: str
) -> None:
    small_original(Path("original.db"))
    place, before = f"{typed.url}{suffix}", Path(typed.url).read_bytes()
    for words in (
        ("export", "-o", place),
        ("graph", "-o", place),
        ("import", "original.db", "--report", place),
        ("backup", place),
    ):
        done = typed(*words)
        assert done.code in (2, 3) and done.err.count("\n") == 1
    assert Path(typed.url).read_bytes() == before
    assert ids(typed) != []
    assert not os.path.exists(f"{typed.url}-wal")


@FILE
def test_a_pipe_that_nobody_reads_ends_an_export_quietly(
    typed: CommandLine, database: str, tmp_path: Path
) -> None:
    async def fill(store: Store) -> None:
        chunk = {"agent_id": "a", "agent_name": "n", "session_number": 1, "content": "x" * 2_000}
        await store.log_chunks.insert_chunks([chunk] * 500)  # pyright: ignore[reportArgumentType] -- a chunk
        await add_initiative(store)

    prepared(database, fill)
    command = [str(Path(sys.executable).with_name("cw-store"))]
    with start_program(HEAD, *command, "--url", database, "export", cwd=tmp_path) as process:
        _, told = process.communicate(timeout=30)
    assert "Traceback" not in told and "fault" not in told


def test_a_backup_into_a_folder_that_is_not_there_makes_no_file_of_its_name(tmp_path: Path) -> None:
    typed = CommandLine(str(tmp_path / "cw.db"))
    assert typed("init").code == 0
    done = typed("backup", f"{tmp_path}/backups/")
    assert done.code == 2 and "there is no folder" in done.err
    assert not (tmp_path / "backups").exists()


def test_a_backup_that_is_not_there_is_told_before_what_stands_in_its_way(tmp_path: Path) -> None:
    typed = CommandLine(str(tmp_path / "cw.db"))
    assert typed("init").code == 0
    done = typed("restore", "nothing.db")
    assert (done.code, done.err) == (
        3,
        "cw-store: there is no backup at nothing.db; name a file that is there\n",
    )
