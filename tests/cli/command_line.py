"""Running `cw-store` in this process as if it had been typed, and reading what it wrote."""

import io
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from unittest.mock import patch

from cw_store.cli import main

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended: its exit code, and what it wrote to stdout and to stderr."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What is in the envelope on stdout."""
        envelope = json.loads(self.out)
        assert list(envelope) == ["schema_version", "data"]
        assert envelope["schema_version"] == 1
        return envelope["data"]

    @property
    def error(self) -> Any:
        """What is in the envelope on stderr."""
        envelope = json.loads(self.err)
        assert list(envelope) == ["schema_version", "error"]
        return envelope["error"]

    @property
    def rows(self) -> list[dict[str, str]]:
        """The rows of a table that tabs separate."""
        head, *lines = self.out.splitlines()
        names = head.split("\t")
        return [dict(zip(names, line.split("\t"), strict=True)) for line in lines]


class Terminal(io.StringIO):
    """A stream at the end of which a person sits."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class CommandLine:
    """Types commands about one store, at one time; without a `url` no store is named."""

    url: str
    clock: Clock | None = None

    def __call__(self, *words: str, stdin: str = "") -> Done:
        """Run a command whose output goes into pipes."""
        return self._run(words, io.StringIO(), io.StringIO(), stdin)

    def on_terminal(self, *words: str, width: int = 120, colour: str = "never") -> Done:
        """Run a command before a person."""
        variables = {"COLUMNS": str(width), "LINES": "50", "TERM": "xterm-256color"}
        with patch.dict("os.environ", variables):
            return self._run((*words, "--color", colour), Terminal(), Terminal(), "")

    def _run(self, words: tuple[str, ...], out: io.StringIO, err: io.StringIO, stdin: str) -> Done:
        typed = io.TextIOWrapper(io.BytesIO(stdin.encode()))
        with ExitStack() as stack:
            stack.enter_context(patch.object(sys, "stdin", typed))
            stack.enter_context(redirect_stdout(out))
            stack.enter_context(redirect_stderr(err))
            at_store = () if not self.url else ("--url", self.url)
            code = main([*at_store, *words], clock=self.clock)
        return Done(code, out.getvalue(), err.getvalue())
