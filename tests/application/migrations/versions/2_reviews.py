"""A reference to tasks of the store, and a column, an index, a trigger and a view on them."""

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"

COUNT = "UPDATE budgets SET cents = cents - 1 WHERE name = 'all'"
TRIGGER_ON_SQLITE = f"""
CREATE TRIGGER own_trigger AFTER INSERT ON tasks BEGIN {COUNT}; END
"""
FUNCTION = f"""
CREATE FUNCTION own_function() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN {COUNT.replace("'", "''")}; RETURN NULL; END'
"""
TRIGGER = """
CREATE TRIGGER own_trigger AFTER INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION own_function()
"""


def upgrade() -> None:
    op.create_table(
        "reviews",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("task_id", sa.Text, nullable=False),
        sa.Column("budget", sa.Text),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["budget"], ["budgets.name"]),
        sa.UniqueConstraint("verdict"),
    )
    op.create_index("ix_reviews_task_id", "reviews", ["task_id"])
    op.add_column("tasks", sa.Column("own_cents", sa.Integer, server_default="7"))
    op.create_index("own_index", "tasks", ["own_cents"])
    op.execute("CREATE VIEW own_view AS SELECT id, name, own_cents FROM tasks")
    if op.get_bind().dialect.name == "sqlite":
        op.execute(TRIGGER_ON_SQLITE)
    else:
        op.execute(FUNCTION)
        op.execute(TRIGGER)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER own_trigger")
    else:
        op.execute("DROP TRIGGER own_trigger ON tasks")
        op.execute("DROP FUNCTION own_function")
    op.execute("DROP VIEW own_view")
    op.drop_index("own_index", "tasks")
    op.drop_column("tasks", "own_cents")
    op.drop_table("reviews")
