"""Chains of queries that the server runs in one message, and what is done where it cannot."""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from cw_store import Claim, Store, UnreadableError
from cw_store.backends.postgres.functions import MOST_FUNCTIONS
from postgres_proxy import Proxy
from waits import until_one_is_held_up

OF_ANY_SESSION = sa.text(
    "SELECT oid::regprocedure::text FROM pg_proc WHERE proname ~ '^claims_(next|complete)_'"
)
FUNCTIONS = sa.text("SELECT proname FROM pg_proc WHERE pronamespace = pg_my_temp_schema()")
MADE = sa.text("SELECT oid FROM pg_proc WHERE pronamespace = pg_my_temp_schema()")
OBJECTS = sa.text(
    "SELECT count(*) FROM pg_catalog.pg_depend "
    "WHERE refclassid = 'pg_namespace'::regclass AND refobjid = pg_my_temp_schema()"
)
TAKE_TURN = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
TIME = sa.text("SELECT clock_timestamp()")


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """A store of one connection, so that each call meets the session of the one before."""
    async with Store(url, pool_size=1) as store:
        await plan(store)
        yield store


async def plan(store: Store) -> None:
    """Create an initiative with a phase of three tasks, and an account."""
    initiative = await store.initiatives.create(name="Sign in")
    phase = await store.phases.create(initiative_id=initiative.id, name="First")
    await store.tasks.create_many(
        [{"phase_id": phase.id, "name": name} for name in ("one", "two", "three")]
    )
    await store.accounts.create(email="one@example.org")


async def claim_next(store: Store, **options: Any) -> Claim:
    claim = await store.claims.next(holder="host-1", worktree_id="trees/one", **options)
    assert claim is not None
    return claim


async def functions_of(store: Store) -> list[str]:
    """Return the names of the functions that the session has, without their numbers."""
    async with store.unit_of_work() as uow:
        found = await uow.session.scalars(FUNCTIONS)
        return sorted(name.rpartition("_")[0] for name in found)


class CountingProxy(Proxy):
    """A proxy that counts the messages to the server, each of which is answered."""

    messages = 0

    async def request(self, data: bytes) -> bool:
        self.messages += 1
        return await super().request(data)


@pytest.mark.parametrize("options", [{}, {"provider": None}, {"categories": ["execute"]}])
async def test_a_claim_takes_three_messages_and_its_end_one(
    url: str, options: dict[str, Any]
) -> None:
    async with CountingProxy(url) as proxy, Store(proxy.url, pool_size=1) as store:
        await plan(store)
        await store.claims.complete(await claim_next(store, **options))
        before = proxy.messages
        claim = await claim_next(store, **options)
        between = proxy.messages
        await store.claims.complete(claim)
        assert (between - before, proxy.messages - between) == (3, 1)


async def test_functions_are_made_once_in_a_session_and_belong_to_it_alone(
    url: str, store: Store
) -> None:
    for _ in range(2):
        await store.claims.complete(await claim_next(store))
    assert await functions_of(store) == ["claims_complete", "claims_next"]
    async with Store(url) as another:
        assert await functions_of(another) == []


async def test_functions_are_made_anew_when_the_session_has_forgotten_them(store: Store) -> None:
    claim = await claim_next(store)
    async with store.unit_of_work() as uow:
        await uow.session.execute(sa.text("CREATE TEMPORARY TABLE left_behind (id text)"))
    assert await functions_of(store) == []
    assert (await store.claims.complete(claim)).task.status == "completed"
    assert (await claim_next(store)).task.name == "two"


@pytest.mark.parametrize(
    "left_behind",
    [
        "CREATE FUNCTION pg_temp.own() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TYPE pg_temp.own AS ENUM ('one')",
        "CREATE TEMPORARY TABLE pg_depend (id text)",
        "DROP FUNCTION pg_temp.claims_next_1; CREATE TEMPORARY TABLE own (id text)",
    ],
)
async def test_what_an_application_leaves_beside_the_functions_is_gone(
    store: Store, left_behind: str
) -> None:
    await store.claims.complete(await claim_next(store))
    async with store.unit_of_work() as uow:
        for sql in left_behind.split("; "):
            await uow.session.execute(sa.text(sql))
        assert await uow.session.scalar(OBJECTS) > 0
    async with store.unit_of_work() as uow:
        assert await uow.session.scalar(OBJECTS) == 0
    await store.claims.complete(await claim_next(store))


