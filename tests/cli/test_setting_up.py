"""Setting up: a new store, an older one, credentials under another key, and how it is."""

import sqlite3
from pathlib import Path

import pytest
from command_line import CommandLine
from cryptography.fernet import Fernet
from stores import BOTH, FILE, prepared

from builders import add_account, add_task
from cw_store import Store
from cw_store.revisions import revisions
from old_database import KEPT


def older(folder: Path) -> CommandLine:
    """Return who types commands about a store at an older schema."""
    file = folder / "older.db"
    other = sqlite3.connect(file)
    other.executescript((KEPT / "third_schema" / "sqlite.sql").read_text())
    other.close()
    return CommandLine(str(file))


def test_a_store_is_made_once(tmp_path: Path) -> None:
    typed = CommandLine("new.db")
    file = tmp_path / "new.db"
    done = typed("init")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"created {file} at schema 0")
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    assert typed("init").out == f"{file} is a store already\n"
    assert typed("init", "--json").data == {"url": str(file), "is_new": False}
    assert file.read_bytes() == before


def test_an_older_store_is_brought_up_to_date_when_it_is_asked_for(tmp_path: Path) -> None:
    typed = older(tmp_path)
    check = typed("migrate", "--check")
    assert check.code == 1 and check.out.startswith("0003 → 00")
    assert typed("ls", "tasks").code == 1
    assert typed("migrate").out == check.out
    assert typed("migrate", "--check").code == 0
    assert typed("migrate").out == "nothing to do\n"
    assert typed("ls", "tasks").code == 0


def test_a_store_is_brought_only_so_far(tmp_path: Path) -> None:
    file = tmp_path / "older.db"
    other = sqlite3.connect(file)
    other.executescript((KEPT / "second_schema" / "sqlite.sql").read_text())
    other.close()
    typed = CommandLine(str(file))
    assert typed("migrate", "--to", "0003", "--check").code == 1
    assert typed("migrate", "--to", "0003").out == "0002 → 0003: 1 step\n"
    assert typed("migrate", "--to", "0003").out == "nothing to do\n"
    for to in ("0099", "newest"):
        done = typed("migrate", "--to", to)
        assert done.code == 2 and to in done.err
    sql = typed("migrate", "--sql")
    assert sql.code == 0 and sql.out.startswith("BEGIN;\n") and sql.out.endswith("\nCOMMIT;\n")
    assert typed("migrate", "--sql", "--check").code == 2
    by_hand = sqlite3.connect(file)
    by_hand.executescript(sql.out)
    by_hand.close()
    assert typed("ls", "tasks").code == 0
    assert typed("migrate", "--sql").err == "cw-store: nothing to do\n"
    assert CommandLine("none.db")("migrate", "--sql").code == 3


@BOTH
def test_credentials_are_given_another_key(
    typed: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    id = prepared(
        typed.url, lambda store: add_account(store, credentials="secret"), encryption_keys=[old]
    ).id
    done = typed("rekey")
    assert done.code == 2 and "set CW_STORE_KEYS" in done.err
    monkeypatch.setenv("CW_STORE_KEYS", f"{new},{old}")
    assert typed("rekey").out == "encrypted the credentials of 1 account anew\n"
    monkeypatch.setenv("CW_STORE_KEYS", new)

    async def look(store: Store) -> str | None:
        account = await store.accounts.find_by_id(id)
        assert account is not None
        return account.credentials

    assert prepared(typed.url, look) == "secret"
    monkeypatch.setenv("CW_STORE_KEYS", Fernet.generate_key().decode())
    done = typed("rekey")
    assert done.code == 3 and "$CW_STORE_KEYS" in done.err and "secret" not in done.err


@BOTH
def test_the_status_counts_rows_and_bytes(typed: CommandLine) -> None:
    prepared(typed.url, add_task)
    data = typed("status", "--json").data
    tables = {table["name"]: table for table in data["tables"]}
    assert tables["tasks"]["rows"] == 1 and tables["tasks"]["bytes"] > 0
    assert tables["agents"]["rows"] == 0
    assert data["schema"] == revisions()[-1]
    assert "password" not in typed("status").out


@FILE
def test_the_status_names_who_is_at_the_store(typed: CommandLine) -> None:
    from programs import start_program

    code = (
        "import sqlite3, sys\n"
        "raw = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "raw.execute('BEGIN IMMEDIATE')\n"
        "raw.execute('UPDATE store_state SET value = value')\n"
        "print('holds it', flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = start_program(code, typed.url, cwd=Path.cwd())
    assert process.stdout is not None
    assert process.stdout.readline() == "holds it\n"
    holders = typed("status", "--json").data["in_use_by"]
    process.communicate()
    assert {(each["pid"], each["does"]) for each in holders} == {(process.pid, "writes")}
    assert typed("status", "--json").data["in_use_by"] == []


def test_a_demo_is_made_where_nothing_is(tmp_path: Path) -> None:
    typed = CommandLine("demo.db")
    assert typed("demo").code == 0
    before = (tmp_path / "demo.db").read_bytes()
    done = typed("demo")
    assert done.code == 3 and "here is something" in done.err
    assert (tmp_path / "demo.db").read_bytes() == before
    behind = older(tmp_path)
    assert behind("demo").code == 1
    assert behind("migrate", "--check").code == 1, "it was not brought up to date"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell: str) -> None:
    done = CommandLine("")("completion", shell)
    assert (done.code, done.err) == (0, "")
    assert "inbox" in done.out and "cw-store" in done.out
    assert CommandLine("")("completion", shell, "--json").data == done.out


def test_the_versions_are_told() -> None:
    data = CommandLine("")("version", "--json").data
    assert set(data) >= {"cw-store", "python", "sqlalchemy"}
