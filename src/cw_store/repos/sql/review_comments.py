"""Review comments in SQL."""

from __future__ import annotations

from typing import Unpack

from sqlalchemy import select

from cw_store.repos.review_comments import (
    NewReviewComment,
    ReviewComment,
    ReviewCommentChanges,
    ReviewCommentExpected,
    ReviewCommentRepository,
)
from cw_store.repos.sql.listings import Ids, Listing
from cw_store.repos.sql.table import TableGateway
from cw_store.schema import review_comments
from cw_store.statements.database import Database

TABLE = TableGateway(
    review_comments, ReviewComment, NewReviewComment, ReviewCommentChanges, ReviewCommentExpected
)

IDS = Ids(review_comments)

ALL = Listing(ReviewComment, select(*TABLE.columns), review_comments)

OF_PHASE = TABLE.listing_by("phase_id")


class ReviewComments(ReviewCommentRepository):
    """The repository over a database."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, **values: Unpack[NewReviewComment]) -> ReviewComment:
        return await TABLE.insert(self._database, values)

    async def find_by_id(self, id: str) -> ReviewComment | None:
        return await TABLE.get(self._database, id)

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        return await IDS.read(self._database, prefix, limit)

    async def find_all(
        self, *, limit: int | None = None, after: str | None = None
    ) -> list[ReviewComment]:
        return await ALL.read(self._database, limit, after)

    async def find_by_phase_id(self, phase_id: str) -> list[ReviewComment]:
        return await self._database.all(OF_PHASE, phase_id=phase_id)

    async def resolve(self, id: str) -> ReviewComment:
        return await TABLE.patch(self._database, id, {"resolved": True})

    async def unresolve(self, id: str) -> ReviewComment:
        return await TABLE.patch(self._database, id, {"resolved": False})

    async def update(
        self,
        id: str,
        *,
        expected: ReviewCommentExpected | None = None,
        **changes: Unpack[ReviewCommentChanges],
    ) -> ReviewComment:
        return await TABLE.change(self._database, id, changes, expected)

    async def delete(self, id: str) -> None:
        await TABLE.delete(self._database, id)
