"""Circles: who waits for whom around a circle, whatever the edges are."""

from collections import defaultdict
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cw_store.views.circles import circles_of

Edges = dict[str, list[str]]

NAMES = st.sampled_from("abcdefgh")


@st.composite
def edges(draw: st.DrawFn) -> Edges:
    found: Edges = defaultdict(list)
    for one, other in draw(st.lists(st.tuples(NAMES, NAMES), max_size=20)):
        found[one].append(other)
    return dict(found)


def reachable(waits: Edges, start: str) -> set[str]:
    """Return all for whom one waits, directly or not."""
    seen: set[str] = set()
    left = list(waits.get(start, ()))
    while left:
        one = left.pop()
        if one not in seen:
            seen.add(one)
            left.extend(waits.get(one, ()))
    return seen


@given(edges())
def test_a_circle_is_found_for_each_group_that_waits_for_itself(waits: Edges) -> None:
    circles = circles_of(waits)
    reach = {one: reachable(waits, one) for one in waits}
    groups = {
        frozenset(other for other in reach[one] if one in reach.get(other, ()))
        for one in waits
        if one in reach[one]
    }
    assert len(circles) == len(groups)
    for circle in circles:
        assert circle[0] == circle[-1]
        assert len(set(circle)) == len(circle) - 1
        for one, other in pairwise(circle):
            assert other in waits[one]
        assert any(set(circle) <= group for group in groups)


def test_a_circle_is_a_shortest_one_through_whoever_is_named_first() -> None:
    waits = {"a": ["b", "c"], "b": ["c"], "c": ["d"], "d": ["a"]}
    assert circles_of(waits) == [["a", "c", "d", "a"]]


def test_one_who_waits_for_itself_is_a_circle() -> None:
    assert circles_of({"a": ["a"], "b": ["a"]}) == [["a", "a"]]


def test_a_long_chain_is_no_circle_and_takes_no_recursion() -> None:
    chain = {str(n): [str(n + 1)] for n in range(20_000)}
    assert circles_of(chain) == []
    assert len(circles_of({**chain, "20000": ["0"]})[0]) == 20_002
