"""Whatever the order of their statements, two who work on the same claims keep every promise.

On PostgreSQL, where others write between two statements: all orders with at most two preemptions
at full length, and some of them in the short form.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import pytest
from drill import Drill
from interleaving import LAST, Outcome, Schedule, Scheduler, Work, schedules

from cw_store import (
    ChangeConflictError,
    Claim,
    Finished,
    LeaseLostError,
    NewChangeSetEntry,
    StaleStateError,
)
from cw_store.backends.postgres.backend import PostgresBackend
from cw_store.location import locate
from cw_store.repos.sql.fence import FENCE, claim_values, find_lost_error
from cw_store.statements.database import Database
from cw_store.types import ValueRules
from cw_store.uow import Repositories

Claims: TypeAlias = list[Claim]

OVER = timedelta(microseconds=1)
"""A lease that has run out when it is looked at."""

WRONG = {
    "the number of a task": """
        SELECT id FROM tasks WHERE claimed_by_agent_id IS NULL AND status <> 'completed'
        AND open_dependencies <> (
            SELECT count(*) FROM task_dependencies JOIN tasks AS other
            ON other.id = depends_on_task_id AND other.status <> 'completed'
            WHERE task_id = tasks.id)""",
    "the number of a phase": """
        SELECT id FROM phases WHERE status <> 'completed'
        AND open_dependencies <> (
            SELECT count(*) FROM phase_dependencies JOIN phases AS other
            ON other.id = depends_on_phase_id AND other.status <> 'completed'
            WHERE phase_id = phases.id)""",
    "a claimed task whose agent has no lease": """
        SELECT tasks.id FROM tasks JOIN agents ON agents.id = claimed_by_agent_id
        WHERE lease_expires_at IS NULL OR agents.epoch <> tasks.epoch""",
    "a lease without a task": """
        SELECT id FROM agents WHERE lease_expires_at IS NOT NULL
        AND NOT EXISTS (SELECT FROM tasks WHERE claimed_by_agent_id = agents.id)""",
    "the limit of an initiative": """
        SELECT id FROM initiatives WHERE max_agents < (SELECT count(*) FROM agents
        WHERE initiative_id = initiatives.id AND lease_expires_at IS NOT NULL)""",
    "the limit of an account": """
        SELECT id FROM accounts WHERE max_agents < (SELECT count(*) FROM agents
        WHERE account_id = accounts.id AND lease_expires_at IS NOT NULL)""",
    "a completed phase with open tasks": """
        SELECT phase_id FROM tasks JOIN phases ON phases.id = phase_id
        WHERE tasks.status <> 'completed' AND phases.status = 'completed'""",
    "a phase that nobody has moved on": """
        SELECT id FROM phases WHERE status <> 'completed' AND EXISTS (
            SELECT FROM tasks WHERE phase_id = phases.id) AND NOT EXISTS (
            SELECT FROM tasks WHERE phase_id = phases.id AND status <> 'completed')""",
    "an initiative that nobody has moved on": """
        SELECT id FROM initiatives WHERE status = 'active' AND EXISTS (
            SELECT FROM phases WHERE initiative_id = initiatives.id) AND NOT EXISTS (
            SELECT FROM phases WHERE initiative_id = initiatives.id AND status <> 'completed')
        AND NOT EXISTS (
            SELECT FROM tasks WHERE initiative_id = initiatives.id AND status <> 'completed')""",
}
"""What is never to be found, whatever was done in whatever order."""

ANYTHING_WRONG = " UNION ALL ".join(
    f"SELECT '{what}' AS what, id FROM ({sql}) AS found (id)" for what, sql in WRONG.items()
)


@dataclass(frozen=True)
class Pair:
    """Two works, what there is before them, and what has to hold of what came of them."""

    name: str
    begin: Callable[[Repositories], Awaitable[Claims]]
    one: Callable[[Claims], Work]
    other: Callable[[Claims], Work]
    holds: Callable[[Outcome], bool]


async def take(repos: Repositories, id: str, **options: Any) -> Claim:
    arguments: Any = {"holder": "h", "worktree_id": "w", "provider": None, **options}
    return await repos.claims.take(id, **arguments)


def next_task(**options: Any) -> Callable[[Claims], Work]:
    arguments: Any = {"holder": "n", "worktree_id": "w", "provider": None, **options}
    return lambda _: lambda repos, _: repos.claims.next(**arguments)


def recover(_: Claims) -> Work:
    return lambda repos, _: repos.claims.recover()


def complete(number: int) -> Callable[[Claims], Work]:
    return lambda claims: lambda repos, _: repos.claims.complete(claims[number])


def fail(claims: Claims) -> Work:
    return lambda repos, _: repos.claims.fail(claims[0], retry_in=timedelta(0))


def update(table: str, id: str, **changes: Any) -> Callable[[Claims], Work]:
    return lambda _: lambda repos, _: getattr(repos, table).update(id, **changes)


def delete(table: str) -> Callable[[Claims], Work]:
    """Delete what the claim stands in, or is made of."""

    def work(claims: Claims) -> Work:
        ids = {"initiatives": "i", "phases": "p", "tasks": "t0", "agents": claims[0].agent.id}
        return lambda repos, _: getattr(repos, table).delete(ids[table])

    return work


def fenced_write(claims: Claims) -> Work:
    async def write(repos: Repositories, database: Database) -> str:
        if await database.first(FENCE, **claim_values(claims[0])) is None:
            raise await find_lost_error(database, claims[0])
        await repos.log_chunks.insert_chunk("agent", "agent", 1, "written")
        return "written"

    return write


def fenced_complete(claims: Claims) -> Work:
    async def end(repos: Repositories, database: Database) -> Finished:
        if await database.first(FENCE, **claim_values(claims[0])) is None:
            raise await find_lost_error(database, claims[0])
        return await repos.claims.complete(claims[0])

    return end


def write_under_claim(claims: Claims) -> Work:
    async def write(repos: Repositories, _: Database) -> str:
        await repos.log_chunks.insert_chunk("agent", "agent", 1, "written", claim=claims[0])
        return "written"

    return write


# What there is.


async def plan(repos: Repositories, tasks: int = 2, **of_initiative: Any) -> None:
    await repos.initiatives.create(id="i", name="i", **of_initiative)
    await repos.phases.create(id="p", initiative_id="i", name="p")
    for number in range(tasks):
        await repos.tasks.create(id=f"t{number}", phase_id="p", name="t")


async def full_initiative(repos: Repositories) -> Claims:
    await plan(repos, max_agents=1)
    return []


async def one_task(repos: Repositories) -> Claims:
    await plan(repos, tasks=1)
    return []


async def full_account(repos: Repositories) -> Claims:
    await plan(repos)
    await repos.accounts.create(id="a", email="a@example.org", max_agents=1)
    await repos.tasks.create(id="alone", name="t")
    return []


async def dead_holder(repos: Repositories) -> Claims:
    await plan(repos)
    return [await take(repos, "t0", lease=OVER)]


async def last_two(repos: Repositories) -> Claims:
    """Both tasks of a phase, for which a task of the next phase waits."""
    await plan(repos)
    await repos.phases.create(id="q", initiative_id="i", name="q")
    await repos.phases.create_dependency("q", "p")
    await repos.tasks.create(id="then", phase_id="q", name="then")
    for id in ("t0", "t1"):
        await repos.tasks.create_dependency("then", id)
    return [await take(repos, id) for id in ("t0", "t1")]


async def last_two_alone(repos: Repositories) -> Claims:
    """Both tasks of a phase, for which nothing waits that would be locked by either."""
    await plan(repos)
    return [await take(repos, id) for id in ("t0", "t1")]


async def two_last(repos: Repositories) -> Claims:
    """The only tasks of two phases, which are all that there is of an initiative."""
    await plan(repos, tasks=1)
    await repos.phases.create(id="q", initiative_id="i", name="q")
    await repos.tasks.create(id="other", phase_id="q", name="other")
    return [await take(repos, id) for id in ("t0", "other")]


async def last_of_phase(repos: Repositories) -> Claims:
    """The last task of a phase, for which the next phase waits."""
    claims = await last_two(repos)
    await repos.claims.complete(claims[0])
    return claims[1:]


async def of_two_initiatives(repos: Repositories) -> Claims:
    await plan(repos, tasks=1)
    await repos.initiatives.create(id="j", name="j")
    for id in ("other", "then"):
        await repos.tasks.create(id=id, name=id, initiative_id="j")
    for id in ("t0", "other"):
        await repos.tasks.create_dependency("then", id)
    return [await take(repos, id) for id in ("t0", "other")]


async def held(repos: Repositories) -> Claims:
    await plan(repos)
    return [await take(repos, "t0")]


async def change_set(repos: Repositories, entries: list[NewChangeSetEntry]) -> None:
    await repos.change_sets.create(
        id="set", initiative_id="i", agent_name="planner", mode="plan", entries=entries
    )


async def recorded(repos: Repositories) -> Claims:
    """A change set that has created a task and moved another to the front."""
    await plan(repos)
    await repos.tasks.update("t1", priority="high")
    await repos.tasks.create(id="new", phase_id="p", name="new")
    await change_set(
        repos,
        [
            {
                "entity_type": "task",
                "entity_id": "t1",
                "action": "update",
                "previous_state": {"priority": "medium"},
                "new_state": {"priority": "high"},
            },
            {
                "entity_type": "task",
                "entity_id": "new",
                "action": "create",
                "new_state": {"priority": "medium"},
            },
        ],
    )
    return []


async def recorded_phase(repos: Repositories) -> Claims:
    """A change set that has given a phase another name, and its last task, which is claimed."""
    await plan(repos, tasks=1)
    await repos.phases.update("p", name="renamed")
    await repos.phases.create(id="q", initiative_id="i", name="q")
    await repos.tasks.create(id="t1", phase_id="q", name="t")
    await change_set(
        repos,
        [
            {
                "entity_type": "phase",
                "entity_id": id,
                "action": "update",
                "previous_state": {"name": before},
                "new_state": {"name": after},
            }
            for id, before, after in (("p", "p", "renamed"), ("q", "before", "q"))
        ],
    )
    return [await take(repos, "t0")]


async def waiting_claimed(repos: Repositories) -> Claims:
    """Two claimed tasks, of which the second waits for the first since it was claimed."""
    await plan(repos)
    claims = [await take(repos, id) for id in ("t0", "t1")]
    await repos.tasks.create_dependency("t1", "t0")
    return claims


# What holds.


def claims_at_most_one(outcome: Outcome) -> bool:
    return sum(isinstance(one, Claim) for one in outcome.results()) == 1


def displaces_at_most_once(outcome: Outcome) -> bool:
    claim, displaced = outcome.results()
    assert isinstance(claim, Claim)
    assert len(displaced) <= 1
    return True


def lost_or_renewed(outcome: Outcome) -> bool:
    renewed, displaced = outcome.results()
    if displaced:
        # Whose lease was moved on has it. Who only found the claim held was told so before.
        return all(one.agent.lease_expires_at < datetime.now(UTC) for one in renewed)
    return len(renewed) == 1


def writes_only_the_holder(outcome: Outcome) -> bool:
    written, displaced = outcome.results()
    if isinstance(written, LeaseLostError):
        return len(displaced) == 1
    return not displaced or outcome.committed_before(0, 1)


def moves_the_phase_once(outcome: Outcome) -> bool:
    return sum(one.phase is not None for one in outcome.results()) == 1


def moves_the_initiative_once(outcome: Outcome) -> bool:
    return sum(one.initiative is not None for one in outcome.results()) == 1


def completes_both(outcome: Outcome) -> bool:
    return all(isinstance(one, Finished) for one in outcome.results())


def one_of_them_wins(outcome: Outcome) -> bool:
    displaced, finished = outcome.results()
    return (displaced is None) is isinstance(finished, Finished)


def displaces_once(outcome: Outcome) -> bool:
    return sum(map(len, outcome.results())) == 1


def no_both(outcome: Outcome) -> bool:
    claim, blocked = outcome.results()
    return (claim is None) is not isinstance(blocked, StaleStateError)


def no_more(outcome: Outcome) -> bool:
    """What is never to be found says all."""
    return outcome.ends != []


def ends_once(outcome: Outcome) -> bool:
    claim, finished = outcome.results()
    if isinstance(finished, LeaseLostError):
        return isinstance(claim, Claim)
    return True


def both_done(outcome: Outcome) -> bool:
    return all(actor.error is None and actor.result is not None for actor in outcome.actors)


def reverts_or_claims(outcome: Outcome) -> bool:
    reverted, claim = outcome.results()
    assert isinstance(claim, Claim)
    if isinstance(reverted, ChangeConflictError):
        return claim.task.id == "t1" and outcome.committed_before(1, 0)
    return claim.task.id != "t1" or (
        outcome.committed_before(0, 1) and claim.task.priority == "medium"
    )


PAIRS = (
    Pair(
        "revert and claim",
        recorded,
        lambda _: lambda repos, _: repos.change_sets.revert("set"),
        next_task(),
        reverts_or_claims,
    ),
    Pair(
        "revert of a phase and claim",
        recorded_phase,
        lambda _: lambda repos, _: repos.change_sets.revert("set"),
        next_task(),
        both_done,
    ),
    Pair(
        "revert of a phase and complete",
        recorded_phase,
        lambda _: lambda repos, _: repos.change_sets.revert("set"),
        complete(0),
        lambda outcome: isinstance(outcome.actors[1].result, Finished),
    ),
    Pair(
        "claim and claim, one place", full_initiative, next_task(), next_task(), claims_at_most_one
    ),
    Pair("claim and claim, one task", one_task, next_task(), next_task(), claims_at_most_one),
    Pair(
        "claim and claim, one login",
        full_account,
        next_task(provider="claude"),
        next_task(provider="claude"),
        claims_at_most_one,
    ),
    Pair("claim and recover", dead_holder, next_task(), recover, displaces_at_most_once),
    Pair("claim and late complete", dead_holder, next_task(), complete(0), ends_once),
    Pair(
        "renew and recover",
        dead_holder,
        lambda claims: lambda repos, _: repos.claims.renew(claims),
        recover,
        lost_or_renewed,
    ),
    Pair("fenced write and recover", dead_holder, fenced_write, recover, writes_only_the_holder),
    Pair("log chunk and recover", dead_holder, write_under_claim, recover, writes_only_the_holder),
    Pair("complete and complete", last_two, complete(0), complete(1), moves_the_phase_once),
    Pair(
        "complete and complete, nothing waits",
        last_two_alone,
        complete(0),
        complete(1),
        moves_the_phase_once,
    ),
    Pair(
        "complete and complete, two phases",
        two_last,
        complete(0),
        complete(1),
        moves_the_initiative_once,
    ),
    Pair(
        "claim and complete the last before it",
        last_of_phase,
        next_task(),
        complete(0),
        lambda outcome: isinstance(outcome.actors[1].result, Finished),
    ),
    Pair(
        "complete the last and close what waits for it",
        last_of_phase,
        complete(0),
        update("phases", "q", status="blocked"),
        no_more,
    ),
    Pair(
        "complete and complete, two initiatives",
        of_two_initiatives,
        complete(0),
        complete(1),
        completes_both,
    ),
    Pair(
        "complete and new edge",
        held,
        complete(0),
        lambda _: lambda repos, _: repos.tasks.create_dependency("t1", "t0"),
        lambda outcome: isinstance(outcome.actors[0].result, Finished),
    ),
    Pair(
        "complete and release of what waits for it",
        waiting_claimed,
        complete(0),
        lambda claims: lambda repos, _: repos.claims.release(claims[1]),
        completes_both,
    ),
    Pair(
        "revoke and complete",
        held,
        lambda _: lambda repos, _: repos.claims.revoke("t0"),
        complete(0),
        one_of_them_wins,
    ),
    Pair(
        "claim and complete",
        held,
        next_task(),
        complete(0),
        lambda outcome: isinstance(outcome.actors[1].result, Finished),
    ),
    Pair("recover and recover", dead_holder, recover, recover, displaces_once),
    Pair("claim and block", held, next_task(), update("tasks", "t1", status="blocked"), no_both),
    Pair("claim and move", held, next_task(), update("tasks", "t1", phase_id=None), no_more),
    Pair(
        "claim and limit",
        full_initiative,
        next_task(),
        update("initiatives", "i", max_agents=1),
        lambda outcome: isinstance(outcome.actors[0].result, Claim),
    ),
    Pair("claim and fail", held, next_task(), fail, no_more),
    *(
        Pair(f"{name} and delete in {table}", begin, work, delete(table), no_more)
        for name, begin, work in (
            ("claim", held, next_task()),
            ("complete", held, complete(0)),
            ("complete in a fenced unit", held, fenced_complete),
            ("recover", dead_holder, recover),
        )
        for table in ("initiatives", "phases", "tasks", "agents")
    ),
)


USED = ("agent_log_chunks", "tasks", "initiatives", "accounts", "agents", "store_state")
"""What is emptied before each schedule, and the rest with it."""


async def empty(scheduler: Scheduler) -> None:
    await scheduler.onlooker.execute("; ".join(f"DELETE FROM {name}" for name in USED))


async def nothing_is_wrong(scheduler: Scheduler, outcome: Outcome) -> None:
    found = await scheduler.onlooker.fetch(ANYTHING_WRONG)
    assert not found, f"{found}, after {outcome.schedule}, {outcome.results()}"


async def run_pair(scheduler: Scheduler, pair: Pair, drill: Drill, short: int) -> int:
    async def under(schedule: Schedule) -> Outcome:
        await empty(scheduler)
        claims: Claims = await scheduler.alone(lambda repos, _: pair.begin(repos))
        outcome = await scheduler.run(schedule, [pair.one(claims), pair.other(claims)])
        await nothing_is_wrong(scheduler, outcome)
        assert pair.holds(outcome), (outcome.schedule, outcome.results())
        return outcome

    one_by_one = [await under(Schedule(begins, 0, LAST)) for begins in (0, 1)]
    statements = [max(o.actors[place].done for o in one_by_one) for place in (0, 1)]
    every = [*schedules(statements)]
    step = drill.amount(max(1, len(every) // short), 1)
    for schedule in every[step // 2 :: step]:
        await under(schedule)
    return len(every[step // 2 :: step])


@pytest.mark.parametrize("at_once", [False, True], ids=["step by step", "at once"])
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
async def test_in_whatever_order_two_work_on_claims_every_promise_is_kept(
    pair: Pair, at_once: bool, migrated_server: str, drill: Drill
) -> None:
    server = locate(migrated_server).server
    assert server is not None
    backend = PostgresBackend(server, pool_size=3, busy_timeout=10.0, rules=ValueRules())
    await backend.open()
    scheduler = Scheduler(backend, at_once=at_once)
    await scheduler.open()
    try:
        number = await run_pair(scheduler, pair, drill, short=8)
        await empty(scheduler)
    finally:
        await scheduler.close()
        await backend.close()
    drill.held(f"{number} schedules")
