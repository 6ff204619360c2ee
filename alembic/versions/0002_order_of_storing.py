"""Every row gets its place in the order of storing, by which lists go instead of by a time.

On SQLite the place is the number that a row has anyway (`INTEGER PRIMARY KEY`), which only a table
that is built anew can get; `id` stays unique. On PostgreSQL it is an identity. The rows that are
there are numbered by what lists went by before, `created_at` and then `id`, and not by where they
lie in the file. What an application added to these tables (columns, indexes, triggers, and views
on them) is kept, or it is said before anything is changed why that is not possible.

An errand no longer needs a project.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Connection

from cw_store.errors import SchemaError

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Columns = tuple[str, ...]

LISTS: dict[str, list[Columns]] = {
    "accounts": [()],
    "agent_log_chunks": [("agent_id",), ("agent_id", "session_number")],
    "agents": [("task_id",), ("session_id",), ("status",), ()],
    "change_set_entries": [("change_set_id", "sort_order")],
    "change_sets": [("initiative_id",), ("agent_id",)],
    "chat_messages": [("chat_session_id",)],
    "chat_sessions": [("target_type", "target_id", "status"), ("agent_id", "status")],
    "conversations": [("to_agent_id", "status"), ("from_agent_id",)],
    "errands": [("project_id",), ("status",), ()],
    "initiatives": [("status",), ()],
    "messages": [
        ("recipient_id", "recipient_type"),
        ("recipient_type", "status"),
        ("sender_type",),
        ("sender_id", "sender_type"),
        ("parent_message_id",),
    ],
    "pages": [("initiative_id",), ("parent_page_id", "sort_order")],
    "phases": [("initiative_id",), ("status",)],
    "projects": [()],
    "proposals": [("agent_id",), ("agent_id", "status"), ("initiative_id",)],
    "review_comments": [("phase_id",)],
    "tasks": [
        ("phase_id", "order"),
        ("initiative_id", "order"),
        ("parent_task_id", "order"),
        ("status",),
    ],
}
"""Every table whose rows have an id, and what the lists of it are found by, before the order."""

REFERENCES: dict[str, list[Columns]] = {"agents": [("initiative_id",), ("account_id",)]}
"""What had an index without an order, as nobody listed by it; on PostgreSQL it gets one."""

UNCHANGEABLE = ("agent_log_chunks", "change_set_entries", "chat_messages")
"""Tables whose rows are never changed, and have no time of it."""

SOME: dict[str, list[tuple[str, Columns, str]]] = {
    "messages": [
        (
            "ix_messages_requiring_response",
            ("created_at", "id"),
            "requires_response AND status <> 'responded'",
        )
    ],
    "conversations": [("ix_conversations_pending", (), "status = 'pending'")],
}
"""The indexes of some rows alone: name, columns before this revision (if it was there), which."""


def upgrade() -> None:
    """Go one step forward."""
    connection = op.get_bind()
    _refuse_own_column(connection)
    if connection.dialect.name == "sqlite":
        _refuse_taken(connection, _names_on_sqlite())
        _need_room(connection)
        for table in LISTS:
            _number_on_sqlite(connection, table)
    else:
        _refuse_taken(connection, _names_on_postgresql())
        # A server may end statements that are long; these have to be.
        op.execute("SET LOCAL statement_timeout = 0")
        for table in LISTS:
            _number_on_postgresql(connection, table)
        op.alter_column("errands", "project_id", nullable=True)


def downgrade() -> None:
    """Go one step back, unless there is what cannot be kept there."""
    connection = op.get_bind()
    _refuse_what_was_not_possible(connection)
    if connection.dialect.name == "postgresql":
        _refuse_use_on_postgresql(connection)
    if connection.dialect.name == "sqlite":
        _need_room(connection)
        for table in LISTS:
            _forget_numbers_on_sqlite(connection, table)
    else:
        for table in LISTS:
            _forget_numbers_on_postgresql(table)
        op.alter_column("errands", "project_id", nullable=False)


# The indexes.


def _names_before(table: str) -> list[tuple[str, Columns]]:
    return [
        (_name(table, (*columns, "created_at", "id")), (*columns, "created_at", "id"))
        for columns in LISTS[table]
    ]


def _names_on_sqlite(*tables: str) -> list[tuple[str, Columns]]:
    return [
        (_name(table, columns), columns)
        for table in tables or LISTS
        for columns in LISTS[table]
        if columns
    ]


def _names_on_postgresql(*tables: str) -> list[tuple[str, Columns]]:
    return [
        (_name(table, (*columns, "seq")), (*columns, "seq"))
        for table in tables or LISTS
        for columns in (*LISTS[table], *REFERENCES.get(table, ()))
        if columns
    ]


def _name(table: str, columns: Columns) -> str:
    return f"ix_{table}_{'_'.join(columns)}"


def _create_index(name: str, table: str, columns: Columns, where: str | None = None) -> None:
    only = None if where is None else sa.text(where)
    op.create_index(op.f(name), table, list(columns), sqlite_where=only, postgresql_where=only)


# SQLite.


def _number_on_sqlite(connection: Connection, table: str) -> None:
    last = "created_at" if table in UNCHANGEABLE else "updated_at"
    changes = [
        (rf"\b{last} BIGINT NOT NULL", f"{last} BIGINT NOT NULL, \n\tseq INTEGER NOT NULL"),
        (
            rf"CONSTRAINT pk_{table} PRIMARY KEY \(id\)",
            f"CONSTRAINT pk_{table} PRIMARY KEY (seq), \n\tCONSTRAINT uq_{table}_id UNIQUE (id)",
        ),
    ]
    if table == "errands":
        changes.append((r"\bproject_id TEXT NOT NULL", "project_id TEXT"))
    dropped = [name for name, _ in _names_before(table)]
    dropped += [name for name, _, _ in SOME.get(table, ())]
    _rebuild(connection, table, changes, dropped, order="created_at, id")
    for name, columns in _names_on_sqlite(table):
        _create_index(name, table, columns)
    for name, _, where in SOME.get(table, ()):
        _create_index(name, table, ("seq",), where)


def _forget_numbers_on_sqlite(connection: Connection, table: str) -> None:
    changes = [
        (r", \s*seq INTEGER NOT NULL", ""),
        (
            rf"CONSTRAINT pk_{table} PRIMARY KEY \(seq\), \s*CONSTRAINT uq_{table}_id UNIQUE \(id\)",
            f"CONSTRAINT pk_{table} PRIMARY KEY (id)",
        ),
    ]
    if table == "errands":
        changes.append((r"\bproject_id TEXT(?! NOT NULL)", "project_id TEXT NOT NULL"))
    dropped = [name for name, _ in _names_on_sqlite(table)]
    dropped += [name for name, _, _ in SOME.get(table, ())]
    _rebuild(connection, table, changes, dropped, order="seq")
    for name, columns in _names_before(table):
        _create_index(name, table, columns)
    for name, columns, where in SOME.get(table, ()):
        if columns:
            _create_index(name, table, columns, where)


def _rebuild(
    connection: Connection,
    table: str,
    changes: list[tuple[str, str]],
    dropped: list[str],
    *,
    order: str,
) -> None:
    """Build a table anew with its rows in this order, and give it back what belonged to it.

    `changes` are made to its own text, which is the only place where all is that an application
    added to it. `dropped` are the indexes that it does not get back.
    """
    run = connection.exec_driver_sql
    [text] = run("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,)).one()
    belongings = run(
        "SELECT name, sql FROM sqlite_schema WHERE tbl_name = ? AND type IN ('index', 'trigger') "
        "AND sql IS NOT NULL",
        (table,),
    ).all()
    new = f"cw_store_new_{table}"
    run(_changed(table, text, [(rf'^CREATE TABLE "?{table}"?', f"CREATE TABLE {new}"), *changes]))
    columns = ", ".join(_columns_of_both(connection, table, new))
    # To sort places takes a fraction of the room and the time that it takes to sort whole rows.
    run("CREATE TEMP TABLE cw_store_places (place INTEGER PRIMARY KEY, number INTEGER NOT NULL)")
    run(
        f"INSERT INTO temp.cw_store_places (number) "  # noqa: S608 -- of the names above
        f"SELECT rowid FROM main.{table} ORDER BY {order}"
    )
    run(
        f"INSERT INTO {new} ({columns}) SELECT {columns} FROM temp.cw_store_places "  # noqa: S608
        f"CROSS JOIN main.{table} ON {table}.rowid = number ORDER BY place"
    )
    run("DROP TABLE temp.cw_store_places")
    run(f"DROP TABLE {table}")
    run(f"ALTER TABLE {new} RENAME TO {table}")
    for name, sql in belongings:
        if name not in dropped:
            run(sql)


def _changed(table: str, text: str, changes: list[tuple[str, str]]) -> str:
    for pattern, replacement in changes:
        text, count = re.subn(pattern, replacement, text)
        if count != 1:
            raise SchemaError(
                f"the table {table} is not as cw_store made it, and cannot be built anew without "
                "losing what was changed in it; nothing was changed"
            )
    return text


def _columns_of_both(connection: Connection, table: str, new: str) -> list[str]:
    """Return the columns that hold values in both, quoted; what SQLite computes is none."""

    def columns(name: str) -> list[str]:
        found = connection.exec_driver_sql(f"PRAGMA table_xinfo({name})").all()
        return [row.name for row in found if row.hidden == 0]

    there = columns(new)
    quote = connection.dialect.identifier_preparer.quote
    return [quote(name) for name in columns(table) if name in there]


def _need_room(connection: Connection) -> None:
    """Refuse when the disk is too full: all is written into the log, and then into the file."""
    run = connection.exec_driver_sql
    size = run("PRAGMA page_count").scalar_one() * run("PRAGMA page_size").scalar_one()
    path = next((row.file for row in run("PRAGMA database_list") if row.name == "main"), "")
    if not path:
        return
    free = shutil.disk_usage(path).free
    if free < 2 * size:
        raise SchemaError(
            f"to bring the database up to date takes {_mebibytes(2 * size)} of room beside "
            f"{path}, twice what it has now, and {_mebibytes(free)} are free; nothing was changed"
        )


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


# PostgreSQL.


def _number_on_postgresql(connection: Connection, table: str) -> None:
    for name, _ in _names_before(table):
        op.drop_index(op.f(name), table)
    for columns in REFERENCES.get(table, ()):
        op.drop_index(op.f(_name(table, columns)), table)
    for name, columns, _ in SOME.get(table, ()):
        if columns:
            op.drop_index(op.f(name), table)
    op.add_column(table, sa.Column("seq", sa.BigInteger(), nullable=True))
    asleep = _put_triggers_to_sleep(connection, table)
    op.execute(
        f"UPDATE {table} SET seq = numbered.place FROM ("  # noqa: S608 -- of the names above
        f"SELECT id, row_number() OVER (ORDER BY created_at, id) AS place FROM {table}"
        f") AS numbered WHERE {table}.id = numbered.id"
    )
    for wake in asleep:
        op.execute(f"ALTER TABLE {table} {wake}")
    op.alter_column(table, "seq", nullable=False)
    op.execute(f"ALTER TABLE {table} ALTER COLUMN seq ADD GENERATED BY DEFAULT AS IDENTITY")
    op.execute(
        f"SELECT setval(pg_get_serial_sequence('{table}', 'seq'), count(*) + 1, false) "  # noqa: S608
        f"FROM {table}"
    )
    op.create_unique_constraint(op.f(f"uq_{table}_seq"), table, ["seq"])
    for name, columns in _names_on_postgresql(table):
        _create_index(name, table, columns)
    for name, _, where in SOME.get(table, ()):
        _create_index(name, table, ("seq",), where)


def _put_triggers_to_sleep(connection: Connection, table: str) -> list[str]:
    """Disable an application's triggers, as no row changes for it; return what wakes them."""
    waking = {"O": "ENABLE TRIGGER", "R": "ENABLE REPLICA TRIGGER", "A": "ENABLE ALWAYS TRIGGER"}
    found = connection.execute(
        sa.text(
            "SELECT quote_ident(tgname), tgenabled::text FROM pg_trigger "
            "WHERE tgrelid = to_regclass(:table) AND NOT tgisinternal AND tgenabled <> 'D'"
        ),
        {"table": table},
    ).all()
    for name, _ in found:
        op.execute(f"ALTER TABLE {table} DISABLE TRIGGER {name}")
    return [f"{waking[state]} {name}" for name, state in found]


