"""The inbox: what waits for a person, across all tables, oldest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from cw_store.views.snapshots import Source

InboxKind: TypeAlias = Literal[
    "message",
    "question",
    "agent",
    "task",
    "phase",
    "initiative",
    "errand",
    "proposal",
    "comment",
    "account",
]
"""What it is that waits for a person.

- `message`: an agent's message to the user, until somebody responds to it: `pending`, or read and
  requiring a response.
- `question`: one agent's question to another that is stopped or has crashed.
- `agent`: an agent that is `waiting_for_input`.
- `task`: a task that is `blocked`.
- `phase`, `initiative`: one that is `pending_review`.
- `errand`: one that is `pending_review`, or in `conflict`.
- `proposal`: one that is `pending`.
- `comment`: a review comment that is not resolved.
- `account`: an account that is exhausted without end.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxItem:
    """One thing that waits for a person.

    `since` is when it was stored, of what waits by its status when it was last changed. `title` is
    a line that names it; `text` is what is asked, said or proposed, as it is stored, and empty
    where there is nothing more to say. `who` is the name of the agent that it comes from, or the
    author of a comment, where that is known. `command` is the command line that answers it, quoted
    for a shell; `TEXT` in it stands for the answer.
    """

    kind: InboxKind
    id: str
    since: datetime
    title: str
    text: str
    who: str | None
    agent_id: str | None
    task_id: str | None
    task_name: str | None
    phase_id: str | None
    phase_name: str | None
    initiative_id: str | None
    initiative_name: str | None
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbox:
    """What waits for a person, oldest first, in the snapshot of `now`.

    `items` are at most as many as were asked for, the oldest; `counts` are of all, by kind, without
    those of which there is none.
    """

    now: datetime
    initiative_id: str | None
    items: tuple[InboxItem, ...]
    counts: dict[InboxKind, int]

    @property
    def total(self) -> int:
        """How many things wait; more than there are items if those were cut off."""
        return sum(self.counts.values())


async def inbox(source: Source, *, initiative_id: str | None = None, limit: int = 100) -> Inbox:
    """Return what waits for a person, oldest first, at most `limit` items.

    With `initiative_id` only what belongs to that initiative; accounts belong to none, and so do
    errands, and are left out then. An unknown initiative has an empty inbox. A `limit` below 1 is
    an `InvalidValueError`.
    """
    raise NotImplementedError
