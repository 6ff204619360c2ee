"""The command lines that answer what a view shows, ready for a shell."""

from __future__ import annotations

import shlex

ANSWER = "TEXT"
"""What stands for the text that a person has to say."""


def command(*words: str, about: str, text: str | None = None) -> str:
    """Return `cw-store` with these words, what it is about, and a text behind it.

    What begins with a hyphen, as an id may, would be taken for an option, and so stands behind one
    that ends them.
    """
    given = [about] if text is None else [about, text]
    end_of_options = ["--"] if any(one.startswith("-") for one in given) else []
    return shlex.join(["cw-store", *words, *end_of_options, *given])
