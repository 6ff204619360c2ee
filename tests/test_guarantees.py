"""Every promise of docs/explanation/guarantees.md names a test that exists."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PROMISES = (TESTS.parent / "docs" / "explanation" / "guarantees.md").read_text()
NAMED = sorted(set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", PROMISES)))


def test_promises_name_their_tests() -> None:
    assert len(NAMED) > 20
    assert PROMISES.count("::") == len(re.findall(r"`test_\w+\.py::test_\w+`", PROMISES))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_the_test_that_backs_a_promise_exists(file: str, name: str) -> None:
    [path] = TESTS.rglob(file)
    found = ast.walk(ast.parse(path.read_text()))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert name in [node.name for node in found if isinstance(node, kinds)]
