"""A timeline as a drawing: a row for each task, in it its tries; below them the accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from markupsafe import Markup

from cw_store import views
from cw_store.live.drawings.axis import briefly, exact, how_long, ticks
from cw_store.live.drawings.drawing import TEMPLATES, Drawing, document
from cw_store.live.drawings.outcomes import WORDS, Outcome, cross, hatch, outcome_of
from cw_store.live.drawings.text_widths import clipped, width_of
from cw_store.safe_text import safe

Href = Callable[[str], str | None]
"""Gives the address of what has this id, None where it has none."""

WIDTH = 1160
LABELS = 216
"""The width of what names the rows."""

RIGHT = 14
LEGEND = 32
AXIS = 36
LOAD = 40
"""The height of what says how many were at work."""

MANY = 48
"""With more rows than that, each is of one line."""

MOST = 300
"""So many rows are drawn, those of the tasks that were begun last."""

SIDE_BY_SIDE = 4
"""So many tries at the same time are drawn side by side in a row."""

AHEAD = 0.14
"""How much of the time that has passed is shown of the time to come, if an account rests then."""


def timeline_drawing(timeline: views.Timeline, *, href: Href | None = None) -> Drawing:
    """Return a timeline as a drawing; `href` gives the address of an agent by its id."""
    return _TimelineDrawer(timeline, href).drawing()


def timeline_svg(timeline: views.Timeline, *, href: Href | None = None) -> Markup:
    """Return a timeline as an SVG element for a page; `href` gives an agent's address by its id."""
    return timeline_drawing(timeline, href=href).element()


def timeline_file(*timelines: views.Timeline) -> str:
    """Return timelines as an SVG file that needs no other, one below the other."""
    return document([timeline_drawing(timeline) for timeline in timelines])


class _Label(NamedTuple):
    text: str
    x: float
    classes: str

    @property
    def is_before(self) -> bool:
        """Whether it ends at its place instead of beginning there."""
        return self.classes.endswith(" end")


class _Bar(NamedTuple):
    id: str
    x: float
    y: float
    width: float
    height: int
    outcome: Outcome
    hatch: str
    cross: str
    label: _Label | None
    title: str
    href: str | None


class _Row(NamedTuple):
    y: int
    height: int
    name: str
    phase: str
    title: str
    ways: str
    bars: tuple[_Bar, ...]


class _Band(NamedTuple):
    y: int
    name: str
    state: str
    title: str
    bars: tuple[tuple[float, float], ...]
    rest: tuple[float, float, str] | None
    told: str


