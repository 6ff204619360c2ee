"""Where everything of a graph stands: lanes, boxes in them, and lines that pass behind no box."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import pytest
from drawn_plans import a_graph, a_task, any_graph

from cw_store import views
from cw_store.live.drawings.graph import graph_svg
from cw_store.live.layout import Layout, Plan, Point, Sizes, layout_of

SIZES = Sizes(box_width=180, box_height=42)

Box = tuple[float, float, float, float]


def plan_of(graph: views.Graph) -> Plan:
    return Plan(
        tuple(phase.id for phase in graph.phases),
        frozenset(),
        tuple((task.id, task.phase_id) for task in graph.tasks),
        tuple((edge.depends_on_id, edge.id) for edge in graph.task_edges),
        tuple((edge.depends_on_id, edge.id) for edge in graph.phase_edges),
    )


def boxes_of(layout: Layout) -> list[Box]:
    """Return left, top, right and bottom of each box."""
    width, height = SIZES.box_width, SIZES.box_height
    return [(x, y, x + width, y + height) for x, y in layout.boxes.values()]


def spans_of(layout: Layout) -> Iterable[tuple[Point, Point]]:
    """Give the straight parts of all lines, and of curves what they stay within."""
    for ways in (layout.bent, layout.square, layout.rails):
        for points in ways.values():
            yield from pairwise(points)


def passes_through(box: Box, one: Point, two: Point) -> bool:
    left, top, right, bottom = box
    beside = max(one.x, two.x) <= left or min(one.x, two.x) >= right
    return not beside and max(one.y, two.y) > top and min(one.y, two.y) < bottom


@pytest.mark.parametrize(("size", "phases"), [(24, 3), (40, 5), (150, 7)])
def test_no_line_passes_behind_a_box(size: int, phases: int) -> None:
    graph = any_graph(size, phases)
    layout = layout_of(plan_of(graph), SIZES, 5)
    boxes = boxes_of(layout)
    assert len(layout.bent) + len(layout.square) == len(graph.task_edges)
    assert layout.square and layout.bent
    for one, two in spans_of(layout):
        assert not [box for box in boxes if passes_through(box, one, two)]


def test_boxes_are_apart_and_within_their_lanes() -> None:
    graph = any_graph(60, 4)
    layout = layout_of(plan_of(graph), SIZES, 5)
    lanes = {lane.id: lane for lane in layout.lanes}
    for task in graph.tasks:
        x, y = layout.boxes[task.id]
        lane = lanes[task.phase_id]
        assert layout.left < x < x + SIZES.box_width < layout.width
        assert lane.top < y < y + SIZES.box_height <= lane.top + lane.height
    boxes = boxes_of(layout)
    for at, one in enumerate(boxes):
        for two in boxes[at + 1 :]:
            assert one[2] <= two[0] or two[2] <= one[0] or one[3] <= two[1] or two[3] <= one[1]


def test_lanes_are_one_below_the_other_and_reach_from_the_top_to_the_bottom() -> None:
    lanes = layout_of(plan_of(any_graph(40, 5)), SIZES, 5).lanes
    assert [lane.id for lane in lanes] == ["p0", "p1", "p2", "p3", "p4"]
    for one, two in pairwise(lanes):
        assert two.top == one.top + one.height + SIZES.between


def test_every_line_begins_at_what_is_waited_for_and_ends_at_who_waits() -> None:
    layout = layout_of(plan_of(any_graph(40, 5)), SIZES, 5)
    for (begin, end), points in (layout.bent | layout.square).items():
        first, last = layout.boxes[begin], layout.boxes[end]
        assert points[0] == (first.x + SIZES.box_width, first.y + SIZES.box_height / 2)
        assert points[-1] == (last.x, last.y + SIZES.box_height / 2)


def test_lines_between_phases_run_beside_the_lanes_and_share_no_track_at_the_same_height() -> None:
    layout = layout_of(plan_of(any_graph(60, 9, seed=4)), SIZES, 5)
    assert len(layout.rails) == 8
    runs: dict[float, list[tuple[str, float, float]]] = {}
    for (begin, _), (_, turn, back, last) in layout.rails.items():
        assert 0 < turn.x < layout.left == last.x
        low, high = sorted((turn.y, back.y))
        runs.setdefault(turn.x, []).append((begin, low, high))
    for found in runs.values():
        for begin, low, high in found:
            assert not [one for one, *at in found if one != begin and low < at[0] < high]


def test_phases_that_wait_for_each_other_in_a_circle_are_drawn_all_the_same() -> None:
    graph = a_graph([a_task(0, "p0"), a_task(1, "p1")], [], ["p0", "p1"], [])
    circle = tuple(
        views.Edge(id=one, depends_on_id=two, is_met=False, is_critical=False)
        for one, two in (("p0", "p1"), ("p1", "p0"))
    )
    assert graph_svg(replace(graph, phase_edges=circle)).count("data-task=") == 2


def test_a_phase_stands_below_all_that_it_waits_for() -> None:
    graph = a_graph([], [], ["p0", "p1", "p2"], [("p0", "p2"), ("p1", "p0")])
    svg = graph_svg(graph)
    assert svg.index("Phase p2") < svg.index("Phase p0") < svg.index("Phase p1")


def test_a_change_of_state_lays_out_nothing_anew_and_moves_no_box() -> None:
    graph = any_graph(30, 3, seed=77)
    graph_svg(graph)
    before = layout_of.cache_info()
    later = replace(graph, tasks=tuple(replace(task, lane="done") for task in graph.tasks))
    graph_svg(later)
    after = layout_of.cache_info()
    assert (after.misses, after.hits) == (before.misses, before.hits + 1)
