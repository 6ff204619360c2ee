"""The contract runs on any database, for whoever gives one fixture."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from programs import SOURCE, environment

TESTS = Path(__file__).parent
CONTRACT = TESTS / "contract"

ANOTHER_DATABASE = """
import asyncio
import shutil
import pytest
from cw_store import ensure_schema

@pytest.fixture(scope="session")
def template(tmp_path_factory):
    path = tmp_path_factory.mktemp("template") / "another.db"
    asyncio.run(ensure_schema(path))
    return path

@pytest.fixture
def database(template, tmp_path):
    return str(shutil.copy(template, tmp_path))
"""


@pytest.mark.parametrize("part", ["test_calls.py", "test_times.py", "repos/test_tasks.py"])
def test_one_fixture_runs_the_contract_on_another_database(part: str, tmp_path: Path) -> None:
    (tmp_path / "another_database.py").write_text(ANOTHER_DATABASE)
    path = os.pathsep.join(map(str, (SOURCE, TESTS, tmp_path)))
    plugin = ["-p", "another_database", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'run'}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugin, f"--confcutdir={CONTRACT}", CONTRACT / part],
        cwd=TESTS.parent,
        env=environment(PYTHONPATH=path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout and " skipped" not in done.stdout
