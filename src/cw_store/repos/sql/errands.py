"""Errands, each with its agent's name, in SQL."""

from __future__ import annotations

from typing import Unpack

from sqlalchemy import bindparam, literal_column, select

from cw_store.repos.errands import (
    Errand,
    ErrandChanges,
    ErrandExpected,
    ErrandRepository,
    ErrandStatus,
    NewErrand,
)
from cw_store.repos.sql.listings import Ids, Listing
from cw_store.repos.sql.table import TableGateway
from cw_store.schema import agents, errands, record_columns
from cw_store.statements.database import Database

# A subquery and not a join, because RETURNING takes it too; written out, because there
# SQLAlchemy would not refer it to the row that is returned.
agent_alias = literal_column(
    "(SELECT agents.name FROM agents WHERE agents.id = errands.agent_id)", agents.c.name.type
).label("agent_alias")

COLUMNS = (*record_columns(errands), agent_alias)

TABLE = TableGateway(errands, Errand, NewErrand, ErrandChanges, ErrandExpected, COLUMNS)

IDS = Ids(errands)

of_project = errands.c.project_id == bindparam("project_id")

in_status = errands.c.status == bindparam("status")

LISTINGS = {
    filtered_by: Listing(Errand, select(*TABLE.columns).where(*conditions), errands, newest=True)
    for filtered_by, conditions in {
        frozenset[str](): (),
        frozenset(("project_id",)): (of_project,),
        frozenset(("status",)): (in_status,),
        frozenset(("project_id", "status")): (of_project, in_status),
    }.items()
}


class Errands(ErrandRepository):
    """The repository over a database."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, **values: Unpack[NewErrand]) -> Errand:
        return await TABLE.insert(self._database, values)

    async def find_by_id(self, id: str) -> Errand | None:
        return await TABLE.get(self._database, id)

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        return await IDS.read(self._database, prefix, limit)

    async def find_all(
        self,
        project_id: str | None = None,
        status: ErrandStatus | None = None,
        *,
        limit: int | None = None,
        after: str | None = None,
    ) -> list[Errand]:
        given = {"project_id": project_id, "status": status}
        filters = {name: value for name, value in given.items() if value is not None}
        return await LISTINGS[frozenset(filters)].read(self._database, limit, after, **filters)

    async def update(
        self,
        id: str,
        *,
        expected: ErrandExpected | None = None,
        **changes: Unpack[ErrandChanges],
    ) -> Errand:
        return await TABLE.change(self._database, id, changes, expected)

    async def delete(self, id: str) -> None:
        await TABLE.delete(self._database, id)
