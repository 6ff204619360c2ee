"""The triggers of the feed: they write a row of `changes` for whatever changes a row, whoever does.

One row is written for each row that is created, updated or deleted, in the transaction that does
it, so that it is stored if and only if the change is. What the store itself keeps up leaves none:
a lease that is renewed, the stamp of a rotation, a turn, a counter. The exception are tasks and
phases which begin or cease to wait for others: somebody may wait for that.

**Order.** A cause is written before its effects: a deletion before the rows that it takes along,
an update before the counters that follow from it. On SQLite BEFORE triggers see to it, since of
several AFTER triggers nobody knows which comes first; an INSERT has no effects, and may still be
refused. On PostgreSQL triggers of a kind run in the order of their names, and those of the feed
come before the counters'; only a deletion takes rows along before any AFTER trigger runs.

On PostgreSQL whoever waits is notified, once for each transaction, with nothing but the channel's
name: what has changed is read from the feed. `SET cw_store.notify = off`, for a session, a role or
a database, leaves that out; it has the server let transactions commit one after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from sqlalchemy import Table

from cw_store.schema import (
    accounts,
    agents,
    change_set_entries,
    change_sets,
    chat_messages,
    chat_sessions,
    conversations,
    errands,
    initiative_projects,
    initiatives,
    messages,
    metadata,
    pages,
    phase_dependencies,
    phases,
    projects,
    proposals,
    review_comments,
    task_dependencies,
    tasks,
)
from cw_store.triggers.trigger import PREFIX, Trigger

OURS = f"{PREFIX}changes_"
"""Begins the name of every trigger of the feed: what comes first by name runs first."""

CHANNEL = "cw_store"
"""What a server is listened to for; a notification says that something may have changed."""

KEPT_UP_BY_THE_STORE = frozenset(
    {
        "dispatch_turn",
        "epoch",
        "holder",
        "last_used_at",
        "lease_expires_at",
        "open_dependencies",
        "seq",
        "updated_at",
    }
)
"""The columns whose change alone leaves no row."""


class Fed(NamedTuple):
    """A table whose changes the feed tells.

    `initiative` and `addressee` are SQL for the row's initiative and for the agent it is addressed
    to, in which `{row}` stands for NEW or OLD; where the first is NULL it is `inherited`.
    `is_compared` says that an update leaves a row only if a value differs, since a statement of the
    store writes what mostly stays as it is. `not_there` are columns that a database lacks which is
    at an earlier schema.
    """

    table: Table
    initiative: str = "NULL"
    addressee: str = "NULL"
    inherited: str | None = None
    is_compared: bool = False
    not_there: AbstractSet[str] = frozenset()

    @property
    def columns(self) -> list[str]:
        """The columns whose change leaves a row."""
        left_out = KEPT_UP_BY_THE_STORE | self.not_there
        return [name for name in self.table.columns.keys() if name not in left_out]

    @property
    def at(self) -> str:
        """The column that says when the row was written."""
        return "updated_at" if "updated_at" in self.table.columns else "created_at"


_ITS_OWN = "{row}.initiative_id"
_OF_PHASE = "(SELECT initiative_id FROM {place}.phases WHERE id = {row}.phase_id)"
_OF_SESSION = "(SELECT initiative_id FROM {place}.chat_sessions WHERE id = {row}.chat_session_id)"

FED = (
    Fed(initiatives, "{row}.id"),
    Fed(phases, _ITS_OWN),
    Fed(tasks, _ITS_OWN, inherited=_OF_PHASE),
    Fed(agents, _ITS_OWN),
    Fed(accounts, is_compared=True),  # the rotation ends an exhaustion that is over
    Fed(messages, addressee="{row}.recipient_id"),
    Fed(conversations, _ITS_OWN, "{row}.to_agent_id"),
    Fed(proposals, _ITS_OWN),
    Fed(pages, _ITS_OWN),
    Fed(change_sets, _ITS_OWN),
    Fed(errands),
    Fed(review_comments, _OF_PHASE),
    Fed(chat_messages, _OF_SESSION),
)
"""The tables whose changes the feed tells."""

WAITED_FOR = (
    phase_dependencies,
    task_dependencies,
    projects,
    initiative_projects,
    chat_sessions,
    change_set_entries,
)
"""The tables that the feed does not tell of, and that somebody may wait for nevertheless."""

COUNTED = (phases, tasks)

Columns = Mapping[str, AbstractSet[str]]
"""The names of the columns of each table that is there."""

HEAD: Columns = {table.name: frozenset(table.columns.keys()) for table in metadata.tables.values()}
"""Those of the newest schema."""

BEGAN_OR_CEASED_TO_WAIT = "(OLD.open_dependencies = 0) <> (NEW.open_dependencies = 0)"

_WRITTEN = "entity, entity_id, action, initiative_id, addressee_id, at, mark"


def _fed(there: Columns) -> Iterator[Fed]:
    """Give what is fed of the tables that are there, with the columns that are."""
    for fed in FED:
        if fed.table.name in there:
            yield fed._replace(not_there={*fed.table.columns.keys()} - there[fed.table.name])


def _initiative(fed: Fed, row: str) -> str:
    written = (
        fed.initiative if fed.inherited is None else f"coalesce({fed.initiative}, {fed.inherited})"
    )
    return written.replace("{row}", row)


def _values(fed: Fed, action: str, row: str, at: str, initiative: str | None = None) -> str:
    return (
        f"'{fed.table.name}', {row}.id, '{action}', {initiative or _initiative(fed, row)}, "
        f"{fed.addressee.replace('{row}', row)}, {at}"
    )


# SQLite.


def _on_sqlite(fed: Fed, name: str, event: str, action: str, when: str = "") -> Trigger:
    row, at = ("OLD", "NULL") if action == "delete" else ("NEW", f"NEW.{fed.at}")
    values = _values(fed, action, row, at).replace("{place}.", "")
    table = fed.table.name
    full = f"{OURS}{table}_{name}"
    written = f"INSERT INTO changes ({_WRITTEN}) VALUES ({values}, random())"  # noqa: S608 -- the schema's names
    return Trigger(
        full, table, f"CREATE TRIGGER {full} {event} ON {table}{when} BEGIN\n    {written};\nEND"
    )


def _update_of(fed: Fed) -> str:
    # The one name that is a word of SQL's too; the server writes the others without quotes.
    return "UPDATE OF " + ", ".join('"order"' if name == "order" else name for name in fed.columns)


def _when_changed(fed: Fed, differs: str) -> str:
    if not fed.is_compared:
        return ""
    old, new = (", ".join(f"{row}.{name}" for name in fed.columns) for row in ("OLD", "NEW"))
    return f" WHEN (({old}) {differs} ({new}))"


def _all_on_sqlite(fed: Fed) -> list[Trigger]:
    triggers = [
        _on_sqlite(fed, "created", "AFTER INSERT", "create"),
        _on_sqlite(
            fed, "updated", f"BEFORE {_update_of(fed)}", "update", _when_changed(fed, "IS NOT")
        ),
        _on_sqlite(fed, "deleted", "BEFORE DELETE", "delete"),
    ]
    if fed.table in COUNTED:
        waits = f" WHEN {BEGAN_OR_CEASED_TO_WAIT}"
        event = "BEFORE UPDATE OF open_dependencies"
        triggers.append(_on_sqlite(fed, "waits", event, "update", waits))
    return triggers


def on_sqlite(there: Columns = HEAD) -> tuple[Trigger, ...]:
    """Return the triggers that a SQLite file can have in which these columns are."""
    return tuple(trigger for fed in _fed(there) for trigger in _all_on_sqlite(fed))


SQLITE = on_sqlite()
"""The triggers of a SQLite file."""


# PostgreSQL.

_WRITE = (
    f"    INSERT INTO {{place}}.changes ({_WRITTEN}, xid)\n"
    "    SELECT {values}, (random() * 9007199254740992)::bigint, "
    "pg_current_xact_id()::text::bigint"
)
_NOTIFY = f"""    IF current_setting('cw_store.notify', true) IS DISTINCT FROM 'off' THEN
        PERFORM pg_notify('{CHANNEL}', '');
    END IF;
