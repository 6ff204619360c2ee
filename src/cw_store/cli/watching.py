"""`watch`: what happens, looked at again and again, until there is nothing more to see."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple, TypeAlias, TypeVar

from cw_store import Store, StoreBusyError, UnitOfWork, views
from cw_store.cli.blocks import Block, Table, Text
from cw_store.cli.cells import as_time
from cw_store.cli.context import BUSY_TIMEOUT, Context
from cw_store.cli.endless import ended_when_nobody_reads
from cw_store.cli.finding import find
from cw_store.cli.inboxes import what_waits
from cw_store.safe_text import safe

T = TypeVar("T")

SHORTEST = 0.1
"""Seconds between two looks at least, so that nobody is kept from working by being watched."""

MOST = 10
FEW = 6
"""So many agents and accounts are shown, and so much of what waits, to have room for all."""


class Seen(NamedTuple):
    """One look: what waits for a person, the board, and whether time alone changes something."""

    inbox: views.Inbox
    board: views.Board
    changes_by_itself: bool

    @property
    def is_over(self) -> bool:
        """Whether no initiative is at work any more."""
        return all(each.status != "active" for each in self.board.initiatives)

    @property
    def is_stuck(self) -> bool:
        """Whether nothing goes on until a person does something."""
        counts = self.board.counts
        return not (counts.running or counts.ready or self.changes_by_itself)


Show: TypeAlias = Callable[[Seen], None]


async def watch(here: Context, initiative: str | None, every: float) -> int:
    """Show each look until the initiative, or all of them, ended; return the exit code."""
    async with here.reading() as store:
        id = await _read(store, lambda uow: _id(uow, initiative))
        with ended_when_nobody_reads(), _shown(here) as show:
            while True:
                seen = await _read(store, lambda uow: _look(uow, id))
                show(seen)
                if seen.is_over or seen.is_stuck:
                    break
                await asyncio.sleep(max(every, SHORTEST))
    if seen.is_over:
        return 0
    if seen.inbox.total:
        here.output.remark("nothing goes on until somebody answers; cw-store inbox says what")
    else:
        here.output.remark("nothing goes on by itself; cw-store ready --explain says why")
    return 1


async def _read(store: Store, look: Callable[[UnitOfWork], Awaitable[T]]) -> T:
    """Look at one snapshot, again while others just begin, or end, to use the file.

    That is tried for as long as any command waits for a turn.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + BUSY_TIMEOUT
    while True:
        try:
            async with store.unit_of_work(read_only=True) as uow:
                return await look(uow)
        except StoreBusyError:
            if loop.time() > end:
                raise
        await asyncio.sleep(SHORTEST)


async def _id(uow: UnitOfWork, typed: str | None) -> str | None:
    return None if typed is None else (await find(uow, typed, "initiative")).id


async def _look(uow: UnitOfWork, id: str | None) -> Seen:
    return Seen(
        await views.inbox(uow, initiative_id=id, limit=MOST),
        await views.board(uow, id, cards={}),
        await uow.claims.next_deadline() is not None,
    )


@contextmanager
def _shown(here: Context) -> Generator[Show]:
    """Give what shows a look: drawn anew on a terminal, and as lines of what is new elsewhere."""
    if here.output.is_json or not here.output.is_terminal:
        yield _Lines(here).show
        return
    from rich.console import Group
    from rich.live import Live

    from cw_store.cli.on_terminal import drawn

    console = here.output.console()
    with Live(console=console, auto_refresh=False) as live:

        def show(seen: Seen) -> None:
            blocks = drawn(_blocks(seen), seen.board.now, console.width)
            live.update(Group(*blocks), refresh=True)

        yield show


def _blocks(seen: Seen) -> list[Block]:
    return [
        Text((_summary(seen.board),)),
        _waiting(seen.inbox),
        _agents(seen.board),
        _accounts(seen.board),
    ]


def _summary(board: views.Board) -> str:
    names = ", ".join(each.name for each in board.initiatives) or "no initiatives"
    counts = board.counts
    return (
        f"{names}: {counts.done} of {counts.total} done, {counts.running} running, "
        f"{counts.ready} ready, {counts.waiting} waiting, {counts.needs_you} need you"
    )


def _waiting(inbox: views.Inbox) -> Table:
    rows = [(item.since, item.kind, what_waits(item)) for item in inbox.items[:FEW]]
    title = f"waits for you: {inbox.total} (cw-store inbox says how to answer)"
    return Table(("since", "kind", "wants"), rows, title=title, nothing="nothing")


def _agents(board: views.Board) -> Table:
    rows = [
        (each.name, each.status, each.task_name, each.account_email, each.seen_at)
        for each in board.agents[:MOST]
    ]
    columns = ("agent", "status", "task", "account", "seen")
    return Table(columns, rows, title=f"agents: {len(board.agents)}", nothing="none at work")


def _accounts(board: views.Board) -> Table:
    rows = [
        (each.email, each.provider, each.state, each.until, ", ".join(each.agent_names))
        for each in board.accounts[:MOST]
    ]
    columns = ("email", "provider", "state", "until", "agents")
    return Table(columns, rows, title=f"accounts: {len(board.accounts)}", nothing="none")


class _Lines:
    """Shows in lines what is different from the look before."""

    def __init__(self, here: Context) -> None:
        self._output = here.output
        self._command = here.command
        self._counts: views.LaneCounts | None = None
        self._told: set[str] = set()

    def show(self, seen: Seen) -> None:
        """Show new counts, and what waits for a person since the last look."""
        counts, now = seen.board.counts, seen.board.now
        new = [item for item in seen.inbox.items if item.id not in self._told]
        self._told |= {item.id for item in new}
        if counts != self._counts:
            self._counts = counts
            self._line(now, "tasks", _summary(seen.board), data={"at": now, "counts": counts})
        for item in new:
            told = replace(item, command=self._command(item.command))
            fields = (told.kind, what_waits(told), told.command)
            self._line(now, *fields, data={"at": now, "item": told})

    def _line(self, at: datetime, *fields: str, data: object) -> None:
        self._output.written_line("\t".join((as_time(at), *map(safe, fields))), data=data)
