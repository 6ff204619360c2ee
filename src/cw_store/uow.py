"""The unit of work: one transaction, and the repositories in it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import SessionTransaction

from cw_store.backends.cancellation import shielded
from cw_store.backends.port import Backend, Transaction
from cw_store.backends.session import SAVEPOINT_NAMES, UnitSession
from cw_store.backends.sqlite.write_queue import enter_block, leave_block
from cw_store.errors import (
    OutcomeUnknownError,
    ReadOnlyError,
    StoreBusyError,
    StoreError,
    UnitOfWorkError,
    UnreadableError,
)
from cw_store.owner import Owner, running_loop
from cw_store.repos.sql import Repositories
from cw_store.self_deadlock import WritingTasks
from cw_store.statements.database import Database, Executor, Prepared, Query, Row

if TYPE_CHECKING:
    from cw_store.store import Store

R = TypeVar("R")

log = logging.getLogger(__name__)


class UnitOfWork(Repositories):
    """One transaction: `async with UnitOfWork(store) as uow:`.

    Committed when the block ends, rolled back when it raises or is cancelled. Without a
    store it uses the default one of the running event loop. The transaction begins with the
    first call, and a writing one then has the writer's turn until its end. Calls from
    several tasks run one after another.

    `read_only=True` reads one consistent snapshot and never waits for a writer. `label`
    is what others are told who wait too long for this unit's turn.

    A task inside the block that writes through `store.…`, or through a second unit of work, would
    wait for itself and gets UnitOfWorkError within a tenth of a second. A unit belongs to its
    store's event loop and process; used elsewhere it raises StoreClosedError, and goes on unharmed
    where it belongs. One that is dropped without its end is rolled back when it is collected.
    """

    def __init__(
        self, store: Store | None = None, *, read_only: bool = False, label: str | None = None
    ) -> None:
        if store is not None:
            _check_store(store)
        self._store = store
        self._unit = _Unit(read_only, label)
        self._database = Database(self._unit)

    async def __aenter__(self) -> Self:
        """Begin; raises StoreClosedError when the store is closed or belongs elsewhere."""
        if self._unit.state is not _NEW:
            raise UnitOfWorkError("a unit of work is used once; begin a new one")
        store = self._store
        if store is None:
            from cw_store.store import default_store  # the store knows units of work

            store = self._store = await default_store()
        self._unit.open(store.backend, store.owner, store.writing_tasks)
        return self

    def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Coroutine[Any, Any, None]:
        """Commit, or roll back if the block raised; done even when cancelled meanwhile.

        Raises UnitOfWorkError, after a rollback, if the unit is spent although the block
        ended without an error, and OutcomeUnknownError when nobody can know whether the commit
        is stored.
        """
        return self._unit.end(kind)

    async def commit(self) -> None:
        """Commit what was done so far; the next call begins a new transaction.

        Raises OutcomeUnknownError when nobody can know whether it is stored, and spends the unit.
        """
        await self._unit.commit()

    async def rollback(self) -> None:
        """Undo what was done since the last commit; the next call begins a new transaction."""
        await self._unit.rollback()

    @property
    def committed(self) -> bool | None:
        """None while the unit is open, then whether its last transaction was committed.

        True when it is stored, False when nothing of it is, and None when nobody can know: the
        connection was lost at COMMIT, or the block's end was torn out of the event loop. A
        cancelled unit of work may have been committed: the cancellation can arrive when the
        database has already been told.
        """
        return self._unit.committed

    @property
    def session(self) -> AsyncSession:
        """An AsyncSession on the same connection, in the same transaction.

        Its commit and rollback are this unit's, and its `begin_nested` is a savepoint of this
        unit. Rows written here are visible there and the other way round; objects added to the
        session are flushed before each call of a repository. What would end the transaction as
        text (COMMIT, ROLLBACK, …) is a UnitOfWorkError, and nothing after it is stored. What lasts
        for a session of the database (temporary tables, and on PostgreSQL settings, roles, advisory
        locks and LISTEN) is gone when the transaction has ended.
        """
        return self._unit.session()

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None]:
        """Undo only what is done within, if it raises: `async with uow.savepoint():`.

        After an error the unit of work can be used as before. Raises UnitOfWorkError if a
        statement within was refused and the block ended as if it had not been. Tasks that
        were begun outside of the block and use the same unit wait for its end, so the block
        must not wait for them: such a wait ends with StoreBusyError after `busy_timeout`.
        """
        with _refused_by_session():
            savepoint = await self._unit.set_savepoint()
        try:
            yield
        except BaseException:
            await self._unit.undo_savepoint(savepoint)
            raise
        else:
            with _refused_by_session():
                await self._unit.release_savepoint(savepoint)


def _check_store(store: object) -> None:
    """Raise TypeError for what is no store; a path is what comes to mind first."""
    if not isinstance(store, Repositories) or isinstance(store, UnitOfWork):
        raise TypeError(
            f"a unit of work is made on an open store, not on {type(store).__name__!r}: "
            "async with Store(...) as store, store.unit_of_work() as uow"
        )


_NEW = "new"
_OPEN = "open"
_ENDED = "ended"


class _Savepoint:
    """A savepoint, and what those wait for who are not inside it."""

    __slots__ = ("ended", "name", "of_session")

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self.name = name
        self.ended: asyncio.Future[None] = loop.create_future()
        self.of_session: SessionTransaction | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it was released or undone, by itself or with one around it."""
        return self.ended.done()


