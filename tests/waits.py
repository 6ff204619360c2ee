"""How a test waits for what no event tells of: never by the clock."""

import asyncio


async def until_idle() -> None:
    """Let every task go as far as it comes without the help of a thread or of another process."""
    for _ in range(20):
        await asyncio.sleep(0)
