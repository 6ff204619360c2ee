"""`cw-store doctor`, as it is typed."""

import os
import stat

import pytest
from command_line import CommandLine
from stores import BOTH, FILE, prepared

from hostile import fill_with, harmful

HOSTILE = "a\x1b[31mb\u202ec [/bold]"


@BOTH
def test_a_store_that_is_well_is_0(typed: CommandLine, database: str) -> None:
    if os.path.exists(database):
        os.chmod(database, 0o600)
    done = typed("doctor")
    assert done.code == 0, done.out
    assert {row["level"] for row in done.rows} <= {"fine", "note"}
    shown = typed.on_terminal("doctor")
    assert shown.code == 0 and "checks are fine" in shown.out


@BOTH
def test_what_needs_to_be_done_is_1_and_says_how(typed: CommandLine, database: str) -> None:
    prepared(database, lambda store: fill_with(store, HOSTILE))
    done = typed("doctor", "--json")
    assert done.code == 1
    by_check = {each["check"]: each for each in done.data["findings"]}
    assert by_check["tasks"]["level"] == "problem"
    command = by_check["tasks"]["command"]
    assert command.startswith("cw-store --url ") and command.endswith(" retry --blocked")
    for shown in (typed("doctor"), typed.on_terminal("doctor")):
        assert shown.code == 1
        assert " retry --blocked" in shown.out
        assert not harmful(shown.out, lets="\n\t")


@FILE
def test_what_loses_nothing_is_mended(typed: CommandLine, database: str) -> None:
    os.chmod(database, 0o644)
    assert typed("doctor").code == 1
    done = typed("doctor", "--fix", "--json")
    assert done.code == 0
    assert [each["check"] for each in done.data["mended"]] == ["permissions"]
    assert stat.S_IMODE(os.stat(database).st_mode) == 0o640
    assert typed("doctor", "--fix", "--json").data["mended"] == []


@pytest.mark.parametrize("words", [(), ("--fix",), ("--deep",)])
def test_where_there_is_no_store_none_is_made(words: tuple[str, ...]) -> None:
    done = CommandLine("missing.db")("doctor", *words)
    assert done.code == 1 and "cw-store --url missing.db init" in done.out
    assert os.listdir() == []
    assert CommandLine("mysql://host/db")("doctor", *words).code == 2
