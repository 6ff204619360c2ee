"""Search: one text in names, ids, questions, messages, pages and logs, within bounds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from cw_store.views.snapshots import Source

HitKind: TypeAlias = Literal[
    "initiative",
    "phase",
    "task",
    "agent",
    "account",
    "project",
    "errand",
    "proposal",
    "page",
    "message",
    "conversation",
    "comment",
    "chat",
    "log",
]
"""In what the text was found."""

CutReason: TypeAlias = Literal["hits", "rows", "time"]
"""Why a search has not looked at all: enough was found, enough looked at, or the time was over."""


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
    how many were.
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
    row_limit: int = 100_000,
    time_limit: float = 2.0,
) -> SearchResult:
    """Find a text, whatever the case of its letters A to Z, and rows whose ids begin with it.

    At most `limit` hits of a kind are returned, the newest. At most the newest `row_limit` rows of
    a kind are looked at, and for at most about `time_limit` seconds in all; each group says whether
    that cut it off. An empty text is an `InvalidValueError`, and so are limits below 1.
    """
    raise NotImplementedError
