"""Tasks in columns: whoever waits stands right of what it waits for, and nobody on anybody."""

import random
from itertools import pairwise

import pytest

from cw_store.live.layers import LINE, Arrangement, Pair, arranged

ROUNDING = 1e-6


def any_edges(count: int, seed: int) -> list[Pair]:
    chance = random.Random(seed)
    edges = {
        (max(0, node - chance.randint(1, 9)), node)
        for node in range(1, count)
        for _ in range(chance.choice((0, 1, 1, 2)))
    }
    return sorted(edges)


def in_columns(found: Arrangement) -> dict[int, list[tuple[float, float]]]:
    """Return for each column the middles of what is in it, and how high that is."""
    columns: dict[int, list[tuple[float, float]]] = {}
    for spot in found.spots.values():
        columns.setdefault(spot.column, []).append((spot.row, 1.0))
    for way in found.ways.values():
        for spot in way:
            columns.setdefault(spot.column, []).append((spot.row, LINE))
    return columns


@pytest.mark.parametrize("seed", range(12))
def test_whoever_waits_stands_right_of_what_it_waits_for(seed: int) -> None:
    edges = any_edges(40, seed)
    found = arranged(40, edges, 5)
    for begin, end in edges:
        first, last = found.spots[begin].column, found.spots[end].column
        way = [spot.column for spot in found.ways.get((begin, end), ())]
        assert first < last < found.columns
        assert way == [*range(first + 1, last)] or (not way and last - first > 1)


@pytest.mark.parametrize("seed", range(12))
def test_nothing_stands_on_anything_nor_on_the_way_of_a_line(seed: int) -> None:
    found = arranged(60, any_edges(60, seed), 6)
    assert set(found.spots) == set(range(60))
    for column in in_columns(found).values():
        for (row, size), (below, other) in pairwise(sorted(column)):
            assert below - row >= (size + other) / 2 - ROUNDING
    for column in in_columns(found).values():
        assert all(row + size / 2 <= found.height + ROUNDING for row, size in column)
        assert all(row - size / 2 >= -ROUNDING for row, size in column)


def test_tasks_that_wait_for_nobody_fill_the_columns_first() -> None:
    found = arranged(7, [], 3)
    assert (found.columns, found.height) == (3, 3)
    assert [found.spots[at].column for at in range(7)] == [0, 1, 2, 0, 1, 2, 0]
    assert arranged(2, [], 5).columns == 2


def test_what_is_alone_stands_where_a_group_leaves_room() -> None:
    found = arranged(5, [(0, 2), (1, 2)], 2)
    assert found.height == 3
    assert {found.spots[at].column for at in (3, 4)} == {0, 1}


def test_a_chain_is_a_straight_line() -> None:
    found = arranged(4, [(0, 1), (1, 2), (2, 3)], 2)
    assert [found.spots[at] for at in range(4)] == [(0, 0.5), (1, 0.5), (2, 0.5), (3, 0.5)]


def test_a_far_edge_that_follows_from_others_has_no_way_and_changes_nothing() -> None:
    chain = [(at, at + 1) for at in range(7)]
    found = arranged(8, [*chain, (0, 7), (0, 2)], 2)
    assert found.height < 2
    assert (0, 7) not in found.ways and (0, 2) in found.ways
    far = arranged(3, [(0, 1), (0, 2)], 2)
    assert set(far.ways) == {(0, 1), (0, 2)}


@pytest.mark.parametrize("circle", [[(0, 0)], [(0, 1), (1, 0)], [(0, 1), (1, 2), (2, 0), (2, 3)]])
def test_tasks_around_a_circle_stand_somewhere(circle: list[Pair]) -> None:
    found = arranged(5, [*circle, (4, 0)], 2)
    assert set(found.spots) == set(range(5))
    assert not found.ways.keys() & set(circle)


def test_a_plan_that_names_for_each_task_all_that_was_before_is_one_row() -> None:
    edges = [(begin, end) for end in range(150) for begin in range(end)]
    found = arranged(150, edges, 5)
    assert [found.spots[at].column for at in range(150)] == [*range(150)]


def test_nothing_has_no_height() -> None:
    assert arranged(0, [], 5) == Arrangement(0, 0.0, {}, {})