@pytest.mark.parametrize("is_anything_left", [False, True])
async def test_a_session_does_not_grow_by_functions_that_it_has_forgotten(
    url: str, is_anything_left: bool
) -> None:
    """Their memory is given back by the end of the session alone."""
    made: dict[int, set[int]] = {}
    async with Store(url, pool_size=1) as store:
        await store.tasks.create_many([{"name": "task"} for _ in range(MOST_FUNCTIONS)])
        await store.accounts.create(email="one@example.org")
        for _ in range(MOST_FUNCTIONS):
            await store.claims.complete(await claim_next(store))
            async with store.unit_of_work() as uow:
                process: int = await uow.session.scalar(sa.text("SELECT pg_backend_pid()")) or 0
                made.setdefault(process, set()).update(await uow.session.scalars(MADE))
                if is_anything_left:
                    await uow.session.execute(sa.text("CREATE TEMPORARY TABLE own (id text)"))
    of_sessions = [len(functions) for functions in made.values()]
    assert all(number <= MOST_FUNCTIONS for number in of_sessions)
    assert len(of_sessions) > 1 if is_anything_left else of_sessions == [2]


async def test_functions_that_somebody_drops_are_not_missed(url: str, store: Store) -> None:
    await store.claims.complete(await claim_next(store))
    claim = await claim_next(store)
    async with Store(url) as another, another.unit_of_work() as uow:
        dropped = list(await uow.session.scalars(OF_ANY_SESSION))
        for function in dropped:
            await uow.session.execute(sa.text(f"DROP FUNCTION {function}"))
    assert len(dropped) == 2
    assert (await store.claims.complete(claim)).task.status == "completed"
    assert (await claim_next(store)).task.name == "three"


@pytest.mark.parametrize("cut", [Proxy.cut_before, Proxy.cut_instead_of_answer])
async def test_a_connection_that_is_lost_while_a_function_is_made_leaves_nothing_in_doubt(
    url: str, cut: Callable[[Proxy, str], None]
) -> None:
    async with Proxy(url) as proxy, Store(proxy.url, pool_size=1) as store:
        await plan(store)
        claim = await claim_next(store)
        cut(proxy, "CREATE OR REPLACE FUNCTION pg_temp.claims_complete")
        assert (await store.claims.complete(claim)).task.status == "completed"


async def test_a_function_that_cannot_be_made_now_is_made_later(store: Store) -> None:
    async with store.unit_of_work() as uow:
        for sql in (
            "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS "
            "'BEGIN RAISE SQLSTATE ''53200''; END'",
            "CREATE EVENT TRIGGER refuse ON ddl_command_end EXECUTE FUNCTION refuse()",
        ):
            await uow.session.execute(sa.text(sql))
    await store.claims.complete(await claim_next(store))
    assert await functions_of(store) == []
    async with store.unit_of_work() as uow:
        await uow.session.execute(sa.text("DROP EVENT TRIGGER refuse"))
    await store.claims.complete(await claim_next(store))
    assert await functions_of(store) == ["claims_complete", "claims_next"]


async def test_a_session_has_not_a_function_for_everything_that_may_be_asked(store: Store) -> None:
    kinds = ("execute", "research", "discuss", "plan", "verify")
    asked = [
        categories
        for number in range(1, len(kinds) + 1)
        for categories in itertools.combinations(kinds, number)
    ]
    for categories in asked:
        claim = await store.claims.next(
            holder="host-1", worktree_id="trees/one", categories=categories
        )
        assert (claim is not None) is ("execute" in categories)
        if claim is not None:
            await store.claims.release(claim)
    assert len(await functions_of(store)) == MOST_FUNCTIONS < len(asked)


async def test_the_end_of_a_claim_that_moves_something_on_is_one_commit(store: Store) -> None:
    """Although it is tried in one message before, which comes to nothing."""
    for _ in range(2):
        await store.claims.complete(await claim_next(store))
    claim = await claim_next(store)
    before = store.stats().database.commits
    assert (await store.claims.complete(claim)).phase is not None
    assert store.stats().database.commits - before == 1


async def test_a_unit_of_work_that_claims_leaves_no_function(store: Store) -> None:
    async with store.unit_of_work() as uow:
        claim = await uow.claims.next(holder="host-1", worktree_id="trees/one")
        assert claim is not None
        await uow.claims.complete(claim)
        assert list(await uow.session.scalars(FUNCTIONS)) == []


