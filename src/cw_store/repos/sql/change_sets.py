"""Change sets and their entries in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from sqlalchemy import bindparam, select

from cw_store.errors import StaleStateError
from cw_store.repos.change_sets import (
    ChangeSet,
    ChangeSetChanges,
    ChangeSetEntry,
    ChangeSetExpected,
    ChangeSetRepository,
    NewChangeSet,
    NewChangeSetEntry,
)
from cw_store.repos.sql.listings import Ids, Listing
from cw_store.repos.sql.table import TableGateway
from cw_store.schema import change_set_entries, change_sets
from cw_store.statements.database import Database
from cw_store.statements.expressions import STAMP

TABLE = TableGateway(change_sets, ChangeSet, NewChangeSet, ChangeSetChanges, ChangeSetExpected)

IDS = Ids(change_sets)

ALL = Listing(ChangeSet, select(*TABLE.columns), change_sets)

ENTRIES = TableGateway(change_set_entries, ChangeSetEntry, NewChangeSetEntry)

OF_INITIATIVE = TABLE.listing_by("initiative_id")

OF_AGENT = TABLE.listing_by("agent_id")

ENTRIES_OF = ENTRIES.listing_by("change_set_id", "sort_order")

REVERT_APPLIED = TABLE.returning(
    TABLE.setting(())
    .values(status="reverted", reverted_at=STAMP)
    .where(change_sets.c.id == bindparam("id"), change_sets.c.status == "applied")
)


class ChangeSets(ChangeSetRepository):
    """The repository over a database."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, *, entries: Sequence[NewChangeSetEntry] = (), **values: Unpack[NewChangeSet]
    ) -> ChangeSet:
        row = TABLE.complete(values)
        # Stamped one after the other, so entries of the same sort_order keep their order.
        rows = [ENTRIES.complete(entry, change_set_id=row["id"]) for entry in entries]
        if not rows:
            return await TABLE.store(self._database, row)
        async with self._database.atomic() as database:
            return await _store_with_entries(database, row, rows)

    async def find_by_id(self, id: str) -> ChangeSet | None:
        return await TABLE.get(self._database, id)

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        return await IDS.read(self._database, prefix, limit)

    async def find_all(
        self, *, limit: int | None = None, after: str | None = None
    ) -> list[ChangeSet]:
        return await ALL.read(self._database, limit, after)

    async def find_by_initiative_id(self, initiative_id: str) -> list[ChangeSet]:
        return await self._database.all(OF_INITIATIVE, initiative_id=initiative_id)

    async def find_by_agent_id(self, agent_id: str) -> list[ChangeSet]:
        return await self._database.all(OF_AGENT, agent_id=agent_id)

    async def find_entries(self, id: str) -> list[ChangeSetEntry]:
        return await self._database.all(ENTRIES_OF, change_set_id=id)

    async def mark_reverted(self, id: str) -> ChangeSet:
        reverted = await self._database.first(REVERT_APPLIED, id=id)
        if reverted is None:
            await TABLE.need(self._database, id)
            raise StaleStateError(change_sets.name, id)
        return reverted

    async def update(
        self,
        id: str,
        *,
        expected: ChangeSetExpected | None = None,
        **changes: Unpack[ChangeSetChanges],
    ) -> ChangeSet:
        return await TABLE.change(self._database, id, changes, expected)

    async def delete(self, id: str) -> None:
        await TABLE.delete(self._database, id)


async def _store_with_entries(
    database: Database, row: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]
) -> ChangeSet:
    TABLE.check(database, [row])
    ENTRIES.check(database, entries)
    stored = await TABLE.store(database, row)
    await ENTRIES.store_many(database, entries)
    return stored
