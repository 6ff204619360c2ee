"""What is done with functions comes to the same as what is done step by step, in a unit of work."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cw_store import Claim, Finished, Store, StoreError
from cw_store.testing.postgres_server import PostgresServer
from cw_store.uow import Repositories

Step: TypeAlias = tuple[str, dict[str, Any]]

Work: TypeAlias = Callable[[Repositories], Awaitable[Any]]

EMPTY = (
    *("DELETE FROM agents", "DELETE FROM tasks", "DELETE FROM initiatives", "DELETE FROM accounts"),
    *("DELETE FROM store_state WHERE name = 'dispatch_turn'", "DELETE FROM changes WHERE seq > 0"),
)
LEFT = (
    "SELECT id, status, epoch, summary, claimed_by_agent_id IS NULL FROM tasks ORDER BY id",
    "SELECT id, status, open_dependencies FROM phases ORDER BY id",
    "SELECT id, status, dispatch_turn FROM initiatives ORDER BY id",
    "SELECT id, rank() OVER (ORDER BY last_used_at NULLS FIRST) FROM accounts ORDER BY id",
    "SELECT value FROM store_state WHERE name = 'dispatch_turn'",
    "SELECT task_id, initiative_id, account_id, provider, holder, worktree_id, mode, status, "
    "epoch, result::text, exit_code, lease_expires_at IS NULL FROM agents ORDER BY seq",
    "SELECT entity, action, count(*) FROM changes GROUP BY 1, 2 ORDER BY 1, 2",
)

TEXTS = st.sampled_from(["host-1", "o'$1", "$function$", "\\", "ünï"])

NEXT = st.fixed_dictionaries(
    {"holder": TEXTS, "worktree_id": TEXTS},
    optional={
        "provider": st.sampled_from([None, "claude", "o'$1", "nobody's"]),
        "initiative_id": st.sampled_from(["i", "full", "archived", "of no initiative"]),
        "phase_statuses": st.sets(st.sampled_from(["pending", "approved", "completed"])).map(
            sorted
        ),
        "categories": st.sets(st.sampled_from(["execute", "plan"])).map(sorted),
        "mode": st.sampled_from(["execute", "plan"]),
        "lease": st.sampled_from([timedelta(minutes=1), timedelta(microseconds=1)]),
    },
)
ANY_NEXT: st.SearchStrategy[dict[str, Any]] = st.just(
    {"holder": "host-1", "worktree_id": "trees/one", "provider": None}
)
COMPLETE = st.fixed_dictionaries(
    {},
    optional={
        "summary": TEXTS,
        "result": TEXTS | st.just({"count": 1}),
        "exit_code": st.sampled_from([0, 1]),
        "phase_status": st.sampled_from([None, "completed", "pending_review"]),
        "initiative_status": st.sampled_from([None, "completed"]),
    },
)
NOTHING: st.SearchStrategy[dict[str, Any]] = st.just({})

STEPS: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("next"), NEXT),
    st.tuples(st.just("next"), ANY_NEXT),
    st.tuples(st.sampled_from(["complete", "complete the first"]), COMPLETE),
    st.tuples(st.sampled_from(["release", "spoil"]), NOTHING),
)


@pytest.fixture
async def stores(
    postgres_server: PostgresServer, migrated_template: str
) -> AsyncIterator[tuple[Store, Store]]:
    """Two stores of a connection each, on a database each."""
    urls = [postgres_server.create_database(migrated_template) for _ in range(2)]
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(Store(url, pool_size=1)) for url in urls]
        yield one, other
    for url in urls:
        postgres_server.drop_database(url)


async def execute(store: Store, *statements: str) -> None:
    async with store.unit_of_work() as uow:
        for statement in statements:
            await uow.session.execute(sa.text(statement))


async def plan(store: Store) -> None:
    """Store tasks of every kind, and accounts of two providers."""
    async with store.unit_of_work() as uow:
        for id, most in (("i", None), ("full", 1), ("archived", None)):
            await uow.initiatives.create(id=id, name=id, max_agents=most)
        await uow.phases.create(id="p", name="p", initiative_id="i")
        await uow.phases.create(id="q", name="q", initiative_id="i", status="approved")
        await uow.phases.create(id="r", name="r", initiative_id="i", status="completed")
        await uow.phases.create_dependency("q", "p")
        places: dict[str, dict[str, Any]] = {
            "p1": {"phase_id": "p"},
            "q1": {"phase_id": "q", "priority": "high"},
            "q2": {"phase_id": "q"},
            "r1": {"phase_id": "r", "category": "plan"},
            "i1": {"initiative_id": "i"},
            "full 1": {"initiative_id": "full"},
            "full 2": {"initiative_id": "full", "category": "plan"},
            "archived 1": {"initiative_id": "archived"},
            "alone 1": {},
            "alone 2": {"category": "plan"},
        }
        for id, place in places.items():
            await uow.tasks.create(id=id, name=id, **place)
        await uow.tasks.create_dependency("alone 2", "p1")
        await uow.initiatives.update("archived", status="archived")
        for id, provider in {"a": "claude", "b": "claude", "c": "o'$1"}.items():
            await uow.accounts.create(
                id=id, email=id, provider=provider, max_agents=1, sort_order=ord(id)
            )


def told(outcome: object) -> object:
    """Return what has to be the same of what a step has come to."""
    if isinstance(outcome, Claim):
        account, previous = outcome.account, outcome.previous
        return outcome.task.id, outcome.epoch, account and account.id, previous and previous.epoch
    if isinstance(outcome, Finished):
        phase, initiative = outcome.phase, outcome.initiative
        return outcome.task.status, phase and phase.status, initiative and initiative.status
    return type(outcome)


async def take_step(
    store: Store, do: Callable[[Work], Awaitable[Any]], claims: list[Claim], step: Step
) -> object:
    name, options = step
    if name == "spoil":
        spoil = "UPDATE accounts SET credentials = 'cw-store:fernet:?' WHERE id = 'a'"
        return await execute(store, spoil)
    if name == "next":
        outcome = await do(lambda repos: repos.claims.next(**options))
        if isinstance(outcome, Claim):
            claims.append(outcome)
        return outcome
    if not claims:
        return None
    claim = claims[0 if name == "complete the first" else -1]
    if name == "release":
        return await do(lambda repos: repos.claims.release(claim))
    return await do(lambda repos: repos.claims.complete(claim, **options))


async def outcomes(store: Store, steps: list[Step], *, with_functions: bool) -> list[object]:
    """Take the steps, and return what came of them and what is stored then."""

    async def at_once(work: Work) -> object:
        try:
            return await work(store)
        except StoreError as error:
            return error

    async def step_by_step(work: Work) -> object:
        async with store.unit_of_work() as uow:
            try:
                return await work(uow)
            except StoreError as error:
                return error

    await execute(store, *EMPTY)
    await plan(store)
    claims: list[Claim] = []
    do = at_once if with_functions else step_by_step
    came = [told(await take_step(store, do, claims, step)) for step in steps]
    async with store.unit_of_work() as uow:
        found = [(await uow.session.execute(sa.text(query))).all() for query in LEFT]
    return [*came, *found]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(STEPS, min_size=5, max_size=15))
async def test_claims_come_to_the_same_with_functions_and_step_by_step(
    stores: tuple[Store, Store], steps: list[Step]
) -> None:
    one, other = stores
    at_once = await outcomes(one, steps, with_functions=True)
    assert at_once == await outcomes(other, steps, with_functions=False)
