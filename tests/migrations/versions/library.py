"""Stands for the library's newest revision, at which the tests begin."""

from cw_store.migrations import revisions

revision = revisions()[-1]
down_revision = None


def upgrade() -> None:
    """Do nothing: the database is there already."""
