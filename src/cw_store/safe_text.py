"""What may be shown of what is stored, since agents can write anything into it.

Every text that comes from a store, or from whoever typed the command, goes through `safe` before
it is shown. What a terminal would obey instead of showing, and what changes the order in which it
is read, is spelled out; nothing is left out, so whoever looks sees that something was there.
"""

from __future__ import annotations

import unicodedata


def safe(text: str) -> str:
    r"""Return the text for one line: control characters and line ends are spelled out, as `\n`.

    So are escape sequences, overrides of the direction of writing, separators of lines and
    paragraphs, what has no width, and half a pair of surrogates.
    """
    return text if text.isprintable() else "".join(map(_spelled_out, text))


def lines_of(text: str) -> list[str]:
    """Return the lines of a text of several, not safe yet; tabs are spaces in them."""
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    return [line.expandtabs(4) for line in lines]


def safe_json(text: str) -> str:
    r"""Return written JSON that says the same and holds nothing that `safe` would spell out.

    Characters inside of its strings become `\u…`; there are none outside.
    """
    return text if text.isprintable() else "".join(map(_as_in_json, text))


def _spelled_out(character: str) -> str:
    if _is_harmless(character):
        return character
    return character.encode("unicode_escape").decode()


def _as_in_json(character: str) -> str:
    if character == "\n" or _is_harmless(character):
        return character  # a line end outside of a string
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _is_harmless(character: str) -> bool:
    # isprintable() has of all spaces only the ordinary one.
    return character.isprintable() or unicodedata.category(character) == "Zs"
