"""Review comments in SQL."""

from __future__ import annotations

from typing import Unpack

from sqlalchemy import bindparam, select

from cw_store.repos.review_comments import (
    NewReviewComment,
    ReviewComment,
    ReviewCommentChanges,
    ReviewCommentExpected,
    ReviewCommentRepository,
)
from cw_store.repos.sql.listings import Ids, Listing, oldest_first
from cw_store.repos.sql.table import Rows
from cw_store.schema import review_comments
from cw_store.statements.database import Door, Query

ROWS = Rows(
    review_comments, ReviewComment, NewReviewComment, ReviewCommentChanges, ReviewCommentExpected
)

IDS = Ids(review_comments)

ALL = Listing(ReviewComment, select(*ROWS.columns), review_comments)

OF_PHASE = Query(
    ReviewComment,
    select(*ROWS.columns)
    .where(review_comments.c.phase_id == bindparam("phase_id"))
    .order_by(*oldest_first(review_comments)),
    review_comments,
)


class ReviewComments(ReviewCommentRepository):
    """The repository over a door."""

    __slots__ = ("_door",)

    def __init__(self, door: Door) -> None:
        self._door = door

    async def create(self, **values: Unpack[NewReviewComment]) -> ReviewComment:
        return await ROWS.insert(self._door, values)

    async def find_by_id(self, id: str) -> ReviewComment | None:
        return await ROWS.get(self._door, id)

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        return await IDS.read(self._door, prefix, limit)

    async def find_all(
        self, *, limit: int | None = None, after: str | None = None
    ) -> list[ReviewComment]:
        return await ALL.read(self._door, limit, after)

    async def find_by_phase_id(self, phase_id: str) -> list[ReviewComment]:
        return await self._door.all(OF_PHASE, phase_id=phase_id)

    async def resolve(self, id: str) -> ReviewComment:
        return await ROWS.patch(self._door, id, {"resolved": True})

    async def unresolve(self, id: str) -> ReviewComment:
        return await ROWS.patch(self._door, id, {"resolved": False})

    async def update(
        self,
        id: str,
        *,
        expected: ReviewCommentExpected | None = None,
        **changes: Unpack[ReviewCommentChanges],
    ) -> ReviewComment:
        return await ROWS.change(self._door, id, changes, expected)

    async def delete(self, id: str) -> None:
        await ROWS.delete(self._door, id)
