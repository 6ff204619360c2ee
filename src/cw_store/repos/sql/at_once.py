"""What a claim, and its end, mostly are, as chains of the statements that they are made of.

A chain is run where others write side by side, as one message to the database. What is out of the
ordinary is undone, and goes on step by step: see `claiming.py` and `ending.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import and_, bindparam, func, literal_column, or_, select

from cw_store.repos.claims import Claim, Finished
from cw_store.repos.sql.closing import one_open
from cw_store.repos.sql.ending import COMPLETE, completed, held_task, of_both
from cw_store.repos.sql.fence import ClaimedPlace
from cw_store.repos.sql.readiness import Filter, next_ready_at_once
from cw_store.repos.sql.side_by_side import Place, hold_in_place, lock_place, use_in_place
from cw_store.repos.tasks import Task
from cw_store.schema import agents, phases, tasks
from cw_store.statements.database import Database
from cw_store.statements.expressions import PRESENT
from cw_store.statements.procedure import Attempt, Chain, Link
from cw_store.statements.query import Query, new_values
from cw_store.types import Id


@cache
def chain_of_claim(asked: Filter) -> Chain:
    """Return what finds a task, takes an account, and gives it the task with a new agent."""
    place = Place(has_initiative=True, has_phase=True)  # one that is missing locks nothing
    where = {"phase_id": (0, "phase_id"), "initiative_id": (0, "initiative_id")}
    of_agent = {**where, "task_id": (0, "id"), "epoch": (0, "next_epoch")}
    lock: Query[Any] | None = lock_place(place)
    if asked.takes_account:
        lock = use_in_place(place, asked.accounts)
        of_agent["account_id"] = (1, "id")
    assert lock is not None, "there is something to lock"
    hold = Link(hold_in_place(asked, place), new_values(of_agent))
    return Chain("claims_next", (Link(next_ready_at_once(asked)), Link(lock, where), hold))


held_phase = (
    select(phases.c.id)
    .where(phases.c.id == select(held_task.c.phase_id).scalar_subquery())
    .with_for_update(key_share=True)
    .cte("held_phase")
)

# The initiative is left alone, so that who completes a task does not wait for who claims one.
FENCE_IN_PHASE = Query(
    ClaimedPlace,
    select(*[held_task.c.phase_id, held_task.c.initiative_id]).where(
        select(func.count()).select_from(held_phase).scalar_subquery() >= literal_column("0")
    ),
    tasks,
    locks=True,
)

COMPLETE_BOTH = Query(Task, of_both(completed.cte("ended")), tasks, agents, locks=True)

still_open = tasks.alias("still_open")
of_phase = bindparam("phase_id", type_=Id())
of_initiative = bindparam("initiative_id", type_=Id())

# A task that is in nothing moves nothing on.
NOTHING_TO_MOVE_ON = Query(
    int,
    select(PRESENT).where(
        or_(
            and_(of_phase.is_(None), of_initiative.is_(None)),
            one_open(still_open, still_open.c.phase_id == of_phase).scalar_subquery().is_not(None),
        )
    ),
    tasks,
)

COMPLETE_AT_ONCE = Chain(
    "claims_complete",
    (
        Link(FENCE_IN_PHASE),
        Link(COMPLETE_BOTH),
        Link(
            NOTHING_TO_MOVE_ON,
            {"phase_id": (0, "phase_id"), "initiative_id": (0, "initiative_id")},
        ),
    ),
    is_whole=True,
)
"""What completes a task that moves nothing on.

Of one that does nothing is left, no lock either, so that all can be locked in their order.
"""


async def complete_at_once(
    database: Database, claim: Claim, values: Mapping[str, Any]
) -> Finished | None:
    """Complete a task that moves nothing on, if that saves messages; None if nothing is done.

    Raises UnreadableError when the task cannot be read that has been completed.
    """
    if claim.task.phase_id is None and claim.task.initiative_id is not None:
        return None  # it may be the last of its initiative
    ended = await database.attempt(COMPLETE, Attempt(COMPLETE_AT_ONCE, values))
    return None if ended is None else Finished(ended[1], None, None)
