"""The inbox: what waits for a person, across all tables, oldest first."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal, TypeAlias, cast

from sqlalchemy import Executable, bindparam, func, select

from cw_store import JsonValue, UnitOfWork
from cw_store.views.commands import ANSWER, command
from cw_store.views.lanes import tries
from cw_store.views.reading import agents, check_limit, is_any_of, needed_initiative, read
from cw_store.views.snapshots import Source, snapshot
from cw_store.views.waiting import LONGEST_TEXT, all_waiting

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
    a line that names it; `text` is what is asked, said or proposed, as it is stored, at most 4,000
    characters of it, and empty where there is nothing more to say. `who` is the name of the agent
    that it comes from, or the author of a comment, where that is known. `command` is the command
    line that answers it, quoted for a shell; `TEXT` in it stands for the answer.
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

    With `initiative_id` only what belongs to that initiative; accounts and errands belong to none,
    and are left out then. What belongs to an archived initiative waits for nobody.

    `NotFoundError` for an unknown initiative; `InvalidValueError` for a `limit` below 1.
    """
    check_limit("inbox", limit=limit)
    async with snapshot(source) as uow:
        if initiative_id is not None:
            await needed_initiative(uow, initiative_id)
        listing, counting = _waiting(is_of_initiative=initiative_id is not None)
        of_it = {} if initiative_id is None else {"initiative_id": initiative_id}
        found = await read(uow, listing, most=limit, **of_it)
        questions = await _pending_questions(uow, [row.id for row in found if row.kind == "agent"])
        return Inbox(
            now=await uow.claims.now(),
            initiative_id=initiative_id,
            items=tuple(_item(row, questions) for row in found),
            counts={kind: count for kind, count in await read(uow, counting, **of_it)},
        )


# Built once: SQLAlchemy takes as long to build them as the database takes for a small plan.
@cache
def _waiting(*, is_of_initiative: bool) -> tuple[Executable, Executable]:
    """Return the statements for what waits, the oldest first, and for how much of each kind."""
    waiting = all_waiting(is_of_initiative=is_of_initiative).subquery("waiting")
    oldest = select(waiting).order_by(waiting.c.since, waiting.c.kind, waiting.c.seq)
    kind = waiting.c.kind
    counts = select(kind, func.count()).group_by(kind).order_by(kind)
    return oldest.limit(bindparam("most")), counts


PENDING_QUESTIONS = select(agents.c.id, agents.c.pending_questions).where(is_any_of(agents.c.id))


async def _pending_questions(uow: UnitOfWork, ids: Iterable[str]) -> dict[str, str]:
    """Return what agents wait for, as text."""
    listed = list(ids)
    if not listed:
        return {}
    found = await read(uow, PENDING_QUESTIONS, ids=listed)
    return {id: in_words(questions)[:LONGEST_TEXT] for id, questions in found}


def in_words(value: JsonValue) -> str:
    """Return JSON as a person reads it: a list by lines, an object with a question as that."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(map(in_words, value))
    if isinstance(value, dict):
        for key in ("question", "text", "prompt"):
            if isinstance(told := value.get(key), str):
                return told
        if list(value) == ["questions"]:
            return in_words(value["questions"])
    return json.dumps(value, ensure_ascii=False)


def _item(row: Any, questions: dict[str, str]) -> InboxItem:
    kind = cast(InboxKind, row.kind)
    return InboxItem(
        kind=kind,
        id=row.id,
        since=row.since,
        title=_title(row),
        text=questions.get(row.id, "") if kind == "agent" else _text(row),
        who=row.who,
        agent_id=row.agent_id,
        task_id=row.task_id,
        task_name=row.task_name,
        phase_id=row.phase_id,
        phase_name=row.phase_name,
        initiative_id=row.initiative_id,
        initiative_name=row.initiative_name,
        command=_command(kind, row),
    )


def _title(row: Any) -> str:
    match row.kind:
        case "message":
            says = {"question": "asks you", "error": "reports an error", "response": "answers"}
            return f"{row.title or 'somebody'} {says.get(row.more, 'tells you')}"
        case "question":
            end = "has crashed" if row.more == "crashed" else "is stopped"
            return f"{row.who} asks {row.title}, which {end}"
        case "comment":
            return f"{row.title}:{row.more}"
        case "errand":
            return next(iter(row.title.splitlines()), "")
        case _:
            return row.title


def _text(row: Any) -> str:
    match row.kind:
        case "errand":
            return f"{row.text} is in conflict" if row.more == "conflict" else row.text
        case "task" if not row.text and int(row.more):
            return tries(int(row.more))
        case _:
            return row.text or ""


def _command(kind: InboxKind, row: Any) -> str:
    match kind:
        case "message" | "question":
            return command("answer", about=row.id, text=ANSWER)
        case "task":
            return command("retry", about=row.id)
        case "proposal":
            return command("accept", about=row.id)
        case "comment":
            return command("resolve", about=row.id)
        case "account":
            return command("account", "available", about=row.title)
        case _:
            return command("show", about=row.id)
