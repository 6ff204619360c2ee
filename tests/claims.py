"""Claims for tests: a task that somebody has, and one that somebody else has by now."""

from datetime import timedelta

from builders import Repos, add_task
from cw_store import Claim, Store, UnitOfWork

ONE_MINUTE = timedelta(minutes=1)


async def claimed(
    repos: Repos, *, holder: str = "host-1/1", lease: timedelta = ONE_MINUTE
) -> Claim:
    """Return the claim on a new task, without an account."""
    task = await add_task(repos)
    return await repos.claims.take(
        task.id, holder=holder, worktree_id="/worktrees/1", provider=None, lease=lease
    )


async def taken_over(store: Store, claim: Claim) -> Claim:
    """Take the task away, and return the claim of who has it now."""
    async with store.unit_of_work() as uow:
        return await taken_over_in(uow, claim)


async def taken_over_in(uow: UnitOfWork, claim: Claim) -> Claim:
    """Do the same as a part of a unit of work."""
    await uow.claims.revoke(claim.task.id)
    return await uow.claims.take(
        claim.task.id, holder="host-2/1", worktree_id="/worktrees/2", provider=None
    )
