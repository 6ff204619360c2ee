"""Tasks that wait for each other, in columns: whoever waits stands right of what it waits for.

In which column each one is, and in which order they stand there so that few lines cross, is found
by fast-sugiyama. How far down they stand is decided here: as compact as the fullest column, and
beside what they are connected with. An edge over several columns has a place of its own in each of
them, so that its line passes behind nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fast_sugiyama import from_edges

Pair = tuple[int, int]
"""An edge: what is waited for, and who waits."""

LINE = 0.3
"""How much of the height of a task a line takes that passes by."""

NEAR = 3
"""Over so many columns an edge has a way of its own, even if it follows from others."""

SWEEPS = 4
"""So often each task is moved beside those it is connected with; more change next to nothing."""


class Spot(NamedTuple):
    """A place: the column, and how many heights of a task its middle is below the top."""

    column: int
    row: float


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Where each task stands, and which spots an edge over several columns passes on its way."""

    columns: int
    height: float
    spots: dict[int, Spot]
    ways: dict[Pair, tuple[Spot, ...]]


def arranged(count: int, edges: Sequence[Pair], columns: int) -> Arrangement:
    """Arrange the tasks 0 to `count` - 1.

    There are as many columns as the longest chain has tasks, and at least `columns` if there are
    tasks to fill them. The same is arranged in the same way, always. `ways` has none of the edges
    around a circle, and none of those far edges that follow from others.
    """
    groups = list(_groups(count, _decisive(edges)))
    width = max([columns, *(len(group.layers) for group in groups)])
    return _packed(groups, min(width, count) if not edges else width)


def _decisive(edges: Sequence[Pair]) -> list[Pair]:
    """Leave out edges that would cost much and decide nothing.

    Those are edges over many columns that follow from others, as plans have that name for each task
    all that was before, and edges around a circle, which the store refuses and fast-sugiyama ends
    the process at.
    """
    before: dict[int, list[int]] = {}
    for begin, end in edges:
        before.setdefault(end, []).append(begin)
        before.setdefault(begin, [])
    ranks: dict[int, int] = {}
    reached: dict[int, int] = {}
    for node in _in_order(before, edges):
        ranks[node] = max((ranks[other] + 1 for other in before[node]), default=0)
        reached[node] = 0
        for other in before[node]:
            reached[node] |= reached[other] | 1 << other
    return [
        (begin, end)
        for begin, end in edges
        if end in ranks
        and (
            ranks[end] - ranks[begin] <= NEAR
            or not any(reached[other] >> begin & 1 for other in before[end])
        )
    ]


def _in_order(before: dict[int, list[int]], edges: Sequence[Pair]) -> Iterable[int]:
    """Give each node behind all that come before it; those around circles, and behind, never."""
    after: dict[int, list[int]] = {}
    for begin, end in edges:
        after.setdefault(begin, []).append(end)
    missing = {node: len(others) for node, others in before.items()}
    ready = [node for node, count in missing.items() if not count]
    for node in ready:  # which grows meanwhile
        yield node
        for other in after.get(node, ()):
            missing[other] -= 1
            if not missing[other]:
                ready.append(other)


@dataclass(frozen=True, slots=True)
class _Group:
    """Tasks that are connected, and what lies between them: in layers, from the first on."""

    layers: list[list[int]]
    rows: dict[int, float]
    ways: dict[Pair, list[int]]
    lines: frozenset[int]

    def size(self, node: int) -> float:
        return LINE if node in self.lines else 1.0

    def extents(self) -> Iterable[tuple[float, float]]:
        """Give the top and the bottom of each layer."""
        for layer in self.layers:
            first, last = layer[0], layer[-1]
            yield (
                self.rows[first] - self.size(first) / 2,
                self.rows[last] + self.size(last) / 2,
            )


def _groups(count: int, edges: Sequence[Pair]) -> Iterable[_Group]:
    """Give the groups, the largest first, and behind them those that are alone."""
    connected = sorted({node for edge in edges for node in edge})
    number = {node: at for at, node in enumerate(connected)}
    found = [
        _group(*each, connected) for each in _layouts([(number[a], number[b]) for a, b in edges])
    ]
    yield from sorted(found, key=lambda group: (-len(group.rows), group.layers[0]))
    for node in range(count):
        if node not in number:
            yield _Group([[node]], {node: 0.5}, {}, frozenset())


