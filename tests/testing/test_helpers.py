"""What tests of programs on a store are helped with, on each database."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cw_store import Store, StoreBusyError, StoreError, testing
from cw_store.testing import (
    CANCELLATIONS,
    assert_unchanged,
    cancelled_at_every_await,
    killed_while,
    lost_connection,
    others_hold_the_turn,
    plan,
    queries,
)


@pytest.fixture
async def impatient(database: str) -> Store:
    """A store that waits for others a moment."""
    return Store(database, busy_timeout=0.05)


async def test_while_others_hold_the_turn_a_write_is_refused_and_a_read_is_not(
    impatient: Store,
) -> None:
    async with impatient as store:
        await plan(store)
        async with assert_unchanged(store):
            async with others_hold_the_turn(store):
                with pytest.raises(StoreBusyError):
                    await store.tasks.create(name="Later")
                assert len(await store.initiatives.find_all()) == 1
        await store.tasks.create(name="Now")
        assert store.connections_in_use == 0


async def test_what_keeps_others_from_holding_the_turn_is_raised(impatient: Store) -> None:
    async with impatient as store, store.unit_of_work() as uow:
        await uow.initiatives.create(name="mine")
        with pytest.raises(StoreBusyError):
            async with others_hold_the_turn(store):
                raise AssertionError("nobody else can have it")


async def test_a_unit_cancelled_at_every_await_is_whole_or_not_there(database: str) -> None:
    async with Store(database) as store:
        runs = completed = 0

        async def pair() -> None:
            async with store.unit_of_work() as uow:
                await uow.initiatives.create(name="one")
                await uow.initiatives.create(name="two")

        before = 0
        async for run in cancelled_at_every_await(pair):
            now = len(await store.initiatives.find_all())
            assert now - before in ((2,) if run.completed else (0, 2)), run
            assert run.completed or run.reached, run
            runs, completed, before = runs + 1, completed + (not run.reached), now
        assert completed == len(CANCELLATIONS) and runs >= 3 * len(CANCELLATIONS)


async def test_an_error_of_the_work_is_no_cancellation() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise LookupError

    with pytest.raises(LookupError):
        async for run in cancelled_at_every_await(work):
            assert run.point == 1 and run.reached


async def test_a_change_is_noticed_even_if_it_was_changed_back(database: str) -> None:
    async with Store(database) as store:
        made = await plan(store, tasks=1, edges=0)
        async with assert_unchanged(store):
            await store.tasks.find_all()
        with pytest.raises(AssertionError, match="changes: 0 rows went or changed, 2 came"):
            async with assert_unchanged(store):
                await store.tasks.delete((await store.tasks.create(name="Passing")).id)
        with pytest.raises(AssertionError, match="accounts: 1 rows went or changed, 0 came"):
            async with assert_unchanged(store):
                await store.accounts.delete(made.accounts[0].id)


async def test_a_lost_connection_fails_what_is_under_way_and_nothing_after_it(
    migrated_server: str,
) -> None:
    async with Store(migrated_server) as store:
        with pytest.raises(StoreError):
            async with store.unit_of_work() as uow:
                await uow.initiatives.create(name="lost")
                await lost_connection(store)
                await uow.initiatives.create(name="lost as well")
        assert await store.initiatives.find_all() == []


async def test_a_file_has_no_connection_to_be_lost() -> None:
    async with Store(":memory:") as store:
        with pytest.raises(ValueError, match="no server"):
            await lost_connection(store)


async def half_a_unit(here: Callable[[], None], url: str) -> None:
    async with Store(url) as store:
        await store.initiatives.create(name="whole")
        async with store.unit_of_work() as uow:
            await uow.initiatives.create(name="half")
            here()


def ends_too_soon(here: Callable[[], None]) -> None:
    pass


async def test_a_killed_process_leaves_what_it_had_committed(
    migrated_file: Path, tmp_path: Path
) -> None:
    path = shutil.copyfile(migrated_file, tmp_path / "cw.db")
    await killed_while(half_a_unit, str(path))
    async with Store(path) as store:
        assert [each.name for each in await store.initiatives.find_all()] == ["whole"]
    with pytest.raises(AssertionError, match="came to its end without having called here"):
        await killed_while(ends_too_soon)


async def test_a_plan_is_what_is_stored(database: str) -> None:
    async with Store(database) as store:
        made = await plan(store, agents=2)
        assert await store.tasks.find_by_initiative_id(made.initiative.id) == [*made.tasks]
        assert {await store.phases.find_by_id(phase.id) for phase in made.phases} == {*made.phases}
        assert [*made.agents] == await store.agents.find_by_initiative_id(made.initiative.id)
        assert [*made.accounts] == await store.accounts.find_by_provider("claude")
        assert [phase.open_dependencies for phase in made.phases] == [0, 1, 1]
        waiting = [later.id for later, _ in made.edges]
        assert [task.open_dependencies for task in made.tasks] == [
            waiting.count(task.id) for task in made.tasks
        ]
        claim = await store.claims.next(holder="test", worktree_id="/worktrees/1")
        assert claim is not None and claim.task.id == made.tasks[0].id


async def test_a_seed_makes_the_same_plan_again_and_another_seed_another() -> None:
    async with Store(":memory:") as store, store.unit_of_work() as uow:
        sizes = dict(phases=7, tasks=100, edges=50, accounts=7)
        first, again = [await plan(uow, seed=3, **sizes) for _ in range(2)]
        other = await plan(uow, seed=4, **sizes)
        assert [task.name for task in first.tasks] == [task.name for task in again.tasks]
        assert [task.name for task in first.tasks] != [task.name for task in other.tasks]
        edges = [[(a.order, b.order) for a, b in made.edges] for made in (first, again, other)]
        assert edges[0] == edges[1] != edges[2]
        assert len({*edges[0]}) == 50 and all(later > earlier for later, earlier in edges[0])
        for named in (first.phases, first.tasks):
            assert len({each.name for each in named}) == len(named)
        assert first.task(first.tasks[5].name) == first.tasks[5]
        with pytest.raises(LookupError, match="no task 'Nothing'"):
            first.task("Nothing")


@pytest.mark.parametrize(
    "numbers", [{"tasks": 3, "edges": 4}, {"phases": 0, "tasks": 1}, {"accounts": -1}]
)
async def test_a_plan_that_cannot_be_is_refused(numbers: dict[str, int]) -> None:
    async with Store(":memory:") as store:
        async with assert_unchanged(store):
            with pytest.raises(ValueError):
                await plan(store, **{"edges": 0, **numbers})


async def test_calls_are_counted_by_name_until_the_block_ends(database: str) -> None:
    async with Store(database) as store:
        with queries(store) as asked:
            made = await store.initiatives.create(name="one")
            async with store.unit_of_work() as uow:
                await uow.initiatives.find_by_id(made.id)
                await uow.tasks.find_all()
        await store.tasks.find_all()
        assert asked == ["initiatives.create", "initiatives.find_by_id", "tasks.find_all"]


def test_all_that_is_exported_is_there() -> None:
    assert {name for name in testing.__all__ if getattr(testing, name)} <= {*dir(testing)}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = testing.nothing  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType] -- so it is


def test_programs_beside_the_project_find_the_server_where_it_was() -> None:
    import postgres_server
    from cw_store.testing.postgres_server import PostgresServer

    assert postgres_server.PostgresServer is PostgresServer
