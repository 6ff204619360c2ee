"""What a look at a database says about it: a store, nothing yet, or somebody else's.

The look itself is each database's own and changes nothing. What it found is judged here, for both
alike: only what is empty of the store's names may become a store, and only a whole one is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cw_store.errors import SchemaError
from cw_store.schema import metadata

VERSION_TABLE = "cw_store_version"
"""Where the revision is kept; Alembic's own name is left to the application's migrations."""

# A table's name cannot be a parameter.
READ_VERSIONS = f"SELECT version_num FROM {VERSION_TABLE} LIMIT 9"  # noqa: S608 -- a name of ours
"""Reads the one row that a store has, and enough of what no store has to tell of it."""

HIDDEN_TABLE = "hidden table"
"""What a server calls by its name only with its schema, as another schema has one of that name."""

ORIGINALS_COLUMNS = {
    "tasks": "parenttaskid",
    "agents": "worktreeid",
    "phases": "initiativeid",
    "initiatives": "id",
}
"""What tells the TypeScript program's tables, by `plain_name`, as they may be in either case."""

# Indexes and constraints are named after their table, those that later revisions drop too.
_NAME_OF_OURS = re.compile(f"(?:ix|uq|pk)_(?:{'|'.join(metadata.tables)})(?:_.*)?", re.DOTALL)


class Contents(NamedTuple):
    """What a look at a database found.

    `relations` has what shares one namespace, by its name in lower case: tables, views, indexes,
    and what else the database keeps there. `versions` are the rows of the version table, None
    where there is none of our shape. `columns` has those of the tables in `ORIGINALS_COLUMNS`.
    """

    relations: Mapping[str, str]
    versions: Sequence[object] | None = None
    columns: Mapping[str, Sequence[str]] = {}


EMPTY = Contents({})


def revision_of(found: Contents, place: str, revisions: Sequence[str]) -> str | None:
    """Return the revision of the store that was found, None for a database that may become one.

    Raises SchemaError for anything else; an unknown revision is returned for the caller to judge.
    """
    kind = found.relations.get(VERSION_TABLE)
    if kind is None or (found.versions == [] and not _tables_of_ours(found)):
        _refuse_what_is_in_the_way(found, place)
        return None
    if kind != "table" or found.versions is None:
        raise SchemaError(
            f"{place} has a {kind} {VERSION_TABLE} that is no store's; nothing was changed; "
            "give the store a database of its own"
        )
    if len(found.versions) != 1 or not isinstance(found.versions[0], str):
        raise SchemaError(
            f"{VERSION_TABLE} of {place} does not name one revision but "
            f"{len(found.versions)} rows; restore the database from a backup"
        )
    revision = found.versions[0]
    if revision in revisions:
        _refuse_half_a_store(found, place, revision)
    return revision


def _refuse_what_is_in_the_way(found: Contents, place: str) -> None:
    if _is_a_store_without_version(found):
        raise SchemaError(
            f"{place} has the tables of a store, but no {VERSION_TABLE} that tells which schema "
            "they have; nothing was changed; restore the database from a backup"
        )
    if _is_originals(found):
        raise SchemaError(
            f"{place} is the database of the TypeScript program; nothing was changed; "
            "cw-store import brings it over"
        )
    in_the_way = [
        f"{kind} {name}"
        for name, kind in sorted(found.relations.items())
        if name in metadata.tables or _NAME_OF_OURS.fullmatch(name)
    ]
    if in_the_way:
        raise SchemaError(
            f"{place} is no store, and what it holds has names that a store needs: "
            f"{_listed(in_the_way)}; nothing was changed; give the store a database of its own"
        )


_ADDED_BY = {"store_state": "0003", "changes": "0004"}
"""The revisions that added tables; all others have been there from the beginning."""


def _refuse_half_a_store(found: Contents, place: str, revision: str) -> None:
    hidden = sorted(name for name in metadata.tables if found.relations.get(name) == HIDDEN_TABLE)
    if hidden:
        raise SchemaError(
            f"the search_path finds other tables before those of the store in {place}: "
            f"{_listed(hidden)}; name the store's schema alone (options=-csearch_path%3Dname)"
        )
    missing = sorted(
        {name for name in metadata.tables if _ADDED_BY.get(name, "") <= revision}
        - _tables_of_ours(found)
    )
    if len(missing) == len(metadata.tables):
        raise SchemaError(
            f"{place} says that it is a store at schema {revision}, but has none of its tables: "
            "they were dropped; restore a backup, or drop the table "
            f"{VERSION_TABLE} too and begin anew"
        )
    if missing:
        raise SchemaError(
            f"{place} is half a store at schema {revision}: it lacks the tables "
            f"{_listed(missing)}; restore the database from a backup"
        )


def _tables_of_ours(found: Contents) -> set[str]:
    return {name for name in metadata.tables if found.relations.get(name) == "table"}


def _is_a_store_without_version(found: Contents) -> bool:
    """Whether all is there but the version; other programs name indexes in other ways."""
    return _tables_of_ours(found) == set(metadata.tables) and any(
        kind == "index" and _NAME_OF_OURS.fullmatch(name) for name, kind in found.relations.items()
    )


def _is_originals(found: Contents) -> bool:
    return is_originals(
        {
            table: columns
            for table, columns in found.columns.items()
            if found.relations.get(table) == "table"
        }
    )


def is_originals(columns: Mapping[str, Sequence[str]]) -> bool:
    """Whether tables with these columns, each by its plain name, are the TypeScript program's."""
    return all(
        column in map(plain_name, columns.get(table, ()))
        for table, column in ORIGINALS_COLUMNS.items()
    )


def plain_name(name: str) -> str:
    """Return what a name of the TypeScript program's is compared by: it writes them in two ways."""
    return name.replace("_", "").lower()


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - 5
    return ", ".join(names[:5]) + (f" and {rest} more" if rest > 0 else "")
