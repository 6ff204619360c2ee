"""Graphs and timelines to draw, of any size and of any text, which no store has to hold first."""

import random
from datetime import timedelta

from cw_store import AgentStatus, views
from cw_store.testing import START
from cw_store.views.chains import chains_of

VERBS = ("Build", "Write", "Check", "Move", "Draw", "Choose", "Review", "Measure", "Translate")
THINGS = ("the session store", "login form", "rate limits", "mail templates", "device list")
LANES: tuple[views.Lane, ...] = ("done", "done", "running", "needs_you", "ready", "waiting")


def a_task(number: int, phase: str | None, lane: views.Lane = "waiting") -> views.TaskNode:
    """Return a task with the id `t0`, `t1`, …"""
    return views.TaskNode(
        id=f"t{number}",
        name=f"{VERBS[number % len(VERBS)]} {THINGS[number % len(THINGS)]} {number}",
        phase_id=phase,
        parent_task_id=None,
        status="pending",
        priority="medium",
        lane=lane,
        why="waits for somebody" if lane == "waiting" else None,
        agent_name="cosmic-jackal" if lane == "running" else None,
        rank=0,
        is_critical=False,
    )


def counts_of(tasks: list[views.TaskNode]) -> views.LaneCounts:
    lanes = [task.lane for task in tasks]
    return views.LaneCounts(**{lane: lanes.count(lane) for lane in views.LANES})


def a_graph(
    tasks: list[views.TaskNode],
    edges: list[tuple[str, str]],
    phases: list[str],
    phase_edges: list[tuple[str, str]],
) -> views.Graph:
    """Return a graph; an edge is who waits, and for whom."""
    is_open = {task.id for task in tasks if task.lane != "done"}
    phase_of = {task.id: task.phase_id for task in tasks}
    chains = chains_of(phase_of, edges, phase_edges, is_open)
    of_phase = {phase: [task for task in tasks if task.phase_id == phase] for phase in phases}
    return views.Graph(
        now=START,
        initiative_id="i1",
        initiative_name="User auth",
        initiative_status="active",
        counts=counts_of(tasks),
        phases=tuple(
            views.PhaseNode(
                id=phase,
                name=f"Phase {phase}",
                status="in_progress",
                counts=counts_of(of_phase[phase]),
                is_critical=False,
            )
            for phase in phases
        ),
        tasks=tuple(tasks),
        phase_edges=tuple(
            views.Edge(id=one, depends_on_id=other, is_met=False, is_critical=False)
            for one, other in phase_edges
        ),
        task_edges=tuple(
            views.Edge(id=one, depends_on_id=other, is_met=other not in is_open, is_critical=False)
            for one, other in edges
        ),
        critical_path=tuple(chains.critical_path),
        circles=tuple(map(tuple, chains.circles)),
    )


def any_graph(size: int, phases: int, seed: int = 1) -> views.Graph:
    """Return a plan of so many tasks in so many phases, with edges within them and between them."""
    chance = random.Random(seed)
    ids = [f"p{number}" for number in range(phases)]
    phase_edges = {(ids[at], ids[chance.randrange(at)]) for at in range(1, phases)}
    tasks = [
        a_task(number, ids[number * phases // size], chance.choice(LANES)) for number in range(size)
    ]
    edges: set[tuple[str, str]] = set()
    for at, task in enumerate(tasks):
        beside = [other for other in tasks[max(0, at - 12) : at] if other.phase_id == task.phase_id]
        for _ in range(chance.choice((0, 1, 1, 2))):
            if beside:
                edges.add((task.id, chance.choice(beside).id))
        if at > size // phases and chance.random() < 0.15:
            edges.add((task.id, tasks[chance.randrange(at)].id))
    return a_graph(tasks, sorted(edges), ids, sorted(phase_edges))


def a_bar(
    number: int,
    begin: float,
    end: float | None,
    outcome: AgentStatus = "stopped",
    attempt: int = 1,
    exit_code: int | None = None,
) -> views.Bar:
    """Return an agent's time at a task; times are minutes before now."""
    return views.Bar(
        agent_id=f"a{number}",
        agent_name=f"cosmic-jackal-{number}",
        attempt=attempt,
        start=START - timedelta(minutes=begin),
        end=None if end is None else START - timedelta(minutes=end),
        outcome=outcome,
        exit_code=exit_code,
        account_id="c1",
        account_email="amber@example.com",
    )


def an_account(state: views.AccountState, minutes: float | None = None) -> views.AccountSeen:
    """Return an account that rests for so many minutes from now on."""
    return views.AccountSeen(
        id="c1",
        email="amber@example.com",
        provider="claude",
        state=state,
        until=None if minutes is None else START + timedelta(minutes=minutes),
        last_used_at=None,
        max_agents=None,
        has_room=True,
        agent_names=(),
    )


def a_timeline(
    rows: list[list[views.Bar]], account: views.AccountSeen | None = None
) -> views.Timeline:
    """Return a timeline with a row for each list of bars, the tasks of which have ids like `t0`."""
    bars = [bar for row in rows for bar in row]
    return views.Timeline(
        now=START,
        initiative_id="i1",
        initiative_name="User auth",
        start=min((bar.start for bar in bars), default=None),
        end=max((bar.end or START for bar in bars), default=None),
        rows=tuple(
            views.TimelineRow(
                task_id=f"t{number}",
                task_name=f"{VERBS[number % len(VERBS)]} {THINGS[number % len(THINGS)]}",
                task_status="in_progress",
                phase_name="Core",
                bars=tuple(row),
            )
            for number, row in enumerate(rows)
        ),
        accounts=() if account is None else (views.AccountBand(account=account, bars=tuple(bars)),),
        is_cut=False,
    )


def any_timeline(agents: int, seed: int = 1) -> views.Timeline:
    """Return a timeline of so many agents, some of which tried again, over some days."""
    chance = random.Random(seed)
    rows: list[list[views.Bar]] = []
    for number in range(agents):
        begin = 5000.0 - 4900 * number / agents
        again = rows[-1] if rows and chance.random() < 0.3 and rows[-1][-1].end else None
        if again is not None and again[-1].end is not None:
            begin = (START - again[-1].end).total_seconds() / 60 - 1
        outcome = chance.choice(("stopped", "stopped", "crashed", "running", "waiting_for_input"))
        end = max(begin - chance.uniform(2, 600), 0) if outcome in ("stopped", "crashed") else None
        bar = a_bar(number, begin, end, outcome, len(again or ()) + 1, chance.choice((0, 1)))
        if again is None:
            rows.append([bar])
        else:
            again.append(bar)
    return a_timeline(rows, an_account("exhausted"))
