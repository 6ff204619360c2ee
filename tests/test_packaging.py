"""The wheel: what it carries, and that it is enough."""

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from programs import environment

PROJECT = Path(__file__).parents[1]

OPEN = """
import asyncio, sys
import cw_store
from cw_store import UnitOfWork

async def main():
    async with UnitOfWork() as uow:
        await uow.initiatives.create(name="a")
    async with UnitOfWork(read_only=True) as uow:
        print(len(await uow.initiatives.find_all()))

print(cw_store.__file__)
asyncio.run(main())
"""


def pip(*arguments: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT.parent,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    offline = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    pip("wheel", "--quiet", "--no-deps", *offline, "--wheel-dir", folder, PROJECT)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_carries_the_migrations_and_the_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    versions = (PROJECT / "alembic" / "versions").glob("*.py")
    assert {f"cw_store/alembic/versions/{version.name}" for version in versions} <= names
    assert {"cw_store/py.typed", "cw_store/alembic/env.py", "cw_store/alembic/script.py.mako"} <= (
        names
    )
    assert "cw_store/alembic/__init__.py" not in names, "it would be in alembic's way"
    assert {name.split("/")[0].split("-")[0] for name in names} == {"cw_store"}
    others = [name for name in names if not name.startswith("cw_store/testing/")]
    assert not [name for name in others if "test" in name]
    assert not [name for name in names if name.endswith(".pyc")]
    modules = (PROJECT / "src").rglob("*.py")
    assert {str(module.relative_to(PROJECT / "src")) for module in modules} <= names


def test_the_wheel_is_enough_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    installed, empty = tmp_path / "installed", tmp_path / "empty"
    empty.mkdir()
    pip("install", "--quiet", "--no-deps", "--no-index", "--target", installed, wheel)
    done = subprocess.run(
        [sys.executable, "-c", OPEN],
        cwd=empty,
        env=environment(PYTHONPATH=str(installed)),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(installed / "cw_store" / "__init__.py"), "1"]
    assert sorted(file.name for file in empty.iterdir()) == ["cw.db", "cw.db-turns"]
