"""Databases as the TypeScript program makes them, in SQL, and what a store has of one."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import select

from cw_store import Store, schema
from cw_store.schema import record_columns

TIME = 1_772_359_590
"""Seconds, as the program keeps times."""

COLUMNS: Mapping[str, str] = {
    "accounts": "id, email, provider, config_json, credentials, is_exhausted!, exhausted_until!, "
    "last_used_at!, sort_order!, created_at!, updated_at!",
    "agents": "id, name, task_id, initiative_id, session_id, worktree_id, provider, account_id, "
    "status, mode, pid!, output_file_path, result, pending_questions, created_at!, updated_at!, "
    "user_dismissed_at!, exit_code!",
    "initiatives": "id, name, status, created_at!, updated_at!, branch",
    "messages": "id, sender_type, sender_id, recipient_type, recipient_id, type, content, "
    "requires_response!, status, parent_message_id, created_at!, updated_at!",
    "phase_dependencies": "id, phase_id, depends_on_phase_id, created_at!",
    "phases": "id, initiative_id, name, status, created_at!, updated_at!, content, merge_base",
    "task_dependencies": "id, task_id, depends_on_task_id, created_at!",
    "tasks": "id, phase_id, initiative_id, parent_task_id, name, description, type, category, "
    "priority, status, order!, created_at!, updated_at!, summary, retry_count!",
    "initiative_projects": "id, initiative_id, project_id, created_at!",
    "pages": "id, initiative_id, parent_page_id, title, content, sort_order!, created_at!, "
    "updated_at!",
    "projects": "id, name, url, default_branch, created_at!, updated_at!, last_fetched_at!",
    "proposals": "id, agent_id, initiative_id, target_type, target_id, title, summary, content, "
    "metadata, status, sort_order!, created_at!, updated_at!",
    "agent_log_chunks": "id, agent_id, agent_name, session_number!, content, created_at!",
    "change_set_entries": "id, change_set_id, entity_type, entity_id, action, previous_state, "
    "new_state, sort_order!, created_at!",
    "change_sets": "id, agent_id, agent_name, initiative_id, mode, summary, status, reverted_at!, "
    "created_at!, updated_at!",
    "conversations": "id, from_agent_id, to_agent_id, initiative_id, phase_id, task_id, question, "
    "answer, status, created_at!, updated_at!",
    "chat_messages": "id, chat_session_id, role, content, change_set_id, created_at!",
    "chat_sessions": "id, target_type, target_id, initiative_id, agent_id, status, created_at!, "
    "updated_at!",
    "review_comments": "id, phase_id, file_path, line_number!, line_type, body, author, resolved!, "
    "created_at!, updated_at!",
    "errands": "id, description, branch, base_branch, agent_id, project_id, status, created_at!, "
    "updated_at!",
}
"""The columns of each table; those with a mark are integers, the others text."""

USUAL: Mapping[str, Mapping[str, object]] = {
    "accounts": {
        "email": "ada@example.com",
        "provider": "claude",
        "is_exhausted": 0,
        "sort_order": 0,
    },
    "agents": {"worktree_id": "w", "provider": "claude", "status": "idle", "mode": "execute"},
    "initiatives": {"name": "I", "status": "active"},
    "messages": {
        "sender_type": "user",
        "recipient_type": "user",
        "type": "info",
        "content": "m",
        "requires_response": 0,
        "status": "pending",
    },
    "phases": {"initiative_id": "i", "name": "P", "status": "pending"},
    "tasks": {
        "phase_id": "p",
        "initiative_id": "i",
        "name": "T",
        "type": "auto",
        "category": "execute",
        "priority": "medium",
        "status": "pending",
        "order": 0,
        "retry_count": 0,
    },
    "pages": {"initiative_id": "i", "parent_page_id": "root", "title": "D", "sort_order": 0},
    "projects": {"default_branch": "main"},
    "proposals": {
        "agent_id": "a",
        "initiative_id": "i",
        "target_type": "task",
        "title": "X",
        "status": "pending",
        "sort_order": 0,
    },
    "agent_log_chunks": {
        "agent_id": "a",
        "agent_name": "brave-otter",
        "session_number": 1,
        "content": "{}",
    },
    "change_set_entries": {
        "change_set_id": "set",
        "entity_type": "task",
        "entity_id": "t",
        "action": "create",
        "sort_order": 0,
    },
    "change_sets": {
        "agent_name": "brave-otter",
        "initiative_id": "i",
        "mode": "plan",
        "status": "applied",
    },
    "conversations": {
        "from_agent_id": "a",
        "to_agent_id": "b",
        "question": "?",
        "status": "pending",
    },
    "chat_messages": {"chat_session_id": "chat", "role": "user", "content": "c"},
    "chat_sessions": {
        "target_type": "task",
        "target_id": "t",
        "initiative_id": "i",
        "status": "active",
    },
    "review_comments": {
        "phase_id": "p",
        "file_path": "f",
        "line_number": 1,
        "line_type": "added",
        "body": "b",
        "author": "you",
        "resolved": 0,
    },
    "errands": {"description": "d", "branch": "b", "base_branch": "main", "status": "active"},
}
"""What a row has where a test says nothing else."""


def create_tables(original: sqlite3.Connection, *, in_camel_case: bool = False) -> None:
    """Make the program's tables, without what would keep the oddest rows out of them."""
    for table, described in COLUMNS.items():
        columns = [
            f'"{named(column.rstrip("!"), in_camel_case)}" '
            + ("integer" if column.endswith("!") else "text")
            for column in described.split(", ")
        ]
        original.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
    original.execute(
        "CREATE TABLE __drizzle_migrations (id SERIAL PRIMARY KEY, hash text, created_at numeric)"
    )
    original.execute(
        "INSERT INTO __drizzle_migrations (hash, created_at) VALUES ('x', 1795838801661)"
    )


