"""Which table and column of the source is which of the store's.

The columns that are there decide, and not the migrations that the source says it has: many of
those were written by hand. Names are compared without underscores and case, for the program's
library of tables may be told to write either `createdAt` or `created_at`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from sqlalchemy import Table

from cw_store.inspection import VERSION_TABLE, is_originals, plain_name
from cw_store.schema import record_columns
from cw_store.whole_tables import TABLES

SourceValue = bytes | int | float | None
"""What a cell of the source holds; text is its bytes."""

MIGRATIONS = "__drizzle_migrations"

OF_THE_STORE_ALONE: Mapping[str, frozenset[str]] = {
    "initiatives": frozenset(("max_agents", "dispatch_turn")),
    "phases": frozenset(("open_dependencies",)),
    "tasks": frozenset(
        ("max_retries", "not_before", "claimed_by_agent_id", "epoch", "open_dependencies")
    ),
    "accounts": frozenset(("max_agents",)),
    "agents": frozenset(("holder", "lease_expires_at", "epoch")),
}
"""The columns that the original never had."""

WITHOUT_A_PLACE = frozenset(("id", "createdat"))
"""What the original's tables of pairs have, and the store's do not: it is dropped."""

IMPORTED = [table for table in TABLES if table.name != "store_state"]
"""The tables that the source can fill, parents first."""

LOGS = "agent_log_chunks"


class Stored(Protocol):
    """A table of a file, as it names it."""

    @property
    def name(self) -> str:
        """What the file calls it."""
        ...

    @property
    def columns(self) -> Sequence[str]:
        """What the file calls its columns."""
        ...


class SourceTable(NamedTuple):
    """What the source has of one of the store's tables.

    `names` are its own columns, `places` where among them the store's are; `missing` are the
    store's columns that it lacks, `unknown` its own that the store lacks.
    """

    table: Table
    names: tuple[str, ...]
    places: Mapping[str, int]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]


def matched(table: Table, stored: Stored | None) -> SourceTable:
    """Match the columns of a table; the source may have none of it."""
    names = tuple(stored.columns) if stored is not None else ()
    by_name = _by_plain_name(names)
    ours = columns_of_original(table)
    found = {name: by_name[plain_name(name)] for name in ours if plain_name(name) in by_name}
    taken = {found_name for found_name in found.values()}
    if "id" not in table.columns:
        taken |= {name for name in names if plain_name(name) in WITHOUT_A_PLACE}
    return SourceTable(
        table,
        names,
        {name: names.index(own) for name, own in found.items()},
        tuple(name for name in ours if name not in found),
        tuple(name for name in names if name not in taken),
    )


def columns_of_original(table: Table) -> list[str]:
    """Return the store's columns that the original has had at some time."""
    own = OF_THE_STORE_ALONE.get(table.name, frozenset())
    return [column.name for column in record_columns(table) if column.name not in own]


def find_table(table: Table, tables: Sequence[Stored]) -> Stored | None:
    """Return the source's table that is the store's, or None."""
    found = _by_plain_name([each.name for each in tables]).get(plain_name(table.name))
    return next((each for each in tables if each.name == found), None)


def is_original(tables: Sequence[Stored]) -> bool:
    """Whether the tables are the original's."""
    return is_originals({plain_name(each.name): each.columns for each in tables})


def is_store(tables: Sequence[Stored]) -> bool:
    """Whether the tables are a store's, whatever else there is."""
    return any(each.name.lower() == VERSION_TABLE for each in tables)


def _by_plain_name(names: Sequence[str]) -> dict[str, str]:
    """Return names by what they are compared by; of two alike, the one that is written as ours."""
    found: dict[str, str] = {}
    for name in sorted(names, key=lambda name: name != name.lower()):
        found.setdefault(plain_name(name), name)
    return found
