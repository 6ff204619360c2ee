"""The board: initiatives, their phases, and where each task stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, Unpack

from sqlalchemy import bindparam, select

from cw_store import (
    InitiativeStatus,
    InvalidValueError,
    PhaseStatus,
    ReadyOptions,
    Standing,
    TaskCategory,
    TaskPriority,
    TaskStatus,
    UnitOfWork,
)
from cw_store.views.lanes import Lanes, Place, read_lanes
from cw_store.views.plans import Details, Done, Plan, Spot, read_details, read_done, read_plan
from cw_store.views.reading import (
    IS_PENDING,
    IS_THERE,
    OF_INITIATIVE,
    agents,
    asking,
    check_limit,
    conversations,
    is_any_of,
    needed_initiative,
    read,
    read_accounts,
    read_agents,
    read_circles,
    read_questions,
)
from cw_store.views.seen import LANES, AccountSeen, AgentSeen, Lane, LaneCounts, QuestionSeen
from cw_store.views.snapshots import Source, snapshot
from cw_store.views.telling import Told, told_of

CARDS = 25
"""How many cards there are in a lane of a phase, unless it is said otherwise."""

Cards: TypeAlias = int | Mapping[Lane, int | None] | None
"""How many cards there are in a lane of a phase at most: in each lane alike, or in those that are
named, and none in the others; all where it says None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCard:
    """A task on the board.

    `why` says in a few words why it is where it is: what a waiting task waits for, what a person
    has to do for one that needs you; None where there is nothing to say. `waits_for` are the ids of
    the tasks that it waits for. `agent` is the one on it: whoever has claimed it, or else the
    newest that is or was at it; None for tasks that are ready, wait or are done.
    """

    id: str
    name: str
    lane: Lane
    status: TaskStatus
    priority: TaskPriority
    category: TaskCategory
    retry_count: int
    max_retries: int
    not_before: datetime | None
    changed_at: datetime
    why: str | None
    waits_for: tuple[str, ...]
    agent: AgentSeen | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardLane:
    """A lane of a phase: how many tasks are in it, and the cards of the first of them.

    They are in the order in which they are taken: by priority, then `order`, then oldest first;
    those that are done with the last one that was changed first.
    """

    lane: Lane
    count: int
    cards: tuple[TaskCard, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardPhase:
    """A phase of the board; `id` is None for the tasks that belong to no phase.

    `waits_for` are the names of the phases that it waits for. The lanes are all five, in their
    order.
    """

    id: str | None
    name: str
    status: PhaseStatus | None
    waits_for: tuple[str, ...]
    counts: LaneCounts
    lanes: tuple[BoardLane, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardInitiative:
    """An initiative of the board; `id` is None for the tasks that belong to none.

    `agents_at_work` is how many agents hold a claim of it, at most `max_agents` if that is given.
    """

    id: str | None
    name: str
    status: InitiativeStatus | None
    max_agents: int | None
    agents_at_work: int
    counts: LaneCounts
    phases: tuple[BoardPhase, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Everything at work, in the snapshot of `now`.

    `agents` are those that are running, wait for input or are idle, oldest first; `questions` those
    between agents that are pending, oldest first; `circles` the names of agents that wait for each
    other around a circle, the first one again at the end of each.
    """

    now: datetime
    counts: LaneCounts
    initiatives: tuple[BoardInitiative, ...]
    agents: tuple[AgentSeen, ...]
    questions: tuple[QuestionSeen, ...]
    circles: tuple[tuple[str, ...], ...]
    accounts: tuple[AccountSeen, ...]


async def board(
    source: Source,
    initiative_id: str | None = None,
    *,
    cards: Cards = CARDS,
    **options: Unpack[ReadyOptions],
) -> Board:
    """Return the board of an initiative, or of all that are not archived, oldest first.

    What is ready is so by the rule of `claims.find_ready`, of which `options` are the options. But
    where no `provider` is given, an account of any provider will do, and a store that has no
    accounts needs none. Counts are of all tasks; there are at most `cards` cards in a lane of a
    phase, and all with None; a mapping says so of each lane by itself, and those that it does not
    name have none. Agents and questions are those of the initiative, where one is given.

    `NotFoundError` for an unknown initiative; `InvalidValueError` for `cards` below 1 or of
    what is no lane, and for what `claims.find_ready` refuses.
    """
    most = _by_lane(cards)
    async with snapshot(source) as uow:
        if initiative_id is not None:
            await needed_initiative(uow, initiative_id)
        now = await uow.claims.now()
        accounts = await read_accounts(uow, now)
        if initiative_id is None:
            alive = await read_agents(uow, IS_THERE)
        else:
            alive = await read_agents(uow, IS_THERE, OF_INITIATIVE, initiative_id=initiative_id)
        lanes = await read_lanes(uow, alive, accounts, initiative_id, options)
        plan = await read_plan(uow, initiative_id)
        initiatives = await _read_initiatives(uow, lanes, plan, initiative_id, most, alive)
        questions, circles = await _read_questions(uow, initiative_id)
        return Board(
            now=now,
            counts=total(one.counts for one in initiatives),
            initiatives=initiatives,
            agents=tuple(alive),
            questions=questions,
            circles=circles,
            accounts=tuple(accounts),
        )


def total(counts: Iterable[LaneCounts]) -> LaneCounts:
    """Add up counts."""
    listed = list(counts)
    return LaneCounts(**{lane: sum(getattr(one, lane) for one in listed) for lane in LANES})


IS_ASKED_IN_INITIATIVE = (conversations.c.initiative_id == bindparam("initiative_id")) | (
    asking.c.initiative_id == bindparam("initiative_id")
)

NAMES = select(agents.c.id, agents.c.name).where(is_any_of(agents.c.id))


async def _read_questions(
    uow: UnitOfWork, initiative_id: str | None
) -> tuple[tuple[QuestionSeen, ...], tuple[tuple[str, ...], ...]]:
    """Return the pending questions, and the names around the circles of which any is a part."""
    circles = await read_circles(uow)
    if initiative_id is None:
        questions = await read_questions(uow, circles, IS_PENDING)
    else:
        of_it = IS_PENDING, IS_ASKED_IN_INITIATIVE
        questions = await read_questions(uow, circles, *of_it, initiative_id=initiative_id)
    who = {question.from_agent_id for question in questions}
    shown = [circle for circle in circles if who.intersection(circle)]
    ids = {id for circle in shown for id in circle}
    names = {id: name for id, name in await read(uow, NAMES, ids=list(ids))} if ids else {}
    return tuple(questions), tuple(tuple(names.get(id, id) for id in circle) for circle in shown)


Most = dict[Lane, int | None]
"""How many cards there are of each lane at most."""


def _by_lane(cards: Cards) -> Most:
    if not isinstance(cards, Mapping):
        cards = dict.fromkeys(LANES, cards)
    for lane, most in cards.items():
        if lane not in LANES:
            reason = f"takes lanes, which are {', '.join(LANES)}"
            raise InvalidValueError("board", "cards", lane, reason)
        if most is not None:
            check_limit("board", cards=most)
    return {lane: cards.get(lane, 0) for lane in LANES}


Heap = dict[Lane, list[Standing]]
"""The open tasks of a spot, by lane."""


Heaps = dict[tuple[str | None, str | None], Heap]
"""The heap of each Spot, which is such a tuple."""


def _heaped(lanes: Lanes) -> Heaps:
    heaps: Heaps = {}
    for standing in lanes.standings:
        spot = standing.initiative_id, standing.phase_id
        heap = heaps.get(spot)
        if heap is None:
            heap = heaps[spot] = {lane: [] for lane in LANES}
        heap[lanes.lane_of(standing)].append(standing)
    return heaps


async def _read_initiatives(
    uow: UnitOfWork,
    lanes: Lanes,
    plan: Plan,
    initiative_id: str | None,
    most: Most,
    alive: Iterable[AgentSeen],
) -> tuple[BoardInitiative, ...]:
    done = await read_done(uow, initiative_id, most["done"])
    heaps = _heaped(lanes)
    drawn: dict[str | None, list[BoardPhase]] = {}
    spots = [(spot, place) for spot, place in plan.spots() if _is_shown(spot, heaps, done)]
    shown = [
        standing
        for spot, _ in spots
        for lane, heap in heaps.get(spot, {}).items()
        for standing in heap[: most[lane]]
    ]
    done_ids = [id for spot, _ in spots for id in done.newest.get(spot, ())]
    drawer = _Drawer(lanes, plan, done, await read_details(uow, shown, done_ids), most)
    for spot, place in spots:
        drawn.setdefault(spot.initiative_id, []).append(
            drawer.phase(spot, place, heaps.get(spot, {}))
        )
    at_work: dict[str | None, int] = {}
    for agent in alive:
        if agent.lease_expires_at is not None:
            at_work[agent.initiative_id] = at_work.get(agent.initiative_id, 0) + 1
    return tuple(_initiatives(plan, drawn, at_work))


def _is_shown(spot: Spot, heaps: Heaps, done: Done) -> bool:
    """Whether there is a phase, or a task without one."""
    return spot.phase_id is not None or spot in heaps or spot in done.counts


def _initiatives(
    plan: Plan, drawn: dict[str | None, list[BoardPhase]], at_work: dict[str | None, int]
) -> Iterable[BoardInitiative]:
    for row in plan.initiatives:
        phases = drawn.get(row.id, [])
        yield BoardInitiative(
            id=row.id,
            name=row.name,
            status=row.status,
            max_agents=row.max_agents,
            agents_at_work=at_work.get(row.id, 0),
            counts=total(phase.counts for phase in phases),
            phases=tuple(phases),
        )
    if without := drawn.get(None):
        yield BoardInitiative(
            id=None,
            name="",
            status=None,
            max_agents=None,
            agents_at_work=at_work.get(None, 0),
            counts=total(phase.counts for phase in without),
            phases=tuple(without),
        )


class _Drawer:
    """Makes cards of what was read."""

    def __init__(self, lanes: Lanes, plan: Plan, done: Done, details: Details, most: Most) -> None:
        self._lanes = lanes
        self._phases = {phase.id: phase for phase in plan.phases}
        self._done = done
        self._details = details
        self._most = most

    def phase(self, spot: Spot, place: Place, heap: Heap) -> BoardPhase:
        """Draw a phase, or the tasks of an initiative that are in none."""
        row = self._phases.get(spot.phase_id)
        lanes = [
            BoardLane(
                lane=lane,
                count=len(heap.get(lane, ())),
                cards=tuple(self._cards_of(lane, heap.get(lane, ())[: self._most[lane]], place)),
            )
            for lane in LANES[:-1]
        ]
        lanes.append(self._done_lane(spot))
        return BoardPhase(
            id=spot.phase_id,
            name="" if row is None else row.name,
            status=None if row is None else row.status,
            waits_for=place.phase_waits_for,
            counts=LaneCounts(**{one.lane: one.count for one in lanes}),
            lanes=tuple(lanes),
        )

    def _done_lane(self, spot: Spot) -> BoardLane:
        return BoardLane(
            lane="done",
            count=self._done.counts.get(spot, 0),
            cards=tuple(
                self._card(id, Told("done"))
                for id in self._done.newest.get(spot, ())
                if id in self._details.tasks
            ),
        )

    def _cards_of(self, lane: Lane, listed: Sequence[Standing], place: Place) -> Iterable[TaskCard]:
        for one in listed:
            # What is not was deleted meanwhile, in a unit of work that writes beside others.
            if one.task_id in self._details.tasks:
                told = told_of(self._lanes, self._details, lane, one, place)
                yield self._card(one.task_id, told)

    def _card(self, id: str, told: Told) -> TaskCard:
        row = self._details.tasks[id]
        return TaskCard(
            id=id,
            name=row.name,
            lane=told.lane,
            status=row.status,
            priority=row.priority,
            category=row.category,
            retry_count=row.retry_count,
            max_retries=row.max_retries,
            not_before=row.not_before,
            changed_at=row.updated_at,
            why=told.why,
            waits_for=told.waits_for,
            agent=told.agent,
        )
