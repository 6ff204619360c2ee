"""The savepoints of a unit of work: which are open, and who has to wait for their end."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

from sqlalchemy.orm import SessionTransaction

from cw_store.backends.session import SAVEPOINT_NAMES
from cw_store.errors import StoreBusyError


class Savepoint:
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


_savepoints_around: ContextVar[tuple[Savepoint, ...]] = ContextVar(
    "cw_store_savepoints_around", default=()
)
"""The savepoints that the running code is inside of; tasks that it starts inherit them."""


class Savepoints:
    """The savepoints of one unit of work."""

    __slots__ = ("_count", "open")

    def __init__(self) -> None:
        self.open: list[Savepoint] = []
        """Those that have not ended, the outermost first."""
        self._count = 0

    def new(self, loop: asyncio.AbstractEventLoop) -> Savepoint:
        """Return one that is not set yet."""
        self._count += 1
        return Savepoint(f"{SAVEPOINT_NAMES}{self._count}", loop)

    def enter(self, savepoint: Savepoint) -> None:
        """Note that the running code is inside of it from now on."""
        self.open.append(savepoint)
        _savepoints_around.set((*_savepoints_around.get(), savepoint))

    def leave(self, savepoint: Savepoint) -> None:
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
        """Leave whatever is open."""
        if self.open:
            self.leave(self.open[0])

    async def stand_back(self, lock: asyncio.Lock, timeout: float) -> None:
        """Give the lock up, and return with it when none is open that others have set.

        What is done while one is open would be undone with it. Raises StoreBusyError, without the
        lock, after `timeout` seconds.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while self.open and self.open[-1] not in _savepoints_around.get():
            ended = self.open[-1].ended
            lock.release()
            # No timeout that cancels: the task may be one that takes no cancellation.
            await asyncio.wait([ended], timeout=max(0.0, deadline - loop.time()))
            if not ended.done():
                raise StoreBusyError(
                    f"a savepoint of this unit of work did not end within {timeout:g} s; "
                    "calls from outside of its block wait for it, so the block must not wait for "
                    "them"
                )
            await lock.acquire()
