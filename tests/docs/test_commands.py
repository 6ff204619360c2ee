"""Commands that pages show, beside those that a test runs: each is one that there is."""

import re
import shlex
from collections.abc import Iterator
from itertools import islice

import pytest
from blocks import PAGES, ROOT, blocks_of

from cw_store.cli.app import application

ENDS = {"&&", "||", "|", ";", ">", "<", "\n"}
"""What stands behind a command, and is the shell's."""

EVERYWHERE = {"--url": 1, "--color": 1, "--json": 0, "-q": 0, "-v": 0}
"""What any command takes, and how many words stand behind it."""

TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))


def commands_of(page: str) -> Iterator[list[str]]:
    """Give the commands of a page's blocks that are typed into a shell, word by word."""
    for block in blocks_of(page):
        if block.kind in ("sh", "console"):
            for line in block.text.splitlines():
                if block.kind == "sh" or line.startswith("$ "):
                    yield from _split(line.removeprefix("$ "))


def _split(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
    lexer.whitespace_split = True
    words = list[str]()
    for word in [*lexer, "\n"]:
        if word in ENDS:
            if words:
                yield words
            words = []
        elif words or "=" not in word:  # what is set before it
            words.append(word)


COMMANDS = [(page, command) for page in PAGES for command in commands_of(page)]
OF_OURS = [(page, command) for page, command in COMMANDS if command[0] == "cw-store"]
OF_MAKE = [(page, command) for page, command in COMMANDS if command[0] == "make"]


def test_there_are_commands() -> None:
    assert len(OF_OURS) > 30 and len(OF_MAKE) > 10


@pytest.mark.parametrize(("page", "command"), OF_OURS, ids=[" ".join(each) for _, each in OF_OURS])
def test_a_command_of_a_page_is_one_that_there_is(page: str, command: list[str]) -> None:
    words, left = list[str](), iter(command[1:])
    for word in left:
        if word in EVERYWHERE:
            assert len(list(islice(left, EVERYWHERE[word]))) == EVERYWHERE[word]
        else:
            words.append(word)
    application().parse_args(words, exit_on_error=False, print_error=False)


@pytest.mark.parametrize(("page", "command"), OF_MAKE, ids=[" ".join(each) for _, each in OF_MAKE])
def test_a_target_of_a_page_is_one_that_there_is(page: str, command: list[str]) -> None:
    assert command[1] in TARGETS
