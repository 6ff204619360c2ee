"""What is written into a file, or to stdout, of one initiative or of all."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from cw_store import UnitOfWork
from cw_store.cli.context import Context
from cw_store.cli.failures import CommandError
from cw_store.cli.finding import find
from cw_store.cli.overwriting import refuse_database

STDOUT = "-"


async def initiatives(uow: UnitOfWork, typed: str | None) -> list[str]:
    """Return the id of the initiative that is meant, or those of all that are not archived."""
    if typed is not None:
        return [(await find(uow, typed, "initiative")).id]
    return [each.id for each in await uow.initiatives.find_all() if each.status != "archived"]


def is_for_file(name: str | None) -> bool:
    """Whether a file is named to write to."""
    return name not in (None, STDOUT)


def write_text(here: Context, name: str | None, text: str) -> None:
    """Write text of our own into the file that is named, or to stdout.

    The file that was there is replaced by the whole text, or stays as it was; a database is never
    replaced.
    """
    if name is None or name == STDOUT:
        here.output.text(text)
        return
    refuse_database(name)
    try:
        _write(Path(name), text if text.endswith("\n") else f"{text}\n")
    except OSError as error:
        message = f"cannot write {name}: {error.strerror or error}"
        raise CommandError("cannot-write", message) from error
    here.output.remark(f"wrote {name}")


def _write(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(name, 0o666 & ~_mask())
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _mask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
