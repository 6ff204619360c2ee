"""How an application's AsyncSession comes onto the connection of a unit of work.

SQLAlchemy is given an engine whose only connection stands for the driver's: its
statements run in the transaction that the unit of work holds, its commit and rollback
are the unit's, and its close leaves the connection alone.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, Protocol, cast

from sqlalchemy import Dialect, NullPool, event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    AsyncSessionTransaction,
    create_async_engine,
)
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.util import LRUCache, await_only

from cw_store.backends.cancellation import shielded
from cw_store.backends.session_owner import Savepoint, SessionOwner, WeakOwner
from cw_store.errors import StoreError, UnitOfWorkError


@contextmanager
def refused_by_session() -> Generator[None]:
    """Turn what SQLAlchemy raises for a session that is flushed into a StoreError."""
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(
            "the database refused what was added to the session of this unit of work"
        ) from error


STATEMENTS_KEPT = 500
"""So many statements of sessions are kept as they were compiled, as SQLAlchemy's engines do."""


class UnitConnection(Protocol):
    """What a unit's session takes for its driver's connection."""

    savepoints: SessionSavepoints

    unit_transaction: Any
    """The transaction of the same backend that statements run in."""


class UnitSession(AsyncSession):
    """The session of a unit of work: its rollback is the unit's, its close is not."""

    def __init__(
        self, engine: AsyncEngine, owner: SessionOwner, connection: UnitConnection
    ) -> None:
        super().__init__(engine, expire_on_commit=False)
        self._owner = owner
        self._unit_connection = connection
        self._savepoints = connection.savepoints
        self.is_concluding = False
        """Whether it is the session that commits, and not somebody else its connection."""

    async def connection(
        self,
        bind_arguments: Any = None,
        execution_options: Any = None,
        **settings: Any,
    ) -> AsyncConnection:
        """Return SQLAlchemy's connection, whose commit and rollback are the unit's too."""
        self._owner.check_open()
        return await super().connection(bind_arguments, execution_options, **settings)

    async def commit(self) -> None:
        """Commit the unit of work; the next statement begins a new transaction."""
        await self._owner.commit_with_session()

    async def rollback(self) -> None:
        """Roll the unit of work back; the next statement begins a new transaction."""
        await self._owner.rollback()

    def begin(self) -> AsyncSessionTransaction:
        """Commit the unit of work at the end of the block, or roll it back if that raises.

        Raises UnitOfWorkError when something has been done in the unit since its last commit, for
        then its transaction has begun, which is one for all.
        """
        return _WholeUnit(self, self._owner)

    def begin_nested(self) -> AsyncSessionTransaction:
        """Set a savepoint of the unit of work, at once: it covers all that is called inside.

        `async with session.begin_nested():` does what `async with uow.savepoint():` does.
        """
        return _PartOfUnit(self, self._owner)

    async def close(self) -> None:
        """Forget the objects, so `async with uow.session:` leaves the transaction as it is."""
        self._owner.check_owner()
        self.expunge_all()

    async def reset(self) -> None:
        """Forget the objects."""
        await self.close()

    # What the unit asks of it.

    def follow(self, transaction: object) -> None:
        """Run in another transaction from now on, of the same backend and unit."""
        self._unit_connection.unit_transaction = transaction

    async def conclude(self) -> None:
        """Flush, and end SQLAlchemy's transaction, for a unit that commits."""
        self.is_concluding = True
        try:
            await super().commit()
        finally:
            self.is_concluding = False

    async def discard(self) -> None:
        """Close for good, at the end of the unit."""
        await super().close()

    async def forget(self) -> None:
        """Drop what the session knows of its transaction, for a unit that rolls back."""
        await super().rollback()

    async def nest(self) -> SessionTransaction:
        """Begin SQLAlchemy's part of a savepoint, which keeps what its objects were like."""
        return await self.run_sync(self._savepoints.begin)

    async def release(self, savepoint: SessionTransaction) -> None:
        """Flush, and end SQLAlchemy's part of a savepoint that is kept."""
        await self.run_sync(lambda _: savepoint.commit())

    async def undo(self, savepoint: SessionTransaction | None) -> None:
        """Make the objects what they were; without a savepoint none was there when it began."""
        if savepoint is None:
            await self.forget()
        elif not _is_closed(savepoint):
            await self.run_sync(lambda _: savepoint.rollback())


def _is_closed(transaction: SessionTransaction) -> bool:
    return cast("Session | None", transaction.session) is None  # SQLAlchemy takes it away


