"""A table that knows nothing of the store."""

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "budgets",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("cents", sa.Integer, nullable=False),
    )
    op.execute("INSERT INTO budgets VALUES ('all', 100)")


def downgrade() -> None:
    op.drop_table("budgets")
