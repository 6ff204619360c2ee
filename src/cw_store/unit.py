"""What is behind a unit of work: its transaction, one lock, spent or not, the session, the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from cw_store.backends.cancellation import shielded
from cw_store.backends.port import Backend, Transaction
from cw_store.backends.session import UnitSession
from cw_store.backends.sqlite.write_queue import enter_block, leave_block
from cw_store.errors import (
    OutcomeUnknownError,
    ReadOnlyError,
    StoreError,
    UnitOfWorkError,
    UnreadableError,
)
from cw_store.owner import Owner, running_loop
from cw_store.savepoints import Savepoint, Savepoints
from cw_store.self_deadlock import WritingTasks
from cw_store.statements.compiled import CompiledStatement, Parameters
from cw_store.statements.database import Executor, Operation
from cw_store.statements.query import Query

R = TypeVar("R")
T = TypeVar("T")

logger = logging.getLogger(__name__)

NEW = "new"
OPEN = "open"
ENDED = "ended"


class Unit:
    """What a unit of work is to its repositories and its session: executor, owner."""

    __slots__ = (
        "__weakref__",
        "_backend",
        "_block",
        "_entered_by",
        "_is_lost",
        "_label",
        "_last_committed",
        "_lock",
        "_loop",
        "_outcome_is_unknown",
        "_owner",
        "_read_only",
        "_savepoints",
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
        self.state = NEW
        self.committed: bool | None = None
        self._label = label
        self._read_only = read_only
        self._lock = asyncio.Lock()
        self._savepoints = Savepoints()
        self._session: UnitSession | None = None
        self._session_lock = asyncio.Lock()
        self._spent_by: BaseException | None = None
        self._is_lost = False  # spent so that no savepoint helps
        self._outcome_is_unknown = False
        self._last_committed: bool | None = None  # of the transactions before this one
        self._writing_task: asyncio.Task[Any] | None = None
        self._entered_by: asyncio.Task[Any] | None
        self._backend: Backend
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
        self._backend = backend
        self._make_transaction()
        self.state = OPEN

    def _make_transaction(self) -> None:
        self.transaction = self._backend.transaction(
            read_only=self._read_only, label=self._label, block=self._block
        )

    def _go_on(self) -> None:
        """Have the next call begin another transaction, unless the last one could not be ended."""
        if self.state is not OPEN or self.transaction.active:
            return
        if self.transaction.committed is not None:
            self._last_committed = self.transaction.committed
        self._make_transaction()
        if self._session is not None:
            self._session.follow(self.transaction)

    def __del__(self) -> None:
        """Give back what a unit holds that nobody can end any more; in whatever thread."""
        if self.state is OPEN and self._owner.is_this_process:
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
        if self.state is not NEW:
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

    async def run(
        self, operation: Operation[T], statement: CompiledStatement[Any], parameters: Parameters
    ) -> T:
        if self.state is not OPEN or self._spent_by is not None or running_loop() is not self._loop:
            self._check()
        if self._read_only and statement.writes:
            self.check(statement.query)
        if self._session is not None:
            await self._flush(self._session)
        await self._lock.acquire()
        if self._savepoints.open:
            await self._savepoints.stand_back(self._lock, self._timeout)
        try:
            if self.state is not OPEN or self._spent_by is not None:
                self._check()
            if self._writing_task is None and not self._read_only:
                await self._note_writing_task()
            return await self.transaction.run(operation, statement, parameters)
        except BaseException as error:
            self._note(error)
            raise
        finally:
            self._lock.release()

    def check(self, query: Query[Any]) -> None:
        self._check()
        if query.writes and self._read_only:
            raise ReadOnlyError(f"this unit of work only reads; it cannot write {query.table.name}")

    async def lock(self, name: str) -> None:
        self.refuse_to_write()
        async with self._in_turn():
            await self.attempt(self.transaction.lock, name)

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
        if self._savepoints.open:
            await self._savepoints.stand_back(lock, self._timeout)

    @asynccontextmanager
    async def _in_turn(self) -> AsyncGenerator[None]:
        await self._acquire(self._lock)
        try:
            yield
        finally:
            self._lock.release()

    async def attempt(self, work: Callable[..., Awaitable[R]], *arguments: Any) -> R:
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
        if self.state is not OPEN:
            raise UnitOfWorkError(
                "the unit of work has not begun; enter it with async with"
                if self.state is NEW
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
            if recovers and self.state is OPEN and not self._is_lost:
                self._spent_by = None
            return await self.attempt(work)

    async def _flush(self, session: UnitSession) -> None:
        """Make what was added to the session visible to the repositories."""
        with refused_by_session():
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
        return not self.transaction.active and not self._savepoints.open

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
        if self.state is OPEN and not self._savepoints.open and self._owner.is_here:
            await self._rollback_transaction()

    # Commit, roll back, savepoints, end.

    async def commit(self) -> None:
        with refused_by_session():
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
        transaction = self.transaction
        reached_the_database = transaction.active
        self._forget_writing_task()
        try:
            await transaction.commit()
        except (StoreError, asyncio.CancelledError) as error:  # it has come to its end
            is_sent = reached_the_database and not transaction.active
            if is_sent and transaction.committed is None:
                self._lose_outcome(error)
            raise
        except BaseException as error:
            if reached_the_database and not transaction.committed:
                self._lose_outcome(error)
            raise
        finally:
            self._go_on()

    def _lose_outcome(self, error: BaseException) -> None:
        self._outcome_is_unknown = self._is_lost = True
        self._spent_by = error

    async def rollback(self) -> None:
        if self.state is not OPEN or not self._owner.is_here:
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
        try:
            await self.transaction.rollback()
        finally:
            self._go_on()

    async def set_savepoint(self) -> Savepoint:
        self._check()
        savepoint = self._savepoints.new(self._loop)
        # Nobody else flushes meanwhile, as who has the session's lock must not wait for the
        # end of a savepoint whose block wants that lock.
        await self._acquire(self._session_lock)
        try:
            if self._session is not None:
                await self._session.flush()
            async with self._in_turn():
                await self.attempt(self.transaction.savepoint, savepoint.name)
                self._savepoints.enter(savepoint)
            if self._session is not None:
                await self._nest_session(self._session, savepoint)
        finally:
            self._session_lock.release()
        return savepoint

    async def _nest_session(self, session: UnitSession, savepoint: Savepoint) -> None:
        """Have the session put its objects back too when the savepoint is undone."""
        try:
            savepoint.of_session = await session.nest()
        except BaseException:
            await self.undo_savepoint(savepoint)
            raise

    async def release_savepoint(self, savepoint: Savepoint) -> None:
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
                await self.attempt(self.transaction.release, savepoint.name)
        finally:
            self._savepoints.leave(savepoint)

    def _check_open(self, savepoint: Savepoint) -> None:
        self.check_owner()
        if savepoint.has_ended:
            raise UnitOfWorkError("the savepoint has ended, by itself or with one around it")

    async def undo_savepoint(self, savepoint: Savepoint) -> None:
        if not self._owner.is_here:
            return
        try:
            if self.state is OPEN and not savepoint.has_ended:
                await shielded(self._undo(savepoint))
        finally:
            self._savepoints.leave(savepoint)

    async def _undo(self, savepoint: Savepoint) -> None:
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

    async def end(self, kind: type[BaseException] | None) -> None:
        """Commit or roll back, close the session, whatever happens meanwhile."""
        if self.state is not OPEN or not self._owner.is_here:
            if kind is None:
                self._check()
            return
        failed = kind is not None or self._spent_by is not None
        is_torn_out = kind is not None and issubclass(kind, GeneratorExit)
        try:
            if is_torn_out:
                self._terminate()
            elif failed:
                self.state = ENDED
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
            self.state = ENDED
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
                self._savepoints.leave_all()  # the commit keeps what is in them
                with refused_by_session():
                    await self._session.conclude()
            self.state = ENDED
            await self._commit_transaction()
        except GeneratorExit:
            raise
        except BaseException:
            self.state = ENDED
            await self._rollback_transaction()
            raise

    def _terminate(self) -> None:
        """Roll back without waiting: who is torn out of the event loop may not wait any more."""
        self.state = ENDED
        self._forget_writing_task()
        self.transaction.terminate()

    def _settle(self, failed: bool) -> None:
        outcome = self.transaction.committed
        if outcome is None:
            outcome = self._last_committed
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
        if self._savepoints.open:
            raise UnitOfWorkError("commit and rollback of the whole unit end its savepoints first")


def _give_back(
    transaction: Transaction,
    label: str | None,
    writing_tasks: WritingTasks,
    writing_task: asyncio.Task[Any] | None,
) -> None:
    """End what a unit held that was dropped without its end; on the event loop."""
    if transaction.active:
        logger.warning(
            "%s was dropped without its end, and is rolled back; use it with async with",
            "a unit of work" if label is None else f"the unit of work {label!r}",
        )
    if writing_task is not None:
        writing_tasks.leave(writing_task)
    transaction.terminate()


@contextmanager
def refused_by_session() -> Generator[None]:
    """Turn what SQLAlchemy raises for a session that is flushed into a StoreError."""
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(
            "the database refused what was added to the session of this unit of work"
        ) from error


class _Uninterrupted:
    """The unit's executor for one that has the unit's lock: several statements in a row."""

    __slots__ = ("_unit",)

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def run(
        self, operation: Operation[T], statement: CompiledStatement[Any], parameters: Parameters
    ) -> T:
        unit = self._unit
        unit.check(statement.query)
        return await unit.attempt(unit.transaction.run, operation, statement, parameters)

    def check(self, query: Query[Any]) -> None:
        self._unit.check(query)

    async def lock(self, name: str) -> None:
        self._unit.refuse_to_write()
        await self._unit.attempt(self._unit.transaction.lock, name)

    @asynccontextmanager
    async def atomic(self) -> AsyncGenerator[Executor]:
        yield self
