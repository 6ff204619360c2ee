"""Every Python block of README.md and of docs/ is a program that runs by itself.

It prints what the page has below it, in a `text` block.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from blocks import PAGES, ROOT, Program, programs_of

RUN_ELSEWHERE = {
    "docs/how-to/your-own-tables.md": "tests/test_application_tables.py",
    "docs/take-part/column.md": "tests/take_part/test_take_part.py",
    "docs/take-part/repository.md": "tests/take_part/test_take_part.py",
}
"""Pages whose blocks are the files of one program, and the test that puts them together."""

WITHOUT_OUTPUT = ("README.md", "docs/how-to/undo.md")

PROGRAMS = [
    program
    for page in PAGES
    if page not in RUN_ELSEWHERE and not page.startswith("docs/tutorial/")
    for program in programs_of(page)
]


class ProgramServer:
    """Runs programs in forks of one process."""

    def __init__(self) -> None:
        environment = {key: value for key, value in os.environ.items() if key != "CW_STORE_URL"}
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("program_server.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def run(self, program: Path) -> tuple[int, str, str]:
        """Run it in its folder; return its exit code, what it printed and complained of."""
        assert self._process.stdin is not None and self._process.stdout is not None
        output, errors = program.with_suffix(".out"), program.with_suffix(".err")
        order = {
            "program": str(program),
            "folder": str(program.parent),
            "output": str(output),
            "errors": str(errors),
        }
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline()), output.read_text(), errors.read_text()

    def close(self) -> None:
        """End, and wait for it."""
        self._process.communicate()


@pytest.fixture(scope="module")
def server() -> Iterator[ProgramServer]:
    serving = ProgramServer()
    yield serving
    serving.close()


def run_as_test(program: Path) -> tuple[int, str, str]:
    """Run a program that holds tests."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", program],
        cwd=program.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_there_are_programs_and_what_they_print() -> None:
    assert len(PROGRAMS) > 40
    for program in PROGRAMS:
        assert program.printed or program.name.startswith(WITHOUT_OUTPUT), program.name


@pytest.mark.parametrize(("page", "test"), RUN_ELSEWHERE.items())
def test_a_page_whose_blocks_are_one_program_has_a_test_of_its_own(page: str, test: str) -> None:
    assert Path(page).name in (ROOT / test).read_text()


@pytest.mark.parametrize("program", PROGRAMS, ids=[program.name for program in PROGRAMS])
def test_a_program_of_the_documentation_runs(
    program: Program, tmp_path: Path, server: ProgramServer
) -> None:
    file = tmp_path / "test_example.py"
    file.write_text(program.code)
    code, printed, complaints = run_as_test(file) if "pytest" in program.code else server.run(file)
    assert code == 0, printed + complaints
    assert printed
    assert program.printed in (None, printed)


@pytest.mark.parametrize("page", PAGES)
def test_pictures_are_there(page: str) -> None:
    for picture in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (ROOT / page).read_text()):
        assert ((ROOT / page).parent / picture).is_file(), picture
