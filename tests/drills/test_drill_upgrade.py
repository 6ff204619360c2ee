"""A newer version brings the schema up to date while processes of this one write.

The newer version is a copy of this one with a migration more: one that adds a column, which the
statements of the older processes fit, and one that takes one away, which they do not.
"""

import itertools
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from drill import Drill

from cw_store import Store
from programs import environment, start_program

PROJECT = Path(__file__).parents[2]
NEXT = "9000"
STEPS = {
    "a column more": 'op.add_column("initiatives", sa.Column("goal", sa.Text(), nullable=True))',
    "a column less": 'op.drop_column("initiatives", "branch")',
}
MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision = {revision!r}
down_revision = {before!r}


def upgrade():
    {step}


def downgrade():
    raise NotImplementedError
"""

WRITE = """
import asyncio, sys
from cw_store import SchemaAheadError, Store, StoreBusyError

async def main(url, name):
    async with Store(url, busy_timeout=60) as store:
        for number in range(100_000):
            try:
                await store.initiatives.create(name=f"{name}-{number}", branch="main")
            except SchemaAheadError as error:
                print("ended", error, flush=True)
                return
            print(f"{name}-{number}", flush=True)
            await asyncio.sleep(0.001)

asyncio.run(main(*sys.argv[1:]))
"""
BRING = """
import asyncio, sys
from cw_store import ensure_schema
asyncio.run(ensure_schema(sys.argv[1], busy_timeout=60))
"""
OPEN = """
import asyncio, sys
from cw_store import SchemaAheadError, Store

async def main():
    try:
        async with Store(sys.argv[1]):
            print("opened")
    except SchemaAheadError as error:
        print(error)

asyncio.run(main())
"""

NAMES = """
import asyncio, sys
from sqlalchemy import text
from cw_store import UnitOfWork, Store

async def main():
    async with Store(sys.argv[1]) as store, store.unit_of_work(read_only=True) as uow:
        for (name,) in await uow.session.execute(text("SELECT name FROM initiatives")):
            print(name)

asyncio.run(main())
"""


@pytest.fixture(params=STEPS)
def newer(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """What its migration does, and the folder of a version that is newer by it."""
    folder = tmp_path / "newer"
    for name in ("src", "alembic"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    versions = folder / "alembic" / "versions"
    before = max(path.stem.partition("_")[0] for path in versions.glob("[0-9]*.py"))
    step = STEPS[request.param]
    text = MIGRATION.format(revision=NEXT, before=before, step=step)
    (versions / f"{NEXT}_next.py").write_text(text)
    return request.param, folder


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where the store is."""
    if request.param == "sqlite":
        yield str(tmp_path / "cw.db")
    else:
        url: str = request.getfixturevalue("postgres")
        yield url


def by(folder: Path, code: str, url: str) -> str:
    """Run the code with the version of this folder, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, url],
        env=environment(PYTHONPATH=str(folder / "src")),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


async def test_the_schema_is_upgraded_under_older_processes_and_nothing_is_lost(
    newer: tuple[str, Path], place: str, tmp_path: Path, drill: Drill
) -> None:
    what, folder = newer
    async with Store(place) as store:
        await store.initiatives.create(name="before")
    writers = [start_program(WRITE, place, f"w{n}", cwd=tmp_path) for n in range(3)]
    told: list[list[str]] = [[], [], []]

    def hear(number: int) -> None:
        for writer, lines in zip(writers, told, strict=True):
            assert writer.stdout
            lines += [line.strip() for line in itertools.islice(writer.stdout, number)]

    try:
        hear(drill.amount(20, 500))
        by(folder, BRING, place)
        if what == "a column more":
            hear(drill.amount(300, 3000))
            for writer in writers:
                writer.kill()
        hear(1_000_000)
        assert [writer.stderr.read() for writer in writers if writer.stderr] == ["", "", ""]
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    ends = [lines.pop() for lines in told if lines[-1].startswith("ended")]
    if what == "a column less":
        assert len(ends) == len(writers)
        assert all(re.search(f"at schema {NEXT}.*install a newer cw_store", end) for end in ends)
    else:
        assert ends == [], "their statements fit, and they go on"
    assert re.search(f"at schema {NEXT}.*install a newer cw_store", by(PROJECT, OPEN, place))
    names = by(folder, NAMES, place).split()
    acknowledged = {name for lines in told for name in lines if re.fullmatch(r"w\d-\d+", name)}
    assert acknowledged <= {*names}
    assert len(names) - 1 - len(acknowledged) <= len(writers), "and what was under way"
    drill.held(f"{len(acknowledged):,} acknowledged, none lost; {what}")
