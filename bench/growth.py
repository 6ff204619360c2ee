"""Whether a call costs more when the tables are larger, and what the store adds to memory."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import shutil
import sqlite3
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, closing
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any, NamedTuple, TypedDict

from bench.measure import keep_to_one_core, time_calls
from bench.memory import Memory, measure_memory
from bench.seed import PROVIDER, Seed, make_seed, plant
from bench.work import LONG_LINE, Call
from cw_store import Store, ensure_schema
from cw_store.repos.sql.agent_names import ADJECTIVES, ANIMALS

SIZES = (1_000, 10_000, 100_000, 1_000_000)
TASKS_OF_A_PHASE = 100
CONVERSATIONS_OF_AN_AGENT = 50
PENDING = 3
CHUNKS_OF_AN_AGENT = 200
NEXT, COMPLETE = "claims.next", "claims.complete"
MOST_WAITING = 20_000
"""Tasks that wait for others; there are seldom more among any number that are finished."""
PLAIN_NAMES = [f"{adjective}-{animal}" for adjective in ADJECTIVES for animal in ANIMALS]
"""The names that are made up for agents first, of whom each finished task had one."""
LIMIT = 1.3
LIMIT_OF_CLAIMS = 1.2
MEGABYTES = 20.0
LONG_LOG = "agent-with-a-long-log"
ASKED_FOR = 250
"""The most different rows that are asked for, all over a table.

At each size there are as many as the smallest has, or more would be measured than the rows
that a call does not touch: how many of those that it does are in the processor's cache.
"""


class Compared(TypedDict):
    """Microseconds for a call by its name, in the order of `sizes`, and the same as ratios."""

    sizes: list[int]
    microseconds: dict[str, list[float]]
    ratios: dict[str, list[float]]


class Growth(Compared):
    """The same, and what the store adds to memory."""

    memory: Memory


class _Place(NamedTuple):
    """Ids that exist in a database of a certain size."""

    seed: Seed
    tasks: list[str]
    phases: list[str]
    agents: list[str]
    logs: list[str]
    chunks: list[str]


def measure_growth(
    folder: Path, sizes: Sequence[int], rounds: int, seconds: float, tell: Callable[[str], None]
) -> Growth:
    """Build a database of each size and let them take turns."""
    keep_to_one_core()
    seed = make_seed(phases=1, agents=4)
    template = folder / "template.db"

    async def prepare() -> None:
        await ensure_schema(template)
        await plant(seed, str(template))

    asyncio.run(prepare())
    files: dict[int, Path] = {}
    before, largest = 0, template
    for size in sizes:
        tell(f"filling a database with {size:,} rows in each table")
        files[size] = Path(shutil.copyfile(largest, folder / f"{size}.db"))
        _fill(files[size], seed, before, size)
        before, largest = size, files[size]
    microseconds = asyncio.run(_measure(files, seed, rounds, seconds, tell))
    tell(f"reading the log of an agent with {sizes[-1]:,} chunks")
    long_log = Path(shutil.copyfile(template, folder / "long-log.db"))
    _write_long_log(long_log, sizes[-1])
    return {
        **compared(sizes, microseconds),
        "memory": measure_memory(long_log, LONG_LOG),
    }


def compared(sizes: Sequence[int], rounds: dict[str, list[list[float]]]) -> Compared:
    """Return the medians of the rounds, by call and size, and of their ratios to the smallest."""
    return {
        "sizes": list(sizes),
        "microseconds": {
            name: [statistics.median(line) for line in lines] for name, lines in rounds.items()
        },
        "ratios": {
            name: [
                statistics.median(one / first for one, first in zip(line, lines[0], strict=True))
                for line in lines
            ]
            for name, lines in rounds.items()
        },
    }


async def _measure(
    files: dict[int, Path],
    seed: Seed,
    rounds: int,
    seconds: float,
    tell: Callable[[str], None],
) -> dict[str, list[list[float]]]:
    """Return the rounds' medians by call and size."""
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(Store(path)) for path in files.values()]
        calls = [
            _calls(store, _sample(path, seed, min(files)))
            for store, path in zip(stores, files.values(), strict=True)
        ]
        names = [*calls[0], NEXT, COMPLETE]
        found: dict[str, list[list[float]]] = {name: [[] for _ in files] for name in names}
        for number in range(rounds):
            tell(f"round {number + 1} of {rounds}")
            for name in calls[0]:
                for of_size, line in zip(calls, found[name], strict=True):
                    line.append((await time_calls(of_size[name], seconds))["median"])
            for place, store in enumerate(stores):
                claimed, completed = await time_claims(store, seed.growing_phase, seconds)
                found[NEXT][place].append(claimed)
                found[COMPLETE][place].append(completed)
    return found


