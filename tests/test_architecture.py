"""docs/architecture.md speaks of the files that there are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
PICTURE = re.findall(r"^[│┌├└].*$", PAGE, re.M)
NAMED = sorted(set(re.findall(r"[\w/]+\.py\b", PAGE)))
FOLDERS = sorted(set(re.findall(r"`([\w/]+)/`", PAGE)))
FOLDERS_OF_CODE = ("src", "alembic", "tests")
FILES = [
    path.relative_to(ROOT).as_posix()
    for folder in FOLDERS_OF_CODE
    for path in (ROOT / folder).rglob("*.py")
]


def test_the_page_names_files() -> None:
    assert len(NAMED) > 25 and FOLDERS


@pytest.mark.parametrize("name", NAMED)
def test_a_file_that_the_page_names_exists(name: str) -> None:
    assert [file for file in FILES if f"/{file}".endswith(f"/{name}")]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_the_page_names_exists(name: str) -> None:
    assert [file for file in FILES if f"/{name}/" in f"/{file}"]


def test_the_lines_of_the_picture_are_of_one_length() -> None:
    assert len(PICTURE) > 20
    assert len({len(line) for line in PICTURE}) == 1


def test_no_file_is_too_long_to_be_read_at_once() -> None:
    lines = {name: len((ROOT / name).read_text().splitlines()) for name in FILES}
    long = {name for name, number in lines.items() if name.startswith("src/") and number > 400}
    assert long == {"src/cw_store/schema.py"}, "which is read from top to bottom"
