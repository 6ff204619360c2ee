"""The list of commands: what `cw-store --help` shows, and where each one is.

It is all that is loaded to print the help. The modules are loaded when a command of theirs is used.
"""

from typing import NamedTuple

SET_UP = "Set up"
LOOK = "Look"
ACT = "Act"
KEEP = "Keep"
ELSE = "Else"

GROUPS = (SET_UP, LOOK, ACT, KEEP, ELSE)


class Command(NamedTuple):
    """One command: `path` is `module:function` under `cw_store.cli`, `help` one line."""

    name: str
    group: str
    path: str
    help: str


COMMANDS = (
    Command("status", SET_UP, "setup:status", "Show the schema, rows and bytes, and who is at it."),
    Command("ls", LOOK, "look:ls", "List what is stored, in the order of storing."),
    Command(
        "show",
        LOOK,
        "look:show",
        "Show one thing, and what belongs to it.",
    ),
    Command("logs", LOOK, "look:logs", "Show what an agent wrote, and what it writes from now on."),
    Command("completion", ELSE, "other:completion", "Print what completes commands and ids."),
    Command("version", ELSE, "other:version", "Show the versions of all that takes part."),
)
