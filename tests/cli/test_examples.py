"""The examples that the help of each command shows: they run, on the demo store."""

import os
import shlex
import shutil
from pathlib import Path

import pytest
from command_line import CommandLine
from demo_stores import filled

from cw_store.cli.commands import COMMANDS
from cw_store.cli.examples import EXAMPLES
from cw_store.testing import START

FOR_A_SHELL_OR_A_SERVER = {
    "CW_STORE_KEYS=NEW,OLD cw-store rekey",
    "cw-store answer l7WTae - < answer.txt",
    "cw-store copy cw.db postgresql://host/db",
    "cw-store export | gzip > run.jsonl.gz",
    "cw-store logs humble-koala -f",
    "cw-store restore today.db",  # where there is no store
}
WITHOUT_END = {"live"}
BEFORE = {
    "restore": ("backup", "today.db"),
    "import": ("export", "-o", "run.jsonl"),
}
CODES = {"doctor": 1}
"""The demo store has something that needs doing."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    filled(str(folder / "cw.db"))
    return folder / "cw.db"


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_a_command_run(name: str, demo: Path, tmp_path: Path) -> None:
    if name in WITHOUT_END:
        pytest.skip("it goes on until it is ended")
    typed = CommandLine("", lambda: START)
    os.mkdir("backups")
    os.mkdir("runs")
    for example in EXAMPLES[name]:
        if example not in FOR_A_SHELL_OR_A_SERVER:
            shutil.copyfile(demo, "cw.db")
            if name in BEFORE and not os.path.exists(BEFORE[name][-1]):
                assert typed(*BEFORE[name]).code == 0
            done = typed(*shlex.split(example.removeprefix("cw-store ")))
            assert (done.code, example, done.err) == (CODES.get(name, 0), example, done.err)
            assert done.out or done.err


def test_every_command_has_examples_and_shows_them() -> None:
    assert [*EXAMPLES] == [command.name for command in COMMANDS]
    for name, examples in EXAMPLES.items():
        shown = CommandLine("")(name, "--help").out
        assert all(f"\n  {example}\n" in shown for example in examples)
        assert all(example.count(f"cw-store {name}") for example in examples)


@pytest.mark.parametrize("name", EXAMPLES)
def test_help_says_what_a_value_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for width in (30, 80, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        shown = CommandLine("")(name, "--help").out
        assert not {"STR", "INT", "[ARGS]", "[ARGS...]"} & {*shown.split()}
        lines = [line for line in shown.splitlines() if "cw-store" not in line]
        assert all(len(line) <= max(width, 50) for line in lines)
        assert all(line == line.rstrip() for line in lines)
