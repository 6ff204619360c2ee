"""What it costs to watch: a page of 2,000 tasks and 200 agents, for 20 who look at it.

One process changes something 50 times a second, one serves the page, and this one has 20 viewers on
raw sockets, which note when each change arrives: every task that is changed gets the number of the
change as its name. Then a supervisor works as fast as it can, with and without the page. And the
graph of a plan of 500 tasks is laid out.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import statistics
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from cw_store import Store
from cw_store.live.layout import Plan, Sizes, layout_of

TASKS = 2_000
AGENTS = 200
PHASES = 20
VIEWERS = 20
CHANGES_A_SECOND = 50
GRAPH_TASKS = 500

CHANGE = re.compile(rb"change number (\d+)\\?<")
"""A change as a viewer sees it: the name of a task, up to the end of its element."""


class Figures(NamedTuple):
    """What was measured.

    Milliseconds from a commit to the event at a viewer, events a second at one viewer, kilobytes of
    an event; the server's share of a core and its megabytes; what a supervisor gets done in a
    second, alone and watched, and the ratio of the two; milliseconds until the page's document is
    there, and to lay out a graph.
    """

    median: float
    p95: float
    most: float
    events_a_second: float
    kilobytes: float
    share: float
    megabytes: float
    alone: float
    watched: float
    ratio: float
    first_page: float
    layout: float


async def measure_live(
    url: str, seconds: float, rounds: int, tell: Callable[[str], None]
) -> Figures:
    """Fill a store, and measure all of it, one after another."""
    tell(f"{TASKS:,} tasks, {AGENTS} agents")
    async with Store(url) as store:
        await _fill(store)
    tell(f"{VIEWERS} viewers, {CHANGES_A_SECOND} changes a second")
    async with _served(url) as server, _viewers(server) as viewers:
        await asyncio.sleep(2)
        for viewer in viewers:
            viewer.clear()
        began, spent = monotonic(), server.seconds_spent()
        committed = await _run("change", url, seconds)
        share = (server.seconds_spent() - spent) / (monotonic() - began)
        await asyncio.sleep(1)
        megabytes = server.megabytes()
    delays = sorted(
        (seen - committed[number]) * 1000
        for viewer in viewers
        for number, seen in viewer.seen.items()
        if number in committed
    )
    tell("a supervisor, alone and watched by turns")
    alone, watched, first_pages = list[float](), list[float](), list[float]()
    for _ in range(rounds):
        alone.append((await _run("work", url, seconds / 2))[0])
        async with _served(url) as server, _viewers(server):
            await asyncio.sleep(2)
            watched.append((await _run("work", url, seconds / 2))[0])
            first_pages.append(server.first_page)
    ratios = [one / other for one, other in zip(watched, alone, strict=True)]
    return Figures(
        median=statistics.median(delays),
        p95=delays[int(len(delays) * 0.95)],
        most=delays[-1],
        events_a_second=statistics.median(viewer.events_a_second for viewer in viewers),
        kilobytes=statistics.median(viewer.bytes / viewer.events for viewer in viewers) / 1000,
        share=share,
        megabytes=megabytes,
        alone=statistics.median(alone),
        watched=statistics.median(watched),
        ratio=statistics.median(ratios),
        first_page=statistics.median(first_pages) * 1000,
        layout=_layout_milliseconds(),
    )


async def _fill(store: Store) -> None:
    async with store.unit_of_work() as uow:
        initiative = await uow.initiatives.create(name="All of it")
        for number in range(10):
            await uow.accounts.create(email=f"account-{number}@example.com")
        phases = [
            await uow.phases.create(
                initiative_id=initiative.id, name=f"Phase {number}", status="in_progress"
            )
            for number in range(PHASES)
        ]
        tasks = [
            await uow.tasks.create(
                initiative_id=initiative.id,
                phase_id=phases[number % PHASES].id,
                name=f"Task {number}",
                status="in_progress" if number < AGENTS else _status(number),
            )
            for number in range(TASKS)
        ]
        for number in range(AGENTS, TASKS, 3):
            await uow.tasks.create_dependency(tasks[number].id, tasks[number - AGENTS].id)
        for number in range(AGENTS):
            agent = await uow.agents.create(
                name=f"agent-{number}",
                worktree_id=f"/worktrees/{number}",
                status="running",
                task_id=tasks[number].id,
                initiative_id=initiative.id,
            )
            if number % 10 == 0:
                await uow.messages.create(
                    sender_type="agent",
                    sender_id=agent.id,
                    recipient_type="user",
                    content="Which of the two is it?",
                )


def _layout_milliseconds() -> float:
    """Return the median of some plans of 500 tasks, of which none was laid out before."""
    times = list[float]()
    for number in range(9):
        chance = random.Random(number)
        ids = [f"{number}-{task}" for task in range(GRAPH_TASKS)]
        edges = {
            (ids[max(0, later - chance.randint(1, 60))], ids[later])
            for later in range(1, GRAPH_TASKS)
            for _ in range(chance.randint(0, 2))
        }
        lanes = tuple(f"phase-{lane}" for lane in range(12))
        size = GRAPH_TASKS // len(lanes) + 1
        plan = Plan(
            lanes=lanes,
            folded=frozenset(),
            tasks=tuple((id, lanes[place // size]) for place, id in enumerate(ids)),
            task_edges=tuple(sorted(edges)),
            phase_edges=tuple(pairwise(lanes)),
        )
        began = monotonic()
        layout_of(plan, Sizes(box_width=180, box_height=42), 5)
        times.append((monotonic() - began) * 1000)
    return statistics.median(times)


def _status(number: int) -> Any:
    return ("completed", "pending", "pending", "blocked" if number % 100 == 3 else "pending")[
        number % 4
    ]


# The server, and those who look.


class _Server:
    def __init__(self, process: Process, address: str) -> None:
        self._process = process
        self.port = urlsplit(address).port or 0
        self.address = address
        self.cookie = ""
        self.first_page = 0.0

    def seconds_spent(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def megabytes(self) -> float:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1000

    async def ask(self, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 24)
        head = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nCookie: {self.cookie}\r\n\r\n"
        )
        writer.write(head.encode())
        return reader, writer

    async def open(self) -> None:
        split = urlsplit(self.address)
        reader, writer = await self.ask(f"/?{split.query}")
        answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        found = re.search(rb"set-cookie: ([^;]+)", answer)
        assert found is not None
        self.cookie = found[1].decode()
        began = monotonic()
        reader, writer = await self.ask("/")
        head = await reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"content-length: (\d+)", head)
        assert found is not None
        await reader.readexactly(int(found[1]))
        self.first_page = monotonic() - began
        writer.close()


@asynccontextmanager
async def _served(url: str) -> AsyncGenerator[_Server]:
    program = "import sys; from cw_store.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "--url", url, "live", "--port", "0"]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    assert process.stdout is not None
    try:
        server = _Server(process, (await process.stdout.readline()).decode().strip())
        await server.open()
        yield server
    finally:
        process.terminate()
        await process.communicate()


class _Viewer:
    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.seen: dict[int, float] = {}
        self.events = self.bytes = 0
        self.times: list[float] = []

    @property
    def events_a_second(self) -> float:
        return (len(self.times) - 1) / (self.times[-1] - self.times[0])

    async def look(self, server: _Server) -> None:
        reader, writer = await server.ask("/?stream")
        try:
            await reader.readuntil(b"\r\n\r\n")
            while True:
                event = await reader.readuntil(b"\n\n")
                now = monotonic()
                self.bytes += len(event)
                if b"event: changed" in event:
                    self.events += 1
                    self.times.append(now)
                for number in CHANGE.findall(event):
                    self.seen.setdefault(int(number), now)
        finally:
            writer.close()


@asynccontextmanager
async def _viewers(server: _Server) -> AsyncGenerator[list[_Viewer]]:
    viewers = [_Viewer() for _ in range(VIEWERS)]
    looking = [asyncio.create_task(viewer.look(server)) for viewer in viewers]
    yield viewers
    for task in looking:
        task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*looking)


# What runs in a process of its own.


async def _run(what: str, url: str, seconds: float) -> Any:
    command = [sys.executable, "-m", "bench.live", what, url, str(seconds)]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    output, _ = await process.communicate()
    found = json.loads(output)
    return {number: at for number, at in found} if what == "change" else found


async def _change(url: str, seconds: float) -> list[tuple[int, float]]:
    """Change something so often a second; return when each change of a task was committed."""
    committed: list[tuple[int, float]] = []
    async with Store(url, migrate=False) as store:
        tasks = (await store.tasks.find_by_status("in_progress"))[:AGENTS]
        agents = (await store.agents.find_by_status("running"))[:AGENTS]
        began = monotonic()
        for number in range(int(seconds * CHANGES_A_SECOND)):
            await asyncio.sleep(max(0.0, began + number / CHANGES_A_SECOND - monotonic()))
            if number % 2:
                agent = agents[number % len(agents)]
                await store.log_chunks.insert_chunk(agent.id, agent.name, 1, "a line\n")
                continue
            task = tasks[number // 2 % len(tasks)]
            await store.tasks.update(task.id, name=f"change number {number}")
            committed.append((number, monotonic()))
    return committed


async def _work(url: str, seconds: float) -> list[float]:
    """Do what a supervisor does, one unit after the other, as fast as it goes; return how many."""
    done = 0
    async with Store(url, migrate=False) as store:
        tasks = (await store.tasks.find_by_status("pending"))[:AGENTS]
        agents = (await store.agents.find_by_status("running"))[:AGENTS]
        began = monotonic()
        while monotonic() - began < seconds:
            task, agent = tasks[done % len(tasks)], agents[done % len(agents)]
            async with store.unit_of_work() as uow:
                await uow.tasks.update(task.id, summary=f"change {done}")
                await uow.accounts.find_next_available()
            await store.log_chunks.insert_chunk(agent.id, agent.name, 1, "a line\n" * 20)
            await store.tasks.find_by_id(task.id)
            done += 1
    return [done / seconds]


if __name__ == "__main__":
    _, what, url, seconds = sys.argv
    work: Callable[[str, float], Any] = {"change": _change, "work": _work}[what]
    print(json.dumps(asyncio.run(work(url, float(seconds)))))
