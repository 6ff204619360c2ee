"""Say whether a release is right, and what to type then: `make release`. Uploads nothing.

`--rehearse` (`make rehearsal`) does the same of whatever is in the tree, and only tells what of the
number, the changelog and the tree is not right yet.
"""

import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[1]
NOT_FOR_USERS = {"bench", "dev", "examples", "mutants", "release"}
VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
SECTION = re.compile(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", re.MULTILINE)
TEN_LINES = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

SMOKE = """
import asyncio, sys
from importlib.metadata import version
import cw_store
from cw_store import Store, UnitOfWork

async def main():
    async with UnitOfWork() as uow:
        initiative = await uow.initiatives.create(name="Smoke")
    async with Store(":memory:") as store:
        assert await store.initiatives.find_by_id(initiative.id) is None

asyncio.run(main())
assert cw_store.__version__ == version("cw-store")
assert cw_store.__file__.startswith(sys.prefix), cw_store.__file__
"""
ENCRYPT = """
import asyncio
from cryptography.fernet import Fernet
from cw_store import Store

async def main():
    async with Store("secret.db", encryption_keys=[Fernet.generate_key().decode()]) as store:
        account = await store.accounts.create(email="a@b.example", credentials="secret")
        assert (await store.accounts.find_by_id(account.id)).credentials == "secret"

asyncio.run(main())
assert b"secret" not in open("secret.db", "rb").read()
"""
COMMANDS = (
    ["version"],
    ["demo", "--url", "demo.db"],
    ["--url", "demo.db", "inbox"],
    ["--url", "demo.db", "ready", "--explain"],
    ["--url", "demo.db", "status"],
)
PROGRAMS = {
    "postgres": "import asyncpg, cw_store; cw_store.Store('postgresql://nobody@localhost/none')",
    "crypto": ENCRYPT,
    "live": "from cw_store.live import application, report_page",
}
"""What is tried with an extra besides the store itself, and the commands where they are."""


def number() -> str:
    """Return the version that the source says."""
    found = VERSION.search((PROJECT / "src/cw_store/__init__.py").read_text())
    assert found, "src/cw_store/__init__.py says no version"
    return found[1]


def faults(version: str, changelog: str) -> Iterator[str]:
    """Say what a changelog lacks for this version to be released."""
    sections = [*SECTION.finditer(changelog)]
    if not sections or sections[0][1] != "Unreleased":
        yield "CHANGELOG.md does not begin with ## [Unreleased]"
        return
    newest = sections[1] if len(sections) > 1 else None
    if newest is None or newest[1] != version or newest[2] is None:
        yield f"CHANGELOG.md has no section ## [{version}] - YYYY-MM-DD below [Unreleased]"
    elif changelog[sections[0].end() : newest.start()].strip():
        yield f"CHANGELOG.md has lines under [Unreleased], which {version} would leave out"


def state_of_tree(version: str) -> Iterator[str]:
    """Say why this tree cannot be released under this version."""
    if run("git", "status", "--porcelain"):
        yield "the tree has changes; commit them, or take them away"
    if run("git", "tag", "--list", f"v{version}"):
        yield f"there is a tag v{version}; a number is used once"


def run(*command: str | Path, cwd: Path = PROJECT) -> str:
    """Run a program and return what it prints; one that fails ends this."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        told = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        raise SystemExit(f"failed: {' '.join(map(str, command))}\n{told}")
    return done.stdout.strip()


def build(folder: Path) -> tuple[Path, Path]:
    """Build the sdist, the wheel from it, and see that the tree gives the same wheel."""
    python = Path(sys.executable)
    run(python, "-m", "build", "--outdir", folder, PROJECT)
    run(python, "-m", "build", "--wheel", "--outdir", folder / "tree", PROJECT)
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    (of_tree,) = (folder / "tree").glob("*.whl")
    one, other = contents(wheel), contents(of_tree)
    differing = sorted(name for name, _ in one.items() ^ other.items())
    if differing:
        raise SystemExit(f"sdist and tree give different wheels: {', '.join(differing)}")
    return wheel, sdist


def contents(wheel: Path) -> dict[str, int]:
    """Return the names and check sums of what is in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {file.filename: file.CRC for file in archive.infolist()}


def tell(wheel: Path, sdist: Path) -> None:
    """List what is in them, by folder."""
    with tarfile.open(sdist) as archive:
        names = [member.name.partition("/")[2] for member in archive if member.isfile()]
    for file, inside in ((wheel, [*contents(wheel)]), (sdist, names)):
        print(f"{file.name}  {file.stat().st_size / 1024:,.0f} KiB")
        folders = sorted({name.partition("/")[0] for name in inside})
        for folder in folders:
            number = sum(name == folder or name.startswith(f"{folder}/") for name in inside)
            print(f"  {number:5}  {folder}")


def extras() -> list[str]:
    """Return the extras that a user may install, and none first."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    return ["", *sorted(project["optional-dependencies"].keys() - NOT_FOR_USERS)]


def pythons() -> list[str]:
    """Return this Python and the others of the machine."""
    return [sys.executable, *run(sys.executable, "tests/pythons.py").splitlines()]


def try_wheel(wheel: Path, python: str, extra: str) -> None:
    """Install it into an empty environment, and use it in an empty folder."""
    with tempfile.TemporaryDirectory(prefix="cw-release-") as folder:
        here = Path(folder, "empty")
        here.mkdir()
        run(python, "-m", "venv", Path(folder, "environment"))
        programs = Path(folder, "environment", "bin")
        wanted = f"{wheel}[{extra}]" if extra else str(wheel)
        quiet = ("--quiet", "--disable-pip-version-check")
        constraints = PROJECT / "constraints.txt"
        run(programs / "python", "-m", "pip", "install", *quiet, "-c", constraints, wanted)
        run(programs / "python", "-m", "pip", "check")
        ten_lines = TEN_LINES.search((PROJECT / "README.md").read_text())
        assert ten_lines, "README.md shows no program"
        for program in (SMOKE, ten_lines[1], PROGRAMS.get(extra, "")):
            run(programs / "python", "-I", "-c", program, cwd=here)
        if extra in ("cli", "live"):
            for command in COMMANDS:
                run(programs / "cw-store", *command, cwd=here)


def main() -> None:
    """Check, build, try; say what to type next."""
    version, is_rehearsal = number(), "--rehearse" in sys.argv[1:]
    wrong = [*state_of_tree(version), *faults(version, (PROJECT / "CHANGELOG.md").read_text())]
    if wrong and not is_rehearsal:
        raise SystemExit("\n".join(wrong))
    folder = PROJECT / "dist" / version
    for old in folder.rglob("*.*"):
        old.unlink()
    wheel, sdist = build(folder)
    tell(wheel, sdist)
    print(run(Path(sys.executable).parent / "twine", "check", "--strict", wheel, sdist))
    for python in pythons():
        for extra in extras():
            try_wheel(wheel, python, extra)
            named = f"cw-store[{extra}]" if extra else "cw-store"
            print(f"{run(python, '--version')}: {named} works", flush=True)
    print("".join(f"not yet: {fault}\n" for fault in wrong), end="")
    print(f"then:  git tag --sign v{version} && git push origin v{version}")
    print(f"       twine upload {wheel} {sdist}")


if __name__ == "__main__":
    main()
