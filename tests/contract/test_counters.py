"""How much a task or a phase still waits for, and what is left of a claim that was cut off.

Whoever makes a change, what it means for others follows: a repository, a cascade, SQL of one's own.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import IntegrityError

from builders import Repos, add_account, add_agent, add_initiative, add_phase, add_task
from cw_store import (
    Agent,
    PhaseRepository,
    Store,
    StoreError,
    Task,
    TaskRepository,
    UnitOfWork,
)
from cw_store.schema import agents, metadata, tasks


@dataclass(frozen=True)
class Kind:
    """Phases, or tasks."""

    rows: str
    edges: str
    dependent: str
    dependency: str

    def of(self, repos: Repos) -> PhaseRepository | TaskRepository:
        return repos.phases if self.rows == "phases" else repos.tasks

    async def add(self, repos: Repos, *ids: str) -> None:
        initiative_id = (await add_initiative(repos)).id
        add = add_phase if self.rows == "phases" else add_task
        for id in ids:
            await add(repos, id=id, initiative_id=initiative_id)

    async def set_status(self, repos: Repos, id: str, status: Any) -> None:
        await self.of(repos).update(id, status=status)

    async def numbers(self, repos: Repos) -> dict[str, int]:
        """Return the number of each row."""
        return {row.id: row.open_dependencies for row in await self.of(repos).find_all()}


PHASES = Kind("phases", "phase_dependencies", "phase_id", "depends_on_phase_id")
TASKS = Kind("tasks", "task_dependencies", "task_id", "depends_on_task_id")


@pytest.fixture(params=[PHASES, TASKS], ids=lambda kind: kind.rows)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


async def execute(repos: Store | UnitOfWork, sql: str, **values: Any) -> None:
    """Run SQL of the application's own."""
    if isinstance(repos, UnitOfWork):
        await repos.session.execute(text(sql), values)
        return
    async with repos.unit_of_work() as uow:
        await uow.session.execute(text(sql), values)


async def recount(uow: UnitOfWork, kind: Kind) -> dict[str, tuple[int, int]]:
    """Return what each row has that is counted, and what the edges say."""
    rows, edges = metadata.tables[kind.rows], metadata.tables[kind.edges]
    other = rows.alias()
    counted = (
        select(func.count())
        .select_from(edges.join(other, other.c.id == edges.c[kind.dependency]))
        .where(edges.c[kind.dependent] == rows.c.id, other.c.status != "completed")
        .scalar_subquery()
    )
    query = select(rows.c.id, rows.c.open_dependencies, counted).where(rows.c.status != "completed")
    if kind is TASKS:
        query = query.where(rows.c.claimed_by_agent_id.is_(None))
    return {id: (has, is_so) for id, has, is_so in (await uow.session.execute(query)).all()}


async def all_is_counted(store: Store) -> None:
    async with store.unit_of_work(read_only=True) as uow:
        for kind in (PHASES, TASKS):
            numbers = await recount(uow, kind)
            assert {id: both for id, both in numbers.items() if both[0] != both[1]} == {}


async def claim(store: Store, task_id: str, **values: Any) -> tuple[Task, Agent]:
    """Give a task to a new agent, as a claim does."""
    agent = await add_agent(store, task_id=task_id, status="running", **values)
    async with store.unit_of_work() as uow:
        await uow.session.execute(
            update(tasks)
            .where(tasks.c.id == task_id)
            .values(status="in_progress", claimed_by_agent_id=agent.id, epoch=tasks.c.epoch + 1)
        )
        await uow.session.execute(
            update(agents)
            .where(agents.c.id == agent.id)
            .values(holder="host/1", lease_expires_at=agents.c.updated_at, epoch=1)
        )
    task, claimant = await store.tasks.find_by_id(task_id), await store.agents.find_by_id(agent.id)
    assert task and claimant
    assert task.claimed_by_agent_id == claimant.id and claimant.lease_expires_at is not None
    return task, claimant


# What is counted.


async def test_what_waits_for_nothing_has_nothing_open(store: Store, kind: Kind) -> None:
    await kind.add(store, "a")
    assert await kind.numbers(store) == {"a": 0}


async def test_every_direct_prerequisite_that_is_not_completed_is_counted(
    store: Store, kind: Kind
) -> None:
    await kind.add(store, "a", "b", "c", "d")
    await kind.set_status(store, "b", "completed")
    for other in ("a", "b", "c"):
        await kind.of(store).create_dependency("d", other)
    await kind.of(store).create_dependency("c", "a")
    assert await kind.numbers(store) == {"a": 0, "b": 0, "c": 1, "d": 2}


