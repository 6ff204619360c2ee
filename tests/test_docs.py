"""The programs in the pages of docs/ run by themselves."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("undo.md",)
"""Those whose programs need no other file."""
PROGRAMS = {
    f"{page}, {number}": code
    for page in PAGES
    for number, code in enumerate(
        re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(), re.M | re.S), 1
    )
}


def test_each_page_has_a_program() -> None:
    assert {program.split(",")[0] for program in PROGRAMS} == set(PAGES)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_of_the_docs_runs(program: str, tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(PROGRAMS[program])
    done = subprocess.run(
        [sys.executable, "-W", "error", path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout
