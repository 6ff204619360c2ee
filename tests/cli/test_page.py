"""docs/reference/command-line.md shows each command as it is."""

import re

import page

from cw_store.cli.commands import COMMANDS
from cw_store.cli.failures import EXIT_CODES

PAGE = page.PAGE.read_text()
HEADINGS = re.findall(r"^### (.*)$", PAGE, re.M)


def test_what_the_page_says_that_commands_print_they_print() -> None:
    assert page.written() == PAGE, "make docs-output writes it anew"


def test_the_page_has_every_command_and_every_way_to_fail() -> None:
    assert {command.name for command in COMMANDS} | set(EXIT_CODES) == set(HEADINGS)
    assert len(HEADINGS) == len(set(HEADINGS))
