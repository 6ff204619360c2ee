"""The databases that tests run on.

One more is one function here, which gives the URL of an empty database at the newest schema, and
one line in `DATABASES`. What is in `contract/` then runs on it too.
"""

import asyncio
import itertools
import shutil
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
import pytest

from cw_store import ensure_schema
from cw_store.schema import changes, metadata

T = TypeVar("T")

_numbers = itertools.count(1)


class MigratedDatabase:
    """A server's database at the newest schema, which can be emptied, for a `with` block.

    It is emptied by deleting all rows, since a new database for each test would take ten times as
    long; and by one connection, since a new one first reads the catalog for as long as all else
    takes. That has a thread of its own: a test's event loop may be running in any other.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._thread = ThreadPoolExecutor(1, "empties a database")
        self._runner = asyncio.Runner()
        self._connection: Any = None  # asyncpg has no types

    def __enter__(self) -> Self:
        self._run(ensure_schema(self.url))
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._disconnect())
        self._thread.submit(self._runner.close).result()
        self._thread.shutdown()

    def empty(self) -> None:
        """Delete all rows."""
        try:
            self._run(self._empty())
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            self._connection = None  # a test has ended it, or the server
            self._run(self._empty())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._thread.submit(self._runner.run, work).result()

    async def _empty(self) -> None:
        if self._connection is None:
            self._connection = await cast(Any, asyncpg).connect(self.url)
            await self._connection.execute("SET session_replication_role = replica")  # no triggers
        tables = [table.name for table in metadata.sorted_tables if table is not changes]
        await self._connection.execute(";".join(f'DELETE FROM "{name}"' for name in tables))
        await self._connection.execute("DELETE FROM changes")
        await self._connection.execute(
            "INSERT INTO changes (seq, xid, entity, entity_id, action, mark) "
            "VALUES (0, 0, '', '0', '', 1)"
        )

    async def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()


@contextmanager
def file_database(request: pytest.FixtureRequest) -> Generator[str]:
    template: Path = request.getfixturevalue("migrated_file")
    folder = template.with_name(f"store-{next(_numbers)}")
    folder.mkdir()
    # Nobody has the template open, so the copy is whole.
    yield str(shutil.copyfile(template, folder / "cw.db"))
    shutil.rmtree(folder)


@contextmanager
def memory_database(request: pytest.FixtureRequest) -> Generator[str]:
    yield ":memory:"


@contextmanager
def postgres_database(request: pytest.FixtureRequest) -> Generator[str]:
    database: MigratedDatabase = request.getfixturevalue("migrated_database")
    yield database.url
    database.empty()


DATABASES: dict[str, Callable[[pytest.FixtureRequest], AbstractContextManager[str]]] = {
    "file": file_database,
    "memory": memory_database,
    "postgres": postgres_database,
}
