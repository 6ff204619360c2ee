"""How a task is claimed, as procedures.

One order of locks, for whoever locks several rows where others write side by side: the provider's
turn, a claimed task, initiative, phase, an unclaimed task, account, agent. What was decided on is
locked first and then looked at again, in a statement of its own, as one that waited for a lock has
an old view of everything else.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    bindparam,
    cast,
    func,
    literal_column,
    null,
    select,
    true,
    union_all,
    update,
)

from cw_store.errors import NotFoundError, StoreError, UnreadableError
from cw_store.repos.accounts import Account
from cw_store.repos.agents import Agent
from cw_store.repos.claims import Claim
from cw_store.repos.sql.agent_names import FREE_NAME, OFFERED, names
from cw_store.repos.sql.agents import TABLE as AGENTS
from cw_store.repos.sql.explaining import explanation, not_ready_error, reasons
from cw_store.repos.sql.listings import newest_first
from cw_store.repos.sql.readiness import (
    CANDIDATE,
    TURN_OF_THE_REST,
    Candidate,
    Filter,
    next_ready,
    still_ready,
)
from cw_store.repos.sql.recovering import recover
from cw_store.repos.sql.rotation import lock_of, next_account
from cw_store.repos.sql.table import refuse_none
from cw_store.repos.sql.task_places import TABLE as TASKS
from cw_store.repos.tasks import Task
from cw_store.schema import agents, initiatives, phases, store_state, tasks
from cw_store.statements.database import Database
from cw_store.statements.expressions import (
    SHARED_NOW,
    LaterBy,
    exactly,
    insert_unless,
    later_than,
)
from cw_store.statements.procedure import Lock, Mark, Procedure, Undo, row, rows
from cw_store.statements.query import Query
from cw_store.types import Id, LargeNumber, PlainText

logger = logging.getLogger(__name__)

MOST_RECOVERED = 10
"""So many leases that ran out are recovered before a task is claimed."""

# Locks. They are statements of their own, since what they wait for is looked at in the next.

LOCK_INITIATIVE = Query(
    str,
    select(initiatives.c.id)
    .where(initiatives.c.id == bindparam("id"))
    .with_for_update(key_share=True),
    initiatives,
    locks=True,
)

held = (
    select(initiatives.c.id)
    .where(initiatives.c.id == bindparam("initiative_id", type_=Id()))
    .with_for_update(key_share=True)
    .cte("held")
)

LOCK_PLACE = Query(
    str,
    select(phases.c.id)
    .where(
        phases.c.id == bindparam("phase_id", type_=Id()),
        # The initiative is locked when this is looked at, which is before the phase is locked.
        select(func.count()).select_from(held).scalar_subquery() == literal_column("1"),
    )
    .with_for_update(key_share=True),
    phases,
    locks=True,
)


def lock_place(phase_id: str | None, initiative_id: str | None) -> Procedure[None]:
    """Let nobody else decide about initiative and phase until the end; in this order."""
    if phase_id is not None:
        yield from row(LOCK_PLACE, phase_id=phase_id, initiative_id=initiative_id)
    elif initiative_id is not None:
        yield from row(LOCK_INITIATIVE, id=initiative_id)


PREVIOUS = Query(
    Agent,
    select(*AGENTS.columns)
    .where(agents.c.task_id == bindparam("task_id"), agents.c.epoch.is_not(None))
    .order_by(*newest_first(agents))
    .limit(literal_column("1")),
    agents,
)

LEASE_UNTIL = LaterBy(SHARED_NOW, bindparam("lease", type_=BigInteger()))

INSERT_AGENT = Query(
    Agent,
    insert_unless(agents)
    .values({**AGENTS.new_row, "name": FREE_NAME, "lease_expires_at": LEASE_UNTIL})
    .on_conflict_do_nothing(index_elements=["name"])
    .returning(*AGENTS.columns),
    agents,
)

BEGIN_PHASE = Query(
    str,
    update(phases)
    .where(phases.c.id == bindparam("id"))
    .values(status=exactly("in_progress"), updated_at=later_than(phases.c.updated_at))
    .returning(phases.c.id),
    phases,
)

active = initiatives.alias("active")

turns = union_all(
    select(active.c.dispatch_turn.label("turn")).where(active.c.status == exactly("active")),
    select(cast(store_state.c.value, LargeNumber())).where(
        store_state.c.name == exactly(TURN_OF_THE_REST)
    ),
).subquery("turns")

# Behind the turns of all that are active, and of what belongs to none of them.
last_turn = select(
    func.coalesce(func.max(turns.c.turn), literal_column("0")) + literal_column("1")
).scalar_subquery()

end_turn = (
    update(initiatives)
    .where(initiatives.c.id == bindparam("initiative_id", type_=Id()))
    .values(dispatch_turn=last_turn)
    .returning(initiatives.c.id)
)

END_TURN = Query(str, end_turn, initiatives)

END_TURN_OF_THE_REST = Query(
    str,
    insert_unless(store_state)
    .from_select(
        ["name", "value"],
        select(exactly(TURN_OF_THE_REST), cast(last_turn, PlainText())).where(true()),
    )
    .on_conflict_do_update(index_elements=["name"], set_={"value": cast(last_turn, PlainText())})
    .returning(store_state.c.name),
    store_state,
)

hold = (
    update(tasks)
    .where(tasks.c.id == bindparam("id"))
    .values(
        status=exactly("in_progress"),
        claimed_by_agent_id=bindparam("agent_id", type_=Id()),
        epoch=tasks.c.epoch + 1,
        not_before=null(),
        updated_at=later_than(tasks.c.updated_at),
    )
)

HOLD_TASK = TASKS.returning(hold)

# The same and END_TURN, in one message to what is far away.
HOLD_TASK_IN_TURN = TASKS.returning(hold.add_cte(end_turn.cte("turned")))


class Wanted(NamedTuple):
    """How a task is to be claimed: the agent's values, and what is asked of task and account.

    `values` are the parameters of what `asked` gives the shape of.
    """

    agent: Mapping[str, Any]
    asked: Filter
    values: Mapping[str, Any]
    lease: int
    """Microseconds."""
    meets_others: bool
    """Whether the agent's name stays hidden from others who write meanwhile."""

    @property
    def of_account(self) -> dict[str, Any]:
        """The parameters that say which account is to be taken."""
        return {name: value for name, value in self.values.items() if name != "initiative_id"}


