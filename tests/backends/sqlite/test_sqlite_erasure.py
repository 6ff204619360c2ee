"""Nothing is left in a SQLite file, or in its log, of what secrets were before."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from builders import add_account, add_initiative
from cw_store import Store, StoreBusyError, StoreClosedError
from cw_store.backends.sqlite.migrating import sqlite_connection
from cw_store.backends.sqlite.table_copy import SqliteBulk
from cw_store.backends.table_copy import Row
from cw_store.schema import initiatives
from programs import run_program

WORD = "SECRET-OF-"
KEY = Fernet.generate_key()


@pytest.fixture
def path(tmp_path: Path, migrated_file: Path) -> Path:
    path = tmp_path / "cw.db"
    path.write_bytes(migrated_file.read_bytes())
    return path


@pytest.fixture(params=[0, 1])
def careless(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let connections begin as they do in a SQLite built with or without secure_delete."""
    connect = sqlite3.connect

    def as_built(*arguments: Any, **settings: Any) -> sqlite3.Connection:
        raw = connect(*arguments, **settings)
        raw.execute(f"PRAGMA secure_delete = {request.param}")
        return raw

    monkeypatch.setattr(sqlite3, "connect", as_built)


COUNT = """
import sys
from pathlib import Path
files = [file.read_bytes() for file in Path(sys.argv[1]).iterdir()]
print(sum(file.count(word.encode()) for file in files for word in sys.argv[2:]))
"""


def found(path: Path, *words: str) -> int:
    """How often the words are in the database's files, which are open in this process.

    Another has to look: to close a file here would drop the locks that SQLite holds on it.
    """
    return int(run_program(COUNT, path.parent, *words or [WORD], cwd=path.parent).stdout)


def forget_carelessly(path: Path) -> None:
    """Delete and change accounts as a program does that leaves what was there where it was."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA secure_delete = OFF")
    other.execute("DELETE FROM accounts WHERE CAST(id AS INTEGER) % 3 = 0")
    other.execute("UPDATE accounts SET credentials = 'short' WHERE CAST(id AS INTEGER) % 3 = 1")
    other.close()


async def add_secrets(store: Store) -> None:
    async with store.unit_of_work() as uow:
        for number in range(60):
            await add_account(uow, id=f"{number}", credentials=f"{WORD}{number}-" * 40)


@pytest.mark.usefixtures("careless")
async def test_rekey_leaves_nothing_of_what_was_stored_or_deleted_in_the_clear(path: Path) -> None:
    async with Store(path) as store:
        await add_secrets(store)
    forget_carelessly(path)
    assert found(path) > 0
    async with Store(path, encryption_keys=[KEY]) as store:
        await add_initiative(store)
        assert await store.rekey(batch_rows=7) == 40
        assert found(path) == 0, "in the file or in the log"
        for account in await store.accounts.find_all():
            await store.accounts.delete(account.id)
        assert found(path) == 0
    assert found(path) == 0


async def test_rekey_leaves_nothing_under_an_older_key(path: Path) -> None:
    async with Store(path, encryption_keys=[KEY]) as store:
        await add_secrets(store)
    other = sqlite3.connect(path)
    begins = [text for (text,) in other.execute("SELECT substr(credentials, 16, 60) FROM accounts")]
    other.close()
    assert found(path, *begins) >= 60
    forget_carelessly(path)
    assert found(path, *begins) > 20
    async with Store(path, encryption_keys=[Fernet.generate_key(), KEY]) as store:
        await store.rekey()
        assert found(path, *begins) == 0


async def delete_in_a_store(path: Path) -> None:
    async with Store(path) as store:
        for account in await store.accounts.find_all():
            await store.accounts.delete(account.id)


async def delete_in_a_migration(path: Path) -> None:
    with sqlite_connection(path, timeout=5) as connection:
        connection.exec_driver_sql("DELETE FROM accounts")


async def delete_in_a_copy(path: Path) -> None:
    """Let a trigger of the application's do it, since a copy itself deletes nothing."""
    other = sqlite3.connect(path)
    other.execute("CREATE TRIGGER t AFTER INSERT ON initiatives BEGIN DELETE FROM accounts; END")
    other.close()

    async def rows() -> AsyncIterator[list[Row]]:
        yield [("copied", "x", "active", None, None, None, 1, 1)]

    bulk = SqliteBulk(path, writes=True, batch_rows=1, batch_size=1, busy_timeout=5)
    await bulk.begin()
    await bulk.write(initiatives, rows())
    await bulk.commit()
    await bulk.close()


@pytest.mark.usefixtures("careless")
@pytest.mark.parametrize(
    "delete",
    [delete_in_a_store, delete_in_a_migration, delete_in_a_copy],
    ids=lambda it: it.__name__,
)
async def test_whoever_writes_to_the_file_writes_over_what_is_deleted(
    path: Path, delete: Callable[[Path], Awaitable[None]]
) -> None:
    async with Store(path) as store:
        await add_secrets(store)
    assert found(path) > 0
    await delete(path)
    assert found(path) == 0
    async with Store(path) as store:
        assert await store.accounts.find_all() == []


async def test_rekey_tells_who_reads_an_old_snapshot_and_can_be_called_again(path: Path) -> None:
    async with Store(path) as store:
        await add_secrets(store)
    async with Store(path, encryption_keys=[KEY], busy_timeout=0.3) as store:
        async with store.unit_of_work(read_only=True) as uow:
            assert len(await uow.accounts.find_all()) == 60
            with pytest.raises(StoreBusyError, match=r"encrypted anew.*call this again"):
                await store.rekey()
            assert found(path) > 0
        assert await store.rekey() == 60
        assert found(path) == 0
        assert store.connections_in_use == 0


async def test_others_write_and_read_while_credentials_are_encrypted_anew(path: Path) -> None:
    async with Store(path) as store:
        await add_secrets(store)
    done = asyncio.Event()
    async with Store(path, encryption_keys=[KEY]) as store, Store(path) as other:

        async def work(store: Store) -> int:
            count = 0
            while not done.is_set():
                async with store.unit_of_work() as uow:
                    await uow.initiatives.create(name="x")
                await store.initiatives.create(name="y")
                assert await store.initiatives.find_by_id("unknown") is None
                count += 2
            return count

        async def rekey() -> int:
            try:
                return await store.rekey(batch_rows=5)
            finally:
                done.set()

        async with asyncio.timeout(60):
            rows, *counts = await asyncio.gather(rekey(), work(store), work(other))
        assert rows == 60
        assert len(await store.initiatives.find_all()) == sum(counts)
        assert found(path) == 0


@pytest.mark.parametrize("end", ["cancel", "close"])
async def test_rekey_can_be_given_up_while_it_waits_for_others(path: Path, end: str) -> None:
    async with Store(path, encryption_keys=[KEY]) as store:
        await add_secrets(store)
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT 1 FROM accounts").fetchall()
        task = asyncio.create_task(store.rekey())
        for _ in range(200):
            await store.accounts.find_all()
        assert not task.done(), "somebody reads what was there before"
        async with asyncio.timeout(10):
            if end == "cancel":
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await add_initiative(store)
            else:
                await store.close()
                with pytest.raises(StoreClosedError):
                    await task
        reader.close()
        assert store.connections_in_use == 0
