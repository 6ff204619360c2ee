"""What no event tells of: how a test waits for it, and counts it."""

import asyncio
import threading
from collections.abc import Callable

import sqlalchemy as sa

from cw_store import Store

WAITING = sa.text(
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


async def until_idle() -> None:
    """Let every task go as far as it comes without the help of a thread or of another process."""
    for _ in range(20):
        await asyncio.sleep(0)


async def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Return when it is so; of what takes longer than that the test is told by a TimeoutError."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 -- no event tells of it
            await asyncio.sleep(0)


async def until_one_is_held_up(observer: Store) -> None:
    """Return when a call waits for what somebody else's open unit of work holds.

    On PostgreSQL that is one statement that waits for a lock. On SQLite it is whoever wants to
    write, and has only to come so far as to ask for its turn.
    """
    async with asyncio.timeout(20), observer.unit_of_work(read_only=True) as uow:
        if (await uow.session.connection()).dialect.name == "sqlite":
            await until_idle()
        else:
            while await uow.session.scalar(WAITING) != 1:
                pass


def is_of_the_loop(thread: threading.Thread) -> bool:
    """Whether it belongs to the executor of an event loop: of asyncio's, or of uvloop's."""
    return thread.name.startswith(("asyncio_", "uvloop_"))


def threads() -> int:
    """Return how many threads there are, without those of the loop's own executor."""
    return sum(not is_of_the_loop(thread) for thread in threading.enumerate())