def claim_next(wanted: Wanted, *, side_by_side: bool) -> Procedure[Claim | StoreError | None]:
    """Claim the task that is next; None when there is none, an error when one says why not."""
    yield from _take_turn(wanted)
    passed: dict[str, str] = {}
    while True:
        found = yield from _look(next_ready(wanted.asked, len(passed)), **wanted.values, **passed)
        if found is None:
            return None
        yield Mark()
        held = (yield from _hold(wanted, found)) if side_by_side else found
        if held is not None:
            claim = yield from _claim(wanted, held, side_by_side=side_by_side)
            if claim is not None:
                return claim
        # Somebody was quicker. What was locked for it is given back, or two who go on to further
        # tasks could wait for each other.
        yield Undo()
        passed[f"task_{len(passed)}"] = found.id


def claim_one(wanted: Wanted, task_id: str, *, side_by_side: bool) -> Procedure[Claim | StoreError]:
    """Claim a given task, or return the error that says why not."""
    yield from _take_turn(wanted)
    found = yield from _look(CANDIDATE, id=task_id)
    if found is None:
        return NotFoundError(tasks.name, task_id)
    held = yield from _hold(wanted, found)
    if held is not None:
        claim = yield from _claim(wanted, held, side_by_side=side_by_side)
        if claim is not None:
            return claim
    rows_found = yield from rows(explanation(wanted.asked), id=task_id, **wanted.of_account)
    return not_ready_error(task_id, reasons(rows_found))


