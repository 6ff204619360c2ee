"""The feed: a table of what was changed, which triggers write.

Nothing is changed of what is there, and nothing is told of what was changed before. The triggers
are made after every migration, from one list.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql

from cw_store.errors import SchemaError

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BIGINT = sa.BigInteger()
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIMESTAMP = sa.BigInteger().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")

NAMES = ("changes", "pk_changes", "ix_changes_xid_seq", "changes_seq_seq")
OURS = "cw_store_changes_"
"""Begins the names of the feed's triggers, and on PostgreSQL of their functions."""


def upgrade() -> None:
    """Go one step forward."""
    connection = op.get_bind()
    _refuse_taken(connection)
    op.create_table(
        "changes",
        sa.Column("seq", NUMBER, sa.Identity(always=False), nullable=False),
        sa.Column("xid", BIGINT, nullable=True),
        sa.Column("entity", TEXT, nullable=False),
        sa.Column("entity_id", TEXT, nullable=False),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("initiative_id", TEXT, nullable=True),
        sa.Column("addressee_id", TEXT, nullable=True),
        sa.Column("at", TIMESTAMP, nullable=True),
        sa.Column("mark", BIGINT, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_changes"),
    )
    chance = "random()"
    if connection.dialect.name == "postgresql":
        op.create_index("ix_changes_xid_seq", "changes", ["xid", "seq"])
        chance = "(random() * 9007199254740992)::bigint"
    op.execute(
        "INSERT INTO changes (seq, xid, entity, entity_id, action, mark) "  # noqa: S608 -- as above
        f"VALUES (0, 0, '', '0', '', {chance})"
    )


def downgrade() -> None:
    """Go one step back; what the feed told is forgotten."""
    connection = op.get_bind()
    run = connection.exec_driver_sql
    if connection.dialect.name == "sqlite":
        for name in run("SELECT name FROM sqlite_schema WHERE type = 'trigger'").scalars().all():
            if name.startswith(OURS):
                run(f'DROP TRIGGER "{name}"')
    else:
        functions = run(
            "SELECT proname, oid::regprocedure::text FROM pg_proc WHERE pronamespace = "
            "(SELECT relnamespace FROM pg_class WHERE oid = to_regclass('cw_store_version'))"
        ).all()
        for name, signature in functions:
            if name.startswith(OURS):
                run(f"DROP FUNCTION {signature} CASCADE")  # its triggers go with it
    op.drop_table("changes")


def _refuse_taken(connection: Connection) -> None:
    """Refuse when something of the application has the name of one of ours."""
    if connection.dialect.name == "sqlite":
        named = "SELECT lower(name) FROM sqlite_schema"
    else:
        place = "(SELECT relnamespace FROM pg_class WHERE oid = to_regclass('cw_store_version'))"
        named = (
            f"SELECT relname FROM pg_class WHERE relnamespace = {place} "  # noqa: S608
            f"UNION SELECT proname FROM pg_proc WHERE pronamespace = {place}"
        )
    found = connection.exec_driver_sql(named).scalars()
    taken = sorted(name for name in found if name in NAMES or name.startswith(OURS))
    if taken:
        raise SchemaError(
            f"the application has something called {', '.join(taken)}, which cw_store needs for "
            "something of its own; rename it first. Nothing was changed"
        )
