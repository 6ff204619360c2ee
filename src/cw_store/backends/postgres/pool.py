"""The connections to a PostgreSQL server: at most so many, first come, first served.

Guarantees: a place is given back once, and before anything that can fail or wait; whoever waits
is answered when the pool closes; a connection that is given out is open, as far as this side can
know, in no transaction, and nothing is under way on it. asyncpg's own pool takes each connection
back in a task, lets a running task overtake those who wait, and waits for a server that does not
answer as long as for a statement.

Runs on: the event loop, all of it; only `terminate` is called when that is gone. `release` and
`terminate` do not wait.

Order: a connection is fit again (see `recover` and `give_back`) before it is released, and
released before the place is handed on: else the next one would find it in a transaction, or the
pool would make one more than it may.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, TypeVar

from cw_store.backends.cancellation import shielded
from cw_store.backends.postgres.errors import (
    DRIVER_ERRORS,
    is_interrupted,
    is_lost,
    store_error,
)
from cw_store.errors import StoreBusyError, StoreClosedError, StoreError
from cw_store.statements.compiled import CompiledStatement

T = TypeVar("T")

logger = logging.getLogger(__name__)

IDLE_SECONDS = 60.0
"""How long an idle connection is kept; what lies on the way may drop an older one silently."""

CANCEL_SECONDS = 0.1
"""How long a server may take to end what nobody wants any more, before it loses the connection."""

FORGET_SECONDS = 1.0
"""How long a server may take to forget what a session left, before it loses the connection."""

COMMIT_SECONDS = 5.0
"""How long a COMMIT that is under way keeps `close` waiting."""


class Pool:
    """Connections made by `connect`, of which at most `size` are in use at a time.

    `connect` takes the seconds that it may take; `forget` makes a connection what it was when it
    came from there. `timeout` is how long a connection is waited for.
    """

    def __init__(
        self,
        connect: Callable[[float], Coroutine[Any, Any, Any]],
        forget: Callable[[Any], Awaitable[None]],
        *,
        size: int,
        timeout: float,
    ) -> None:
        self._connect = connect
        self._forget = forget
        self.size = size
        self._timeout = timeout
        self._idle: list[Any] = []
        self._given_out: dict[Any, float] = {}  # and since when
        self._being_made: set[asyncio.Task[Any]] = set()
        self._places = size
        self._waiters: deque[_Waiter] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._commits = 0
        self._no_commits: asyncio.Future[None] | None = None
        self.is_closed = False
        self.turns = self.waits = 0
        self.waited = self.held = 0.0

    def __repr__(self) -> str:
        """Show who is there, for whoever looks for what a task waits for."""
        waiting = f", {len(self._waiters)} wait" if self._waiters else ""
        closed = ", closed" if self.is_closed else ""
        return f"<{self.in_use} of {self.size} connections in use{waiting}{closed}>"

    @property
    def in_use(self) -> int:
        """How many connections are given out or being made."""
        return self.size - self._places

    @property
    def open(self) -> int:
        """How many there are."""
        return len(self._idle) + len(self._given_out)

    async def acquire(self) -> Any:
        """Return a connection.

        Raises StoreBusyError when none is free in time or the server does not answer, StoreError
        when it refuses, and StoreClosedError.
        """
        if self._places and not self._waiters:
            self._places -= 1
            left = self._timeout
        else:
            left = await self._wait_for_place()
            self.waits += 1
            self.waited += self._timeout - left
        try:
            if self.is_closed:
                raise StoreClosedError("the store is closed")
            connection = self._reuse() or await self._make(max(left, 0.0) or 1.0)
        except BaseException:
            self._hand_place_on()
            raise
        self._given_out[connection] = monotonic()
        return connection

    def release(self, connection: Any) -> None:
        """Take a connection back, and keep it if it is good for another.

        One that was taken back already, cut by somebody who could not wait, is left alone.
        """
        if connection not in self._given_out:
            return
        self.held += monotonic() - self._given_out.pop(connection)
        self.turns += 1
        if not connection.is_closed():
            if self.is_closed or connection.is_in_transaction() or connection.is_worn_out:
                connection.terminate()
            else:
                self._keep(connection)
        self._hand_place_on()

    async def give_back(self, connection: Any) -> None:
        """Take a connection back after a transaction, without what a session left on it."""
        if connection.is_changed and not connection.is_closed():
            try:
                async with asyncio.timeout(FORGET_SECONDS):
                    await self._forget(connection)
            except DRIVER_ERRORS:
                connection.terminate()
        self.release(connection)

    async def recover(self, connection: Any, error: BaseException) -> None:
        """Take a connection back on which something failed that is no transaction.

        When a statement was given up, the server is waited for until it has ended it, or not
        for long; done even when the caller is cancelled.
        """
        try:
            if isinstance(error, asyncio.CancelledError) or is_interrupted(error):
                with suppress(*DRIVER_ERRORS):
                    # The driver sends what comes next when the server has ended the statement.
                    await self.within(CANCEL_SECONDS, connection, connection.execute("SELECT 1"))
            elif is_lost(error) or not isinstance(error, Exception):
                connection.terminate()
        finally:
            self.release(connection)

    async def within(
        self, seconds: float, connection: Any, work: Coroutine[Any, Any, T], *, hurry: bool = False
    ) -> T:
        """Run `work` to its end, which a connection that is terminated after `seconds` brings.

        With `hurry` it is terminated soon after a cancellation of the caller. The cancellation
        is raised when the work has ended.
        """
        loop = asyncio.get_running_loop()
        timers = [loop.call_later(seconds, self._give_up, connection)]

        def hurry_up() -> None:
            timers.append(loop.call_later(CANCEL_SECONDS, self._give_up, connection))

        try:
            return await shielded(work, on_cancellation=hurry_up if hurry else None)
        finally:
            for timer in timers:
                timer.cancel()

    @contextmanager
    def committing(self) -> Generator[None]:
        """Let `close` wait for the COMMIT that is sent within."""
        self._commits += 1
        try:
            yield
        finally:
            self._commits -= 1
            if not self._commits and self._no_commits is not None and not self._no_commits.done():
                self._no_commits.set_result(None)

    async def close(self) -> None:
        """Close every connection, and answer everybody who waits for one.

        A COMMIT that is under way is waited for; other statements are cancelled on the server.
        """
        self.is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._refuse_all()
        for making in self._being_made:
            making.cancel()
        if self._commits:
            self._no_commits = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._no_commits], timeout=min(self._timeout, COMMIT_SECONDS))
        await self._close_connections()

    async def _close_connections(self) -> None:
        connections = [*self._idle, *self._given_out]
        self._idle.clear()
        closing = [
            asyncio.create_task(_close(connection), name="cw_store closes a connection")
            for connection in connections
        ]
        if closing:
            await asyncio.wait(closing)

    def terminate(self) -> None:
        """Cut every connection without an event loop."""
        self.is_closed = True
        for connection in (*self._idle, *self._given_out):
            connection.cut_without_loop()

    def store_error(
        self, statement: CompiledStatement[Any] | None, error: BaseException
    ) -> StoreError:
        """Return what an error of the driver means to a caller."""
        if self.is_closed:
            return StoreClosedError("the store was closed meanwhile")
        return store_error(statement, error)

    def _none_free_error(self) -> StoreBusyError:
        """Return what to tell who waited too long."""
        return StoreBusyError(
            f"none of the {self.size} connections was free within {self._timeout:g} s, "
            "or the server did not answer"
        )

    def _give_up(self, connection: Any) -> None:
        if not connection.is_closed():
            logger.warning(
                "the server did not answer in time to end what was under way; "
                "its connection is terminated",
                extra={"event": "connection_terminated"},
            )
            connection.terminate()

    # Making connections.

    async def _make(self, seconds: float) -> Any:
        """Connect, in a task that `close` can cancel."""
        making = asyncio.create_task(self._connect(seconds), name="cw_store connects to the server")
        self._being_made.add(making)
        try:
            connection = await making
        except asyncio.CancelledError:
            _cut_what_came(making)
            if self.is_closed and not _is_being_cancelled():
                raise StoreClosedError("the store was closed meanwhile") from None
            raise
        except StoreError:
            raise
        except TimeoutError as error:
            raise self._none_free_error() from error
        except DRIVER_ERRORS as error:
            raise self.store_error(None, error) from error
        finally:
            self._being_made.discard(making)
        if self.is_closed:
            connection.terminate()
            raise StoreClosedError("the store was closed meanwhile")
        return connection

    # Places: a place is a connection that may be in use.

    async def _wait_for_place(self) -> float:
        """Wait in the queue; return how much of the time is left."""
        loop = asyncio.get_running_loop()
        if self.is_closed:
            raise StoreClosedError("the store is closed")
        if not self._timeout:
            raise self._none_free_error()
        deadline = loop.time() + self._timeout
        waiter = _Waiter(self, loop)
        self._waiters.append(waiter)
        timer = loop.call_at(deadline, self._refuse, waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.has_a_place:
                self._hand_place_on()
            raise
        finally:
            timer.cancel()
            with suppress(ValueError):
                self._waiters.remove(waiter)
        return deadline - loop.time()

    def _refuse(self, waiter: _Waiter) -> None:
        if not waiter.done():
            waiter.set_exception(self._none_free_error())

    def _refuse_all(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(StoreClosedError("the store was closed meanwhile"))

    def _hand_place_on(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._places += 1

    def place_of(self, waiter: _Waiter) -> int:
        """Return how many wait before this one."""
        return self._waiters.index(waiter)

    # Idle connections: the one used last is given out first, so that the others grow old.

    def _reuse(self) -> Any | None:
        oldest = asyncio.get_running_loop().time() - IDLE_SECONDS
        while self._idle:
            connection = self._idle.pop()
            if connection.is_closed():
                continue
            if connection.released_at >= oldest:
                return connection
            connection.terminate()
        return None

    def _keep(self, connection: Any) -> None:
        loop = asyncio.get_running_loop()
        connection.released_at = loop.time()
        self._idle.append(connection)
        if self._timer is None:
            self._timer = loop.call_later(IDLE_SECONDS, self._expire)

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        oldest = loop.time() - IDLE_SECONDS
        kept: list[Any] = []
        for connection in self._idle:
            if connection.is_closed():
                continue
            if connection.released_at <= oldest:
                connection.terminate()
            else:
                kept.append(connection)
        self._idle = kept
        if kept:
            self._timer = loop.call_at(kept[0].released_at + IDLE_SECONDS, self._expire)


class _Waiter(asyncio.Future[None]):
    """Somebody in the queue for a connection."""

    def __init__(self, pool: Pool, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._pool = pool

    @property
    def has_a_place(self) -> bool:
        """Whether a connection is this one's to take."""
        return self.done() and not self.cancelled() and self.exception() is None

    def __repr__(self) -> str:
        """Show for what somebody waits, and behind whom."""
        if self.done():
            return "<answered wait for a connection>"
        return f"<wait for a connection behind {self._pool.place_of(self)} others; {self._pool!r}>"


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _cut_what_came(making: asyncio.Task[Any]) -> None:
    """Cut a connection that came in the very moment in which its maker was cancelled."""
    if making.done() and not making.cancelled() and making.exception() is None:
        making.result().terminate()


async def _close(connection: Any) -> None:
    """Cancel what is under way, and say goodbye; a server that does not answer is left."""
    try:
        await connection.close(timeout=CANCEL_SECONDS)
    except (*DRIVER_ERRORS, AssertionError):
        connection.terminate()
