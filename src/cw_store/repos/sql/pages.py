"""Pages in SQL."""

from __future__ import annotations

from typing import Unpack

from sqlalchemy import bindparam, select, text

from cw_store.errors import InvalidValueError, NotFoundError
from cw_store.repos.pages import NewPage, Page, PageChanges, PageExpected, PageRepository
from cw_store.repos.sql.ancestry import Ancestry
from cw_store.repos.sql.ids import new_id
from cw_store.repos.sql.listings import Ids, Listing
from cw_store.repos.sql.table import TableGateway
from cw_store.schema import initiatives, pages
from cw_store.statements.database import Database
from cw_store.statements.expressions import STAMP, insert_unless
from cw_store.statements.query import Query

TABLE = TableGateway(pages, Page, NewPage, PageChanges, PageExpected)

IDS = Ids(pages)

ALL = Listing(Page, select(*TABLE.columns), pages)

TREE = Ancestry(pages, pages.c.parent_page_id)

OF_INITIATIVE = TABLE.listing_by("initiative_id")

OF_PARENT = TABLE.listing_by("parent_page_id", "sort_order")

ROOT = Query(
    Page,
    select(*TABLE.columns).where(
        pages.c.initiative_id == bindparam("initiative_id"), pages.c.parent_page_id.is_(None)
    ),
    pages,
)

NEW_ROOT_IF_THERE_IS_NONE = Query(
    Page,
    insert_unless(pages)
    .from_select(
        ["id", "initiative_id", "title", "sort_order", "created_at", "updated_at"],
        select(
            bindparam("id", type_=pages.c.id.type),
            initiatives.c.id,
            initiatives.c.name,
            bindparam("sort_order", type_=pages.c.sort_order.type),
            STAMP,
            STAMP,
        ).where(initiatives.c.id == bindparam("initiative_id")),
    )
    .on_conflict_do_nothing(
        index_elements=[pages.c.initiative_id], index_where=text("parent_page_id IS NULL")
    )
    .returning(*TABLE.columns),
    pages,
)

INITIATIVE_ID = Query(
    str, select(initiatives.c.id).where(initiatives.c.id == bindparam("initiative_id")), pages
)

OF_PAGE = Query(str, select(pages.c.initiative_id).where(pages.c.id == bindparam("id")), pages)

OF_PARENT_PAGE = Query(
    str, select(pages.c.initiative_id).where(pages.c.id == bindparam("parent_page_id")), pages
)


class Pages(PageRepository):
    """The repository over a database."""

    __slots__ = ("_database", "recorder")

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, **values: Unpack[NewPage]) -> Page:
        row = TABLE.complete(values)
        TREE.refuse_self(row)
        parent_id = row.get("parent_page_id")
        # A page never changes its initiative.
        if parent_id is not None:
            TABLE.check(
                self._database, [row]
            )  # before anything is compared with rows that there are
            of_parent = await self._database.first(OF_PARENT_PAGE, parent_page_id=parent_id)
            if of_parent not in (None, row["initiative_id"]):
                raise _elsewhere(parent_id)
        return await TABLE.store(self._database, row)

    async def find_by_id(self, id: str) -> Page | None:
        return await TABLE.get(self._database, id)

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        return await IDS.read(self._database, prefix, limit)

    async def find_all(self, *, limit: int | None = None, after: str | None = None) -> list[Page]:
        return await ALL.read(self._database, limit, after)

    async def find_by_initiative_id(self, initiative_id: str) -> list[Page]:
        return await self._database.all(OF_INITIATIVE, initiative_id=initiative_id)

    async def find_by_parent_page_id(self, parent_page_id: str) -> list[Page]:
        return await self._database.all(OF_PARENT, parent_page_id=parent_page_id)

    async def find_root_page(self, initiative_id: str) -> Page | None:
        return await self._database.first(ROOT, initiative_id=initiative_id)

    async def get_or_create_root_page(self, initiative_id: str) -> Page:
        while True:
            root = await self.find_root_page(initiative_id) or await self._new_root(initiative_id)
            if root is not None:
                return root
            # Someone else made the root in between, unless there is nothing to make it for.
            if await self._database.first(INITIATIVE_ID, initiative_id=initiative_id) is None:
                raise NotFoundError(initiatives.name, initiative_id)

    async def update(
        self,
        id: str,
        *,
        expected: PageExpected | None = None,
        **changes: Unpack[PageChanges],
    ) -> Page:
        TABLE.refuse_unfit(changes, expected)
        parent_id = changes.get("parent_page_id")
        if parent_id is None:
            return await TABLE.change(self._database, id, changes, expected)
        async with self._database.atomic() as database:
            await TREE.take_turn(database)
            await TREE.refuse_loop(database, id, parent_id)
            own = await database.first(OF_PAGE, id=id)
            of_parent = await database.first(OF_PARENT_PAGE, parent_page_id=parent_id)
            if own is not None and of_parent not in (None, own):
                raise _elsewhere(parent_id)
            return await TABLE.change(database, id, changes, expected)

    async def delete(self, id: str) -> None:
        await TABLE.delete(self._database, id)

    async def _new_root(self, initiative_id: str) -> Page | None:
        return await self._database.first(
            NEW_ROOT_IF_THERE_IS_NONE,
            id=new_id(),
            initiative_id=initiative_id,
            sort_order=0,
        )


def _elsewhere(parent_id: object) -> InvalidValueError:
    reason = "belongs to another initiative"
    return InvalidValueError(pages.name, "parent_page_id", parent_id, reason)
