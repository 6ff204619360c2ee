"""From the words that were typed to an exit code, whatever happens on the way."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

from cw_store.cli.general_help import asks_for_help, is_json, write_help

Clock = Callable[[], datetime]


def run(words: Sequence[str], clock: Clock | None) -> int:
    """Run the command; return the exit code, and raise nothing."""
    _open_what_is_closed()
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        # What a terminal has no letters for is spelled out, as what it would obey is.
        reconfigure(errors="backslashreplace")
    try:
        code = _answer(words, clock)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        write_to_nobody()
        return 0
    except BaseException as error:
        if isinstance(error, GeneratorExit):
            raise
        # What Rich makes of a closed pipe.
        if isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):
            write_to_nobody()
            return 0
        return _failed(error, words)


def _open_what_is_closed() -> None:
    """Give stdin, stdout and stderr a place to go where the shell closed them (`>&-`).

    The files that are opened later would get their numbers, and what is said on a closed stderr
    would be printed on stdout.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)  # gets the lowest number, which is the closed
            setattr(sys, name, open(nowhere, mode, encoding="utf-8"))


def _answer(words: Sequence[str], clock: Clock | None) -> int:
    if asks_for_help(words):
        write_help(sys.stdout)
        return 0
    from cw_store.cli.app import run_command

    return run_command(words, clock)


def _failed(error: BaseException, words: Sequence[str]) -> int:
    if isinstance(error, ImportError) and error.name in ("cyclopts", "rich"):
        with suppress(OSError):
            print("cw-store: it needs the extra cli: install cw-store[cli]", file=sys.stderr)
        return 3
    from cw_store.cli.failures import failure_of
    from cw_store.cli.output import tell_failure

    failure = failure_of(error)
    tell_failure(failure, is_json=is_json(words))
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    return failure.exit_code


def write_to_nobody() -> None:
    """Give what is still to be written a place to go, or Python complains of it at its end."""
    with suppress(OSError, ValueError):
        nobody = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nobody, sys.stdout.fileno())
        os.close(nobody)
