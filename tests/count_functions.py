"""How many functions of cw_store does a call pass through, and in how many files?

    python tests/count_functions.py [--list]

Counted on SQLite with `sys.setprofile`, in every thread, when all is warm: what a reader has to
follow who wants to know what happens. Of several rounds the one with the fewest is shown, since a
checkpoint may run beside one of them. docs/take-part/architecture.md holds the counts beside
earlier ones.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import CodeType, FrameType

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

import cw_store
from cw_store import Store

PACKAGE = str(Path(cw_store.__file__).parent)
ROUNDS = 12
INLINE = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")
"""No functions to a reader, although Python 3.11 calls them as such."""


class Counter:
    """The functions of cw_store that were entered while counting, in the order of their entry.

    One that was generated belongs to no file; it is known by its caller, which is of cw_store.
    """

    def __init__(self) -> None:
        self.entered: dict[CodeType, None] = {}
        self._is_counting = False

    def profile(self, frame: FrameType, event: str, _argument: object) -> None:
        """Note what is called; for `sys.setprofile` in every thread."""
        code = frame.f_code
        if not self._is_counting or event != "call" or code.co_name in INLINE:
            return
        if _is_ours(code) or (
            _is_generated(code) and frame.f_back and _is_ours(frame.f_back.f_code)
        ):
            self.entered.setdefault(code)

    @contextmanager
    def counting(self) -> Generator[None]:
        """Count anew what is entered in this block."""
        self.entered.clear()
        self._is_counting = True
        try:
            yield
        finally:
            self._is_counting = False


def _is_ours(code: CodeType) -> bool:
    return code.co_filename.startswith(PACKAGE)


def _is_generated(code: CodeType) -> bool:
    return code.co_filename.startswith(("<string>", "<cw_store"))


class Journey:
    """What was counted of one way through the store."""

    def __init__(self, entered: list[CodeType]) -> None:
        self.functions = entered
        self.files = {code.co_filename for code in entered if _is_ours(code)}


Way = Callable[[Counter, Store], Awaitable[None]]


async def a_turn_of_an_account(counter: Counter, store: Store) -> None:
    with counter.counting():
        await store.accounts.find_next_available()


async def a_turn_of_an_account_in_a_unit(counter: Counter, store: Store) -> None:
    with counter.counting():
        async with store.unit_of_work() as uow:
            await uow.accounts.find_next_available()


async def a_claim(counter: Counter, store: Store) -> None:
    await store.tasks.create(name="to be claimed")
    with counter.counting():
        await store.claims.next(holder="host/1", worktree_id="trees/one")


async def a_first_statement_of_a_session(counter: Counter, store: Store) -> None:
    async with store.unit_of_work() as uow:
        with counter.counting():
            await uow.session.execute(text("SELECT count(*) FROM tasks"))


async def another_statement_of_the_session(counter: Counter, store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.session.execute(text("SELECT count(*) FROM tasks"))
        with counter.counting():
            await uow.session.execute(text("SELECT count(*) FROM tasks"))


async def a_cancelled_exit(counter: Counter, store: Store) -> None:
    is_written = asyncio.Event()

    async def write() -> None:
        async with store.unit_of_work() as uow:
            await uow.accounts.find_next_available()
            is_written.set()
            await asyncio.Event().wait()

    writer = asyncio.create_task(write())
    await is_written.wait()
    with counter.counting():
        writer.cancel()
        await asyncio.wait([writer])


async def opening(counter: Counter, _store: Store) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with counter.counting():
            store = await Store.open(f"{folder}/new.db")
        await store.close()


WAYS: tuple[Way, ...] = (
    a_turn_of_an_account,
    a_turn_of_an_account_in_a_unit,
    a_claim,
    a_first_statement_of_a_session,
    another_statement_of_the_session,
    a_cancelled_exit,
    opening,
)


@asynccontextmanager
async def warm_store() -> AsyncGenerator[Store]:
    """Give a store with one account, in a new file."""
    with tempfile.TemporaryDirectory() as folder:
        async with Store(f"{folder}/counted.db") as store:
            await store.accounts.create(email="one@example.com")
            yield store


async def count(counter: Counter) -> dict[str, Journey]:
    """Go each way several times; the threads of the store have to be counted from their start."""
    journeys: dict[str, Journey] = {}
    async with warm_store() as store:
        for way in WAYS:
            rounds: list[list[CodeType]] = []
            for _ in range(ROUNDS):
                await way(counter, store)
                rounds.append(list(counter.entered))
            journeys[way.__name__.replace("_", " ")] = Journey(min(rounds, key=len))
    return journeys


def counted() -> dict[str, Journey]:
    """Count, with the profiler on in this thread and in those that are started meanwhile."""
    counter = Counter()
    threading.setprofile(counter.profile)
    sys.setprofile(counter.profile)
    try:
        return asyncio.run(count(counter))
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def main() -> None:
    """Print the counts, and with --list what was counted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--list", action="store_true", help="list the functions of each as well")
    options = parser.parse_args()
    console = Console()
    table = Table("passes through", "functions", "files", title="cw_store on SQLite, warm")
    for name, journey in counted().items():
        table.add_row(name, str(len(journey.functions)), str(len(journey.files)))
        if options.list:
            console.rule(name)
            for code in journey.functions:
                place = code.co_filename.removeprefix(PACKAGE + "/")
                console.print(f"{place}:{code.co_firstlineno} {code.co_qualname}", highlight=False)
    console.print(table)


if __name__ == "__main__":
    main()
