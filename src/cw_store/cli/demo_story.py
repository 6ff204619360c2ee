"""What happens in the demo store: who is at which task, from when until when, and how it ends."""

from __future__ import annotations

import random
import string
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Literal, NamedTuple

from cw_store import Agent, Claim, UnitOfWork
from cw_store.cli import demo_logs
from cw_store.cli.demo_plan import ADJECTIVES, ANIMALS, INITIATIVES, PlannedInitiative

HOLDER, OTHER_HOLDER = "host-1/4711", "host-2/812"

CHUNKS = 8
"""How often an agent writes while it is at a task, but for its first and its last words."""


class DemoClock:
    """The clock of a store that is filled; it stands still until the story goes on."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """Return the time of the story."""
        return self.now


class Account(NamedTuple):
    """An account: how many agents it may have, and when it was used up, in minutes before now.

    `rest` is for how many minutes from then on, None without end.
    """

    email: str
    provider: str = "claude"
    max_agents: int | None = None
    used_up: int | None = None
    rest: int | None = None


ACCOUNTS = (
    Account("amber@example.com", max_agents=4),
    Account("cobalt@example.com"),
    Account("crimson@example.com", used_up=50, rest=61),
    Account("indigo@example.com", used_up=25, rest=160),
    Account("olive@example.com", used_up=100),
    Account("teal@example.com", "codex"),
)


class Try(NamedTuple):
    """An agent's time at a task: from when until when, in minutes before now, and how it ends.

    - `completed`, `failed`: it ends the claim. `later` fails too, and is not tried again for now.
    - `crashed`: its lease runs out, and the task is recovered.
    - `running`: it goes on. `quiet` goes on too, and has written nothing since `end`.
    - `waiting`: since `end` it waits for input.
    - `lost`: its lease ran out at `end`, and nobody has recovered the task.
    """

    task: str
    start: float
    end: float
    how: Literal["completed", "failed", "later", "crashed", "running", "quiet", "waiting", "lost"]
    holder: str = HOLDER


TRIES = (
    Try("Sketch the API", 352, 331, "completed"),
    Try("Choose a hash", 350, 322, "completed"),
    Try("List the pages", 345, 321, "completed"),
    Try("Write the token schema", 329, 300, "completed"),
    Try("Draw the login page", 328, 290, "completed"),
    Try("Move the tutorial", 318, 236, "completed", OTHER_HOLDER),
    Try("Name the threats", 298, 262, "completed"),
    Try("Mail templates", 255, 214, "completed"),
    Try("Session store", 250, 205, "crashed"),
    Try("Unit tests", 248, 231, "failed"),
    Try("Number the invoices", 240, 196, "completed", OTHER_HOLDER),
    Try("Tax rules", 238, 160, "completed", OTHER_HOLDER),
    Try("Check the links", 232, 175, "completed"),
    Try("Unit tests", 225, 180, "crashed"),
    Try("Recovery codes", 190, 150, "failed"),
    Try("Unit tests", 170, 128, "failed"),
    Try("Session store", 92, 0.5, "running"),
    Try("Password reset", 78, 1.2, "running"),
    Try("Two-factor codes", 66, 22, "waiting"),
    Try("Recovery codes", 65, 48, "quiet"),
    Try("Admin screen", 64, 2, "running"),
    Try("Pen test notes", 63, 14, "lost", OTHER_HOLDER),
    Try("Invoice template", 60, 0.8, "running"),
    Try("Audit log", 58, 16, "later"),
)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens so many minutes before now."""

    minutes: float
    happens: Callable[[], Awaitable[object]]


