"""The supervisor: workers that claim tasks, run them as agents, and record how they ended.

Two rules carry everything else. What belongs together is one unit of work: a claim takes the
task, the account and the agent at once, and an end is recorded for agent, task, phase and
initiative at once. And what the process remembers is only a convenience: when it is killed, the
store alone says what is left to do.
"""

import asyncio
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cw_store import (
    Account,
    Agent,
    Phase,
    PhaseDependency,
    Store,
    Task,
    TaskDependency,
    UnitOfWork,
)

from .plan import Plan
from .processes import output_of, started

ACCOUNT_EXHAUSTED = 75
RETRIES = 3
SUMMARY_CHARACTERS = 200
PRIORITIES = ("high", "medium", "low")


@dataclass(frozen=True, slots=True)
class Claim:
    """A task that is ours to run now, and as whom."""

    task: Task
    agent: Agent
    account: Account


@dataclass(frozen=True, slots=True)
class Wait:
    """There is nothing to claim before something changes, or `seconds` have passed."""

    seconds: float | None = None


class Changes:
    """Wakes the workers when something has changed, and loses no change.

    A worker notes `count`, looks into the store, and waits for the count to move on: what changes
    after it looked ends the waiting at once.
    """

    def __init__(self) -> None:
        self.count = 0
        self._condition = asyncio.Condition()

    async def announce(self) -> None:
        """Wake every worker that waits."""
        async with self._condition:
            self.count += 1
            self._condition.notify_all()

    async def wait(self, seen: int, seconds: float | None) -> None:
        """Wait until the count is no longer `seen`, at most so many seconds."""
        try:
            async with asyncio.timeout(seconds), self._condition:
                await self._condition.wait_for(lambda: self.count != seen)
        except TimeoutError:
            pass


