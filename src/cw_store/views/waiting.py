"""What waits for a person, in SQL: one statement, in which each kind has the same columns."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    FromClause,
    Select,
    Text,
    TextClause,
    bindparam,
    cast,
    func,
    literal_column,
    null,
    select,
    text,
    true,
    union_all,
)

from cw_store import metadata
from cw_store.views.plans import initiatives, phases
from cw_store.views.reading import (
    IS_PENDING,
    accounts,
    agents,
    asked,
    conversations,
    exactly,
    tasks,
)

LONGEST_TEXT = 4_000
"""So many characters of a text are read."""

messages = metadata.tables["messages"]
proposals = metadata.tables["proposals"]
errands = metadata.tables["errands"]
comments = metadata.tables["review_comments"]

COLUMNS = (
    "title",
    "text",
    "more",
    "who",
    "agent_id",
    "task_id",
    "task_name",
    "phase_id",
    "phase_name",
    "initiative_id",
    "initiative_name",
)

IS_NOT_ARCHIVED = func.coalesce(initiatives.c.status, "") != "archived"


def _waiting(
    kind: str,
    row: FromClause,
    since: str,
    source: FromClause,
    *where: ColumnElement[bool] | TextClause,
    **given: ColumnElement[Any],
) -> Select[Any]:
    """Select what waits of one kind: `since` is the column that says since when."""
    nothing = cast(null(), Text)
    return (
        select(
            literal_column(f"'{kind}'", Text()).label("kind"),
            row.c.id.label("id"),
            row.c[since].label("since"),
            row.c.seq.label("seq"),
            *[given.get(name, nothing).label(name) for name in COLUMNS],
        )
        .select_from(source)
        .where(*where)
    )


def _beginning(column: ColumnElement[Any]) -> ColumnElement[str]:
    return func.substr(column, 1, LONGEST_TEXT)


of_agent = {"agent_id": agents.c.id, "who": agents.c.name}
of_task = {"task_id": tasks.c.id, "task_name": tasks.c.name}
of_phase = {"phase_id": phases.c.id, "phase_name": phases.c.name}
of_initiative = {"initiative_id": initiatives.c.id, "initiative_name": initiatives.c.name}
of_all = {**of_agent, **of_task, **of_phase, **of_initiative}


def _placed(source: FromClause, task_id: Any, initiative_id: Any) -> FromClause:
    """Join a task, its phase and an initiative, as far as there are any."""
    return (
        source.outerjoin(tasks, tasks.c.id == task_id)
        .outerjoin(phases, phases.c.id == tasks.c.phase_id)
        .outerjoin(
            initiatives, initiatives.c.id == func.coalesce(initiative_id, tasks.c.initiative_id)
        )
    )


# Messages, of which those that are read and require a response are found by another index.

to_user = exactly(messages.c.recipient_type, "user")

sent = _placed(
    messages.outerjoin(agents, agents.c.id == messages.c.sender_id),
    agents.c.task_id,
    agents.c.initiative_id,
)

of_message = {
    "title": func.coalesce(agents.c.name, ""),
    "text": _beginning(messages.c.content),
    "more": messages.c.type,
}

NEW_MESSAGES = _waiting(
    "message",
    messages,
    "created_at",
    sent,
    to_user,
    exactly(messages.c.status, "pending"),
    **of_message,
    **of_all,
)

READ_MESSAGES = _waiting(
    "message",
    messages,
    "created_at",
    sent,
    # Word for word the condition of an index.
    text("messages.requires_response AND messages.status <> 'responded'"),
    # Expressions, or SQLite would go through all that was ever read.
    func.coalesce(messages.c.status, "") == "read",
    func.coalesce(messages.c.recipient_type, "") == "user",
    **of_message,
    **of_all,
)

QUESTIONS = _waiting(
    "question",
    conversations,
    "created_at",
    _placed(
        conversations.join(agents, agents.c.id == conversations.c.from_agent_id).join(
            asked, asked.c.id == conversations.c.to_agent_id
        ),
        func.coalesce(conversations.c.task_id, agents.c.task_id),
        func.coalesce(conversations.c.initiative_id, agents.c.initiative_id),
    ),
    IS_PENDING,
    asked.c.status.in_(["stopped", "crashed"]),
    title=asked.c.name,
    text=_beginning(conversations.c.question),
    more=asked.c.status,
    **of_all,
)

AGENTS = _waiting(
    "agent",
    agents,
    "updated_at",
    _placed(agents, agents.c.task_id, agents.c.initiative_id),
    exactly(agents.c.status, "waiting_for_input"),
    title=agents.c.name,
    **of_all,
)

last = agents.alias("last")

newest_agent = (
    select(last.c.name)
    .where(last.c.task_id == tasks.c.id)
    .order_by(last.c.seq.desc())
    .limit(1)
    .scalar_subquery()
)

TASKS = _waiting(
    "task",
    tasks,
    "updated_at",
    tasks.outerjoin(phases, phases.c.id == tasks.c.phase_id).outerjoin(
        initiatives, initiatives.c.id == tasks.c.initiative_id
    ),
    exactly(tasks.c.status, "blocked"),
    title=tasks.c.name,
    text=_beginning(func.coalesce(tasks.c.summary, "")),
    more=cast(tasks.c.retry_count, Text),
    who=newest_agent,
    **of_task,
    **of_phase,
    **of_initiative,
)

PHASES = _waiting(
    "phase",
    phases,
    "updated_at",
    phases.join(initiatives, initiatives.c.id == phases.c.initiative_id),
    exactly(phases.c.status, "pending_review"),
    title=phases.c.name,
    **of_phase,
    **of_initiative,
)

INITIATIVES = _waiting(
    "initiative",
    initiatives,
    "updated_at",
    initiatives,
    exactly(initiatives.c.status, "pending_review"),
    title=initiatives.c.name,
    **of_initiative,
)

PROPOSALS = _waiting(
    "proposal",
    proposals,
    "created_at",
    _placed(
        proposals.join(agents, agents.c.id == proposals.c.agent_id),
        agents.c.task_id,
        proposals.c.initiative_id,
    ),
    # By the index of each agent's, or all proposals would be read.
    proposals.c.agent_id.in_(select(last.c.id)),
    exactly(proposals.c.status, "pending"),
    title=proposals.c.title,
    text=_beginning(func.coalesce(proposals.c.summary, proposals.c.content, "")),
    **of_all,
)

COMMENTS = _waiting(
    "comment",
    comments,
    "created_at",
    comments.join(phases, phases.c.id == comments.c.phase_id).join(
        initiatives, initiatives.c.id == phases.c.initiative_id
    ),
    comments.c.resolved.is_not(true()),
    title=comments.c.file_path,
    text=_beginning(comments.c.body),
    more=cast(comments.c.line_number, Text),
    who=comments.c.author,
    **of_phase,
    **of_initiative,
)

ERRANDS = _waiting(
    "errand",
    errands,
    "updated_at",
    errands.outerjoin(agents, agents.c.id == errands.c.agent_id),
    exactly(errands.c.status, "pending_review", "conflict"),
    title=_beginning(errands.c.description),
    text=errands.c.branch,
    more=errands.c.status,
    **of_agent,
)

ACCOUNTS = _waiting(
    "account",
    accounts,
    "updated_at",
    accounts,
    accounts.c.is_exhausted.is_(true()),
    accounts.c.exhausted_until.is_(None),
    title=accounts.c.email,
)

OF_INITIATIVES = (
    NEW_MESSAGES,
    READ_MESSAGES,
    QUESTIONS,
    AGENTS,
    TASKS,
    PHASES,
    INITIATIVES,
    PROPOSALS,
    COMMENTS,
)

OF_NONE = (ERRANDS, ACCOUNTS)


def all_waiting(*, is_of_initiative: bool) -> CompoundSelect[Any]:
    """Select all that waits, or what belongs to the initiative of the parameter `initiative_id`."""
    if not is_of_initiative:
        return union_all(*[one.where(IS_NOT_ARCHIVED) for one in OF_INITIATIVES], *OF_NONE)
    of_it = initiatives.c.id == bindparam("initiative_id")
    return union_all(*[one.where(IS_NOT_ARCHIVED, of_it) for one in OF_INITIATIVES])
