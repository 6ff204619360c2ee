"""Opening looks before it touches: what is not a store's stays as it was, byte for byte."""

# ruff: noqa: ASYNC240 -- nobody else runs on these loops

import os
import shutil
import socket
import sqlite3
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
import pytest
from sqlalchemy import make_url

from builders import add_initiative
from cw_store import SchemaError, Store, StoreError, copy_store, ensure_schema
from cw_store.migrations import revisions
from cw_store.schema import metadata
from cw_store.testing.postgres_server import PostgresServer
from programs import run_program

HEAD = revisions()[-1]
driver = cast(Any, asyncpg)


async def opened(url: str) -> None:
    async with Store(url, busy_timeout=2):
        pass


async def opened_as_it_is(url: str) -> None:
    async with Store(url, busy_timeout=2, migrate=False):
        pass


async def opened_to_read(url: str) -> None:
    async with Store(url, busy_timeout=2, read_only=True):
        pass


async def copied_from(url: str) -> None:
    target = f"{url}-copy"
    try:
        await copy_store(url, target)
    finally:
        assert not os.path.exists(target)


async def copied_into(url: str) -> None:
    source = f"{url}-source"
    await ensure_schema(source)
    try:
        await copy_store(source, url)
    finally:
        for suffix in ("", "-wal", "-shm", "-turns"):
            Path(source + suffix).unlink(missing_ok=True)


WAYS: dict[str, Callable[[str], Awaitable[None]]] = {
    "Store": opened,
    "migrate=False": opened_as_it_is,
    "read_only=True": opened_to_read,
    "ensure_schema": ensure_schema,
    "copy_store from it": copied_from,
    "copy_store into it": copied_into,
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Callable[[str], Awaitable[None]]:
    return WAYS[request.param]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "other.db"


def traces(path: Path) -> dict[str, object]:
    """Return what there is in the folder, to the byte, and when the file was written to."""
    found: dict[str, object] = {
        file.name: file.read_bytes() if file.is_file() else file.lstat().st_mode
        for file in path.parent.iterdir()
    }
    return found | {"written": os.lstat(path).st_mtime_ns}


# Other programs' databases.

IN_THE_WAY = {
    "a table": ("CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT)", "table tasks"),
    "a table in another case": ("CREATE TABLE Tasks (id INTEGER PRIMARY KEY)", "table tasks"),
    "a view": ("CREATE VIEW agents AS SELECT 1", "view agents"),
    "an index": (
        "CREATE TABLE other (a, b); CREATE INDEX uq_pages_root ON other (a)",
        "index uq_pages_root",
    ),
    "an index of an earlier revision": (
        "CREATE TABLE other (a, b); CREATE INDEX ix_agents_created_at_id ON other (a, b)",
        "index ix_agents_created_at_id",
    ),
    "many tables": (
        ";".join(f'CREATE TABLE "{name}" (x)' for name in metadata.tables),
        "more",
    ),
    "a full-text index": ("CREATE VIRTUAL TABLE messages USING fts5(body)", "table messages"),
    "a version of another shape": ("CREATE TABLE cw_store_version (v TEXT)", "cw_store_version"),
    "a view as version": ("CREATE VIEW cw_store_version AS SELECT 1", "cw_store_version"),
    "a version and no tables": (
        "CREATE TABLE cw_store_version (version_num TEXT);"
        f"INSERT INTO cw_store_version VALUES ('{HEAD}')",
        "none of its tables",
    ),
    "a version that is no text": (
        "CREATE TABLE cw_store_version (version_num TEXT);"
        "INSERT INTO cw_store_version VALUES (NULL)",
        "does not name one revision",
    ),
    "two versions": (
        "CREATE TABLE cw_store_version (version_num TEXT);"
        f"INSERT INTO cw_store_version VALUES ('{HEAD}'), ('0000')",
        "does not name one revision",
    ),
    "the first TypeScript tables": (
        "CREATE TABLE initiatives (id, status); CREATE TABLE phases (id, initiative_id);"
        "CREATE TABLE tasks (id, parentTaskId); CREATE TABLE agents (id, worktree_id);"
        "CREATE TABLE __drizzle_migrations (id, hash, created_at)",
        "TypeScript program",
    ),
}


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
@pytest.mark.parametrize("what", IN_THE_WAY)
async def test_a_database_of_another_program_is_refused_and_stays_as_it_was(
    path: Path, way: Callable[[str], Awaitable[None]], what: str, mode: str
) -> None:
    sql, told = IN_THE_WAY[what]
    path.parent.mkdir()
    other = sqlite3.connect(path)
    other.execute(f"PRAGMA journal_mode = {mode}")
    other.executescript(sql)
    other.close()
    before = traces(path)
    with pytest.raises(SchemaError, match=told):
        await way(str(path))
    assert traces(path) == before


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
async def test_a_database_that_another_program_is_writing_to_is_refused_all_the_same(
    path: Path, way: Callable[[str], Awaitable[None]], mode: str
) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute(f"PRAGMA journal_mode = {mode}")
    other.execute("CREATE TABLE tasks (x)")
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO tasks VALUES (1)")
    with pytest.raises(SchemaError, match="table tasks"):
        await way(str(path))
    other.execute("COMMIT")
    assert other.execute("PRAGMA journal_mode").fetchone() == (mode.lower(),)
    other.close()


async def test_what_a_killed_program_left_in_its_log_is_seen_and_stays_there(
    path: Path, way: Callable[[str], Awaitable[None]]
) -> None:
    path.parent.mkdir()
    living = path.with_name("living.db")
    other = sqlite3.connect(living, isolation_level=None)
    other.execute("PRAGMA journal_mode = WAL")
    other.execute("CREATE TABLE tasks (x)")
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{living}{suffix}", f"{path}{suffix}")
    other.close()
    living.unlink()
    before = traces(path)
    with pytest.raises(SchemaError, match="table tasks"):
        await way(str(path))
    assert traces(path) == before


async def test_a_store_without_some_of_its_tables_names_them(
    tmp_path: Path, path: Path, migrated_file: Path, way: Callable[[str], Awaitable[None]]
) -> None:
    path.parent.mkdir()
    shutil.copyfile(migrated_file, path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("DROP TABLE review_comments")
    other.execute("DROP TABLE errands")
    other.close()
    before = traces(path)
    with pytest.raises(SchemaError, match="lacks the tables errands, review_comments"):
        await way(str(path))
    assert traces(path) == before


async def test_a_store_without_its_version_is_not_made_anew(
    path: Path, migrated_file: Path, way: Callable[[str], Awaitable[None]]
) -> None:
    for sql, told in (
        ("DELETE FROM cw_store_version", "does not name one revision"),
        ("DROP TABLE cw_store_version", "has the tables of a store, but no cw_store_version"),
    ):
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(migrated_file, path)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute(sql)
        other.close()
        before = traces(path)
        with pytest.raises(SchemaError, match=told):
            await way(str(path))
        assert traces(path) == before


# What is no database.


def _text(path: Path) -> None:
    path.write_text("Dear Ada,\n" * 500)


def _short_text(path: Path) -> None:
    path.write_text("hi")


def _archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cw.db", b"0" * 5000)


def _noise(path: Path) -> None:
    path.write_bytes(os.urandom(8192))


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(path))


NO_DATABASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a text": (_text, "no SQLite database"),
    "a short text": (_short_text, "no SQLite database"),
    "a single byte": (lambda path: path.write_bytes(b"x"), "no SQLite database"),
    "an archive": (_archive, "no SQLite database"),
    "an encrypted database": (_noise, "no SQLite database"),
    "a folder": (Path.mkdir, "is a folder"),
    "a pipe": (os.mkfifo, "is a pipe"),
    "a socket": (_socket, "is a socket"),
    "a broken link": (lambda path: path.symlink_to("nowhere"), "is a link to 'nowhere'"),
}


