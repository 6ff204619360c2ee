"""The work: what each row of the table measures, and what a contender has to be able to do."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from bench.seed import PROVIDER, Seed

CHUNKS_IN_ONE_CALL = 100
MIXED_TASKS = 50

LONG_LINE = '{"type":"tool_use","name":"edit","path":"src/auth/session.py","lines":[10,42]}\n'


class NewTask(NamedTuple):
    """A task to be created."""

    phase_id: str
    initiative_id: str
    name: str
    description: str


class NewChunk(NamedTuple):
    """A log chunk to be appended."""

    agent_id: str
    agent_name: str
    session_number: int
    content: str


class Contender(Protocol):
    """One way to talk to the database.

    Every answer is a record (or an object of the ORM's) with cw_store's attribute names and
    Python values. What `create_…` and `append_…` return has the id and times it is stored with.
    The calls `…_in_unit` do the same within a transaction that is begun and ended for it.
    """

    async def open(self, url: str, *, synchronous: str) -> None:
        """Open the database: the path of a SQLite file, or a PostgreSQL URL."""
        ...

    async def close(self) -> None:
        """Close it."""
        ...

    async def find_task(self, id: str) -> Any:
        """Return one task by its id."""
        ...

    async def poll(self, agent_id: str) -> Sequence[Any]:
        """Return the pending conversations addressed to an agent, oldest first."""
        ...

    async def list_tasks(self, phase_id: str) -> Sequence[Any]:
        """Return the tasks of a phase in order."""
        ...

    async def rotate(self, provider: str) -> Any:
        """Claim the provider's least recently used account."""
        ...

    async def create_task(self, new: NewTask) -> Any:
        """Create one task."""
        ...

    async def append_chunk(self, new: NewChunk) -> Any:
        """Append one log chunk."""
        ...

    async def append_chunks(self, new: Sequence[NewChunk]) -> Sequence[Any]:
        """Append many log chunks in one transaction."""
        ...

    async def find_task_in_unit(self, id: str) -> Any:
        """Find a task in a unit of work that only reads."""
        ...

    async def poll_in_unit(self, agent_id: str) -> Sequence[Any]:
        """Poll in a unit of work that only reads."""
        ...

    async def rotate_in_unit(self, provider: str) -> Any:
        """Rotate in a unit of work."""
        ...

    async def create_task_in_unit(self, new: NewTask) -> Any:
        """Create a task in a unit of work."""
        ...

    async def append_chunk_in_unit(self, new: NewChunk) -> Any:
        """Append a log chunk in a unit of work."""
        ...

    async def dispatch(
        self, provider: str, new: NewTask, agent_id: str, chunk: NewChunk
    ) -> tuple[Any, Any, Sequence[Any], Any]:
        """Rotate, create a task, poll and append to the log, in one unit of work."""
        ...


Call = Callable[[], Awaitable[Any]]


class Work:
    """Calls with changing arguments, on the data of a seed."""

    def __init__(self, contender: Contender, seed: Seed) -> None:
        self._contender = contender
        self._tasks = itertools.cycle(seed.tasks[:: len(seed.tasks) // 97 or 1])
        self._phases = itertools.cycle(seed.listed_phases)
        self._quiet = itertools.cycle(seed.quiet_agents)
        self._asked = itertools.cycle(seed.asked_agents)
        self._chunks = itertools.cycle(
            [
                NewChunk(agent, f"agent-{number}", 2, LONG_LINE)
                for number, agent in enumerate(seed.quiet_agents)
            ]
        )
        self._new_tasks = self._make_new_tasks(seed)

    @staticmethod
    def _make_new_tasks(seed: Seed) -> Iterator[NewTask]:
        description = "Found by the reviewer while reading the middleware; see the comments. " * 2
        return itertools.repeat(
            NewTask(seed.growing_phase, seed.initiative, "Rename the cookie", description)
        )

    def calls(self) -> dict[str, Call]:
        """Return the call of every row that is one call at a time."""
        contender = self._contender
        return {
            "find_task": lambda: contender.find_task(next(self._tasks)),
            "poll_0": lambda: contender.poll(next(self._quiet)),
            "poll_3": lambda: contender.poll(next(self._asked)),
            "list_100": lambda: contender.list_tasks(next(self._phases)),
            "rotate": lambda: contender.rotate(PROVIDER),
            "create_task": lambda: contender.create_task(next(self._new_tasks)),
            "append_chunk": lambda: contender.append_chunk(next(self._chunks)),
            "append_100": lambda: contender.append_chunks(
                list(itertools.islice(self._chunks, CHUNKS_IN_ONE_CALL))
            ),
            "unit_find_task": lambda: contender.find_task_in_unit(next(self._tasks)),
            "unit_poll_0": lambda: contender.poll_in_unit(next(self._quiet)),
            "unit_poll_3": lambda: contender.poll_in_unit(next(self._asked)),
            "unit_rotate": lambda: contender.rotate_in_unit(PROVIDER),
            "unit_create_task": lambda: contender.create_task_in_unit(next(self._new_tasks)),
            "unit_append_chunk": lambda: contender.append_chunk_in_unit(next(self._chunks)),
            "unit_of_four": self.unit_of_four,
        }

    def unit_of_four(self) -> Awaitable[Any]:
        """Dispatch once: four statements in one unit of work."""
        return self._contender.dispatch(
            PROVIDER, next(self._new_tasks), next(self._asked), next(self._chunks)
        )

    async def mixed_pass(self) -> int:
        """Do what a supervisor does for one agent, each call by itself; return how many calls."""
        contender = self._contender
        await contender.rotate(PROVIDER)
        await contender.create_task(next(self._new_tasks))
        await contender.poll(next(self._asked))
        await contender.find_task(next(self._tasks))
        await contender.append_chunk(next(self._chunks))
        return 5

    async def unit_pass(self) -> int:
        """Do one unit of four statements; return 1."""
        await self.unit_of_four()
        return 1


RACES = {"mixed": "mixed", "units_of_50": "units of four"}
"""What fifty tasks do at once, and what to call it."""

Kind = Literal["microseconds", "per second", "lag"]
"""Time for one call; passes of 50 tasks at once; the event loop's lag while they ran."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table, and the issue's target.

    `run` is what a worker is asked to do; a lag is measured in the run that it names. The target
    of a lag is in milliseconds, every other is a ratio to the base.
    """

    key: str
    title: str
    kind: Kind
    target: float
    run: str
    synchronous: str = "NORMAL"


def _time(key: str, title: str, target: float) -> Row:
    return Row(key, title, "microseconds", target, key)


SQLITE_ROWS = (
    _time("find_task", "find_by_id", 0.85),
    _time("poll_0", "find_pending_for_agent, 0 hits", 0.85),
    _time("poll_3", "find_pending_for_agent, 3 hits", 0.85),
    _time("list_100", "100 tasks of a phase", 0.85),
    _time("rotate", "find_next_available", 1.0),
    _time("create_task", "tasks.create", 1.0),
    _time("append_chunk", "insert_chunk", 1.0),
    _time("append_100", "100 log chunks in one transaction", 0.95),
    _time("unit_find_task", "read-only unit: find_by_id", 0.6),
    _time("unit_poll_0", "read-only unit: pending, 0 hits", 0.6),
    _time("unit_poll_3", "read-only unit: pending, 3 hits", 0.6),
    _time("unit_rotate", "unit: find_next_available", 0.85),
    _time("unit_create_task", "unit: tasks.create", 0.85),
    _time("unit_append_chunk", "unit: insert_chunk", 0.85),
    _time("unit_of_four", "unit: rotate, create, poll, log", 0.95),
    Row("mixed", "50 tasks mixed", "per second", 2.0, "mixed"),
    Row("mixed_full", "50 tasks mixed, FULL", "per second", 3.0, "mixed", "FULL"),
    Row("units_of_50", "50 tasks, units of four", "per second", 1.2, "units_of_50"),
    Row("lag", "loop lag p99, mixed", "lag", 3.0, "mixed"),
    Row("lag_full", "loop lag p99, mixed, FULL", "lag", 3.0, "mixed", "FULL"),
)

ON_POSTGRES = 1.25
"""Every call may take so much of the time that it takes by hand on asyncpg."""

POSTGRES_ROWS = tuple(
    Row(
        row.key,
        row.title,
        row.kind,
        {"microseconds": ON_POSTGRES, "per second": 1 / ON_POSTGRES, "lag": row.target}[row.kind],
        row.run,
    )
    for row in SQLITE_ROWS
    if row.synchronous == "NORMAL"
)
