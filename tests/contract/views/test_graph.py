"""The graph: phases, tasks, who waits for whom, and what takes longest."""

import pytest

from builders import add_agent, add_initiative, add_phase, add_task
from cw_store import NotFoundError, Store
from cw_store.views import Graph, LaneCounts, TaskNode, graph


async def add_chain(store: Store, phase_id: str, *names: str) -> list[str]:
    """Add tasks of which each waits for the one before; return their ids, which are their names."""
    for name in names:
        await add_task(store, id=name, phase_id=phase_id, name=name.upper())
    for waits, before in zip(names[1:], names, strict=False):
        await store.tasks.create_dependency(waits, before)
    return list(names)


def task(found: Graph, id: str) -> TaskNode:
    (one,) = [each for each in found.tasks if each.id == id]
    return one


async def test_an_initiative_without_a_plan_has_an_empty_graph(store: Store) -> None:
    initiative = await add_initiative(store)
    found = await graph(store, initiative.id)
    assert (found.phases, found.tasks, found.critical_path) == ((), (), ())
    assert (found.initiative_name, found.counts) == ("User auth", LaneCounts())
    with pytest.raises(NotFoundError):
        await graph(store, "unknown")


async def test_phases_tasks_and_edges_are_all_there(store: Store) -> None:
    initiative = await add_initiative(store)
    first = await add_phase(store, initiative_id=initiative.id)
    later = await add_phase(store, initiative_id=initiative.id)
    await store.phases.create_dependency(later.id, first.id)
    await add_chain(store, first.id, "a", "b")
    await add_task(store, id="child", phase_id=first.id, parent_task_id="a")
    await store.tasks.update("a", status="completed")
    await add_task(store, id="c", phase_id=later.id, name="C")
    await add_task(store, id="of-other", phase_id=(await add_phase(store)).id)
    await store.tasks.create_dependency("b", "of-other")
    found = await graph(store, initiative.id, provider=None)
    assert [one.id for one in found.tasks] == ["a", "b", "child", "c"]
    assert [(one.lane, one.why) for one in found.tasks] == [
        ("done", None),
        ("waiting", "waits for Write the schema"),
        ("ready", None),
        ("waiting", "its phase waits for Groundwork"),
    ]
    assert [(one.id, one.depends_on_id, one.is_met) for one in found.task_edges] == [
        ("b", "a", True)
    ]
    assert [(one.id, one.depends_on_id, one.is_met) for one in found.phase_edges] == [
        (later.id, first.id, False)
    ]
    assert [one.counts.total for one in found.phases] == [3, 1]
    assert found.counts == LaneCounts(ready=1, waiting=2, done=1)
    assert task(found, "child").parent_task_id == "a"


async def test_what_waits_for_another_initiative_says_so_without_an_edge(store: Store) -> None:
    first = await add_phase(store, name="Elsewhere")
    phase = await add_phase(store)
    await store.phases.create_dependency(phase.id, first.id)
    await add_task(store, id="t", phase_id=phase.id)
    found = await graph(store, phase.initiative_id)
    assert task(found, "t").why == "its phase waits for Elsewhere"
    assert (found.phase_edges, found.critical_path) == ((), ("t",))


async def test_the_critical_path_is_the_longest_chain_of_what_is_not_done(store: Store) -> None:
    phase = await add_phase(store)
    await add_chain(store, phase.id, *"abcd")
    await add_chain(store, phase.id, *"xyz")
    assert (await graph(store, phase.initiative_id)).critical_path == tuple("abcd")
    for done in "ab":
        await store.tasks.update(done, status="completed")
    found = await graph(store, phase.initiative_id)
    assert found.critical_path == tuple("xyz")
    assert [one.id for one in found.tasks if one.is_critical] == list("xyz")
    assert {(one.id, one.depends_on_id) for one in found.task_edges if one.is_critical} == {
        *(("y", "x"), ("z", "y")),
    }


async def test_of_a_diamond_the_longer_side_is_critical(store: Store) -> None:
    phase = await add_phase(store)
    await add_chain(store, phase.id, "top", "left", "left-too", "bottom")
    await add_task(store, id="right", phase_id=phase.id)
    await store.tasks.create_dependency("right", "top")
    await store.tasks.create_dependency("bottom", "right")
    found = await graph(store, phase.initiative_id)
    assert found.critical_path == ("top", "left", "left-too", "bottom")
    assert {one.id: one.rank for one in found.tasks} == {
        **{"top": 0, "left": 1, "right": 1, "left-too": 2, "bottom": 3},
    }


async def test_the_critical_path_goes_through_phases_empty_ones_too(store: Store) -> None:
    initiative = await add_initiative(store)
    first, empty, last = [await add_phase(store, initiative_id=initiative.id) for _ in range(3)]
    await store.phases.create_dependency(empty.id, first.id)
    await store.phases.create_dependency(last.id, empty.id)
    await add_chain(store, first.id, "a", "b")
    await add_chain(store, last.id, "y", "z")
    await add_chain(store, last.id, "alone")
    found = await graph(store, initiative.id)
    assert found.critical_path == ("a", "b", "y", "z")
    assert [one.rank for one in found.tasks] == [0, 1, 2, 3, 2]
    assert [one.is_critical for one in found.phases] == [True, False, True]
    between = await add_phase(store, initiative_id=initiative.id)
    await store.phases.create_dependency(between.id, first.id)
    await add_chain(store, between.id, *"pqr")
    found = await graph(store, initiative.id)
    assert found.critical_path == tuple("abpqr")
    assert [(one.id, one.depends_on_id) for one in found.phase_edges if one.is_critical] == [
        (between.id, first.id)
    ]


async def test_a_circle_of_edges_and_phases_together_is_told(store: Store) -> None:
    initiative = await add_initiative(store)
    first, later = [await add_phase(store, initiative_id=initiative.id) for _ in range(2)]
    await store.phases.create_dependency(later.id, first.id)
    await add_chain(store, first.id, "free", "early")
    await add_task(store, id="late", phase_id=later.id)
    assert (await graph(store, initiative.id)).circles == ()
    await store.tasks.create_dependency("early", "late")
    found = await graph(store, initiative.id)
    (circle,) = found.circles
    assert circle[0] == circle[-1] and {"early", "late"} <= set(circle)
    assert found.critical_path == ("free",)
    assert task(found, "early").rank > task(found, "free").rank
    await store.tasks.update("late", status="completed")
    assert (await graph(store, initiative.id)).critical_path == ("free", "early")


async def test_a_node_names_the_agent_at_the_task(store: Store) -> None:
    one = await add_task(store, phase_id=(await add_phase(store)).id)
    taken = await store.claims.take(one.id, holder="h", worktree_id="w", provider=None)
    await add_agent(store)
    found = await graph(store, str(taken.task.initiative_id))
    assert task(found, one.id).agent_name == taken.agent.name
