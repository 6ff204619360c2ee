"""docs/how-to/from-the-original.md: what each method of the TypeScript program is called here."""

import re
from pathlib import Path

import pytest

import cw_store
from every_port import repositories

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "from-the-original.md").read_text()
ROWS = re.findall(r"^\| (.+?) \| (.+) \|$", PAGE[PAGE.index("What each method is called") :], re.M)[
    2:
]
HERE = sorted({name for _, here in ROWS for name in re.findall(r"`(\w+\.\w+)`", here)})


def in_snake_case(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def test_the_page_names_methods_of_every_repository_that_the_program_has() -> None:
    named = {name.split(".")[0] for name in HERE}
    ours = {"claims", "changes"}
    assert named == set(repositories(cw_store.Store)) - ours


@pytest.mark.parametrize("name", HERE)
def test_a_method_that_the_page_names_exists(name: str) -> None:
    repository, method = name.split(".")
    assert callable(getattr(repositories(cw_store.Store)[repository], method))


@pytest.mark.parametrize(("there", "here"), ROWS)
def test_a_method_is_called_as_it_was_in_the_spelling_of_python(there: str, here: str) -> None:
    for method in re.findall(r"`\w+Repository\.(\w+)`", there):
        assert f".{in_snake_case(method)}`" in here
