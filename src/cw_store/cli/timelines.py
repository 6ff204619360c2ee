"""`timeline`: who was at what, and when, as a table, a drawing, or a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from rich.cells import cell_len

from cw_store import views
from cw_store.cli.blocks import Block, Table, Text
from cw_store.cli.context import Context
from cw_store.cli.extras import needs_extra
from cw_store.cli.files import initiatives, is_for_file, write_text
from cw_store.cli.in_pipe import lines_of
from cw_store.safe_text import safe

Format = Literal["text", "svg", "html"]

COLUMNS = ("task", "phase", "try", "agent", "status", "exit_code", "start", "end", "account")

TASK, AGENT, STATUS = 26, 18, 17
"""So wide are columns beside the bars at most."""

GAPS = 6
CLOCK, DAY, DATED = "%H:%M", "%d %b", "%d %b %H:%M"

NARROWEST = 20

KEY = "━ ended  ✗ with an error or a crash  █ running  ░ waits for input  ┄ idle"


async def show_timeline(
    here: Context, initiative: str | None, form: Format, file: str | None
) -> None:
    """Show the timeline of an initiative, or of each that is not archived, or write it down."""
    async with here.reading() as store, store.unit_of_work(read_only=True) as uow:
        found = [await views.timeline(uow, id) for id in await initiatives(uow, initiative)]
    if here.output.is_json and not is_for_file(file):
        here.output.page(found)
    elif form == "text":
        _show_text(here, found, file)
    else:
        with needs_extra("live"):
            from cw_store.live import timeline_file, timeline_page
        drawn = timeline_file(*found) if form == "svg" else timeline_page(found)
        write_text(here, file, drawn)
    for each in found:
        if each.is_cut:
            here.output.remark(f"{each.initiative_name}: older agents are left out")


def _show_text(here: Context, found: Sequence[views.Timeline], file: str | None) -> None:
    if is_for_file(file) or not here.output.is_terminal:
        blocks: list[Block] = [_fields(found)]
        if is_for_file(file):
            write_text(here, file, "\n".join(lines_of(blocks)))
            return
    else:
        width = here.output.console().width
        blocks = [block for each in found for block in _bars(each, width)] or [
            Text(("there is no initiative",))
        ]
    here.output.page(found, *blocks, now=found[0].now if found else None)


def _fields(found: Iterable[views.Timeline]) -> Table:
    """Return a row for each try of each task."""
    rows = [
        (
            row.task_name,
            row.phase_name,
            bar.attempt or None,
            bar.agent_name,
            bar.outcome,
            bar.exit_code,
            bar.start,
            bar.end,
            bar.account_email,
        )
        for timeline in found
        for row in timeline.rows
        for bar in row.bars
    ]
    return Table(COLUMNS, rows)


def _bars(timeline: views.Timeline, width: int) -> Iterator[Block]:
    """Give a table whose rows have bars, and what they mean."""
    title = timeline.initiative_name
    if timeline.start is None or timeline.end is None:
        yield Text(("no agent was at work",), title=title)
        return
    tasks = [_short(row.task_name or "no task", TASK) for row in timeline.rows]
    agents = [_short(row.bars[-1].agent_name, AGENT) for row in timeline.rows]
    beside = (
        max(map(cell_len, [*tasks, "task"]))
        + max(map(cell_len, [*agents, "last agent"]))
        + max(len(row.bars[-1].outcome) for row in timeline.rows)
    )
    room = max(width - beside - GAPS, NARROWEST)
    scale = _Scale(timeline.start, timeline.end, room)
    rows = [
        (task, scale.line(row.bars, timeline.now), agent, row.bars[-1].outcome)
        for task, row, agent in zip(tasks, timeline.rows, agents, strict=True)
    ]
    yield Table(("task", scale.axis(), "last agent", "status"), rows, title=title)
    yield Text((KEY,))


def _short(name: str, most: int) -> str:
    told = safe(name)
    while cell_len(told) > most:
        told = told.removesuffix("…")[:-1] + "…"
    return told


class _Scale:
    """Puts times on a line of so many characters."""

    def __init__(self, start: datetime, end: datetime, width: int) -> None:
        self._start = start
        self._span = max(end - start, timedelta(seconds=1))
        self._width = width

    def _at(self, time: datetime) -> int:
        share = (time - self._start) / self._span
        return min(max(int(share * self._width), 0), self._width - 1)

    def axis(self) -> str:
        """Return the times at the beginning, in the middle and at the end."""
        end, axis = self._start + self._span, ""
        for begins, ends in self._forms(end):
            first, last = f"{self._start.astimezone(UTC):{begins}}", f"{end.astimezone(UTC):{ends}}"
            axis = f"{first} {last + ' UTC':>{self._width - len(first) - 1}}"
            if len(axis) <= self._width:
                break
        return axis

    def _forms(self, end: datetime) -> Iterator[tuple[str, str]]:
        """Give how both times may be written, the longest first."""
        if self._start.date() != end.date():
            yield DATED, DATED
            yield (DATED, CLOCK) if self._span < timedelta(days=1) else (DAY, DAY)
        yield CLOCK, CLOCK

    def line(self, bars: Sequence[views.Bar], now: datetime) -> str:
        """Return the tries of a task on one line; the last one is above others at the same time."""
        line = [" "] * self._width
        for bar in bars:
            begin, end = self._at(bar.start), self._at(bar.end or now)
            line[begin : end + 1] = _drawn(bar) * (end - begin + 1)
        for bar in bars:
            if bar.outcome == "crashed" or bar.exit_code:
                line[self._at(bar.end or now)] = "✗"
        return "".join(line).rstrip()


def _drawn(bar: views.Bar) -> str:
    match bar.outcome:
        case "running":
            return "█"
        case "waiting_for_input":
            return "░"
        case "idle":
            return "┄"
        case _:
            return "━"
