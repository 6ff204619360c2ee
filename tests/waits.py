"""What no event tells of: how a test waits for it, and counts it."""

import asyncio
import threading


async def until_idle() -> None:
    """Let every task go as far as it comes without the help of a thread or of another process."""
    for _ in range(20):
        await asyncio.sleep(0)


def is_of_the_loop(thread: threading.Thread) -> bool:
    """Whether it belongs to the executor of an event loop: of asyncio's, or of uvloop's."""
    return thread.name.startswith(("asyncio_", "uvloop_"))


def threads() -> int:
    """Return how many threads there are, without those of the loop's own executor."""
    return sum(not is_of_the_loop(thread) for thread in threading.enumerate())
