"""A SQLite file whose schema is changed: tables built anew while other tables point to them."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import inspect

from builders import add_task
from cw_store import SchemaError, Store
from cw_store.backends.sqlite.migrating import sqlite_connection
from cw_store.migrations import revisions, upgrade
from cw_store.schema import metadata_on
from cw_store.triggers import triggers_on
from other_program import rows, tables

metadata = metadata_on("sqlite")

LATER = Path(__file__).parents[2] / "migrations"
"""A folder of migrations that continues the library's own."""


@pytest.fixture
def current(tmp_path: Path, migrated_file: Path) -> Path:
    """A database that is up to date and empty."""
    path = tmp_path / "cw.db"
    path.write_bytes(migrated_file.read_bytes())
    return path


@pytest.fixture
async def family(current: Path) -> Path:
    """A database in which rows point to initiatives and to tasks, with every action on delete."""
    async with Store(current) as store:
        async with store.unit_of_work() as uow:
            for number in range(3):
                initiative = await uow.initiatives.create(name=f"{number}")
                phase = await uow.phases.create(initiative_id=initiative.id, name="p")
                parent = await add_task(uow, phase_id=phase.id)
                child = await add_task(uow, parent_task_id=parent.id)
                await uow.tasks.create_dependency(child.id, parent.id)
                await uow.agents.create(task_id=child.id, worktree_id="w")
    return current


COUNTED = ("initiatives", "phases", "tasks", "task_dependencies", "agents")


def counts(path: Path) -> dict[str, int]:
    return {table: rows(path, f"SELECT count(*) FROM {table}")[0][0] for table in COUNTED}


def test_tables_built_anew_keep_every_row_that_points_to_them(family: Path) -> None:
    before = counts(family)
    linked = rows(family, "SELECT count(*) FROM agents WHERE task_id IS NOT NULL")
    assert linked == [(3,)]
    with sqlite_connection(family, timeout=5) as connection:
        upgrade(connection, "later_good", LATER)
    assert counts(family) == before
    assert rows(family, "SELECT count(*) FROM agents WHERE task_id IS NOT NULL") == linked
    assert rows(family, "SELECT DISTINCT colour FROM initiatives") == [("green",)]
    assert rows(family, "SELECT DISTINCT weight FROM tasks") == [(1,)]
    assert rows(family, "PRAGMA foreign_key_check") == []
    cascades = [sql for sql in tables(family).values() if "ON DELETE CASCADE" in sql]
    assert any('"tasks"' in sql or " tasks " in sql for sql in cascades)


def test_tables_built_anew_are_guarded_as_before(family: Path) -> None:
    with sqlite_connection(family, timeout=5) as connection:
        upgrade(connection, "later_good", LATER)
        inspector = inspect(connection)
        assert {str(check["name"]) for check in inspector.get_check_constraints("tasks")} == {
            "ck_tasks_claimed",
            "ck_tasks_type",
            "ck_tasks_category",
            "ck_tasks_priority",
            "ck_tasks_status",
        }
        # Of expressions it reads none, and so a table that Alembic builds anew has none.
        assert {index["name"] for index in inspector.get_indexes("tasks")} == {
            str(index.name)
            for index in metadata.tables["tasks"].indexes
            if len(index.columns) == len(index.expressions)
        }
    found = rows(family, "SELECT name FROM sqlite_schema WHERE type = 'trigger'")
    assert {name for (name,) in found} == {trigger.name for trigger in triggers_on("sqlite")}


@pytest.mark.parametrize("kind", ["stopped", "dangling"])
def test_a_migration_that_fails_changes_nothing_and_can_be_tried_again(
    family: Path, kind: str
) -> None:
    before, schema = counts(family), tables(family)
    error = SchemaError if kind == "dangling" else ZeroDivisionError
    for _ in range(2):
        with pytest.raises(error):
            with sqlite_connection(family, timeout=5) as connection:
                upgrade(connection, f"later_{kind}", LATER)
        assert counts(family) == before
        assert tables(family) == schema
    assert rows(family, "SELECT version_num FROM cw_store_version") == [(revisions()[-1],)]
    with sqlite_connection(family, timeout=5) as connection:
        upgrade(connection, "later_good", LATER)
    assert counts(family) == before


def test_references_that_dangled_before_do_not_stop_a_migration(family: Path) -> None:
    other = sqlite3.connect(family)  # with foreign keys off, as in a program of somebody's own
    other.execute("UPDATE agents SET task_id = 'gone'")
    other.commit()
    other.close()
    with sqlite_connection(family, timeout=5) as connection:
        upgrade(connection, "later_good", LATER)
    assert rows(family, "SELECT DISTINCT colour FROM initiatives") == [("green",)]
