"""Whatever is written into a store: a terminal obeys none of it, no line or field is forged."""

import json
import re
from pathlib import Path

import pytest
from command_line import CommandLine, Done
from stores import BOTH, FILE, prepared

from cw_store.cli.look import What
from cw_store.safe_text import safe
from hostile import HOSTILE, fill_with, harmful

KINDS = What.__args__  # pyright: ignore[reportAttributeAccessIssue] -- of a Literal
REDRAWN = re.compile(r"\x1b\[(?:\?25[lh]|2K|1A)|\r")
"""What `watch` writes to draw its picture anew."""

LOOKS = [
    *(("ls", kind) for kind in KINDS),
    ("ready", "--explain"),
    ("inbox",),
    ("search", "[/bold]"),
    ("graph",),
    ("graph", "--format", "mermaid"),
    ("graph", "--format", "dot"),
    ("graph", "--format", "svg"),
    ("graph", "--format", "html"),
    ("timeline",),
    ("timeline", "--format", "svg"),
    ("timeline", "--format", "html"),
    ("report", "-o", "-"),
    ("watch",),
    ("status",),
]


@pytest.fixture
def ids(typed: CommandLine) -> dict[str, str]:
    return prepared(typed.url, lambda store: fill_with(store, HOSTILE))


def looks_at(ids: dict[str, str]) -> list[tuple[str, ...]]:
    return [*(("show", id) for id in ids.values()), ("logs", ids["agent"])]


def looked(typed: CommandLine, *words: str) -> Done:
    done = typed(*words)
    assert done.code in (0, 1), done.err
    return done


@BOTH
def test_no_command_shows_it_in_a_pipe(typed: CommandLine, ids: dict[str, str]) -> None:
    for words in (*LOOKS, *looks_at(ids)):
        done = looked(typed, *words)
        assert not harmful(done.out + done.err, lets="\n\t"), words


@FILE
def test_no_command_shows_it_to_a_terminal(typed: CommandLine, ids: dict[str, str]) -> None:
    for words in (*LOOKS, *looks_at(ids)):
        shown = typed.on_terminal(*words)
        assert not harmful(REDRAWN.sub("", shown.out + shown.err)), words


@FILE
def test_no_command_has_it_in_its_json(typed: CommandLine, ids: dict[str, str]) -> None:
    for words in (*LOOKS, *looks_at(ids)):
        done = looked(typed, *words, "--json")
        assert not harmful(done.out), words
        for line in done.out.splitlines():
            assert list(json.loads(line)) == ["schema_version", "data"]


@BOTH
def test_every_column_of_every_table_is_harmless(typed: CommandLine, ids: dict[str, str]) -> None:
    for kind in KINDS:
        columns = ",".join(typed("ls", kind, "--json", "--columns", "id").data[0])
        known = typed("ls", kind, "--columns", "nothing").err.rpartition("nothing: ")[2].strip()
        done = looked(typed, "ls", kind, "--columns", known.replace(" ", ""))
        assert done.rows and columns
        assert all(len(row) == len(known.split(", ")) for row in done.rows)
        assert not harmful(done.out, lets="\n\t")


@BOTH
def test_its_text_is_there_character_by_character(typed: CommandLine, ids: dict[str, str]) -> None:
    [row] = [row for row in typed("ls", "tasks").rows if row["id"] == ids["task"]]
    assert row["name"] == safe(HOSTILE)
    [data] = [row for row in typed("ls", "tasks", "--json").data if row["id"] == ids["task"]]
    assert data["name"] == HOSTILE
    assert typed("show", ids["task"], "--json").data["record"]["description"] == HOSTILE
    wide = typed.on_terminal("ls", "tasks", "--columns", "name", width=400)
    assert safe(HOSTILE) in wide.out, "brackets are no markup, colons no pictures"


@FILE
def test_secrets_are_shown_by_no_command(typed: CommandLine, ids: dict[str, str]) -> None:
    for words in (("ls", "accounts"), ("show", ids["account"]), ("search", "a")):
        for option in ((), ("--json",)):
            assert "credentials" not in typed(*words, *option).out
            assert "config_json" not in typed(*words, *option).out


@FILE
def test_what_is_done_is_told_without_harm(typed: CommandLine, ids: dict[str, str]) -> None:
    for words in (
        ("answer", ids["message"], HOSTILE),
        ("answer", ids["question"], "-"),
        ("retry", ids["blocked"]),
        ("account", "available", ids["account"]),
        ("accept", ids["proposal"]),
        ("dismiss", ids["crashed"]),
        ("resolve", ids["comment"]),
    ):
        done = typed(*words, stdin=HOSTILE)
        assert done.code == 0, done.err
        assert not harmful(done.out + done.err, lets="\n\t"), words
    [reply] = [m for m in typed("ls", "messages", "--json").data if m["sender_type"] == "user"][1:]
    assert reply["content"] == HOSTILE


@FILE
def test_what_is_typed_is_told_back_without_harm(typed: CommandLine) -> None:
    for words in (("show", HOSTILE), ("ls", HOSTILE), (HOSTILE,), ("ls", "tasks", "--" + HOSTILE)):
        done = typed(*words)
        assert done.code in (1, 2)
        assert done.err.count("\n") == 1 and not harmful(done.err)
    assert typed("show", "\udc80").code == 2


@FILE
def test_a_picture_is_written_to_a_file(
    typed: CommandLine, ids: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "plan.mmd"
    done = typed("graph", ids["initiative"], "--format", "mermaid", "-o", str(file))
    assert (done.code, done.out) == (0, "")
    assert file.read_text().startswith("flowchart LR\n")
    assert typed("graph", "-o", str(tmp_path / "none" / "plan")).code == 3
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".plan")] == []