class Supervisor:
    """Runs a stored plan with several workers; `report` is told what happens, line by line."""

    def __init__(
        self,
        store: Store,
        plan: Plan,
        *,
        store_url: str,
        lock: int,
        workers: int,
        report: Callable[[str], None],
    ) -> None:
        self._store = store
        self._plan = plan
        self._store_url = store_url
        self._lock = lock
        self._workers = workers
        self._report = report
        self._changes = Changes()

    async def run(self) -> None:
        """Work until nothing is left that could run; may be cancelled at any moment."""
        await self.recover()
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(1, self._workers + 1):
                    group.create_task(self._work(), name=f"worker {number}")
        finally:
            await self.recover()

    async def recover(self) -> None:
        """Give back the tasks of agents whose process is gone.

        Only for when none is running: before the workers begin, while the lock tells that nothing
        of an earlier run is left, and after they have ended. An interruption is no crash of the
        command, so it costs no retry.
        """
        async with self._store.unit_of_work(label="recover") as uow:
            for status in ("running", "waiting_for_input"):
                for agent in await uow.agents.find_by_status(status):
                    if agent.initiative_id == self._plan.id:
                        await uow.agents.update(
                            agent.id, status="crashed", result={"interrupted": True}
                        )
                        self._report(f"{agent.name} was interrupted")
            for task in await uow.tasks.find_by_initiative_id(self._plan.id):
                if task.status == "in_progress":
                    await uow.tasks.update(task.id, status="pending")

    async def retry_blocked(self) -> None:
        """Give every blocked task its retries back."""
        async with self._store.unit_of_work(label="retry blocked tasks") as uow:
            for task in await uow.tasks.find_by_initiative_id(self._plan.id):
                if task.status == "blocked" and task.phase_id is not None:
                    await uow.tasks.reset_retry_count(task.id)
                    await uow.tasks.update(task.id, status="pending")
                    await uow.phases.update(task.phase_id, status="in_progress")

    async def _work(self) -> None:
        """Be one worker: claim and run, until nothing can be claimed any more."""
        while True:
            seen = self._changes.count
            match await self._claim():
                case Claim() as claim:
                    await self._run(claim)
                case Wait(seconds):
                    await self._changes.wait(seen, seconds)
                case None:
                    return

    async def _claim(self) -> Claim | Wait | None:
        """Take the next task, or say how long to wait for one; `None` when none will come."""
        async with self._store.unit_of_work(label="claim a task") as uow:
            tasks = await uow.tasks.find_by_initiative_id(self._plan.id)
            phases = await uow.phases.find_by_initiative_id(self._plan.id)
            ready = ready_tasks(
                tasks,
                await uow.tasks.find_dependencies_by_initiative_id(self._plan.id),
                phases,
                await uow.phases.find_dependencies_by_initiative_id(self._plan.id),
            )
            someone_works = any(task.status == "in_progress" for task in tasks)
            if not ready:
                return Wait() if someone_works else None
            account = await uow.accounts.find_next_available()
            if account is None:
                seconds = await _seconds_to_next_account(uow)
                return Wait(seconds) if someone_works or seconds is not None else None

            task = await uow.tasks.update(ready[0].id, status="in_progress")
            for phase in phases:
                if phase.id == task.phase_id and phase.status == "pending":
                    await uow.phases.update(phase.id, status="in_progress")
            agent = await uow.agents.create(
                task_id=task.id,
                initiative_id=self._plan.id,
                account_id=account.id,
                worktree_id=str(Path.cwd()),
                status="running",
            )
        self._report(f"{task.name}: {agent.name} begins, with {account.email}")
        return Claim(task, agent, account)

    async def _run(self, claim: Claim) -> None:
        """Run a task's command, store what it writes as it comes, record how it ended."""
        agent = claim.agent
        begun = time.monotonic()
        written, tail = 0, ""
        variables = {
            "CW_STORE_URL": self._store_url,
            "CW_AGENT_ID": agent.id,
            "CW_AGENT_NAME": agent.name,
            "CW_TASK_ID": claim.task.id,
        }
        command = command_line(claim.task.description or "")
        async with started(command, variables, self._lock) as process:
            async with self._store.unit_of_work(label="note a process") as uow:
                await uow.agents.update(agent.id, pid=process.pid)
            async for chunks in output_of(process):
                async with self._store.unit_of_work(label="store output") as uow:
                    await uow.log_chunks.insert_chunks(
                        [
                            {
                                "agent_id": agent.id,
                                "agent_name": agent.name,
                                "session_number": 1,
                                "content": chunk,
                            }
                            for chunk in chunks
                        ]
                    )
                written += sum(map(len, chunks))
                tail = "".join([tail, *chunks])[-SUMMARY_CHARACTERS:]
            exit_code = await process.wait()

        seconds = round(time.monotonic() - begun, 3)
        summary = tail.strip().rpartition("\n")[2]
        async with self._store.unit_of_work(label="record an end") as uow:
            await uow.agents.update(
                agent.id,
                status="stopped" if exit_code in (0, ACCOUNT_EXHAUSTED) else "crashed",
                exit_code=exit_code,
                result={"seconds": seconds, "characters": written},
            )
            if exit_code == 0:
                news = await self._complete(uow, claim, summary)
            elif exit_code == ACCOUNT_EXHAUSTED:
                news = await self._rest_account(uow, claim)
            else:
                news = await self._retry_or_block(uow, claim)
        self._report(f"{claim.task.name}: {news} after {seconds:.1f} s (exit code {exit_code})")
        await self._changes.announce()

    async def _complete(self, uow: UnitOfWork, claim: Claim, summary: str) -> str:
        """Complete the task, and with the last one its phase, and with the last its initiative."""
        task = await uow.tasks.update(claim.task.id, status="completed", summary=summary or None)
        if task.phase_id is not None and all_completed(
            await uow.tasks.find_by_phase_id(task.phase_id)
        ):
            await uow.phases.update(task.phase_id, status="completed")
            if all_completed(await uow.phases.find_by_initiative_id(self._plan.id)):
                await uow.initiatives.update(self._plan.id, status="completed")
        return "completed"

    async def _rest_account(self, uow: UnitOfWork, claim: Claim) -> str:
        """Leave the account alone for a while; the task's next agent gets another one."""
        until = datetime.now(UTC) + timedelta(seconds=self._plan.rest_seconds)
        await uow.accounts.mark_exhausted(claim.account.id, until=until)
        await uow.tasks.update(claim.task.id, status="pending")
        return f"{claim.account.email} exhausted"

    async def _retry_or_block(self, uow: UnitOfWork, claim: Claim) -> str:
        """Let the task run again, unless it has crashed too often."""
        task = claim.task
        if task.retry_count < RETRIES:
            await uow.tasks.increment_retry_count(task.id)
            await uow.tasks.update(task.id, status="pending")
            return f"crashed, retry {task.retry_count + 1} of {RETRIES},"
        await uow.tasks.update(task.id, status="blocked")
        if task.phase_id is not None:
            await uow.phases.update(task.phase_id, status="blocked")
        return "crashed once too often"


def ready_tasks(
    tasks: Sequence[Task],
    task_edges: Iterable[TaskDependency],
    phases: Iterable[Phase],
    phase_edges: Iterable[PhaseDependency],
) -> list[Task]:
    """Return the pending tasks that wait for nothing, the most urgent first."""
    open_tasks = {task.id for task in tasks if task.status != "completed"}
    open_phases = {phase.id for phase in phases if phase.status != "completed"}
    held_tasks = {edge.task_id for edge in task_edges if edge.depends_on_task_id in open_tasks}
    held_phases = {edge.phase_id for edge in phase_edges if edge.depends_on_phase_id in open_phases}
    ready = (
        task
        for task in tasks
        if task.status == "pending"
        and task.id not in held_tasks
        and task.phase_id not in held_phases
    )
    return sorted(ready, key=lambda task: PRIORITIES.index(task.priority))


def all_completed(rows: Sequence[Task] | Sequence[Phase]) -> bool:
    """Say whether all of them are completed."""
    return all(row.status == "completed" for row in rows)


def command_line(command: str) -> list[str]:
    """Split a command into words, and fill in `{python}`, the running interpreter."""
    return [word.replace("{python}", sys.executable) for word in shlex.split(command)]


async def _seconds_to_next_account(uow: UnitOfWork) -> float | None:
    """Return how long until an exhausted account is available; `None` when none ever is."""
    accounts = await uow.accounts.find_by_provider("claude")
    times = [account.exhausted_until for account in accounts if account.exhausted_until]
    if not times:
        return None
    return max(0.05, (min(times) - datetime.now(UTC)).total_seconds())
