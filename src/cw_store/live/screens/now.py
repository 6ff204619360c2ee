"""What waits for a person, then who works on what, what could start, and why the rest waits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ScalarSelect, Table, bindparam, func, select

from cw_store import AgentStatus, Initiative, TaskPriority, UnitOfWork, metadata, views
from cw_store.live.pages import Page, Part, Region, Viewer
from cw_store.live.rendering import part
from cw_store.live.screens.head import counts_region, empty, read_head, screen_url

MOST_ITEMS = 100
"""So much of what waits for a person is listed, the oldest."""

LARGE = 200
"""With more tasks than that, of those that only wait few are shown, and what else there is comes
before them."""

FEW_CARDS: dict[views.Lane, int] = {"ready": 10, "waiting": 5}
"""How many cards of a lane there are then at most, where there is room for more."""

MOST_CARDS, FEWEST_CARDS = 25, 10
"""So many cards there are of a lane of a phase at most, however few or many phases there are."""

CARDS_IN_ALL = 200
"""So many cards there are of a lane, of all phases, where each has more than the fewest."""

AGENT_ORDER: tuple[AgentStatus, ...] = ("waiting_for_input", "crashed", "running", "idle")
"""Who is listed first: whoever cannot go on without somebody."""


async def now(source: views.Source, viewer: Viewer, initiative_id: str | None) -> Page:
    """Return the first screen, of one initiative or of all; NotFoundError when there is none."""
    async with views.snapshot(source) as uow:
        head = await read_head(uow, viewer, "now", initiative_id)
        inbox = await views.inbox(uow, initiative_id=initiative_id, limit=MOST_ITEMS)
        size = await _read_size(uow, head.shown)
        board = await views.board(uow, initiative_id, cards=_room(size))
    here = screen_url(viewer, "now", initiative_id)
    title = f"({inbox.total}) {head.name}" if inbox.total else head.name
    return Page(
        title,
        "now",
        (
            *head.regions,
            counts_region(viewer, board.counts),
            Region("inbox-count", (part("inbox-total", "total.html", viewer, total=inbox.total),)),
            Region("inbox", tuple(_inbox(viewer, inbox, here))),
            Region("board", tuple(_board(viewer, board, size, initiative_id is None))),
            Region("agents", tuple(_agents(viewer, board))),
            Region("questions", tuple(_questions(viewer, board, here))),
            Region("accounts", tuple(_accounts(viewer, board, here))),
        ),
        board.now,
    )


class Size(NamedTuple):
    """How many phases and tasks there are in the initiatives that are shown."""

    phases: int
    tasks: int

    @property
    def is_large(self) -> bool:
        """Whether there are too many tasks to show those that only wait."""
        return self.tasks > LARGE


def _count(table: Table) -> ScalarSelect[int]:
    is_shown = table.c.initiative_id.in_(bindparam("ids", expanding=True))
    return select(func.count()).select_from(table).where(is_shown).scalar_subquery()


SIZE = select(_count(metadata.tables["phases"]), _count(metadata.tables["tasks"]))


async def _read_size(uow: UnitOfWork, shown: Sequence[Initiative]) -> Size:
    ids = [initiative.id for initiative in shown]
    return Size(*(await uow.session.execute(SIZE, {"ids": ids})).one())


def _room(size: Size) -> dict[views.Lane, int | None]:
    """Return for how many cards there is room in each lane of a phase; what is done needs none."""
    most = max(FEWEST_CARDS, min(MOST_CARDS, CARDS_IN_ALL // max(size.phases, 1)))
    few = FEW_CARDS if size.is_large else {}
    return {lane: min(most, few.get(lane, most)) for lane in views.LANES if lane != "done"}


def _inbox(viewer: Viewer, inbox: views.Inbox, here: str) -> Iterator[Part]:
    for item in inbox.items:
        yield part(f"inbox-{item.kind}-{item.id}", "inbox_item.html", viewer, item=item, here=here)
    if left := inbox.total - len(inbox.items):
        told = f"And {left} more, which are newer; cw-store inbox lists them."
        yield empty("inbox-left", viewer, told, "li")
    if not inbox.items:
        yield empty("inbox-empty", viewer, "Nothing waits for you.", "li")


# The board: one grid, whose cells are the parts, so that a task that moves changes two of them.


class Card(NamedTuple):
    """What is told of a task on the board: nothing that changes while its agent only writes."""

    id: str
    name: str
    priority: TaskPriority
    is_blocked: bool
    why: str | None
    agent_id: str | None
    agent_name: str | None
    since: datetime | None
    not_before: datetime | None


def _board(viewer: Viewer, board: views.Board, size: Size, is_of_all: bool) -> Iterator[Part]:
    if not board.counts.total:
        yield empty("board-empty", viewer, "No task yet.")
        return
    is_large = size.is_large
    yield part("board-lanes", "board_lanes.html", viewer, counts=board.counts, is_large=is_large)
    for initiative in sorted(board.initiatives, key=lambda one: one.status == "completed"):
        of = initiative.id or "none"
        if is_of_all:
            yield _initiative(viewer, initiative)
        if is_of_all and initiative.status == "completed":
            continue  # it has a board of its own, where somebody wants to see it
        for phase in initiative.phases:
            yield from _phase(viewer, phase, phase.id or f"none-{of}")


def _initiative(viewer: Viewer, initiative: views.BoardInitiative) -> Part:
    id = initiative.id
    return part(
        f"initiative-{id or 'none'}",
        "board_initiative.html",
        viewer,
        name=initiative.name or "In no initiative",
        status=initiative.status,
        counts=initiative.counts,
        at_work=initiative.agents_at_work,
        most=initiative.max_agents,
        url=None if id is None else screen_url(viewer, "now", id),
        graph=None if id is None else screen_url(viewer, "graph", id),
        timeline=None if id is None else screen_url(viewer, "timeline", id),
    )


def _phase(viewer: Viewer, phase: views.BoardPhase, of: str) -> Iterator[Part]:
    name = phase.name or "In no phase"
    yield part(
        f"phase-{of}",
        "board_phase.html",
        viewer,
        name=name,
        status=phase.status,
        waits_for=phase.waits_for,
        counts=phase.counts,
    )
    for lane in phase.lanes:
        yield part(
            f"cell-{of}-{lane.lane}",
            "board_cell.html",
            viewer,
            phase=name,
            lane=lane.lane,
            count=lane.count,
            cards=tuple(map(_card, lane.cards)),
        )


def _card(card: views.TaskCard) -> Card:
    agent = card.agent
    return Card(
        card.id,
        card.name,
        card.priority,
        card.status == "blocked",
        _why(card),
        agent.id if agent else None,
        agent.name if agent else None,
        agent.started_at if agent and card.status == "in_progress" else None,
        card.not_before if card.why and card.why.startswith("not before") else None,
    )


def _why(card: views.TaskCard) -> str | None:
    """Return what there is to say beside what the phase says for all of its tasks."""
    is_of_phase = card.why is not None and card.why.startswith("its phase ")
    return None if is_of_phase else card.why


def _agents(viewer: Viewer, board: views.Board) -> Iterator[Part]:
    for agent in sorted(board.agents, key=lambda each: _place(each.status)):
        yield part(f"agent-{agent.id}", "agent_row.html", viewer, agent=agent)
    if not board.agents:
        yield empty("agents-empty", viewer, "No agent is at work.", "li")


def _place(status: AgentStatus) -> int:
    return AGENT_ORDER.index(status) if status in AGENT_ORDER else len(AGENT_ORDER)


def _questions(viewer: Viewer, board: views.Board, here: str) -> Iterator[Part]:
    for circle in board.circles:
        yield part(f"circle-{'-'.join(circle)}", "circle.html", viewer, circle=circle)
    for question in board.questions:
        yield part(f"question-{question.id}", "question.html", viewer, question=question, here=here)
    if not board.questions:
        yield empty("questions-empty", viewer, "No agent waits for another.", "li")


def _accounts(viewer: Viewer, board: views.Board, here: str) -> Iterator[Part]:
    for account in board.accounts:
        # When it was used last changes with every claim, and is not shown.
        yield part(
            f"account-{account.id}",
            "account.html",
            viewer,
            account=replace(account, last_used_at=None),
            here=here,
        )
    if not board.accounts:
        yield empty("accounts-empty", viewer, "There are no accounts.", "li")
