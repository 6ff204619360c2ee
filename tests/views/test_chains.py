"""Chains: in which column a task is drawn, and the longest chain of what is not done."""

from itertools import pairwise
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from cw_store.views.chains import chains_of


class Plan(NamedTuple):
    """Tasks in phases, with edges that go from a later one to an earlier one."""

    phase_of: dict[str, str | None]
    task_edges: list[tuple[str, str]]
    phase_edges: list[tuple[str, str]]
    open_tasks: set[str]

    def waits_for(self, task: str) -> set[str]:
        """Return the tasks that one waits for directly, or because its phase waits."""
        phases = self._phases_before(self.phase_of[task])
        return {other for one, other in self.task_edges if one == task} | {
            other for other, phase in self.phase_of.items() if phase in phases
        }

    def _phases_before(self, phase: str | None) -> set[str | None]:
        found = {other for one, other in self.phase_edges if one == phase}
        for each in list(found):
            found |= {one for one in self._phases_before(each) if one is not None}
        return set(found)

    def longest(self, task: str) -> int:
        """Return how many open tasks are in the longest chain that ends with an open one."""
        before = [other for other in self.waits_for(task) if other in self.open_tasks]
        return 1 + max(map(self.longest, before), default=0)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Make plans without a circle: phases in a row, tasks in the order of their phases."""
    phases = [None, *map(str, range(draw(st.integers(0, 3))))]
    places = sorted(draw(st.lists(st.integers(0, len(phases) - 1), max_size=9)))
    phase_of = {f"t{n}": phases[place] for n, place in enumerate(places)}
    tasks = list(phase_of)
    later = st.tuples(st.integers(0, 8), st.integers(0, 8))
    pairs = draw(st.lists(later, max_size=12, unique=True))
    task_edges = [(tasks[a], tasks[b]) for a, b in pairs if b < a < len(tasks)]
    phase_pairs = draw(st.lists(later, max_size=4, unique=True))
    phase_edges = [(str(a), str(b)) for a, b in phase_pairs if b < a < len(phases) - 1]
    return Plan(
        phase_of, task_edges, phase_edges, draw(st.sets(st.sampled_from(tasks))) if tasks else set()
    )


@given(plans())
def test_the_critical_path_is_a_chain_of_open_tasks_and_none_is_longer(plan: Plan) -> None:
    found = chains_of(*plan)
    assert found.circles == []
    path = found.critical_path
    assert set(path) <= plan.open_tasks
    assert len(path) == max(map(plan.longest, plan.open_tasks), default=0)
    for first, then in pairwise(path):
        assert first in plan.waits_for(then)


@given(plans())
def test_a_task_is_drawn_behind_all_that_it_waits_for_and_no_further(plan: Plan) -> None:
    ranks = chains_of(*plan).ranks
    assert ranks.keys() == plan.phase_of.keys()
    for task, rank in ranks.items():
        before = [ranks[other] for other in plan.waits_for(task)]
        assert rank == (max(before) + 1 if before else 0)