def _take_turn(wanted: Wanted) -> Procedure[None]:
    provider = wanted.values.get("provider")
    if provider is not None:
        yield Lock(lock_of(provider))


def _look(query: Query[Candidate], **values: Any) -> Procedure[Candidate | None]:
    """Look for a task to claim, again when some had to be recovered first."""
    found = yield from row(query, **values)
    if found is None or found.is_any_due:
        if (yield from recover(None, MOST_RECOVERED)):
            found = yield from row(query, **values)
    return found


def _hold(wanted: Wanted, found: Candidate) -> Procedure[Candidate | None]:
    """Lock the place of a task, then the task; None if it is not ready there any more."""
    yield from lock_place(found.phase_id, found.initiative_id)
    held = yield from row(still_ready(wanted.asked), id=found.id, **wanted.of_account)
    return held if held is not None and held.is_still(found) else None


def _claim(
    wanted: Wanted, found: Candidate, *, side_by_side: bool
) -> Procedure[Claim | StoreError | None]:
    account: Account | None = None
    if wanted.asked.takes_account:
        taken = yield from next_account(
            wanted.asked.accounts, wanted.of_account, has_concurrent_writers=side_by_side
        )
        if not isinstance(taken, Account):
            return taken
        account = taken
    previous = (yield from _predecessor(found.id)) if found.epoch else None
    agent = yield from _new_agent(wanted, found, account)
    if found.phase_id is not None and found.phase_status != "in_progress":
        yield from row(BEGIN_PHASE, id=found.phase_id)
    task = yield from _hold_in_turn(found, agent.id, side_by_side=side_by_side)
    return Claim(task, agent, account, task.epoch, previous)


def _hold_in_turn(found: Candidate, agent_id: str, *, side_by_side: bool) -> Procedure[Task]:
    """Give the task to its agent, and let the other initiatives have their turns."""
    given = {"id": found.id, "agent_id": agent_id}
    if found.initiative_id is None:
        yield from row(END_TURN_OF_THE_REST)
        task = yield from row(HOLD_TASK, **given)
    elif side_by_side:
        task = yield from row(HOLD_TASK_IN_TURN, initiative_id=found.initiative_id, **given)
    else:
        yield from row(END_TURN, initiative_id=found.initiative_id)
        task = yield from row(HOLD_TASK, **given)
    assert task is not None, "nobody else may claim or change it"
    return task


def _predecessor(task_id: str) -> Procedure[Agent | None]:
    """Return the agent that lost the task, if nobody has had it since."""
    try:
        previous = yield from row(PREVIOUS, task_id=task_id)
    except UnreadableError as error:
        logger.warning("who had task %s before cannot be told: %s", task_id, error)
        return None
    return previous if previous is not None and previous.status == "crashed" else None


def _new_agent(wanted: Wanted, found: Candidate, account: Account | None) -> Procedure[Agent]:
    place = {
        "task_id": found.id,
        "initiative_id": found.initiative_id,
        "account_id": None if account is None else account.id,
        "epoch": found.epoch + 1,
    }
    for offered in names(side_by_side=wanted.meets_others):
        agent = yield from row(INSERT_AGENT, **_agent_row(wanted, **offered, **place))
        if agent is not None:
            return agent
    raise AssertionError("there are names without end")


def _agent_row(wanted: Wanted, **known: Any) -> dict[str, Any]:
    given = {name: value for name, value in wanted.agent.items() if name != "holder"}
    return AGENTS.complete(given, holder=wanted.agent["holder"], lease=wanted.lease, **known)


def check_agent(database: Database, wanted: Wanted) -> None:
    """Raise InvalidValueError for what the agent would be refused for, before anything is done."""
    refuse_none(agents, holder=wanted.agent["holder"])
    database.check(INSERT_AGENT, [_agent_row(wanted, **dict.fromkeys(OFFERED, "to be chosen"))])
