"""Builds two tables anew that others point to."""

import sqlalchemy as sa
from alembic import op

from cw_store.migrations import revisions

revision = "later_good"
down_revision = revisions()[-1]


def upgrade() -> None:
    """Add columns in a way that SQLite only knows by building the table anew."""
    with op.batch_alter_table("initiatives", recreate="always") as batch:
        batch.add_column(sa.Column("colour", sa.Text(), nullable=False, server_default="green"))
    with op.batch_alter_table("tasks", recreate="always") as batch:
        batch.add_column(sa.Column("weight", sa.Integer(), nullable=False, server_default="1"))
