"""The databases that tests run on.

One more is one function here, which gives the URL of an empty database at the newest schema, and
one line in `DATABASES`. What is in `contract/` then runs on it too.
"""

import shutil
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager

import pytest

from cw_store.testing.databases import MigratedDatabase, new_copy

Fresh = Callable[[], str]
"""Gives the URL of another new database with each call."""


@contextmanager
def on_a_file(request: pytest.FixtureRequest) -> Generator[str]:
    path = new_copy(request.getfixturevalue("migrated_file"))
    yield str(path)
    shutil.rmtree(path.parent)


@contextmanager
def in_memory(request: pytest.FixtureRequest) -> Generator[str]:
    yield ":memory:"


@contextmanager
def on_a_server(request: pytest.FixtureRequest) -> Generator[str]:
    database: MigratedDatabase = request.getfixturevalue("migrated_database")
    yield database.url
    database.empty()


DATABASES: dict[str, Callable[[pytest.FixtureRequest], AbstractContextManager[str]]] = {
    "file": on_a_file,
    "memory": in_memory,
    "postgres": on_a_server,
}
