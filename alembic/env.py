"""How Alembic runs the migrations of cw_store.

The library hands its connection over, in a transaction that has begun. From the command
line (`make migration m="…"`) there is none, and the database at $CW_STORE_URL is used.
"""

from __future__ import annotations

import warnings
from sqlite3 import connect
from typing import Any

from alembic import context
from alembic.runtime.environment import NameFilterParentNames, NameFilterType
from sqlalchemy import Connection, create_engine

from cw_store.application_tables import include_name as is_applications
from cw_store.inspection import VERSION_TABLE
from cw_store.location import locate
from cw_store.schema import metadata_on
from cw_store.triggers import put_back, take_away
from cw_store.types import (
    Encrypted,
    Flag,
    Json,
    LargeNumber,
    PlainText,
    UtcDateTime,
    WholeNumber,
)


def render_type(kind: str, item: Any, _autogen_context: Any) -> str | bool:
    """Write our column types as the names that every revision defines for itself.

    A revision must mean the same for ever, so it imports nothing of the library.
    """
    if kind == "type":
        for type_, name in (
            (Encrypted, "TEXT"),
            (PlainText, "TEXT"),
            (LargeNumber, "BIGINT"),
            (WholeNumber, "INTEGER"),
            (Flag, "BOOLEAN"),
            (Json, "JSON"),
            (UtcDateTime, "TIMESTAMP"),
        ):
            if isinstance(item, type_):
                return name
    return False


def include_name(
    name: str | None, type_: NameFilterType, parent_names: NameFilterParentNames
) -> bool:
    """Leave an application's tables alone, as its own history is told to leave the store's."""
    return type_ == "schema" or not is_applications(name, type_, parent_names)


def run(connection: Connection) -> None:
    """Run what was asked for on this connection, in its transaction, with no trigger of ours."""
    take_away(connection)
    context.configure(
        connection=connection,
        target_metadata=metadata_on(connection.dialect.name),
        version_table=VERSION_TABLE,
        include_name=include_name,
        render_item=render_type,
    )
    with context.begin_transaction():
        context.run_migrations()
    put_back(connection)


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    path = locate(None).path
    if path is None:
        raise SystemExit("set CW_STORE_URL to a SQLite file; servers are migrated on open")
    # Not as a store is migrated: while a migration is written, a table may be in schema.py alone.
    engine = create_engine("sqlite://", creator=lambda: connect(str(path), isolation_level=None))
    with warnings.catch_warnings(), engine.connect() as own:
        # Indexes of expressions, which it can neither read nor compare: a test does.
        warnings.filterwarnings("ignore", ".*expression-based index")
        own.exec_driver_sql("BEGIN IMMEDIATE")
        run(own)
        own.commit()
    engine.dispose()
