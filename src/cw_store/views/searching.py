"""Search: one text in names, ids, questions, messages, pages and logs, within bounds."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime

from cw_store import InvalidValueError, UnitOfWork
from cw_store.views.looking import CutReason, Looking
from cw_store.views.places import HitKind
from cw_store.views.reading import check_limit
from cw_store.views.snapshots import Source, snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """One row in which the text is.

    `column` is where in the row, `id` when its id begins with the text. `title` names the row;
    `excerpt` is the text around what was found, on one line. `agent_name` is whose log, message or
    question it is. `command` is the command line that shows more.
    """

    kind: HitKind
    id: str
    column: str
    title: str
    excerpt: str
    at: datetime
    agent_name: str | None
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchGroup:
    """The hits of one kind, newest first.

    `cut` is why not all rows of this kind were looked at, None if they were. `rows_looked_at` is
    how many were, those included that were deleted from among them.
    """

    kind: HitKind
    hits: tuple[SearchHit, ...]
    rows_looked_at: int
    cut: CutReason | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What was found, by kind, and how far was looked, in the snapshot of `now`.

    `groups` has every kind that was looked at, also those without a hit.
    """

    now: datetime
    text: str
    groups: tuple[SearchGroup, ...]
    seconds: float

    @property
    def is_cut(self) -> bool:
        """Whether there may be more than was found."""
        return any(group.cut for group in self.groups)


async def search(
    source: Source,
    text: str,
    *,
    limit: int = 20,
    row_limit: int = 1_000_000,
    time_limit: float = 2.0,
) -> SearchResult:
    """Find a text, whatever the case of its letters A to Z, and rows whose ids begin with it.

    At most `limit` hits of a kind are returned, the newest. At most the newest `row_limit` rows of
    a kind are looked at, and for at most about `time_limit` seconds in all; each group says whether
    that cut it off. In a unit of work that is given, a statement that runs when the time is over
    is waited for. Of less than four characters an id has to be the whole text.

    `InvalidValueError` for a text that is empty, longer than 1,000 characters or could not be
    stored, for limits below 1 and for a `time_limit` that is not above 0.
    """
    check_limit("search", limit=limit, row_limit=row_limit)
    _check_seconds(time_limit)
    looking = Looking(text, limit, row_limit, time_limit)
    if isinstance(source, UnitOfWork):
        await looking.look(source)
        return _result(looking)
    # A statement that goes on when the time is over is given up, and with it the snapshot.
    limited = asyncio.timeout(time_limit + GRACE)
    try:
        async with limited, snapshot(source) as uow:
            await looking.look(uow)
    except TimeoutError:
        if not limited.expired() or looking.now is None:
            raise
    return _result(looking)


GRACE = 0.1
"""Seconds that the statement which runs when the time is over may take besides."""


def _check_seconds(time_limit: object) -> None:
    if not isinstance(time_limit, (int, float)) or isinstance(time_limit, bool) or time_limit <= 0:
        raise InvalidValueError("search", "time_limit", time_limit, "takes seconds, more than 0")


def _result(looking: Looking) -> SearchResult:
    assert looking.now is not None, "it is read first"
    return SearchResult(
        now=looking.now,
        text=looking.text,
        groups=tuple(
            SearchGroup(
                kind=group.place.kind,
                hits=tuple(SearchHit(kind=group.place.kind, **hit._asdict()) for hit in group.hits),
                rows_looked_at=group.rows,
                cut=group.cut,
            )
            for group in looking.groups
        ),
        seconds=time.monotonic() - looking.started,
    )
