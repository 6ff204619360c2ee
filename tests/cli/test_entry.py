"""What is typed, and what comes of it: help, options, exit codes, and how little is loaded."""

import json
from pathlib import Path

import pytest
from command_line import CommandLine

from cw_store.cli.commands import COMMANDS, GROUPS, Command
from cw_store.cli.failures import EXIT_CODES
from programs import run_program

NOWHERE = CommandLine("")

LOADED = """
import json, sys
from cw_store.cli import main
code = main(sys.argv[1:])
print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)
"""
HEAVY = {"sqlalchemy", "asyncio", "aiosqlite", "alembic", "cw_store.public"}


def loaded(*words: str, cwd: Path) -> set[str]:
    """Return the modules that a command loads."""
    done = run_program(LOADED, *words, cwd=cwd)
    code, modules = json.loads(done.stderr)
    assert code == 0
    return set(modules)


def test_the_version_loads_nothing_else(tmp_path: Path) -> None:
    modules = loaded("--version", cwd=tmp_path)
    assert not modules & {*HEAVY, "cyclopts", "rich", "typing", "json.tool", "cw_store.cli.run"}


def test_the_help_loads_no_library(tmp_path: Path) -> None:
    assert not loaded("--help", cwd=tmp_path) & {*HEAVY, "cyclopts", "rich", "dataclasses"}


@pytest.mark.parametrize("command", ["ls", "answer", "init", "completion"])  # one of each module
def test_the_help_of_a_command_loads_no_store(command: str, tmp_path: Path) -> None:
    assert not loaded(command, "--help", cwd=tmp_path) & HEAVY


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("-q",), ("--json", "--url=x", "-h")])
def test_without_a_command_the_help_is_shown(words: tuple[str, ...]) -> None:
    done = NOWHERE(*words)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "Usage: cw-store [OPTIONS] COMMAND …"
    for command in COMMANDS:
        assert any(line.split()[:1] == [command.name] and command.help in line for line in lines)
    assert all(len(line) <= 100 for line in lines)


@pytest.mark.parametrize("command", COMMANDS, ids=[command.name for command in COMMANDS])
def test_the_help_of_a_command_says_what_the_list_says_and_more(command: Command) -> None:
    name, group, _, help = command
    done = NOWHERE(name, "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"Usage: cw-store {name}")
    assert help in " ".join(done.out.split())
    assert "--json" in done.out
    assert group in GROUPS


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("statuss",), 'Unknown command "statuss". Did you mean "status"? See cw-store --help'),
        (("--bogus",), 'Unknown option "--bogus". See cw-store --help'),
        (("ls",), 'Command "ls" parameter WHAT requires an argument. See cw-store ls --help'),
        (
            ("show", "User", "auth"),
            "'auth' is too much; a name of several words needs quotes. See cw-store show --help",
        ),
        (("ls", "tasks", "--bogus"), "Unknown option: --bogus. Did you mean"),
        (("ls", "tasks", "--limit", "x"), "unable to convert"),
        (("ls", "tasks", "--limit", "0"), "--limit is at least 1"),
        (("ls", "tasks", "--status", "lost"), "tasks are pending, in_progress, completed, blocked"),
        (("ls", "pages", "--status", "pending"), "pages have no status"),
        (("ls", "projects", "--provider", "x"), "projects have no provider"),
        (("ls", "tasks", "--columns", "nmae"), "tasks have no column nmae: id, phase_id, phase"),
        (("ls", "accounts", "--columns", "credentials"), "accounts have no column credentials"),
        (("ls", "tasks", "--columns", ","), "--columns names some of id"),
        (("ls", "tasks", "--sort", "nmae"), "tasks have no column nmae"),
        (("ls", "tasks", "--sort", "id", "--after", "x"), "--after goes by the order of storing"),
        (("show", "--jsn"), "unknown option --jsn"),
        (("show", ""), "an empty word is no id"),
        (("retry",), "name tasks, or say --blocked"),
        (("retry", "x", "--blocked"), "name tasks, or say --blocked"),
        (("retry", "x", "--initiative", "y"), "--initiative goes with --blocked"),
        (("resolve",), "COMMENTS requires an argument"),
        (("account", "available", "x", "--until", "2h"), "--until goes with exhaust"),
        (("account", "exhaust", "x", "--until=-2h"), "a time is like"),
        (("account", "exhaust", "x", "--until", "2020-01-01"), "is a time that is still to come"),
        (("answer", "x", ""), "an answer has some text"),
        (("logs", "x", "--since", "yesterday"), "a length of time is like"),
        (("ready", "--limit", "0"), "--limit is at least 1"),
        (("completion", "tcsh"), "Choose from"),
        (("--color", "pink", "version"), "Choose from"),
        (("ls", "tasks", "--url"), "--url requires an argument"),
    ],
)
def test_what_makes_no_sense_is_one_sentence_and_exit_2(words: tuple[str, ...], told: str) -> None:
    done = NOWHERE("--url", "any.db", *words) if "--url" not in words else NOWHERE(*words)
    if done.code == 3:  # what is only seen in a store
        NOWHERE("init", "--url", "any.db")
        done = NOWHERE("--url", "any.db", *words)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("cw-store: ") and done.err.count("\n") == 1
    assert told in done.err


def test_errors_are_json_where_data_would_be() -> None:
    done = NOWHERE("show", "x", "--json", "--url", "none.db")
    assert (done.code, done.out) == (3, "")
    assert done.error["code"] == "no-store"
    assert done.error["exit_code"] == 3
    assert done.error["docs"] == "docs/reference/command-line.md#no-store"
    assert NOWHERE("stat", "--json").error["code"] == "usage"
    assert NOWHERE("show", "--", "--json").err.startswith("cw-store: there is no store at ")


def test_every_exit_code_is_one_of_those_that_the_help_names() -> None:
    assert {0, *EXIT_CODES.values()} == {0, 1, 2, 3, 4, 70, 130}


def test_options_of_every_command_stand_anywhere() -> None:
    NOWHERE("init", "--url", "any.db")
    for words in (
        ("--json", "--url", "any.db", "ls", "tasks"),
        ("ls", "--json", "--url=any.db", "tasks"),
        ("ls", "tasks", "-q", "--url", "any.db", "--json"),
    ):
        assert NOWHERE(*words).data == []


def test_a_fault_of_our_own_is_told_in_a_line_and_written_to_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def broken(name: str) -> str:
        raise KeyError(name)

    monkeypatch.setattr("importlib.metadata.version", broken)
    done = NOWHERE("version")
    [file] = tmp_path.glob("cw-store-*.log")
    assert (done.code, done.out) == (70, "")
    assert done.err == f"cw-store: this is a fault of cw-store: KeyError; {file} tells where\n"
    assert "Traceback" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
