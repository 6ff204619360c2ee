"""Every table of the store: columns, defaults, foreign keys, indexes, checks.

Read from top to bottom it is the whole data model. Rules that hold for all of it:

- a table's columns stand in the order of its record's fields (a test keeps them together), and
  behind them, where there is an `id`, the row's place in the order of storing, `seq`, which is no
  field: every list goes by it, and none by a time;
- `seq` is given by the database. On SQLite it is the number that every row has anyway
  (`INTEGER PRIMARY KEY`) and `id` is unique; on PostgreSQL `id` is the primary key and `seq` a
  unique identity. What one of the two has alone is marked so, and `metadata_on` sorts it out;
- a default is a plain Python value that the store fills in, on both databases alike; the
  database has the same one for an application's own SQL;
- every foreign key that a query or a cascade follows has an index (PostgreSQL's
  documentation, "Foreign Keys": referencing columns are not indexed by themselves);
- enumerations are text with a named CHECK, never a database type, so that adding a
  value is an ordinary migration;
- tables come before those that refer to them. Tasks and agents refer to each other: tasks come
  first, and a task's agent may be stored later in the same transaction.

`open_dependencies` is kept, and what a claim leaves behind is cleared away, by the triggers of
`triggers.py`.
"""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    TextClause,
    UniqueConstraint,
    false,
    text,
)

