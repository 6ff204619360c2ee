"""What is behind a unit of work: one lock, its state, the session, the end.

**Guarantees**: one statement of the unit is under way at a time, for whatever task; while a
savepoint is open only code inside of its block gets the lock. What the database refused, while the
transaction goes on, leaves the unit `Spent`: nothing more reaches the database, and the end is a
rollback, unless a savepoint or `rollback` makes it good again. Whatever interrupts the end, the
transaction is told to commit or to roll back, and `committed` is what is known of it.

**Runs on** the event loop of the store.

**Order**: the session is flushed before a statement takes the lock, as the flush takes it for each
of its own. A unit is `ENDED` before its last COMMIT or ROLLBACK is sent, so that no call slips in
behind it; but a session still writes when its objects are committed, so it goes first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from cw_store.backends.cancellation import shielded
from cw_store.backends.port import Backend, Transaction
from cw_store.backends.session import UnitSession, refused_by_session
from cw_store.errors import ReadOnlyError, UnitOfWorkError, UnreadableError
from cw_store.owner import Owner, running_loop
from cw_store.repos.claims import Claim
from cw_store.savepoints import Savepoint, Savepoints
from cw_store.statements.compiled import CompiledStatement, Parameters
from cw_store.statements.database import Executor, Operation
from cw_store.statements.query import Query
from cw_store.uninterrupted import Uninterrupted
from cw_store.unit_fence import Fence
from cw_store.unit_state import (
    ENDED,
    NEW,
    OPEN,
    Spent,
    State,
    end_error,
    not_open_error,
    spent_error,
)
from cw_store.unit_transactions import OpenStore, UnitTransactions

R = TypeVar("R")
T = TypeVar("T")


class Unit:
    """What a unit of work is to its repositories and its session: executor, owner."""

    __slots__ = (
        "__weakref__",
        "_fence",
        "_label",
        "_lock",
        "_loop",
        "_made_savepoints",
        "_owner",
        "_read_only",
        "_timeout",
        "_transactions",
        "claim",
        "committed",
        "session",
        "state",
    )

    def __init__(self, read_only: bool, label: str | None, claim: Claim | None) -> None:
        self.claim = claim
        self._fence: Fence  # where there is a claim
        self._label = label
        self._read_only = read_only
        self.state: State | Spent = NEW
        self.committed: bool | None = None
        self.session: UnitSession | None = None
        self._owner: Owner
        self._loop: asyncio.AbstractEventLoop
        self._timeout: float
        self._lock: asyncio.Lock  # held while one statement is under way
        self._made_savepoints: Savepoints | None = None
        self._transactions: UnitTransactions

    def open(self, store: OpenStore) -> None:
        assert store.owner is not None
        self._owner = store.owner
        self._loop = store.owner.loop
        self._timeout = store.backend.timeout
        self._lock = asyncio.Lock()
        self._transactions = UnitTransactions(
            store, self._owner, read_only=self._read_only, label=self._label
        )
        self.state = OPEN

    async def begin_fenced(self, claim: Claim, backend: Backend) -> None:
        """Begin the transaction with the fence, or end at once."""
        self._fence = Fence(claim, backend)
        try:
            await self.attempt(_nothing)
        except BaseException as error:
            await self.end(type(error))
            raise

    @property
    def _savepoints(self) -> Savepoints:
        """Those that were set, and the session's lock; most units need neither."""
        if self._made_savepoints is None:
            self._made_savepoints = Savepoints(self._lock, self._timeout)
        return self._made_savepoints

    # Whose it is, and whether it can be used.

    @property
    def is_open(self) -> bool:
        """Whether it has begun and has not ended; it may be spent."""
        return self.state is not NEW and self.state is not ENDED

    @property
    def is_here(self) -> bool:
        return self._owner.is_here

    @property
    def is_untouched(self) -> bool:
        return not self.transaction.active and not self._savepoints.open

    @property
    def spent(self) -> Spent | None:
        return self.state if isinstance(self.state, Spent) else None

    def check_owner(self) -> None:
        if self.state is not NEW:
            self._owner.check("the store of this unit of work")

    def check_open(self) -> None:
        self.check_owner()
        if not self.is_open:
            raise not_open_error(self.state)

    def check_usable(self) -> None:
        self.check_open()
        if self.spent is not None:
            raise spent_error() from self.spent.by

    def spend(self, error: BaseException) -> None:
        self._spend(error, is_lost=self.spent is not None and self.spent.is_lost)

    def lose(self, error: BaseException) -> None:
        self._spend(error, is_lost=True)

    def _spend(self, error: BaseException, *, is_lost: bool) -> None:
        if self.is_open:
            self.state = Spent(error, is_lost=is_lost)

    def recover(self) -> None:
        if self.spent is not None and not self.spent.is_lost:
            self.state = OPEN

    # The executor of the repositories.

    async def run(
        self, operation: Operation[T], statement: CompiledStatement[Any], parameters: Parameters
    ) -> T:
        if self.state is not OPEN or running_loop() is not self._loop:
            self.check_usable()
        if self._read_only and statement.writes:
            self.check(statement.query)
        if self.session is not None:
            await self._flush(self.session)
        lock, savepoints, transactions = self._lock, self._made_savepoints, self._transactions
        await lock.acquire()
        if savepoints is not None and savepoints.open:
            await savepoints.stand_back(lock)
        try:
            if self.state is not OPEN:
                self.check_usable()
            if transactions.writing_task is None and not self._read_only:
                await transactions.note_task()
                if self.claim is not None:
                    await self._fence.enter(self)
            transactions.statements += 1
            return await transactions.current.run(operation, statement, parameters)
        except BaseException as error:
            self._note(error)
            raise
        finally:
            lock.release()

    def check(self, query: Query[Any]) -> None:
        self.check_usable()
        if query.writes and self._read_only:
            raise ReadOnlyError(f"this unit of work only reads; it cannot write {query.table.name}")

    async def lock(self, name: str) -> None:
        self.refuse_to_write()
        async with self._savepoints.outside(self._savepoints.lock):
            await self.attempt(self.transaction.lock, name)

    def refuse_to_write(self) -> None:
        if self._read_only:
            raise ReadOnlyError("this unit of work only reads")

    def atomic(self) -> AbstractAsyncContextManager[Executor]:
        return self._atomic()

    @asynccontextmanager
    async def _atomic(self) -> AsyncGenerator[Executor]:
        self.check_usable()
        if self.session is not None:
            await self._flush(self.session)
        async with self._savepoints.outside(self._savepoints.lock):
            yield Uninterrupted(self)

    async def attempt(self, work: Callable[..., Awaitable[R]], *arguments: Any) -> R:
        self.check_usable()
        try:
            if self._transactions.writing_task is None and not self._read_only:
                await self._transactions.note_task()
                if self.claim is not None:
                    await self._fence.enter(self)
            return await work(*arguments)
        except BaseException as error:
            self._note(error)
            raise

    def _note(self, error: BaseException) -> None:
        """Have a refusal, or not knowing what was done, spend the unit."""
        if not self.transaction.active:
            self._transactions.forget_task()
        elif self.state is OPEN and not isinstance(error, UnreadableError):  # which was done
            self.state = Spent(error)

    # The owner of the session.

    @property
    def transaction(self) -> Transaction:
        return self._transactions.current

    def make_session(self) -> UnitSession:
        self.check_usable()
        if self.session is None:
            self.session = self.transaction.session(self)
        return self.session

    async def in_turn(self, work: Callable[[], Awaitable[Any]], *, recovers: bool) -> Any:
        self.check_owner()
        async with self._savepoints.outside(self._savepoints.lock):
            if recovers:
                self.recover()
            self._transactions.statements += 1
            return await self.attempt(work)

    async def _flush(self, session: UnitSession) -> None:
        """Make what was added to the session visible to the repositories."""
        with refused_by_session():
            async with self._savepoints.outside(self._savepoints.session_lock):
                await session.flush()

    async def commit_from_session(self) -> None:
        if self.session is None or not self.session.is_concluding:
            raise UnitOfWorkError("commit the session, or the unit of work, not its connection")
        self._refuse_in_savepoint()
        self.check_usable()
        await self._commit_transaction()

    async def rollback_from_session(self) -> None:
        """Follow SQLAlchemy, which gives a session's transaction up when a flush fails.

        Inside a savepoint its end undoes what there is to undo, and what was before stays.
        """
        if self.is_open and not self._savepoints.open and self.is_here:
            await self.rollback_transaction()

    async def set_savepoint(self) -> Savepoint:
        self.check_usable()
        return await self._savepoints.set(self)

    async def release_savepoint(self, savepoint: Savepoint) -> None:
        await self._savepoints.release(self, savepoint)

    async def undo_savepoint(self, savepoint: Savepoint) -> None:
        await self._savepoints.undo(self, savepoint)

    # Commit and roll back, to go on or for good.

    async def commit(self) -> None:
        with refused_by_session():
            await self.commit_with_session()

    async def commit_with_session(self) -> None:
        self.check_usable()
        self._refuse_in_savepoint()
        if self.session is not None:
            async with self._savepoints.session_lock:
                await self.session.conclude()
        async with self._savepoints.lock:
            self.check_usable()
            await self._commit_transaction()

    async def rollback(self) -> None:
        self.check_open()
        self._refuse_in_savepoint()
        if self.session is not None:
            async with self._savepoints.session_lock:
                await self.session.forget()
        async with self._savepoints.lock:
            await self.rollback_transaction()
        if self.is_open:
            self.state = OPEN

    def _refuse_in_savepoint(self) -> None:
        if self._savepoints.open:
            raise UnitOfWorkError("commit and rollback of the whole unit end its savepoints first")

    async def _commit_transaction(self) -> None:
        try:
            await self._transactions.commit()
        except BaseException as error:
            if error is self._transactions.doubt:
                self.lose(error)
            raise
        finally:
            self._go_on()

    async def rollback_transaction(self) -> None:
        try:
            await self._transactions.rollback()
        finally:
            self._go_on()

    def _go_on(self) -> None:
        """Have the next call begin another transaction, unless the last one could not be ended."""
        if self.is_open and not self.transaction.active:
            self._transactions.begin()
            if self.session is not None:
                self.session.follow(self.transaction)

    async def end(self, kind: type[BaseException] | None) -> None:
        """End with the block, which raised this; done even when cancelled meanwhile."""
        if (self.state is not OPEN and not self.is_open) or running_loop() is not self._loop:
            if kind is None:
                self.check_usable()
            return
        if kind is not None and issubclass(kind, GeneratorExit):
            await self._tear_out()
            return
        spent = None if self.state is OPEN else self.spent
        commits = kind is None and spent is None
        try:
            await self._conclude(commits)
        except GeneratorExit:
            await self._tear_out()
            raise
        except BaseException as error:
            await self._leave(type(error), is_committed=False)
            raise
        if kind is None and spent is not None:
            failure = end_error(is_in_doubt=self._transactions.doubt is not None)
            await self._leave(type(failure), is_committed=False)
            raise failure from spent.by
        await self._leave(kind, is_committed=commits)

    async def _conclude(self, commit: bool) -> None:
        """Commit or roll back for good; what cannot be committed is rolled back."""
        if not commit:
            self.state = ENDED
            await self._transactions.rollback()
            return
        try:
            if self.session is not None:
                self._savepoints.leave_all()  # the commit keeps what is in them
                with refused_by_session():
                    await self.session.conclude()
            self.state = ENDED
            await self._transactions.commit()
        except GeneratorExit:
            raise
        except BaseException:
            self.state = ENDED
            await self._transactions.rollback()
            raise

    async def _tear_out(self) -> None:
        """End a unit that is torn out of its event loop, where nothing may be waited for."""
        self.state = ENDED
        self._transactions.terminate()
        self.committed = self._transactions.end(GeneratorExit, is_committed=False)
        if self.session is not None:
            await self.session.discard()

    async def _leave(self, kind: type[BaseException] | None, *, is_committed: bool) -> None:
        """Say how it ended: `is_committed` where nothing has reached the database."""
        self.committed = self._transactions.end(kind, is_committed=is_committed)
        if self.session is not None:
            await shielded(self.session.discard())


async def _nothing() -> None:
    """Do no more than what comes before the first statement of a transaction."""
