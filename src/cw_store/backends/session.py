"""How an application's AsyncSession comes onto the connection of a unit of work.

SQLAlchemy is given an engine whose only connection is a stand-in for the driver's: its
statements run in the transaction that the unit of work holds, its commit and rollback
are the unit's, and its close leaves the connection alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from sqlalchemy import Dialect, NullPool, event
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from cw_store.backends.cancellation import finish


class SessionOwner(Protocol):
    """The unit of work that a session belongs to."""

    async def commit_from_session(self) -> None:
        """Commit, as `session.commit()` asks."""
        ...

    async def rollback_from_session(self) -> None:
        """Roll back, because SQLAlchemy gives up; the unit stays spent."""
        ...

    async def rollback(self) -> None:
        """Roll back, session and all, as the application asks."""
        ...

    async def in_turn(self, work: Callable[[], Awaitable[Any]], *, recovers: bool) -> Any:
        """Run one piece of driver work after what others have under way on the same unit.

        `recovers` is work that makes a spent unit usable: going back to a savepoint.
        """
        ...


class UnitSession(AsyncSession):
    """The session of a unit of work: its rollback is the unit's, its close is not."""

    def __init__(self, engine: AsyncEngine, owner: SessionOwner) -> None:
        super().__init__(engine, expire_on_commit=False)
        self._owner = owner

    async def rollback(self) -> None:
        """Roll the unit of work back; the next statement begins a new transaction."""
        await self._owner.rollback()

    async def close(self) -> None:
        """Forget the objects, so `async with uow.session:` leaves the transaction as it is."""
        self.expunge_all()

    async def reset(self) -> None:
        """Forget the objects."""
        self.expunge_all()

    async def discard(self) -> None:
        """Close for good, at the end of the unit."""
        await super().close()

    async def forget(self) -> None:
        """Drop what the session knows of its transaction, for a unit that rolls back."""
        await super().rollback()


class Sessions:
    """Makes the sessions of one store; they share its dialect."""

    def __init__(
        self, drivername: str, connect: Callable[[], Awaitable[Any]] | None = None
    ) -> None:
        # This engine connects once, to let the dialect ask for the server's version: to an
        # empty database in memory, or by `connect`.
        creator = {} if connect is None else {"async_creator": connect}
        self._engine = create_async_engine(f"{drivername}://", poolclass=NullPool, **creator)
        self._ready = False

    @property
    def dialect(self) -> Dialect:
        """The dialect of the store."""
        return self._engine.dialect

    async def _prepare(self) -> None:
        if not self._ready:
            async with self._engine.connect():
                self._ready = True

    def session_on(self, stand_in: object, owner: SessionOwner) -> UnitSession:
        """Return a session whose engine connects to nothing but the stand-in.

        The engine is put together around the dialect that is set up once for each store;
        create_async_engine would ask the database for its version in every unit of work.
        """
        dialect: Any = self.dialect

        async def connect() -> object:
            await finish(self._prepare())
            return stand_in

        pool = NullPool(
            lambda: dialect.connect(async_creator_fn=connect),
            dialect=dialect,
            reset_on_return=None,
        )
        prepare = dialect.on_connect()
        if prepare is not None:

            def prepare_connection(connection: Any, _record: object) -> None:
                prepare(connection)

            event.listen(pool, "connect", prepare_connection)
        # Errors of SQLAlchemy show the statement's parameters unless they are hidden.
        engine = Engine(pool, dialect, self._engine.url, hide_parameters=True)
        return UnitSession(AsyncEngine(engine), owner)
