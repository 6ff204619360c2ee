"""The triggers of the store: what has to follow a change, whoever makes it.

They are a second language in the house, and all of it is in this folder: one list for each
database, which a test compares with the database. Triggers and not the repositories' code, because
a session, a cascade and another program write as well. Every migration begins with `take_away` and
ends with `put_back`: a table that is built anew on SQLite loses its triggers without a word, and a
column that a trigger names can neither be dropped nor, on PostgreSQL, be given another type.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from sqlalchemy import Connection

from cw_store.triggers import counters, feed
from cw_store.triggers.trigger import PREFIX, Trigger

__all__ = ["PREFIX", "Trigger", "put_back", "take_away", "triggers_on"]

_SQLITE = (*counters.SQLITE, *feed.SQLITE)
_POSTGRESQL = (*counters.POSTGRESQL, *feed.POSTGRESQL)

_COLUMNS_ON_SQLITE = (
    "SELECT tables.name, columns.name FROM sqlite_schema AS tables "
    "JOIN pragma_table_info(tables.name) AS columns WHERE tables.type = 'table'"
)
_COLUMNS_ON_POSTGRESQL = (
    "SELECT relname, attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid "
    "WHERE relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped "
    "AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('tasks'))"
)


def triggers_on(dialect: str) -> tuple[Trigger, ...]:
    """Return the triggers of a database of this dialect."""
    return _SQLITE if dialect == "sqlite" else _POSTGRESQL


def take_away(connection: Connection) -> None:
    """Drop the triggers, in the transaction that has begun, so that no step meets one.

    Only what the schema that is there keeps for itself; of before, a step refuses it as a name that
    the application has taken.
    """
    there = _columns(connection)
    if _has_counters(there):
        _drop(connection, besides=None if _has_feed(there) else feed.OURS)


def put_back(connection: Connection) -> None:
    """Make the database's triggers those of the list, in the transaction that has begun.

    Of a schema that is not so far yet, those that it can have.
    """
    there = _columns(connection)
    if "tasks" not in there:
        return
    _drop(connection)
    wanted = _wanted(there, connection.dialect.name)
    if connection.dialect.name == "sqlite":
        for trigger in wanted:
            connection.exec_driver_sql(trigger.ddl)
    else:
        _create_on_postgresql(connection, wanted)


def _columns(connection: Connection) -> Mapping[str, AbstractSet[str]]:
    """Return the names of the columns of each table that is there."""
    is_sqlite = connection.dialect.name == "sqlite"
    there: dict[str, set[str]] = {}
    for table, column in connection.exec_driver_sql(
        _COLUMNS_ON_SQLITE if is_sqlite else _COLUMNS_ON_POSTGRESQL
    ):
        there.setdefault(table, set()).add(column)
    return there


def _has_counters(there: Mapping[str, AbstractSet[str]]) -> bool:
    return "open_dependencies" in there.get("tasks", ())


def _has_feed(there: Mapping[str, AbstractSet[str]]) -> bool:
    return "changes" in there


def _wanted(there: Mapping[str, AbstractSet[str]], dialect: str) -> list[Trigger]:
    is_sqlite = dialect == "sqlite"
    wanted: list[Trigger] = []
    if _has_counters(there):
        wanted += counters.SQLITE if is_sqlite else counters.POSTGRESQL
    if _has_feed(there):
        wanted += feed.on_sqlite(there) if is_sqlite else feed.on_postgresql(there)
    return wanted


def _drop(connection: Connection, besides: str | None = None) -> None:
    """Drop what has a name of ours, but for names that begin with `besides`."""
    run = connection.exec_driver_sql
    if connection.dialect.name == "sqlite":
        found = run("SELECT name, '' FROM sqlite_schema WHERE type = 'trigger'").all()
    else:
        found = run(
            "SELECT tgname, ' ON ' || tgrelid::regclass::text FROM pg_trigger JOIN pg_class "
            "ON pg_class.oid = tgrelid WHERE NOT tgisinternal "
            "AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'tasks'::regclass)"
        ).all()
    for name, on in found:
        if name.startswith(PREFIX) and not (besides and name.startswith(besides)):
            run(f'DROP TRIGGER "{name}"{on}')


def _create_on_postgresql(connection: Connection, wanted: list[Trigger]) -> None:
    run = connection.exec_driver_sql
    place = run(
        "SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'tasks'::regclass"
    ).scalar_one()
    for trigger in wanted:
        assert trigger.function is not None
        run(
            f"CREATE OR REPLACE FUNCTION {place}.{trigger.name}() RETURNS trigger LANGUAGE plpgsql "
            f"{trigger.settings}AS $${trigger.function}$$".replace("{place}", place)
        )
        run(trigger.ddl.replace("{place}", place))