def _forget_numbers_on_postgresql(table: str) -> None:
    for name, _ in _names_on_postgresql(table):
        op.drop_index(op.f(name), table)
    for name, _, _ in SOME.get(table, ()):
        op.drop_index(op.f(name), table)
    op.drop_column(table, "seq")
    for name, columns in _names_before(table):
        _create_index(name, table, columns)
    for columns in REFERENCES.get(table, ()):
        _create_index(_name(table, columns), table, columns)
    for name, columns, where in SOME.get(table, ()):
        if columns:
            _create_index(name, table, columns, where)


# What cannot be kept.


def _refuse_own_column(connection: Connection) -> None:
    inspector = sa.inspect(connection)
    for table in LISTS:
        if any(column["name"] == "seq" for column in inspector.get_columns(table)):
            raise SchemaError(
                f"{table} has a column seq of the application's, where cw_store needs one of its "
                "own; rename it first. Nothing was changed"
            )


def _refuse_taken(connection: Connection, indexes: Iterable[tuple[str, Columns]]) -> None:
    """Refuse when something of the application has the name of one of these indexes."""
    names = [name for name, _ in indexes]
    names += ["ix_conversations_pending", *(f"uq_{table}_seq" for table in LISTS)]
    schema = (
        "SELECT name FROM sqlite_schema"
        if connection.dialect.name == "sqlite"
        else "SELECT relname FROM pg_class WHERE relnamespace = "
        "(SELECT relnamespace FROM pg_class WHERE oid = to_regclass('cw_store_version'))"
    )
    taken = sorted({*names}.intersection(connection.exec_driver_sql(schema).scalars()))
    if taken:
        raise SchemaError(
            f"the application has an index or a table called {', '.join(taken)}, which cw_store "
            "needs for one of its own; rename it first. Nothing was changed"
        )


