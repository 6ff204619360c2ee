"""Whoever waits is woken by what they wait for, whoever commits it, and by nothing else."""

import asyncio
import gc
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- asyncpg has none
import pytest
from sqlalchemy import text

from builders import (
    add_account,
    add_agent,
    add_chat_session,
    add_conversation,
    add_initiative,
    add_log_chunk,
    add_message,
    add_phase,
    add_project,
    add_task,
    unique,
)
from claims import claimed
from cw_store import (
    Claim,
    Conversation,
    InvalidValueError,
    NotFoundError,
    OutcomeUnknownError,
    Store,
    StoreClosedError,
    Task,
    UnitOfWork,
)
from cw_store.calls import StoreCalls
from cw_store.testing import SteppableClock
from steppable_loop import SteppableLoop
from unreadable import spoil
from waits import until, until_idle

T = TypeVar("T")

SOON = 20.0
"""Seconds within which all comes that is to come."""


class Failure(Exception):
    """What a query raises."""


class Waits:
    """Tasks that wait, which the test need not end."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[Any]] = []

    def begin(self, wait: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(wait)
        self._tasks.append(task)
        return task

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.fixture
async def waits() -> AsyncIterator[Waits]:
    waits = Waits()
    yield waits
    await waits.end()


class Asked:
    """A query that counts how often it is asked, and waits for what never comes."""

    def __init__(self, *reads: Callable[[UnitOfWork], Awaitable[object]]) -> None:
        self.count = 0
        self._reads = reads

    async def __call__(self, uow: UnitOfWork) -> object:
        self.count += 1
        for read in self._reads:
            await read(uow)
        return None


def ready(uow: UnitOfWork) -> Awaitable[list[Task]]:
    return uow.claims.find_ready(provider=None)


async def soon(wait: Awaitable[T]) -> T:
    async with asyncio.timeout(SOON):
        return await wait


async def settled(store: Store, count: Callable[[], int]) -> int:
    """Return how often something was asked, when whoever asks sleeps again."""
    while True:
        before = count()
        for _ in range(3):
            await told(store)
        if count() == before:
            return before


async def told(store: Store, by: Store | None = None) -> None:
    """Return when those who wait in a store have been told of all that was committed until now."""
    content = unique("probe")

    async def is_there(uow: UnitOfWork) -> bool:
        return any(message.content == content for message in await uow.messages.find_all())

    async with asyncio.timeout(SOON):
        waiting = asyncio.create_task(store.wait_for(is_there))
        await until_idle()
        await add_message(by or store, content=content)
        await waiting
    await until_idle()


async def asleep(store: Store) -> None:
    """Return when those who wait have been answered that there is nothing yet."""
    for _ in range(5):
        await until_idle()
        await until(lambda: store.connections_in_use == 0)


async def taken(stream: AsyncIterator[T], number: int) -> list[T]:
    async with asyncio.timeout(SOON):
        return [await anext(stream) for _ in range(number)]


async def by_another_program(url: str, statement: str) -> None:
    """Run SQL that knows nothing of the store."""
    if url.startswith("postgres"):
        connection = await cast(Any, asyncpg).connect(url)
        await connection.execute(statement)
        await connection.close()
        return
    with sqlite3.connect(url) as raw:
        raw.execute(statement)
    raw.close()


@pytest.fixture
async def other(lasting_database: str, clock: SteppableClock) -> AsyncIterator[Store]:
    """Another store on the same database."""
    async with Store(lasting_database, clock=clock) as other:
        yield other


# Any question.


async def test_what_is_true_already_is_returned_at_once(store: Store) -> None:
    initiative = await add_initiative(store)
    assert await store.wait_for(lambda uow: uow.initiatives.find_by_id(initiative.id)) == initiative


async def test_one_waits_until_what_is_asked_for_is_true(store: Store, waits: Waits) -> None:
    waiting = waits.begin(store.wait_for(lambda uow: uow.initiatives.find_by_id("i")))
    await told(store)
    assert not waiting.done()
    created = await add_initiative(store, id="i")
    assert await soon(waiting) == created


async def test_one_waits_for_what_a_unit_or_a_session_commits(store: Store, waits: Waits) -> None:
    for number in range(4):
        task = await add_task(store)

        async def is_renamed(uow: UnitOfWork, id: str = task.id) -> bool:
            found = await uow.tasks.find_by_id(id)
            return found is not None and found.name == "renamed"

        waiting = waits.begin(store.wait_for(is_renamed))
        if number % 2:
            await told(store)
        async with store.unit_of_work() as uow:
            if number < 2:
                await uow.tasks.update(task.id, name="renamed")
            else:
                statement = text("UPDATE tasks SET name = 'renamed' WHERE id = :id")
                await uow.session.execute(statement, {"id": task.id})
            await until_idle()
            assert not waiting.done(), "it is not committed"
        assert await soon(waiting) is True


async def test_one_waits_for_what_another_store_commits(
    store: Store, other: Store, waits: Waits
) -> None:
    for id in ("at once", "when all are asleep"):
        waiting = waits.begin(store.wait_for(lambda uow, id=id: uow.initiatives.find_by_id(id)))
        if id != "at once":
            await told(store, other)
        created = await add_initiative(other, id=id)
        assert await soon(waiting) == created


async def test_one_waits_for_what_another_program_commits(
    lasting_database: str, store: Store, waits: Waits
) -> None:
    task = await add_task(store)

    async def is_renamed(uow: UnitOfWork) -> bool:
        found = await uow.tasks.find_by_id(task.id)
        return found is not None and found.name == "renamed"

    waiting = waits.begin(store.wait_for(is_renamed))
    await told(store)
    statement = f"UPDATE tasks SET name = 'renamed' WHERE id = '{task.id}'"
    await by_another_program(lasting_database, statement)
    assert await soon(waiting) is True


async def test_what_fails_reaches_its_waiter_and_nobody_else(store: Store, waits: Waits) -> None:
    async def fails(uow: UnitOfWork) -> bool:
        if await uow.initiatives.find_all():
            raise Failure
        return False

    def finds(uow: UnitOfWork) -> Awaitable[object]:
        return uow.initiatives.find_by_id("i")

    failing, another = waits.begin(store.wait_for(fails)), waits.begin(store.wait_for(finds))
    await told(store)
    await add_initiative(store)
    with pytest.raises(Failure):
        await soon(failing)
    assert not another.done()
    await add_initiative(store, id="i")
    assert await soon(another)


async def test_a_query_writes_nothing(store: Store) -> None:
    with pytest.raises(Exception, match="read"):
        await store.wait_for(lambda uow: uow.initiatives.create(name="written"))
    assert await store.initiatives.find_all() == []


async def test_what_is_no_function_is_refused(store: Store) -> None:
    wrong: Any = store.initiatives.find_by_id("i")
    with pytest.raises(TypeError, match="takes the function"):
        await store.wait_for(wrong)
    wrong.close()


async def test_a_query_is_asked_again_only_when_tables_change_that_it_reads(
    store: Store, waits: Waits
) -> None:
    asked = Asked(lambda uow: uow.initiatives.find_all(), lambda uow: uow.accounts.find_all())
    waits.begin(store.wait_for(asked))
    before = await settled(store, lambda: asked.count)
    for add in (add_task, add_agent, add_log_chunk, add_project):
        await add(store)
    assert await settled(store, lambda: asked.count) == before
    await add_initiative(store)
    assert await settled(store, lambda: asked.count) == before + 1
    await add_account(store)
    assert await settled(store, lambda: asked.count) == before + 2


async def test_what_a_query_reads_is_looked_at_anew_whenever_it_is_asked(
    store: Store, waits: Waits
) -> None:
    async def by_way_of_the_other_table(uow: UnitOfWork) -> object:
        if await uow.initiatives.find_all():
            return await uow.accounts.find_all()
        return None

    waiting = waits.begin(store.wait_for(by_way_of_the_other_table))
    await told(store)
    await add_initiative(store)
    await told(store)
    account = await add_account(store)
    assert await soon(waiting) == [account]


@pytest.mark.parametrize("first", [True, False])
async def test_what_is_committed_while_a_query_is_asked_is_not_missed(
    store: Store, waits: Waits, first: bool
) -> None:
    """Whatever the query has read before of other tables, and whoever has looked meanwhile."""
    is_asked, may_go_on = asyncio.Event(), asyncio.Event()

    async def slowly(uow: UnitOfWork) -> object:
        found = await uow.initiatives.find_all()
        if first or found:
            accounts = await uow.accounts.find_all()
            is_asked.set()
            await may_go_on.wait()
            return accounts
        return None

    await told(store)  # nobody is woken any more since the looks begin
    waiting = waits.begin(store.wait_for(slowly))
    if not first:
        await told(store)
        await add_initiative(store)
    await soon(is_asked.wait())
    account = await add_account(store)
    await told(store)
    may_go_on.set()
    assert await soon(waiting) == [account]


async def test_one_whose_reads_nobody_can_know_is_asked_after_every_commit(
    store: Store, waits: Waits
) -> None:
    with_session = Asked(
        lambda uow: uow.session.execute(text("SELECT 1")), lambda uow: uow.tasks.find_all()
    )
    of_nothing = Asked()
    of_edges = Asked(lambda uow: uow.tasks.get_dependencies("t"))
    every = (with_session, of_nothing, of_edges)
    for asked in every:
        waits.begin(store.wait_for(asked))
    await told(store)
    for add in (add_initiative, add_project, add_chat_session):
        before = [asked.count for asked in every]
        await add(store)
        await until(lambda before=before: all(map(int.__lt__, before, (a.count for a in every))))


async def _edge(store: Store) -> Callable[[UnitOfWork], Awaitable[object]]:
    await add_task(store, id="first")
    await add_task(store, id="then")
    return lambda uow: uow.tasks.get_dependencies("then")


async def _add_edge(store: Store) -> None:
    await store.tasks.create_dependency("then", "first")


async def _project(store: Store) -> Callable[[UnitOfWork], Awaitable[object]]:
    return lambda uow: uow.projects.find_all()


async def _session(store: Store) -> Callable[[UnitOfWork], Awaitable[object]]:
    await add_initiative(store, id="i")
    return lambda uow: uow.chat_sessions.find_by_target("phase", "p1")


async def _add_session(store: Store) -> None:
    await add_chat_session(store, initiative_id="i")


@pytest.mark.parametrize("is_own", [True, False], ids=["own", "of another store"])
@pytest.mark.parametrize(
    ("begin", "add"),
    [(_edge, _add_edge), (_project, add_project), (_session, _add_session)],
    ids=["edges", "projects", "chat sessions"],
)
async def test_one_waits_for_what_the_feed_does_not_tell_of(
    store: Store,
    other: Store,
    waits: Waits,
    begin: Callable[[Store], Awaitable[Callable[[UnitOfWork], Awaitable[object]]]],
    add: Callable[[Store], Awaitable[object]],
    is_own: bool,
) -> None:
    waiting = waits.begin(store.wait_for(await begin(store)))
    await told(store, other)
    assert not waiting.done()
    await add(store if is_own else other)
    assert await soon(waiting)


async def test_a_renewal_a_rotation_and_a_log_chunk_wake_nobody(store: Store, waits: Waits) -> None:
    claim = await claimed(store)
    await add_account(store)
    asked = Asked(
        lambda uow: uow.agents.find_all(),
        lambda uow: uow.accounts.find_all(),
        lambda uow: uow.tasks.find_all(),
    )
    waits.begin(store.wait_for(asked))
    before = await settled(store, lambda: asked.count)
    assert await store.claims.renew([claim])
    assert await store.accounts.find_next_available("claude")
    await add_log_chunk(store)
    assert await settled(store, lambda: asked.count) == before


async def test_nothing_is_held_while_one_waits(store: Store, waits: Waits) -> None:
    waits.begin(store.wait_for(Asked(lambda uow: uow.session.execute(text("SELECT 1")))))
    waits.begin(store.wait_for_account())
    waits.begin(store.wait_for_claim(holder="h", worktree_id="w", provider="claude"))
    await told(store)
    await until(lambda: store.connections_in_use == 0)
    async with asyncio.timeout(SOON), store.unit_of_work() as uow:
        await add_initiative(uow)


async def test_a_limit_of_time_is_the_callers(store: Store) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await store.wait_for(Asked())
    assert await store.wait_for(lambda _: asyncio.sleep(0, "still there")) == "still there"


# Time.


@pytest.mark.parametrize("what", ["not_before", "exhausted_until", "lease"])
async def test_what_time_alone_changes_is_waited_for_by_the_stores_clock(
    store: Store, waits: Waits, clock: SteppableClock, what: str
) -> None:
    later = clock.after(60)
    if what == "not_before":
        await add_task(store, id="t", not_before=later)
        waiting = waits.begin(
            store.wait_for_claim(holder="h", worktree_id="w", provider=None),
        )
    elif what == "lease":
        await claimed(store, lease=timedelta(seconds=60))
        waiting = waits.begin(
            store.wait_for_claim(holder="h", worktree_id="w", provider=None),
        )
    else:
        account = await add_account(store)
        await store.accounts.mark_exhausted(account.id, later)
        waiting = waits.begin(store.wait_for_account())
    await told(store)
    clock.advance(59)
    await told(store)
    assert not waiting.done()
    clock.advance(2)
    assert await soon(waiting)


async def test_a_time_that_cannot_be_read_ends_no_wait(store: Store, waits: Waits) -> None:
    paused, resting = await add_task(store), await add_account(store)
    await store.accounts.mark_exhausted(resting.id)
    await spoil(store, "tasks", "not_before", paused.id)
    await spoil(store, "accounts", "exhausted_until", resting.id)
    claiming = waits.begin(store.wait_for_claim(holder="h", worktree_id="w", provider=None))
    resting_over = waits.begin(store.wait_for_account())
    await told(store)
    assert not claiming.done() and not resting_over.done()
    task = await add_task(store)
    await store.accounts.mark_available(resting.id)
    assert (await soon(claiming)).task.id == task.id
    assert (await soon(resting_over)).id == resting.id


async def test_a_query_on_what_is_ready_is_asked_again_when_that_has_come(
    store: Store, waits: Waits, clock: SteppableClock
) -> None:
    task = await add_task(store, not_before=clock.after(60))
    waiting = waits.begin(store.wait_for(ready))
    await told(store)
    assert not waiting.done()
    clock.advance(61)
    assert [found.id for found in await soon(waiting)] == [task.id]


async def test_a_query_is_not_asked_while_the_time_it_waits_for_has_not_come(
    store: Store, waits: Waits, clock: SteppableClock, steppable_loop: SteppableLoop
) -> None:
    await add_task(store, not_before=clock.after(60))
    asked = Asked(ready)
    waits.begin(store.wait_for(asked))
    before = await settled(store, lambda: asked.count)
    for _ in range(10):
        steppable_loop.advance(0.06)
        await until_idle()
    assert asked.count == before
    clock.advance(61)
    steppable_loop.advance(0.06)
    await until(lambda: asked.count > before)


async def test_what_time_changes_between_an_answer_and_the_next_look_at_the_time_is_not_missed(
    store: Store, waits: Waits, clock: SteppableClock
) -> None:
    await add_task(store, not_before=clock.after(60))
    await told(store)  # nobody is woken any more since the looks begin

    async def just_before(uow: UnitOfWork) -> object:
        found = await ready(uow)
        clock.advance(61)
        return found

    assert await soon(waits.begin(store.wait_for(just_before)))


async def test_times_that_are_over_and_times_that_are_far_wake_nobody(
    store: Store, waits: Waits, clock: SteppableClock
) -> None:
    await add_task(store, status="blocked", not_before=clock.after(-60))
    await add_task(store, status="blocked", not_before=clock.after(1e6))
    asked = Asked(ready)
    waits.begin(store.wait_for(asked))
    await told(store)
    assert asked.count <= 4


@pytest.fixture
async def by_the_system(database: str) -> AsyncIterator[Store]:
    """A store with the system's clock."""
    async with Store(database) as store:
        yield store


