"""The unit of work that a session belongs to, as the session and its connection see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from weakref import ref

from sqlalchemy.orm import SessionTransaction

from cw_store.errors import UnitOfWorkError


class Savepoint(Protocol):
    """A savepoint of a unit of work."""

    of_session: SessionTransaction | None
    """SQLAlchemy's part of it: what it puts the session's objects back to."""

    @property
    def has_ended(self) -> bool:
        """Whether it was released or undone, by itself or with one around it."""
        ...


class SessionOwner(Protocol):
    """The unit of work that a session belongs to."""

    @property
    def is_untouched(self) -> bool:
        """Whether nothing has been done since the last commit or rollback."""
        ...

    def check_owner(self) -> None:
        """Raise StoreClosedError elsewhere than in the store's event loop and process."""
        ...

    def check_open(self) -> None:
        """Raise StoreClosedError elsewhere, and UnitOfWorkError when the unit has ended."""
        ...

    async def commit_with_session(self) -> None:
        """Commit, session and all, as the application asks of the session."""
        ...

    async def rollback(self) -> None:
        """Roll back, session and all, as the application asks."""
        ...

    async def set_savepoint(self) -> Savepoint:
        """Set a savepoint, at once, for all that is called from here."""
        ...

    async def release_savepoint(self, savepoint: Any) -> None:
        """Keep what was done since the savepoint."""
        ...

    async def undo_savepoint(self, savepoint: Any) -> None:
        """Undo what was done since the savepoint."""
        ...

    async def commit_from_session(self) -> None:
        """Commit, because SQLAlchemy commits its connection."""
        ...

    async def rollback_from_session(self) -> None:
        """Roll back, because SQLAlchemy gives up; the unit stays spent."""
        ...

    def lose(self, error: UnitOfWorkError) -> None:
        """Spend the unit so that only its rollback makes it good again."""
        ...

    async def in_turn(self, work: Callable[[], Awaitable[Any]], *, recovers: bool) -> Any:
        """Run one piece of driver work after what others have under way on the same unit.

        `recovers` is work that makes a spent unit usable: going back to a savepoint.
        """
        ...


class WeakOwner:
    """The way from a session's connection to its unit of work.

    SQLAlchemy keeps connections that are in use in a table of all, so a unit of work that somebody
    dropped would be kept with them for ever.
    """

    __slots__ = ("_found",)

    def __init__(self, owner: SessionOwner) -> None:
        self._found = ref(owner)

    def __call__(self) -> SessionOwner:
        """Return the unit of work; raises UnitOfWorkError when nobody holds it any more."""
        owner = self._found()
        if owner is None:
            raise UnitOfWorkError("the unit of work was dropped without its end; begin a new one")
        return owner
