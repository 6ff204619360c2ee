"""`show`: one row with all that is stored of it, and what belongs to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from sqlalchemy import ColumnElement, Select, select

from cw_store import UnitOfWork, metadata
from cw_store.cli.blocks import Block, Facts, Table, Text
from cw_store.cli.context import Context
from cw_store.cli.finding import Found, find
from cw_store.cli.kinds import BY_PLURAL, Kind
from cw_store.cli.reasons import names_in, sentence_of
from cw_store.decoding import Lines, said_in

LONG = frozenset(
    {"answer", "body", "content", "description", "metadata", "pending_questions", "question"}
    | {"result", "summary"}
)
"""Columns that are shown below the others, each under its name."""

LIVE = ("idle", "running", "waiting_for_input")
"""States of an agent in which it has its account."""

LAST_CHUNKS = 20
LAST_LINES = 10
"""So much of what an agent wrote last is read, and shown."""

MOST_RELATED = 50
"""So many rows of each kind are shown that belong to one."""


class Related(NamedTuple):
    """Rows that belong to a thing: their title, kind, columns, and which they are."""

    title: str
    kind: Kind
    columns: tuple[str, ...]
    where: ColumnElement[bool]


async def show_one(here: Context, typed: str) -> None:
    """Show what `typed` names."""
    async with here.reading() as store, store.unit_of_work(read_only=True) as uow:
        found = await find(uow, typed)
        record = await _record(uow, found)
        why = await _why(uow, here, found)
        related = [(each, await _rows(uow, each)) for each in _related(found)]
        last = await _last_lines(uow, found)
        parts = await _parts(uow, found)
    data, blocks = _data(found, record, why, related), _blocks(found, record, why, related)
    if found.kind.singular == "agent":
        data["last_lines"] = last
        blocks += [Text(last, title="last lines")] if last else []
    for part in parts:
        data[str(part.title)] = part.records()
        blocks.append(part)
    here.output.page(data, *blocks)


async def _record(uow: UnitOfWork, found: Found) -> dict[str, Any]:
    columns = found.kind.own_columns()
    query = select(*(column.label(name) for name, column in columns.items()))
    rows = await uow.session.execute(query.where(found.kind.table.c.id == found.id))
    return dict(rows.mappings().one())


async def _why(uow: UnitOfWork, here: Context, found: Found) -> list[str]:
    """Say why a task is not begun; nothing of one that is completed, or of other things."""
    if found.kind.singular != "task":
        return []
    readiness = await uow.claims.explain(found.id)
    names = await names_in(uow, readiness.reasons)
    return [sentence_of(reason, names, here.now()) for reason in readiness.reasons] or [
        "it is ready: it can be claimed now"
    ]


async def _parts(uow: UnitOfWork, found: Found) -> list[Table]:
    """Return what a chat or a change set is made of, which has no list of its own."""
    match found.kind.singular:
        case "chat":
            said = await uow.chat_sessions.find_messages_by_session_id(found.id, limit=MOST_RELATED)
            rows = [(each.role, each.content, each.created_at) for each in said]
            return [Table(("role", "what", "created_at"), rows, title="messages")]
        case "change set":
            entries = await uow.change_sets.find_entries(found.id)
            changed = [(each.action, each.entity_type, each.entity_id) for each in entries]
            return [Table(("action", "entity_type", "id"), changed, title="entries")]
        case _:
            return []


async def _last_lines(uow: UnitOfWork, found: Found) -> list[str]:
    """Return what an agent wrote last, each line with the word for what it is."""
    if found.kind.singular != "agent":
        return []
    lines = Lines()
    written = [
        line
        for chunk in await uow.log_chunks.find_last(found.id, limit=LAST_CHUNKS)
        for line in lines.add(chunk.content)
    ]
    rest = lines.rest()
    said = [each for line in [*written, *filter(None, [rest])] for each in said_in(line)]
    return [f"{each.kind:6} {each.text}" for each in said[-LAST_LINES:]]


async def _rows(uow: UnitOfWork, related: Related) -> list[tuple[Any, ...]]:
    query: Select[Any] = (
        select(*(related.kind.column(name).label(name) for name in related.columns))
        .where(related.where)
        .order_by(related.kind.table.c.seq)
        .limit(MOST_RELATED)
    )
    return [tuple(row) for row in await uow.session.execute(query)]


def _related(found: Found) -> list[Related]:
    """Return what belongs to the row, in the order in which it is shown."""
    return [
        Related(title, kind, tuple(columns.split()), where)
        for title, kind, columns, where in _belonging(found.kind.singular, found.id)
    ]


def _belonging(singular: str, id: str) -> Sequence[tuple[str, Kind, str, ColumnElement[bool]]]:
    tasks, agents, phases = BY_PLURAL["tasks"], BY_PLURAL["agents"], BY_PLURAL["phases"]
    questions, messages = BY_PLURAL["conversations"], BY_PLURAL["messages"]
    of_question = "id status from_agent to_agent question answer created_at"
    of_agent = "id name status account pid exit_code created_at updated_at"
    match singular:
        case "initiative":
            return [
                ("phases", phases, "id name status", phases.table.c.initiative_id == id),
                (
                    "agents",
                    agents,
                    "id name status task updated_at",
                    agents.table.c.initiative_id == id,
                ),
            ]
        case "phase":
            reviews = BY_PLURAL["reviews"]
            return [
                ("waits for", phases, "id name status", _waited_for("phase", id)),
                ("tasks", tasks, "id name status priority", tasks.table.c.phase_id == id),
                (
                    "review comments",
                    reviews,
                    "id resolved file_path line_number author body",
                    reviews.table.c.phase_id == id,
                ),
            ]
        case "task":
            return [
                ("waits for", tasks, "id name status", _waited_for("task", id)),
                ("waited for by", tasks, "id name status", _waiting_for("task", id)),
                ("subtasks", tasks, "id name status", tasks.table.c.parent_task_id == id),
                ("agents", agents, of_agent, agents.table.c.task_id == id),
                ("questions", questions, of_question, questions.table.c.task_id == id),
            ]
        case "agent":
            asked, received = questions.table.c.from_agent_id, questions.table.c.to_agent_id
            return [
                ("questions it asked", questions, of_question, asked == id),
                ("questions it was asked", questions, of_question, received == id),
                (
                    "messages",
                    messages,
                    "id status type sender_type recipient_type content created_at",
                    (messages.table.c.sender_id == id) | (messages.table.c.recipient_id == id),
                ),
            ]
        case "account":
            has_it = agents.table.c.account_id == id
            is_live = agents.table.c.status.in_(LIVE)
            return [
                ("held by", agents, "id name status task", has_it & is_live),
                ("agents", agents, "id name status task", has_it),
            ]
        case "message":
            parent = messages.table.c.parent_message_id
            return [("replies", messages, "id sender content created_at", parent == id)]
        case _:
            return []


def _waited_for(singular: str, id: str) -> ColumnElement[bool]:
    edges = metadata.tables[f"{singular}_dependencies"]
    waited_for = select(edges.c[f"depends_on_{singular}_id"]).where(edges.c[f"{singular}_id"] == id)
    return metadata.tables[f"{singular}s"].c.id.in_(waited_for)


def _waiting_for(singular: str, id: str) -> ColumnElement[bool]:
    edges = metadata.tables[f"{singular}_dependencies"]
    waiting = select(edges.c[f"{singular}_id"]).where(edges.c[f"depends_on_{singular}_id"] == id)
    return metadata.tables[f"{singular}s"].c.id.in_(waiting)


def _data(
    found: Found,
    record: dict[str, Any],
    why: list[str],
    related: Sequence[tuple[Related, list[tuple[Any, ...]]]],
) -> dict[str, object]:
    data: dict[str, object] = {"kind": found.kind.singular, "record": record}
    if found.kind.singular == "task":
        data["why"] = why
    for each, rows in related:
        data[each.title.replace(" ", "_")] = Table(each.columns, rows).records()
    return data


def _blocks(
    found: Found,
    record: dict[str, Any],
    why: list[str],
    related: Sequence[tuple[Related, list[tuple[Any, ...]]]],
) -> list[Block]:
    """Return what is shown: nothing of what is not there."""
    blocks: list[Block] = [Facts({"kind": found.kind.singular, **_short(record)})]
    blocks += [
        _long(name, record[name]) for name in record if name in LONG and record[name] is not None
    ]
    if why:
        blocks.append(Text(why, title="why it does not start"))
    blocks += [Table(each.columns, rows, title=each.title) for each, rows in related if rows]
    return blocks


def _long(name: str, value: object) -> Block:
    """Return a long column: a text, or a list of texts, in lines; else as it is stored."""
    if isinstance(value, str):
        return Text.of(value, title=name)
    texts = cast("list[object]", value) if isinstance(value, list) else []
    if texts and all(isinstance(one, str) for one in texts):
        return Text.of("\n".join(map(str, texts)), title=name)
    return Facts({name: cast(object, value)})


def _short(record: dict[str, Any]) -> dict[str, Any]:
    return {name: it for name, it in record.items() if name not in LONG and it is not None}