class SessionSavepoints:
    """The savepoints of SQLAlchemy's that are the unit's own already, so nothing is sent for them.

    SQLAlchemy sets a savepoint when the session first uses its connection inside; by then the unit
    may have set others, and the two would not be nested.
    """

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._begins = False

    def forget(self) -> None:
        """Begin anew, on a connection that gives the same names again."""
        self._names.clear()

    def begin(self, session: Session) -> SessionTransaction:
        """Begin a savepoint for which nothing is sent, now or later."""
        self._begins = True
        try:
            savepoint = session.begin_nested()
            session.connection()
        finally:
            self._begins = False
        return savepoint

    def is_nothing_to_send(self, sql: str) -> bool:
        """Whether this statement sets or ends one of them."""
        found = _SAVEPOINT_STATEMENT.fullmatch(sql) if sql[:1] in "SR" else None
        if found is None:
            return False
        if self._begins:
            self._names.add(found[1])
        return found[1] in self._names


_SAVEPOINT_STATEMENT = re.compile(
    r"(?:SAVEPOINT|RELEASE SAVEPOINT|ROLLBACK TO SAVEPOINT) (sa_savepoint_\d+)"
)


class _PartOfUnit(AsyncSessionTransaction):
    """What `session.begin_nested()` gives: a savepoint of the unit."""

    __slots__ = ("_owner", "_savepoint")

    def __init__(self, session: AsyncSession, owner: SessionOwner) -> None:
        super().__init__(session, nested=True)
        self._owner = owner
        self._savepoint: Savepoint | None = None

    async def start(self, is_ctxmanager: bool = False) -> AsyncSessionTransaction:
        """Set the savepoint."""
        self._savepoint = await self._owner.set_savepoint()
        if self._savepoint.of_session is not None:
            self.sync_transaction = self._assign_proxied(self._savepoint.of_session)
        return self

    async def commit(self) -> None:
        """Keep what was done since the savepoint."""
        await self._owner.release_savepoint(self._set())

    async def rollback(self) -> None:
        """Undo what was done since the savepoint."""
        await self._owner.undo_savepoint(self._set())

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        savepoint = self._set()
        if kind is not None:
            await self._owner.undo_savepoint(savepoint)
        elif not savepoint.has_ended:  # by the block itself
            await self._owner.release_savepoint(savepoint)

    def _set(self) -> Savepoint:
        if self._savepoint is None:
            raise UnitOfWorkError("the savepoint is not set; await it, or enter it with async with")
        return self._savepoint


class _WholeUnit(AsyncSessionTransaction):
    """What `session.begin()` gives: the transaction of the unit."""

    __slots__ = ("_has_ended", "_owner")

    def __init__(self, session: AsyncSession, owner: SessionOwner) -> None:
        super().__init__(session)
        self._owner = owner
        self._has_ended = False

    async def start(self, is_ctxmanager: bool = False) -> AsyncSessionTransaction:
        """Begin, unless the unit has begun."""
        self._owner.check_owner()
        if not self._owner.is_untouched or self.session.in_transaction():
            raise UnitOfWorkError(
                "the unit of work is the session's transaction, and has begun already; leave "
                "session.begin() out, or use session.begin_nested() for a part of it"
            )
        return await super().start()

    async def commit(self) -> None:
        """Commit the unit of work."""
        self._has_ended = True
        await self._owner.commit_with_session()

    async def rollback(self) -> None:
        """Roll the unit of work back."""
        self._has_ended = True
        await self._owner.rollback()

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if kind is not None:
            await self.rollback()
        elif not self._has_ended:  # by the block itself
            await self.commit()


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
        # Each session has an engine of its own, which would compile every statement anew.
        self._options = {"compiled_cache": LRUCache[Any, Any](STATEMENTS_KEPT)}

    @property
    def dialect(self) -> Dialect:
        """The dialect of the store."""
        return self._engine.dialect

    async def _prepare(self) -> None:
        if not self._ready:
            async with self._engine.connect():
                self._ready = True

    def session_on(
        self,
        adapted: Callable[[Any], object],
        owner: WeakOwner,
        connection: UnitConnection,
    ) -> UnitSession:
        """Return a session whose engine connects to nothing but what `adapted` gives.

        That is SQLAlchemy's adapter around `connection`.

        The engine is put together around the dialect that is set up once for each store;
        create_async_engine would ask the database for its version in every unit of work.
        """
        dialect: Any = self.dialect

        async def connect() -> Any:
            owner().check_open()  # a session that was kept after the end is given nothing to hold
            await shielded(self._prepare())
            connection.savepoints.forget()
            return adapted(dialect.dbapi)

        pool = NullPool(
            lambda: await_only(connect()),
            dialect=dialect,
            reset_on_return=None,
        )
        prepare = dialect.on_connect()
        if prepare is not None:

            def prepare_connection(opened: Any, _record: object) -> None:
                prepare(opened)

            event.listen(pool, "connect", prepare_connection)
        # Errors of SQLAlchemy show the statement's parameters unless they are hidden.
        engine = Engine(
            pool,
            dialect,
            self._engine.url,
            hide_parameters=True,
            execution_options=self._options,
        )
        return UnitSession(AsyncEngine(engine), owner(), connection)
