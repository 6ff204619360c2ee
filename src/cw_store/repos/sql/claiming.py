"""How a task is claimed, as procedures.

One order of locks, for whoever locks several rows where others write side by side: the provider's
turn, a claimed task, initiative, phase, an unclaimed task, account, agent. Here the account comes
before the task, which is not waited for: one that is locked is passed by. What is looked at again
after a lock is in `side_by_side.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import (
    bindparam,
    cast,
    literal_column,
    select,
    true,
)

from cw_store.errors import NotFoundError, StoreError, UnreadableError
from cw_store.repos.accounts import Account
from cw_store.repos.agents import Agent
from cw_store.repos.claims import Claim
from cw_store.repos.sql.agent_names import OFFERED, names
from cw_store.repos.sql.agents import TABLE as AGENTS
from cw_store.repos.sql.at_once import chain_of_claim
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
from cw_store.repos.sql.rotation import lock_of, look_at_secrets, next_account, use_next
from cw_store.repos.sql.side_by_side import (
    NEW_AGENT,
    Place,
    begin_phase,
    end_turn,
    held_by,
    hold_in_place,
    last_turn,
    lock_place,
    use_in_place,
)
from cw_store.repos.sql.table import refuse_none
from cw_store.repos.sql.task_places import TABLE as TASKS
from cw_store.repos.tasks import Task
from cw_store.schema import agents, initiatives, phases, store_state, tasks
from cw_store.statements.database import Database
from cw_store.statements.expressions import (
    exactly,
    insert_unless,
)
from cw_store.statements.procedure import (
    Attempt,
    Lock,
    Mark,
    NotAtOnceError,
    Procedure,
    Undo,
    row,
    rows,
)
from cw_store.statements.query import Query, new_values
from cw_store.types import Id, PlainText

logger = logging.getLogger(__name__)

MOST_RECOVERED = 10
"""So many leases that ran out are recovered before a task is claimed."""

TASK = Query(Task, select(*TASKS.columns).where(tasks.c.id == bindparam("id")), tasks)

PREVIOUS = Query(
    Agent,
    select(*AGENTS.columns)
    .where(agents.c.task_id == bindparam("task_id"), agents.c.epoch < bindparam("epoch"))
    .order_by(*newest_first(agents))
    .limit(literal_column("1")),
    agents,
)

INSERT_AGENT = Query(
    Agent,
    insert_unless(agents)
    .values(NEW_AGENT)
    .on_conflict_do_nothing(index_elements=["name"])
    .returning(*AGENTS.columns),
    agents,
)

BEGIN_PHASE = Query(
    str, begin_phase.where(phases.c.id == bindparam("id")).returning(phases.c.id), phases
)

END_TURN = Query(
    str,
    end_turn.where(initiatives.c.id == bindparam("initiative_id", type_=Id())).returning(
        initiatives.c.id
    ),
    initiatives,
)

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

HOLD_TASK = TASKS.returning(
    held_by(bindparam("agent_id", type_=Id())).where(tasks.c.id == bindparam("id"))
)


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


class Unreadable(NamedTuple):
    """Why a task was not claimed that is ready, but cannot be read."""

    error: UnreadableError


def claim_next(wanted: Wanted, *, side_by_side: bool) -> Procedure[Claim | StoreError | None]:
    """Claim the task that is next; None when there is none, an error when one says why not.

    A task that cannot be read is passed by, and the error when there is no other.
    """
    if side_by_side:
        claim = yield from _claim_at_once(wanted)
        if claim is not None:
            return claim
    yield from _begin(wanted)
    passed: dict[str, str] = {}
    unreadable: UnreadableError | None = None
    while True:
        found = yield from _look(next_ready(wanted.asked, len(passed)), **wanted.values, **passed)
        if found is None:
            return unreadable
        claim = yield from _claim(wanted, found, side_by_side=side_by_side)
        if isinstance(claim, Unreadable):
            unreadable = unreadable or claim.error
            logger.warning(
                "a task that is ready is passed by: %s",
                claim.error,
                extra={"event": "task_unreadable"},
            )
        elif claim is not None:
            return claim
        # Somebody was quicker. What was locked for it is given back, or two who go on to further
        # tasks could wait for each other.
        yield Undo()
        passed[f"task_{len(passed)}"] = found.id


def claim_one(wanted: Wanted, task_id: str, *, side_by_side: bool) -> Procedure[Claim | StoreError]:
    """Claim a given task, or return the error that says why not."""
    yield from _begin(wanted)
    found = yield from _look(CANDIDATE, id=task_id)
    if found is None:
        return NotFoundError(tasks.name, task_id)
    if not side_by_side:
        found = yield from row(still_ready(wanted.asked), id=task_id, **wanted.of_account)
    if found is not None:
        claim = yield from _claim(wanted, found, side_by_side=side_by_side)
        if claim is not None and not isinstance(claim, Unreadable):
            return claim
        yield Undo()
        if claim is not None:
            return claim.error
    rows_found = yield from rows(explanation(wanted.asked), id=task_id, **wanted.of_account)
    return not_ready_error(task_id, reasons(rows_found))


def _begin(wanted: Wanted) -> Procedure[None]:
    """Take the turn of the provider's accounts, and note where to go back to."""
    turn = _turn_of(wanted)
    if turn is not None:
        yield Lock(turn)
    yield Mark()


