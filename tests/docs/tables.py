"""docs/reference/tables.md: every table and column of schema.py, in the words of its record."""

import inspect
from collections.abc import Iterator

from diagrams import GROUPS
from sqlalchemy import Column, Dialect, Index, Table, UniqueConstraint
from sqlalchemy.dialects import postgresql, sqlite

import cw_store
from cw_store import metadata
from cw_store.types import Encrypted, Json, OneOf

PAGE = "reference/tables.md"

RECORDS = {
    "initiatives": "Initiative",
    "phases": "Phase",
    "phase_dependencies": "PhaseDependency",
    "tasks": "Task",
    "task_dependencies": "TaskDependency",
    "projects": "Project",
    "agents": "Agent",
    "accounts": "Account",
    "agent_log_chunks": "LogChunk",
    "errands": "Errand",
    "conversations": "Conversation",
    "messages": "Message",
    "chat_sessions": "ChatSession",
    "chat_messages": "ChatMessage",
    "pages": "Page",
    "change_sets": "ChangeSet",
    "change_set_entries": "ChangeSetEntry",
    "changes": "Change",
    "proposals": "Proposal",
    "review_comments": "ReviewComment",
}

WITHOUT_RECORD = {
    "initiative_projects": "Which projects an initiative works on.",
    "store_state": "What the store remembers of itself, by name.",
}

TITLES = {
    "work": "Work",
    "agents": "Agents",
    "talk": "Talk",
    "content": "Content",
    "review": "Review",
}

OPENING = """# Tables and columns

What is in the database, for SQL of your own that reads ([`cw-store sql`](command-line.md#sql),
[`query_store`](api/querying.md)) and for tables of your own that refer to it. To write, use the
store: values are checked there as well, secrets encrypted, and whoever waits is woken.

Where a row has an `id`, it also has a `seq`: its place in the order of storing, by which lists go.
Where the two differ, the type in SQLite stands before that in PostgreSQL. Times in SQLite are
microseconds since the beginning of 1970 in UTC, and a `BOOLEAN` is 0 or 1.
"""


def page() -> dict[str, str]:
    """Return the page's text by its path in docs/."""
    parts = [OPENING]
    for group, names in GROUPS.items():
        picture = f"![The tables of {TITLES[group].lower()}](../pictures/data-{group}.svg)\n"
        parts += [f"## {TITLES[group]}\n", picture, *map(_table, names)]
    return {PAGE: "\n".join(parts)}


def _table(name: str) -> str:
    table = metadata.tables[name]
    words = WITHOUT_RECORD.get(name) or inspect.getdoc(getattr(cw_store, RECORDS[name])) or ""
    columns = "".join(f"- {_column(column)}\n" for column in table.columns if not _is_place(column))
    return f"### {name}\n\n{words}\n\n{columns}{_unique(table)}"


def _is_place(column: Column[object]) -> bool:
    return column.name == "seq" and "id" in column.table.columns


def _column(column: Column[object]) -> str:
    return f"`{column.name}`: " + ", ".join(_told(column))


def _told(column: Column[object]) -> Iterator[str]:
    yield _type(column)
    if column.primary_key:
        yield "primary key"
    for key in column.foreign_keys:
        target = key.column.table.name
        yield f"[`{target}`](#{target})" + _DELETED.get(key.ondelete or "", "")
    if isinstance(column.type, OneOf):
        yield "one of " + ", ".join(f"`{value}`" for value in column.type.values)
    if isinstance(column.type, Json):
        yield "JSON"
    if isinstance(column.type, Encrypted):
        yield "encrypted where the store has keys"
    if column.nullable:
        yield "may be `NULL`"
    if column.default is not None and column.default.is_scalar:
        yield f"by default `{getattr(column.default, 'arg', None)}`"


_DELETED = {
    "CASCADE": ", with which it is deleted",
    "SET NULL": ", `NULL` when that is deleted",
    "RESTRICT": ", which cannot be deleted meanwhile",
}


def _type(column: Column[object]) -> str:
    dialects: tuple[Dialect, ...] = (sqlite.dialect(), postgresql.dialect())
    names = [column.type.compile(dialect=dialect).partition(" COLLATE")[0] for dialect in dialects]
    return " / ".join(f"`{name}`" for name in dict.fromkeys(names))


def _unique(table: Table) -> str:
    together = {
        tuple(column.name for column in rule.columns)
        for rule in (*table.indexes, *table.constraints)
        if isinstance(rule, UniqueConstraint) or (isinstance(rule, Index) and rule.unique)
    }
    told = [
        ", ".join(f"`{name}`" for name in names)
        for names in sorted(together - {("id",), ("seq",), ()})
    ]
    return "".join(f"- unique: {names}\n" for names in told)
