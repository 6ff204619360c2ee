"""Every Python block of README.md and of the guides in docs/ is a program that runs by itself."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = (
    "README.md",
    "docs/how-to/claims.md",
    "docs/how-to/following.md",
    "docs/how-to/keeping.md",
    "docs/how-to/from-the-original.md",
    "docs/how-to/live.md",
    "docs/how-to/looking.md",
    "docs/how-to/undo.md",
    "docs/how-to/waiting.md",
)
WITH_WHAT_IS_PRINTED = (
    "docs/how-to/claims.md",
    "docs/how-to/following.md",
    "docs/how-to/keeping.md",
    "docs/how-to/from-the-original.md",
    "docs/how-to/live.md",
    "docs/how-to/looking.md",
    "docs/how-to/waiting.md",
)
HEADING_OR_BLOCK = re.compile(
    r"^#+ (?P<title>[^\n]+)$|^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)


class Example(NamedTuple):
    """A program of a page, and what the page says that it prints, if it says so."""

    name: str
    code: str
    printed: str | None = None


def examples_of(page: str) -> list[Example]:
    """Return the programs of a page, each named after the heading that it is under."""
    title, found = "", list[Example]()
    for match in HEADING_OR_BLOCK.finditer((ROOT / page).read_text()):
        if match["title"]:
            title = match["title"]
        elif match["kind"] == "python":
            found.append(Example(f"{page}: {title}", match["text"]))
        elif match["kind"] == "text":
            found[-1] = found[-1]._replace(printed=match["text"])
    return found


EXAMPLES = [example for page in PAGES for example in examples_of(page)]


def test_every_page_has_examples() -> None:
    assert {example.name.split(":")[0] for example in EXAMPLES} == set(PAGES)
    for page in WITH_WHAT_IS_PRINTED:
        assert all(example.printed for example in examples_of(page))


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.name for example in EXAMPLES])
def test_an_example_of_the_documentation_runs(example: Example, tmp_path: Path) -> None:
    program = tmp_path / "test_example.py"
    program.write_text(example.code)
    is_test = "pytest" in example.code
    runner = ["-m", "pytest", "-q", "-p", "no:cacheprovider"] if is_test else ["-W", "error"]
    environment = {key: value for key, value in os.environ.items() if key != "CW_STORE_URL"}
    done = subprocess.run(
        [sys.executable, *runner, program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout
    assert example.printed in (None, done.stdout)


@pytest.mark.parametrize(
    "page", ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in DOCS.rglob("*.md"))]
)
def test_pictures_are_there(page: str) -> None:
    file = ROOT / page
    for picture in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", file.read_text()):
        assert (file.parent / picture).is_file(), picture
