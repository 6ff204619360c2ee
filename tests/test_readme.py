"""Every Python block of README.md is a program that runs by itself."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
EXAMPLES = re.findall(r"^### ([^\n]+)\n(?:(?!^#).)*?^```python\n(.*?)^```$", README, re.M | re.S)


def test_the_examples_are_found() -> None:
    assert len(EXAMPLES) == 11


@pytest.mark.parametrize(("title", "code"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
def test_an_example_of_the_readme_runs(title: str, code: str, tmp_path: Path) -> None:
    program = tmp_path / "test_example.py"
    program.write_text(code)
    is_test = "pytest" in code
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
