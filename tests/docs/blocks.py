"""The blocks of a page: what kind each is, the heading it is under, and what a program prints."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

PAGES = ("README.md", *sorted(path.relative_to(ROOT).as_posix() for path in DOCS.rglob("*.md")))

_HEADING_OR_BLOCK = re.compile(
    r"^#+ (?P<heading>[^\n]+)$|^```(?P<kind>\w*)(?P<more>[^\n]*)\n(?P<text>.*?)^```$", re.M | re.S
)


class Block(NamedTuple):
    """A block of a page; `name` says of which page, and under which heading."""

    name: str
    kind: str
    text: str
    is_whole: bool


class Program(NamedTuple):
    """A program, and what the page says that it prints, if it says so."""

    name: str
    code: str
    printed: str | None


def blocks_of(page: str) -> Iterator[Block]:
    """Give the blocks of a page; what has a title is a part of something that other blocks show."""
    heading = ""
    for match in _HEADING_OR_BLOCK.finditer((ROOT / page).read_text()):
        if match["heading"]:
            heading = match["heading"]
        else:
            yield Block(
                f"{page}: {heading}", match["kind"], match["text"], not match["more"].strip()
            )


def programs_of(page: str) -> list[Program]:
    """Return the programs of a page; a `text` block below one is what it prints."""
    found = list[Program]()
    for block in blocks_of(page):
        if block.kind == "python" and block.is_whole:
            found.append(Program(block.name, block.text, None))
        elif block.kind == "text" and found:
            found[-1] = found[-1]._replace(printed=found[-1].printed or block.text)
    return found
