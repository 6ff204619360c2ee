"""What the store logs: each record under a name of its own, with an event that is documented."""

import ast
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import cw_store
from cw_store import Store, ensure_schema, restore_store
from databases import Fresh
from logs import told
from programs import run_program

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "cw_store"
PAGE = ROOT / "docs" / "reference" / "metrics.md"
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
NAMES = {"debug": "DEBUG", "info": "INFO", "warning": "WARNING", "exception": "ERROR"}


def logged_calls() -> Iterator[tuple[str, ast.Call, str]]:
    """Give each call that logs: where it is, itself, and the method."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="logger"), attr=attr)) if (
                    attr in LEVELS
                ):
                    yield f"{path.relative_to(SOURCE)}:{node.lineno}", node, attr
                case _:
                    pass


def event_of(call: ast.Call) -> str:
    """Return the event that a call names; raises where it names none."""
    extra = next(keyword.value for keyword in call.keywords if keyword.arg == "extra")
    assert isinstance(extra, ast.Dict)
    facts = {
        ast.literal_eval(key): value
        for key, value in zip(extra.keys, extra.values, strict=True)
        if key is not None
    }
    event: object = ast.literal_eval(facts["event"])
    assert isinstance(event, str)
    return event


def documented() -> dict[str, str]:
    """Return the level of each event of the page."""
    return dict(re.findall(r"^\| `([a-z_]+)` \| ([A-Z]+) \|", PAGE.read_text(), re.MULTILINE))


def test_every_record_carries_an_event_of_the_documented_list() -> None:
    known, used = documented(), set[str]()
    for place, call, method in logged_calls():
        event = event_of(call)
        used.add(event)
        assert event in known, f"{place}: {event} is not in {PAGE.name}"
        assert NAMES.get(method, known[event]) == known[event], place
    assert used == set(known)


def test_every_module_that_logs_does_so_under_its_own_name() -> None:
    for path in SOURCE.rglob("*.py"):
        for line in re.findall(r"getLogger\((.*?)\)", path.read_text()):
            assert line in ("__name__", '"cw_store"'), path


async def test_migrations_backups_and_restores_are_told(tmp_path: Path) -> None:
    path, copy, back = tmp_path / "cw.db", tmp_path / "copy.db", tmp_path / "back.db"
    with told(logging.INFO) as records:
        await ensure_schema(path)
        await ensure_schema(path)  # there is nothing to do
        async with Store(path) as store:
            await store.backup(copy)
        await restore_store(copy, back)
    assert [getattr(record, "event", None) for record in records] == [
        "migrated",
        "backed_up",
        "restored",
    ]
    assert "from nothing to schema" in records[0].getMessage()


async def test_a_new_database_on_a_server_is_told(new_server_database: Fresh) -> None:
    with told(logging.INFO) as records:
        await ensure_schema(new_server_database())
    assert [getattr(record, "event", None) for record in records] == ["migrated"]


def test_nothing_is_printed_unless_the_application_asks(tmp_path: Path) -> None:
    code = """
import asyncio
from cw_store import Store

async def main():
    async with Store("cw.db") as store:
        await store.accounts.create(email="one@example.com", provider="claude", credentials="{}")

asyncio.run(main())
"""
    quiet = run_program(code, cwd=tmp_path)
    assert (quiet.returncode, quiet.stderr) == (0, "")
    asked = run_program("import logging; logging.basicConfig()\n" + code, cwd=tmp_path)
    assert "credentials are stored unencrypted" in asked.stderr
    assert cw_store.__name__ in asked.stderr
