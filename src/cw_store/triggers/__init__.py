"""The triggers of the store: what has to follow a change, whoever makes it.

They are a second language in the house, and all of it is in this folder: one list for each
database, which `put_back` creates anew after every step of a migration (a table that is built anew
on SQLite loses its triggers without a word), and which a test compares with the database. Triggers
and not the repositories' code, because a session, a cascade and another program write as well.
"""

from __future__ import annotations

from sqlalchemy import Connection, inspect

from cw_store.triggers import counters, feed
from cw_store.triggers.trigger import PREFIX, Trigger

__all__ = ["PREFIX", "Trigger", "put_back", "triggers_on"]

_SQLITE = (*counters.SQLITE, *feed.SQLITE)
_POSTGRESQL = (*counters.POSTGRESQL, *feed.POSTGRESQL)


def triggers_on(dialect: str) -> tuple[Trigger, ...]:
    """Return the triggers of a database of this dialect."""
    return _SQLITE if dialect == "sqlite" else _POSTGRESQL


def put_back(connection: Connection) -> None:
    """Make the database's triggers those of the list, in the transaction that has begun.

    Of a schema that is not so far yet, those that it can have.
    """
    wanted = _wanted(connection)
    if connection.dialect.name == "sqlite":
        _put_back_on_sqlite(connection, wanted)
    else:
        _put_back_on_postgresql(connection, wanted)


def _wanted(connection: Connection) -> list[Trigger]:
    inspector = inspect(connection)
    columns = {column["name"] for column in inspector.get_columns("tasks")}
    is_sqlite = connection.dialect.name == "sqlite"
    wanted: list[Trigger] = []
    if "open_dependencies" in columns:
        wanted += counters.SQLITE if is_sqlite else counters.POSTGRESQL
    if inspector.has_table("changes"):
        wanted += feed.SQLITE if is_sqlite else feed.POSTGRESQL
    return wanted


def _put_back_on_sqlite(connection: Connection, wanted: list[Trigger]) -> None:
    run = connection.exec_driver_sql
    found = run("SELECT name FROM sqlite_schema WHERE type = 'trigger'").scalars().all()
    for name in found:
        if name.startswith(PREFIX):
            run(f'DROP TRIGGER "{name}"')
    for trigger in wanted:
        run(trigger.ddl)


def _put_back_on_postgresql(connection: Connection, wanted: list[Trigger]) -> None:
    run = connection.exec_driver_sql
    place = run(
        "SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'tasks'::regclass"
    ).scalar_one()
    found = run(
        "SELECT tgname, tgrelid::regclass::text FROM pg_trigger JOIN pg_class "
        "ON pg_class.oid = tgrelid WHERE NOT tgisinternal AND tgname LIKE 'cw\\_store\\_%%' "
        "AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'tasks'::regclass)"
    ).all()
    for name, table in found:
        run(f'DROP TRIGGER "{name}" ON {table}')
    for trigger in wanted:
        assert trigger.function is not None
        run(
            f"CREATE OR REPLACE FUNCTION {place}.{trigger.name}() RETURNS trigger LANGUAGE plpgsql "
            f"{trigger.settings}AS $${trigger.function}$$".replace("{place}", place)
        )
        run(trigger.ddl.replace("{place}", place))
