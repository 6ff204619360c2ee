"""The supervisor: workers that claim tasks, run them as agents, and say how they ended.

The store decides who works on what. A claim takes a task, an account and a new agent at once; it is
kept while the agent runs; nothing is written under it once somebody else has the task; and a claim
that nobody keeps any more is taken over by whoever asks for work next. So any number of supervisors
share a store, and each may be killed or frozen at any moment. Whoever has nothing to do is woken.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cw_store import Claim, LeaseLostError, Store, UnitOfWork

from .plan import Plan
from .processes import Process, output_of

ACCOUNT_EXHAUSTED = 75
SUMMARY_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervisor:
    """Runs a stored plan with several workers; `report` is told what happens, line by line.

    `holder` is the name that claims are held under, of one living supervisor at a time.
    """

    store: Store
    plan: Plan
    holder: str
    workers: int
    lease: timedelta
    start: Callable[[Claim], AbstractAsyncContextManager[Process]]
    report: Callable[[str], None]

    async def run(self) -> None:
        """Work until nothing is left that could run; may be cancelled at any moment."""
        await self._recover()
        try:
            async with asyncio.TaskGroup() as group:
                over = group.create_task(self.store.wait_for(self._is_over), name="end of the plan")
                for number in range(1, self.workers + 1):
                    group.create_task(self._work(over), name=f"worker {number}")
        finally:
            await self._recover()

    async def _recover(self) -> None:
        """Give back what is held under our name: an earlier life's, or a cancelled worker's.

        The commands have ended or are about to. It was no fault of theirs, so it costs no retry.
        """
        while displaced := await self.store.claims.recover(holder=self.holder):
            for agent in displaced:
                self.report(f"{agent.name} was interrupted")

    async def _work(self, over: asyncio.Task[bool]) -> None:
        """Be one worker: claim and run, until nothing can be claimed any more."""
        while claim := await self._claim(over):
            await self._run(claim)

    async def _claim(self, over: asyncio.Task[bool]) -> Claim | None:
        """Claim the next task as soon as there is one; None when all is over."""
        here, plan = str(Path.cwd()), self.plan.id
        wait = self.store.wait_for_claim(
            holder=self.holder, worktree_id=here, initiative_id=plan, lease=self.lease
        )
        async with asyncio.TaskGroup() as group:
            claiming = group.create_task(wait)
            await asyncio.wait([claiming, over], return_when=asyncio.FIRST_COMPLETED)
            claiming.cancel()
        return None if claiming.cancelled() else claiming.result()

    async def _is_over(self, uow: UnitOfWork) -> bool:
        """Say whether nobody is at work, and nothing can begin, not even after a while."""
        plan, claims = self.plan.id, uow.claims
        if await claims.find_live(initiative_id=plan) or await claims.find_ready(plan, limit=1):
            return False
        lacks_account = await claims.find_ready(plan, provider=None, limit=1)
        return not lacks_account or await claims.next_deadline() is None

    async def _run(self, claim: Claim) -> None:
        """Run the task's command as the agent, and store what it writes as it comes."""
        name, agent, tail, begun = claim.task.name, claim.agent, "", time.monotonic()
        self.report(f"{name}: {agent.name} begins, with {claim.account and claim.account.email}")
        try:
            async with self.store.keep(claim, lease=self.lease), self.start(claim) as process:
                async with self.store.unit_of_work(claim=claim) as uow:
                    await uow.agents.update(agent.id, pid=process.pid)
                async for text in output_of(process):
                    await self.store.log_chunks.insert_chunk(
                        agent.id, agent.name, 1, text, claim=claim
                    )
                    tail = (tail + text)[-SUMMARY_CHARACTERS:]
                exit_code = await process.wait()
            news = await self._end(claim, exit_code, tail.strip().rpartition("\n")[2] or None)
        except LeaseLostError as error:
            news = f"stopped, {error}"
        self.report(f"{name}: {news}, after {time.monotonic() - begun:.1f} s")

    async def _end(self, claim: Claim, exit_code: int, summary: str | None) -> str:
        """End the claim as the exit code says, and return what that means."""
        if exit_code == 0:
            await self.store.claims.complete(claim, summary=summary, exit_code=0)
            return "completed"
        if exit_code == ACCOUNT_EXHAUSTED and claim.account is not None:
            until = datetime.now(UTC) + timedelta(seconds=self.plan.rest_seconds)
            async with self.store.unit_of_work(claim=claim) as uow:
                await uow.accounts.mark_exhausted(claim.account.id, until=until)
                await uow.agents.update(claim.agent.id, exit_code=exit_code)
                await uow.claims.release(claim)
            return f"{claim.account.email} exhausted"
        failed = await self.store.claims.fail(claim, exit_code=exit_code, retry_in=timedelta(0))
        if failed.task.status == "blocked":
            return f"crashed once too often (exit code {exit_code})"
        return f"crashed, retry {failed.task.retry_count} (exit code {exit_code})"
