"""What an application needs to know whose tables are in the same database as its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cw_store.inspection import VERSION_TABLE
from cw_store.schema import metadata

if TYPE_CHECKING:
    from alembic.runtime.environment import NameFilterParentNames, NameFilterType

TABLE_NAMES: frozenset[str] = frozenset(metadata.tables) | {VERSION_TABLE}
"""The names of all tables of the store, the one that keeps its schema's revision among them."""


def include_name(
    name: str | None, type_: NameFilterType, parent_names: NameFilterParentNames
) -> bool:
    """Return whether Alembic shall compare what has this name in the database; a hook of its own.

    `context.configure(..., include_name=cw_store.include_name)` in an application's `env.py` keeps
    autogenerate and `alembic check` from looking at the tables of the store and at all that belongs
    to them, so that they propose neither to drop nor to change any. Tables in a schema other than
    the connection's default one are never the store's.
    """
    if parent_names.get("schema_name") is not None:
        return True
    table = name if type_ == "table" else parent_names.get("table_name")
    return table not in TABLE_NAMES
