"""Which phase waits for which, and which task for which: the same rules for both."""

import asyncio
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from builders import Repos, add_initiative, add_phase, add_task
from cw_store import (
    AlreadyExistsError,
    BrokenReferenceError,
    DependencyCycleError,
    InvalidValueError,
    NotFoundError,
    PhaseRepository,
    Store,
    TaskRepository,
)


@dataclass(frozen=True)
class Kind:
    """Phases, or tasks."""

    nodes: str
    edges: str
    node_column: str
    target_column: str

    def of(self, repos: Repos) -> PhaseRepository | TaskRepository:
        return repos.phases if self.nodes == "phases" else repos.tasks

    async def add(self, repos: Repos, *ids: str, initiative_id: str | None = None) -> list[Any]:
        if initiative_id is None:
            initiative_id = (await add_initiative(repos)).id
        add = add_phase if self.nodes == "phases" else add_task
        return [await add(repos, id=id, initiative_id=initiative_id) for id in ids]

    def pair(self, edge: Any) -> tuple[str, str]:
        return getattr(edge, self.node_column), getattr(edge, self.target_column)


PHASES = Kind("phases", "phase_dependencies", "phase_id", "depends_on_phase_id")
TASKS = Kind("tasks", "task_dependencies", "task_id", "depends_on_task_id")


@pytest.fixture(params=[PHASES, TASKS], ids=lambda kind: kind.nodes)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


async def add_edges(store: Store, kind: Kind, *edges: str) -> None:
    """Add edges written like `a>b`: a waits for b."""
    async with store.unit_of_work() as uow:
        for edge in edges:
            await kind.of(uow).create_dependency(*edge.split(">"))


async def test_a_dependency_shows_from_both_ends(store: Store, kind: Kind) -> None:
    async with store.unit_of_work() as uow:
        a, b = await kind.add(uow, "a", "b")
        edge = await kind.of(uow).create_dependency("a", "b")
        assert kind.pair(edge) == ("a", "b")
        assert await kind.of(uow).get_dependencies("a") == [b]
        a = await kind.of(uow).find_by_id("a")
        assert await kind.of(uow).get_dependents("b") == [a]
        assert await kind.of(uow).get_dependencies("b") == []
        assert await kind.of(uow).get_dependents("a") == []
    assert await kind.of(store).get_dependencies("a") == [b]


async def test_only_direct_dependencies_are_listed_oldest_first(store: Store, kind: Kind) -> None:
    async with store.unit_of_work() as uow:
        await kind.add(uow, "z", "a", "m", "top", "far")
    await add_edges(store, kind, "top>m", "top>z", "top>a", "z>far", "a>far", "m>far")
    find = kind.of(store).find_by_id
    z, a, m, top, far = [await find(id) for id in ("z", "a", "m", "top", "far")]
    assert await kind.of(store).get_dependencies("top") == [z, a, m]
    assert await kind.of(store).get_dependents("far") == [z, a, m]
    assert await kind.of(store).get_dependents("z") == [top]
    assert await kind.of(store).get_dependencies("z") == [far]


async def test_an_unknown_row_waits_for_nothing(store: Store, kind: Kind) -> None:
    assert await kind.of(store).get_dependencies("unknown") == []
    assert await kind.of(store).get_dependents("unknown") == []
    assert await kind.of(store).find_dependencies_by_initiative_id("unknown") == []


async def test_the_edges_of_an_initiative_are_those_that_start_in_it(
    store: Store, kind: Kind
) -> None:
    async with store.unit_of_work() as uow:
        here, there = await add_initiative(uow), await add_initiative(uow)
        await kind.add(uow, "b", "B", "a", "c", initiative_id=here.id)
        await kind.add(uow, "x", "y", initiative_id=there.id)
    await add_edges(store, kind, "b>a", "b>B", "a>c", "B>c", "x>y", "a>x", "y>c")
    found = await kind.of(store).find_dependencies_by_initiative_id(here.id)
    assert [kind.pair(edge) for edge in found] == [
        ("B", "c"),
        ("a", "c"),
        ("a", "x"),
        ("b", "B"),
        ("b", "a"),
    ]
    found = await kind.of(store).find_dependencies_by_initiative_id(there.id)
    assert [kind.pair(edge) for edge in found] == [("x", "y"), ("y", "c")]


