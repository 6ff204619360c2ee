"""What holds of a database of every earlier schema: it comes up to date, and goes back.

`migrations/` keeps one of each for both databases. What each step changes, and refuses, is tried in
the files named after them.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cw_store.revisions import revisions
from cw_store.testing.postgres_server import PostgresServer
from old_database import KEPT as FOLDER
from old_database import Database, differences, kept, schema_of

KEPT = {"0001": "first_release", "0002": "second_schema", "0003": "third_schema"} | {
    folder.name.removeprefix("schema_"): folder.name for folder in sorted(FOLDER.glob("schema_*"))
}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=KEPT)
def revision(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, revision: str, tmp_path: Path) -> Iterator[Database]:
    """A database of this revision."""
    with kept(KEPT[revision], request, tmp_path / "cw.db") as database:
        yield database


def test_a_database_of_every_earlier_schema_is_kept() -> None:
    assert {*KEPT} - {revisions()[-1]} == {*revisions()[:-1]}


def test_every_row_is_kept(old: Database, revision: str) -> None:
    before = old.rows()
    assert all(before.values()), "each is to hold rows"
    assert (revision,) in old.query("SELECT version_num FROM cw_store_version")
    old.upgrade()
    assert old.rows() == before


def test_autogenerate_finds_no_difference_to_the_schema(old: Database) -> None:
    old.upgrade()
    assert differences(old) == []


def test_an_old_database_becomes_what_a_new_one_is(
    old: Database, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    old.upgrade()
    new = Database(str(tmp_path / "new.db"), "sqlite")
    if old.dialect == "postgresql":
        server: PostgresServer = request.getfixturevalue("server")
        new = Database(server.create_database(), "postgresql")
    new.upgrade()
    assert schema_of(old) == schema_of(new)


def test_there_and_back_and_there_again_is_the_same(old: Database, revision: str) -> None:
    before, first = old.rows(), schema_of(old)
    old.upgrade()
    second = schema_of(old)
    old.downgrade(revision)
    assert (old.rows(), schema_of(old)) == (before, first)
    assert old.query("SELECT version_num FROM cw_store_version") == [(revision,)]
    old.upgrade()
    assert (old.rows(), schema_of(old)) == (before, second)
