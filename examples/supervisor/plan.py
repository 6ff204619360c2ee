"""The plan: read from a TOML file, checked before anything is stored, stored once.

Tasks and phases are known by their names in the file. Their ids in the store are made from the
plan's id and these names, so a second run finds what the first one stored.
"""

import shlex
import tomllib
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import cast, get_args

from cw_store import Initiative, Task, TaskPriority, UnitOfWork


class PlanError(Exception):
    """The plan can't be run; the message says where in the file, and why."""


@dataclass(frozen=True, slots=True)
class PlannedPhase:
    """One phase; its tasks wait until every phase in `needs` is completed."""

    name: str
    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """One task; it waits for its phase's turn, and for the tasks in `needs`."""

    name: str
    phase: str
    needs: tuple[str, ...]
    command: str
    priority: TaskPriority


@dataclass(frozen=True, slots=True)
class Plan:
    """One initiative, and what it takes to run it.

    `workers_needed` is more than one when tasks talk to each other and so must run at the same
    time. `rest_seconds` is how long an exhausted account is left alone.
    """

    id: str
    name: str
    workers_needed: int
    rest_seconds: int
    accounts: tuple[str, ...]
    phases: tuple[PlannedPhase, ...]
    tasks: tuple[PlannedTask, ...]

    def stored_id(self, name: str) -> str:
        """Return the id that the phase or task with this name has in the store."""
        return f"{self.id}/{name}"


def read_plan(path: Path) -> Plan:
    """Read and check a plan; `PlanError` when it can't be run as it is."""
    try:
        with path.open("rb") as file:
            return _read(_Section(tomllib.load(file)))
    except OSError as error:
        raise PlanError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, PlanError) as error:
        raise PlanError(f"{path}: {error}") from error


async def store_plan(uow: UnitOfWork, plan: Plan) -> Initiative:
    """Store the plan unless the store has it, and return its initiative.

    Accounts are added when they are missing, also to a plan that is half-way through. Phases,
    tasks and commands of a stored plan stay as they are: `PlanError` when the file has others.
    """
    for place, email in enumerate(plan.accounts):
        if not await uow.accounts.find_by_email(email):
            await uow.accounts.create(email=email, sort_order=place)

    initiative = await uow.initiatives.find_by_id(plan.id)
    if initiative is not None:
        if await _stored_shape(uow, plan.id) != _planned_shape(plan):
            raise PlanError(
                f"the store holds another version of the plan {plan.id!r}: "
                "give the changed plan a new id, or a store of its own"
            )
        return initiative

    initiative = await uow.initiatives.create(id=plan.id, name=plan.name)
    for phase in plan.phases:
        await uow.phases.create(
            id=plan.stored_id(phase.name), initiative_id=plan.id, name=phase.name
        )
    await uow.tasks.create_many(
        [
            {
                "id": plan.stored_id(task.name),
                "phase_id": plan.stored_id(task.phase),
                "name": task.name,
                "description": task.command,
                "priority": task.priority,
                "order": place,
            }
            for place, task in enumerate(plan.tasks)
        ]
    )
    for phase in plan.phases:
        for need in phase.needs:
            await uow.phases.create_dependency(plan.stored_id(phase.name), plan.stored_id(need))
    for task in plan.tasks:
        for need in task.needs:
            await uow.tasks.create_dependency(plan.stored_id(task.name), plan.stored_id(need))
    return initiative


async def retry_blocked(uow: UnitOfWork, plan: Plan) -> None:
    """Give every blocked task its retries back."""
    for task in await _blocked_tasks(uow, plan):
        await uow.tasks.reset_retry_count(task.id)
        await uow.tasks.update(task.id, status="pending")
        await uow.phases.update(cast("str", task.phase_id), status="in_progress")


async def block_phases(uow: UnitOfWork, plan: Plan) -> None:
    """Say of the phases too, when nothing can run any more, that tasks of theirs are blocked."""
    for phase_id in {task.phase_id for task in await _blocked_tasks(uow, plan)}:
        await uow.phases.update(cast("str", phase_id), status="blocked")


async def _blocked_tasks(uow: UnitOfWork, plan: Plan) -> list[Task]:
    tasks = await uow.tasks.find_by_status("blocked")
    return [task for task in tasks if task.initiative_id == plan.id]


def _planned_shape(plan: Plan) -> object:
    """Say what is to be stored, in a form that can be compared with what is."""
    return (
        {plan.stored_id(phase.name) for phase in plan.phases},
        {(plan.stored_id(t.name), plan.stored_id(t.phase), t.command) for t in plan.tasks},
        {(plan.stored_id(p.name), plan.stored_id(need)) for p in plan.phases for need in p.needs},
        {(plan.stored_id(t.name), plan.stored_id(need)) for t in plan.tasks for need in t.needs},
    )


