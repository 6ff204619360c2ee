"""The tables of an application that shares its database with a store."""

from sqlalchemy import Column, ForeignKey, Index, Integer, MetaData, Table, Text

import cw_store

metadata = MetaData()
tasks = cw_store.metadata.tables["tasks"]

budgets = Table(
    "budgets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("cents", Integer, nullable=False),
)

reviews = Table(
    "reviews",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("task_id", Text, ForeignKey(tasks.c.id, ondelete="CASCADE"), nullable=False),
    Column("budget", Text, ForeignKey("budgets.name")),
    Column("verdict", Text, nullable=False, unique=True),
    Index("ix_reviews_task_id", "task_id"),
)
