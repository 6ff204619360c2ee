"""docs/take-part/architecture.md speaks of the files that there are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "take-part" / "architecture.md").read_text()
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


PROSE = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
REPLACED = re.compile(
    r"\b(door|visits?|patience|neighbours|handover|housework|stand-in|sealed)\b", re.IGNORECASE
)
"""Words of ours that the field has others for.

docs/take-part/architecture.md lists those that are used.
"""


def test_no_word_that_was_replaced_comes_back() -> None:
    files = [ROOT / name for name in FILES if ROOT / name != Path(__file__)]
    files += [path for folder in ("bench", "examples") for path in (ROOT / folder).rglob("*.py")]
    found = {
        (path.relative_to(ROOT).as_posix(), word.group())
        for path in [*files, *PROSE]
        for word in REPLACED.finditer(path.read_text())
    }
    assert not found


def test_what_a_function_does_is_a_verb() -> None:
    participles = re.compile(r"^ *(?:async )?def (opened|closed|begun|closed_meanwhile)\(", re.M)
    found = {
        name: participles.findall((ROOT / name).read_text())
        for name in FILES
        if name.startswith("src/") and participles.search((ROOT / name).read_text())
    }
    assert not found
