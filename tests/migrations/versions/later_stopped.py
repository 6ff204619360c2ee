"""Fails when half of it is done."""

import sqlalchemy as sa
from alembic import op

from cw_store.migrations import revisions

revision = "later_stopped"
down_revision = revisions()[-1]


def upgrade() -> None:
    """Build one table anew, delete rows, build a half of another, and fail."""
    with op.batch_alter_table("initiatives", recreate="always") as batch:
        batch.add_column(sa.Column("colour", sa.Text(), nullable=False, server_default="green"))
    op.execute("DELETE FROM task_dependencies")
    op.execute("CREATE TABLE _alembic_tmp_tasks (id TEXT)")
    raise ZeroDivisionError
