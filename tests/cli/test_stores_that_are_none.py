"""A file or a server that is no store, or none for this version: one sentence, nothing changed."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from command_line import CommandLine

from cw_store.cli import context
from cw_store.testing.postgres_server import PostgresServer
from originals import small_original

READING = [("ls", "tasks"), ("show", "x"), ("status",), ("ready",), ("logs", "x"), ("inbox",)]
ACTING = [
    ("answer", "x", "y"),
    ("retry", "--blocked"),
    ("account", "available", "x"),
    ("accept", "x"),
    ("dismiss", "x"),
    ("resolve", "x"),
]


def refused(url: object, *words: str) -> tuple[int, str]:
    """Return the exit code and the sentence, which is all that is written."""
    done = CommandLine(str(url))(*words)
    assert done.out == "" and done.err.startswith("cw-store: ") and done.err.count("\n") == 1
    return done.code, done.err.removeprefix("cw-store: ").removesuffix("\n")


@pytest.mark.parametrize("words", [*READING, *ACTING, ("migrate",), ("migrate", "--check")])
def test_where_nothing_is_nothing_is_made(words: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "none.db"
    code, told = refused(file, *words)
    assert (code, told) == (3, f"there is no store at {file}; cw-store init makes one")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [*READING, *ACTING])
def test_an_empty_file_stays_empty(words: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "empty.db"
    file.touch()
    assert refused(file, *words)[0] == 3
    assert [(each.name, each.stat().st_size) for each in tmp_path.iterdir()] == [("empty.db", 0)]


def changed(migrated_file: Path, file: Path, *statements: str) -> bytes:
    """Make another store of an empty one; return its bytes."""
    shutil.copyfile(migrated_file, file)
    other = sqlite3.connect(file)
    for statement in statements:
        other.execute(statement)
    other.commit()
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    return file.read_bytes()


@pytest.mark.parametrize("words", [*READING, *ACTING, ("init",), ("migrate",)])
def test_a_newer_store_asks_for_a_newer_cw_store(
    words: tuple[str, ...], migrated_file: Path, tmp_path: Path
) -> None:
    file = tmp_path / "newer.db"
    before = changed(migrated_file, file, "UPDATE cw_store_version SET version_num = '9999'")
    code, told = refused(file, *words)
    assert code == 3 and "schema 9999" in told and "install a newer cw_store" in told
    assert file.read_bytes() == before


@pytest.mark.parametrize("words", [*READING, *ACTING, ("init",)])
def test_an_older_store_is_not_brought_up_to_date_by_the_way(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "older.db"
    script = Path(__file__).parents[1] / "migrations" / "third_schema" / "sqlite.sql"
    other = sqlite3.connect(file)
    other.executescript(script.read_text())
    other.close()
    before = file.read_bytes()
    code, told = refused(file, *words)
    assert code == 1 and "the store is at schema 0003" in told and "cw-store migrate" in told
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "words", [("ls", "tasks"), ("retry", "--blocked"), ("init",), ("migrate",)]
)
@pytest.mark.parametrize(
    ("make", "told"),
    [
        ("CREATE TABLE tasks (id INTEGER)", "is no store"),
        ("CREATE TABLE cw_store_version (a, b)", "that is no store's"),
    ],
)
def test_another_programs_database_is_left_alone(
    words: tuple[str, ...], make: str, told: str, tmp_path: Path
) -> None:
    file = tmp_path / "other.db"
    other = sqlite3.connect(file)
    other.execute(make)
    other.close()
    before = file.read_bytes()
    code, sentence = refused(file, *words)
    assert code == 3 and told in sentence and "nothing was changed" in sentence
    assert file.read_bytes() == before


@pytest.mark.parametrize("words", [("ls", "tasks"), ("retry", "x"), ("init",), ("migrate",)])
def test_the_originals_database_is_left_alone(words: tuple[str, ...], tmp_path: Path) -> None:
    file = small_original(tmp_path / "original.db")
    before = file.read_bytes()
    code, sentence = refused(file, *words)
    assert code == 3 and "the TypeScript program" in sentence and "cw-store import" in sentence
    assert file.read_bytes() == before


@pytest.mark.parametrize("words", [("ls", "tasks"), ("retry", "--blocked"), ("init",)])
def test_what_is_no_database_is_left_alone(words: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("these are notes, and no database\n" * 50)
    code, _ = refused(file, *words)
    assert code == 3
    assert file.read_text().startswith("these are notes")
    assert refused(tmp_path, *words)[0] == 3
    assert refused(file / "below.db", *words)[0] == 3


@pytest.mark.parametrize(
    "url",
    [
        "postgres:me:s3cr3t@host/db",
        "postgresql://me:s3cr3t@/db?bogus=1",
        "mysql://me:s3cr3t@host/db",
        "sqlite://me:s3cr3t@host/cw.db",
        "cw.db?mode=s3cr3t",
    ],
)
def test_a_mistyped_url_is_usage_and_shows_no_password(url: str) -> None:
    code, told = refused(url, "ls", "tasks")
    assert code == 2
    assert "s3cr3t" not in told


def test_a_server_that_is_not_there_is_told_of_without_a_password() -> None:
    code, told = refused("postgresql://me:s3cr3t@127.0.0.1:1/db", "ls", "tasks")
    assert code in (3, 4)
    assert "s3cr3t" not in told


def test_a_server_without_a_store_is_told_of(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database()
    code, told = refused(url, "ls", "tasks")
    assert code == 3 and "cw-store init makes one" in told
    done = CommandLine(url)("init")
    assert done.code == 0 and "created" in done.out
    assert CommandLine(url)("init").out.endswith("is a store already\n")
    assert CommandLine(url)("ls", "tasks").code == 0


def test_who_cannot_have_the_turn_is_told_to_try_again(
    migrated_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "BUSY_TIMEOUT", 0.05)
    file = tmp_path / "busy.db"
    shutil.copyfile(migrated_file, file)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    code, told = refused(file, "retry", "--blocked")
    assert code == 4 and told.endswith("; try again")
    assert CommandLine(str(file))("ls", "tasks").code == 0, "who reads waits for nobody"
    other.close()
    assert CommandLine(str(file))("retry", "--blocked").code == 0


def test_a_file_that_may_only_be_read_can_be_looked_at(migrated_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    file = folder / "cw.db"
    shutil.copyfile(migrated_file, file)
    before = sorted(folder.iterdir())
    url = f"file:{file}?mode=ro"
    assert CommandLine(url)("ls", "tasks").code == 0
    code, told = refused(url, "account", "available", "x")
    assert code in (1, 3), told
    assert sorted(folder.iterdir()) == before
