"""The concurrency oracle: 16 tasks in each of 4 processes, and one order that explains it all.

What every caller asked, when, and what it was told is written down, and afterwards a search
(`histories.py`) has to find a serial order for it. The checker itself is checked: it has to refuse
histories that no store may have.
"""

import random
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from callers import PROVIDER, Objects, call_concurrently
from drill import Drill
from histories import Operation, Specification, serial_order, unexplained
from processes import Workers

from cw_store import NewTask, Store

PROCESSES = 4
TASKS = 16


# --- what each object does when its operations come one at a time -----------------------------


class Rotation:
    """Accounts: the front of the queue is claimed and goes to its end."""

    def __init__(self, accounts: Sequence[str]) -> None:
        self._accounts = tuple(accounts)

    def start(self) -> Hashable:
        return self._accounts, frozenset[str]()

    def follow(self, state: Any, operation: Operation) -> Hashable | None:
        queue, exhausted = state
        match operation.name:
            case "claim":
                return self._claimed(queue, exhausted, (operation.answer,))
            case "claim two":
                return self._claimed(queue, exhausted, operation.answer)
            case "exhaust":
                return queue, exhausted | {operation.arguments[0]}
            case "restore":
                return queue, exhausted - {operation.arguments[0]}
            case other:
                raise AssertionError(other)

    def _claimed(
        self, queue: tuple[str, ...], exhausted: frozenset[str], claimed: tuple[str | None, ...]
    ) -> Hashable | None:
        for account in claimed:
            if next((one for one in queue if one not in exhausted), None) != account:
                return None
            if account is not None:
                queue = (*(one for one in queue if one != account), account)
        return queue, exhausted

    def only_reads(self, operation: Operation) -> bool:
        return operation.answer in (None, (None, None)) and operation.name.startswith("claim")


class Question:
    """A conversation: the first answer stays."""

    def start(self) -> Hashable:
        return ""

    def follow(self, state: Any, operation: Operation) -> Hashable | None:
        if operation.name == "look":
            return state if operation.answer == (state or None) else None
        if operation.answer == "answered":
            return None if state else operation.arguments[0]
        return state or None

    def only_reads(self, operation: Operation) -> bool:
        return operation.name == "look" or operation.answer == "too late"


class Graph:
    """Dependencies: edges that never close a cycle."""

    def start(self) -> Hashable:
        return frozenset[tuple[str, str]]()

    def follow(self, state: Any, operation: Operation) -> Hashable | None:
        if operation.name == "look":
            (one,) = operation.arguments
            near = tuple(sorted(other for start, other in state if start == one))
            return state if near == operation.answer else None
        edge = operation.arguments
        match operation.answer:
            case "added":
                return None if edge in state or self._closes(state, edge) else state | {edge}
            case "there already":
                return state if edge in state else None
            case "cycle":
                return state if self._closes(state, edge) else None
            case "removed":
                return state - {edge} if edge in state else None
            case "not there":
                return None if edge in state else state
            case other:
                raise AssertionError(other)

    @staticmethod
    def _closes(edges: frozenset[tuple[str, str]], edge: tuple[str, str]) -> bool:
        one, other = edge
        reached = {other}
        while True:
            further = {end for start, end in edges if start in reached} - reached
            if not further:
                return one in reached
            reached |= further

    def only_reads(self, operation: Operation) -> bool:
        return operation.name == "look" or operation.answer not in ("added", "removed")


class Counters:
    """Retry counts of a few tasks, which a snapshot reads all at once."""

    def __init__(self, number: int) -> None:
        self._number = number

    def start(self) -> Hashable:
        return (0,) * self._number

    def follow(self, state: Any, operation: Operation) -> Hashable | None:
        if operation.name == "snapshot":
            return state if operation.answer == state else None
        counts = list(state)
        if operation.name == "reset":
            counts[operation.arguments[0]] = 0
            return tuple(counts)
        answers = operation.answer if operation.name == "increment two" else (operation.answer,)
        for place, answer in zip(operation.arguments, answers, strict=True):
            counts[place] += 1
            if counts[place] != answer:
                return None
        return tuple(counts)

    def only_reads(self, operation: Operation) -> bool:
        return operation.name == "snapshot"


