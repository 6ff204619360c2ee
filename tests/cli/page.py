"""The commands of docs/reference/command-line.md, and what they print, from the demo store.

`python tests/cli/page.py` writes the output into the page; a test compares it.
"""

import os
import re
import shlex
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "cli")]

from command_line import CommandLine, Done  # noqa: E402 -- the path is set here
from demo_stores import filled  # noqa: E402

from cw_store.testing import START  # noqa: E402

PAGE = TESTS.parent / "docs" / "reference" / "command-line.md"
WIDTH = 100

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)


def written() -> str:
    """Return the page as its commands print today, one after the other, on one store."""
    before = Path.cwd()
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            filled("cw.db")
            return _BLOCK.sub(lambda block: _block(block[1], folder), PAGE.read_text())
        finally:
            os.chdir(before)


def _block(text: str, folder: str) -> str:
    commands = [line for line in text.splitlines() if line.startswith("$ cw-store ")]
    shown = "\n".join(f"{command}\n{_shown(command)}" for command in commands)
    return f"```console\n{shown.replace(f'{os.path.realpath(folder)}/', '')}```"


def _shown(command: str) -> str:
    words = shlex.split(command.removeprefix("$ cw-store "))
    done = _typed(words)
    lines = (line.rstrip() for line in (done.out + done.err).splitlines())
    return "\n".join(lines).rstrip() + "\n"


def _typed(words: list[str]) -> Done:
    typed = CommandLine("", lambda: START)
    if {"--json", "--help", "watch"} & {*words}:
        return typed(*words)
    return typed.on_terminal(*words, width=WIDTH)


if __name__ == "__main__":
    PAGE.write_text(written())
