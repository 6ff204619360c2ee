"""A plan with pages, phases and tasks to change, and all of its rows to compare."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from builders import Repos, add_agent, add_initiative, add_page, add_phase, add_task
from cw_store import Recording, Store, UnitOfWork, metadata

PLAN = ("phases", "phase_dependencies", "tasks", "task_dependencies", "pages")


@dataclass(frozen=True)
class Plan:
    """An initiative with an agent; phases p, q, r; tasks a to e and s, t; pages root, one, two.

    q waits for p, r for q; a, b, c are in p, where b waits for a and c for b; d and e are in q,
    where d waits for c; s is below a in p, t below s in q. Page two is below one.
    """

    initiative_id: str
    agent_id: str


async def add_plan(repos: Repos, initiative_id: str = "i") -> Plan:
    initiative = await add_initiative(repos, id=initiative_id)
    agent = await add_agent(repos)
    for id in "pqr":
        await add_phase(repos, id=id, initiative_id=initiative.id, content={"phase": id})
    for id, phase in zip("abcde", "pppqq", strict=True):
        await add_task(repos, id=id, phase_id=phase, order=ord(id), description=f"task {id}")
    await add_task(repos, id="s", parent_task_id="a", phase_id="p")
    await add_task(repos, id="t", parent_task_id="s", phase_id="q")
    for edge in ("qp", "rq"):
        await repos.phases.create_dependency(*edge)
    for edge in ("ba", "cb", "dc"):
        await repos.tasks.create_dependency(*edge)
    await add_page(repos, id="root", initiative_id=initiative.id, content={"type": "doc"})
    await add_page(repos, id="one", initiative_id=initiative.id, parent_page_id="root")
    await add_page(repos, id="two", initiative_id=initiative.id, parent_page_id="one")
    return Plan(initiative.id, agent.id)


@asynccontextmanager
async def recorded(store: Store, plan: Plan) -> AsyncGenerator[tuple[UnitOfWork, Recording]]:
    """Record what is done in the block, in a unit of work of its own."""
    async with (
        store.unit_of_work() as uow,
        uow.change_sets.recording(
            initiative_id=plan.initiative_id, agent_id=plan.agent_id, mode="refine"
        ) as recording,
    ):
        yield uow, recording


async def rows(store: Store) -> dict[str, list[dict[str, Any]]]:
    """Return all rows of the plan's tables, places included, but for `updated_at`.

    What a completed task waits for is not counted.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    async with store.unit_of_work(read_only=True) as uow:
        for name in PLAN:
            table = metadata.tables[name]
            key = list(table.primary_key.columns)
            result = await uow.session.execute(select(table).order_by(*key))
            found[name] = [dict(row._mapping) for row in result]  # pyright: ignore[reportPrivateUsage] -- SQLAlchemy's public name for it
    for row in (*found["tasks"], *found["phases"], *found["pages"]):
        del row["updated_at"]
        if row.get("status") == "completed":
            del row["open_dependencies"]
    return found