from cw_store.repos.agents import AgentMode, AgentStatus
from cw_store.repos.change_sets import (
    ChangeSetAction,
    ChangeSetEntityType,
    ChangeSetMode,
    ChangeSetStatus,
)
from cw_store.repos.chat_sessions import ChatRole, ChatSessionStatus, ChatTargetType
from cw_store.repos.conversations import ConversationStatus
from cw_store.repos.errands import ErrandStatus
from cw_store.repos.initiatives import InitiativeStatus
from cw_store.repos.messages import MessageStatus, MessageType, ParticipantType
from cw_store.repos.phases import PhaseStatus
from cw_store.repos.proposals import ProposalStatus, ProposalTargetType
from cw_store.repos.review_comments import LineType
from cw_store.repos.tasks import TaskCategory, TaskPriority, TaskStatus, TaskType
from cw_store.types import (
    Encrypted,
    Flag,
    Id,
    IndexedText,
    Json,
    LargeNumber,
    Limit,
    OneOf,
    PlainText,
    UtcDateTime,
    WholeNumber,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


PRIORITY_RANK = "CASE priority WHEN 'high' THEN 0 WHEN 'medium' THEN 1 ELSE 2 END"
"""The order of priorities; written like this where an index of it is to be used."""

_ONLY_ON = "cw_store.only_on"

Conditional = TypeVar("Conditional", Index, UniqueConstraint)


def record_columns(table: Table) -> list[Column[Any]]:
    """Return the columns that are fields of the table's record, in the record's order."""
    return [column for column in table.columns if column.name != "seq"]


def metadata_on(dialect: str) -> MetaData:
    """Return what a database of this dialect holds, to compare it with one.

    `metadata` is what statements are written with, the same for both.
    """
    described = MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.sorted_tables:
        copy = table.to_metadata(described)
        elsewhere = {
            item.name
            for item in (*table.indexes, *table.constraints)
            if item.info.get(_ONLY_ON, dialect) != dialect
        }
        copy.indexes = {index for index in copy.indexes if index.name not in elsewhere}
        copy.constraints = {one for one in copy.constraints if one.name not in elsewhere}
        if dialect == "sqlite" and "id" in copy.columns:
            copy.columns["id"].primary_key = False
            copy.append_constraint(PrimaryKeyConstraint("seq"))
        if dialect == "sqlite":
            _forget_what_the_file_does_not_say(copy)
        else:
            _write_ranks_as_the_server(copy)
    return described


def _forget_what_the_file_does_not_say(table: Table) -> None:
    """Describe as SQLAlchemy reads them the numbers of rows, and what was added with a column.

    Of a reference that is no constraint of the whole table it sees neither the name nor the action.
    """
    for column in table.columns:
        if column.identity is not None:
            column.server_default = None
    for key in table.foreign_key_constraints:
        if key.use_alter:
            key.name = key.ondelete = key.deferrable = None


def _write_ranks_as_the_server(table: Table) -> None:
    """Write expressions as PostgreSQL gives them back, since they are compared as text."""
    for index in table.indexes:
        for expression in index.expressions:
            if isinstance(expression, TextClause):
                expression.text = (
                    "\nCASE priority\n    WHEN 'high'::text THEN 0\n"
                    "    WHEN 'medium'::text THEN 1\n    ELSE 2\nEND"
                )


def _only_on(dialect: str, item: Conditional) -> Conditional:
    item.info[_ONLY_ON] = dialect
    return item.ddl_if(dialect=dialect)


def _id() -> tuple[Column[str], UniqueConstraint]:
    return Column("id", Id, primary_key=True), _only_on("sqlite", UniqueConstraint("id"))


def _place() -> tuple[Column[int], UniqueConstraint]:
    """Give the row's place in the order of storing."""
    number = BigInteger().with_variant(Integer(), "sqlite")
    # The database fills it in, on SQLite without a word about it.
    given = Identity(always=False)
    return (
        Column("seq", number, given, nullable=False),
        _only_on("postgresql", UniqueConstraint("seq")),
    )


def _ordered(*columns: str) -> tuple[Index, Index]:
    """Give the index of a list in the order of storing.

    On SQLite every index ends with the row's number, which is `seq`, without having to say so.
    """
    return (
        _only_on("sqlite", Index(None, *columns)),
        _only_on("postgresql", Index(None, *columns, "seq")),
    )


def _reference(
    name: str, target: str, on_delete: str, *, nullable: bool = False, primary_key: bool = False
) -> Column[str]:
    return Column(
        name,
        Id,
        ForeignKey(target, ondelete=on_delete),
        nullable=nullable,
        primary_key=primary_key,
    )


def _some(name: str, where: str, *columns: str | TextClause) -> Index:
    """Give an index of the rows alone for which `where` holds, which are few of all."""
    only = text(where)
    return Index(name, *columns, sqlite_where=only, postgresql_where=only)


def _one_of(
    name: str, literal: object, default: str | None = None
) -> tuple[Column[str], CheckConstraint]:
    """Give an enumerated column and the CHECK that guards it."""
    type_ = OneOf.literal(literal)
    listed = ", ".join(f"'{value}'" for value in type_.values)
    return (
        Column(name, type_, nullable=False, default=default, server_default=default),
        CheckConstraint(f"{name} IN ({listed})", name=name),
    )


def _text(name: str, default: str | None = None) -> Column[str]:
    return Column(name, PlainText, nullable=False, default=default, server_default=default)


def _indexed_text(name: str, default: str | None = None) -> Column[str]:
    """Give a column that an index holds, so that its text is limited on both databases."""
    return Column(name, IndexedText, nullable=False, default=default, server_default=default)


def _nullable_text(name: str) -> Column[str]:
    return Column(name, PlainText, nullable=True)


def _number(name: str, default: int | None = None) -> Column[int]:
    in_database = None if default is None else text(str(default))
    return Column(name, WholeNumber, nullable=False, default=default, server_default=in_database)


def _limit(name: str) -> Column[int]:
    return Column(name, Limit, nullable=True)


def _flag(name: str) -> Column[bool]:
    return Column(name, Flag, nullable=False, default=False, server_default=false())


def _json(name: str) -> Column[Any]:
    return Column(name, Json, nullable=True)


def _timestamp(name: str) -> Column[Any]:
    return Column(name, UtcDateTime, nullable=True)


def _created_at() -> Column[Any]:
    return Column("created_at", UtcDateTime, nullable=False)


def _times() -> tuple[Column[Any], Column[Any]]:
    return _created_at(), Column("updated_at", UtcDateTime, nullable=False)


_OPEN = "status <> 'completed'"
_NEXT = ("status", "open_dependencies", text(f"({PRIORITY_RANK})"), "order", "seq")
"""Which tasks are ready, and in which order they are taken."""
_LIVE = "lease_expires_at IS NOT NULL"

initiatives = Table(
    "initiatives",
    metadata,
    *_id(),
    _text("name"),
    *_one_of("status", InitiativeStatus, default="active"),
    _nullable_text("branch"),
    _limit("max_agents"),
    Column("dispatch_turn", LargeNumber, nullable=True),
    *_times(),
    *_place(),
    *_ordered("status"),
)

phases = Table(
    "phases",
    metadata,
    *_id(),
    _reference("initiative_id", "initiatives.id", "CASCADE"),
    _text("name"),
    _json("content"),
    *_one_of("status", PhaseStatus, default="pending"),
    _nullable_text("merge_base"),
    _number("open_dependencies", default=0),
    *_times(),
    *_place(),
    *_ordered("initiative_id"),
    *_ordered("status"),
    _some("ix_phases_open", _OPEN, "initiative_id", "status", "open_dependencies"),
)

phase_dependencies = Table(
    "phase_dependencies",
    metadata,
    _reference("phase_id", "phases.id", "CASCADE", primary_key=True),
    _reference("depends_on_phase_id", "phases.id", "CASCADE", primary_key=True),
    Index(None, "depends_on_phase_id"),
)

tasks = Table(
    "tasks",
    metadata,
    *_id(),
    _reference("phase_id", "phases.id", "CASCADE", nullable=True),
    _reference("initiative_id", "initiatives.id", "CASCADE", nullable=True),
    _reference("parent_task_id", "tasks.id", "CASCADE", nullable=True),
    _text("name"),
    _nullable_text("description"),
    *_one_of("type", TaskType, default="auto"),
    *_one_of("category", TaskCategory, default="execute"),
    *_one_of("priority", TaskPriority, default="medium"),
    *_one_of("status", TaskStatus, default="pending"),
    _number("order", default=0),
    _nullable_text("summary"),
    _number("retry_count", default=0),
    _number("max_retries", default=3),
    _timestamp("not_before"),
    Column(
        "claimed_by_agent_id",
        Id,
        ForeignKey(
            "agents.id",
            ondelete="SET NULL",
            deferrable=True,
            use_alter=True,
        ),
        nullable=True,
    ),
    _number("epoch", default=0),
    _number("open_dependencies", default=0),
    *_times(),
    *_place(),
    CheckConstraint("claimed_by_agent_id IS NULL OR status = 'in_progress'", name="claimed"),
    *_ordered("phase_id", "order"),
    *_ordered("initiative_id", "order"),
    *_ordered("parent_task_id", "order"),
    *_ordered("status"),
    _some("ix_tasks_open", _OPEN, "phase_id", *_NEXT),
    _some("ix_tasks_open_without_phase", f"{_OPEN} AND phase_id IS NULL", "initiative_id", *_NEXT),
    _some("ix_tasks_claimed", "claimed_by_agent_id IS NOT NULL", "claimed_by_agent_id"),
    _some("ix_tasks_not_before", "not_before IS NOT NULL", "not_before"),
)

task_dependencies = Table(
    "task_dependencies",
    metadata,
    _reference("task_id", "tasks.id", "CASCADE", primary_key=True),
    _reference("depends_on_task_id", "tasks.id", "CASCADE", primary_key=True),
    Index(None, "depends_on_task_id"),
)

accounts = Table(
    "accounts",
    metadata,
    *_id(),
    _indexed_text("email"),
    _indexed_text("provider", default="claude"),
    Column("config_json", Encrypted, nullable=True),
    Column("credentials", Encrypted, nullable=True),
    _flag("is_exhausted"),
    _timestamp("exhausted_until"),
    _timestamp("last_used_at"),
    _number("sort_order", default=0),
    _limit("max_agents"),
    *_times(),
    *_place(),
    Index(None, "email"),
    Index(None, "provider", "last_used_at", "sort_order", "id"),
    _some("ix_accounts_exhausted_until", "exhausted_until IS NOT NULL", "exhausted_until"),
)

agents = Table(
    "agents",
    metadata,
    *_id(),
    _indexed_text("name"),
    _reference("task_id", "tasks.id", "SET NULL", nullable=True),
    _reference("initiative_id", "initiatives.id", "SET NULL", nullable=True),
    Column("session_id", IndexedText, nullable=True),
    _text("worktree_id"),
    _text("provider", default="claude"),
    _reference("account_id", "accounts.id", "SET NULL", nullable=True),
    *_one_of("status", AgentStatus, default="idle"),
    *_one_of("mode", AgentMode, default="execute"),
    Column("pid", WholeNumber, nullable=True),
    Column("exit_code", WholeNumber, nullable=True),
    _nullable_text("output_file_path"),
    _json("result"),
    _json("pending_questions"),
    _timestamp("user_dismissed_at"),
    Column("holder", IndexedText, nullable=True),
    _timestamp("lease_expires_at"),
    Column("epoch", WholeNumber, nullable=True),
    *_times(),
    *_place(),
    UniqueConstraint("name"),
    *_ordered("task_id"),
    *_ordered("initiative_id"),
    *_ordered("account_id"),
    *_ordered("session_id"),
    *_ordered("status"),
    _some("ix_agents_lease", _LIVE, "lease_expires_at"),
    _some("ix_agents_lease_account", _LIVE, "account_id"),
    _some("ix_agents_lease_initiative", _LIVE, "initiative_id"),
)

proposals = Table(
    "proposals",
    metadata,
    *_id(),
    _reference("agent_id", "agents.id", "CASCADE"),
    _reference("initiative_id", "initiatives.id", "CASCADE"),
    *_one_of("target_type", ProposalTargetType),
    Column("target_id", Id, nullable=True),
    _text("title"),
    _nullable_text("summary"),
    _nullable_text("content"),
    _json("metadata"),
    *_one_of("status", ProposalStatus, default="pending"),
    _number("sort_order", default=0),
    *_times(),
    *_place(),
    *_ordered("agent_id"),
    *_ordered("agent_id", "status"),
    *_ordered("initiative_id"),
)

pages = Table(
    "pages",
    metadata,
    *_id(),
    _reference("initiative_id", "initiatives.id", "CASCADE"),
    _reference("parent_page_id", "pages.id", "CASCADE", nullable=True),
    _text("title"),
    _json("content"),
    _number("sort_order", default=0),
    *_times(),
    *_place(),
    *_ordered("initiative_id"),
    *_ordered("parent_page_id", "sort_order"),
)
# One root page per initiative, however many ask for it at once.
Index(
    "uq_pages_root",
    pages.c.initiative_id,
    unique=True,
    sqlite_where=text("parent_page_id IS NULL"),
    postgresql_where=text("parent_page_id IS NULL"),
)

projects = Table(
    "projects",
    metadata,
    *_id(),
    _indexed_text("name"),
    _indexed_text("url"),
    _text("default_branch", default="main"),
    _timestamp("last_fetched_at"),
    *_times(),
    *_place(),
    UniqueConstraint("name"),
    UniqueConstraint("url"),
)

initiative_projects = Table(
    "initiative_projects",
    metadata,
    _reference("initiative_id", "initiatives.id", "CASCADE", primary_key=True),
    _reference("project_id", "projects.id", "CASCADE", primary_key=True),
    Index(None, "project_id"),
)

messages = Table(
    "messages",
    metadata,
    *_id(),
    *_one_of("sender_type", ParticipantType),
    _reference("sender_id", "agents.id", "SET NULL", nullable=True),
    *_one_of("recipient_type", ParticipantType),
    _reference("recipient_id", "agents.id", "SET NULL", nullable=True),
    *_one_of("type", MessageType, default="info"),
    _text("content"),
    _flag("requires_response"),
    *_one_of("status", MessageStatus, default="pending"),
    _reference("parent_message_id", "messages.id", "SET NULL", nullable=True),
    *_times(),
    *_place(),
    Index(None, "recipient_type", "recipient_id", "status"),
    *_ordered("recipient_id", "recipient_type"),
    *_ordered("recipient_type", "status"),
    *_ordered("sender_type"),
    *_ordered("sender_id", "sender_type"),
    *_ordered("parent_message_id"),
)
# Few messages wait for the user or for a response at a time, among any number that did.
Index(
    "ix_messages_requiring_response",
    messages.c.seq,
    sqlite_where=text("requires_response AND status <> 'responded'"),
    postgresql_where=text("requires_response AND status <> 'responded'"),
)

agent_log_chunks = Table(
    "agent_log_chunks",
    metadata,
    *_id(),
    # No foreign key: the log outlives its agent.
    Column("agent_id", Id, nullable=False),
    _text("agent_name"),
    _number("session_number"),
    _text("content"),
    _created_at(),
    *_place(),
    *_ordered("agent_id"),
    *_ordered("agent_id", "session_number"),
)

conversations = Table(
    "conversations",
    metadata,
    *_id(),
    _reference("from_agent_id", "agents.id", "CASCADE"),
    _reference("to_agent_id", "agents.id", "CASCADE"),
    _reference("initiative_id", "initiatives.id", "SET NULL", nullable=True),
    _reference("phase_id", "phases.id", "SET NULL", nullable=True),
    _reference("task_id", "tasks.id", "SET NULL", nullable=True),
    _text("question"),
    _nullable_text("answer"),
    *_one_of("status", ConversationStatus, default="pending"),
    *_times(),
    *_place(),
    *_ordered("to_agent_id", "status"),
    *_ordered("from_agent_id"),
    Index(None, "initiative_id"),
    Index(None, "phase_id"),
    Index(None, "task_id"),
    _some("ix_conversations_waiting", "status = 'pending'", "from_agent_id", "to_agent_id"),
)

# Few questions wait for their answer at a time, among any number that did.
Index(
    "ix_conversations_pending",
    conversations.c.seq,
    sqlite_where=text("status = 'pending'"),
    postgresql_where=text("status = 'pending'"),
)

chat_sessions = Table(
    "chat_sessions",
    metadata,
    *_id(),
    *_one_of("target_type", ChatTargetType),
    Column("target_id", Id, nullable=False),
    _reference("initiative_id", "initiatives.id", "CASCADE"),
    _reference("agent_id", "agents.id", "SET NULL", nullable=True),
    *_one_of("status", ChatSessionStatus, default="active"),
    *_times(),
    *_place(),
    *_ordered("target_type", "target_id", "status"),
    Index(None, "initiative_id"),
    *_ordered("agent_id", "status"),
)

change_sets = Table(
    "change_sets",
    metadata,
    *_id(),
    _reference("initiative_id", "initiatives.id", "CASCADE"),
    _reference("agent_id", "agents.id", "SET NULL", nullable=True),
    _text("agent_name"),
    *_one_of("mode", ChangeSetMode),
    _nullable_text("summary"),
    *_one_of("status", ChangeSetStatus, default="applied"),
    _timestamp("reverted_at"),
    *_times(),
    *_place(),
    *_ordered("initiative_id"),
    *_ordered("agent_id"),
)

change_set_entries = Table(
    "change_set_entries",
    metadata,
    *_id(),
    _reference("change_set_id", "change_sets.id", "CASCADE"),
    *_one_of("entity_type", ChangeSetEntityType),
    Column("entity_id", Id, nullable=False),
    *_one_of("action", ChangeSetAction),
    _json("previous_state"),
    _json("new_state"),
    _number("sort_order", default=0),
    _created_at(),
    *_place(),
    *_ordered("change_set_id", "sort_order"),
)

chat_messages = Table(
    "chat_messages",
    metadata,
    *_id(),
    _reference("chat_session_id", "chat_sessions.id", "CASCADE"),
    *_one_of("role", ChatRole),
    _text("content"),
    _reference("change_set_id", "change_sets.id", "SET NULL", nullable=True),
    _created_at(),
    *_place(),
    *_ordered("chat_session_id"),
    Index(None, "change_set_id"),
)

errands = Table(
    "errands",
    metadata,
    *_id(),
    _text("description"),
    _text("branch"),
    _text("base_branch", default="main"),
    _reference("agent_id", "agents.id", "SET NULL", nullable=True),
    _reference("project_id", "projects.id", "CASCADE", nullable=True),
    *_one_of("status", ErrandStatus, default="active"),
    *_times(),
    *_place(),
    *_ordered("project_id"),
    *_ordered("status"),
    Index(None, "agent_id"),
)

review_comments = Table(
    "review_comments",
    metadata,
    *_id(),
    _reference("phase_id", "phases.id", "CASCADE"),
    _text("file_path"),
    _number("line_number"),
    *_one_of("line_type", LineType),
    _text("body"),
    _text("author", default="you"),
    _flag("resolved"),
    *_times(),
    *_place(),
    *_ordered("phase_id"),
)

store_state = Table(
    "store_state",
    metadata,
    Column("name", IndexedText, primary_key=True),
    _text("value"),
)
"""What the store knows of itself; one row for each thing, and no record."""

changes = Table(
    "changes",
    metadata,
    Column(
        "seq",
        BigInteger().with_variant(Integer(), "sqlite"),
        Identity(always=False),
        primary_key=True,
    ),
    # The transaction's number where transactions write side by side, or else NULL.
    Column("xid", LargeNumber, nullable=True),
    _text("entity"),
    _text("entity_id"),
    _text("action"),
    Column("initiative_id", PlainText, nullable=True),
    Column("addressee_id", PlainText, nullable=True),
    _timestamp("at"),
    Column("mark", LargeNumber, nullable=False),
    _only_on("postgresql", Index(None, "xid", "seq")),
)
"""The feed: what was changed, in which row, one row for each change, written by triggers.

The first, 0, is no change: it marks where the feed begins. It has the highest number of what was
pruned as `entity_id`, and on PostgreSQL the highest `xid`. `mark` is drawn by chance, so that one
who knows a row can tell whether it is still the same.
"""
