"""Plans for tests: an initiative, with phases, tasks and edges, and those who work on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random

from cw_store import Account, Agent, Initiative, NewTask, Phase, Store, Task, UnitOfWork

_INITIATIVES = ("User accounts", "Offline mode", "Search", "Billing", "Notifications")
_PHASES = ("Groundwork", "Core", "Screens", "Checks", "Release")
_VERBS = ("Sketch", "Write", "Test", "Review", "Document", "Measure", "Simplify", "Translate")
_OBJECTS = (
    "the session store",
    "the login page",
    "the audit log",
    "the rate limits",
    "the recovery codes",
    "the mail templates",
    "the admin screen",
    "the search index",
    "the import",
    "the error pages",
)
_OWNERS = ("ada", "grace", "tony", "leslie", "barbara")


@dataclass(frozen=True, slots=True)
class Plan:
    """What `plan` has made, as it is stored; each in the order in which it was made."""

    initiative: Initiative
    phases: tuple[Phase, ...]
    """Each waits for the one before it."""
    tasks: tuple[Task, ...]
    """Those of the first phase come first; `order` counts through all of them."""
    edges: tuple[tuple[Task, Task], ...]
    """A task, and one that it waits for, which stands before it among the tasks."""
    agents: tuple[Agent, ...]
    """They are idle and have no task."""
    accounts: tuple[Account, ...]

    def task(self, name: str) -> Task:
        """Return the task of this name; a LookupError names those that there are."""
        for task in self.tasks:
            if task.name == name:
                return task
        raise LookupError(f"no task {name!r}; there are {[task.name for task in self.tasks]}")


async def plan(
    repos: Store | UnitOfWork,
    *,
    phases: int = 3,
    tasks: int = 9,
    edges: int = 6,
    agents: int = 0,
    accounts: int = 2,
    seed: int = 0,
) -> Plan:
    """Make an initiative to work on, with names that a person can read; return what was made.

    Each phase waits for the one before it, and has about as many tasks as the others. With a `seed`
    the names, and which tasks wait for which, are the same in every run; another number makes
    another plan. The ids are new ones in any case. All of it is one transaction, or a part of the
    unit of work that is given. Numbers that cannot be are a ValueError: below 0, tasks without a
    phase, more edges than there are pairs of tasks.
    """
    _check(phases=phases, tasks=tasks, edges=edges, agents=agents, accounts=accounts)
    maker = _Maker(Random(seed))  # noqa: S311 -- it guards no secret
    if isinstance(repos, UnitOfWork):
        return await maker.make(repos, phases, tasks, edges, agents, accounts)
    async with repos.unit_of_work(label="plan") as uow:
        return await maker.make(uow, phases, tasks, edges, agents, accounts)


def _check(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 0:
            raise ValueError(f"{name} is a number from 0 on, not {number}")
    phases, tasks, edges = numbers["phases"], numbers["tasks"], numbers["edges"]
    if tasks and not phases:
        raise ValueError(f"{tasks} tasks need a phase at least")
    if edges > tasks * (tasks - 1) // 2:
        raise ValueError(f"{tasks} tasks have no {edges} pairs, of which one waits for the other")


class _Maker:
    def __init__(self, chance: Random) -> None:
        self._chance = chance

    async def make(
        self, uow: UnitOfWork, phases: int, tasks: int, edges: int, agents: int, accounts: int
    ) -> Plan:
        initiative = await uow.initiatives.create(name=self._chance.choice(_INITIATIVES))
        made_phases = [
            await uow.phases.create(initiative_id=initiative.id, name=name)
            for name in _numbered(_PHASES, phases)
        ]
        for phase, before in zip(made_phases[1:], made_phases, strict=False):
            await uow.phases.create_dependency(phase.id, before.id)
        made_tasks = await uow.tasks.create_many(self._new_tasks(made_phases, tasks))
        pairs = self._pairs(tasks, edges)
        for later, earlier in pairs:
            await uow.tasks.create_dependency(made_tasks[later].id, made_tasks[earlier].id)
        made_agents = [
            await uow.agents.create(worktree_id=f"/worktrees/{number}", initiative_id=initiative.id)
            for number in range(1, agents + 1)
        ]
        made_accounts = [
            await uow.accounts.create(email=f"{owner}@example.org", sort_order=place)
            for place, owner in enumerate(_numbered(_OWNERS, accounts))
        ]
        # The edges have counted in them what each waits for.
        stored_phases = {
            phase.id: phase for phase in await uow.phases.find_by_initiative_id(initiative.id)
        }
        stored_tasks = await uow.tasks.find_by_initiative_id(initiative.id)
        return Plan(
            initiative,
            tuple(stored_phases[phase.id] for phase in made_phases),
            tuple(stored_tasks),
            tuple((stored_tasks[later], stored_tasks[earlier]) for later, earlier in pairs),
            tuple(made_agents),
            tuple(made_accounts),
        )

    def _new_tasks(self, phases: Sequence[Phase], tasks: int) -> list[NewTask]:
        names = [f"{verb} {what}" for verb in _VERBS for what in _OBJECTS]
        self._chance.shuffle(names)
        return [
            NewTask(phase_id=phases[place * len(phases) // tasks].id, name=name, order=place)
            for place, name in enumerate(_numbered(names, tasks))
        ]

    def _pairs(self, tasks: int, edges: int) -> list[tuple[int, int]]:
        """Choose who waits for whom: always a later one for an earlier one, so never in a circle.

        Those that are near first, as in plans that people make: one that waits for something far
        away is chosen when there are no others left.
        """
        pairs = [(later, earlier) for earlier, later in combinations(range(tasks), 2)]
        pairs.sort(key=lambda pair: pair[0] - pair[1] + self._chance.random() * 3)
        return sorted(pairs[:edges])


def _numbered(names: Sequence[str], count: int) -> list[str]:
    """Return so many names, the later ones with a number behind them."""
    rounds = range(1, count // max(len(names), 1) + 2)
    return [name if turn == 1 else f"{name} {turn}" for turn in rounds for name in names][:count]
