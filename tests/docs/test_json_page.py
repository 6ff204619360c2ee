"""What docs/reference/json.md says of `--json` is what commands write."""

import asyncio
import json
from typing import Any

import json_page
import pytest

from cw_store.cli import main
from cw_store.cli.demo import fill
from cw_store.testing import START

PLAIN: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
    "array": list,
    "object": dict,
}

WORDS = {
    "search": ("search", "spec"),
    "accept": ("accept", "5cadF6"),
    "dismiss": ("dismiss", "humble-koala"),
}


def fits(value: Any, schema: dict[str, Any], records: dict[str, Any]) -> bool:
    """Say whether a value is what this much of JSON Schema allows, and nothing beside it."""
    if "$ref" in schema:
        return fits(value, records[schema["$ref"].rpartition("/")[2]], records)
    if "anyOf" in schema:
        return any(fits(value, each, records) for each in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    if not schema:
        return True  # any JSON
    if not isinstance(value, PLAIN[schema["type"]]):
        return False
    if "items" in schema:
        return all(fits(each, schema["items"], records) for each in value)
    if "properties" in schema:
        return set(value) == set(schema["required"]) and all(
            fits(value[name], each, records) for name, each in schema["properties"].items()
        )
    return True


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The demo store's file."""
    file = str(tmp_path_factory.mktemp("demo") / "cw.db")
    asyncio.run(fill(file, now=START))
    return file


@pytest.mark.parametrize("name", json_page.DATA)
def test_a_command_writes_what_its_schema_says(
    name: str, demo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = json_page.schema(json_page.DATA[name][0])
    assert main(["--url", demo, *WORDS.get(name, (name,)), "--json"], clock=lambda: START) == 0
    written = json.loads(capsys.readouterr().out)["data"]
    assert written
    assert fits(written, schema, schema["$defs"])


def test_an_error_is_written_as_its_schema_says(
    demo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--url", demo, "show", "nobody", "--json"]) == 1
    written = json.loads(capsys.readouterr().err)["error"]
    assert fits(written, json_page.error_schema(), {})
