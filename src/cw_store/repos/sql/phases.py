"""Phases and their dependencies in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from sqlalchemy import select

from cw_store.repos.phases import (
    NewPhase,
    Phase,
    PhaseChanges,
    PhaseDependency,
    PhaseExpected,
    PhaseRepository,
    PhaseStatus,
)
from cw_store.repos.sql.deleting import DELETE_PHASE, delete_with_tasks
from cw_store.repos.sql.edges import Edges
from cw_store.repos.sql.listings import Ids, Listing
from cw_store.repos.sql.table import TableGateway
from cw_store.schema import phase_dependencies, phases
from cw_store.statements.database import Database

TABLE = TableGateway(phases, Phase, NewPhase, PhaseChanges, PhaseExpected)

IDS = Ids(phases)

ALL = Listing(Phase, select(*TABLE.columns), phases)

EDGES = Edges(phase_dependencies, PhaseDependency, TABLE)

OF_INITIATIVE = TABLE.listing_by("initiative_id")

BY_STATUS = TABLE.listing_by("status")


class Phases(PhaseRepository):
    """The repository over a database."""

    __slots__ = ("_database", "recorder")

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, **values: Unpack[NewPhase]) -> Phase:
        return await TABLE.insert(self._database, values)

    async def find_by_id(self, id: str) -> Phase | None:
        return await TABLE.get(self._database, id)

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        return await IDS.read(self._database, prefix, limit)

    async def find_all(self, *, limit: int | None = None, after: str | None = None) -> list[Phase]:
        return await ALL.read(self._database, limit, after)

    async def find_by_initiative_id(self, initiative_id: str) -> list[Phase]:
        return await self._database.all(OF_INITIATIVE, initiative_id=initiative_id)

    async def find_by_status(self, status: PhaseStatus) -> list[Phase]:
        return await self._database.all(BY_STATUS, status=status)

    async def update(
        self,
        id: str,
        *,
        expected: PhaseExpected | None = None,
        **changes: Unpack[PhaseChanges],
    ) -> Phase:
        return await TABLE.change(self._database, id, changes, expected)

    async def delete(self, id: str) -> None:
        await delete_with_tasks(self._database, DELETE_PHASE, id)

    async def create_dependency(self, id: str, depends_on_id: str) -> PhaseDependency:
        return await EDGES.create(self._database, id, depends_on_id)

    async def delete_dependency(self, id: str, depends_on_id: str) -> None:
        await EDGES.delete(self._database, id, depends_on_id)

    async def set_dependencies(self, id: str, depends_on_ids: Sequence[str]) -> None:
        await EDGES.set(self._database, id, depends_on_ids)

    async def get_dependencies(self, id: str) -> list[Phase]:
        return await EDGES.dependencies(self._database, id)

    async def get_dependents(self, id: str) -> list[Phase]:
        return await EDGES.dependents(self._database, id)

    async def find_dependencies_by_initiative_id(self, initiative_id: str) -> list[PhaseDependency]:
        return await EDGES.of_initiative(self._database, initiative_id)
