"""The savepoints of a unit of work, and its locks: who has to wait for whose end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from sqlalchemy.orm import SessionTransaction

from cw_store.backends.cancellation import shielded
from cw_store.backends.port import Transaction
from cw_store.backends.session import UnitSession
from cw_store.backends.transaction_control import SAVEPOINT_NAMES
from cw_store.errors import StoreBusyError, StoreError, UnitOfWorkError
from cw_store.unit_state import Spent


class Host(Protocol):
    """What savepoints need of the unit of work that they are a part of."""

    @property
    def is_open(self) -> bool:
        """Whether it has begun and has not ended."""
        ...

    @property
    def is_here(self) -> bool:
        """Whether the caller is in the unit's event loop and process."""
        ...

    @property
    def spent(self) -> Spent | None:
        """Why nothing more can be done in it, if so."""
        ...

    @property
    def transaction(self) -> Transaction:
        """The transaction that it is in."""
        ...

    @property
    def session(self) -> UnitSession | None:
        """Its session, once somebody has asked for it."""
        ...

    def check_owner(self) -> None:
        """Raise StoreClosedError elsewhere than in the unit's event loop and process."""
        ...

    async def attempt(self, work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """Run what reaches the database, for who holds the lock."""
        ...

    def spend(self, error: BaseException) -> None:
        """Let nothing more be done in it because of this error."""
        ...

    def recover(self) -> None:
        """Let it be used again, unless it is lost."""
        ...


class Savepoint:
    """A savepoint, and what those wait for who are not inside it."""

    __slots__ = ("ended", "name", "of_session")

    def __init__(self, name: str) -> None:
        self.name = name
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.of_session: SessionTransaction | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it was released or undone, by itself or with one around it."""
        return self.ended.done()


_savepoints_around: ContextVar[tuple[Savepoint, ...]] = ContextVar(
    "cw_store_savepoints_around", default=()
)
"""The savepoints that the running code is inside of; tasks that it starts inherit them."""


class Savepoints:
    """The savepoints of one unit of work, and its two locks.

    They do not hold the unit, so that one which was dropped without its end is collected at once.
    """

    __slots__ = ("_count", "_timeout", "lock", "open", "session_lock")

    def __init__(self, lock: asyncio.Lock, timeout: float) -> None:
        self.open: list[Savepoint] = []
        """Those that have not ended, the outermost first."""
        self.lock = lock
        """Held while one statement of the unit is under way."""
        self.session_lock = asyncio.Lock()
        """Held while the session is flushed; taken before the other, never within it."""
        self._count = 0
        self._timeout = timeout

    @asynccontextmanager
    async def outside(self, lock: asyncio.Lock) -> AsyncGenerator[None]:
        """Hold one of the locks, once no savepoint is open that others have set."""
        await lock.acquire()
        if self.open:
            await self.stand_back(lock)
        try:
            yield
        finally:
            lock.release()

    async def stand_back(self, lock: asyncio.Lock) -> None:
        """Give the lock up, and return with it when none is open that others have set.

        What is done while one is open would be undone with it. Raises StoreBusyError, without the
        lock, when that takes too long.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        while self.open and self.open[-1] not in _savepoints_around.get():
            ended = self.open[-1].ended
            lock.release()
            # No timeout that cancels: the task may be one that takes no cancellation.
            await asyncio.wait([ended], timeout=max(0.0, deadline - loop.time()))
            if not ended.done():
                raise StoreBusyError(
                    f"a savepoint of this unit of work did not end within {self._timeout:g} s; "
                    "calls from outside of its block wait for it, so the block must not wait for "
                    "them"
                )
            await lock.acquire()

    async def set(self, unit: Host) -> Savepoint:
        """Set one, for what the caller does from now on and the tasks that it starts."""
        self._count += 1
        savepoint = Savepoint(f"{SAVEPOINT_NAMES}{self._count}")
        # Nobody else flushes meanwhile, as who does so must not wait for the end of a savepoint
        # whose block wants to flush.
        async with self.outside(self.session_lock):
            if unit.session is not None:
                await unit.session.flush()
            async with self.outside(self.lock):
                await unit.attempt(unit.transaction.savepoint, savepoint.name)
                self.open.append(savepoint)
                _savepoints_around.set((*_savepoints_around.get(), savepoint))
            if unit.session is not None:
                await self._nest_session(unit, unit.session, savepoint)
        return savepoint

    async def _nest_session(self, unit: Host, session: UnitSession, savepoint: Savepoint) -> None:
        """Have the session put its objects back too when the savepoint is undone."""
        try:
            savepoint.of_session = await session.nest()
        except BaseException:
            await self.undo(unit, savepoint)
            raise

    async def release(self, unit: Host, savepoint: Savepoint) -> None:
        """Keep what was done since it was set; undo it, and raise, if something was refused."""
        unit.check_owner()
        if savepoint.has_ended:
            raise UnitOfWorkError("the savepoint has ended, by itself or with one around it")
        is_given_up = unit.spent is None and not await self._release_session(unit, savepoint)
        spent = unit.spent
        if spent is not None or is_given_up:
            await self.undo(unit, savepoint)
            raise UnitOfWorkError(
                "the savepoint is rolled back, because the database refused a statement in it "
                "and the block ended as if it had not"
            ) from (None if spent is None else spent.by)
        try:
            async with self.lock:
                await unit.attempt(unit.transaction.release, savepoint.name)
        finally:
            self._leave(savepoint)

    async def _release_session(self, unit: Host, savepoint: Savepoint) -> bool:
        """Flush what was added; return whether the session has not given its part up."""
        session, of_session = unit.session, savepoint.of_session
        if session is None:
            return True
        try:
            async with self.outside(self.session_lock):
                await session.flush()
                if of_session is None:
                    return True
                if of_session.is_active:
                    await session.release(of_session)
                    return True
                return False
        except BaseException:
            await self.undo(unit, savepoint)
            raise

    async def undo(self, unit: Host, savepoint: Savepoint) -> None:
        """Undo what was done since it was set, even when the caller is cancelled."""
        if not unit.is_here:
            return
        try:
            if unit.is_open and not savepoint.has_ended:
                await shielded(self._undo(unit, savepoint))
        finally:
            self._leave(savepoint)

    async def _undo(self, unit: Host, savepoint: Savepoint) -> None:
        session = unit.session
        try:
            await unit.transaction.undo(savepoint.name)
        except StoreError as error:
            unit.spend(error)
        else:
            unit.recover()
        if session is not None:
            await session.undo(savepoint.of_session)

    def _leave(self, savepoint: Savepoint) -> None:
        """Let those go on who wait for its end, however it ended and even if the unit has.

        What was set inside it and is still open ends with it.
        """
        if savepoint in self.open:
            place = self.open.index(savepoint)
            ended = self.open[place:]
            del self.open[place:]
            for each in ended:
                if not each.ended.done():
                    each.ended.set_result(None)
            around = _savepoints_around.get()
            _savepoints_around.set(tuple(each for each in around if each not in ended))

    def leave_all(self) -> None:
        """Let those go on who wait for the end of any."""
        if self.open:
            self._leave(self.open[0])