async def time_claims(store: Store, phase_id: str, seconds: float) -> tuple[float, float]:
    """Claim a task and complete it, again and again; return the medians of the two."""
    claimed: list[int] = []
    completed: list[int] = []
    end = perf_counter() + seconds
    while perf_counter() < end:
        await store.tasks.create(phase_id=phase_id, name="Rename the cookie")
        begun = perf_counter_ns()
        claim = await store.claims.next(holder="host-1/4711", worktree_id="trees/one")
        between = perf_counter_ns()
        assert claim is not None
        await store.claims.complete(claim)
        claimed.append(between - begun)
        completed.append(perf_counter_ns() - between)
    return statistics.median(claimed) / 1000, statistics.median(completed) / 1000


def _calls(store: Store, place: _Place) -> dict[str, Call]:
    tasks, phases, agents, logs, chunks = map(itertools.cycle, place[1:])
    pending: list[str] = []

    def fresh(ids: Iterator[str]) -> dict[str, Any]:
        return {"from_agent_id": next(ids), "to_agent_id": next(ids), "question": "Which port?"}

    async def create_conversation() -> None:
        pending.append((await store.conversations.create(**fresh(agents))).id)

    async def create_and_answer() -> None:
        await create_conversation()
        await store.conversations.answer(pending.pop(), "8080")

    return {
        "tasks.find_by_id": lambda: store.tasks.find_by_id(next(tasks)),
        "tasks.find_by_phase_id (100)": lambda: store.tasks.find_by_phase_id(next(phases)),
        "tasks.create": lambda: store.tasks.create(
            phase_id=place.seed.growing_phase, name="Rename the cookie"
        ),
        "tasks.increment_retry_count": lambda: store.tasks.increment_retry_count(next(tasks)),
        "conversations.find_pending_for_agent (3)": lambda: (
            store.conversations.find_pending_for_agent(next(agents))
        ),
        "conversations.create and answer": create_and_answer,
        "log_chunks.insert_chunk": lambda: store.log_chunks.insert_chunk(
            next(logs), "agent", 2, LONG_LINE
        ),
        "log_chunks.find_by_agent_id (100)": lambda: store.log_chunks.find_by_agent_id(
            next(logs), limit=100
        ),
        "log_chunks … after, in the middle": lambda: store.log_chunks.find_by_agent_id(
            next(logs), after=next(chunks), limit=10
        ),
        "log_chunks.get_session_count": lambda: store.log_chunks.get_session_count(next(logs)),
        "accounts.find_next_available": lambda: store.accounts.find_next_available(PROVIDER),
        "claims.find_ready (20)": lambda: store.claims.find_ready(limit=20),
        "claims.explain": lambda: store.claims.explain(next(tasks)),
    }


