"""A database of the second schema comes up to claims and leases with every row, and back.

`migrations/second_schema/` holds one for each database: that of the first release, brought up to
date, with rows of that time besides.
"""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cw_store import SchemaError, Store, copy_store, ensure_schema, migration_sql
from cw_store.revisions import revisions
from cw_store.testing.postgres_server import PostgresServer
from cw_store.triggers import triggers_on
from old_database import (
    KEY,
    OWN,
    TRIGGERS,
    Database,
    kept,
    own,
    run,
    schema_of,
)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of the second schema."""
    with kept("second_schema", request, tmp_path / "cw.db") as database:
        yield database


def test_what_each_row_waits_for_is_counted(old: Database) -> None:
    old.upgrade()
    open_phases = old.query(
        "SELECT id, open_dependencies FROM phases WHERE initiative_id = 'initiative' ORDER BY id"
    )
    assert open_phases == [
        ("first-phase", 0),
        ("last-phase", 2),
        ("second-phase", 0),
        ("third-phase", 0),
    ]
    open_tasks = old.query(
        "SELECT id, open_dependencies FROM tasks WHERE name IN ('one', 'two', 'three', 'four', "
        "'five') ORDER BY id"
    )
    assert open_tasks == [
        ("five-task", 1),
        ("four-task", 2),
        ("one-task", 0),
        ("three-task", 0),
        ("two-task", 0),
    ]


def test_the_new_columns_are_empty_or_have_their_defaults(old: Database) -> None:
    old.upgrade()
    for columns, values in (
        ("max_retries, not_before, claimed_by_agent_id, epoch FROM tasks", (3, None, None, 0)),
        ("holder, lease_expires_at, epoch FROM agents", (None, None, None)),
        ("max_agents, dispatch_turn FROM initiatives", (None, None)),
        ("max_agents FROM accounts", (None,)),
    ):
        assert set(old.query(f"SELECT {columns}")) == {values}


async def test_it_is_used_as_any_other(old: Database) -> None:
    async with Store(old.url, encryption_keys=[KEY]) as store:
        account = await store.accounts.find_by_id("bound-account")
        assert account and account.credentials == "token bound"
        await store.tasks.update("two-task", status="completed")
        await store.tasks.update("three-task", status="completed")
        waiting = await store.tasks.find_by_id("four-task")
        assert waiting and waiting.open_dependencies == 0
        await store.initiatives.update("initiative", max_agents=3)


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        (
            (
                "UPDATE tasks SET claimed_by_agent_id = 'running-agent' WHERE id = 'three-task'",
                "UPDATE agents SET lease_expires_at = updated_at WHERE id = 'running-agent'",
            ),
            "1 tasks are claimed",
        ),
        (
            ("UPDATE agents SET lease_expires_at = updated_at WHERE id = 'running-agent'",),
            "1 agents have a lease that is live",
        ),
        (("UPDATE tasks SET not_before = updated_at WHERE id = 'one-task'",), "1 tasks are not"),
        (("UPDATE tasks SET max_retries = 2 WHERE id = 'one-task'",), "1 tasks may be retried"),
        (("UPDATE initiatives SET max_agents = 2 WHERE id = 'initiative'",), "1 initiatives"),
        (("UPDATE accounts SET max_agents = 1 WHERE id = 'bound-account'",), "1 accounts"),
    ],
    ids=["claim", "lease", "not before", "retries", "initiative", "account"],
)
def test_what_the_second_schema_cannot_hold_does_not_go_back(
    old: Database, statements: tuple[str, ...], told: str
) -> None:
    old.upgrade()
    old.execute(*statements)
    before, schema = old.rows(), schema_of(old)
    with pytest.raises(SchemaError, match=f"{told}.*Nothing was changed"):
        old.downgrade("0002")
    assert (old.rows(), schema_of(old)) == (before, schema)


def test_what_an_application_added_is_kept(old: Database) -> None:
    old.execute(*OWN, *TRIGGERS[old.dialect])
    theirs = own(old)
    tickets = old.query("SELECT id, ticket FROM tasks ORDER BY id")
    notes = old.query("SELECT * FROM app_notes")
    for change in (old.upgrade, lambda: old.downgrade("0002"), old.upgrade):
        change()
        assert own(old) == theirs
        assert old.query("SELECT id, ticket FROM tasks ORDER BY id") == tickets
        assert old.query("SELECT * FROM app_notes") == notes, "no row changed for the triggers"
        assert old.query("SELECT * FROM app_view") == [("m-task", "X-1", "mind the gap")]
    old.execute("UPDATE tasks SET summary = 'new' WHERE id = 'k-task'")
    assert len(old.query("SELECT * FROM app_notes WHERE note = 'changed 100%'")) >= 1


IN_THE_WAY = {
    "sqlite": [
        ("CREATE INDEX ix_tasks_open ON tasks (status)", "ix_tasks_open"),
        ("CREATE VIEW ix_agents_lease AS SELECT 1", "ix_agents_lease"),
        (
            "CREATE TRIGGER cw_store_own AFTER DELETE ON pages BEGIN SELECT 1; END",
            "cw_store_own",
        ),
        ("CREATE TABLE store_state (a INTEGER)", "store_state"),
    ],
    "postgresql": [
        ("CREATE INDEX ix_tasks_open ON tasks (status)", "ix_tasks_open"),
        ("CREATE VIEW ix_agents_lease AS SELECT 1", "ix_agents_lease"),
        (
            "CREATE FUNCTION cw_store_own() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "cw_store_own",
        ),
        (
            "ALTER TABLE tasks ADD CONSTRAINT ck_tasks_claimed CHECK (name <> 'x')",
            "ck_tasks_claimed",
        ),
        ("CREATE TABLE store_state (a INTEGER)", "store_state"),
    ],
}


@pytest.mark.parametrize("number", range(5))
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


@pytest.mark.parametrize(
    "column", ["tasks.epoch", "tasks.claimed_by_agent_id", "agents.HOLDER", "accounts.max_agents"]
)
def test_a_column_that_is_there_is_told_and_nothing_is_changed(old: Database, column: str) -> None:
    table, _, name = column.partition(".")
    old.execute(f"ALTER TABLE {table} ADD COLUMN {name} INTEGER")
    before, schema = old.rows(), schema_of(old)
    with pytest.raises(SchemaError, match=f"{table} has a column {name.lower()} .*Nothing was"):
        old.upgrade()
    assert (old.rows(), schema_of(old)) == (before, schema)


USES = {
    "sqlite": (
        "CREATE INDEX app ON tasks (epoch)",
        "CREATE VIEW app AS SELECT id, claimed_by_agent_id FROM tasks",
        "CREATE TRIGGER app AFTER UPDATE OF holder ON agents BEGIN SELECT new.holder; END",
    ),
    "postgresql": (
        "CREATE INDEX app ON tasks (epoch)",
        "CREATE VIEW app AS SELECT id, claimed_by_agent_id FROM tasks",
        "CREATE VIEW app AS SELECT * FROM phases",
        "ALTER TABLE accounts ADD CONSTRAINT app CHECK (max_agents < 100)",
    ),
}


@pytest.mark.parametrize("number", range(4))
def test_what_uses_the_new_columns_is_named_before_they_go(old: Database, number: int) -> None:
    uses = USES[old.dialect]
    if number >= len(uses):
        pytest.skip("there are no more ways here")
    old.upgrade()
    if old.dialect == "sqlite":
        with closing(sqlite3.connect(old.url)) as raw:
            raw.execute(uses[number])
    else:
        old.execute(uses[number])
    before, schema = old.rows(), schema_of(old)
    with pytest.raises(SchemaError, match=r"what the application has made.*[Nn]othing was changed"):
        old.downgrade("0002")
    assert (old.rows(), schema_of(old)) == (before, schema)


@pytest.mark.parametrize("other", ["sqlite", "postgresql"])
async def test_claims_and_leases_are_copied(
    old: Database, other: str, tmp_path: Path, server: PostgresServer
) -> None:
    await asyncio.to_thread(old.upgrade)
    await asyncio.to_thread(
        old.execute,
        "UPDATE tasks SET claimed_by_agent_id = 'running-agent', epoch = 7 WHERE id = 'three-task'",
        "UPDATE agents SET lease_expires_at = updated_at, holder = 'host/1', epoch = 7 "
        "WHERE id = 'running-agent'",
        # What a claimed and a completed task wait for is not counted.
        "UPDATE tasks SET status = 'completed' WHERE id = 'five-task'",
        "UPDATE tasks SET status = 'pending' WHERE id = 'one-task'",
        "UPDATE tasks SET status = 'completed' WHERE id = 'four-task'",
    )
    copy = Database(str(tmp_path / "copy.db"), "sqlite")
    if other == "postgresql":
        copy = Database(server.create_database(), "postgresql")
    await copy_store(old.url, copy.url)
    claims = (
        "SELECT id, status, claimed_by_agent_id, epoch, open_dependencies FROM tasks ORDER BY id"
    )
    assert copy.query(claims) == old.query(claims)
    assert ("three-task", "in_progress", "running-agent", 7, 0) in copy.query(claims)
    leases = "SELECT count(*) FROM agents WHERE lease_expires_at = updated_at AND epoch = 7"
    assert copy.query(leases) == [(1,)]


def test_the_triggers_are_not_there_without_their_columns(old: Database) -> None:
    names = {trigger.name for trigger in triggers_on(old.dialect)}
    triggers = (
        "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
        if old.dialect == "sqlite"
        else "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
    )
    old.upgrade()
    assert {name for (name,) in old.query(triggers)} == names
    old.downgrade("0002")
    assert old.query(triggers) == []


def test_it_is_brought_as_far_as_it_is_asked_for_and_then_on(old: Database) -> None:
    run(ensure_schema(old.url, revision="0003"))
    assert old.query("SELECT version_num FROM cw_store_version") == [("0003",)]
    assert old.query("SELECT DISTINCT max_retries FROM tasks") == [(3,)]
    run(ensure_schema(old.url, revision="0002"))
    assert old.query("SELECT version_num FROM cw_store_version") == [("0003",)], "there is no back"
    old.upgrade()
    assert old.query("SELECT version_num FROM cw_store_version") == [(revisions()[-1],)]


def test_a_schema_that_is_unknown_is_refused_before_anything_is_done(old: Database) -> None:
    with pytest.raises(ValueError, match="there is no schema '0099'; this cw_store knows 0001, "):
        run(ensure_schema(old.url, revision="0099"))
    assert old.query("SELECT version_num FROM cw_store_version") == [("0002",)]


def test_the_sql_that_would_bring_it_up_to_date_does(old: Database) -> None:
    statements = run(migration_sql(old.url))
    assert old.query("SELECT version_num FROM cw_store_version") == [("0002",)], "nothing is done"
    old.execute(*statements)
    assert run(migration_sql(old.url)) == []
    by_hand = schema_of(old)
    old.downgrade("0002")
    old.upgrade()
    assert schema_of(old) == by_hand