_savepoints_around: ContextVar[tuple[_Savepoint, ...]] = ContextVar(
    "cw_store_savepoints_around", default=()
)
"""The savepoints that the running code is inside of; tasks that it starts inherit them."""


class _Unit:
    """What a unit of work is to its repositories and its session: executor, owner."""

    __slots__ = (
        "__weakref__",
        "_block",
        "_entered_by",
        "_is_lost",
        "_label",
        "_lock",
        "_loop",
        "_outcome_is_unknown",
        "_owner",
        "_read_only",
        "_savepoints",
        "_savepoints_set",
        "_session",
        "_session_lock",
        "_spent_by",
        "_timeout",
        "_writing_task",
        "_writing_tasks",
        "committed",
        "state",
        "transaction",
    )

    def __init__(self, read_only: bool, label: str | None) -> None:
        self.state = _NEW
        self.committed: bool | None = None
        self._label = label
        self._read_only = read_only
        self._lock = asyncio.Lock()
        self._savepoints: list[_Savepoint] = []
        self._savepoints_set = 0
        self._session: UnitSession | None = None
        self._session_lock = asyncio.Lock()
        self._spent_by: BaseException | None = None
        self._is_lost = False  # spent so that no savepoint helps
        self._outcome_is_unknown = False
        self._writing_task: asyncio.Task[Any] | None = None
        self._entered_by: asyncio.Task[Any] | None
        self._owner: Owner
        self._loop: asyncio.AbstractEventLoop
        self._timeout: float
        self._block: object
        self._writing_tasks: WritingTasks
        self.transaction: Transaction

    def open(self, backend: Backend, owner: Owner, writing_tasks: WritingTasks) -> None:
        self._owner = owner
        self._loop = owner.loop
        self._timeout = backend.timeout
        self._writing_tasks = writing_tasks
        self._entered_by = asyncio.current_task()
        self._block = enter_block()
        self.transaction = backend.transaction(
            read_only=self._read_only, label=self._label, block=self._block
        )
        self.state = _OPEN

    def __del__(self) -> None:
        """Give back what a unit holds that nobody can end any more; in whatever thread."""
        if self.state is _OPEN and self._owner.is_this_process:
            with suppress(RuntimeError):  # the loop is closed, and the store's file with it
                self._loop.call_soon_threadsafe(
                    _give_back,
                    self.transaction,
                    self._label,
                    self._writing_tasks,
                    self._writing_task,
                )

    # Whose it is, and who would wait for itself.

    def check_owner(self) -> None:
        if self.state is not _NEW:
            self._owner.check("the store of this unit of work")

    async def _note_writing_task(self) -> None:
        if self._writing_tasks.includes_this_one and not self.transaction.active:
            await self._writing_tasks.refuse("a second unit of work that may write")
        self._writing_task = self._writing_tasks.enter(self._entered_by)

    def _forget_writing_task(self) -> None:
        if self._writing_task is not None:
            self._writing_tasks.leave(self._writing_task)
            self._writing_task = None

    # The executor of the repositories.

    def prepare(self, query: Query[R]) -> Prepared[R]:
        if (
            self.state is not _OPEN
            or self._spent_by is not None
            or running_loop() is not self._loop
        ):
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
            if self._writing_task is None and not self._read_only:
                await self._note_writing_task()
            return await self.transaction.rows(prepared, parameters)
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
            if self._writing_task is None and not self._read_only:
                await self._note_writing_task()
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

    async def lock(self, name: str) -> None:
        self.refuse_to_write()
        async with self._in_turn():
            await self.run(self.transaction.lock, name)

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
        deadline = self._loop.time() + self._timeout
        while self._savepoints and self._savepoints[-1] not in _savepoints_around.get():
            ended = self._savepoints[-1].ended
            lock.release()
            # No timeout that cancels: the task may be one that takes no cancellation.
            await asyncio.wait([ended], timeout=max(0.0, deadline - self._loop.time()))
            if not ended.done():
                raise StoreBusyError(
                    f"a savepoint of this unit of work did not end within {self._timeout:g} s; "
                    "calls from outside of its block wait for it, so the block must not wait for "
                    "them"
                )
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
            if self._writing_task is None and not self._read_only:
                await self._note_writing_task()
            return await work(*arguments)
        except BaseException as error:
            self._note(error)
            raise

    def _note(self, error: BaseException) -> None:
        if not self.transaction.active:
            self._forget_writing_task()  # nothing is held that anybody could wait for
        elif not isinstance(error, UnreadableError):  # of a statement that was done
            self._spent_by = self._spent_by or error

    def check_open(self) -> None:
        self.check_owner()
        if self.state is not _OPEN:
            raise UnitOfWorkError(
                "the unit of work has not begun; enter it with async with"
                if self.state is _NEW
                else "the unit of work has ended; begin a new one"
            )

    def _check(self) -> None:
        self.check_open()
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
        self.check_owner()
        async with self._in_turn():
            if recovers and self.state is _OPEN and not self._is_lost:
                self._spent_by = None
            return await self.run(work)

    async def _flush(self, session: UnitSession) -> None:
        """Make what was added to the session visible to the repositories."""
        with _refused_by_session():
            async with self._flushing():
                await session.flush()

    @asynccontextmanager
    async def _flushing(self) -> AsyncGenerator[None]:
        await self._acquire(self._session_lock)
        try:
            yield
        finally:
            self._session_lock.release()

    def lose(self, error: UnitOfWorkError) -> None:
        self._spent_by = error
        self._is_lost = True

    @property
    def is_untouched(self) -> bool:
        return not self.transaction.active and not self._savepoints

    async def commit_from_session(self) -> None:
        if self._session is None or not self._session.is_concluding:
            raise UnitOfWorkError("commit the session, or the unit of work, not its connection")
        self._refuse_in_savepoint()
        self._check()
        await self._commit_transaction()

    async def rollback_from_session(self) -> None:
        """Follow SQLAlchemy, which gives a session's transaction up when a flush fails.

        Inside a savepoint its end undoes what there is to undo, and what was before stays.
        """
        if self.state is _OPEN and not self._savepoints and self._owner.is_here:
            await self._rollback_transaction()

    # Commit, roll back, savepoints, end.

    async def commit(self) -> None:
        with _refused_by_session():
            await self.commit_with_session()

    async def commit_with_session(self) -> None:
        self._check()
        self._refuse_in_savepoint()
        if self._session is not None:
            async with self._session_lock:
                await self._session.conclude()
        async with self._lock:
            self._check()
            await self._commit_transaction()

    async def _commit_transaction(self) -> None:
        """Commit; whatever tears this out of the loop meanwhile leaves the outcome unknown."""
        reached_the_database = self.transaction.active
        self._forget_writing_task()
        try:
            await self.transaction.commit()
        except (StoreError, asyncio.CancelledError) as error:  # it has come to its end
            is_sent = reached_the_database and not self.transaction.active
            if is_sent and self.transaction.committed is None:
                self._lose_outcome(error)
            raise
        except BaseException as error:
            if reached_the_database and not self.transaction.committed:
                self._lose_outcome(error)
            raise

    def _lose_outcome(self, error: BaseException) -> None:
        self._outcome_is_unknown = self._is_lost = True
        self._spent_by = error

    async def rollback(self) -> None:
        if self.state is not _OPEN or not self._owner.is_here:
            self._check()
        self._refuse_in_savepoint()
        if self._session is not None:
            async with self._session_lock:
                await self._session.forget()
        async with self._lock:
            await self._rollback_transaction()
        self._spent_by = None
        self._is_lost = False

    async def _rollback_transaction(self) -> None:
        self._forget_writing_task()
        await self.transaction.rollback()

    async def set_savepoint(self) -> _Savepoint:
        self._check()
        self._savepoints_set += 1
        savepoint = _Savepoint(f"{SAVEPOINT_NAMES}{self._savepoints_set}", self._loop)
        # Nobody else flushes meanwhile, as who has the session's lock must not wait for the
        # end of a savepoint whose block wants that lock.
        await self._acquire(self._session_lock)
        try:
            if self._session is not None:
                await self._session.flush()
            async with self._in_turn():
                await self.run(self.transaction.savepoint, savepoint.name)
                self._savepoints.append(savepoint)
            _savepoints_around.set((*_savepoints_around.get(), savepoint))
            if self._session is not None:
                await self._nest_session(self._session, savepoint)
        finally:
            self._session_lock.release()
        return savepoint

    async def _nest_session(self, session: UnitSession, savepoint: _Savepoint) -> None:
        """Have the session put its objects back too when the savepoint is undone."""
        try:
            savepoint.of_session = await session.nest()
        except BaseException:
            await self.undo_savepoint(savepoint)
            raise

    async def release_savepoint(self, savepoint: _Savepoint) -> None:
        self._check_open(savepoint)
        session, of_session = self._session, savepoint.of_session
        gave_up = False
        if session is not None and self._spent_by is None:
            try:
                async with self._flushing():
                    await session.flush()
                    gave_up = of_session is not None and not of_session.is_active
                    if of_session is not None and not gave_up:
                        await session.release(of_session)
            except BaseException:
                await self.undo_savepoint(savepoint)
                raise
        spent_by = self._spent_by
        if spent_by is not None or gave_up:
            await self.undo_savepoint(savepoint)
            raise UnitOfWorkError(
                "the savepoint is rolled back, because the database refused a statement in it "
                "and the block ended as if it had not"
            ) from spent_by
        try:
            async with self._lock:
                await self.run(self.transaction.release, savepoint.name)
        finally:
            self._leave_savepoint(savepoint)

    def _check_open(self, savepoint: _Savepoint) -> None:
        self.check_owner()
        if savepoint.has_ended:
            raise UnitOfWorkError("the savepoint has ended, by itself or with one around it")

    async def undo_savepoint(self, savepoint: _Savepoint) -> None:
        if not self._owner.is_here:
            return
        try:
            if self.state is _OPEN and not savepoint.has_ended:
                await shielded(self._undo(savepoint))
        finally:
            self._leave_savepoint(savepoint)

    async def _undo(self, savepoint: _Savepoint) -> None:
        session = self._session
        try:
            await self.transaction.undo(savepoint.name)
        except StoreError as error:
            self._spent_by = error
        else:
            if not self._is_lost:
                self._spent_by = None
        if session is not None:
            await session.undo(savepoint.of_session)

    def _leave_savepoint(self, savepoint: _Savepoint) -> None:
        """Let those go on who wait for its end, however it ended and even if the unit has.

        What was set inside it and is still open ends with it.
        """
        if savepoint in self._savepoints:
            place = self._savepoints.index(savepoint)
            ended = self._savepoints[place:]
            del self._savepoints[place:]
            for each in ended:
                if not each.ended.done():
                    each.ended.set_result(None)
            around = _savepoints_around.get()
            _savepoints_around.set(tuple(each for each in around if each not in ended))

    async def end(self, kind: type[BaseException] | None) -> None:
        """Commit or roll back, close the session, whatever happens meanwhile."""
        if self.state is not _OPEN or not self._owner.is_here:
            if kind is None:
                self._check()
            return
        failed = kind is not None or self._spent_by is not None
        is_torn_out = kind is not None and issubclass(kind, GeneratorExit)
        try:
            if is_torn_out:
                self._terminate()
            elif failed:
                self.state = _ENDED
                await self._rollback_transaction()
            else:
                await self._commit_at_end()
        except BaseException as error:
            failed = True
            if isinstance(error, GeneratorExit):
                is_torn_out = True
                self._terminate()
            raise
        finally:
            self.state = _ENDED
            self._entered_by = None
            leave_block(self._block)
            self._settle(failed)
            if self._session is not None:
                discarded = self._session.discard()
                await (discarded if is_torn_out else shielded(discarded))
        if kind is None and self._spent_by is not None:
            raise self._error_of_spent() from self._spent_by

    async def _commit_at_end(self) -> None:
        try:
            if self._session is not None:
                if self._savepoints:
                    self._leave_savepoint(self._savepoints[0])  # the commit keeps what is in it
                with _refused_by_session():
                    await self._session.conclude()
            self.state = _ENDED
            await self._commit_transaction()
        except GeneratorExit:
            raise
        except BaseException:
            self.state = _ENDED
            await self._rollback_transaction()
            raise

    def _terminate(self) -> None:
        """Roll back without waiting: who is torn out of the event loop may not wait any more."""
        self.state = _ENDED
        self._forget_writing_task()
        self.transaction.terminate()

    def _settle(self, failed: bool) -> None:
        outcome = self.transaction.committed
        if self._outcome_is_unknown:
            self.committed = None
        else:
            self.committed = (not failed) if outcome is None else outcome

    def _error_of_spent(self) -> StoreError:
        if self._outcome_is_unknown:
            return OutcomeUnknownError(
                "nobody can know whether what this unit of work has committed is stored"
            )
        return UnitOfWorkError(
            "the unit of work was rolled back, because the database refused a statement in "
            "it and the block ended as if it had not"
        )

    def _refuse_in_savepoint(self) -> None:
        if self._savepoints:
            raise UnitOfWorkError("commit and rollback of the whole unit end its savepoints first")


def _give_back(
    transaction: Transaction,
    label: str | None,
    writing_tasks: WritingTasks,
    writing_task: asyncio.Task[Any] | None,
) -> None:
    """End what a unit held that was dropped without its end; on the event loop."""
    if transaction.active:
        log.warning(
            "%s was dropped without its end, and is rolled back; use it with async with",
            "a unit of work" if label is None else f"the unit of work {label!r}",
        )
    if writing_task is not None:
        writing_tasks.leave(writing_task)
    transaction.terminate()


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
        return await self._unit.run(self._unit.transaction.rows, prepared, parameters)

    async def count(self, prepared: Prepared[Any], parameters: Row) -> int:
        return await self._unit.run(self._unit.transaction.count, prepared, parameters)

    async def many(self, prepared: Prepared[Any], batch: Sequence[Row]) -> None:
        await self._unit.run(self._unit.transaction.many, prepared, batch)

    @property
    def takes_turns(self) -> bool:
        return self._unit.takes_turns

    async def lock(self, name: str) -> None:
        self._unit.refuse_to_write()
        await self._unit.run(self._unit.transaction.lock, name)

    @asynccontextmanager
    async def atomic(self) -> AsyncGenerator[Executor]:
        yield self