async def test_a_dependency_is_deleted(store: Store, kind: Kind) -> None:
    await kind.add(store, "a", "b", "c")
    await add_edges(store, kind, "a>b", "a>c")
    async with store.unit_of_work() as uow:
        assert await kind.of(uow).delete_dependency("a", "b") is None
        assert [row.id for row in await kind.of(uow).get_dependencies("a")] == ["c"]
        with pytest.raises(NotFoundError) as caught:
            await kind.of(uow).delete_dependency("a", "b")
        assert caught.value.table == kind.edges
        assert "a" in caught.value.id
        with pytest.raises(NotFoundError):
            await kind.of(uow).delete_dependency("c", "a")
        with pytest.raises(NotFoundError):
            await kind.of(uow).delete_dependency("unknown", "a")
        # The way back is open now.
        await kind.of(uow).create_dependency("b", "a")


async def test_the_same_dependency_is_not_added_twice(store: Store, kind: Kind) -> None:
    await kind.add(store, "a", "b")
    await add_edges(store, kind, "a>b")
    with pytest.raises(AlreadyExistsError) as caught:
        async with store.unit_of_work() as uow:
            await kind.of(uow).create_dependency("a", "b")
    assert caught.value.table == kind.edges
    assert caught.value.columns == (kind.node_column, kind.target_column)
    with pytest.raises(AlreadyExistsError):
        await kind.of(store).create_dependency("a", "b")
    assert len(await kind.of(store).get_dependencies("a")) == 1


async def test_a_dependency_on_nothing_is_refused(store: Store, kind: Kind) -> None:
    await kind.add(store, "a")
    for edge, column in (
        (("a", "unknown"), kind.target_column),
        (("unknown", "a"), kind.node_column),
    ):
        with pytest.raises(BrokenReferenceError) as caught:
            async with store.unit_of_work() as uow:
                await kind.of(uow).create_dependency(*edge)
        assert (caught.value.table, caught.value.columns) == (kind.edges, (column,))
        with pytest.raises(BrokenReferenceError):
            await kind.of(store).create_dependency(*edge)
    assert await kind.of(store).get_dependencies("a") == []
    assert await kind.of(store).get_dependents("a") == []


@pytest.mark.parametrize(
    ("edges", "closing", "length"),
    [
        ([], "a>a", 1),
        (["a>b"], "b>a", 2),
        (["a>b", "b>c"], "c>a", 3),
        (["a>b", "b>c", "c>d", "d>e"], "e>a", 5),
        (["a>b", "b>c", "a>d", "d>c", "c>e"], "e>a", 4),
    ],
    ids=["itself", "two", "three", "five", "diamond"],
)
async def test_an_edge_that_would_close_a_cycle_is_refused(
    store: Store, kind: Kind, edges: list[str], closing: str, length: int
) -> None:
    await kind.add(store, *"abcde")
    await add_edges(store, kind, *edges)
    start, end = closing.split(">")
    async with store.unit_of_work() as uow:
        with pytest.raises(DependencyCycleError) as caught:
            await kind.of(uow).create_dependency(start, end)
        # It is refused before it reaches the database, so the unit of work goes on.
        assert [row.id for row in await kind.of(uow).get_dependencies(start)] == [
            edge[2] for edge in edges if edge[0] == start
        ]
    assert uow.committed is True
    error = caught.value
    assert isinstance(error, InvalidValueError)
    assert error.table == kind.edges
    assert error.column in (kind.node_column, kind.target_column)
    path = list(error.path)
    assert path[0] == path[-1]
    assert len(path) == length + 1
    assert len(set(path)) == length
    steps = {f"{step}>{following}" for step, following in pairwise(path)}
    assert closing in steps
    assert steps <= {*edges, closing}
    for id in set(path):
        assert id in str(error)


async def test_a_cycle_through_many_rows_is_found(store: Store, kind: Kind) -> None:
    ids = [f"n{number:03}" for number in range(150)]
    async with store.unit_of_work() as uow:
        await kind.add(uow, *ids)
        for start, end in pairwise(ids):
            await kind.of(uow).create_dependency(start, end)
        with pytest.raises(DependencyCycleError) as caught:
            await kind.of(uow).create_dependency(ids[-1], ids[0])
        assert len(caught.value.path) == 151
        await kind.of(uow).create_dependency(ids[0], ids[-1])


