"""Where a command shows things: data on stdout, all else on stderr.

Data is a table on a terminal, fields that tabs separate in a pipe, and one line of JSON with
`--json`. A pipe that nobody reads from any more ends the command without a word.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TextIO

from cw_store.cli.advance import Advance, tell_nobody
from cw_store.cli.blocks import Block, Cell, Facts, Table, Text
from cw_store.cli.cells import written
from cw_store.cli.failures import Failure
from cw_store.cli.in_pipe import lines_of
from cw_store.safe_text import safe

if TYPE_CHECKING:
    from rich.console import Console

Colour = Literal["auto", "always", "never"]

SCHEMA_VERSION = 1
"""The version of what `--json` writes; it grows when something in it is renamed or taken away."""


class Output:
    """What a command writes to; `now` gives the time that ages are counted from."""

    def __init__(
        self,
        now: Callable[[], datetime],
        *,
        is_json: bool = False,
        colour: Colour = "auto",
        is_quiet: bool = False,
    ) -> None:
        self._now = now
        self._colour: Colour = colour
        self.is_json = is_json
        self.is_quiet = is_quiet

    @property
    def is_terminal(self) -> bool:
        """Whether data is shown to a person: stdout is a terminal, or is to be taken for one."""
        return self._colour == "always" or is_terminal(sys.stdout)

    def table(
        self,
        columns: Iterable[str],
        rows: Iterable[Iterable[Cell]],
        *,
        data: object = None,
        nothing: str = "nothing",
    ) -> None:
        """Show a table; as JSON it is `data`, or else its rows with the columns' names."""
        block = Table(tuple(columns), tuple(map(tuple, rows)), nothing=nothing)
        self.page(block.records() if data is None else data, block)

    def facts(self, values: Mapping[str, Cell], *, data: object = None) -> None:
        """Show names and values of one thing; as JSON they are `data`, or else themselves."""
        self.page(values if data is None else data, Facts(values))

    def page(self, data: object, *blocks: Block, now: datetime | None = None) -> None:
        """Show blocks, one below the other; as JSON it is `data`.

        Ages are counted from `now` where what is shown has a time of its own.
        """
        if self.is_json:
            self._write(envelope(data, indent=2 if is_terminal(sys.stdout) else None))
        elif self.is_terminal:
            from cw_store.cli.on_terminal import drawn

            console = self.console()
            for each in drawn(blocks, now or self._now(), console.width):
                console.print(each, crop=False)  # a command may be longer than the line
        else:
            for line in lines_of(blocks):
                self._write(line)

    def line(self, text: str, *, data: object) -> None:
        """Show one line of a list that may not end, at once; as JSON it is `data`, on one line."""
        self.written_line(safe(text), data=data)

    def written_line(self, text: str, *, data: object) -> None:
        """Show a line as `line` does, of which each part went through `safe` before."""
        self._write(envelope(data) if self.is_json else text)
        sys.stdout.flush()

    def piece(self, text: str) -> None:
        """Show a piece of what is long, as it is; each part of it went through `safe` before."""
        print(text, end="")

    def text(self, text: str) -> None:
        """Write text of our own that is for another program, as it is; as JSON it is a string."""
        self._write(envelope(text) if self.is_json else text.removesuffix("\n"))

    def done(self, sentence: str, *, data: object) -> None:
        """Say what was done; as JSON it is `data`."""
        self.page(data, Text((sentence,)))

    def remark(self, sentence: str) -> None:
        """Say on stderr what is good to know beside the data; `--quiet` leaves it out."""
        if not self.is_quiet:
            tell(sentence)

    def console(self) -> Console:
        """Return what draws on stdout: as wide as the terminal, no markup, colour as was asked."""
        from cw_store.cli.on_terminal import console_on

        return console_on(sys.stdout, self._colour)

    @contextmanager
    def progress(self, what: str) -> Generator[Advance]:
        """Show on a terminal how far something is, from its second second on.

        `with output.progress("backup") as advance:`, and then `advance(done, total)` as often as
        one likes, with a third value where it is called something else by now.
        """
        if self.is_quiet or not is_terminal(sys.stderr):
            yield tell_nobody
            return
        from cw_store.cli.on_terminal import console_on
        from cw_store.cli.progress import shown_progress

        with shown_progress(console_on(sys.stderr, self._colour), what) as advance:
            yield advance

    def _write(self, line: str) -> None:
        print(line)


def envelope(data: object, *, indent: int | None = None) -> str:
    """Return data as `--json` writes it."""
    return written({"schema_version": SCHEMA_VERSION, "data": data}, indent=indent)


def tell_failure(failure: Failure, *, is_json: bool) -> None:
    """Say on stderr why the command failed."""
    if is_json:
        error = {
            "code": failure.code,
            "exit_code": failure.exit_code,
            "message": failure.message,
            "docs": failure.docs,
        }
        _print(written({"schema_version": SCHEMA_VERSION, "error": error}), sys.stderr)
    else:
        tell(failure.message)


def tell(sentence: str) -> None:
    """Say a sentence on stderr, and go on if nobody is there to hear it."""
    _print(f"cw-store: {safe(sentence)}", sys.stderr)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person looks at what is written there."""
    with suppress(ValueError):  # it is closed
        return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    return False


def _print(line: str, stream: TextIO) -> None:
    with suppress(OSError, ValueError):
        print(line, file=stream, flush=True)