class _TimelineDrawer:
    """Has the sizes and the words of one timeline."""

    def __init__(self, timeline: views.Timeline, href: Href | None) -> None:
        self._timeline = timeline
        self._href = href
        self._rows = timeline.rows[-MOST:]
        self._is_dense = len(self._rows) > MANY
        self._bar_height = 12 if self._is_dense else 18
        self._gap = 5 if self._is_dense else 14
        self._letters = 10 if self._is_dense else 11
        self._start = timeline.start or timeline.now
        self._end = self._last(timeline)
        self._span = (self._end - self._start).total_seconds()

    def _last(self, timeline: views.Timeline) -> datetime:
        """Return where the axis ends: a little in the future if an account rests then."""
        end = max(timeline.end or timeline.now, self._start + timedelta(minutes=1))
        if not self._rests():
            return end
        passed = max(timeline.now, end) - self._start
        ahead = timeline.now + passed * AHEAD
        rests = [band.account.until for band in timeline.accounts if band.account.until is not None]
        is_endless = any(band.account.state == "exhausted" for band in timeline.accounts)
        return max(end, ahead if is_endless else min(ahead, max(rests)))

    def _rests(self) -> bool:
        return any(band.account.state != "available" for band in self._timeline.accounts)

    def _x(self, time: datetime) -> float:
        share = (time - self._start).total_seconds() / self._span
        return round(LABELS + share * (WIDTH - RIGHT - LABELS), 1)

    def drawing(self) -> Drawing:
        timeline = self._timeline
        top = LEGEND + LOAD + AXIS
        rows = list(self._drawn(top))
        bottom = rows[-1].y + rows[-1].height if rows else top
        bands = list(self._bands(bottom + 34))
        height = (bands[-1].y + 22 if bands else bottom) + 8
        bars = [bar for row in timeline.rows for bar in row.bars]
        is_now = self._start <= timeline.now <= self._end
        content = TEMPLATES.get_template("timeline.svg").render(
            width=WIDTH,
            left=LABELS,
            right=WIDTH - RIGHT,
            top=top,
            bottom=height - 8,
            legend=list(self._legend(bars)),
            left_out=len(timeline.rows) - len(self._rows),
            is_cut=timeline.is_cut,
            load=self._load(bars),
            load_top=LEGEND,
            load_height=LOAD,
            ticks=self._ticks(),
            now=(self._x(timeline.now), briefly(timeline.now, timeline.now)) if is_now else None,
            rows=rows,
            accounts_top=bottom + 22,
            bands=bands,
            is_dense=self._is_dense,
        )
        return Drawing(
            id=f"drawn-timeline-{safe(timeline.initiative_id)}",
            name=safe(timeline.initiative_name),
            told="who was at what, and when",
            description=self._told(bars),
            width=WIDTH,
            height=height,
            has_links=self._href is not None,
            content=Markup(content),  # noqa: S704 -- the template has escaped it
        )

    def _told(self, bars: Sequence[views.Bar]) -> str:
        if not bars:
            return "No agent was at work."
        span = f"from {exact(self._start)} to {exact(self._timeline.end or self._timeline.now)}"
        return f"{len(bars)} agents at {len(self._timeline.rows)} tasks, {span}."

    def _legend(self, bars: Iterable[views.Bar]) -> Iterable[tuple[float, Outcome, str, str]]:
        found = [outcome_of(bar) for bar in bars]
        x = float(LABELS)
        for outcome, word in WORDS.items():
            if outcome in found:
                text = f"{found.count(outcome)} {word}"
                yield round(x), outcome, hatch(0, 0, 22, 12), text
                x += 28 + width_of(text, 12) + 18

    def _ticks(self) -> list[tuple[float, str, str, bool]]:
        """Return the ticks: place, time, date, and whether there is room to write them."""
        most = (WIDTH - RIGHT - LABELS) // 78
        now = self._x(self._timeline.now)
        places = [(self._x(tick.at), tick) for tick in ticks(self._start, self._end, most)]
        return [
            (x, tick.told, tick.date, LABELS + 12 <= x <= WIDTH - 20 and abs(x - now) > 20)
            for x, tick in places
        ]

    # How many were at work.

    def _load(self, bars: Sequence[views.Bar]) -> tuple[str, int]:
        """Return an area as high as agents were at work, and how many those were at most."""
        changes: dict[float, int] = {}
        now = self._timeline.now
        for bar in bars:
            begin, end = self._x(bar.start), self._x(bar.end or now)
            changes[begin] = changes.get(begin, 0) + 1
            changes[end] = changes.get(end, 0) - 1
        steps: list[tuple[float, int]] = []
        count = 0
        for x in sorted(changes):
            count += changes[x]
            steps.append((x, count))
        most = max((count for _, count in steps), default=0)
        if not most:
            return "", 0
        bottom, high = LEGEND + LOAD - 4, LOAD - 12
        path = f"M{LABELS} {bottom}"
        for x, count in steps:
            path += f"H{x:g}V{bottom - round(high * count / most, 1):g}"
        return f"{path}V{bottom}Z", most

    # Rows.

    def _drawn(self, y: int) -> Iterable[_Row]:
        for row in self._rows:
            lanes = _side_by_side(row.bars, self._timeline.now)
            height = (max(lanes, default=0) + 1) * (self._bar_height + 2) - 2 + self._gap
            bars = list(self._bars(row, lanes, y))
            name = safe(row.task_name or "without a task")
            phase = safe(row.phase_name or "")
            yield _Row(
                y,
                height,
                clipped(name, 12, LABELS - 20),
                "" if self._is_dense else clipped(phase, 11, LABELS - 20),
                "\n".join(filter(None, (name, phase, (row.task_status or "").replace("_", " ")))),
                self._ways(row, bars),
                tuple(bars),
            )
            y += height

    def _ways(self, row: views.TimelineRow, bars: Sequence[_Bar]) -> str:
        """Return lines from each try to the next one, around what is written between them."""
        path = ""
        for one, two in pairwise(bars if row.task_id is not None else ()):
            begin, end, middle = one.x + one.width, two.x, two.y + two.height / 2
            for label in (one.label, two.label):
                if label is not None and begin < label.x < end:
                    left, right = self._span_of_label(label)
                    begin, end = (right + 6, end) if label is one.label else (begin, left - 6)
            if begin + 4 < end:
                path += f"M{begin + 2:.1f} {middle:g}H{end:g}"
        return path

    def _bar_y(self, y: int, lane: int) -> float:
        return y + self._gap / 2 + lane * (self._bar_height + 2)

    def _bars(self, row: views.TimelineRow, lanes: Sequence[int], y: int) -> Iterable[_Bar]:
        spans = [self._span_of(bar) for bar in row.bars]
        taken = spans.copy()
        for at, (bar, lane) in enumerate(zip(row.bars, lanes, strict=True)):
            x, end = spans[at]
            label = self._label(self._name(row, bar), x, end, taken[:at] + taken[at + 1 :])
            if label is not None:
                taken.append(self._span_of_label(label))
            top, height = self._bar_y(y, lane), self._bar_height
            outcome = outcome_of(bar)
            is_bad = outcome in ("crashed", "failed")
            yield _Bar(
                id=safe(bar.agent_id),
                x=x,
                y=top,
                width=round(end - x, 1),
                height=height,
                outcome=outcome,
                hatch=hatch(x, top, end - x, height) if is_bad else "",
                cross=cross(end, top + height / 2) if is_bad else "",
                label=label,
                title=self._title(row, bar),
                href=None if self._href is None else self._href(bar.agent_id),
            )

    def _span_of(self, bar: views.Bar) -> tuple[float, float]:
        x = self._x(bar.start)
        return x, max(self._x(bar.end or self._timeline.now), x + 3)

    def _span_of_label(self, label: _Label) -> tuple[float, float]:
        width = width_of(label.text, self._letters)
        return (label.x - width, label.x) if label.is_before else (label.x, label.x + width)

    def _name(self, row: views.TimelineRow, bar: views.Bar) -> str:
        name = safe(bar.agent_name)
        return f"{bar.attempt} · {name}" if len(row.bars) > 1 and bar.attempt else name

    def _label(
        self, name: str, x: float, end: float, others: Sequence[tuple[float, float]]
    ) -> _Label | None:
        """Return where there is room for a name: in its bar, behind it, before it, or nowhere."""
        size = self._letters
        width, room = width_of(name, size), end - x - 12
        if width <= room:
            return _Label(name, x + 6, "inside")
        now = self._x(self._timeline.now)
        walls = [max(left, end) for left, right in others if right > end]
        behind = min([WIDTH - RIGHT, *(now,) * (end < now), *walls])
        if width <= behind - end - 16:
            return _Label(name, end + 9, "soft")
        before = max([LABELS, *(min(right, x) for left, right in others if left < x)])
        if width <= x - before - 16:
            return _Label(name, x - 6, "soft end")
        return _Label(clipped(name, size, room), x + 6, "inside") if room >= 40 else None

    def _title(self, row: views.TimelineRow, bar: views.Bar) -> str:
        is_retried = row.task_id is not None and len(row.bars) > 1
        attempt = f", try {bar.attempt} of {len(row.bars)}" if is_retried else ""
        outcome = outcome_of(bar)
        code = f" (exit code {bar.exit_code})" if outcome == "failed" else ""
        until = f" to {exact(bar.end)}" if bar.end is not None else ""
        lasted = how_long((bar.end or self._timeline.now) - bar.start)
        lines = (
            safe(bar.agent_name) + attempt,
            f"at {safe(row.task_name)}" if row.task_name is not None else "",
            f"{WORDS[outcome]}{code}, {lasted}",
            f"{'from' if until else 'since'} {exact(bar.start)}{until}",
            f"under {safe(bar.account_email)}" if bar.account_email is not None else "",
        )
        return "\n".join(line for line in lines if line)

    # Accounts.

    def _bands(self, y: int) -> Iterable[_Band]:
        now = self._timeline.now
        for band in self._timeline.accounts:
            account = band.account
            email = safe(account.email)
            told, state = _state_of(account, now)
            rest = None
            if account.state != "available":
                end = self._end if account.until is None else min(account.until, self._end)
                x, right = self._x(now), max(self._x(end), self._x(now) + 3)
                rest = (x, round(right - x, 1), hatch(x, y, right - x, 14))
            yield _Band(
                y,
                clipped(email, 12, LABELS - 20 - (width_of(told, 11) + 8 if told else 0)),
                account.state,
                f"{email}\n{state}",
                tuple(self._worked(band.bars)),
                rest,
                told,
            )
            y += 22

    def _worked(self, bars: Sequence[views.Bar]) -> Iterable[tuple[float, float]]:
        for bar in bars:
            x = self._x(bar.start)
            yield x, round(max(self._x(bar.end or self._timeline.now) - x, 2), 1)


def _state_of(account: views.AccountSeen, now: datetime) -> tuple[str, str]:
    """Say in a word or two and in a sentence whether an account can be used."""
    match account.state, account.until:
        case "exhausted", _:
            return "exhausted", "exhausted until somebody brings it back"
        case "exhausted_until", datetime() as until:
            return f"until {briefly(until, now)}", f"rests until {exact(until)}"
        case _:
            return "", "available" if account.has_room else "has as many agents as it may"


def _side_by_side(bars: Sequence[views.Bar], now: datetime) -> list[int]:
    """Return of each bar how many are above it, so that those at the same time do not overlap."""
    ends: list[datetime] = []
    lanes: list[int] = []
    for bar in bars:
        free = next((at for at, end in enumerate(ends) if end <= bar.start), len(ends))
        free = min(free, SIDE_BY_SIDE - 1)
        end = bar.end or now
        if free == len(ends):
            ends.append(end)
        else:
            ends[free] = max(ends[free], end)
        lanes.append(free)
    return lanes
