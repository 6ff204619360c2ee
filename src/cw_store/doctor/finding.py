"""What a check says."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["fine", "note", "problem"]
"""`problem` needs something to be done; `note` is good to know, and may be as it is meant."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    `check` is the name of the check. `what` is the case, `why` it matters, empty where all is fine,
    and `command` mends it, where a command can. `fixable` says that `fix` does, as nothing is lost.
    """

    check: str
    level: Level
    what: str
    why: str = ""
    command: str | None = None
    fixable: bool = False


def fine(check: str, what: str) -> list[Finding]:
    """Return that all is well."""
    return [Finding(check, "fine", what)]


def note(check: str, what: str, why: str, command: str | None = None) -> list[Finding]:
    """Return what is good to know."""
    return [Finding(check, "note", what, why, command)]


def problem(
    check: str, what: str, why: str, command: str | None = None, *, fixable: bool = False
) -> list[Finding]:
    """Return what needs something to be done."""
    return [Finding(check, "problem", what, why, command, fixable)]


def command_of(*words: str) -> str:
    """Return `cw-store` with these words, ready for a shell."""
    return shlex.join(["cw-store", *words])


def some(names: list[str], most: int = 3) -> str:
    """Return a few of the names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