class Root:
    """The root page of an initiative: made once, the same for all."""

    def start(self) -> Hashable:
        return ""

    def follow(self, state: Any, operation: Operation) -> Hashable | None:
        return operation.answer if state in ("", operation.answer) else None

    def only_reads(self, operation: Operation) -> bool:
        return False


def specifications(objects: Objects) -> dict[str, Specification]:
    found: dict[str, Specification] = {PROVIDER: Rotation(objects.accounts)}
    found |= {id: Question() for id in objects.conversations}
    found |= {ids[0]: Graph() for _, ids in objects.graphs}
    found |= {ids[0]: Counters(len(ids)) for ids in objects.counters}
    found |= {id: Root() for id in objects.initiatives}
    return found


# --- the drill --------------------------------------------------------------------------------


async def made_objects(store: Store, conversations: int, initiatives: int) -> Objects:
    """Add what the callers fight about."""
    async with store.unit_of_work() as uow:
        accounts = [
            await uow.accounts.create(email=f"{number}@example.org", sort_order=number)
            for number in range(5)
        ]
        asking, asked = [await uow.agents.create(worktree_id="/w") for _ in range(2)]
        questions = [
            await uow.conversations.create(
                from_agent_id=asking.id, to_agent_id=asked.id, question="Which port?"
            )
            for _ in range(conversations)
        ]
        works = [await uow.initiatives.create(name="User auth") for _ in range(initiatives)]
        graphs: list[tuple[str, tuple[str, ...]]] = []
        for _ in range(3):
            tasks = await uow.tasks.create_many([NewTask(name="node")] * 5)
            graphs.append(("tasks", tuple(task.id for task in tasks)))
            phases = [
                await uow.phases.create(initiative_id=works[0].id, name="node") for _ in range(5)
            ]
            graphs.append(("phases", tuple(phase.id for phase in phases)))
        counters = [await uow.tasks.create_many([NewTask(name="counter")] * 3) for _ in range(4)]
    return Objects(
        tuple(account.id for account in accounts),
        tuple(question.id for question in questions),
        tuple(graphs),
        tuple(tuple(task.id for task in group) for group in counters),
        tuple(work.id for work in works),
    )


async def test_every_concurrent_history_has_a_serial_order(
    url: str, workers: Workers, drill: Drill
) -> None:
    calls = drill.amount(12, 150)
    async with Store(url) as store:
        objects = await made_objects(store, calls, calls)
    started = [
        workers.start(call_concurrently, url, objects, process, TASKS, calls)
        for process in range(PROCESSES)
    ]
    assert [worker.receive() for worker in started] == ["ready"] * PROCESSES
    for worker in started:
        worker.tell()
    history: list[Operation] = []
    for worker in started:
        history += worker.receive(600)
        worker.ended()
    assert len(history) == PROCESSES * TASKS * calls
    known = specifications(objects)
    assert unexplained(history, known.__getitem__) == []
    false = [*falsified(history)]
    assert {kind for kind, _ in false} == {type(one).__name__ for one in known.values()}
    for kind, changed in false:
        name = changed[0].object
        assert unexplained(changed, known.__getitem__) == [name], f"a false {kind} was explained"
    drill.held(
        f"{len(history):,} operations on {len({one.object for one in history})} objects, "
        f"{at_once(history)} at once, all explained; {len(false)} falsified histories refused"
    )


def falsified(history: Sequence[Operation]) -> Iterator[tuple[str, list[Operation]]]:
    """Give the beginnings of real histories, each of one object and with one answer made a lie.

    The beginnings only, because to refuse one every order has to be tried.
    """
    lies: tuple[tuple[str, Callable[[Operation], bool], Any], ...] = (
        ("Rotation", lambda one: one.name == "claim", "an account that is not there"),
        ("Question", lambda one: one.answer == "too late", "answered"),
        ("Graph", lambda one: isinstance(one.answer, tuple) and one.name == "look", ("nowhere",)),
        ("Counters", lambda one: one.name == "increment", 1_000_000),
        ("Root", lambda one: one.name == "root", "a second root"),
    )
    for kind, true, lie in lies:
        told = [one for one in history if true(one)]
        for one in first_of_each_object(told)[:5]:
            part = [
                other
                for other in history
                if other.object == one.object and other.asked < one.answered
            ]
            if len(part) > 1:
                yield kind, [replace(one, answer=lie) if other is one else other for other in part]


