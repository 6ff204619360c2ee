"""Review comments: remarks on single lines of a phase's diff."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NotRequired, Protocol, Unpack

from typing_extensions import TypedDict

LineType = Literal["added", "removed", "context"]


@dataclass(frozen=True, slots=True)
class ReviewComment:
    """One comment; `line_number` counts in the new file, for a removed line in the old one."""

    id: str
    phase_id: str
    file_path: str
    line_number: int
    line_type: LineType
    body: str
    author: str
    resolved: bool
    created_at: datetime
    updated_at: datetime


class NewReviewComment(TypedDict):
    """What a review comment is created from; unless given, `author` is `you`, not resolved."""

    id: NotRequired[str]
    phase_id: str
    file_path: str
    line_number: int
    line_type: LineType
    body: str
    author: NotRequired[str]
    resolved: NotRequired[bool]


class ReviewCommentChanges(TypedDict, total=False):
    """What can be changed of a review comment; `resolved` has verbs of its own."""

    file_path: str
    line_number: int
    line_type: LineType
    body: str
    author: str


class ReviewCommentExpected(TypedDict, total=False):
    """What a review comment must hold for an `update` to be done; `None` is no value."""

    id: str
    phase_id: str
    file_path: str
    line_number: int
    line_type: LineType
    body: str
    author: str
    resolved: bool
    created_at: datetime
    updated_at: datetime


class ReviewCommentRepository(Protocol):
    """The review comments; bad input raises `InvalidValueError` and writes nothing."""

    async def create(self, **values: Unpack[NewReviewComment]) -> ReviewComment:
        """Create a comment and return it.

        `BrokenReferenceError` when the phase does not exist, `AlreadyExistsError` when the id is
        taken.
        """
        ...

    async def find_by_id(self, id: str) -> ReviewComment | None:
        """Return the comment, or `None` when there is none with this id."""
        ...

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        """Return the ids of the review comments that begin with `prefix`, sorted; at most `limit`.

        They are in the order of their bytes. The prefix is taken as it is: `%` and `_` stand for
        themselves. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_all(
        self, *, limit: int | None = None, after: str | None = None
    ) -> list[ReviewComment]:
        """Return all review comments, oldest first; with `limit`, at most so many.

        `after` is the id of the last one seen: the list starts behind it, and `NotFoundError` is
        raised when it does not exist. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_by_phase_id(self, phase_id: str) -> list[ReviewComment]:
        """Return the comments on a phase, resolved ones included, oldest first."""
        ...

    async def resolve(self, id: str) -> ReviewComment:
        """Mark a comment resolved, which it may be already, and return it.

        `NotFoundError` for an unknown id.
        """
        ...

    async def unresolve(self, id: str) -> ReviewComment:
        """Mark a comment not resolved, which it may be already, and return it.

        `NotFoundError` for an unknown id.
        """
        ...

    async def update(
        self,
        id: str,
        *,
        expected: ReviewCommentExpected | None = None,
        **changes: Unpack[ReviewCommentChanges],
    ) -> ReviewComment:
        """Change what is passed, stamp `updated_at`, return the comment.

        `NotFoundError` for an unknown id.

        With `expected` only if the review comment still holds these values when it is changed, else
        `StaleStateError`; nothing is written then.
        """
        ...

    async def delete(self, id: str) -> None:
        """Delete a comment; `NotFoundError` for an unknown id."""
        ...
