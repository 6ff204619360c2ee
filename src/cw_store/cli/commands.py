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
    Command("init", SET_UP, "setup:init", "Make a new store."),
    Command("migrate", SET_UP, "setup:migrate", "Bring a store to the schema of this cw-store."),
    Command("status", SET_UP, "setup:status", "Show the schema, rows and bytes, and who is at it."),
    Command(
        "doctor",
        SET_UP,
        "doctor:doctor",
        "Look for what is wrong with a store, and say what mends it.",
    ),
    Command("rekey", SET_UP, "setup:rekey", "Encrypt all credentials anew, under another key."),
    Command(
        "stats",
        LOOK,
        "stats:stats",
        "Count what is stored, and what waits, as numbers to set alarms on.",
    ),
    Command("ls", LOOK, "look:ls", "List what is stored, in the order of storing."),
    Command("show", LOOK, "look:show", "Show one thing, and what belongs to it."),
    Command("ready", LOOK, "look:ready", "Show what could start now, or what holds each task."),
    Command("inbox", LOOK, "look:inbox", "Show what waits for a person, and how to answer it."),
    Command("logs", LOOK, "look:logs", "Show what an agent wrote, and what it writes from now on."),
    Command("search", LOOK, "look:search", "Find a text in names, questions, pages and logs."),
    Command("graph", LOOK, "look:graph", "Show a plan: who waits for whom, as text or a drawing."),
    Command("timeline", LOOK, "look:timeline", "Show who was at what, and when."),
    Command("report", LOOK, "look:report", "Write all that is to be seen into one HTML file."),
    Command("watch", LOOK, "look:watch", "Show what happens until the initiative ends."),
    Command("live", LOOK, "live:live", "Serve a page on which people see agents at work."),
    Command("answer", ACT, "act:answer", "Answer a message to you, or an agent's question."),
    Command("retry", ACT, "act:retry", "Begin blocked tasks anew: pending, with no retry counted."),
    Command("account", ACT, "act:account", "Bring an account back, or take it out."),
    Command("accept", ACT, "act:accept", "Accept what an agent proposes."),
    Command(
        "dismiss",
        ACT,
        "act:dismiss",
        "Dismiss what an agent proposes, or an agent that crashed.",
    ),
    Command("resolve", ACT, "act:resolve", "Mark review comments resolved."),
    Command(
        "backup", KEEP, "keep:backup", "Write all that is stored into a file, while others work on."
    ),
    Command("restore", KEEP, "keep:restore", "Put a backup back."),
    Command("copy", KEEP, "keep:copy", "Copy a store into an empty one, from either database."),
    Command("export", KEEP, "keep:export", "Write every row as a line of JSON."),
    Command("import", KEEP, "original:import_", "Fill a new store from a file of another one."),
    Command(
        "prune", KEEP, "keep:prune", "Delete old log chunks or changes, and give the room back."
    ),
    Command("sql", KEEP, "sql:sql", "Run one statement of SQL that only reads."),
    Command("completion", ELSE, "other:completion", "Print what completes commands and ids."),
    Command("demo", ELSE, "other:demo", "Make a plausible store to look at."),
    Command("version", ELSE, "other:version", "Show the versions of all that takes part."),
)