@pytest.mark.parametrize("status", ["pending", "in_progress", "blocked"])
async def test_a_status_that_is_not_completed_is_as_good_as_another(
    store: Store, kind: Kind, status: str
) -> None:
    await kind.add(store, "a", "b")
    await kind.of(store).create_dependency("b", "a")
    await kind.set_status(store, "a", status)
    assert await kind.numbers(store) == {"a": 0, "b": 1}
    await kind.set_status(store, "a", "completed")
    assert await kind.numbers(store) == {"a": 0, "b": 0}
    await kind.set_status(store, "a", status)
    assert await kind.numbers(store) == {"a": 0, "b": 1}


async def test_edges_that_come_and_go_are_counted(store: Store, kind: Kind) -> None:
    await kind.add(store, "a", "b", "c")
    await kind.of(store).set_dependencies("c", ["a", "b"])
    assert (await kind.numbers(store))["c"] == 2
    await kind.of(store).set_dependencies("c", ["b"])
    assert (await kind.numbers(store))["c"] == 1
    await kind.of(store).delete_dependency("c", "b")
    assert (await kind.numbers(store))["c"] == 0


async def test_a_row_that_is_opened_again_has_what_changed_meanwhile(
    store: Store, kind: Kind
) -> None:
    await kind.add(store, "a", "b", "c")
    await kind.of(store).create_dependency("c", "a")
    await kind.set_status(store, "a", "completed")
    await kind.set_status(store, "c", "completed")
    await kind.set_status(store, "a", "pending")
    await kind.of(store).create_dependency("c", "b")
    await kind.set_status(store, "c", "pending")
    assert (await kind.numbers(store))["c"] == 2


async def test_a_prerequisite_that_is_deleted_is_waited_for_no_longer(
    store: Store, kind: Kind
) -> None:
    await kind.add(store, "a", "b", "c")
    await kind.of(store).set_dependencies("c", ["a", "b"])
    await kind.of(store).delete("a")
    assert await kind.numbers(store) == {"b": 0, "c": 1}


async def test_a_cascade_is_counted(store: Store) -> None:
    phase = await add_phase(store)
    await add_task(store, id="a", phase_id=phase.id)
    await add_task(store, id="below", parent_task_id="a")
    for id in ("b", "c"):
        await add_task(store, id=id)
    await store.tasks.set_dependencies("c", ["a", "b", "below"])
    await store.tasks.set_dependencies("b", ["below"])
    await store.tasks.set_dependencies("a", ["below"])
    await store.initiatives.delete(phase.initiative_id)
    assert await TASKS.numbers(store) == {"b": 0, "c": 1}


async def test_sql_of_the_application_is_counted(store: Store, kind: Kind) -> None:
    await kind.add(store, "a", "b", "c", "d")
    insert = f"INSERT INTO {kind.edges} VALUES "
    await execute(store, f"{insert} ('c', 'a'), ('c', 'b'), ('d', 'a'), ('d', 'c')")
    assert await kind.numbers(store) == {"a": 0, "b": 0, "c": 2, "d": 2}
    await execute(store, f"UPDATE {kind.rows} SET status = 'completed' WHERE id IN ('a', 'b')")
    assert await kind.numbers(store) == {"a": 0, "b": 0, "c": 0, "d": 1}
    await execute(store, f"UPDATE {kind.rows} SET status = 'pending'")
    assert await kind.numbers(store) == {"a": 0, "b": 0, "c": 2, "d": 2}
    moved = f"UPDATE {kind.edges} SET {kind.dependent} = 'b' WHERE {kind.dependent} = 'd' "
    await execute(store, f"{moved} AND {kind.dependency} = 'a'")
    assert await kind.numbers(store) == {"a": 0, "b": 1, "c": 2, "d": 1}
    await execute(store, f"DELETE FROM {kind.edges} WHERE {kind.dependency} = 'a'")
    assert await kind.numbers(store) == {"a": 0, "b": 0, "c": 1, "d": 1}


async def test_what_was_undone_is_not_counted(store: Store, kind: Kind) -> None:
    await kind.add(store, "a", "b")
    await kind.of(store).create_dependency("b", "a")
    async with store.unit_of_work() as uow:
        with pytest.raises(ValueError, match="undo"):
            async with uow.savepoint():
                await kind.set_status(uow, "a", "completed")
                assert (await kind.numbers(uow))["b"] == 0
                raise ValueError("undo")
        assert (await kind.numbers(uow))["b"] == 1
    assert (await kind.numbers(store))["b"] == 1


async def test_what_is_only_counted_is_not_stamped(store: Store, kind: Kind) -> None:
    await kind.add(store, "a", "b")
    before = await kind.of(store).find_by_id("b")
    await kind.of(store).create_dependency("b", "a")
    await kind.set_status(store, "a", "completed")
    await kind.set_status(store, "a", "pending")
    after = await kind.of(store).find_by_id("b")
    assert before and after and after.open_dependencies == 1
    assert after.updated_at == before.updated_at