@pytest.mark.parametrize("what", ["not_before", "exhausted_until", "lease"])
async def test_what_time_alone_changes_is_waited_for_by_the_systems_clock(
    by_the_system: Store, waits: Waits, what: str
) -> None:
    store = by_the_system
    for seconds in (0.0, 0.001, 0.005, 0.2):
        later = datetime.now(UTC) + timedelta(seconds=seconds)
        if what == "not_before":
            await add_task(store, not_before=later)
        elif what == "lease":
            await claimed(store, lease=timedelta(seconds=seconds, microseconds=1))
        else:
            account = await add_account(store)
            await store.accounts.mark_exhausted(account.id, later)
            await soon(store.wait_for_account())
            await store.accounts.delete(account.id)
            continue
        claim = await soon(store.wait_for_claim(holder="h", worktree_id="w", provider=None))
        await store.claims.complete(claim)


# Work and accounts.


def waiting_worker(store: Store, number: int) -> Coroutine[Any, Any, Claim]:
    return store.wait_for_claim(holder=f"h/{number}", worktree_id="w", provider=None)


async def test_a_task_that_is_ready_is_claimed_at_once(store: Store) -> None:
    task = await add_task(store)
    claim = await store.wait_for_claim(holder="h", worktree_id="w", provider=None)
    assert claim.task.id == task.id