async def test_many_ways_between_two_rows_are_not_walked_one_by_one(
    store: Store, kind: Kind
) -> None:
    # 25 diamonds in a row: 2**25 paths from the first row to the last.
    async with store.unit_of_work() as uow:
        ids = [f"{letter}{number}" for number in range(26) for letter in "tlr"]
        await kind.add(uow, *ids)
        for n in range(25):
            for edge in ((f"t{n}", f"l{n}"), (f"t{n}", f"r{n}")):
                await kind.of(uow).create_dependency(*edge)
            for edge in ((f"l{n}", f"t{n + 1}"), (f"r{n}", f"t{n + 1}")):
                await kind.of(uow).create_dependency(*edge)
        with pytest.raises(DependencyCycleError) as caught:
            await kind.of(uow).create_dependency("t25", "t0")
        assert len(caught.value.path) == 52


async def test_rows_may_wait_for_the_same_one_without_a_cycle(store: Store, kind: Kind) -> None:
    await kind.add(store, *"abcd")
    await add_edges(store, kind, "a>b", "a>c", "b>d", "c>d", "a>d")
    assert [row.id for row in await kind.of(store).get_dependents("d")] == ["a", "b", "c"]


async def test_dependencies_may_cross_initiatives_but_not_in_a_cycle(
    store: Store, kind: Kind
) -> None:
    await kind.add(store, "a")
    await kind.add(store, "b")
    await add_edges(store, kind, "a>b")
    with pytest.raises(DependencyCycleError):
        await kind.of(store).create_dependency("b", "a")


async def test_a_deleted_row_takes_its_edges_in_both_directions_along(
    store: Store, kind: Kind
) -> None:
    await kind.add(store, *"abc")
    await add_edges(store, kind, "a>b", "b>c")
    await kind.of(store).delete("b")
    assert await kind.of(store).get_dependencies("a") == []
    assert await kind.of(store).get_dependents("c") == []
    # No trace of the old way is left.
    await kind.of(store).create_dependency("c", "a")


async def test_a_deleted_initiative_takes_the_edges_of_its_rows_along(
    store: Store, kind: Kind
) -> None:
    [a] = await kind.add(store, "a")
    await kind.add(store, "b")
    await add_edges(store, kind, "b>a")
    await store.initiatives.delete(a.initiative_id)
    assert await kind.of(store).get_dependencies("b") == []


async def test_of_two_halves_of_a_cycle_added_at_once_one_is_refused(
    store: Store, kind: Kind
) -> None:
    await kind.add(store, "a", "b")

    async def add(id: str, depends_on_id: str) -> object:
        async with store.unit_of_work() as uow:
            return await kind.of(uow).create_dependency(id, depends_on_id)

    for _ in range(5):
        outcomes = await asyncio.gather(add("a", "b"), add("b", "a"), return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert [type(error) for error in refused] == [DependencyCycleError]
        [kept] = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        await kind.of(store).delete_dependency(*kind.pair(kept))


async def test_of_the_parts_of_a_longer_cycle_added_at_once_one_is_refused(
    store: Store, kind: Kind
) -> None:
    await kind.add(store, *"abcdef")

    async def add(id: str, depends_on_id: str) -> object:
        async with store.unit_of_work() as uow:
            await kind.of(uow).get_dependencies(id)
            return await kind.of(uow).create_dependency(id, depends_on_id)

    outcomes = await asyncio.gather(
        *(add(edge[0], edge[1]) for edge in ("ab", "bc", "cd", "de", "ef", "fa")),
        return_exceptions=True,
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert [type(error) for error in refused] == [DependencyCycleError]


async def test_the_same_dependency_added_at_once_is_added_once(store: Store, kind: Kind) -> None:
    await kind.add(store, "a", "b")
    outcomes = await asyncio.gather(
        *(kind.of(store).create_dependency("a", "b") for _ in range(4)), return_exceptions=True
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert [type(error) for error in refused] == [AlreadyExistsError] * 3