def _refuse_use_on_postgresql(connection: Connection) -> None:
    """Refuse when something of the application goes by the places, and would break or go too."""
    uses = sa.text(
        """
        SELECT DISTINCT pg_describe_object(classid, objid, objsubid) FROM pg_depend
        JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
        WHERE refclassid = 'pg_class'::regclass AND refobjid = to_regclass(:table)
            AND attname = 'seq' AND deptype <> 'i'
            AND NOT (classid = 'pg_class'::regclass AND EXISTS (
                SELECT FROM pg_class WHERE pg_class.oid = objid AND relname = ANY (:indexes)))
            AND NOT (classid = 'pg_constraint'::regclass AND EXISTS (
                SELECT FROM pg_constraint
                WHERE pg_constraint.oid = objid AND (conname = :unique OR contype = 'n')))
        """
    )
    for table in LISTS:
        indexes = [name for name, _ in _names_on_postgresql(table)]
        indexes += [name for name, _, _ in SOME.get(table, ())]
        found = connection.scalars(
            uses, {"table": table, "indexes": indexes, "unique": f"uq_{table}_seq"}
        )
        if used := sorted(found):
            raise SchemaError(
                f"what the application has made uses {table}.seq, which the version before this "
                f"one does not have: {', '.join(used)}; drop it first. Nothing was changed"
            )


def _refuse_what_was_not_possible(connection: Connection) -> None:
    errands = connection.scalar(sa.text("SELECT count(*) FROM errands WHERE project_id IS NULL"))
    if errands:
        raise SchemaError(
            f"{errands} errands have no project, which the version before this one cannot hold; "
            "give them one or delete them first. Nothing was changed"
        )
    bound = connection.scalar(
        sa.text(
            "SELECT count(*) FROM accounts WHERE credentials LIKE 'cw-store:bound:%' "
            "OR config_json LIKE 'cw-store:bound:%'"
        )
    )
    if bound:
        raise SchemaError(
            f"the secrets of {bound} accounts are encrypted in a way that the version before this "
            "one cannot read; write them anew there. Nothing was changed"
        )
