"""The databases that tests run on: at the newest schema, and empty for each test."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from cw_store import ensure_schema, metadata

T = TypeVar("T")

_numbers = itertools.count(1)


def migrate(url: str | Path) -> None:
    """Bring a database to the newest schema; returns when nobody is connected to it any more."""
    with ThreadPoolExecutor(1) as thread:  # a test's event loop may be running in this one
        thread.submit(asyncio.run, ensure_schema(url)).result()


def migrated_file(path: Path) -> Path:
    """Make an empty database of this file, closed; to be copied, and never to be opened."""
    migrate(path)
    assert not path.with_name(f"{path.name}-wal").exists(), "a copy of the file would be torn"
    return path


def new_copy(template: Path) -> Path:
    """Return a copy of a database that nobody has open, in a folder of its own beside it."""
    folder = template.with_name(f"store-{next(_numbers)}")
    folder.mkdir()
    return Path(shutil.copyfile(template, folder / "cw.db"))


class MigratedDatabase:
    """A server's database at the newest schema, which can be emptied, for a `with` block.

    It is emptied by deleting all rows, since a new database for each test would take ten times as
    long; and by one connection, since a new one first reads the catalog for as long as all else
    takes. That has a thread of its own: a test's event loop may be running in any other.
    `busy_timeout` are the seconds that it waits for whoever has a lock on a row.
    """

    def __init__(self, url: str, *, busy_timeout: float = 10.0) -> None:
        self.url = url
        self._busy_timeout = busy_timeout
        self._thread = ThreadPoolExecutor(1, "empties a database")
        self._runner = asyncio.Runner()
        self._connection: Any = None  # asyncpg has no types
        self._deletion = ""

    def __enter__(self) -> Self:
        """Bring it to the newest schema."""
        self._run(ensure_schema(self.url))
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of it."""
        self._run(self._disconnect())
        self._thread.submit(self._runner.close).result()
        self._thread.shutdown()

    def empty(self) -> None:
        """Delete all rows; AssertionError when a test has left a transaction that keeps some.

        Its connection is ended then, so that only one test has to wait for it.
        """
        import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none

        try:
            self._run(self._empty())
        except asyncpg.LockNotAvailableError:
            self._run(self._end_others())
            self._run(self._empty())
            raise AssertionError(
                "a unit of work or a connection to the database was left open, with what it has "
                "written not committed; it was ended"
            ) from None
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            self._connection = None  # a test has ended it, or the server
            self._run(self._empty())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._thread.submit(self._runner.run, work).result()

    async def _empty(self) -> None:
        connection = self._connection or await self._connect()
        await connection.execute(
            f"{self._deletion}; "  # noqa: S608 -- names of ours
            "INSERT INTO changes (seq, xid, entity, entity_id, action, mark) "
            "VALUES (0, 0, '', '0', '', 1)"
        )

    async def _end_others(self) -> None:
        await self._connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    async def _connect(self) -> Any:
        import asyncpg  # pyright: ignore[reportMissingTypeStubs]

        self._connection = connection = await cast(Any, asyncpg).connect(self.url)
        await connection.execute(f"SET lock_timeout = {int(self._busy_timeout * 1000)}")
        # The feed last: what is deleted before it may write to it.
        tables = sorted(metadata.sorted_tables, key=lambda table: table.name == "changes")
        try:
            await connection.execute("SET session_replication_role = replica")  # no triggers
            deletions = [f'DELETE FROM "{table.name}"' for table in tables]  # noqa: S608 -- ours
            self._deletion = ";".join(deletions)
        except asyncpg.InsufficientPrivilegeError:  # only a superuser may have none
            self._deletion = "TRUNCATE " + ", ".join(f'"{table.name}"' for table in tables)
        return connection

    async def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