async def test_a_role_that_may_make_no_function_claims_step_by_step(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "cw_store")
    role = make_url(url).database
    async with Store(url) as owner, owner.unit_of_work() as uow:
        for sql in (
            f'REVOKE TEMPORARY ON DATABASE "{role}" FROM PUBLIC',
            f'CREATE ROLE "{role}" LOGIN',
            f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "{role}"',
        ):
            await uow.session.execute(sa.text(sql))
    as_role = make_url(url).set(username=role).render_as_string(hide_password=False)
    async with Store(as_role) as store:
        await plan(store)
        for name in ("one", "two", "three"):
            done = await store.claims.complete(await claim_next(store))
            assert done.task.name == name
        assert done.phase is not None and done.phase.status == "completed"
    told = [record for record in caplog.records if getattr(record, "event", "").endswith("refused")]
    assert len(told) == 1 and "permission denied" in told[0].getMessage()
    async with Store(url) as owner, owner.unit_of_work() as uow:
        await uow.session.execute(sa.text(f'DROP OWNED BY "{role}"'))
        await uow.session.execute(sa.text(f'DROP ROLE "{role}"'))


async def test_a_lease_counts_from_when_the_turn_has_come(url: str, store: Store) -> None:
    """And not from when it was asked for, or it would be over before it began."""
    lease = timedelta(minutes=2)
    await store.claims.complete(await claim_next(store))
    async with Store(url) as another, Store(url) as observer:
        async with another.unit_of_work() as uow:
            await uow.session.execute(TAKE_TURN, {"name": "accounts.'claude'"})
            claiming = asyncio.create_task(claim_next(store, lease=lease))
            await until_one_is_held_up(observer)
            came_at = await uow.session.scalar(TIME)
        claim = await claiming
    until = claim.agent.lease_expires_at
    assert isinstance(came_at, datetime) and until is not None and until >= came_at + lease


async def test_what_a_chain_has_waited_for_is_looked_at_as_it_is_then(
    url: str, store: Store
) -> None:
    """Two who complete the last tasks of a phase do not both take the other's for open."""
    await store.claims.complete(await claim_next(store))
    first, second = await claim_next(store), await claim_next(store)
    async with Store(url) as another, Store(url) as observer:
        async with another.unit_of_work() as uow:
            assert (await uow.claims.complete(first)).phase is None
            completing = asyncio.create_task(store.claims.complete(second))
            await until_one_is_held_up(observer)
        done = await completing
    assert done.phase is not None and done.phase.status == "completed"


async def test_of_an_attempt_that_came_to_nothing_nothing_is_left(store: Store) -> None:
    async with store.unit_of_work() as uow:
        await uow.session.execute(sa.text("UPDATE accounts SET credentials = 'cw-store:fernet:?'"))
    working = await store.accounts.create(email="two@example.org")
    claim = await claim_next(store)
    assert claim.account is not None and claim.account.id == working.id
    assert [agent.id for agent in await store.agents.find_all()] == [claim.agent.id]
    assert claim.epoch == 1


async def test_a_claim_whose_end_cannot_be_read_is_ended_all_the_same(store: Store) -> None:
    """Also the last of its phase, which is tried at once and then done step by step."""
    claims = [await claim_next(store) for _ in range(3)]
    async with store.unit_of_work() as uow:
        await uow.session.execute(sa.text("UPDATE tasks SET created_at = '10000-01-01'"))
    for claim in claims:
        with pytest.raises(UnreadableError):
            await store.claims.complete(claim)
    [phase] = await store.phases.find_all()
    assert phase.status == "completed"


@pytest.mark.parametrize("provider", ["claude", None])
@pytest.mark.parametrize("of", ["next", "take"])
async def test_a_phase_that_is_approved_while_a_claim_waits_for_it_is_begun(
    store: Store, url: str, of: str, provider: str | None
) -> None:
    phase_id = (await claim_next(store, provider=None)).task.phase_id
    [task, *_] = await store.claims.find_ready()
    assert phase_id is not None
    place: Any = {"holder": "host-1", "worktree_id": "trees/two", "provider": provider}
    async with Store(url) as beside, beside.unit_of_work() as uow:
        await uow.phases.update(phase_id, status="approved")
        claiming = asyncio.ensure_future(
            store.claims.next(**place) if of == "next" else store.claims.take(task.id, **place)
        )
        await until_one_is_held_up(beside)
        await uow.commit()
        claim = await claiming
    assert claim is not None and claim.task.id == task.id
    phase = await store.phases.find_by_id(phase_id)
    assert phase is not None and phase.status == "in_progress"
