"""The demo store at a standing clock; copied for whoever changes it."""

import asyncio
import shutil
from pathlib import Path

from command_line import CommandLine

from cw_store.cli.demo import fill
from cw_store.testing import START


def filled(url: str) -> CommandLine:
    """Fill an empty store, and return who types commands about it."""
    asyncio.run(fill(url, now=START))
    return CommandLine(url, lambda: START)


def copied(demo: Path, folder: Path) -> CommandLine:
    """Return who types commands about a copy of a file that nobody has open."""
    file = shutil.copyfile(demo, folder / "cw.db")
    return CommandLine(str(file), lambda: START)