def _layouts(edges: list[Pair]) -> Iterable[tuple[list[tuple[int, float, float]], list[Pair]]]:
    """Give what is connected: nodes with their places, and edges, with what lies between them."""
    if not edges:
        return
    for positions, _, _, parts in from_edges(edges, vertex_spacing=1, dummy_vertices=True):
        places = [(int(node), float(x), float(y)) for node, (x, y) in positions]
        yield places, [(int(begin), int(end)) for begin, end in parts or ()]


def _group(
    places: list[tuple[int, float, float]], parts: list[Pair], connected: Sequence[int]
) -> _Group:
    """Make a group of what is connected; what has no number of a task lies between two."""
    named = {node: connected[node] if node < len(connected) else -node for node, _, _ in places}
    layers: dict[float, list[tuple[float, int]]] = {}
    for node, x, y in places:
        layers.setdefault(-y, []).append((x, named[node]))
    ordered = [[node for _, node in sorted(layers[y])] for y in sorted(layers)]
    edges = [(named[begin], named[end]) for begin, end in parts]
    lines = frozenset(node for node in named.values() if node < 0)
    group = _Group(ordered, {}, _ways(edges), lines)
    group.rows.update(_rows(group, edges))
    return group


def _ways(parts: Iterable[Pair]) -> dict[Pair, list[int]]:
    """Return of each edge what lies on its way."""
    after: dict[int, list[int]] = {}
    for begin, end in parts:
        after.setdefault(begin, []).append(end)
    ways: dict[Pair, list[int]] = {}
    for begin, ends in after.items():
        for end in ends if begin >= 0 else ():
            way: list[int] = []
            while end < 0:
                way.append(end)
                end = after[end][0]
            ways[begin, end] = way
    return ways


def _rows(group: _Group, edges: Iterable[Pair]) -> dict[int, float]:
    """Return how far down each stands: close to its edges' other ends, in its layer's order."""
    before: dict[int, list[int]] = {}
    after: dict[int, list[int]] = {}
    for begin, end in edges:
        before.setdefault(end, []).append(begin)
        after.setdefault(begin, []).append(end)
    heights = [sum(map(group.size, layer)) for layer in group.layers]
    height = max(heights)
    rows: dict[int, float] = {}
    for layer in group.layers:
        _place(group, layer, [height / 2] * len(layer), height, rows)
    layers = group.layers
    for _ in range(SWEEPS):
        for adjacent, order in ((before, layers), (after, layers[::-1])):
            for layer in order:
                wishes = [_middle(rows, adjacent.get(node, ()), rows[node]) for node in layer]
                _place(group, layer, wishes, height, rows)
    return rows


def _middle(rows: dict[int, float], adjacent: Sequence[int], otherwise: float) -> float:
    if not adjacent:
        return otherwise
    return sum([rows[node] for node in adjacent]) / len(adjacent)


def _place(
    group: _Group, layer: list[int], wishes: Sequence[float], height: float, rows: dict[int, float]
) -> None:
    """Put a layer's nodes as close to where they wish to be as order and room allow.

    Nodes that would overlap become a block, which stands where its nodes wish on the average.
    """
    offsets: list[float] = []
    offset = 0.0
    for node in layer:
        size = group.size(node)
        offsets.append(offset + size / 2)
        offset += size
    spare = height - offset
    blocks: list[tuple[float, int]] = []  # what its nodes wish together, and how many they are
    for wish, own in zip(wishes, offsets, strict=True):
        total, many = wish - own, 1
        while blocks and blocks[-1][0] * many >= total * blocks[-1][1]:
            earlier = blocks.pop()
            total, many = total + earlier[0], many + earlier[1]
        blocks.append((total, many))
    at = 0
    for total, many in blocks:
        start = min(max(total / many, 0.0), spare)
        for node, own in zip(layer[at : at + many], offsets[at : at + many], strict=True):
            rows[node] = start + own
        at += many


def _packed(groups: Iterable[_Group], columns: int) -> Arrangement:
    """Put each group where there is room, the highest place first."""
    bottoms = [0.0] * columns
    spots: dict[int, Spot] = {}
    ways: dict[Pair, tuple[Spot, ...]] = {}
    for group in groups:
        extents = list(group.extents())
        top, column = min(
            (max(bottoms[at + number] - begin for number, (begin, _) in enumerate(extents)), at)
            for at in range(columns - len(extents) + 1)
        )
        for number, layer in enumerate(group.layers):
            bottoms[column + number] = top + extents[number][1]
            for node in layer:
                spots[node] = Spot(column + number, top + group.rows[node])
        for edge, way in group.ways.items():
            ways[edge] = tuple(spots[node] for node in way)
    tasks = {node: spot for node, spot in spots.items() if node >= 0}
    return Arrangement(columns, max(bottoms, default=0.0), tasks, ways)
