"""Change sets and their entries in SQL."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Unpack

from sqlalchemy import bindparam, delete, exists, select

from cw_store.errors import (
    BrokenReferenceError,
    InvalidValueError,
    NotFoundError,
    StaleStateError,
    UnitOfWorkError,
)
from cw_store.repos.change_sets import (
    ChangeSet,
    ChangeSetChanges,
    ChangeSetEntry,
    ChangeSetExpected,
    ChangeSetMode,
    ChangeSetRepository,
    NewChangeSet,
    NewChangeSetEntry,
    Recording,
    Reverted,
)
from cw_store.repos.sql.listings import Ids, Listing
from cw_store.repos.sql.recording import ENTRIES, ENTRIES_OF, Recorder
from cw_store.repos.sql.recording_repositories import Recordable
from cw_store.repos.sql.reverting import undo
from cw_store.repos.sql.table import TableGateway, refuse_no_flag
from cw_store.schema import agents, change_set_entries, change_sets
from cw_store.statements.database import Database
from cw_store.statements.expressions import STAMP
from cw_store.statements.query import Query

TABLE = TableGateway(change_sets, ChangeSet, NewChangeSet, ChangeSetChanges, ChangeSetExpected)

IDS = Ids(change_sets)

ALL = Listing(ChangeSet, select(*TABLE.columns), change_sets)

OF_INITIATIVE = TABLE.listing_by("initiative_id")

OF_AGENT = TABLE.listing_by("agent_id")

REVERT_APPLIED = TABLE.returning(
    TABLE.setting(())
    .values(status="reverted", reverted_at=STAMP)
    .where(change_sets.c.id == bindparam("id"), change_sets.c.status == "applied")
)

HOLD = Query(
    ChangeSet,
    select(*TABLE.columns)
    .where(change_sets.c.id == bindparam("id"))
    .with_for_update(key_share=True),
    change_sets,
    locks=True,
)

DELETE_IF_EMPTY = Query(
    ChangeSet,
    delete(change_sets).where(
        change_sets.c.id == bindparam("id"),
        ~exists(
            select(change_set_entries.c.id).where(
                change_set_entries.c.change_set_id == change_sets.c.id
            )
        ),
    ),
    change_sets,
)

AGENT_NAME = Query(str, select(agents.c.name).where(agents.c.id == bindparam("agent_id")), agents)


class ChangeSets(ChangeSetRepository):
    """The repository over a database."""

    __slots__ = ("_database", "_unit")

    def __init__(self, database: Database, unit: Recordable | None = None) -> None:
        self._database = database
        self._unit = unit

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

    @asynccontextmanager
    async def recording(
        self,
        *,
        initiative_id: str,
        mode: ChangeSetMode,
        agent_id: str | None = None,
        agent_name: str | None = None,
        summary: str | None = None,
    ) -> AsyncGenerator[Recording]:
        unit = self._unit_to_record()
        row = TABLE.complete(
            {
                "initiative_id": initiative_id,
                "agent_id": agent_id,
                "agent_name": "" if agent_name is None else agent_name,
                "mode": mode,
                "summary": summary,
            }
        )
        TABLE.check(self._database, [row])
        recording = Recording(row["id"])
        recorder = Recorder(recording.id)
        async with unit.savepoint():
            if agent_name is None:
                row["agent_name"] = await self._name_of(agent_id)
            await TABLE.store(self._database, row)
            with unit.recorded(recorder):
                yield recording
            await self._database.count(DELETE_IF_EMPTY, id=recording.id)
            change_set = await TABLE.get(self._database, recording.id)
        recording.change_set = change_set

    async def revert(self, id: str, *, force: bool = False) -> Reverted:
        refuse_no_flag(change_sets, force=force)
        if self._unit is None:
            async with self._database.atomic() as database:
                return await _revert(database, id, force=force)
        if self._unit.is_recorded:
            raise UnitOfWorkError("a change set is not reverted inside of a recording")
        async with self._unit.savepoint(), self._database.atomic() as database:
            return await _revert(database, id, force=force)

    async def mark_reverted(self, id: str) -> ChangeSet:
        reverted = await self._database.first(REVERT_APPLIED, id=id)
        if reverted is None:
            await TABLE.need(self._database, id)
            raise _reverted_error(id)
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

    def _unit_to_record(self) -> Recordable:
        if self._unit is None:
            raise UnitOfWorkError(
                "what is recorded is one transaction: "
                "async with store.unit_of_work() as uow, uow.change_sets.recording(...)"
            )
        if self._unit.is_recorded:
            raise UnitOfWorkError(
                "a recording is on in this unit of work; end it before the next one"
            )
        return self._unit

    async def _name_of(self, agent_id: str | None) -> str:
        if agent_id is None:
            reason = "must not be None where there is no agent_id"
            raise InvalidValueError(change_sets.name, "agent_name", None, reason)
        name = await self._database.first(AGENT_NAME, agent_id=agent_id)
        if name is None:
            raise BrokenReferenceError(change_sets.name, ["agent_id"])
        return name


async def _revert(database: Database, id: str, *, force: bool) -> Reverted:
    change_set = await database.first(HOLD, id=id)
    if change_set is None:
        raise NotFoundError(change_sets.name, id)
    if change_set.status != "applied":
        raise _reverted_error(id)
    entries = await database.all(ENTRIES_OF, change_set_id=id)
    undone = await undo(database, change_set.initiative_id, entries, force=force)
    reverted = await database.first(REVERT_APPLIED, id=id)
    if reverted is None:
        # Something that was deleted took the change set along.
        raise StaleStateError(change_sets.name, id)
    return Reverted(reverted, undone.restored, undone.lost)


def _reverted_error(id: str) -> StaleStateError:
    return StaleStateError(change_sets.name, id, f"change set {id!r} is reverted already")


async def _store_with_entries(
    database: Database, row: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]
) -> ChangeSet:
    TABLE.check(database, [row])
    ENTRIES.check(database, entries)
    stored = await TABLE.store(database, row)
    await ENTRIES.store_many(database, entries)
    return stored
