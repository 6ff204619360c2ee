"""Do what a page of docs/take-part says, in a copy of the project.

A block whose title is a file is that file, or a `diff` of it; `console` holds what is typed; the
`python` block without a title that is a whole program is run with a store's URL, and the `text`
block behind it is what it prints.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).parents[2]
COPIED = ("src", "alembic", "tests", "pyproject.toml", "Makefile", "constraints.txt", "README.md")
BLOCK = re.compile(
    r'^```(?P<kind>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL
)


class Block(NamedTuple):
    """A block of code of a page."""

    kind: str
    title: str | None
    text: str


def blocks_of(page: str) -> list[Block]:
    """Return the blocks of a page of docs/take-part, in order."""
    text = (PROJECT / "docs" / "take-part" / page).read_text()
    return [Block(found["kind"], found["title"], found["text"]) for found in BLOCK.finditer(text)]


def changed(text: str, diff: str) -> str:
    """Apply a diff that has no line numbers: what it finds is to be there once."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    after = "".join(line[1:] for line in lines if line[0] in " +")
    assert text.count(before) == 1, f"this is there {text.count(before)} times:\n{before}"
    return text.replace(before, after)


class Copy:
    """A copy of the project, in which this environment's programs run on its own source."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in COPIED:
            if (PROJECT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(PROJECT / name, folder / name, ignore=ignored)
            else:
                shutil.copy2(PROJECT / name, folder / name)

    def run(self, *command: str, **variables: str) -> str:
        """Run a program there and return what it prints; one that fails is an AssertionError."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(self.folder / "src"), **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def python(self, *arguments: str) -> str:
        """Run this Python there."""
        return self.run(sys.executable, *arguments)

    def make(self, *arguments: str) -> str:
        """Run make there with the environment that there is."""
        ready = f"{sys.prefix}/.ready"
        return self.run("make", "-s", "-o", ready, f"VENV={sys.prefix}", *arguments)

    def write(self, blocks: list[Block]) -> None:
        """Write and change the files that the blocks are titled with."""
        for block in blocks:
            if block.title is not None:
                file = self.folder / block.title
                if block.kind == "diff":
                    file.write_text(changed(file.read_text(), block.text))
                else:
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text(block.text)

    def migration(self, blocks: list[Block]) -> tuple[str, str]:
        """Make the migration as the page types it; return its steps, and those of the page.

        What the page says stands in the file afterwards.
        """
        typed = "".join(block.text for block in blocks if block.kind == "console")
        message = re.search(r'^\$ make migration m="(.*)"$', typed, re.MULTILINE)
        assert message
        there = {*self.folder.glob("alembic/versions/*.py")}
        self.make("migration", f"m={message[1]}")
        (file,) = {*self.folder.glob("alembic/versions/*.py")} - there
        text = re.sub(r"^ *# ###.*\n", "", file.read_text(), flags=re.MULTILINE)
        (said,) = (block.text for block in blocks if block.text.startswith("def upgrade"))
        written = text[text.index("def upgrade") :]
        file.write_text(text.replace(written, said))
        return written, said
