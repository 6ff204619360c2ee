"""A database of the third schema comes up to the feed of changes with every row, and back.

`migrations/third_schema/` holds one for each database: that of the second, brought up to date, with
claims that are live, ended, failed and taken back, and limits.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cw_store import SchemaError, Store
from cw_store.testing.postgres_server import PostgresServer
from cw_store.triggers import triggers_on
from old_database import (
    KEY,
    OWN,
    TRIGGERS,
    Database,
    kept,
    own,
    schema_of,
)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of the third schema."""
    with kept("third_schema", request, tmp_path / "cw.db") as database:
        yield database


def test_the_feed_begins_with_nothing_of_what_was_before(old: Database) -> None:
    old.upgrade()
    assert old.query("SELECT seq, entity_id, action FROM changes") == [(0, "0", "")]


async def test_it_is_used_as_any_other(old: Database) -> None:
    async with Store(old.url, encryption_keys=[KEY]) as store:
        held = [claim for claim in await store.claims.find_live() if claim.task.name == "held"]
        async with store.unit_of_work(read_only=True) as uow:
            position = await uow.changes.position()
        await store.claims.complete(held[0])
        waiting = await store.tasks.find_by_id("waiting-task")
        assert waiting and waiting.open_dependencies == 0
        async with store.unit_of_work(read_only=True) as uow:
            page = await uow.changes.read(position, entities=["tasks"])
    assert [change.entity_id for change in page.changes] == ["held-task", "waiting-task"]
    assert {change.initiative_id for change in page.changes} == {"limited-initiative"}


def test_what_an_application_added_is_kept(old: Database) -> None:
    old.execute(*OWN, *TRIGGERS[old.dialect])
    theirs = own(old)
    notes = old.query("SELECT * FROM app_notes")
    for change in (old.upgrade, lambda: old.downgrade("0003"), old.upgrade):
        change()
        assert own(old) == theirs
        assert old.query("SELECT * FROM app_notes") == notes, "no row changed for the triggers"
    old.execute("UPDATE tasks SET summary = 'new' WHERE id = 'k-task'")
    assert len(old.query("SELECT * FROM app_notes WHERE note = 'changed 100%'")) >= 1
    assert ("k-task", "update") in old.query("SELECT entity_id, action FROM changes")


IN_THE_WAY = {
    "sqlite": [
        ("CREATE TABLE Changes (a INTEGER)", "changes"),
        ("CREATE VIEW pk_changes AS SELECT 1", "pk_changes"),
        (
            "CREATE TRIGGER cw_store_changes_own AFTER DELETE ON pages BEGIN SELECT 1; END",
            "cw_store_changes_own",
        ),
    ],
    "postgresql": [
        ("CREATE TABLE changes (a INTEGER)", "changes"),
        ("CREATE INDEX ix_changes_xid_seq ON tasks (status)", "ix_changes_xid_seq"),
        ("CREATE SEQUENCE changes_seq_seq", "changes_seq_seq"),
        (
            "CREATE FUNCTION cw_store_changes_own() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "cw_store_changes_own",
        ),
    ],
}


@pytest.mark.parametrize("number", range(4))
def test_a_name_that_is_taken_is_told_and_nothing_is_changed(old: Database, number: int) -> None:
    ways = IN_THE_WAY[old.dialect]
    if number >= len(ways):
        pytest.skip("there are no more ways here")
    statement, told = ways[number]
    old.execute(statement)
    before, schema = old.rows(), schema_of(old)
    with pytest.raises(SchemaError, match=f"called {told}.*Nothing was changed"):
        old.upgrade()
    assert (old.rows(), schema_of(old)) == (before, schema)


def test_the_triggers_are_not_there_without_the_table(old: Database) -> None:
    names = {trigger.name for trigger in triggers_on(old.dialect)}
    triggers = (
        "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
        if old.dialect == "sqlite"
        else "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
    )
    before = old.query(triggers)
    assert before
    old.upgrade()
    assert {name for (name,) in old.query(triggers)} == names
    old.downgrade("0003")
    assert sorted(old.query(triggers)) == sorted(before)
    if old.dialect == "postgresql":
        left = "SELECT proname FROM pg_proc WHERE proname LIKE 'cw\\_store\\_changes\\_%%'"
        assert old.query(left) == []


def test_a_file_without_the_feed_is_written_as_before(old: Database) -> None:
    if old.dialect == "postgresql":
        pytest.skip("the same, with another driver")
    old.upgrade()
    old.downgrade("0003")
    with closing(sqlite3.connect(old.url)) as raw:
        raw.execute("UPDATE tasks SET status = 'completed' WHERE id = 'late-task'")
        raw.commit()
    assert old.query("SELECT status FROM tasks WHERE id = 'late-task'") == [("completed",)]