async def test_one_waits_for_work(store: Store, other: Store, waits: Waits) -> None:
    for who in (store, other):
        waiting = waits.begin(waiting_worker(store, 0))
        await told(store, other)
        assert not waiting.done()
        task = await add_task(who)
        assert (await soon(waiting)).task.id == task.id


async def test_a_task_whose_prerequisite_is_completed_is_claimed_by_who_waits(
    store: Store, waits: Waits
) -> None:
    claim = await claimed(store)
    task = await add_task(store)
    await store.tasks.create_dependency(task.id, claim.task.id)
    waiting = waits.begin(waiting_worker(store, 0))
    await told(store)
    assert not waiting.done()
    await store.claims.complete(claim)
    assert (await soon(waiting)).task.id == task.id


async def test_of_those_who_wait_for_work_one_is_woken_for_one_task(
    store: Store, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0
    claims = store.claims
    following = claims.next

    async def counted(**options: Any) -> Claim | None:
        nonlocal count
        count += 1
        return await following(**options)

    monkeypatch.setattr(type(claims), "next", staticmethod(counted))
    workers = [waits.begin(waiting_worker(store, number)) for number in range(50)]
    await told(store)
    await until_idle()
    for number in range(3):
        before = count
        await add_task(store, id=f"t{number}")
        claim = await soon(workers[number])
        await told(store)
        assert claim.task.id == f"t{number}"
        assert [worker.done() for worker in workers].count(True) == number + 1
        assert count - before <= 5, "the one that claims, and the next in the row"


async def test_those_who_wait_for_work_get_it_in_the_order_in_which_they_came(
    store: Store, waits: Waits
) -> None:
    came: list[int] = []

    async def work(number: int) -> None:
        await waiting_worker(store, number)
        came.append(number)

    workers = [waits.begin(work(number)) for number in range(8)]
    await told(store)
    async with store.unit_of_work() as uow:
        for _ in workers:
            await add_task(uow)
    await soon(asyncio.gather(*workers))
    assert came == [*range(8)]


async def test_who_waits_for_other_work_is_not_in_the_way(store: Store, waits: Waits) -> None:
    await add_initiative(store, id="i", status="active")
    for_another = waits.begin(
        store.wait_for_claim(holder="h", worktree_id="w", provider=None, initiative_id="i")
    )
    await told(store)
    for_any = waits.begin(waiting_worker(store, 1))
    task = await add_task(store)
    assert (await soon(for_any)).task.id == task.id
    assert not for_another.done()


async def test_what_next_refuses_is_raised(store: Store) -> None:
    with pytest.raises(InvalidValueError):
        await soon(
            store.wait_for_claim(holder="h", worktree_id="w", provider=None, lease=timedelta(0))
        )


async def test_one_waits_for_an_account(store: Store, other: Store, waits: Waits) -> None:
    waiting = waits.begin(store.wait_for_account())
    await add_account(store, provider="another")
    await told(store, other)
    assert not waiting.done()
    account = await add_account(other)
    assert (await soon(waiting)).id == account.id
    assert (await soon(store.wait_for_account())).id == account.id


async def test_who_gives_up_leaves_their_turn_to_the_next(store: Store, waits: Waits) -> None:
    workers = [waits.begin(waiting_worker(store, number)) for number in range(4)]
    await told(store)
    for gone in (workers[0], workers[2]):
        gone.cancel()
    await until_idle()
    for number in (1, 3):
        await add_task(store)
        await soon(workers[number])


@pytest.mark.parametrize("steps", range(0, 150, 10))
async def test_a_wait_that_is_cancelled_leaves_no_claim_of_which_nobody_knows(
    store: Store, steps: int
) -> None:
    await add_task(store)
    waiting = asyncio.create_task(waiting_worker(store, 1))
    for _ in range(steps):
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    known = [] if waiting.cancelled() else [waiting.result().task.id]
    assert [claim.task.id for claim in await store.claims.find_live()] == known


# Questions and answers.


async def test_what_is_pending_comes_first_and_then_what_is_asked(
    store: Store, other: Store, waits: Waits
) -> None:
    agent = await add_agent(store)
    there = [await add_conversation(store, to_agent_id=agent.id) for _ in range(3)]
    questions = store.listen(agent.id)
    assert await taken(questions, 3) == there
    for who in (store, other, store):
        listening = waits.begin(taken(questions, 1))
        await told(store, other)
        await add_conversation(who)
        asked = await add_conversation(who, to_agent_id=agent.id)
        assert await listening == [asked]
    await questions.aclose()


async def test_a_question_that_is_answered_before_its_turn_is_left_out(store: Store) -> None:
    agent = await add_agent(store)
    there = [await add_conversation(store, to_agent_id=agent.id) for _ in range(3)]
    questions = store.listen(agent.id)
    assert await taken(questions, 1) == there[:1]
    await store.conversations.answer(there[1].id, "80")
    assert await taken(questions, 1) == there[2:]
    await questions.aclose()


async def test_of_a_thousand_who_listen_only_the_one_who_is_asked_is_woken(
    store: Store, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with store.unit_of_work() as uow:
        agents = [await add_agent(uow) for _ in range(1_000)]
    looked: list[str] = []
    find = store.conversations.find_pending_for_agent

    async def counted(agent_id: str) -> list[Conversation]:
        looked.append(agent_id)
        return await find(agent_id)

    monkeypatch.setattr(type(store.conversations), "find_pending_for_agent", staticmethod(counted))
    heard: list[Conversation] = []

    async def listen(agent_id: str) -> None:
        async for question in store.listen(agent_id):
            heard.append(question)

    for agent in agents:
        waits.begin(listen(agent.id))
    await until(lambda: len({*looked}) == len(agents))
    await settled(store, lambda: len(looked))
    looked.clear()
    asked = await add_conversation(store, from_agent_id=agents[0].id, to_agent_id=agents[7].id)
    await until(lambda: bool(heard))
    await told(store)
    assert heard == [asked]
    assert {*looked} == {agents[7].id}


async def test_a_thousand_who_listen_ask_hardly_anything_while_nothing_happens(
    store: Store, waits: Waits, steppable_loop: SteppableLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    run = StoreCalls.run

    def counted(
        self: StoreCalls, operation: Any, statement: Any, parameters: Any
    ) -> Awaitable[Any]:
        asked.append(statement)
        return run(self, operation, statement, parameters)

    monkeypatch.setattr(StoreCalls, "run", counted)
    async with store.unit_of_work() as uow:
        agents = [await add_agent(uow) for _ in range(1_000)]

    async def listen(agent_id: str) -> None:
        async for _ in store.listen(agent_id):
            pass

    for agent in agents:
        waits.begin(listen(agent.id))
    await until(lambda: len(asked) >= len(agents))
    for _ in range(3):
        await told(store)
    await asleep(store)
    asked.clear()
    for _ in range(20):
        steppable_loop.advance(0.5)
        await asleep(store)
    assert len(asked) <= 10, "or it is more than one in a second"


async def test_one_waits_for_an_answer(store: Store, other: Store, waits: Waits) -> None:
    for who in (store, other):
        question = await add_conversation(store)
        waiting = waits.begin(store.wait_for_answer(question.id))
        await told(store, other)
        assert not waiting.done()
        answered = await who.conversations.answer(question.id, "80")
        assert await soon(waiting) == answered
        assert await store.wait_for_answer(question.id) == answered


async def test_an_answer_to_no_question_is_waited_for_by_nobody(store: Store, waits: Waits) -> None:
    with pytest.raises(NotFoundError):
        await store.wait_for_answer("none")
    question = await add_conversation(store)
    waiting = waits.begin(store.wait_for_answer(question.id))
    await told(store)
    await store.conversations.delete(question.id)
    with pytest.raises(NotFoundError):
        await soon(waiting)


# What is followed.


async def test_a_log_is_followed_from_what_is_there(store: Store, other: Store) -> None:
    there = [await add_log_chunk(store, content=f"{number}") for number in range(600)]
    chunks = store.follow_log("a1")
    assert await taken(chunks, 600) == there
    for who in (store, other, other, store):
        await add_log_chunk(who, agent_id="another")
        added = await add_log_chunk(who)
        assert await taken(chunks, 1) == [added]
    await chunks.aclose()


async def test_a_log_is_followed_by_session_and_from_the_last_chunk_seen(store: Store) -> None:
    await add_log_chunk(store, session_number=1)
    seen = await add_log_chunk(store, session_number=2)
    await add_log_chunk(store, session_number=1)
    behind = await add_log_chunk(store, session_number=2)
    chunks = store.follow_log("a1", session_number=2, after=seen.id)
    assert await taken(chunks, 1) == [behind]
    await chunks.aclose()


async def test_a_log_whose_last_chunk_is_deleted_goes_on_with_all_that_is_there(
    store: Store,
) -> None:
    first, last = await add_log_chunk(store), await add_log_chunk(store)
    chunks = store.follow_log("a1")
    assert await taken(chunks, 2) == [first, last]
    await store.log_chunks.delete(last.id)
    added = await add_log_chunk(store)
    assert await taken(chunks, 2) == [first, added]
    await chunks.aclose()


async def test_who_follows_a_log_is_woken_when_others_wait_already(
    store: Store, other: Store, waits: Waits
) -> None:
    waits.begin(store.wait_for(Asked(lambda uow: uow.initiatives.find_all())))
    await told(store, other)
    chunks = store.follow_log("a1")
    following = waits.begin(taken(chunks, 1))
    await asleep(store)
    async with asyncio.timeout(2):
        added = await add_log_chunk(other)
        assert await following == [added]
    await chunks.aclose()


async def test_a_quiet_log_is_not_read_again_and_again(
    store: Store, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0
    find = store.log_chunks.find_by_agent_id

    async def counted(*args: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        return await find(*args, **options)

    monkeypatch.setattr(type(store.log_chunks), "find_by_agent_id", staticmethod(counted))
    chunks = store.follow_log("a1")
    waits.begin(taken(chunks, 1))
    await told(store)
    before = count
    for _ in range(5):
        await add_log_chunk(store, agent_id="another")
        await told(store)
    loop = asyncio.get_running_loop()
    end = loop.time() + 0.3
    await until(lambda: loop.time() > end)
    assert count - before <= 2  # the first look at a log wakes in vain, maybe


async def test_changes_are_followed_from_the_beginning_and_on(store: Store, other: Store) -> None:
    initiative = await add_initiative(store)
    changes = store.follow_changes()
    assert [change.entity_id for change in await taken(changes, 1)] == [initiative.id]
    for who in (store, other):
        task = await add_task(who)
        assert [change.entity_id for change in await taken(changes, 1)] == [task.id]


async def test_changes_are_followed_from_a_cursor_and_those_alone_that_are_asked_for(
    store: Store,
) -> None:
    await add_initiative(store)
    start = await store.changes.position()
    changes = store.follow_changes(start, entities=["tasks"], initiative_id="i")
    assert changes.cursor == start
    await add_initiative(store, id="i")
    await add_task(store)
    task = await add_task(store, initiative_id="i")
    [change] = await taken(changes, 1)
    assert (change.entity, change.entity_id, change.action) == ("tasks", task.id, "create")


async def test_one_who_goes_on_from_a_followers_cursor_misses_nothing(store: Store) -> None:
    for _ in range(5):
        await add_initiative(store)
    changes = store.follow_changes()
    seen = await taken(changes, 3)
    assert (await store.changes.read(changes.cursor)).changes[:3] == seen
    seen += await taken(changes, 2)
    added = await add_initiative(store)
    assert (await taken(changes, 1))[0].entity_id == added.id
    page = await store.changes.read(changes.cursor)
    assert [change.entity_id for change in page.changes] == [added.id]


async def test_several_tasks_that_follow_together_get_each_change_once(
    store: Store, waits: Waits
) -> None:
    changes = store.follow_changes()
    followers = [waits.begin(taken(changes, 1)) for _ in range(5)]
    await told(store)
    for number in range(10):
        await add_initiative(store, id=f"i{number}")
    got = [change.entity_id for [change] in await soon(asyncio.gather(*followers))]
    assert len({*got}) == 5


@pytest.mark.parametrize("wrong", ["", "nonsense", "1/2/3"])
async def test_what_is_no_cursor_is_refused_at_once(store: Store, wrong: str) -> None:
    with pytest.raises(InvalidValueError):
        store.follow_changes(wrong)


# Who waits no more.


async def gave_up(waiting: list[asyncio.Task[object]]) -> None:
    await until_idle()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_ten_thousand_who_gave_up_leave_nothing(store: Store) -> None:
    agent = await add_agent(store)

    def all_waits() -> list[Coroutine[Any, Any, object]]:
        return [
            store.wait_for(Asked(lambda uow: uow.initiatives.find_all())),
            store.wait_for_answer(question.id),
            waiting_worker(store, 0),
            store.wait_for_account(),
            taken(store.listen(agent.id), 1),
            taken(store.follow_log("a1"), 1),
            taken(store.follow_changes(), 100),
        ]

    question = await add_conversation(store, to_agent_id=(await add_agent(store)).id)

    async def give_up(number: int) -> None:
        for wait in all_waits():
            task = asyncio.create_task(wait)
            for _ in range(number % 7):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async with asyncio.timeout(SOON):
        for number in range(20):
            await give_up(number)
    await gave_up([asyncio.create_task(store.wait_for(Asked())) for _ in range(10_000)])
    assert "for 0 waiters" in repr(store._watch)  # pyright: ignore[reportPrivateUsage]
    await until(lambda: len(asyncio.all_tasks()) == 1)
    gc.collect()
    left = [type(one).__name__ for one in gc.get_objects() if type(one).__name__ == "Waiter"]
    assert left == []


async def test_nothing_runs_a_while_after_nobody_waits_any_more(
    store: Store, steppable_loop: SteppableLoop
) -> None:
    await told(store)
    steppable_loop.advance(1.5)
    await until(lambda: len(asyncio.all_tasks()) == 1)
    await told(store)


async def test_one_who_waits_after_all_tasks_were_cancelled_is_woken(
    store: Store, other: Store, waits: Waits
) -> None:
    asked = Asked(lambda uow: uow.initiatives.find_all())
    waits.begin(store.wait_for(asked))
    await told(store)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await until_idle()
    waiting = waits.begin(store.wait_for(lambda uow: uow.initiatives.find_by_id("i")))
    await asleep(store)
    await add_initiative(other, id="i")
    assert await soon(waiting)


@pytest.mark.parametrize("rounds", [0, 1, 2, 3, 5, 8, 1_000])
async def test_closing_ends_all_who_wait(database: str, rounds: int) -> None:
    store = await Store.open(database)
    agent = await add_agent(store)
    question = await add_conversation(store)
    ends = [
        asyncio.create_task(wait)
        for wait in (
            store.wait_for(Asked()),
            store.wait_for(Asked(lambda uow: uow.initiatives.find_all())),
            store.wait_for(Asked(ready)),
            store.wait_for_answer(question.id),
            *(waiting_worker(store, number) for number in range(5)),
            *(store.wait_for_account() for _ in range(5)),
            taken(store.listen(agent.id), 1),
            taken(store.follow_log("a1"), 1),
            taken(store.follow_changes(), 100),
        )
    ]
    for _ in range(rounds):
        await asyncio.sleep(0)
    await store.close()
    async with asyncio.timeout(SOON):
        found = await asyncio.gather(*ends, return_exceptions=True)
    # A claim may have been under way, of which nobody knows then.
    assert {type(one) for one in found} - {OutcomeUnknownError} == {StoreClosedError}, found
    with pytest.raises(StoreClosedError):
        await store.wait_for(Asked())
    await until(lambda: len(asyncio.all_tasks()) == 1)


async def test_a_claim_can_be_waited_for_where_a_phase_is_not_yet_ready(
    store: Store, waits: Waits
) -> None:
    phase = await add_phase(store, status="approved")
    await store.initiatives.update(phase.initiative_id, status="active")
    before = await store.phases.create(
        initiative_id=phase.initiative_id, name="before", status="in_progress"
    )
    await store.phases.create_dependency(phase.id, before.id)
    task = await add_task(store, phase_id=phase.id, initiative_id=phase.initiative_id)
    waiting = waits.begin(waiting_worker(store, 0))
    await told(store)
    assert not waiting.done()
    await store.phases.update(before.id, status="completed")
    assert (await soon(waiting)).task.id == task.id
