"""What a look at a PostgreSQL database finds of a store."""

from __future__ import annotations

from sqlalchemy import Connection, text

from cw_store.inspection import HIDDEN_TABLE, READ_VERSIONS, VERSION_TABLE, Contents

# Where the store's tables are, else where they would be made: the first schema of the path. A
# table makes a type of its name, so that a type is in its way as well.
_RELATIONS = text(
    """
    WITH place (oid) AS (
        SELECT coalesce(
            (SELECT relnamespace FROM pg_class WHERE oid = to_regclass(:version_table)),
            (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
        )
    )
    SELECT typname, 'type' FROM pg_type, place WHERE typnamespace = place.oid AND typrelid = 0
    UNION ALL
    SELECT relname, CASE WHEN relkind IN ('r', 'p') AND NOT pg_table_is_visible(pg_class.oid)
        THEN :hidden_table ELSE CASE relkind
        WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view'
        WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'I' THEN 'index'
        WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' ELSE 'type' END END
    FROM pg_class JOIN place ON relnamespace = place.oid
    """
).bindparams(version_table=VERSION_TABLE, hidden_table=HIDDEN_TABLE)
_VERSION_COLUMNS = text(
    "SELECT attname FROM pg_attribute "
    "WHERE attrelid = to_regclass(:version_table) AND attnum > 0 AND NOT attisdropped"
).bindparams(version_table=VERSION_TABLE)


def contents_of(connection: Connection) -> Contents:
    """Return what the database holds, where the store's tables are or would be made."""
    relations = {str(name): str(kind) for name, kind in connection.execute(_RELATIONS)}
    if VERSION_TABLE not in relations:
        return Contents(relations)
    if list(connection.scalars(_VERSION_COLUMNS)) != ["version_num"]:
        return Contents(relations)
    return Contents(relations, list(connection.scalars(text(READ_VERSIONS))))
