"""Who works on what until when: claims, leases, limits, and how much each row still waits for.

Columns and indexes are added where the tables are, on SQLite too, so that a large database is not
built anew. The triggers that keep the counters are not made here but after every migration, from
one list; here the rows that are there are counted for the first time. What an application added to
these tables is kept, and none of its triggers is told of the count.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from cw_store.errors import SchemaError

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INTEGER = sa.Integer()
BIGINT = sa.BigInteger()
TIMESTAMP = sa.BigInteger().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")

COLUMNS: list[tuple[str, str, TypeEngine[Any], int | None]] = [
    ("accounts", "max_agents", INTEGER, None),
    ("agents", "holder", TEXT, None),
    ("agents", "lease_expires_at", TIMESTAMP, None),
    ("agents", "epoch", INTEGER, None),
    ("initiatives", "max_agents", INTEGER, None),
    ("initiatives", "dispatch_turn", BIGINT, None),
    ("phases", "open_dependencies", INTEGER, 0),
    ("tasks", "max_retries", INTEGER, 3),
    ("tasks", "not_before", TIMESTAMP, None),
    ("tasks", "epoch", INTEGER, 0),
    ("tasks", "open_dependencies", INTEGER, 0),
]
"""Table, column, type, and the number that is there unless another is given, or else NULL."""

CLAIM = "claimed_by_agent_id"
CLAIM_KEY = f"fk_tasks_{CLAIM}"
CLAIM_CHECK = "ck_tasks_claimed"
CLAIM_RULES = (
    f"CONSTRAINT {CLAIM_KEY} REFERENCES agents (id) ON DELETE SET NULL DEFERRABLE "
    f"CONSTRAINT {CLAIM_CHECK} CHECK ({CLAIM} IS NULL OR status = 'in_progress')"
)
"""The column that closes the circle of tasks and agents is added with all that holds for it, since
SQLite takes no constraint later."""

NEXT = (
    "status, open_dependencies, "
    "(CASE priority WHEN 'high' THEN 0 WHEN 'medium' THEN 1 ELSE 2 END), \"order\", seq"
)
INDEXES: dict[str, tuple[str, str, str]] = {
    "ix_accounts_exhausted_until": ("accounts", "exhausted_until", "exhausted_until IS NOT NULL"),
    "ix_agents_lease": ("agents", "lease_expires_at", "lease_expires_at IS NOT NULL"),
    "ix_agents_lease_account": ("agents", "account_id", "lease_expires_at IS NOT NULL"),
    "ix_agents_lease_initiative": ("agents", "initiative_id", "lease_expires_at IS NOT NULL"),
    "ix_conversations_waiting": (
        "conversations",
        "from_agent_id, to_agent_id",
        "status = 'pending'",
    ),
    "ix_phases_open": (
        "phases",
        "initiative_id, status, open_dependencies",
        "status <> 'completed'",
    ),
    "ix_tasks_claimed": ("tasks", CLAIM, f"{CLAIM} IS NOT NULL"),
    "ix_tasks_not_before": ("tasks", "not_before", "not_before IS NOT NULL"),
    "ix_tasks_open": ("tasks", f"phase_id, {NEXT}", "status <> 'completed'"),
    "ix_tasks_open_without_phase": (
        "tasks",
        f"initiative_id, {NEXT}",
        "status <> 'completed' AND phase_id IS NULL",
    ),
}
"""The indexes by their names: table, columns, which rows."""

COUNTED = {
    "phases": ("phase_dependencies", "phase_id", "depends_on_phase_id"),
    "tasks": ("task_dependencies", "task_id", "depends_on_task_id"),
}
"""What waits for its like, and the edges that say for what."""

OURS = re.compile("cw_store_.*", re.DOTALL)
"""The names that the store keeps for its triggers, and on PostgreSQL for their functions."""


def upgrade() -> None:
    """Go one step forward."""
    connection = op.get_bind()
    _refuse_own_columns(connection)
    _refuse_taken(connection)
    text = "TEXT"
    if connection.dialect.name == "postgresql":
        # A server may end statements that are long; these have to be.
        op.execute("SET LOCAL statement_timeout = 0")
        text = 'TEXT COLLATE "C"'
    for table, name, type_, default in COLUMNS:
        op.add_column(table, _column(name, type_, default))
    op.execute(f"ALTER TABLE tasks ADD COLUMN {CLAIM} {text} {CLAIM_RULES}")
    op.execute(
        f"CREATE TABLE store_state (name {text} NOT NULL, value {text} NOT NULL, "
        "CONSTRAINT pk_store_state PRIMARY KEY (name))"
    )
    for table in COUNTED:
        with _triggers_asleep(connection, table):
            _count(table)
    for name, (table, columns, where) in INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON {table} ({columns}) WHERE {where}")


def downgrade() -> None:
    """Go one step back, unless there is what cannot be kept there."""
    connection = op.get_bind()
    _refuse_what_was_not_possible(connection)
    if connection.dialect.name == "postgresql":
        _refuse_use_on_postgresql(connection)
    _drop_triggers(connection)
    op.drop_table("store_state")
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
    _drop_column("tasks", CLAIM)
    for table, name, _, _ in COLUMNS:
        _drop_column(table, name)


def _column(name: str, type_: TypeEngine[Any], default: int | None) -> sa.Column[Any]:
    if default is None:
        return sa.Column(name, type_, nullable=True)
    return sa.Column(name, type_, nullable=False, server_default=sa.text(str(default)))


def _drop_column(table: str, column: str) -> None:
    try:
        op.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    except DBAPIError as error:
        if op.get_bind().dialect.name == "postgresql":
            raise
        raise SchemaError(
            f"what the application has made uses {table}.{column}, which the version before this "
            f"one does not have: {error.orig}; drop it first. Nothing was changed"
        ) from error


def _count(table: str) -> None:
    edges, dependent, dependency = COUNTED[table]
    op.execute(
        f"UPDATE {table} SET open_dependencies = counted.number FROM ("  # noqa: S608 -- as above
        f"SELECT {dependent} AS id, count(*) AS number FROM {edges} "
        f"JOIN {table} AS prerequisite ON prerequisite.id = {dependency} "
        f"WHERE prerequisite.status <> 'completed' GROUP BY {dependent}"
        f") AS counted WHERE {table}.id = counted.id"
    )


# The triggers.


@contextmanager
def _triggers_asleep(connection: Connection, table: str) -> Generator[None]:
    """Let an application's triggers not run meanwhile, as no row changes for it."""
    if connection.dialect.name == "sqlite":
        quote = connection.dialect.identifier_preparer.quote
        found = connection.exec_driver_sql(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?", (table,)
        ).all()
        asleep = [f"DROP TRIGGER {quote(name)}" for name, _ in found]
        awake = [sql for _, sql in found]
    else:
        waking = {"O": "ENABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}
        found = connection.execute(
            sa.text(
                "SELECT quote_ident(tgname), tgenabled::text FROM pg_trigger "
                "WHERE tgrelid = to_regclass(:table) AND NOT tgisinternal AND tgenabled <> 'D'"
            ),
            {"table": table},
        ).all()
        asleep = [f"ALTER TABLE {table} DISABLE TRIGGER {name}" for name, _ in found]
        awake = [f"ALTER TABLE {table} {waking[state]} TRIGGER {name}" for name, state in found]
    for statement in asleep:
        connection.exec_driver_sql(statement)
    yield
    for statement in awake:
        connection.exec_driver_sql(statement)


def _drop_triggers(connection: Connection) -> None:
    run = connection.exec_driver_sql
    if connection.dialect.name == "sqlite":
        for name in run("SELECT name FROM sqlite_schema WHERE type = 'trigger'").scalars().all():
            if OURS.fullmatch(name):
                run(f'DROP TRIGGER "{name}"')
        return
    functions = run(
        "SELECT proname, oid::regprocedure::text FROM pg_proc WHERE pronamespace = "
        "(SELECT relnamespace FROM pg_class WHERE oid = to_regclass('cw_store_version'))"
    ).all()
    for name, signature in functions:
        if OURS.fullmatch(name):
            run(f"DROP FUNCTION {signature} CASCADE")  # its triggers go with it


# What is in the way, and what cannot be kept.


def _added() -> list[tuple[str, str]]:
    return [*((table, name) for table, name, _, _ in COLUMNS), ("tasks", CLAIM)]


def _refuse_own_columns(connection: Connection) -> None:
    inspector = sa.inspect(connection)
    for table, name in _added():
        if any(column["name"].lower() == name for column in inspector.get_columns(table)):
            raise SchemaError(
                f"{table} has a column {name} of the application's, where cw_store needs one of "
                "its own; rename it first. Nothing was changed"
            )


def _refuse_taken(connection: Connection) -> None:
    """Refuse when something of the application has the name of one of ours."""
    if connection.dialect.name == "sqlite":
        named = "SELECT lower(name), type FROM sqlite_schema"
    else:
        place = "(SELECT relnamespace FROM pg_class WHERE oid = to_regclass('cw_store_version'))"
        named = (
            f"SELECT relname, 'index' FROM pg_class WHERE relnamespace = {place} "  # noqa: S608
            "UNION SELECT conname, 'constraint' FROM pg_constraint "
            "WHERE conrelid = to_regclass('tasks') "
            f"UNION SELECT proname, 'function' FROM pg_proc WHERE pronamespace = {place} "
            "UNION SELECT tgname, 'trigger' FROM pg_trigger JOIN pg_class "
            f"ON pg_class.oid = tgrelid WHERE relnamespace = {place} AND NOT tgisinternal"
        )
    taken = sorted(
        name
        for name, kind in connection.exec_driver_sql(named)
        if name in INDEXES
        or name == "store_state"
        or (kind == "constraint" and name in (CLAIM_KEY, CLAIM_CHECK))
        or (kind in ("trigger", "function") and OURS.fullmatch(name))
    )
    if taken:
        raise SchemaError(
            f"the application has something called {', '.join(taken)}, which cw_store needs for "
            "something of its own; rename it first. Nothing was changed"
        )


def _refuse_use_on_postgresql(connection: Connection) -> None:
    """Refuse when something of the application uses the columns, and would break or go too."""
    uses = sa.text(
        """
        SELECT DISTINCT pg_describe_object(classid, objid, objsubid) FROM pg_depend
        JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
        WHERE refclassid = 'pg_class'::regclass AND refobjid = to_regclass(:table)
            AND attname = :column
            AND NOT (classid = 'pg_attrdef'::regclass AND EXISTS (
                SELECT FROM pg_attrdef
                WHERE pg_attrdef.oid = objid AND adrelid = attrelid AND adnum = attnum))
            AND NOT (classid = 'pg_class'::regclass AND EXISTS (
                SELECT FROM pg_class WHERE pg_class.oid = objid AND relname = ANY (:indexes)))
            AND NOT (classid = 'pg_constraint'::regclass AND EXISTS (
                SELECT FROM pg_constraint
                WHERE pg_constraint.oid = objid
                    AND (conname = ANY (:constraints) OR contype = 'n')))
            AND NOT (classid = 'pg_trigger'::regclass AND EXISTS (
                SELECT FROM pg_trigger
                WHERE pg_trigger.oid = objid AND tgname LIKE 'cw\\_store\\_%'))
        """
    )
    for table, column in _added():
        found = connection.scalars(
            uses,
            {
                "table": table,
                "column": column,
                "indexes": list(INDEXES),
                "constraints": [CLAIM_KEY, CLAIM_CHECK],
            },
        )
        if used := sorted(found):
            raise SchemaError(
                f"what the application has made uses {table}.{column}, which the version before "
                f"this one does not have: {', '.join(used)}; drop it first. Nothing was changed"
            )


def _refuse_what_was_not_possible(connection: Connection) -> None:
    for table, where, told in (
        ("tasks", f"{CLAIM} IS NOT NULL", "tasks are claimed"),
        ("agents", "lease_expires_at IS NOT NULL", "agents have a lease that is live"),
        ("tasks", "not_before IS NOT NULL", "tasks are not to be handed out before a time"),
        ("tasks", "max_retries <> 3", "tasks may be retried more or less often than three times"),
        ("initiatives", "max_agents IS NOT NULL", "initiatives have a limit of agents"),
        ("accounts", "max_agents IS NOT NULL", "accounts have a limit of agents"),
    ):
        query = f"SELECT count(*) FROM {table} WHERE {where}"  # noqa: S608 -- of the lines above
        number = connection.exec_driver_sql(query).scalar_one()
        if number:
            raise SchemaError(
                f"{number} {told}, which the version before this one cannot hold; end or clear "
                "that first. Nothing was changed"
            )
