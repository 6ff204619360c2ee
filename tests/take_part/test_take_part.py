"""The pages that say how to add a column and a repository lead to one, on both databases."""

import itertools
import subprocess
from pathlib import Path

import pytest
from followed_pages import PROJECT, Block, Copy, blocks_of

from cw_store.testing.postgres_server import PostgresServer

MENTIONED = {
    "column.md": ["tests/test_schema.py", "tests/repos/test_plans.py"],
    "repository.md": ["tests/test_schema.py", "tests/test_public_api.py"],
}

BELONGS = ["tests/test_schema.py", "tests/test_public_api.py", "tests/test_old_schemas.py"]
QUICK = "test_schema or names_are_public or artifacts or (0003 and (difference or there_again))"
"""What compares what belongs together, and the database with it, from the schema before."""


def program(blocks: list[Block]) -> tuple[str, str]:
    """Return the whole program of the page, and what it is to print."""
    for block, behind in itertools.pairwise(blocks):
        if block.kind == "python" and block.title is None and behind.kind == "text":
            return block.text, behind.text
    raise AssertionError("the page has no program")


@pytest.mark.parametrize("page", ["column.md", "repository.md"])
def test_the_steps_of_the_page_lead_there(
    page: str, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    blocks = blocks_of(page)
    copy = Copy(tmp_path / "project")
    copy.write(blocks)
    written, said = copy.migration(blocks)
    assert written == said or page == "repository.md", "which says that it is written anew"
    copy.python("-m", "ruff", "check", "--quiet")
    copy.python("-m", "ruff", "format", "--check", "--quiet")
    tests = [*BELONGS, "tests/contract/repos/test_artifacts.py"][: 3 + (page == "repository.md")]
    copy.python("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests, "-k", QUICK)
    code, printed = program(blocks)
    url = postgres_server.create_database()
    for place in (str(tmp_path / "cw.db"), url):
        assert copy.python("-c", code, place) == printed
    postgres_server.drop_database(url)


@pytest.mark.parametrize("page", MENTIONED)
def test_the_page_names_files_that_there_are(page: str) -> None:
    text = (PROJECT / "docs" / "take-part" / page).read_text()
    for file in MENTIONED[page]:
        assert file in text
        assert (PROJECT / file).exists()


def test_make_lists_what_the_pages_type() -> None:
    listed = subprocess.run(
        ["make", "-s", "help"], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout
    targets = {line.split()[0] for line in listed.splitlines()}
    typed = {
        line.split()[2]
        for page in ("column.md", "repository.md")
        for block in blocks_of(page)
        if block.kind == "console"
        for line in block.text.splitlines()
        if line.startswith("$ make ")
    }
    assert typed <= targets