def _turn_of(wanted: Wanted) -> str | None:
    """Return the name of the turn that is taken before an account is, if one is."""
    provider = wanted.values.get("provider")
    return None if provider is None else lock_of(provider)


def _look(query: Query[Candidate], **values: Any) -> Procedure[Candidate | None]:
    """Look for a task to claim, again when some had to be recovered first."""
    found = yield from row(query, **values)
    if found is None or found.is_any_due:
        if (yield from recover(None, MOST_RECOVERED)):
            yield Mark()  # they stay recovered
            found = yield from row(query, **values)
    return found


def _claim(
    wanted: Wanted, found: Candidate, *, side_by_side: bool
) -> Procedure[Claim | StoreError | Unreadable | None]:
    """Claim a task that was found; None if it is not ready there any more, or no account is.

    Where it cannot be read there is something to undo, if others write side by side.
    """
    if not side_by_side:
        # There is nothing to undo it with, so it is read before anything is done.
        try:
            yield from row(TASK, id=found.id)
        except UnreadableError as error:
            return Unreadable(error)
    place = _place_of(found)
    account: Account | None = None
    if wanted.asked.takes_account:
        use_one = partial(use_in_place, place) if side_by_side else use_next
        of_place = _ids_of(found) if side_by_side else {}
        taken = yield from next_account(
            use_one, wanted.asked.accounts, {**wanted.of_account, **of_place}
        )
        if not isinstance(taken, Account):
            return taken
        account = taken
    elif side_by_side and (lock := lock_place(place)) is not None:
        yield from row(lock, **_ids_of(found))
    hold = _hold_in_place if side_by_side else _hold_alone
    try:
        held = yield from hold(wanted, found, account)
    except UnreadableError as error:
        return Unreadable(error)
    return None if held is None else (yield from _claimed(found, account, *held))


def _claim_at_once(wanted: Wanted) -> Procedure[Claim | None]:
    """Claim the next task as it mostly goes; None, and nothing done, if it is out of the ordinary.

    So it is when no task is ready, or a lease has run out.
    """
    [offered] = islice(names(side_by_side=wanted.meets_others), 1)
    agent = AGENTS.complete(_agent_values(wanted), account_id=None)
    given = new_values({**agent, "holder": wanted.agent["holder"]})
    values = {**wanted.values, **given, **offered, "lease": wanted.lease}
    answer = yield Attempt(chain_of_claim(wanted.asked), values, _turn_of(wanted))
    if answer is None:
        return None
    found, account, (agent, task) = answer
    if not wanted.asked.takes_account:
        return (yield from _claimed(found, None, agent, task))
    try:
        look_at_secrets(account)
    except UnreadableError as error:
        raise NotAtOnceError from error
    return (yield from _claimed(found, account, agent, task))


