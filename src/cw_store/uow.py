"""The unit of work: one transaction, and the repositories in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from cw_store.backends.cancellation import finish
from cw_store.backends.port import Backend, Transaction
from cw_store.backends.session import UnitSession
from cw_store.errors import ReadOnlyError, StoreError, UnitOfWorkError
from cw_store.repos.sql import Repositories
from cw_store.repos.sql.door import Clock, Door, Executor, Prepared, Query, Row

if TYPE_CHECKING:
    from cw_store.store import Store

R = TypeVar("R")


class UnitOfWork(Repositories):
    """One transaction: `async with UnitOfWork(store) as uow:`.

    Committed when the block ends, rolled back when it raises or is cancelled. Without a
    store it uses the default one of the running event loop. The transaction begins with the
    first call, and a writing one then has the writer's turn until its end. Calls from
    several tasks run one after another.

    `read_only=True` reads one consistent snapshot and never waits for a writer. `label`
    is what others are told who wait too long for this unit's turn.
    """

    def __init__(
        self, store: Store | None = None, *, read_only: bool = False, label: str | None = None
    ) -> None:
        self._store = store
        self._label = label
        self._unit = _Unit(read_only)
        self._door = Door(self._unit, self._unit)

    async def __aenter__(self) -> Self:
        """Begin; raises StoreClosedError when the store is closed or belongs elsewhere."""
        if self._unit.state is not _NEW:
            raise UnitOfWorkError("a unit of work is used once; begin a new one")
        store = self._store
        if store is None:
            from cw_store.store import default_store  # the store knows units of work

            store = self._store = await default_store()
        self._unit.open(store.backend, store.clock, self._label)
        return self

    def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Coroutine[Any, Any, None]:
        """Commit, or roll back if the block raised; done even when cancelled meanwhile.

        Raises UnitOfWorkError, after a rollback, if the unit is spent although the block
        ended without an error.
        """
        return self._unit.end(failed=kind is not None)

    async def commit(self) -> None:
        """Commit what was done so far; the next call begins a new transaction."""
        await self._unit.commit()

    async def rollback(self) -> None:
        """Undo what was done since the last commit; the next call begins a new transaction."""
        await self._unit.rollback()

    @property
    def committed(self) -> bool | None:
        """None while the unit is open, then whether its last transaction was committed.

        A cancelled unit of work may have been committed: the cancellation can arrive when
        the database has already been told.
        """
        return self._unit.committed

    @property
    def session(self) -> AsyncSession:
        """An AsyncSession on the same connection, in the same transaction.

        Its commit and rollback are this unit's. Rows written here are visible there and the
        other way round; objects added to the session are flushed before each call of a
        repository.
        """
        return self._unit.session()

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None]:
        """Undo only what is done within, if it raises: `async with uow.savepoint():`.

        After an error the unit of work can be used as before. Raises UnitOfWorkError if a
        statement within was refused and the block ended as if it had not been. Tasks that
        were begun outside of the block and use the same unit wait for its end, so the block
        must not wait for them.
        """
        savepoint = await self._unit.set_savepoint()
        outside = _savepoints_around.get()
        _savepoints_around.set((*outside, savepoint))
        try:
            yield
        except BaseException:
            await self._unit.undo_savepoint(savepoint)
            raise
        else:
            await self._unit.release_savepoint(savepoint)
        finally:
            _savepoints_around.set(outside)
            self._unit.leave_savepoint(savepoint)


_NEW = "new"
_OPEN = "open"
_ENDED = "ended"


class _Savepoint:
    """A savepoint, and what those wait for who are not inside it."""

    __slots__ = ("ended", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.ended = asyncio.Event()


_savepoints_around: ContextVar[tuple[_Savepoint, ...]] = ContextVar(
    "cw_store_savepoints_around", default=()
)
"""The savepoints that the running code is inside of; tasks that it starts inherit them."""


class _Unit:
    """What a unit of work is to its repositories and its session: executor, clock, owner."""

    __slots__ = (
        "_clock",
        "_lock",
        "_read_only",
        "_savepoints",
        "_savepoints_set",
        "_session",
        "_session_lock",
        "_spent_by",
        "committed",
        "state",
        "transaction",
    )

    def __init__(self, read_only: bool) -> None:
        self.state = _NEW
        self.committed: bool | None = None
        self._read_only = read_only
        self._lock = asyncio.Lock()
        self._savepoints: list[_Savepoint] = []
        self._savepoints_set = 0
        self._session: UnitSession | None = None
        self._session_lock = asyncio.Lock()
        self._spent_by: BaseException | None = None
        self.transaction: Transaction
        self._clock: Clock

    def open(self, backend: Backend, clock: Clock, label: str | None) -> None:
        self.transaction = backend.transaction(read_only=self._read_only, label=label)
        self._clock = clock
        self.state = _OPEN

    # The clock of the repositories.

    def now(self) -> datetime:
        self._check()
        return self._clock.now()

    def now_and_stamp(self) -> tuple[datetime, datetime]:
        if self.state is not _OPEN or self._spent_by is not None:
            self._check()
        return self._clock.now_and_stamp()

    def stamp(self) -> datetime:
        if self.state is not _OPEN or self._spent_by is not None:
            self._check()
        return self._clock.stamp()

    # The executor of the repositories.

    def prepare(self, query: Query[R]) -> Prepared[R]:
        if self.state is not _OPEN or self._spent_by is not None:
            self._check()
        if query.writes and self._read_only:
            raise ReadOnlyError(f"this unit of work only reads; it cannot write {query.table.name}")
        return self.transaction.prepare(query)

    async def rows(self, prepared: Prepared[Any], parameters: Row) -> Sequence[Row]:
        if self._session is not None:
            await self._flush(self._session)
        await self._lock.acquire()
        if self._savepoints:
            await self._stand_back(self._lock)
        try:
            if self.state is not _OPEN or self._spent_by is not None:
                self._check()
            found = await self.transaction.rows(prepared, parameters)
            return prepared.loaded(found) if prepared.fallible else found
        except BaseException as error:
            self._note(error)
            raise
        finally:
            self._lock.release()

    async def count(self, prepared: Prepared[Any], parameters: Row) -> int:
        if self._session is not None:
            await self._flush(self._session)
        await self._lock.acquire()
        if self._savepoints:
            await self._stand_back(self._lock)
        try:
            if self.state is not _OPEN or self._spent_by is not None:
                self._check()
            return await self.transaction.count(prepared, parameters)
        except BaseException as error:
            self._note(error)
            raise
        finally:
            self._lock.release()

    async def many(self, prepared: Prepared[Any], batch: Sequence[Row]) -> None:
        if self._session is not None:
            await self._flush(self._session)
        async with self._in_turn():
            await self.run(self.transaction.many, prepared, batch)

    @property
    def takes_turns(self) -> bool:
        return self.transaction.takes_turns

    async def serialize(self, name: str) -> None:
        self.refuse_to_write()
        async with self._in_turn():
            await self.run(self.transaction.serialize, name)

    def refuse_to_write(self) -> None:
        if self._read_only:
            raise ReadOnlyError("this unit of work only reads")

    def atomic(self) -> AbstractAsyncContextManager[Executor]:
        return self._atomic()

    @asynccontextmanager
    async def _atomic(self) -> AsyncGenerator[Executor]:
        self._check()
        if self._session is not None:
            await self._flush(self._session)
        async with self._in_turn():
            yield _Uninterrupted(self)

    async def _acquire(self, lock: asyncio.Lock) -> None:
        await lock.acquire()
        if self._savepoints:
            await self._stand_back(lock)

    async def _stand_back(self, lock: asyncio.Lock) -> None:
        """Give the lock up, and return with it when no savepoint is open that others have set.

        What is done while one is open would be undone with it.
        """
        while self._savepoints and self._savepoints[-1] not in _savepoints_around.get():
            open_savepoint = self._savepoints[-1]
            lock.release()
            await open_savepoint.ended.wait()
            await lock.acquire()

    @asynccontextmanager
    async def _in_turn(self) -> AsyncGenerator[None]:
        await self._acquire(self._lock)
        try:
            yield
        finally:
            self._lock.release()

    async def run(self, work: Callable[..., Awaitable[R]], *arguments: Any) -> R:
        """Run what reaches the database; a refusal, or not knowing the outcome, spends the unit."""
        self._check()
        try:
            return await work(*arguments)
        except BaseException as error:
            self._note(error)
            raise

    def _note(self, error: BaseException) -> None:
        if self.transaction.active and self._spent_by is None:
            self._spent_by = error

    def _check(self) -> None:
        if self.state is not _OPEN:
            raise UnitOfWorkError(
                "the unit of work has not begun; enter it with async with"
                if self.state is _NEW
                else "the unit of work has ended; begin a new one"
            )
        if self._spent_by is not None:
            raise UnitOfWorkError(
                "the unit of work is spent, because the database refused a statement or its "
                "outcome is not known; leave the block and begin a new one, or put what may fail "
                "into a savepoint"
            ) from self._spent_by

    # The owner of the session.

    def session(self) -> UnitSession:
        self._check()
        if self._session is None:
            self._session = self.transaction.session(self)
        return self._session

    async def in_turn(self, work: Callable[[], Awaitable[Any]], *, recovers: bool) -> Any:
        async with self._in_turn():
            if recovers and self.state is _OPEN:
                self._spent_by = None
            return await self.run(work)

    async def _flush(self, session: UnitSession) -> None:
        """Make what was added to the session visible to the repositories."""
        await self._acquire(self._session_lock)
        try:
            with _refused_by_session():
                await session.flush()
        finally:
            self._session_lock.release()

    async def commit_from_session(self) -> None:
        self._refuse_in_savepoint()
        self._check()
        await self.transaction.commit()

    async def rollback_from_session(self) -> None:
        """Follow SQLAlchemy, which gives a session's transaction up when a flush fails.

        Inside a savepoint its end undoes what there is to undo, and what was before stays.
        """
        if self.state is _OPEN and not self._savepoints:
            await self.transaction.rollback()

    # Commit, roll back, savepoints, end.

    async def commit(self) -> None:
        self._refuse_in_savepoint()
        self._check()
        if self._session is not None:
            async with self._session_lock:
                with _refused_by_session():
                    await self._session.commit()
        async with self._lock:
            self._check()
            await self.transaction.commit()

    async def rollback(self) -> None:
        if self.state is not _OPEN:
            self._check()
        self._refuse_in_savepoint()
        if self._session is not None:
            async with self._session_lock:
                await self._session.forget()
        async with self._lock:
            await self.transaction.rollback()
        self._spent_by = None

    async def set_savepoint(self) -> _Savepoint:
        self._check()
        self._savepoints_set += 1
        savepoint = _Savepoint(f"cw_savepoint_{self._savepoints_set}")
        # Nobody else flushes meanwhile, as who has the session's lock must not wait for the
        # end of a savepoint whose block wants that lock.
        await self._acquire(self._session_lock)
        try:
            if self._session is not None:
                with _refused_by_session():
                    await self._session.flush()
            async with self._in_turn():
                await self.run(self.transaction.savepoint, savepoint.name)
                self._savepoints.append(savepoint)
        finally:
            self._session_lock.release()
        return savepoint

    async def release_savepoint(self, savepoint: _Savepoint) -> None:
        if self._session is not None and self._spent_by is None:
            try:
                await self._flush(self._session)
            except BaseException:
                await self.undo_savepoint(savepoint)
                raise
        spent_by = self._spent_by
        if spent_by is not None:
            await self.undo_savepoint(savepoint)
            raise UnitOfWorkError(
                "the savepoint is rolled back, because the database refused a statement in it "
                "and the block ended as if it had not"
            ) from spent_by
        async with self._lock:
            await self.run(self.transaction.release, savepoint.name)

    async def undo_savepoint(self, savepoint: _Savepoint) -> None:
        if self.state is not _OPEN:
            return
        try:
            await self.transaction.undo(savepoint.name)
        except StoreError as error:
            self._spent_by = error
        else:
            self._spent_by = None
        finally:
            if self._session is not None and not self._session.is_active:
                # A flush failed, and SQLAlchemy takes nothing until the session is told so.
                await finish(self._session.forget())

    def leave_savepoint(self, savepoint: _Savepoint) -> None:
        """Let those go on who wait for its end, however it ended and even if the unit has."""
        self._savepoints.remove(savepoint)
        savepoint.ended.set()

    async def end(self, *, failed: bool) -> None:
        """Commit or roll back, close the session, whatever happens meanwhile."""
        spent_by = self._spent_by
        try:
            if failed or spent_by is not None:
                self.state = _ENDED
                await self.transaction.rollback()
            else:
                try:
                    if self._session is not None:
                        with _refused_by_session():
                            await self._session.commit()
                    self.state = _ENDED
                    await self.transaction.commit()
                except BaseException:
                    self.state = _ENDED
                    await self.transaction.rollback()
                    raise
        except BaseException:
            failed = True
            raise
        finally:
            self.state = _ENDED
            outcome = self.transaction.committed
            self.committed = (not failed) if outcome is None else outcome
            if self._session is not None:
                await finish(self._session.discard())
        if spent_by is not None and not failed:
            raise UnitOfWorkError(
                "the unit of work was rolled back, because the database refused a statement in "
                "it and the block ended as if it had not"
            ) from spent_by

    def _refuse_in_savepoint(self) -> None:
        if self._savepoints:
            raise UnitOfWorkError("commit and rollback of the whole unit end its savepoints first")


@contextmanager
def _refused_by_session() -> Generator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(
            "the database refused what was added to the session of this unit of work"
        ) from error


class _Uninterrupted:
    """The unit's executor for one that has the unit's lock: several statements in a row."""

    __slots__ = ("_unit",)

    def __init__(self, unit: _Unit) -> None:
        self._unit = unit

    def prepare(self, query: Query[R]) -> Prepared[R]:
        return self._unit.prepare(query)

    async def rows(self, prepared: Prepared[Any], parameters: Row) -> Sequence[Row]:
        return await self._unit.run(self._readable, prepared, parameters)

    async def _readable(self, prepared: Prepared[Any], parameters: Row) -> Sequence[Row]:
        found = await self._unit.transaction.rows(prepared, parameters)
        return prepared.loaded(found) if prepared.fallible else found

    async def count(self, prepared: Prepared[Any], parameters: Row) -> int:
        return await self._unit.run(self._unit.transaction.count, prepared, parameters)

    async def many(self, prepared: Prepared[Any], batch: Sequence[Row]) -> None:
        await self._unit.run(self._unit.transaction.many, prepared, batch)

    @property
    def takes_turns(self) -> bool:
        return self._unit.takes_turns

    async def serialize(self, name: str) -> None:
        self._unit.refuse_to_write()
        await self._unit.run(self._unit.transaction.serialize, name)

    @asynccontextmanager
    async def atomic(self) -> AsyncGenerator[Executor]:
        yield self
