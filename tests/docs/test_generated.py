"""Pages that are made of the source are those of today, and each export and error is on one."""

import re

import api
import diagrams
import generated
import pytest
import settings
from blocks import DOCS, ROOT
from blocks import PAGES as ALL_PAGES

import cw_store
from cw_store import StoreError, errors, metadata
from cw_store.cli.failures import EXIT_CODES, failure_of
from cw_store.store import StoreSettings

PAGES = generated.pages()
ERRORS = [name for name in errors.__all__ if name.endswith("Error")]
ERROR_PAGE = (DOCS / "reference" / "errors.md").read_text()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_the_source_says(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name], "make docs-output writes it anew"


def test_everything_that_is_exported_is_on_exactly_one_page() -> None:
    named = re.findall(r"^::: (\S+)", "\n".join(PAGES.values()), re.M)
    exported = [f"cw_store.{name}" for name in cw_store.__all__]
    exported += [f"{module}.{name}" for module, names in api.BESIDE.items() for name in names]
    assert sorted(named) == sorted(exported)


def test_no_module_hides_what_its_package_exports() -> None:
    """The site would show the module in place of the function that has its name."""
    for package, names in {"cw_store": cw_store.__all__, **api.BESIDE}.items():
        folder = ROOT / "src" / package.replace(".", "/")
        hidden = {file.stem for file in folder.glob("*")} & set(names)
        assert not hidden, package


def test_no_page_of_the_reference_is_left_over() -> None:
    there = {file.name for file in (DOCS / api.FOLDER).glob("*.md")}
    assert there == {f"{name}.md" for name in api.PAGES}


def test_each_picture_is_on_a_page_and_each_table_in_one() -> None:
    pages = "".join((ROOT / page).read_text() for page in ALL_PAGES)
    for file in diagrams.FOLDER.iterdir():
        assert f"pictures/{file.name}" in pages or file.suffix == ".mmd", file
    assert {file.stem for file in diagrams.FOLDER.glob("*.mmd")} == set(diagrams.sources())
    grouped = [name for names in diagrams.GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(metadata.tables)


@pytest.mark.parametrize("name", diagrams.sources())
def test_the_texts_of_a_drawing_are_there_and_lie_on_paper(name: str) -> None:
    drawing = (diagrams.FOLDER / f"{name}.svg").read_text()
    assert drawing.partition(">")[2].startswith("<rect ")
    assert not re.search(r"https?://(?!www\.w3\.org)", drawing)


def test_each_setting_of_a_store_has_its_words() -> None:
    assert set(settings.settings()) == set(StoreSettings.__annotations__)


def test_each_error_has_a_section_that_says_what_to_do() -> None:
    assert sorted(re.findall(r"^##+ (.*)$", ERROR_PAGE, re.M)) == sorted(ERRORS)


@pytest.mark.parametrize("name", ERRORS)
def test_a_section_names_the_error_s_facts_and_the_command_line_s_code(name: str) -> None:
    kind: type[StoreError] = getattr(errors, name)
    section = re.split(r"^##+ ", ERROR_PAGE.partition(f"# {name}\n")[2], maxsplit=1, flags=re.M)[0]
    code = failure_of(kind.__new__(kind)).code if name != "SchemaBehindError" else "behind"
    assert f"`{code}`" in section
    assert {code for code in re.findall(r"`([a-z-]+)`", section) if code in EXIT_CODES}