def named(column: str, in_camel_case: bool) -> str:
    first, *rest = column.split("_")
    return first + "".join(map(str.title, rest)) if in_camel_case else column


def add(original: sqlite3.Connection, table: str, **values: object) -> None:
    """Insert a row, usual where nothing is said of it."""
    names = [column.rstrip("!") for column in COLUMNS[table].split(", ")]
    row = {name: value for name, value in USUAL.get(table, {}).items()}
    row |= {name: TIME for name in ("created_at", "updated_at") if name in names}
    if table in ("agents", "projects"):
        row["name"] = f"name of {values.get('id')!r}"
    if table == "projects":
        row["url"] = f"https://example.com/{values.get('id')!r}"
    row |= values
    columns = ", ".join(f'"{name}"' for name in row)
    places = ", ".join("?" * len(row))
    original.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})", list(row.values()))


def add_ground(original: sqlite3.Connection) -> None:
    """Insert what other rows refer to unless they say something else."""
    add(original, "initiatives", id="i")
    add(original, "initiatives", id="other")
    add(original, "phases", id="p")
    add(original, "phases", id="elsewhere", initiative_id="other")
    add(original, "tasks", id="t")
    add(original, "agents", id="a")
    add(original, "agents", id="b")
    add(original, "pages", id="root", parent_page_id=None)
    add(original, "projects", id="project")
    add(original, "change_sets", id="set")
    add(original, "chat_sessions", id="chat", status="closed")


def small_original(path: Path, *, chunks: int = 50) -> Path:
    """Make a database of the program's in which nothing is odd."""
    with closing(sqlite3.connect(path)) as original:
        original.execute("PRAGMA journal_mode = WAL")
        create_tables(original)
        add_ground(original)
        for number in range(chunks):
            add(original, "agent_log_chunks", id=f"chunk {number}", content=f"line {number}\n")
        original.commit()
    return path


Rows = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""By table and id, or of edges both ends, a row's values by column."""


async def stored_rows(url: str, **settings: Any) -> Rows:
    """Read all that a store has, as its records have it."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    async with Store(url, **settings) as store, store.unit_of_work(read_only=True) as uow:
        for name in COLUMNS:
            table = schema.metadata.tables[name]
            query = select(*record_columns(table))
            if "seq" in table.columns:
                query = query.order_by(table.c.seq)
            rows = [dict(row) for row in (await uow.session.execute(query)).mappings()]
            keys = list(table.primary_key.columns.keys())
            found[name] = {" → ".join(row[key] for key in keys): row for row in rows}
    return found
