"""docs/how-to/testing.md: its tests are run as they stand there."""

import re
from pathlib import Path

import pytest

pytest_plugins = "pytester"

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "testing.md").read_text()
FILES = re.findall(r'^```python title="test_(\w+)\.py"\n(.*?)^```$', PAGE, re.M | re.S)


def test_the_tests_of_the_page_pass(pytester: pytest.Pytester) -> None:
    assert len(FILES) == PAGE.count("```python") == 3
    pytester.makefile(".ini", pytest="[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    for name, text in FILES:
        (pytester.path / f"test_{name}.py").write_text(text)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error", "-q")
    result.assert_outcomes(passed=5)