class Story:
    """Tells what happened, in its order."""

    def __init__(self, uow: UnitOfWork, clock: DemoClock, chance: random.Random) -> None:
        self.uow = uow
        self.now = clock.now
        self._clock = clock
        self._chance = chance
        self._events: list[Event] = []
        self._names = set[str]()
        self._claims: dict[Try, Claim] = {}
        self.ids: dict[str, str] = {}
        """The ids of initiatives, phases, tasks, accounts and projects, by their names."""
        self.agents: dict[str, Agent] = {}
        """The newest agent at a task, by the task's name, or by what else it is for."""

    def plan_and_work(self) -> None:
        """Have the initiatives planned, and the agents be at their tasks."""
        for minutes, plan in zip((360, 356, 354), INITIATIVES, strict=True):
            self.at(minutes, partial(self._plan, plan))
        for account in ACCOUNTS:
            self.at(358, partial(self._add_account, account))
            if account.used_up is not None:
                self.at(account.used_up, partial(self._use_up, account))
        for one in TRIES:
            self._try(one)

    async def tell(self) -> None:
        """Store everything that has happened until now."""
        for event in sorted(self._events, key=lambda event: -event.minutes):
            self._clock.now = self.now - timedelta(minutes=event.minutes)
            await event.happens()

    def at(self, minutes: float, happens: Callable[[], Awaitable[object]]) -> None:
        """Have something happen so many minutes before now, behind what is said to before."""
        self._events.append(Event(minutes, happens))

    def new_id(self) -> str:
        """Return an id as long as those that the store makes."""
        return "".join(self._chance.choices(string.ascii_letters + string.digits, k=21))

    def new_name(self) -> str:
        """Return an agent's name that no other has."""
        while (
            name := f"{self._chance.choice(ADJECTIVES)}-{self._chance.choice(ANIMALS)}"
        ) in self._names:
            pass
        self._names.add(name)
        return name

    # What is planned.

    async def _plan(self, plan: PlannedInitiative) -> None:
        uow, ids = self.uow, self.ids
        initiative = await uow.initiatives.create(
            id=self.new_id(),
            name=plan.name,
            status=plan.status,
            branch=plan.branch,
            max_agents=plan.max_agents,
        )
        ids[plan.name] = initiative.id
        for phase in plan.phases:
            ids[phase.name] = self.new_id()
            await uow.phases.create(
                id=ids[phase.name],
                initiative_id=initiative.id,
                name=phase.name,
                status=phase.status,
            )
            for order, task in enumerate(phase.tasks):
                ids[task.name] = self.new_id()
                await uow.tasks.create(
                    id=ids[task.name],
                    phase_id=ids[phase.name],
                    name=task.name,
                    category=task.category,
                    priority=task.priority,
                    order=order,
                    max_retries=task.max_retries,
                )
        for phase in plan.phases:
            for need in phase.needs:
                await uow.phases.create_dependency(ids[phase.name], ids[need])
            for task in phase.tasks:
                for need in task.needs:
                    await uow.tasks.create_dependency(ids[task.name], ids[need])

    async def _add_account(self, account: Account) -> None:
        self.ids[account.email] = self.new_id()
        await self.uow.accounts.create(
            id=self.ids[account.email],
            email=account.email,
            provider=account.provider,
            max_agents=account.max_agents,
            sort_order=ACCOUNTS.index(account),
        )

    async def _use_up(self, account: Account) -> None:
        until = None
        if account.rest is not None:
            until = self._clock.now + timedelta(minutes=account.rest)
        await self.uow.accounts.mark_exhausted(self.ids[account.email], until)

    # What agents do.

    def _try(self, one: Try) -> None:
        self.at(one.start, partial(self._begin, one))
        for step in range(CHUNKS):
            minutes = one.start + (one.end - one.start) * (step + 1) / CHUNKS
            self.at(minutes, partial(self._write, one, demo_logs.works(one.task, step)))
        ends = {
            "completed": self._complete,
            "failed": self._fail,
            "later": self._fail,
            "crashed": self._crash,
            "waiting": self._wait_for_input,
            "lost": self._fall_silent,
        }
        if (end := ends.get(one.how)) is not None:
            self.at(one.end, partial(end, one))

    async def _begin(self, one: Try) -> None:
        name = self.new_name()
        lasting = one.start - one.end if one.how in ("crashed", "lost") else one.start + 1.5
        claim = await self.uow.claims.take(
            self.ids[one.task],
            holder=one.holder,
            worktree_id=f"worktrees/{name}",
            agent_id=self.new_id(),
            lease=timedelta(minutes=lasting),
        )
        session_id = self.new_id()
        self.agents[one.task] = await self.uow.agents.update(
            claim.agent.id,
            name=name,
            session_id=session_id,
            pid=self._chance.randrange(2_000, 30_000),
            output_file_path=f"worktrees/{name}/output.jsonl",
        )
        self._claims[one] = claim
        await self._write(one, demo_logs.begins(session_id, one.task))

    async def _write(self, one: Try, content: str) -> None:
        agent_id = self._claims[one].agent.id
        agent = await self.uow.agents.find_by_id(agent_id)
        assert agent is not None, "nobody deletes agents here"
        await self.uow.log_chunks.create(
            id=self.new_id(),
            agent_id=agent_id,
            agent_name=agent.name,
            session_number=1,
            content=content,
        )

    async def _complete(self, one: Try) -> None:
        await self._write(one, demo_logs.ends(f"{one.task} is done, and tested."))
        files = self._chance.randrange(1, 9)
        await self.uow.claims.complete(
            self._claims[one],
            summary=f"Done in {files} files, with tests.",
            result={"files": files},
            exit_code=0,
            initiative_status="pending_review",
        )

    async def _fail(self, one: Try) -> None:
        await self._write(one, demo_logs.ends("The tests still fail.", is_error=True))
        await self.uow.claims.fail(
            self._claims[one],
            result={"error": "the tests still fail"},
            exit_code=1,
            retry_in=timedelta(minutes=30 if one.how == "later" else 1),
        )

    async def _crash(self, one: Try) -> None:
        for content in demo_logs.crash():
            await self._write(one, content)
        self._clock.now += timedelta(seconds=1)
        await self.uow.claims.recover()

    async def _wait_for_input(self, one: Try) -> None:
        await self._write(one, demo_logs.asks("Which issuer name is shown in the app?"))
        self.agents[one.task] = await self.uow.agents.update(
            self._claims[one].agent.id,
            status="waiting_for_input",
            pending_questions=["Which issuer name is shown in the app?"],
        )

    async def _fall_silent(self, one: Try) -> None:
        for content in demo_logs.crash():
            await self._write(one, content)
