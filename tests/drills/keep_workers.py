"""Processes that keep what they claim, and are frozen at it. The pipe to the drill comes first."""

import asyncio
import random
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

from claim_workers import Supervisor

from cw_store import Claim, LeaseLostError, Store


def keep_until_told(pipe: Connection, url: str, holder: str, lease: float, writes: bool) -> None:
    """Claim a task for each "go" and keep it after "keep"; say so, and how the block has ended.

    It ends as completed when told to end it, and otherwise by the loss of the claim, of which one
    that `writes` may hear from what it writes, and any other from `store.keep` alone.
    """

    async def run() -> None:
        async with Store(url) as store:
            pipe.send("ready")
            while await said(pipe) == "go":
                supervisor = Supervisor(
                    pipe, store, holder, random.Random(holder), timedelta(seconds=lease), lease / 6
                )
                await keep_one(supervisor, writes)

    asyncio.run(run())


async def said(pipe: Connection) -> Any:
    """Wait until something is said, and return it."""
    while not pipe.poll():  # noqa: ASYNC110 -- nothing in this loop tells of it
        await asyncio.sleep(0.005)
    return pipe.recv()


async def keep_one(supervisor: Supervisor, writes: bool) -> None:
    claim = await supervisor.store.claims.next(holder=supervisor.holder, worktree_id="trees/1")
    assert claim is not None
    supervisor.pipe.send(("claimed", claim.agent.id))
    assert await said(supervisor.pipe) == "keep"
    try:
        async with supervisor.store.keep(claim, lease=supervisor.lease):
            supervisor.pipe.send(("kept", None))
            if writes:
                await write_until_told(supervisor, claim)
            else:
                await said(supervisor.pipe)
    except LeaseLostError as error:
        await supervisor.come_too_late(claim)
        by_keep = isinstance(error.__context__, asyncio.CancelledError)
        supervisor.pipe.send(("lost", by_keep))
    else:
        await supervisor.store.claims.complete(claim)
        supervisor.pipe.send(("completed", None))


async def write_until_told(supervisor: Supervisor, claim: Claim) -> None:
    ways = list(supervisor.writes(claim, "works").values())
    while not supervisor.pipe.poll():
        await supervisor.random.choice(ways)()
        await asyncio.sleep(supervisor.random.uniform(0, 0.02))
    supervisor.pipe.recv()
