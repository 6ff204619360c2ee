"""A database of the TypeScript program's with everything in it that no store takes as it is.

Each oddity is a few rows and what has to become of them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from originals import TIME, add, add_ground, create_tables

AT = datetime.fromtimestamp(TIME, UTC)
ANY = object()
"""Stands for a value that the test does not know, such as a new id."""


class Row(NamedTuple):
    """A row of the source."""

    table: str
    values: Mapping[str, object]


class Kept(NamedTuple):
    """A row that is stored, and some of its values."""

    table: str
    id: str
    values: Mapping[str, object]
    code: str | None = None
    """What the report says of it, None where it is no repair."""


class Gone(NamedTuple):
    """A row that is left out, and why; of an edge, both ends are its id."""

    table: str
    id: str
    code: str


class Oddity(NamedTuple):
    """Rows, and what becomes of them."""

    name: str
    rows: Sequence[Row]
    ends: Sequence[Kept | Gone]


ODDITIES: list[Oddity] = []
MAP = {"tasks.status": {"failed": "completed"}}


def odd(name: str, *parts: Row | Kept | Gone) -> None:
    rows = [part for part in parts if isinstance(part, Row)]
    ODDITIES.append(Oddity(name, rows, [part for part in parts if not isinstance(part, Row)]))


def row(table: str, /, **values: object) -> Row:
    return Row(table, values)


def kept(table: str, id: str, code: str | None = None, /, **values: object) -> Kept:
    return Kept(table, id, values, code)


def cell(
    name: str, table: str, column: str, value: object, becomes: object, code: str | None
) -> None:
    """Say what one cell of a row of its own becomes."""
    id = f"{table} {len(ODDITIES)}"
    values: dict[str, object] = {"id": id, column: value}
    odd(name, row(table, **values), kept(table, id, code, **{column: becomes}))


# Times.
for name, value, becomes, code in (
    ("milliseconds", TIME * 1_000 + 7, AT + timedelta(milliseconds=7), None),
    ("microseconds", TIME * 1_000_000 + 7, AT + timedelta(microseconds=7), None),
    ("a fraction of a second", TIME + 0.25, AT + timedelta(seconds=0.25), None),
    ("before 1970", -3600, datetime(1969, 12, 31, 23, tzinfo=UTC), None),
    ("text as JavaScript writes it", "2026-03-01T10:06:30.000Z", AT, "time_text"),
    ("text as SQLite writes it", "2026-03-01 10:06:30", AT, "time_text"),
    ("text in another zone", "2026-03-01T12:06:30+02:00", AT, "time_text"),
    ("a day", "2026-03-01", datetime(2026, 3, 1, tzinfo=UTC), "time_text"),
    ("a blob with a time", b"2026-03-01 10:06:30", AT, "time_text"),
    ("a number past all times", 10**18, AT, "time"),
    ("a number before all times", -(10**17) + 1, AT, "time"),
    ("an infinite number", float("inf"), AT, "time"),
    ("text that is no time", "yesterday", AT, "time"),
    ("no time at all", None, AT, "time"),
):
    cell(f"created: {name}", "initiatives", "created_at", value, becomes, code)
cell("updated: text that is no time", "initiatives", "updated_at", "soon", AT, "time")
cell("updated: nothing", "phases", "updated_at", None, AT, "time")
odd(
    "two times that are none are the row's before",
    row("errands", id="before", created_at=TIME + 5, updated_at=TIME + 6),
    row("errands", id="timeless", created_at="?", updated_at=2**62),
    kept(
        "errands",
        "timeless",
        "time",
        created_at=AT + timedelta(seconds=5),
        updated_at=AT + timedelta(seconds=5),
    ),
)
cell("a log chunk of no time", "agent_log_chunks", "created_at", "?", ANY, "time")
for name, value, becomes, code in (
    ("0", 0, None, "time_zero"),
    ("0 as text", b"0", None, "time_zero"),
    ("text that is none", "never", None, "time"),
    ("a number past all", 10**17, None, "time"),
    ("milliseconds", TIME * 1_000, AT, None),
    ("text", "2026-03-01T10:06:30Z", AT, "time_text"),
):
    cell(f"a time that may be missing: {name}", "accounts", "exhausted_until", value, becomes, code)

# Ids.
odd(
    "an empty id, and who refers to it",
    row("phases", id=""),
    row("tasks", id="of the phase without id", phase_id=""),
    row("review_comments", id="on the phase without id", phase_id=""),
    row("proposals", id="for the phase without id", target_type="phase", target_id=""),
    kept("tasks", "of the phase without id", None, phase_id=ANY, initiative_id="i"),
    kept("review_comments", "on the phase without id", None, phase_id=ANY),
    kept("proposals", "for the phase without id", None, target_id=ANY),
)
odd(
    "an agent with the empty id, and its log",
    row("agents", id="", name="nobody"),
    row("agent_log_chunks", id="of the agent without id", agent_id=""),
    kept("agent_log_chunks", "of the agent without id", None, agent_id=ANY),
)
odd(
    "an id with NUL",
    row("tasks", id="nul\0id"),
    row("tasks", id="below", parent_task_id="nul\0id"),
    kept("tasks", "nul\u2400id", "text_with_nul"),
    kept("tasks", "below", None, parent_task_id="nul\u2400id"),
)
odd(
    "ids that are no UTF-8, and alike afterwards",
    row("tasks", id=b"bad\xff"),
    row("tasks", id=b"bad\xfe"),
    row("tasks", id="below bad", parent_task_id=b"bad\xfe"),
    kept("tasks", "bad\ufffd", "text_not_utf8"),
    kept("tasks", "below bad", None, parent_task_id=ANY),
)
odd(
    "an id twice",
    row("errands", id="twice", description="first"),
    row("errands", id="twice", description="second"),
    kept("errands", "twice", None, description="first"),
)
odd("no id", row("errands", id=None, description="nameless"))
odd(
    "ids that are strange and right",
    row("errands", id="../ spaced 🦊 ' \u202e id"),
    row("errands", id=b"as a blob"),
    kept("errands", "../ spaced 🦊 ' \u202e id", None, description="d"),
    kept("errands", "as a blob", None, description="d"),
)
odd("a log chunk without id", row("agent_log_chunks", id="", content="chunk without id"))
odd(
    "an id of a log chunk twice",
    row("agent_log_chunks", id="chunk twice", content="one"),
    row("agent_log_chunks", id="chunk twice", content="two"),
    row("agent_log_chunks", id=b"chunk twice", content="three"),
    kept("agent_log_chunks", "chunk twice", None, content="one"),
)

# Enumerations.
for table, column, value, becomes in (
    ("initiatives", "status", "paused", "pending_review"),
    ("errands", "status", "lost", "pending_review"),
    ("phases", "status", "halted", "blocked"),
    ("tasks", "status", "cancelled", "blocked"),
    ("agents", "status", "zombie", "stopped"),
    ("chat_sessions", "status", "open", "closed"),
    ("proposals", "status", "maybe", "pending"),
    ("messages", "status", "seen", "pending"),
    ("conversations", "status", "asked", "pending"),
    ("tasks", "category", "deploy", "execute"),
    ("tasks", "priority", "urgent", "medium"),
    ("tasks", "type", "checkpoint:human", "auto"),
    ("agents", "mode", "yolo", "execute"),
    ("change_sets", "mode", "chat", "refine"),
    ("change_sets", "status", "undone", "applied"),
    ("review_comments", "line_type", "modified", "context"),
    ("chat_messages", "role", "tool", "system"),
    ("messages", "type", "warning", "info"),
    ("messages", "sender_type", "bot", "user"),
    ("messages", "recipient_type", "", "user"),
):
    cell(f"an unknown {column} of {table}", table, column, value, becomes, "enum_unknown")
for table, column, value, becomes in (
    ("phases", "status", " Approved\n", "approved"),
    ("phases", "status", "in-progress", "in_progress"),
    ("errands", "status", "PENDING-REVIEW", "pending_review"),
):
    cell(f"{value!r} as {column}", table, column, value, becomes, "enum_spelling")
for table, column, becomes in (
    ("initiatives", "status", "active"),
    ("tasks", "status", "pending"),
    ("agents", "status", "idle"),
    ("agents", "mode", "execute"),
    ("messages", "type", "info"),
    ("review_comments", "line_type", "context"),
):
    cell(f"no {column} of {table}", table, column, None, becomes, "null")
cell("a status that the map knows", "tasks", "status", "failed", "completed", "enum_mapped")
cell("the same, spelled otherwise", "tasks", "status", "FAILED ", "completed", "enum_mapped")
cell("a status that is a blob", "tasks", "status", b"completed", "completed", None)
odd(
    "an unknown status of a conversation with an answer",
    row("conversations", id="answered", answer="!", status="done"),
    kept("conversations", "answered", "enum_unknown", status="answered"),
)
odd(
    "an unknown status of a change set that was reverted",
    row("change_sets", id="undone", status="undone", reverted_at=TIME),
    kept("change_sets", "undone", "enum_unknown", status="reverted", reverted_at=AT),
)
odd(
    "an unknown kind of sender that is an agent",
    row("messages", id="from an agent", sender_type="bot", sender_id="a"),
    kept("messages", "from an agent", "enum_unknown", sender_type="agent", sender_id="a"),
)
for table, column in (
    ("proposals", "target_type"),
    ("chat_sessions", "target_type"),
    ("change_set_entries", "entity_type"),
    ("change_set_entries", "action"),
):
    odd(
        f"an unknown {column} of {table}",
        row(table, **{"id": f"unknown {column}", column: "galaxy"}),
        Gone(table, f"unknown {column}", "enum_unknown"),
    )

# JSON.
deep = "[" * 101 + "]" * 101
JSON: tuple[tuple[str, str | bytes, object, str | None], ...] = (
    ("a plain sentence", "just a sentence", "just a sentence", "json_as_text"),
    ("half an object", '{"a": ', '{"a": ', "json_as_text"),
    ("a comma too many", '{"a": 1,}', '{"a": 1,}', "json_as_text"),
    ("NaN", '{"a": NaN}', '{"a": NaN}', "json_as_text"),
    ("infinity", "[Infinity]", "[Infinity]", "json_as_text"),
    ("a number that no float holds", "[1e999]", "[1e999]", "json_as_text"),
    ("deeper than 100", deep, deep, "json_as_text"),
    ("deeper than any parser", "[" * 9_000, "[" * 9_000, "json_as_text"),
    ("a byte order mark", "\ufeff{}", "\ufeff{}", "json_as_text"),
    ("a key twice", '{"a": 1, "a": 2}', '{"a": 1, "a": 2}', "json_repeated_key"),
    ("empty text", "", None, "json_empty"),
    ("blank text", " \n", None, "json_empty"),
    ("null", "null", None, None),
    ("NUL in a text", '["a\\u0000b"]', ["a\u2400b"], "json_text"),
    ("NUL in a key", '{"a\\u0000": 1}', {"a\u2400": 1}, "json_text"),
    ("half a surrogate pair", '["\\ud83d"]', ["\ufffd"], "json_text"),
    ("half a pair as key", '{"\\udc00": {}}', {"\ufffd": {}}, "json_text"),
    (
        "keys that become one",
        r'{"\ud800": 1, "\ud801": 2}',
        r'{"\ud800": 1, "\ud801": 2}',
        "json_as_text",
    ),
    (
        "a number past 64 bits",
        "[18446744073709551616]",
        [1.8446744073709552e19],
        "json_large_number",
    ),
    ("a number of 400 digits", "9" * 400, "9" * 400, "json_as_text"),
    ("a number of 5,000 digits", "9" * 5_000, "9" * 5_000, "json_as_text"),
    ("NUL between values", "[1,\0 2]", "[1,\u2400 2]", "text_with_nul"),
    ("bytes that are no UTF-8", b'["\xff"]', ["\ufffd"], "text_not_utf8"),
    ("a number", "5", 5, None),
    (
        "white space around",
        ' {"b": [1.5, true, null], "a": "é"} ',
        {"b": [1.5, True, None], "a": "é"},
        None,
    ),
)
for name, value, becomes, code in JSON:
    cell(f"JSON: {name}", "phases", "content", value, becomes, code)
cell("JSON of an agent", "agents", "result", "done!", "done!", "json_as_text")
cell("JSON of an entry", "change_set_entries", "new_state", "'x'", "'x'", "json_as_text")

# Text.
for name, value, becomes, code in (
    ("NUL", "a\0b", "a\u2400b", "text_with_nul"),
    ("bytes that are no UTF-8", b"caf\xe9", "caf\ufffd", "text_not_utf8"),
    ("a blob that is UTF-8", "é".encode(), "é", None),
    ("nothing", None, "", "null"),
    ("escape sequences", "\x1b[31m\u202e", "\x1b[31m\u202e", None),
):
    cell(f"text: {name}", "initiatives", "name", value, becomes, code)
cell("an agent without a name", "agents", "name", None, ANY, "null")
odd(
    "names that are there twice",
    row("agents", id="first", name="same"),
    row("agents", id="second", name="same"),
    row("agents", id="third", name="same-2"),
    kept("agents", "first", None, name="same"),
    kept("agents", "second", "unique", name="same-3"),
    kept("agents", "third", None, name="same-2"),
)
odd(
    "projects with one name and one url",
    row("projects", id="left", name="same", url="u"),
    row("projects", id="right", name="same", url="u"),
    kept("projects", "right", "unique", name="same-2", url="u#2"),
)

# Integers and flags.
for table, column, value, becomes, code in (
    ("agents", "pid", 2**40, None, "number"),
    ("agents", "pid", "many", None, "number"),
    ("agents", "exit_code", 2**33, None, "number"),
    ("agents", "exit_code", 1.5, None, "number"),
    ("agents", "exit_code", b"3", 3, "number_text"),
    ("agents", "exit_code", -9, -9, None),
    ("tasks", "retry_count", "often", 0, "number"),
    ("tasks", "retry_count", None, 0, "null"),
    ("review_comments", "line_number", None, 1, "null"),
    ("review_comments", "line_number", "last", 1, "number"),
    ("agent_log_chunks", "session_number", "first", 1, "number"),
    ("accounts", "sort_order", None, 0, "null"),
    ("messages", "requires_response", "true", True, "flag"),
    ("messages", "requires_response", b"no", False, "flag"),
    ("messages", "requires_response", 2, True, "flag"),
    ("messages", "requires_response", "perhaps", False, "flag"),
    ("messages", "requires_response", None, False, "null"),
    ("review_comments", "resolved", -1, True, "flag"),
):
    cell(f"{value!r} as {column}", table, column, value, becomes, code)
odd(
    "orders that are fractions and words",
    row("phases", id="ordered"),
    row("tasks", id="order 2", phase_id="ordered", order=2),
    row("tasks", id="order word", phase_id="ordered", order="last"),
    row("tasks", id="order 1.5", phase_id="ordered", order=1.5),
    row("tasks", id="order large", phase_id="ordered", order=2**40),
    row("tasks", id="order 0", phase_id="ordered", order=0),
    kept("tasks", "order 0", None, order=0),
    kept("tasks", "order 1.5", "order", order=1),
    kept("tasks", "order 2", None, order=2),
    kept("tasks", "order large", "order", order=3),
    kept("tasks", "order word", "order", order=4),
)
odd(
    "an order of pages that is a fraction",
    row("initiatives", id="paged"),
    row("pages", id="paged root", initiative_id="paged", parent_page_id=None),
    row("pages", id="page b", initiative_id="paged", parent_page_id="paged root", sort_order=0.5),
    row("pages", id="page a", initiative_id="paged", parent_page_id="paged root", sort_order=0),
    kept("pages", "page a", None, sort_order=0),
    kept("pages", "page b", "order", sort_order=1),
)

# Secrets.
for name, value, becomes, code in (
    ("like an encrypted one", "cw-store:fernet:x", "cw-store:fernet:x", None),
    ("with NUL", '{"token": "secret\0"}', '{"token": "secret\u2400"}', "text_with_nul"),
    ("that is a blob", b"secret \xff", "secret \ufffd", "text_not_utf8"),
):
    cell(f"a credential {name}", "accounts", "credentials", value, becomes, code)

# References.
for table, column in (
    ("agents", "task_id"),
    ("agents", "initiative_id"),
    ("agents", "account_id"),
    ("messages", "sender_id"),
    ("messages", "parent_message_id"),
    ("conversations", "task_id"),
    ("chat_messages", "change_set_id"),
    ("errands", "agent_id"),
    ("tasks", "parent_task_id"),
):
    cell(f"{column} of {table} leads nowhere", table, column, "gone", None, "reference")
cell("an empty reference", "agents", "task_id", "", None, "id_empty")
cell("a parent page that is gone", "pages", "parent_page_id", "gone", "root", "reference")
cell("a project of no errand", "errands", "project_id", None, None, None)
for table, column in (
    ("conversations", "from_agent_id"),
    ("proposals", "agent_id"),
    ("review_comments", "phase_id"),
    ("errands", "project_id"),
    ("tasks", "phase_id"),
    ("chat_messages", "chat_session_id"),
):
    odd(
        f"{column} of {table} leads nowhere",
        row(table, **{"id": f"{table} of nothing", column: "gone"}),
        Gone(table, f"{table} of nothing", "reference"),
    )
odd(
    "an initiative that is gone, and all that goes along",
    row("phases", id="p of gone", initiative_id="gone"),
    row("tasks", id="t of gone", phase_id="p of gone", initiative_id=None),
    row("tasks", id="below t of gone", phase_id=None, parent_task_id="t of gone"),
    row("agents", id="at t of gone", task_id="t of gone"),
    row("task_dependencies", task_id="t", depends_on_task_id="t of gone"),
    row("change_sets", id="set of gone", initiative_id="gone"),
    row("change_set_entries", id="entry of gone", change_set_id="set of gone"),
    row("chat_messages", id="applied set of gone", change_set_id="set of gone"),
    Gone("phases", "p of gone", "reference"),
    Gone("tasks", "t of gone", "reference"),
    kept("tasks", "below t of gone", "reference", parent_task_id=None),
    kept("agents", "at t of gone", "reference", task_id=None),
    Gone("task_dependencies", "t → t of gone", "reference"),
    Gone("change_sets", "set of gone", "reference"),
    Gone("change_set_entries", "entry of gone", "reference"),
    kept("chat_messages", "applied set of gone", "reference", change_set_id=None),
)
odd(
    "phases of no initiative",
    row("phases", id="of nothing", initiative_id=None),
    Gone("phases", "of nothing", "reference"),
)
odd(
    "a task that is its own parent",
    row("tasks", id="self", parent_task_id="self"),
    kept("tasks", "self", "loop", parent_task_id=None),
)
odd(
    "three tasks below each other",
    row("tasks", id="l1", parent_task_id="l3"),
    row("tasks", id="l2", parent_task_id="l1"),
    row("tasks", id="l3", parent_task_id="l2"),
    row("tasks", id="l4", parent_task_id="l3"),
    kept("tasks", "l1", "loop", parent_task_id=None),
    kept("tasks", "l2", None, parent_task_id="l1"),
    kept("tasks", "l3", None, parent_task_id="l2"),
    kept("tasks", "l4", None, parent_task_id="l3"),
)
odd(
    "messages that answer each other",
    row("messages", id="m1", parent_message_id="m2"),
    row("messages", id="m2", parent_message_id="m1"),
    kept("messages", "m1", "loop", parent_message_id=None),
    kept("messages", "m2", None, parent_message_id="m1"),
)
odd(
    "pages below each other",
    row("pages", id="d1", parent_page_id="d2"),
    row("pages", id="d2", parent_page_id="d1"),
    kept("pages", "d1", "loop", parent_page_id="root"),
    kept("pages", "d2", None, parent_page_id="d1"),
)
odd(
    "a second root page",
    row("pages", id="second root", parent_page_id=None),
    kept("pages", "second root", "root", parent_page_id="root"),
)
odd(
    "pages without any root",
    row("initiatives", id="rootless"),
    row("pages", id="orphan 1", initiative_id="rootless", parent_page_id="gone"),
    row("pages", id="orphan 2", initiative_id="rootless", parent_page_id="gone"),
    kept("pages", "orphan 1", "reference", parent_page_id=None),
    kept("pages", "orphan 2", "reference", parent_page_id="orphan 1"),
)
odd(
    "a page below one of another initiative",
    row("initiatives", id="apart"),
    row("pages", id="apart root", initiative_id="apart", parent_page_id=None),
    row("pages", id="strayed", initiative_id="apart", parent_page_id="root"),
    kept("pages", "strayed", "parent", parent_page_id="apart root"),
)
odd(
    "a task in a phase of another initiative",
    row("tasks", id="strayed", phase_id="elsewhere", initiative_id="i"),
    kept("tasks", "strayed", "initiative", initiative_id="other"),
)
odd(
    "a task below one of another initiative",
    row("tasks", id="adopted", phase_id="elsewhere", initiative_id=None, parent_task_id="t"),
    kept("tasks", "adopted", "parent", initiative_id="other", parent_task_id=None),
)
odd(
    "tasks whose initiative is their phase's, or their parent's",
    row("tasks", id="of phase", initiative_id=None),
    row("tasks", id="of parent", initiative_id=None, phase_id=None, parent_task_id="of phase"),
    row("tasks", id="of its parent", initiative_id=None, phase_id=None, parent_task_id="of parent"),
    kept("tasks", "of phase", None, initiative_id="i"),
    kept("tasks", "of parent", None, initiative_id="i"),
    kept("tasks", "of its parent", None, initiative_id="i"),
)
odd(
    "edges of tasks: twice, to itself, in circles, to nothing",
    *(row("tasks", id=f"e{number}") for number in range(5)),
    *(
        row("task_dependencies", id=f"{start}{end}", task_id=start, depends_on_task_id=end)
        for start, end in (
            ("e0", "e1"),
            ("e1", "e2"),
            ("e0", "e1"),
            ("e3", "e3"),
            ("e1", "e0"),
            ("e2", "e0"),
            ("e2", "e3"),
            ("e4", "gone"),
        )
    ),
    kept("task_dependencies", "e0 → e1", "double"),
    kept("task_dependencies", "e1 → e2", None),
    kept("task_dependencies", "e2 → e3", None),
    Gone("task_dependencies", "e3 → e3", "circle"),
    Gone("task_dependencies", "e1 → e0", "circle"),
    Gone("task_dependencies", "e2 → e0", "circle"),
    kept("tasks", "e0", None, open_dependencies=1),
    kept("tasks", "e4", None, open_dependencies=0),
)
odd(
    "phases that wait for each other",
    row("phases", id="w1"),
    row("phases", id="w2"),
    row("phase_dependencies", phase_id="w1", depends_on_phase_id="w2"),
    row("phase_dependencies", phase_id="w2", depends_on_phase_id="w1"),
    kept("phase_dependencies", "w1 → w2", None),
    Gone("phase_dependencies", "w2 → w1", "circle"),
)
odd(
    "projects of an initiative: twice, and gone",
    row("initiative_projects", initiative_id="i", project_id="project"),
    row("initiative_projects", initiative_id="i", project_id="project"),
    row("initiative_projects", initiative_id="other", project_id="gone"),
    kept("initiative_projects", "i → project", "double"),
)
odd(
    "two active chats",
    row("chat_sessions", id="older chat"),
    row("chat_sessions", id="newer chat"),
    kept("chat_sessions", "older chat", None, status="active"),
    kept("chat_sessions", "newer chat", None, status="active"),
)
odd(
    "what is about nothing",
    row("proposals", id="about nothing", target_id=""),
    row("chat_sessions", id="chat about nothing", target_id=""),
    row("change_set_entries", id="entry about nothing", entity_id=None),
    kept("proposals", "about nothing", "id_empty", target_id=None),
    Gone("chat_sessions", "chat about nothing", "id_empty"),
    Gone("change_set_entries", "entry about nothing", "id_empty"),
)
odd(
    "a log that outlives its agent",
    row("agent_log_chunks", id="outlived", agent_id="long gone"),
    kept("agent_log_chunks", "outlived", None, agent_id="long gone"),
)

# Agents.
odd(
    "agents that run, wait and have ended",
    row("tasks", id="at work", status="in_progress"),
    row("tasks", id="asked about", status="in_progress"),
    row("agents", id="running", status="running", pid=77, task_id="at work"),
    row("agents", id="waiting", status="waiting_for_input", pid=78, task_id="asked about"),
    row("agents", id="ended", status="stopped", pid=79),
    kept("agents", "running", None, status="crashed", pid=None),
    kept("agents", "waiting", None, status="waiting_for_input", pid=None),
    kept("agents", "ended", None, status="stopped", pid=79),
    kept("tasks", "at work", None, status="in_progress"),
)


def hostile_original(path: Path, *, chunks: int = 1_000) -> Path:
    """Make the database with all of it, and log chunks among which it is."""
    with closing(sqlite3.connect(path)) as original:
        create_tables(original)
        add_ground(original)
        for oddity in ODDITIES:
            for table, values in oddity.rows:
                add(original, table, **{**values})
        for number in range(chunks):
            content = json.dumps({"n": number})
            add(original, "agent_log_chunks", id=f"chunk {number}", content=content)
        original.commit()
    return path
