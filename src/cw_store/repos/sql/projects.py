"""Projects, and which initiatives use them, in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from sqlalchemy import bindparam, delete, insert, select

from cw_store.errors import BrokenReferenceError, NotFoundError
from cw_store.repos.projects import (
    NewProject,
    Project,
    ProjectChanges,
    ProjectExpected,
    ProjectRepository,
)
from cw_store.repos.sql.listings import Ids, Listing, oldest_first
from cw_store.repos.sql.table import TableGateway, refuse_no_list, refuse_none
from cw_store.schema import initiative_projects, initiatives, projects
from cw_store.statements.database import Database
from cw_store.statements.expressions import insert_unless
from cw_store.statements.query import Query

TABLE = TableGateway(projects, Project, NewProject, ProjectChanges, ProjectExpected)

IDS = Ids(projects)

ALL = Listing(Project, select(*TABLE.columns), projects)

BY_NAME = Query(
    Project, select(*TABLE.columns).where(projects.c.name == bindparam("name")), projects
)

OF_INITIATIVE = Query(
    Project,
    select(*TABLE.columns)
    .join(initiative_projects, initiative_projects.c.project_id == projects.c.id)
    .where(initiative_projects.c.initiative_id == bindparam("initiative_id"))
    .order_by(*oldest_first(projects)),
    initiative_projects,
)

LINKED_IDS = Query(
    str,
    select(initiative_projects.c.project_id).where(
        initiative_projects.c.initiative_id == bindparam("initiative_id")
    ),
    initiative_projects,
)

LINK = Query(int, insert(initiative_projects), initiative_projects)

LINK_UNLESS_LINKED = Query(
    int, insert_unless(initiative_projects).on_conflict_do_nothing(), initiative_projects
)

UNLINK = Query(
    int,
    delete(initiative_projects).where(
        initiative_projects.c.initiative_id == bindparam("initiative_id"),
        initiative_projects.c.project_id == bindparam("project_id"),
    ),
    initiative_projects,
)

INITIATIVE_ID = Query(
    str,
    select(initiatives.c.id).where(initiatives.c.id == bindparam("initiative_id")),
    initiative_projects,
)


class Projects(ProjectRepository):
    """The repository over a database."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, **values: Unpack[NewProject]) -> Project:
        return await TABLE.insert(self._database, values)

    async def find_by_id(self, id: str) -> Project | None:
        return await TABLE.get(self._database, id)

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        return await IDS.read(self._database, prefix, limit)

    async def find_by_name(self, name: str) -> Project | None:
        return await self._database.first(BY_NAME, name=name)

    async def find_all(
        self, *, limit: int | None = None, after: str | None = None
    ) -> list[Project]:
        return await ALL.read(self._database, limit, after)

    async def update(
        self,
        id: str,
        *,
        expected: ProjectExpected | None = None,
        **changes: Unpack[ProjectChanges],
    ) -> Project:
        return await TABLE.change(self._database, id, changes, expected)

    async def delete(self, id: str) -> None:
        await TABLE.delete(self._database, id)

    async def set_initiative_projects(self, initiative_id: str, project_ids: Sequence[str]) -> None:
        refuse_no_list("project_ids", project_ids)
        wanted = [_link(initiative_id, project_id) for project_id in project_ids]
        async with self._database.atomic() as database:
            # Two lists set at the same time would end up mixed.
            await database.lock(initiative_projects.name)
            await database.many(LINK_UNLESS_LINKED, wanted)
            linked = await database.all(LINKED_IDS, initiative_id=initiative_id)
            kept = {link["project_id"] for link in wanted}
            superfluous = [id for id in linked if id not in kept]
            await database.many(UNLINK, [_link(initiative_id, id) for id in superfluous])
            if not linked:
                await _need_initiative(database, initiative_id)

    async def add_initiative_project(self, initiative_id: str, project_id: str) -> None:
        await self._database.count(LINK, **_link(initiative_id, project_id))

    async def remove_initiative_project(self, initiative_id: str, project_id: str) -> None:
        if await self._database.count(UNLINK, **_link(initiative_id, project_id)) == 0:
            raise NotFoundError(initiative_projects.name, f"{initiative_id} -> {project_id}")

    async def find_projects_by_initiative_id(self, initiative_id: str) -> list[Project]:
        return await self._database.all(OF_INITIATIVE, initiative_id=initiative_id)


def _link(initiative_id: str, project_id: str) -> dict[str, str]:
    link = {"initiative_id": initiative_id, "project_id": project_id}
    refuse_none(initiative_projects, **link)
    return link


async def _need_initiative(database: Database, initiative_id: str) -> None:
    """Miss the initiative also when there was nothing to link."""
    if await database.first(INITIATIVE_ID, initiative_id=initiative_id) is None:
        raise BrokenReferenceError(initiative_projects.name, ["initiative_id"])
