"""Pages: an initiative's documents, a tree below one root page."""

from dataclasses import dataclass
from datetime import datetime
from typing import NotRequired, Protocol, Unpack

from typing_extensions import TypedDict

from cw_store.repos.json_value import JsonValue


@dataclass(frozen=True, slots=True)
class Page:
    """One page; `content` is a Tiptap document as JSON, the root has no `parent_page_id`."""

    id: str
    initiative_id: str
    parent_page_id: str | None
    title: str
    content: JsonValue
    sort_order: int
    created_at: datetime
    updated_at: datetime


class NewPage(TypedDict):
    """What a page is created from; without `parent_page_id` it is the root.

    `sort_order` is 0 unless given.
    """

    id: NotRequired[str]
    initiative_id: str
    parent_page_id: NotRequired[str | None]
    title: str
    content: NotRequired[JsonValue]
    sort_order: NotRequired[int]


class PageChanges(TypedDict, total=False):
    """What can be changed of a page; it stays with its initiative."""

    parent_page_id: str | None
    title: str
    content: JsonValue
    sort_order: int


class PageExpected(TypedDict, total=False):
    """What a page must hold for an `update` to be done; `None` is no value."""

    id: str
    initiative_id: str
    parent_page_id: str | None
    title: str
    sort_order: int
    created_at: datetime
    updated_at: datetime


class PageRepository(Protocol):
    """The pages; bad input raises `InvalidValueError` and writes nothing."""

    async def create(self, **values: Unpack[NewPage]) -> Page:
        """Create a page and return it.

        `AlreadyExistsError` when it would be a second root of its initiative or the id is taken,
        `BrokenReferenceError` when initiative or parent page do not exist, `InvalidValueError`
        when the page would be its own parent.
        """
        ...

    async def find_by_id(self, id: str) -> Page | None:
        """Return the page, or `None` when there is none with this id."""
        ...

    async def find_ids(self, prefix: str, *, limit: int | None = None) -> list[str]:
        """Return the ids of the pages that begin with `prefix`, sorted; at most `limit`.

        They are in the order of their bytes. The prefix is taken as it is: `%` and `_` stand for
        themselves. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_all(self, *, limit: int | None = None, after: str | None = None) -> list[Page]:
        """Return all pages, oldest first; with `limit`, at most so many.

        `after` is the id of the last page seen: the list starts behind it, and `NotFoundError`
        is raised when it does not exist. A `limit` below 1 is an `InvalidValueError`.
        """
        ...

    async def find_by_initiative_id(self, initiative_id: str) -> list[Page]:
        """Return the pages of an initiative, of every level, oldest first."""
        ...

    async def find_by_parent_page_id(self, parent_page_id: str) -> list[Page]:
        """Return the direct children of a page, ordered by `sort_order`, then oldest first."""
        ...

    async def find_root_page(self, initiative_id: str) -> Page | None:
        """Return the root page of an initiative, or `None` when it has none yet."""
        ...

    async def get_or_create_root_page(self, initiative_id: str) -> Page:
        """Return the root page of an initiative; make one when there is none.

        A new root has the initiative's name as its title and no content. There is one root,
        however many ask at the same time. `NotFoundError` when the initiative does not exist.
        """
        ...

    async def update(
        self,
        id: str,
        *,
        expected: PageExpected | None = None,
        **changes: Unpack[PageChanges],
    ) -> Page:
        """Change what is passed, stamp `updated_at`, return the page.

        `NotFoundError` for an unknown id, `BrokenReferenceError` when the new parent does not
        exist, `InvalidValueError` when it would make the page its own ancestor,
        `AlreadyExistsError` when the page would become a second root.

        With `expected` only if the page still holds these values when it is changed, else
        `StaleStateError`; nothing is written then.
        """
        ...

    async def delete(self, id: str) -> None:
        """Delete a page and all pages below it; `NotFoundError` for an unknown id."""
        ...
