"""Run a plan: `python -m examples.supervisor [plan.toml] --store cw.db --workers 2`.

The same command again, while this one runs, is a second supervisor, and they share the work.
Exit code 0 when the plan is completed, 1 when part of it can't be, 2 when it can't begin, and
130 when it was interrupted; the same command then goes on where it stopped.
"""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from cw_store import AlreadyExistsError, Initiative, Store, StoreError

from .display import (
    last_lines_of_blocked,
    next_progress,
    plain,
    progress_table,
    read_progress,
    summary_table,
)
from .plan import Plan, PlanError, block_phases, read_plan, retry_blocked, store_plan
from .processes import LockedError, Starter, holder_name
from .supervisor import Supervisor
from .terminal import harmless

FRAMES_PER_SECOND = 4


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the command line said, checked."""

    plan: Plan
    store_url: str
    workers: int
    holder: str | None
    lease: timedelta
    retry_blocked: bool
    page: bool


def read_arguments() -> Arguments:
    """Read the command line and the plan; `PlanError` when they don't go together."""
    parser = argparse.ArgumentParser(prog="python -m examples.supervisor", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    shipped = Path(__file__).with_name("plan.toml")
    parser.add_argument("plan", nargs="?", type=Path, default=shipped, help="a TOML file")
    parser.add_argument(
        "--store",
        default=os.environ.get("CW_STORE_URL", "cw.db"),
        help="database file or URL; $CW_STORE_URL, else cw.db",
    )
    parser.add_argument("--workers", type=int, help="how many tasks may run at once, here")
    parser.add_argument(
        "--holder", help="the name of this supervisor; host/1, host/2, … if not given"
    )
    parser.add_argument(
        "--lease",
        type=float,
        default=20.0,
        metavar="SECONDS",
        help="how long others leave its tasks alone when it is dead or frozen; 20 if not given",
    )
    parser.add_argument(
        "--retry-blocked", action="store_true", help="let tasks that crashed too often run again"
    )
    parser.add_argument(
        "--page", action="store_true", help="serve a page to look at it, and print its address"
    )
    given = parser.parse_args()
    plan = read_plan(given.plan)
    workers = given.workers or max(plan.workers_needed, os.cpu_count() or 1)
    if workers < plan.workers_needed:
        raise PlanError(
            f"{given.plan}: needs {plan.workers_needed} workers, because its tasks "
            f"talk to each other; --workers {workers} is too few"
        )
    if not 0 < given.lease < 1e6:
        raise PlanError("--lease is a number of seconds above 0")
    lease = timedelta(seconds=given.lease)
    return Arguments(
        plan=plan,
        store_url=absolute(given.store),
        workers=workers,
        holder=given.holder,
        lease=lease,
        retry_blocked=given.retry_blocked,
        page=given.page,
    )


def absolute(store: str) -> str:
    """Name the store so that a command finds it from any folder."""
    for prefix in ("sqlite:///", "sqlite+aiosqlite:///"):
        store = store.removeprefix(prefix)
    if store in ("", ":memory:"):
        raise PlanError("agents are processes of their own: they need a store that is a file")
    return store if "://" in store else str(Path(store).resolve())


async def run(arguments: Arguments, holder: str) -> int:
    """Open the store, run the plan, show what happens, and return the exit code."""
    plan, begun = arguments.plan, time.monotonic()
    console = Console()
    async with Store(arguments.store_url) as store:
        initiative = await stored(store, plan)
        if arguments.retry_blocked:
            await store.run(lambda uow: retry_blocked(uow, plan), label="retry blocked tasks")
        async with page_of(store, arguments, console), showing(store, plan, console) as report:
            report(f"{holder} begins with {plan.name} ({initiative.status})")
            supervisor = Supervisor(
                store=store,
                plan=plan,
                holder=holder,
                workers=arguments.workers,
                lease=arguments.lease,
                start=Starter(arguments.store_url).start,
                report=report,
            )
            finished = await shielded_or_interrupted(supervisor)
            if finished:
                await store.run(lambda uow: block_phases(uow, plan), label="block phases")

        seconds = time.monotonic() - begun
        for name, lines in await last_lines_of_blocked(store, plan.id):
            console.print(plain(f"\n{name} is blocked. It wrote at last:", "bold"))
            console.print(plain(lines), soft_wrap=True)
        console.print(await summary_table(store, plan.id, seconds, arguments.store_url))
        async with store.unit_of_work(read_only=True) as uow:
            initiative = await uow.initiatives.find_by_id(plan.id)
    if not finished:
        console.print("Interrupted. The same command goes on from here.")
        return 130
    return 0 if initiative is not None and initiative.status == "completed" else 1


@asynccontextmanager
async def page_of(store: Store, arguments: Arguments, console: Console) -> AsyncGenerator[None]:
    """Serve a page on which people see the agents at work, and act, if that was asked for."""
    if not arguments.page:
        yield
        return
    from cw_store.live import serving

    async with serving(store, may_act=True) as page:
        console.print(plain(f"Look at it: {page.address}"), soft_wrap=True)
        yield


async def stored(store: Store, plan: Plan) -> Initiative:
    """Store the plan, unless it is there, or another supervisor stores it at this moment."""
    try:
        return await store.run(lambda uow: store_plan(uow, plan), label="store the plan")
    except AlreadyExistsError:
        return await store.run(lambda uow: store_plan(uow, plan), label="find the plan")


async def shielded_or_interrupted(supervisor: Supervisor) -> bool:
    """Run the supervisor to its end, or until SIGINT or SIGTERM; return whether it finished."""
    work = asyncio.create_task(supervisor.run(), name="supervisor")
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        return False
    return True


@asynccontextmanager
async def showing(
    store: Store, plan: Plan, console: Console
) -> AsyncGenerator[Callable[[str], None]]:
    """Show the tasks while the block runs: a live table, or lines where there is no terminal.

    The value is to be called with each piece of news.
    """
    begun = time.monotonic()

    def print_line(news: str) -> None:
        print(f"{time.monotonic() - begun:6.1f} s  {harmless(news)}", flush=True)

    if not console.is_terminal:
        yield print_line
        return

    latest = ""

    def keep_latest(news: str) -> None:
        nonlocal latest
        latest = news

    async with store.unit_of_work(read_only=True) as uow:
        progress = await read_progress(uow, plan.id)

    def frame() -> Table:
        table = progress_table(progress)
        table.title, table.caption = plain(plan.name), plain(latest)
        return table

    async def follow() -> None:
        nonlocal progress
        while True:
            progress = await next_progress(store, plan.id, progress)

    # Frames are drawn for the seconds in them; the store is read only when something has changed.
    with Live(get_renderable=frame, console=console, refresh_per_second=FRAMES_PER_SECOND):
        following = asyncio.create_task(follow(), name="live table")
        try:
            yield keep_latest
        finally:
            following.cancel()
            await asyncio.wait([following])
            async with store.unit_of_work(read_only=True) as uow:
                progress = await read_progress(uow, plan.id)


def main() -> int:
    """Run the command line."""
    try:
        arguments = read_arguments()
        with holder_name(arguments.store_url, arguments.holder) as holder:
            return asyncio.run(run(arguments, holder))
    except (PlanError, LockedError, StoreError, OSError) as error:
        print(harmless(str(error)), file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