def first_of_each_object(operations: Sequence[Operation]) -> list[Operation]:
    first: dict[str, Operation] = {}
    for operation in sorted(operations, key=lambda one: one.answered):
        first.setdefault(operation.object, operation)
    return list(first.values())


def at_once(history: Sequence[Operation]) -> int:
    """Return how many operations were under way at the same time, at most."""
    moments = [(one.asked, 1) for one in history] + [(one.answered, -1) for one in history]
    most = now = 0
    for _, change in sorted(moments):
        now += change
        most = max(most, now)
    return most


# --- the checker, checked ---------------------------------------------------------------------


def seen(name: str, *arguments: Any, gives: Any, during: tuple[int, int]) -> Operation:
    asked, answered = during
    return Operation("it", name, arguments, gives, asked, answered)


WRONG: dict[str, tuple[Specification, list[Operation]]] = {
    "an account claimed twice while another was never used": (
        Rotation(["a", "b"]),
        [
            seen("claim", gives="a", during=(0, 2)),
            seen("claim", gives="a", during=(1, 3)),
        ],
    ),
    "an account claimed out of turn": (
        Rotation(["a", "b", "c"]),
        [
            seen("claim", gives="a", during=(0, 1)),
            seen("claim", gives="c", during=(2, 3)),
        ],
    ),
    "an exhausted account claimed": (
        Rotation(["a", "b"]),
        [
            seen("exhaust", "a", gives=None, during=(0, 1)),
            seen("claim", gives="a", during=(2, 3)),
        ],
    ),
    "one account twice in one unit of work": (
        Rotation(["a", "b"]),
        [seen("claim two", gives=("a", "a"), during=(0, 1))],
    ),
    "a lost increment": (
        Counters(1),
        [
            seen("increment", 0, gives=1, during=(0, 9)),
            seen("increment", 0, gives=1, during=(1, 8)),
        ],
    ),
    "a read that does not see what was answered before it was asked": (
        Counters(1),
        [
            seen("increment", 0, gives=1, during=(0, 1)),
            seen("snapshot", gives=(0,), during=(2, 3)),
        ],
    ),
    "a snapshot of half a unit of work": (
        Counters(2),
        [
            seen("increment two", 0, 1, gives=(1, 1), during=(0, 9)),
            seen("snapshot", gives=(1, 0), during=(1, 8)),
        ],
    ),
    "two snapshots that disagree about what came first": (
        Counters(2),
        [
            seen("increment", 0, gives=1, during=(0, 9)),
            seen("increment", 1, gives=1, during=(0, 9)),
            seen("snapshot", gives=(1, 0), during=(1, 8)),
            seen("snapshot", gives=(0, 1), during=(1, 8)),
        ],
    ),
    "two first answers": (
        Question(),
        [
            seen("answer", "yes", gives="answered", during=(0, 9)),
            seen("answer", "no", gives="answered", during=(1, 8)),
        ],
    ),
    "an answer that vanishes": (
        Question(),
        [
            seen("answer", "yes", gives="answered", during=(0, 9)),
            seen("look", gives="yes", during=(1, 2)),
            seen("look", gives=None, during=(3, 4)),
        ],
    ),
    "too late for an answer that was given later": (
        Question(),
        [
            seen("answer", "no", gives="too late", during=(0, 1)),
            seen("answer", "yes", gives="answered", during=(2, 3)),
        ],
    ),
    "both halves of a cycle": (
        Graph(),
        [
            seen("add", "a", "b", gives="added", during=(0, 9)),
            seen("add", "b", "a", gives="added", during=(1, 8)),
        ],
    ),
    "a cycle of three": (
        Graph(),
        [
            seen("add", "a", "b", gives="added", during=(0, 9)),
            seen("add", "b", "c", gives="added", during=(0, 9)),
            seen("add", "c", "a", gives="added", during=(0, 9)),
        ],
    ),
    "an edge refused for a cycle that was never there": (
        Graph(),
        [
            seen("add", "a", "b", gives="added", during=(0, 1)),
            seen("add", "a", "c", gives="cycle", during=(0, 1)),
        ],
    ),
    "two roots": (
        Root(),
        [seen("root", gives="a", during=(0, 9)), seen("root", gives="b", during=(1, 8))],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_the_checker_refuses(name: str) -> None:
    specification, history = WRONG[name]
    assert serial_order(history, specification) is None
    assert unexplained(history, lambda _: specification) == ["it"]


def test_the_checker_finds_an_order_other_than_that_of_the_answers() -> None:
    history = [
        seen("look", gives=None, during=(0, 9)),
        seen("answer", "no", gives="too late", during=(1, 2)),
        seen("answer", "yes", gives="answered", during=(1, 5)),
        seen("look", gives="yes", during=(3, 4)),
    ]
    found = serial_order(history, Question())
    assert found is not None
    assert [one.name for one in found] == ["look", "answer", "answer", "look"]
    assert [one.answer for one in found] == [None, "answered", "too late", "yes"]


def test_the_checker_goes_back_when_a_first_choice_was_wrong() -> None:
    # By the end of each the edge from a comes first, but then the other could not be refused.
    history = [
        seen("add", "b", "a", gives="added", during=(0, 8)),
        seen("add", "a", "b", gives="added", during=(0, 3)),
        seen("remove", "a", "b", gives="not there", during=(0, 4)),
        seen("remove", "b", "a", gives="removed", during=(0, 5)),
        seen("look", "a", gives=("b",), during=(6, 7)),
    ]
    found = serial_order(history, Graph())
    assert found is not None
    assert state_after(found, Graph()) == frozenset({("a", "b")})


def state_after(order: Sequence[Operation], specification: Specification) -> Hashable | None:
    state: Hashable | None = specification.start()
    for operation in order:
        if state is None:
            return None
        state = specification.follow(state, operation)
    return state


def test_the_checker_agrees_with_trying_every_order(drill: Drill) -> None:
    """On small random histories, most of them wrong, against the definition itself."""
    chance = random.Random(7)
    verdicts: list[bool] = []
    for _ in range(drill.amount(400, 4_000)):
        specification, history = a_small_history(chance)
        by_definition = any(
            state_after(order, specification) is not None and keeps_time(order)
            for order in permutations(history)
        )
        found = serial_order(history, specification)
        assert (found is not None) == by_definition, [str(one) for one in history]
        if found is not None:
            assert state_after(found, specification) is not None
            assert keeps_time(found)
        verdicts.append(by_definition)
    right = sum(verdicts)
    assert len(verdicts) // 10 < right < len(verdicts) * 9 // 10
    drill.held(f"{right:,} right and {len(verdicts) - right:,} wrong histories told apart")


def keeps_time(order: Sequence[Operation]) -> bool:
    return not any(
        later.answered < earlier.asked
        for place, earlier in enumerate(order)
        for later in order[place + 1 :]
    )


def a_small_history(chance: random.Random) -> tuple[Specification, list[Operation]]:
    """Return the history of a serial run whose calls were given some time, or one with a lie."""
    history: list[Operation] = []
    kind = chance.choice(("counters", "graph", "question"))
    specification: Specification = {
        "counters": Counters(2),
        "graph": Graph(),
        "question": Question(),
    }[kind]
    state: Any = specification.start()
    for moment in range(chance.randint(2, 5)):
        possible: list[Operation] = []
        for name, arguments, answers in calls_of(kind, chance):
            for answer in answers:
                during = (10 * moment - chance.randint(0, 25), 10 * moment + chance.randint(1, 25))
                possible.append(seen(name, *arguments, gives=answer, during=during))
        chance.shuffle(possible)
        true = next(one for one in possible if specification.follow(state, one) is not None)
        state = specification.follow(state, true)
        history.append(chance.choice(possible) if chance.random() < 0.2 else true)
    return specification, history


def calls_of(
    kind: str, chance: random.Random
) -> list[tuple[str, tuple[Any, ...], tuple[Any, ...]]]:
    if kind == "counters":
        place = chance.randrange(2)
        return [
            ("increment", (place,), (1, 2, 3, 4, 5)),
            ("increment two", (0, 1), ((1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (1, 3))),
            ("reset", (place,), (0,)),
            ("snapshot", (), ((0, 0), (1, 0), (0, 1), (1, 1), (2, 1), (1, 2))),
        ]
    if kind == "graph":
        edge = tuple(chance.sample("abc", 2))
        return [
            ("add", edge, ("added", "there already", "cycle")),
            ("remove", edge, ("removed", "not there")),
            ("look", edge[:1], ((), ("b",), ("c",))),
        ]
    return [
        ("answer", (chance.choice("xy"),), ("answered", "too late")),
        ("look", (), (None, "x", "y")),
    ]