async def _stored_shape(uow: UnitOfWork, initiative_id: str) -> object:
    """Say what is stored, in the form of `_planned_shape`."""
    phase_edges = await uow.phases.find_dependencies_by_initiative_id(initiative_id)
    task_edges = await uow.tasks.find_dependencies_by_initiative_id(initiative_id)
    return (
        {phase.id for phase in await uow.phases.find_by_initiative_id(initiative_id)},
        {
            (task.id, task.phase_id, task.description)
            for task in await uow.tasks.find_by_initiative_id(initiative_id)
        },
        {(edge.phase_id, edge.depends_on_phase_id) for edge in phase_edges},
        {(edge.task_id, edge.depends_on_task_id) for edge in task_edges},
    )


class _Section:
    """One table of the file. Keys are taken out one by one; what is left over is unknown."""

    def __init__(self, values: object, place: str = "") -> None:
        if not isinstance(values, dict):
            raise PlanError(f"{place} must be a table")
        self._values = dict(cast("dict[str, object]", values))
        self._place = f"{place}." if place else ""

    def text(self, key: str, default: str | None = None) -> str:
        value = self._values.pop(key, default)
        if not isinstance(value, str) or not value.strip():
            raise self.error(key, "must be a text that is not empty")
        return value

    def number(self, key: str, default: int) -> int:
        value = self._values.pop(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.error(key, "must be a whole number above 0")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._values.pop(key, [])
        if not isinstance(values, list):
            raise self.error(key, "must be a list of texts")
        texts = [value for value in cast("list[object]", values) if isinstance(value, str)]
        if len(texts) != len(cast("list[object]", values)) or not all(texts):
            raise self.error(key, "must be a list of texts")
        if len(set(texts)) != len(texts):
            raise self.error(key, "names something twice")
        return tuple(texts)

    def sections(self, key: str) -> "dict[str, _Section]":
        values = self._values.pop(key, {})
        tables = _Section(values, self._place + key)._values
        if not tables:
            raise self.error(key, "must have at least one entry")
        return {
            name: _Section(table, f"{self._place}{key}.{name}") for name, table in tables.items()
        }

    def end(self) -> None:
        for key in self._values:
            raise self.error(key, "is not known here")

    def error(self, key: str, reason: str) -> PlanError:
        return PlanError(f"{self._place}{key} {reason}")


def _read(top: _Section) -> Plan:
    phase_sections = top.sections("phases")
    task_sections = top.sections("tasks")
    plan = Plan(
        id=top.text("id"),
        name=top.text("name"),
        workers_needed=top.number("workers_needed", 1),
        rest_seconds=top.number("rest_seconds", 60),
        accounts=top.texts("accounts"),
        phases=tuple(
            PlannedPhase(name, _known(section, "needs", section.texts("needs"), phase_sections))
            for name, section in phase_sections.items()
        ),
        tasks=tuple(
            _read_task(name, section, phase_sections, task_sections)
            for name, section in task_sections.items()
        ),
    )
    if not plan.accounts:
        raise top.error("accounts", "must name at least one account")
    for section in (top, *phase_sections.values(), *task_sections.values()):
        section.end()
    for phase in plan.phases:
        if not any(task.phase == phase.name for task in plan.tasks):
            raise PlanError(f"phases.{phase.name} has no task")
    _check_order(plan)
    return plan


def _read_task(
    name: str, section: _Section, phases: dict[str, _Section], tasks: dict[str, _Section]
) -> PlannedTask:
    command = section.text("command")
    try:
        shlex.split(command)
    except ValueError as error:
        raise section.error("command", f"can't be split into words: {error}") from error
    priority = section.text("priority", "medium")
    if priority not in get_args(TaskPriority):
        raise section.error("priority", f"must be one of {', '.join(get_args(TaskPriority))}")
    return PlannedTask(
        name=name,
        phase=_known(section, "phase", (section.text("phase"),), phases)[0],
        needs=_known(section, "needs", section.texts("needs"), tasks),
        command=command,
        priority=cast("TaskPriority", priority),
    )


def _known(
    section: _Section, key: str, names: tuple[str, ...], known: dict[str, _Section]
) -> tuple[str, ...]:
    """Return `names` when all of them are known."""
    for name in names:
        if name not in known:
            raise section.error(key, f"names {name!r}; there are only {', '.join(known)}")
    return names


def _check_order(plan: Plan) -> None:
    """Refuse a circle.

    The store refuses one among tasks or among phases by itself. This also finds one that leads
    through both: a task that needs a task of a later phase.
    """
    needs_of_phase = {phase.name: phase.needs for phase in plan.phases}
    order = TopologicalSorter[str]()
    for phase in plan.phases:
        order.add(f"phase {phase.name}", *(f"phase {need}" for need in phase.needs))
    for task in plan.tasks:
        order.add(f"phase {task.phase}", f"task {task.name}")
        order.add(f"task {task.name}", *(f"task {need}" for need in task.needs))
        order.add(f"task {task.name}", *(f"phase {need}" for need in needs_of_phase[task.phase]))
    try:
        order.prepare()
    except CycleError as error:
        circle = reversed(cast("list[str]", error.args[1]))
        raise PlanError(f"nothing could begin: {' waits for '.join(circle)}") from error