async def test_a_number_that_is_wrong_is_put_right_by_the_next_change(
    store: Store, kind: Kind
) -> None:
    await kind.add(store, "a", "b", "c")
    await kind.of(store).set_dependencies("c", ["a", "b"])
    await execute(store, f"UPDATE {kind.rows} SET open_dependencies = 7")
    await kind.set_status(store, "a", "completed")
    assert (await kind.numbers(store))["c"] == 1


# Claimed tasks.


async def test_a_claimed_task_is_counted_when_its_claim_ends(store: Store) -> None:
    await TASKS.add(store, "a", "b", "c")
    await store.tasks.create_dependency("b", "a")
    await store.tasks.update("a", status="completed")
    task, _ = await claim(store, "b")
    await store.tasks.update("a", status="pending")
    await store.tasks.create_dependency("b", "c")
    held = await store.tasks.find_by_id("b")
    assert held == task, "who has a task is not disturbed"
    end = "UPDATE tasks SET claimed_by_agent_id = NULL, status = 'pending' WHERE id = 'b'"
    await execute(store, end)
    assert (await TASKS.numbers(store))["b"] == 2


async def test_a_claimed_task_that_is_completed_is_counted_when_it_is_opened_again(
    store: Store,
) -> None:
    await TASKS.add(store, "a", "b", "c")
    await store.tasks.create_dependency("c", "b")
    await claim(store, "b")
    await store.tasks.create_dependency("b", "a")
    end = "UPDATE tasks SET claimed_by_agent_id = NULL, status = 'completed' WHERE id = 'b'"
    await execute(store, end)
    assert await TASKS.numbers(store) == {"a": 0, "b": 0, "c": 0}
    await store.tasks.update("b", status="pending")
    assert await TASKS.numbers(store) == {"a": 0, "b": 1, "c": 1}


async def test_only_a_task_in_progress_can_be_claimed(store: Store) -> None:
    await add_task(store, id="a")
    await add_agent(store, id="agent")
    with pytest.raises(IntegrityError, match="ck_tasks_claimed"):
        await execute(store, "UPDATE tasks SET claimed_by_agent_id = 'agent'")
    await claim(store, "a")
    with pytest.raises(StoreError):
        await store.tasks.update("a", status="completed")


# What ends a claim from outside.

Ending = Callable[[Store, Task, Agent], Awaitable[Any]]


async def delete_task(store: Store, task: Task, agent: Agent) -> None:
    await store.tasks.delete(task.id)


async def delete_parent(store: Store, task: Task, agent: Agent) -> None:
    assert task.parent_task_id
    await store.tasks.delete(task.parent_task_id)


async def delete_phase(store: Store, task: Task, agent: Agent) -> None:
    assert task.phase_id
    await store.phases.delete(task.phase_id)


async def delete_initiative(store: Store, task: Task, agent: Agent) -> None:
    assert task.initiative_id
    await store.initiatives.delete(task.initiative_id)


async def delete_task_by_sql(store: Store, task: Task, agent: Agent) -> None:
    await execute(store, "DELETE FROM tasks WHERE id = :id", id=task.id)


@pytest.mark.parametrize(
    "ending", [delete_task, delete_parent, delete_phase, delete_initiative, delete_task_by_sql]
)
async def test_a_task_that_is_deleted_ends_the_lease_of_its_agent(
    store: Store, ending: Ending
) -> None:
    phase = await add_phase(store)
    await add_task(store, id="parent", phase_id=phase.id)
    await add_task(store, id="a", phase_id=phase.id, parent_task_id="parent")
    await add_task(store, id="waits")
    await store.tasks.create_dependency("waits", "a")
    task, agent = await claim(store, "a", initiative_id=phase.initiative_id)
    await ending(store, task, agent)
    left = await store.agents.find_by_id(agent.id)
    assert left and left.updated_at > agent.updated_at
    assert (left.status, left.lease_expires_at, left.task_id) == ("crashed", None, None)
    assert (left.holder, left.epoch) == (agent.holder, agent.epoch)
    assert (await TASKS.numbers(store))["waits"] == 0


async def delete_agent(store: Store, task: Task, agent: Agent) -> None:
    await execute(store, "DELETE FROM agents WHERE id = :id", id=agent.id)


async def let_go(store: Store, task: Task, agent: Agent) -> None:
    await execute(store, "UPDATE tasks SET claimed_by_agent_id = NULL WHERE id = :id", id=task.id)


