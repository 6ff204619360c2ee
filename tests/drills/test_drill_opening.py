"""Many processes open one database: new ones, and in the middle of a migration."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from drill import Drill, driver
from processes import Worker, Workers
from workers import PREFIX, open_each

import cw_store
from cw_store import Store, migrations
from cw_store.backends.sqlite.migrating import sqlite_connection


def test_processes_open_a_new_file_at_once(tmp_path: Path, drill: Drill, workers: Workers) -> None:
    rounds = drill.amount(2, 10)
    crowd = [workers.start(open_each) for _ in range(8)]
    outcomes: list[str] = []
    for number in range(rounds):
        for worker in crowd:
            worker.tell(str(tmp_path / f"{number}.db"))
        outcomes += [worker.receive() for worker in crowd]
    _end(crowd)
    assert set(outcomes) == {"opened"}
    for number in range(rounds):
        raw = sqlite3.connect(tmp_path / f"{number}.db")
        assert raw.execute("SELECT count(*) FROM initiatives").fetchone() == (8,)
        raw.close()
    drill.held(f"{len(outcomes)} of {8 * rounds} opened")


def test_processes_open_a_new_server_database_at_once(
    postgres: str, drill: Drill, workers: Workers
) -> None:
    crowd = [workers.start(open_each) for _ in range(drill.amount(8, 32))]
    for worker in crowd:
        worker.tell(postgres)
    outcomes = [worker.receive() for worker in crowd]
    _end(crowd)
    assert set(outcomes) == {"opened"}
    drill.held(f"{len(outcomes)} of {len(crowd)} opened")


def _end(crowd: list[Worker]) -> None:
    for one in crowd:
        one.tell(None)
        one.ended()


SLOW_STEP = '''
"""A step of the next version that takes its time."""
import time

import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = {head!r}

def upgrade():
    op.create_table("slow_steps", sa.Column("done", sa.Integer))
    time.sleep({seconds})  # a long migration is what the others have to wait for
    op.execute("INSERT INTO slow_steps VALUES (1)")
'''

OPEN = """
import asyncio, os, sys
import alembic.command
from cw_store import Store

async def main():
    async with Store(sys.argv[1]) as store:
        await store.initiatives.create(name="hello")

children = []
for _ in range(8):
    child = os.fork()
    if child == 0:
        asyncio.run(main())
        os._exit(0)
    children.append(child)
statuses = [os.waitpid(child, 0)[1] for child in children]
sys.exit(sum(status != 0 for status in statuses))
"""


def next_version(folder: Path, seconds: float) -> Path:
    """Make the next version of cw_store, with one migration more; return where it lies."""
    package = folder / "cw_store"
    shutil.copytree(Path(cw_store.__file__).parent, package)
    if not (package / "alembic").exists():
        shutil.copytree(migrations.scripts(), package / "alembic")
    step = SLOW_STEP.format(head=migrations.revisions()[-1], seconds=seconds)
    (package / "alembic" / "versions" / "9999_slow.py").write_text(step)
    return folder


def test_processes_that_open_during_a_long_migration_wait_for_it(
    url: str, drill: Drill, tmp_path: Path
) -> None:
    seconds = drill.amount(1.0, 7.0)
    folder = next_version(tmp_path / "next", seconds)

    async def create() -> None:
        async with Store(url) as store:
            await store.initiatives.create(name="old")

    asyncio.run(create())
    began = time.monotonic()
    openers = subprocess.run(
        [sys.executable, "-c", OPEN, url],
        env={**os.environ, "PYTHONPATH": str(folder)},
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    took = time.monotonic() - began
    assert openers.returncode == 0, openers.stderr.decode()
    assert took > seconds
    assert asyncio.run(_fetch(url, "SELECT count(*) FROM slow_steps")) == 1
    assert asyncio.run(_fetch(url, "SELECT count(*) FROM initiatives")) == 9
    drill.held(f"8 of 8 opened, the migration took {seconds:g} s")


async def _fetch(url: str, query: str) -> int:
    if not url.startswith(PREFIX):
        raw = sqlite3.connect(url)
        try:
            return raw.execute(query).fetchone()[0]
        finally:
            raw.close()
    connection = await driver.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


# A migration that rebuilds a table whose rows have children.

REBUILD = '''
"""Rebuild a table, as every change of a column does on SQLite."""
import sqlalchemy as sa
from alembic import op

revision = {revision!r}
down_revision = {down!r}

def upgrade():
    with op.batch_alter_table("initiatives", recreate="always") as batch:
        batch.add_column(sa.Column("weight_{revision}", sa.Integer, server_default="1"))
    {then}
'''

FAILURES = {
    "an error": 'raise LookupError("in the middle")',
    "SQL that is refused": 'op.execute("INSERT INTO nowhere VALUES (1)")',
    "a reference it breaks": "op.execute(\"DELETE FROM initiatives WHERE name = '3'\")",
}


def test_a_migration_that_rebuilds_a_table_keeps_its_children(
    file: str, tmp_path: Path, drill: Drill
) -> None:
    initiatives = drill.amount(5, 200)

    async def prepare() -> None:
        async with Store(file) as store:
            for number in range(initiatives):
                initiative = await store.initiatives.create(name=f"{number}")
                for _ in range(4):
                    await store.phases.create(initiative_id=initiative.id, name="child")
                page = await store.pages.get_or_create_root_page(initiative.id)
                await store.pages.update(page.id, title="child")

    def apply(name: str, down: str, then: str) -> Callable[[], None]:
        folder = tmp_path / "steps" / name
        shutil.copytree(migrations.scripts(), folder)
        step = REBUILD.format(revision="9990", down=down, then=then)
        (folder / "versions" / "9990_rebuild.py").write_text(step)

        def run() -> None:
            with sqlite_connection(Path(file), timeout=5) as connection:
                migrations.upgrade(connection, folder=folder)

        return run

    def look() -> tuple[object, ...]:
        raw = sqlite3.connect(file)
        schema = raw.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name").fetchall()
        rows = [
            raw.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
            for table in ("initiatives", "phases", "pages", "cw_store_version")
        ]
        raw.close()
        return schema, rows

    asyncio.run(prepare())
    head = migrations.revisions()[-1]
    before = look()
    for name, then in FAILURES.items():
        with pytest.raises(Exception):  # noqa: B017 -- each fails in its own way
            apply(name, head, then)()
        assert look() == before, f"{name} left something behind"
    apply("good", head, "pass")()
    raw = sqlite3.connect(file)
    children = [
        raw.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("phases", "pages")
    ]
    assert raw.execute("SELECT count(weight_9990) FROM initiatives").fetchone() == (initiatives,)
    assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
    raw.close()
    assert children == [4 * initiatives, initiatives]
    drill.held(f"{sum(children)} children kept, {len(FAILURES)} failures undone, then applied")
