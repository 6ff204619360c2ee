"""`cw-store --help`: the list of commands, written without loading what runs them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice, takewhile
from typing import TextIO

from cw_store.cli.commands import COMMANDS, GROUPS

OPTIONS = (
    ("--url URL", "The store: a file or a database URL; else $CW_STORE_URL, else cw.db here."),
    ("--json", 'Data as {"schema_version": 1, "data": …}, errors as JSON on stderr.'),
    ("--color WHEN", "auto (on a terminal, unless $NO_COLOR is set), always or never."),
    ("-q, --quiet", "Say nothing beside the data but errors."),
    ("-v, --verbose", "Say what the store does meanwhile."),
    ("--help", "This, or with a command what it takes."),
    ("--version", "The version of cw-store."),
)
WITH_VALUE = ("--url", "--color")
FLAGS = ("--json", "-q", "--quiet", "-v", "--verbose")

HELP = ("--help", "-h")

EXIT_CODES = """\
Exit codes: 0 done, 1 the answer is no, 2 usage, 3 no such store or none that can be opened,
4 busy or stale (try again), 70 a fault of cw-store, 130 interrupted."""


def first_command(words: Sequence[str]) -> str | None:
    """Return the word that names the command, if there is one: the first that is no option."""
    is_value = False
    for word in words:
        if is_value or word.startswith("-"):
            is_value = word in WITH_VALUE
        else:
            return word
    return None


def options_first(words: Sequence[str]) -> list[str]:
    """Return the words with the options of every command before the others, up to a `--`.

    Behind a command they could be taken for an id that begins with a hyphen.
    """
    options, others = _apart(words)
    return options + others


def _apart(words: Sequence[str]) -> tuple[list[str], list[str]]:
    options: list[str] = []
    others: list[str] = []
    left = iter(words)
    for word in left:
        if word == "--":
            return options, [*others, word, *left]
        if word in WITH_VALUE:
            value = list(islice(left, 1))
            if not _is_said(options, [word, *value]):
                (options if value else others).extend([word, *value])
        elif word in FLAGS or word.startswith(tuple(f"{name}=" for name in WITH_VALUE)):
            options.append(word)
        else:
            others.append(word)
    return options, others


def _is_said(options: Sequence[str], option: Sequence[str]) -> bool:
    """Whether an option with the same value is there: a pasted command may repeat the store."""
    return any(options[at : at + 2] == option for at in range(0, len(options) - 1))


def is_json(words: Sequence[str]) -> bool:
    """Whether `--json` is among the options, for whoever could not read them."""
    return "--json" in takewhile(lambda word: word != "--", words)


def asks_for_help(words: Sequence[str]) -> bool:
    """Whether these words name no command, and nothing that is unknown."""
    if first_command(words) is not None:
        return False
    return all(word in HELP for word in _apart(words)[1])


def write_help(stream: TextIO) -> None:
    """Write the help to a stream."""
    is_bold = (
        stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )
    print("\n".join(_lines(is_bold)), file=stream)


def _lines(is_bold: bool) -> Iterator[str]:
    begin, end = ("\x1b[1m", "\x1b[0m") if is_bold else ("", "")
    yield "Usage: cw-store [OPTIONS] COMMAND …"
    yield ""
    yield "Look at a store of cw_store, act on it, keep it, move it."
    width = max(len(command.name) for command in COMMANDS)
    for group in GROUPS:
        if not any(command.group == group for command in COMMANDS):
            continue
        yield ""
        yield f"{begin}{group}{end}"
        for command in COMMANDS:
            if command.group == group:
                yield f"  {command.name:{width}}  {command.help}"
    yield ""
    yield f"{begin}Options of every command{end}"
    yield from (f"  {option:14} {meaning}" for option, meaning in OPTIONS)
    yield ""
    yield EXIT_CODES