@pytest.mark.parametrize("ending", [delete_agent, let_go])
async def test_a_task_that_lost_its_agent_is_to_be_had_again(store: Store, ending: Ending) -> None:
    await TASKS.add(store, "open", "a")
    task, agent = await claim(store, "a")
    await store.tasks.create_dependency("a", "open")
    await ending(store, task, agent)
    left = await store.tasks.find_by_id("a")
    assert left and left.updated_at > task.updated_at
    assert (left.status, left.claimed_by_agent_id) == ("pending", None)
    assert (left.epoch, left.open_dependencies) == (task.epoch + 1, 1)
    former = await store.agents.find_by_id(agent.id)
    assert former is None or (former.status, former.lease_expires_at) == ("crashed", None)


async def test_a_claim_that_ends_as_it_should_is_left_as_it_is(store: Store) -> None:
    await add_task(store, id="a")
    task, agent = await claim(store, "a")
    async with store.unit_of_work() as uow:
        end = "UPDATE tasks SET claimed_by_agent_id = NULL, status = 'completed' WHERE id = 'a'"
        await execute(uow, end)
        await execute(uow, "UPDATE agents SET lease_expires_at = NULL, status = 'stopped'")
    left, former = await store.tasks.find_by_id("a"), await store.agents.find_by_id(agent.id)
    assert left and former
    assert (left.status, left.epoch, left.updated_at) == ("completed", task.epoch, task.updated_at)
    assert (former.status, former.updated_at) == ("stopped", agent.updated_at)


async def test_a_task_that_is_taken_under_a_new_epoch_is_left_to_who_took_it(store: Store) -> None:
    await add_task(store, id="a")
    task, agent = await claim(store, "a")
    await execute(store, "UPDATE tasks SET claimed_by_agent_id = NULL, epoch = epoch + 1")
    left = await store.tasks.find_by_id("a")
    assert left and (left.status, left.epoch) == ("in_progress", task.epoch + 1)
    assert await store.agents.find_by_id(agent.id) == agent


async def test_an_account_that_is_deleted_leaves_the_claim_as_it_is(store: Store) -> None:
    account = await add_account(store)
    await add_task(store, id="a")
    task, agent = await claim(store, "a", account_id=account.id)
    await store.accounts.delete(account.id)
    assert await store.tasks.find_by_id("a") == task
    left = await store.agents.find_by_id(agent.id)
    assert left and left.account_id is None and left.lease_expires_at is not None


# Anything at all.

IDS = ("a", "b", "c", "d", "e")
STEPS = st.one_of(
    st.tuples(st.just("status"), st.sampled_from(IDS), st.sampled_from(("pending", "completed"))),
    st.tuples(st.just("edge"), st.sampled_from(IDS), st.sampled_from(IDS)),
    st.tuples(st.just("no edge"), st.sampled_from(IDS), st.sampled_from(IDS)),
    st.tuples(
        st.sampled_from(("claim", "let go", "end", "complete", "delete")), st.sampled_from(IDS)
    ),
)


async def take_step(store: Store, kind: Kind, step: tuple[str, ...]) -> None:
    end = "UPDATE tasks SET claimed_by_agent_id = NULL, status = :status WHERE id = :id"
    match step:
        case "status", id, status:
            await kind.set_status(store, id, status)
        case "edge", id, other:
            await kind.of(store).create_dependency(id, other)
        case "no edge", id, other:
            await kind.of(store).delete_dependency(id, other)
        case "delete", id:
            await kind.of(store).delete(id)
        case "claim", id:
            task = await store.tasks.find_by_id(id)
            if task and task.status == "pending":
                await claim(store, id)
        case "let go", id:
            task = await store.tasks.find_by_id(id)
            if task and task.claimed_by_agent_id:
                await execute(
                    store, "DELETE FROM agents WHERE id = :id", id=task.claimed_by_agent_id
                )
        case ("end" | "complete") as how, id:
            status = "pending" if how == "end" else "completed"
            await execute(store, f"{end} AND claimed_by_agent_id IS NOT NULL", id=id, status=status)
        case _:
            raise AssertionError(step)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(STEPS, max_size=30))
async def test_whatever_happens_the_numbers_are_right(
    store: Store, kind: Kind, steps: list[tuple[str, ...]]
) -> None:
    for table in ("tasks", "phases", "agents"):
        await execute(store, f"DELETE FROM {table}")
    await kind.add(store, *IDS)
    if kind is PHASES:
        steps = [step for step in steps if step[0] in ("status", "edge", "no edge", "delete")]
    for step in steps:
        try:
            await take_step(store, kind, step)
        except StoreError:
            continue  # a circle, an edge that is there, a row that is gone, a claimed task
        finally:
            await all_is_counted(store)
