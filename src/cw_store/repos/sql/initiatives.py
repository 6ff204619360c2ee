"""Initiatives in SQL."""

from __future__ import annotations

from typing import Unpack

from sqlalchemy import bindparam, select

from cw_store.repos.initiatives import (
    Initiative,
    InitiativeChanges,
    InitiativeExpected,
    InitiativeRepository,
    InitiativeStatus,
    NewInitiative,
)
from cw_store.repos.sql.deleting import DELETE_INITIATIVE, delete_with_tasks
from cw_store.repos.sql.listings import Ids, Listing, oldest_first
from cw_store.repos.sql.table import TableGateway
from cw_store.schema import initiative_projects, initiatives
from cw_store.statements.database import Database
from cw_store.statements.query import Query

TABLE = TableGateway(initiatives, Initiative, NewInitiative, InitiativeChanges, InitiativeExpected)

IDS = Ids(initiatives)

ALL = Listing(Initiative, select(*TABLE.columns), initiatives)

BY_STATUS = TABLE.listing_by("status")

OF_PROJECT = Query(
    Initiative,
    select(*TABLE.columns)
    .join(initiative_projects, initiative_projects.c.initiative_id == initiatives.c.id)
    .where(initiative_projects.c.project_id == bindparam("project_id"))
    .order_by(*oldest_first(initiatives)),
    initiative_projects,
)


class Initiatives(InitiativeRepository):
    """The repository over a database."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, **values: Unpack[NewInitiative]) -> Initiative:
        return await TABLE.insert(self._database, values)

    async def find_by_id(self, id: str) -> Initiative | None:
        return await TABLE.get(self._database, id)

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        return await IDS.read(self._database, prefix, limit)

    async def find_all(
        self, *, limit: int | None = None, after: str | None = None
    ) -> list[Initiative]:
        return await ALL.read(self._database, limit, after)

    async def find_by_status(self, status: InitiativeStatus) -> list[Initiative]:
        return await self._database.all(BY_STATUS, status=status)

    async def find_by_project_id(self, project_id: str) -> list[Initiative]:
        return await self._database.all(OF_PROJECT, project_id=project_id)

    async def update(
        self,
        id: str,
        *,
        expected: InitiativeExpected | None = None,
        **changes: Unpack[InitiativeChanges],
    ) -> Initiative:
        return await TABLE.change(self._database, id, changes, expected)

    async def delete(self, id: str) -> None:
        await delete_with_tasks(self._database, DELETE_INITIATIVE, id)
