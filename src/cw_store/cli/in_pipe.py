"""What a program reads: lines of fields that tabs separate, each value exact."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cw_store.cli.blocks import Block, Facts, Table, Text
from cw_store.cli.cells import exact
from cw_store.safe_text import safe


def lines_of(blocks: Iterable[Block]) -> Iterator[str]:
    """Give the lines of blocks; an empty one is between two, and a table has its columns' names."""
    for number, block in enumerate(blocks):
        if number:
            yield ""
        if block.title is not None:
            yield safe(block.title)
        match block:
            case Table():
                yield "\t".join(block.columns)
                yield from ("\t".join(map(exact, row)) for row in block.rows)
            case Facts():
                yield from (f"{safe(name)}\t{exact(it)}" for name, it in block.values.items())
            case Text():
                indent = "" if block.title is None else "  "
                yield from (f"{indent}{safe(line)}" for line in block.lines)
                if block.command is not None:
                    yield f"{indent}{safe(block.command)}"