@pytest.mark.parametrize("what", NO_DATABASES)
async def test_what_is_no_database_is_named_and_left_alone(
    path: Path,
    way: Callable[[str], Awaitable[None]],
    what: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make, told = NO_DATABASES[what]
    path.parent.mkdir()
    monkeypatch.chdir(path.parent)
    make(path)
    before = traces(path)
    with pytest.raises(SchemaError, match=told):
        await way(str(path))
    assert traces(path) == before


async def test_a_device_is_no_database(way: Callable[[str], Awaitable[None]]) -> None:
    if way is copied_from or way is copied_into:
        pytest.skip("the copy would lie in /dev")
    with pytest.raises(SchemaError, match="is a device"):
        await way(os.devnull)


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal", "-turns"])
async def test_what_belongs_to_a_database_is_none_itself(path: Path, suffix: str) -> None:
    path.parent.mkdir()
    await ensure_schema(path)
    before = {file.name for file in path.parent.iterdir()}
    with pytest.raises(SchemaError, match=r"belongs to the database 'other\.db'"):
        await ensure_schema(f"{path}{suffix}")
    assert {file.name for file in path.parent.iterdir()} == before
    alone = path.with_name(f"alone{suffix}")
    await ensure_schema(alone)
    async with Store(alone) as store:
        await add_initiative(store)


# What may become a store.


async def test_an_empty_file_becomes_a_store(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    async with Store(path) as store:
        await add_initiative(store)


async def test_an_application_that_migrates_its_own_tables_may_share_the_file(path: Path) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path)
    other.executescript(
        "CREATE TABLE alembic_version (version_num TEXT); CREATE TABLE users (id);"
        "INSERT INTO alembic_version VALUES ('abc'); CREATE INDEX ix_users_id ON users (id);"
        "CREATE VIEW tasks_of_mine AS SELECT 1; CREATE TABLE fs_tasks (x)"
    )
    other.close()
    async with Store(path) as store:
        await add_initiative(store)
    other = sqlite3.connect(path)
    other.execute("CREATE INDEX ix_tasks_mine ON tasks (name)")
    other.execute("DROP TABLE users")
    other.close()
    async with Store(path) as store:
        assert len(await store.initiatives.find_all()) == 1


async def test_a_store_that_was_killed_over_a_rollback_journal_is_opened(
    path: Path, migrated_file: Path
) -> None:
    path.parent.mkdir()
    shutil.copyfile(migrated_file, path)
    killed = run_program(
        "import os, sqlite3, sys\n"
        "raw = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "raw.execute('PRAGMA journal_mode = DELETE'); raw.execute('PRAGMA cache_size = 1')\n"
        "raw.execute('BEGIN')\n"
        "raw.execute('CREATE TABLE mine (x)')\n"
        "for _ in range(2000): raw.execute('INSERT INTO mine VALUES (randomblob(900))')\n"
        "os.kill(os.getpid(), 9)",
        path,
        cwd=path.parent,
    )
    assert killed.returncode == -9
    assert os.path.exists(f"{path}-journal")
    async with Store(path) as store:
        assert await store.initiatives.find_all() == []
    other = sqlite3.connect(path)
    assert other.execute("SELECT 1 FROM sqlite_schema WHERE name = 'mine'").fetchone() is None
    other.close()


# PostgreSQL.


@pytest.fixture
def url(postgres_server: PostgresServer) -> Iterator[str]:
    yield postgres_server.create_database()


@pytest.fixture
async def server(url: str) -> AsyncIterator[Any]:
    connection = await driver.connect(url)
    yield connection
    await connection.close()


SERVER_WAYS = {name: way for name, way in WAYS.items() if "copy" not in name}

ON_THE_SERVER = {
    "a table": ("CREATE TABLE tasks (id bigint)", "table tasks"),
    "a view": ("CREATE VIEW agents AS SELECT 1", "view agents"),
    "a materialized view": (
        "CREATE MATERIALIZED VIEW agents AS SELECT 1",
        "materialized view agents",
    ),
    "an index": (
        "CREATE TABLE other (a int); CREATE INDEX ix_agents_created_at_id ON other (a)",
        "index ix_agents_created_at_id",
    ),
    "a sequence": ("CREATE SEQUENCE tasks", "sequence tasks"),
    "a type": ("CREATE TYPE messages AS ENUM ('a')", "type messages"),
    "a version of another shape": ("CREATE TABLE cw_store_version (v text)", "cw_store_version"),
    "a version and no tables": (
        "CREATE TABLE cw_store_version (version_num text);"
        f"INSERT INTO cw_store_version VALUES ('{HEAD}')",
        "none of its tables",
    ),
    "a version that is no version": (
        "CREATE TABLE cw_store_version (version_num text);"
        "INSERT INTO cw_store_version VALUES (NULL)",
        "does not name one revision",
    ),
}
NAMES = (
    "SELECT relname, relkind::text FROM pg_class WHERE relnamespace = 'public'::regnamespace "
    "ORDER BY 1, 2"
)


@pytest.mark.parametrize("way", SERVER_WAYS.values(), ids=SERVER_WAYS)
@pytest.mark.parametrize("what", ON_THE_SERVER)
async def test_a_server_database_of_another_program_is_refused_and_stays_as_it_was(
    url: str, server: Any, way: Callable[[str], Awaitable[None]], what: str
) -> None:
    sql, told = ON_THE_SERVER[what]
    await server.execute(sql)
    before = await server.fetch(NAMES)
    with pytest.raises(SchemaError, match=told):
        await way(url)
    assert await server.fetch(NAMES) == before


async def test_half_a_store_on_a_server_names_what_it_lacks(url: str, server: Any) -> None:
    await ensure_schema(url)
    await server.execute("DROP TABLE review_comments")
    with pytest.raises(SchemaError, match="lacks the tables review_comments"):
        await opened(url)


async def test_tables_of_the_same_names_in_another_schema_are_in_nobodys_way(
    url: str, server: Any
) -> None:
    await server.execute("CREATE SCHEMA theirs; CREATE TABLE theirs.tasks (x int)")
    async with Store(url) as store:
        await add_initiative(store)


async def test_a_store_whose_tables_are_hidden_by_others_is_refused(url: str, server: Any) -> None:
    await ensure_schema(url)
    await server.execute("CREATE SCHEMA theirs; CREATE TABLE theirs.tasks (x int)")
    path = make_url(url).update_query_dict({"options": "-csearch_path=theirs,public"})
    with pytest.raises(SchemaError, match=r"search_path finds other tables .*: tasks;"):
        await opened(path.render_as_string(hide_password=False))
    async with Store(url) as store:
        await add_initiative(store)


async def test_a_role_that_may_not_make_tables_is_told_so(url: str, server: Any) -> None:
    name = f"guest_{os.getpid()}"
    await server.execute(f"CREATE ROLE {name} LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    guest = make_url(url).set(username=name).render_as_string(hide_password=False)
    with pytest.raises(StoreError, match="permission denied"):
        await opened(guest)
