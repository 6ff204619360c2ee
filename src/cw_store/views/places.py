"""In which tables a search looks, and how it says what it has found there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    func,
    null,
    or_,
    select,
)

from cw_store import UnitOfWork, metadata
from cw_store.views.commands import command
from cw_store.views.plans import initiatives, phases
from cw_store.views.reading import accounts, agents, chunks, conversations, tasks

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
"""In what a text was found."""

FindIds: TypeAlias = Callable[[UnitOfWork, str, int], Awaitable[list[str]]]
"""Finds the ids that begin with a text, at most so many."""

ESCAPE = "!"
"""What stands before a character of a pattern that is meant as it is."""

LONGEST_LOOK = 100_000
"""So many characters of a text are read to say where in it something was found."""


def pattern_of(text: str) -> str:
    """Return the pattern of what holds the text, in which `%` and `_` stand for themselves."""
    for special in (ESCAPE, "%", "_"):
        text = text.replace(special, ESCAPE + special)
    return f"%{text}%"


NOTHING = cast(null(), Text)


def _show(row: Any, _text: str) -> str:
    return command("show", about=row.id)


def _show_session(row: Any, _text: str) -> str:
    return command("show", about=row.more)


def _show_log(row: Any, text: str) -> str:
    words = ("logs", "--session", row.more, f"--grep={text}")
    return command(*words, about=row.agent_name)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A table, the columns that are looked at, and what is told of a row.

    `find_ids` looks at ids too, where a person has them.
    """

    kind: HitKind
    table: Table
    columns: tuple[str, ...]
    title: ColumnElement[Any]
    find_ids: FindIds | None = None
    source: FromClause | None = None
    agent_name: ColumnElement[Any] = NOTHING
    json_columns: tuple[str, ...] = ()
    more: ColumnElement[Any] = NOTHING
    show: Callable[[Any, str], str] = _show

    def selected(self) -> Select[Any]:
        """Select rows, newest first: what is told of each, and the beginnings of its texts."""
        columns: list[ColumnElement[Any]] = [
            self.table.c.seq,
            self.table.c.id,
            self.table.c.created_at.label("at"),
            self.title.label("title"),
            self.agent_name.label("agent_name"),
            self.more.label("more"),
        ]
        columns += [
            func.substr(self._as_text(name), 1, LONGEST_LOOK).label(f"text_{name}")
            for name in self.columns
        ]
        rows = select(*columns).select_from(self.table if self.source is None else self.source)
        return rows.order_by(self.table.c.seq.desc())

    def holds(self) -> ColumnElement[bool]:
        """Say that any column is like the parameter `pattern`, or in JSON `json_pattern`."""
        return or_(
            *[
                self._as_text(name).ilike(
                    bindparam(
                        "json_pattern" if name in self.json_columns else "pattern", type_=Text()
                    ),
                    escape=ESCAPE,
                )
                for name in self.columns
            ]
        )

    def _as_text(self, name: str) -> ColumnElement[Any]:
        column = self.table.c[name]
        return cast(column, Text) if name in self.json_columns else column


errands = metadata.tables["errands"]
messages = metadata.tables["messages"]
pages = metadata.tables["pages"]
projects = metadata.tables["projects"]
proposals = metadata.tables["proposals"]
comments = metadata.tables["review_comments"]
chat_messages = metadata.tables["chat_messages"]


def _with_agent(table: Table, agent_id: str) -> FromClause:
    return table.outerjoin(agents, agents.c.id == table.c[agent_id])


# From what is found at once to the largest.
PLACES = (
    Place(
        kind="initiative",
        table=initiatives,
        columns=("name", "branch"),
        title=initiatives.c.name,
        find_ids=lambda uow, text, most: uow.initiatives.find_ids(text, limit=most),
    ),
    Place(
        kind="phase",
        table=phases,
        columns=("name",),
        title=phases.c.name,
        find_ids=lambda uow, text, most: uow.phases.find_ids(text, limit=most),
    ),
    Place(
        kind="task",
        table=tasks,
        columns=("name", "description", "summary"),
        title=tasks.c.name,
        find_ids=lambda uow, text, most: uow.tasks.find_ids(text, limit=most),
    ),
    Place(
        kind="agent",
        table=agents,
        columns=("name", "worktree_id", "session_id"),
        title=agents.c.name,
        agent_name=agents.c.name,
        find_ids=lambda uow, text, most: uow.agents.find_ids(text, limit=most),
    ),
    Place(
        kind="account",
        table=accounts,
        columns=("email",),
        title=accounts.c.email,
        find_ids=lambda uow, text, most: uow.accounts.find_ids(text, limit=most),
    ),
    Place(
        kind="project",
        table=projects,
        columns=("name", "url"),
        title=projects.c.name,
        find_ids=lambda uow, text, most: uow.projects.find_ids(text, limit=most),
    ),
    Place(
        kind="errand",
        table=errands,
        columns=("description", "branch"),
        title=errands.c.branch,
        source=_with_agent(errands, "agent_id"),
        agent_name=agents.c.name,
        find_ids=lambda uow, text, most: uow.errands.find_ids(text, limit=most),
    ),
    Place(
        kind="proposal",
        table=proposals,
        columns=("title", "summary", "content"),
        title=proposals.c.title,
        source=_with_agent(proposals, "agent_id"),
        agent_name=agents.c.name,
        find_ids=lambda uow, text, most: uow.proposals.find_ids(text, limit=most),
    ),
    Place(
        kind="page",
        table=pages,
        columns=("title", "content"),
        title=pages.c.title,
        json_columns=("content",),
        find_ids=lambda uow, text, most: uow.pages.find_ids(text, limit=most),
    ),
    Place(
        kind="message",
        table=messages,
        columns=("content",),
        title=func.coalesce(agents.c.name, messages.c.sender_type),
        source=_with_agent(messages, "sender_id"),
        agent_name=agents.c.name,
        find_ids=lambda uow, text, most: uow.messages.find_ids(text, limit=most),
    ),
    Place(
        kind="conversation",
        table=conversations,
        columns=("question", "answer"),
        title=agents.c.name,
        source=_with_agent(conversations, "from_agent_id"),
        agent_name=agents.c.name,
        find_ids=lambda uow, text, most: uow.conversations.find_ids(text, limit=most),
    ),
    Place(
        kind="comment",
        table=comments,
        columns=("file_path", "body"),
        title=comments.c.file_path,
        find_ids=lambda uow, text, most: uow.review_comments.find_ids(text, limit=most),
    ),
    Place(
        kind="chat",
        table=chat_messages,
        columns=("content",),
        title=chat_messages.c.role,
        more=chat_messages.c.chat_session_id,
        show=_show_session,
    ),
    Place(
        kind="log",
        table=chunks,
        columns=("content",),
        title=chunks.c.agent_name,
        agent_name=chunks.c.agent_name,
        more=cast(chunks.c.session_number, Text),
        show=_show_log,
    ),
)

OF_KIND = {place.kind: place for place in PLACES}