def _claimed(
    found: Candidate, account: Account | None, agent: Agent, task: Task
) -> Procedure[Claim]:
    """Say who had the task before, and do what is left to do when it has been given to an agent."""
    previous = None
    if found.next_epoch > 1:
        previous = yield from _predecessor(found)
    if found.initiative_id is None:
        yield from row(END_TURN_OF_THE_REST)
    return Claim(task, agent, account, task.epoch, previous)


def _place_of(found: Candidate) -> Place:
    return Place(found.initiative_id is not None, found.phase_id is not None)


def _ids_of(found: Candidate) -> dict[str, str]:
    """Return the parameters of what locks its place."""
    ids = {"phase_id": found.phase_id, "initiative_id": found.initiative_id}
    return {name: id for name, id in ids.items() if id is not None}


def _predecessor(found: Candidate) -> Procedure[Agent | None]:
    """Return the agent that lost the task, if nobody has had it since."""
    try:
        previous = yield from row(PREVIOUS, task_id=found.id, epoch=found.next_epoch)
    except UnreadableError as error:
        logger.warning(
            "who had task %s before cannot be told: %s",
            found.id,
            error,
            extra={"event": "predecessor_unreadable"},
        )
        return None
    return previous if previous is not None and previous.status == "crashed" else None


def _hold_alone(
    wanted: Wanted, found: Candidate, account: Account | None
) -> Procedure[tuple[Agent, Task]]:
    """Store the agent, and give it the task, which nobody else can claim or change."""
    agent = yield from _new_agent(wanted, found, account)
    if found.initiative_id is not None:
        yield from row(END_TURN, initiative_id=found.initiative_id)
    task = yield from row(HOLD_TASK, id=found.id, agent_id=agent.id)
    assert task is not None, "nobody else may claim or change it"
    if found.phase_id is not None and found.phase_status != "in_progress":
        yield from row(BEGIN_PHASE, id=found.phase_id)
    return agent, task


def _new_agent(wanted: Wanted, found: Candidate, account: Account | None) -> Procedure[Agent]:
    for offered in names(side_by_side=wanted.meets_others):
        values = _agent_row(wanted, **offered, **_given(found, account))
        agent = yield from row(INSERT_AGENT, **values)
        if agent is not None:
            return agent
    raise AssertionError("there are names without end")


def _hold_in_place(
    wanted: Wanted, found: Candidate, account: Account | None
) -> Procedure[tuple[Agent, Task] | None]:
    """Store the agent and give it the task if that is still ready; None if it is not.

    Where it is not the name may have been taken in this moment, but not so twice.
    """
    query = hold_in_place(wanted.asked, _place_of(found))
    agent = AGENTS.complete(_agent_values(wanted), **_given(found, account))
    given = new_values({**agent, "holder": wanted.agent["holder"], "phase_id": found.phase_id})
    for offered in islice(names(side_by_side=wanted.meets_others), 2):
        held = yield from row(query, **given, **offered, lease=wanted.lease)
        if held is not None:
            return held
    return None


def _given(found: Candidate, account: Account | None) -> dict[str, Any]:
    return {
        "task_id": found.id,
        "initiative_id": found.initiative_id,
        "account_id": None if account is None else account.id,
        "epoch": found.next_epoch,
    }


def _agent_row(wanted: Wanted, **known: Any) -> dict[str, Any]:
    holder = wanted.agent["holder"]
    return AGENTS.complete(_agent_values(wanted), holder=holder, lease=wanted.lease, **known)


def _agent_values(wanted: Wanted) -> dict[str, Any]:
    return {name: value for name, value in wanted.agent.items() if name != "holder"}


def check_wanted(database: Database, wanted: Wanted) -> None:
    """Raise InvalidValueError for what a step would be refused for, before anything is done."""
    refuse_none(agents, holder=wanted.agent["holder"])
    database.check(INSERT_AGENT, [_agent_row(wanted, **dict.fromkeys(OFFERED, "to be chosen"))])
    database.check(next_ready(wanted.asked, 0), [wanted.values])