"""


def _function(statement: str, result: str, declared: str = "") -> str:
    return f"\n{declared}BEGIN\n{statement}{_NOTIFY}    RETURN {result};\nEND\n"


def _on_postgresql(
    table: Table,
    name: str,
    event: str,
    each: str,
    statement: str,
    result: str = "NULL",
    declared: str = "",
) -> Trigger:
    full = f"{OURS}{table.name}_{name}"
    return Trigger(
        full,
        table.name,
        f"CREATE TRIGGER {full} {event} ON {{place}}.{table.name} {each} "
        f"EXECUTE FUNCTION {{place}}.{full}()",
        _function(statement, result, declared),
    )


def _of_row(fed: Fed, name: str, event: str, action: str, when: str = "") -> Trigger:
    row, at = ("OLD", "NULL") if action == "delete" else ("NEW", f"NEW.{fed.at}")
    result = "OLD" if action == "delete" else "NULL"
    each = f"FOR EACH ROW{when}"
    if fed.inherited is None:
        written = _WRITE.replace("{values}", _values(fed, action, row, at)) + ";\n"
        return _on_postgresql(fed.table, name, event, each, written, result)
    # As a part of the statement that writes, the look for it costs a quarter of the trigger even
    # where there is nothing to look for.
    looked = (
        f"    IF initiative IS NULL THEN\n        initiative := {fed.inherited};\n    END IF;\n"
    ).replace("{row}", row)
    written = _WRITE.replace("{values}", _values(fed, action, row, at, "initiative")) + ";\n"
    own = fed.initiative.replace("{row}", row)
    declared = f"DECLARE\n    initiative text := {own};\n"
    return _on_postgresql(fed.table, name, event, each, looked + written, result, declared)


def _all_on_postgresql(fed: Fed) -> list[Trigger]:
    values = _values(fed, "create", "added", f"added.{fed.at}")
    triggers = [
        _on_postgresql(
            fed.table,
            "created",
            "AFTER INSERT",
            "REFERENCING NEW TABLE AS added FOR EACH STATEMENT",
            f"{_WRITE.replace('{values}', values)} FROM added;\n",
        ),
        _of_row(
            fed,
            "updated",
            f"AFTER {_update_of(fed)}",
            "update",
            _when_changed(fed, "IS DISTINCT FROM"),
        ),
        _of_row(fed, "deleted", "BEFORE DELETE", "delete"),
    ]
    if fed.table in COUNTED:
        waits = f" WHEN ({BEGAN_OR_CEASED_TO_WAIT})"
        event = "AFTER UPDATE OF open_dependencies"
        triggers.append(_of_row(fed, "waits", event, "update", waits))
    return triggers


def on_postgresql(there: Columns = HEAD) -> tuple[Trigger, ...]:
    """Return the triggers, with their functions, that a server can have with these columns."""
    event, each = "AFTER INSERT OR UPDATE OR DELETE", "FOR EACH STATEMENT"
    return (
        *(trigger for fed in _fed(there) for trigger in _all_on_postgresql(fed)),
        *(
            _on_postgresql(table, "notified", event, each, "")
            for table in WAITED_FOR
            if table.name in there
        ),
    )


POSTGRESQL = on_postgresql()
"""The triggers of a PostgreSQL database, with their functions."""
