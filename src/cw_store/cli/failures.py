"""What a command that fails tells: a code, an exit code, and one sentence.

An error of the store's own is told by its message, which is a sentence already and holds no secret.
Whatever else is raised is a fault of cw-store: its traceback goes to a file.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from typing import NamedTuple

PAGE = "docs/reference/command-line.md"
"""Where each code has a section of its name."""

EXIT_CODES = {
    "not-found": 1,
    "ambiguous": 1,
    "behind": 1,
    "usage": 2,
    "refused": 2,
    "no-store": 3,
    "cannot-open": 3,
    "not-a-store": 3,
    "newer": 3,
    "read-only": 3,
    "unreadable": 3,
    "cannot-write": 3,
    "busy": 4,
    "stale": 4,
    "conflict": 4,
    "unknown-outcome": 4,
    "fault": 70,
    "interrupted": 130,
}


class Failure(NamedTuple):
    """What is told of a command that failed."""

    code: str
    message: str

    @property
    def exit_code(self) -> int:
        """What the process ends with."""
        return EXIT_CODES[self.code]

    @property
    def docs(self) -> str:
        """Where the documentation says what to do about it."""
        return f"{PAGE}#{self.code}"


class CommandError(Exception):
    """A command cannot do what was asked of it; `code` is one of EXIT_CODES."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class UsageError(CommandError):
    """What was typed makes no sense."""

    def __init__(self, message: str) -> None:
        super().__init__("usage", message)


class NothingFoundError(CommandError):
    """There is nothing of the kind that was asked for."""

    def __init__(self, message: str) -> None:
        super().__init__("not-found", message)


def failure_of(error: BaseException) -> Failure:
    """Say what is told of an error, whatever it is."""
    match error:
        case CommandError():
            return Failure(error.code, str(error))
        case KeyboardInterrupt():
            return Failure("interrupted", "interrupted; nothing was left half done")
        case _:
            return (
                _of_usage(error)
                or _of_typed_time(error)
                or _of_acting(error)
                or _of_store(error)
                or _of_system(error)
                or _fault(error)
            )


def _of_usage(error: BaseException) -> Failure | None:
    if "cyclopts" not in sys.modules:
        return None
    from cyclopts import CycloptsError, UnusedCliTokensError

    if not isinstance(error, CycloptsError):
        return None
    told = str(error).partition(" Available commands:")[0].rstrip(".")
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        told = f"{error.unused_tokens[0]!r} is too much; a name of several words needs quotes"
    told = told.replace('Unknown command "-', 'Unknown option "-')
    end = "" if told.endswith("?") else "."
    command = " ".join(["cw-store", *(error.command_chain or ()), "--help"])
    return Failure("usage", f"{told}{end} See {command}")


def _of_typed_time(error: BaseException) -> Failure | None:
    if "cw_store.lengths" not in sys.modules:
        return None
    from cw_store.lengths import NoTimeError

    return Failure("usage", str(error)) if isinstance(error, NoTimeError) else None


def _of_acting(error: BaseException) -> Failure | None:
    if "cw_store.acting" not in sys.modules:
        return None
    from cw_store.acting import TooLateError

    return (
        Failure("stale", f"someone was faster: {error}")
        if isinstance(error, TooLateError)
        else None
    )


def _of_store(error: BaseException) -> Failure | None:
    # Only what has loaded the store can have raised its errors.
    if "cw_store.errors" not in sys.modules:
        return None
    from cw_store import (
        ConflictError,
        InvalidValueError,
        NotFoundError,
        OutcomeUnknownError,
        ReadOnlyError,
        SchemaAheadError,
        SchemaBehindError,
        SchemaError,
        StaleStateError,
        StoreBusyError,
        StoreError,
        UnreadableError,
    )

    message = str(error)
    match error:
        case NotFoundError():
            return Failure("not-found", message)
        case InvalidValueError():
            return Failure("usage", message)
        case StaleStateError():
            return Failure("stale", f"someone was faster: {message}; look again")
        case ConflictError():
            return Failure("conflict", message)
        case StoreBusyError():
            return Failure("busy", message + "; try again" * (not message.endswith("try again")))
        case OutcomeUnknownError():
            return Failure("unknown-outcome", f"{message}; look before you try again")
        case SchemaBehindError(current=None):
            return Failure("no-store", "there is no store here; cw-store init makes one")
        case SchemaBehindError():
            at = f"the store is at schema {error.current}, this cw-store needs {error.head}"
            return Failure("behind", f"{at}; cw-store migrate brings it up to date")
        case SchemaAheadError():
            return Failure("newer", message)
        case SchemaError():
            return Failure("not-a-store", message)
        case ReadOnlyError():
            return Failure("read-only", message)
        case UnreadableError():
            return Failure("unreadable", f"{message}; the keys are taken from $CW_STORE_KEYS")
        case StoreError():
            return Failure("cannot-open", message)
        case _:
            return None


def _of_system(error: BaseException) -> Failure | None:
    if not isinstance(error, OSError):
        return None
    name = f"{error.filename}: " if isinstance(error.filename, str) else ""
    return Failure("cannot-write", f"{name}{error.strerror or error}")


def _fault(error: BaseException) -> Failure:
    """Write the traceback down, for a terminal is no place for it."""
    told = f"this is a fault of cw-store: {type(error).__name__}"
    text = "".join(traceback.format_exception(error))
    try:
        # Nobody but the user may read it.
        descriptor, name = tempfile.mkstemp(prefix="cw-store-", suffix=".log", text=True)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as unwritten:
        return Failure("fault", f"{told}, of which no file can tell more: {unwritten.strerror}")
    return Failure("fault", f"{told}; {name} tells where")
