"""`run FOLDER` checks the reports in a folder, `show` says what waits and what was found."""

import argparse
import asyncio
import fcntl
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from cw_store import Store

from .desk import check_all, describe


@contextmanager
def alone_in(folder: Path) -> Generator[None]:
    """Be the only one who checks this folder; the system sees to it, also after a kill."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        sys.exit(f"another process checks {folder} already")
    finally:
        os.close(lock)


async def run(url: str | None, folder: Path) -> None:
    """Check the reports in a folder, until all are checked."""
    with alone_in(folder):
        async with Store(url) as store:
            await check_all(store, folder)


async def show(url: str | None) -> None:
    """Print how far it is, what waits and what was found."""
    async with Store(url) as store:
        print(*await describe(store), sep="\n")


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m examples.expenses", description=__doc__)
    parser.add_argument("--url", help="the store; $CW_STORE_URL unless given, else cw.db")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run").add_argument("folder", type=Path)
    commands.add_parser("show")
    arguments = parser.parse_args()
    if arguments.command == "run":
        asyncio.run(run(arguments.url, arguments.folder.resolve()))
    else:
        asyncio.run(show(arguments.url))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