def _sample(path: Path, seed: Seed, smallest: int) -> _Place:
    """Choose ids from all over the tables."""
    chooser = random.Random(4)
    with closing(sqlite3.connect(path)) as connection:

        def choose(sql: str, rows_for_each: int = 1) -> list[str]:
            ids = [id for (id,) in connection.execute(sql)]
            return chooser.sample(ids, min(ASKED_FOR, smallest // rows_for_each))

        logs = choose(
            "SELECT DISTINCT agent_id FROM agent_log_chunks WHERE agent_name = 'filler'",
            CHUNKS_OF_AN_AGENT,
        )
        middle = "SELECT id FROM agent_log_chunks WHERE agent_id = ? LIMIT 1 OFFSET ?"
        return _Place(
            seed,
            tasks=choose("SELECT id FROM tasks WHERE name = 'filler'"),
            phases=choose("SELECT id FROM phases WHERE name = 'filler'", TASKS_OF_A_PHASE),
            agents=choose(
                "SELECT id FROM agents WHERE worktree_id = 'filler'", CONVERSATIONS_OF_AN_AGENT
            ),
            logs=logs,
            chunks=[
                connection.execute(middle, (agent, CHUNKS_OF_AN_AGENT // 2)).fetchone()[0]
                for agent in logs
            ],
        )


def _fill(path: Path, seed: Seed, first: int, end: int) -> None:
    """Add rows `first` to `end` to each of the three tables, with the parents they need."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in ("synchronous = OFF", "cache_size = -1000000", "foreign_keys = OFF"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN")
        for sql in _FILLERS:
            connection.execute(
                f"WITH RECURSIVE numbers(n) AS "
                f"(SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :end) {sql}",
                {
                    "first": first,
                    "end": end,
                    "initiative": seed.initiative,
                    "growing": seed.growing_phase,
                    "names": json.dumps(PLAIN_NAMES),
                },
            )
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _write_long_log(path: Path, chunks: int) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(
            "WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers "
            "WHERE n + 1 < :end) INSERT INTO agent_log_chunks "
            "(id, agent_id, agent_name, session_number, content, created_at) "
            f"SELECT {_new_id}, :agent, 'long', 1, :line, {_time} FROM numbers",
            {"end": chunks, "agent": LONG_LOG, "line": LONG_LINE},
        )
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


_new_id = "substr(lower(hex(randomblob(11))), 1, 21)"
_time = "1700000000000000 + n * 1000"
_FILLERS = (
    f"""INSERT INTO phases (id, initiative_id, name, status, created_at, updated_at)
    SELECT 'filler-phase-' || n, :initiative, 'filler', 'completed', {_time}, {_time}
    FROM numbers WHERE n % {TASKS_OF_A_PHASE} = 0""",
    f"""INSERT INTO agents (id, name, worktree_id, status, created_at, updated_at)
    SELECT 'filler-agent-' || n,
        (SELECT value FROM json_each(:names) WHERE key = n % {len(PLAIN_NAMES)})
            || CASE WHEN n < {len(PLAIN_NAMES)} THEN '' ELSE '-' || n / {len(PLAIN_NAMES)} END,
        CASE n % {CONVERSATIONS_OF_AN_AGENT} WHEN 0 THEN 'filler' ELSE 'finished' END,
        'stopped', {_time}, {_time} FROM numbers""",
    f"""INSERT INTO tasks
        (id, phase_id, initiative_id, name, status, "order", created_at, updated_at)
    SELECT {_new_id}, 'filler-phase-' || (n - n % {TASKS_OF_A_PHASE}), :initiative, 'filler',
        'completed', n % {TASKS_OF_A_PHASE}, {_time}, {_time} FROM numbers""",
    f"""INSERT INTO tasks
        (id, phase_id, initiative_id, name, status, open_dependencies, created_at, updated_at)
    SELECT {_new_id}, :growing, :initiative, 'waiting', 'pending', 1, {_time}, {_time}
    FROM numbers WHERE n < {MOST_WAITING}""",
    f"""INSERT INTO conversations
        (id, from_agent_id, to_agent_id, initiative_id, question, status, created_at, updated_at)
    SELECT {_new_id}, 'filler-agent-' || (n - n % {CONVERSATIONS_OF_AN_AGENT}),
        'filler-agent-' || (n - n % {CONVERSATIONS_OF_AN_AGENT}), :initiative, 'Which port?',
        CASE WHEN n % {CONVERSATIONS_OF_AN_AGENT} < {PENDING} THEN 'pending' ELSE 'answered' END,
        {_time}, {_time} FROM numbers""",
    f"""INSERT INTO agent_log_chunks
        (id, agent_id, agent_name, session_number, content, created_at)
    SELECT {_new_id}, 'filler-log-' || (n - n % {CHUNKS_OF_AN_AGENT}), 'filler',
        1 + n % 3, '{LONG_LINE}', {_time} FROM numbers""",
)
