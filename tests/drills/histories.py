"""Is there a serial order that explains what concurrent callers saw?

A history is a list of operations, each with the time it was asked for, the time it was answered
and the answer. It is *linearizable* (Herlihy and Wing, 1990) when the operations can be put into
one order that (1) keeps every operation that was answered before another was asked for in front
of it, and (2) gives the recorded answers when the operations are done one at a time in it.

The search is Wing and Gong's (1993) with Lowe's memory (2017): take the operations that nothing
waits in front of, try each as the next, go back when stuck, and never come twice to the same set
of operations done with the same state. Two arguments keep it short:

- An operation that only reads, and reads right, is taken at once and nothing else is tried in its
  place. Whatever order works with it later works with it now: it changes nothing, and it can only
  keep others waiting.
- Of operations that ask the same and are answered the same, the one that was answered first goes
  first. In an order where it comes after its twin the two can change places: nothing between them
  was asked after either was answered, or it would have to come after the first of them.

What looks right first is tried first: the store's own stamps tell, where there are any, in which
order things were done. Whether an order is found does not depend on them, only how soon.

Operations on different objects cannot contradict each other (Herlihy and Wing's locality), so a
history is checked object by object.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

State: TypeAlias = Any
Step: TypeAlias = tuple[int, State]

SEARCH_LIMIT = 2_000_000
"""So many situations, and a search is given up: an error, and never a pass."""


@dataclass(frozen=True)
class Operation:
    """One call: what it was about, what was asked, what came of it, and when."""

    object: str
    name: str
    arguments: tuple[Any, ...]
    answer: Any
    asked: int
    answered: int
    caller: str = ""
    stamped: int | None = None
    """When the store says that it was done; only a hint where to look first."""

    def __str__(self) -> str:
        arguments = ", ".join(map(str, self.arguments))
        return f"{self.name}({arguments}) -> {self.answer} by {self.caller}"


class Specification(Protocol):
    """What an object does when its operations come one at a time."""

    def start(self) -> Hashable:
        """Return the state before the first operation."""
        ...

    def only_reads(self, operation: Operation) -> bool:
        """Say whether the operation, with this answer, leaves any state as it is."""
        ...

    def follow(self, state: Any, operation: Operation) -> Hashable | None:
        """Return the state after the operation, or None if it would not have answered so."""
        ...


def serial_order(
    history: Sequence[Operation], specification: Specification
) -> list[Operation] | None:
    """Return an order that explains a history of one object, or None when there is none."""
    # In the order of the answers: of twins the first is found first, and it was often done first.
    operations = sorted(history, key=lambda operation: operation.answered)
    everything = (1 << len(operations)) - 1
    done, state = 0, specification.start()
    order: list[int] = []
    untried: list[tuple[int, list[Step]]] = []
    """For each place in the order: what was done before it, and what else could stand there."""
    seen: set[tuple[int, Hashable]] = set()
    while done != everything:
        steps: list[Step] = []
        if (done, state) not in seen:
            seen.add((done, state))
            steps = _next_steps(operations, done, state, specification)
        if len(seen) > SEARCH_LIMIT:
            raise RuntimeError(f"found nothing out about {len(operations)} operations in time")
        untried.append((done, steps[::-1]))
        while not untried[-1][1]:
            untried.pop()
            if not untried:
                return None
            order.pop()
        done, steps = untried[-1]
        number, state = steps.pop()
        order.append(number)
        done |= 1 << number
    return [operations[number] for number in order]


def _next_steps(
    operations: Sequence[Operation], done: int, state: State, specification: Specification
) -> list[Step]:
    """Return what may come next: the operations, and the state after each."""
    steps: list[Step] = []
    twins: set[tuple[Any, ...]] = set()
    first = (~done & (done + 1)).bit_length() - 1  # the first that is not done
    for number in range(first, len(operations)):
        operation = operations[number]
        if done >> number & 1:
            continue
        # It was asked after another was answered, which has to be done before it.
        if operation.asked > operations[first].answered:
            continue
        twin = (operation.name, operation.arguments, operation.answer)
        if twin in twins:
            continue
        twins.add(twin)
        following = specification.follow(state, operation)
        if following is not None and specification.only_reads(operation):
            return [(number, state)]
        if following is not None:
            steps.append((number, following))

    def likely(step: Step) -> int:
        operation = operations[step[0]]
        return operation.answered if operation.stamped is None else operation.stamped

    return sorted(steps, key=likely)


def unexplained(
    history: Sequence[Operation], specification: Callable[[str], Specification]
) -> list[str]:
    """Return the objects whose part of the history has no serial order."""
    objects: dict[str, list[Operation]] = {}
    for operation in history:
        objects.setdefault(operation.object, []).append(operation)
    return sorted(
        name for name, part in objects.items() if serial_order(part, specification(name)) is None
    )
