"""How a search goes from place to place, part by part, until it is over or has to be."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Literal, NamedTuple, TypeAlias

from sqlalchemy import Select, bindparam, func, select

from cw_store import InvalidValueError, UnitOfWork
from cw_store.views.places import LONGEST_LOOK, OF_KIND, PLACES, HitKind, Place, pattern_of
from cw_store.views.reading import is_any_of, read

CutReason: TypeAlias = Literal["hits", "rows", "time"]
"""Why a search has not looked at all: enough was found, enough looked at, or the time was over."""

LONGEST_TEXT = 1_000
"""Characters that can be looked for: SQLite takes patterns up to 50,000 bytes."""

FIRST_PART, LARGEST_PART = 500, 20_000
"""Rows that are looked at in one statement, between which the time is looked at."""

QUICK, SLOW = 0.005, 0.05
"""Seconds for a part below which parts become larger, and above which they become smaller."""

SHORTEST_PREFIX = 4
"""Characters of an id from which on it is found by its beginning."""

AROUND = 60
"""Characters of an excerpt before and behind what was found."""


class Hit(NamedTuple):
    """A row in which the text was found."""

    id: str
    column: str
    title: str
    excerpt: str
    at: datetime
    agent_name: str | None
    command: str


@dataclass
class Group:
    """What was found in one place so far; `cut` is what it is if nothing more happens."""

    place: Place
    hits: list[Hit] = field(default_factory=list[Hit])
    ids: set[str] = field(default_factory=set[str])
    rows: int = 0
    cut: CutReason | None = "time"


class Looking:
    """Looks in one place after the other, and keeps what it has found, however it ends."""

    def __init__(self, text: str, limit: int, row_limit: int, time_limit: float) -> None:
        self.text = text
        self.started = time.monotonic()
        self.groups = [Group(place) for place in PLACES]
        self.now: datetime | None = None
        self._limit = limit
        self._row_limit = row_limit
        self._ends = self.started + time_limit

    async def look(self, uow: UnitOfWork) -> None:
        """Look everywhere, as long as there is time."""
        await uow.tasks.find_ids(self.text, limit=1)  # which refuses what cannot be stored
        if not 1 <= len(self.text) <= LONGEST_TEXT:
            reason = f"takes 1 to {LONGEST_TEXT:,} characters"
            raise InvalidValueError("search", "text", self.text, reason)
        self.now = await uow.claims.now()
        for group in self.groups:
            if self._is_time_left():
                await self._look_at_ids(uow, group)
                await self._look_at_texts(uow, group)

    def _is_time_left(self) -> bool:
        return time.monotonic() < self._ends

    async def _look_at_ids(self, uow: UnitOfWork, group: Group) -> None:
        if group.place.find_ids is None:
            return
        ids = await group.place.find_ids(uow, self.text, self._limit)
        if len(self.text) < SHORTEST_PREFIX:
            ids = [id for id in ids if id == self.text]
        if ids:
            for row in await read(uow, _by_ids(group.place.kind), ids=ids):
                self._add(group, row, "id", row.id)

    async def _look_at_texts(self, uow: UnitOfWork, group: Group) -> None:
        """Look at one part after the other, the newest first."""
        first, last = (await read(uow, _ends_of(group.place.kind)))[0]
        if last is None:
            group.cut = None
            return
        size, oldest = FIRST_PART, max(first, last - self._row_limit + 1)
        while last >= oldest and len(group.hits) < self._limit:
            if not self._is_time_left():
                return
            begun = time.monotonic()
            last = await self._look_at_part(uow, group, max(oldest, last - size + 1), last)
            size = _next_size(size, time.monotonic() - begun)
        if last < first:
            group.cut = None
        else:
            group.cut = "hits" if len(group.hits) >= self._limit else "rows"

    async def _look_at_part(self, uow: UnitOfWork, group: Group, lowest: int, last: int) -> int:
        """Look at the rows from the last down to the lowest; return where to go on."""
        most = self._limit - len(group.hits)
        rows = await read(
            uow,
            _part_of(group.place.kind).limit(most),
            pattern=pattern_of(self.text),
            json_pattern=pattern_of(json.dumps(self.text, ensure_ascii=False)[1:-1]),
            lowest=lowest,
            last=last,
        )
        for row in rows:
            if row.id not in group.ids and (where := self._where(group.place, row)) is not None:
                self._add(group, row, *where)
        reached = rows[-1].seq if len(rows) == most else lowest
        group.rows += last - reached + 1
        return reached - 1

    def _where(self, place: Place, row: Any) -> tuple[str, str] | None:
        """Return the column in which the text is, and what is around it there."""
        far_behind: tuple[str, str] | None = None
        for name in place.columns:
            stored: str = getattr(row, f"text_{name}") or ""
            for text in _texts_of(stored, is_json=name in place.json_columns):
                if (around := excerpt(text, self.text)) is not None:
                    return name, around
            if len(stored) >= LONGEST_LOOK:
                far_behind = name, on_one_line(stored[: 2 * AROUND]) + "…"
        return far_behind

    def _add(self, group: Group, row: Any, column: str, around: str) -> None:
        group.ids.add(row.id)
        shown = group.place.show(row, self.text)
        title = on_one_line(row.title)
        group.hits.append(Hit(row.id, column, title, around, row.at, row.agent_name, shown))


def _next_size(size: int, seconds: float) -> int:
    if seconds < QUICK:
        return min(size * 2, LARGEST_PART)
    return max(size // 2, 1) if seconds > SLOW else size


@cache
def _by_ids(kind: HitKind) -> Select[Any]:
    place = OF_KIND[kind]
    return place.selected().where(is_any_of(place.table.c.id))


@cache
def _ends_of(kind: HitKind) -> Select[Any, Any]:
    """Select the first and the last place of a table, each by the end of an index."""
    seq = OF_KIND[kind].table.c.seq
    return select(select(func.min(seq)).scalar_subquery(), select(func.max(seq)).scalar_subquery())


@cache
def _part_of(kind: HitKind) -> Select[Any]:
    place = OF_KIND[kind]
    seq = place.table.c.seq
    is_in_it = seq.between(bindparam("lowest"), bindparam("last"))
    return place.selected().where(is_in_it, place.holds())


TEXT_IN_JSON = re.compile(r'"text"\s*:\s*("(?:[^"\\]|\\.)*")')


def _texts_of(stored: str, *, is_json: bool) -> Iterator[str]:
    """Give the texts in which something can be found; of a page's JSON those that it shows."""
    found: list[str] = TEXT_IN_JSON.findall(stored) if is_json else []
    if not found:
        yield stored
    for text in found:
        yield json.loads(text)


def excerpt(text: str, wanted: str) -> str | None:
    """Return what is around a text, on one line; None where it is not."""
    found = re.search(re.escape(wanted), text, re.IGNORECASE | re.ASCII)
    if found is None:
        return None
    start, end = max(found.start() - AROUND, 0), found.end() + AROUND
    before, behind = "…" if start else "", "…" if end < len(text) else ""
    return before + on_one_line(text[start:end]) + behind


def on_one_line(text: str) -> str:
    """Return a text with single spaces for all that is blank in it."""
    return " ".join(text.split())
