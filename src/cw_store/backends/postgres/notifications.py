"""Tells when another store, process or program may have committed to a PostgreSQL database.

The server tells whoever has said LISTEN, on that connection. So there is one beside the pool, whose
connections come and go, for as long as somebody wants to be told. A notification that is missed is
not sent again, and a connection that is lost may look like one on which nothing happens. So every
`LOOK_SECONDS` the server is asked on it whether anything was committed since, which finds both. On
a standby, which refuses LISTEN, and where it is not to be used, asking is all there is, and done
more often.

Guarantees
    From the first call of `told` on none is missing: it is called after each notification; after
    each look that finds that something was committed since the one before; after each connecting;
    and every `LOOK_SECONDS` while there is no connection. One call may stand for many commits or
    for none.
    What fails is logged, once until it works again, tried again after a pause that grows from 0.1
    to 10 seconds, and reaches nobody.
    After `stop` nothing is called, and connection, tasks and timers are gone in a moment; `close`
    waits for that.

Runs on
    The event loop, all of it; only `terminate` is called when that is gone. There is a task while
    the server is connected to, asked, or said goodbye to, and else timers alone.

Order
    LISTEN first, then `told`, whose receiver looks at the data after that: a commit that comes
    between is told by the server. The other way round it would be missed.
    Each look remembers what the server said before `told` is called, for the same reason.
    A timer is set before `told` is called, as that may stop all of it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, NamedTuple

from cw_store.backends.postgres.errors import DRIVER_ERRORS, cannot_listen
from cw_store.backends.watching import Pace
from cw_store.triggers.feed import CHANNEL

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""Between two looks while the server tells by itself, and two calls while nobody is connected."""

SHORTEST_PAUSE = 0.05
LONGEST_PAUSE = 0.5
"""Seconds between two looks where they are all there is: after a commit, and when it is quiet."""

CONNECT_SECONDS = 10.0
"""How long the server may take to let a connection in, and to hear that it listens."""

ANSWER_SECONDS = 2.0
"""How long it may take to answer a look, before it loses the connection."""

GOODBYE_SECONDS = 0.1
"""How long a connection may take to be closed in order."""

FIRST_RETRY_SECONDS = 0.1
LAST_RETRY_SECONDS = 10.0
"""The pauses before connecting again, of which chance leaves a half to the whole."""

STATE = """
SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()::text
    ELSE pg_current_snapshot()::text END
"""
# A commit always moves it: a transaction that was running or to come is past from then on, and so
# neither in the snapshot's list nor behind its end. A standby's snapshot lists none that run on the
# primary, but a commit that reaches it has been replayed.


class Connected(NamedTuple):
    """A connection, whether it listens, and what the server said of its state."""

    connection: Any
    listens: bool
    state: object


class Notifications:
    """Has a server tell of commits, or asks it, for one who is told, while there is one.

    `connect` takes the seconds that it may take. With `listens` the server is to tell, if it can.
    """

    def __init__(
        self, connect: Callable[[float], Coroutine[Any, Any, Any]], *, listens: bool
    ) -> None:
        self._connect = connect
        self._listens = listens
        self._loop: asyncio.AbstractEventLoop
        self._told: Callable[[], None] | None = None
        self._connecting: asyncio.Task[Connected] | None = None
        self._looking: asyncio.Task[object] | None = None
        self._connection: Any = None
        self._is_listening = False
        self._has_refused = False
        self._state: object = None
        self._pace = Pace(SHORTEST_PAUSE, LONGEST_PAUSE)
        self._timer: asyncio.TimerHandle | None = None  # the next look
        self._retry: asyncio.TimerHandle | None = None
        self._failures = 0
        self._leaving: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        """Say what it is waiting for."""
        if self._told is None:
            state = "nobody is told"
        elif self._connection is not None:
            state = "listening" if self._is_listening else "asking again and again"
        elif self._connecting is not None:
            state = "connecting"
        else:
            state = f"not connected, {self._failures} attempts failed"
        return f"<Notifications: {state}>"

    def start(self, told: Callable[[], None]) -> None:
        """Call `told`, which must not raise, from now on."""
        self.stop()
        self._loop = asyncio.get_running_loop()
        self._told = told
        self._look_in(LOOK_SECONDS)
        self._begin_to_connect()

    def stop(self) -> None:
        """Call it no more."""
        connecting = self._connecting
        self._tell_no_more()
        if connecting is not None:
            connecting.cancel()
        connection = self._forget()
        if connection is not None and not connection.is_closed():
            self._keep(
                self._loop.create_task(
                    _close(connection), name="cw_store closes a connection", context=Context()
                )
            )

    async def close(self) -> None:
        """Stop, and wait until all is closed."""
        self.stop()
        if self._leaving:
            await asyncio.wait(self._leaving)

    def terminate(self) -> None:
        """Cut the connection without an event loop."""
        self._tell_no_more()
        connection = self._forget()
        if connection is not None:
            connection.cut_without_loop()

    def _tell_no_more(self) -> None:
        self._told = None
        self._failures = 0
        for timer in (self._timer, self._retry):
            if timer is not None:
                timer.cancel()
        self._timer = self._retry = None
        self._connecting = None  # what comes of it is not wanted

    # The connection.

    def _begin_to_connect(self) -> None:
        self._retry = None
        self._connecting = connecting = self._loop.create_task(
            self._connect_and_listen(),
            name="cw_store connects to hear of commits",
            context=Context(),
        )
        self._keep(connecting)
        connecting.add_done_callback(self._connected, context=Context())

    async def _connect_and_listen(self) -> Connected:
        connection = await self._connect(CONNECT_SECONDS)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                listens = self._listens and await self._listen(connection)
                return Connected(connection, listens, await connection.fetchval(STATE))
        except BaseException:
            connection.terminate()
            raise

    async def _listen(self, connection: Any) -> bool:
        """Have the server tell, and return whether it can."""
        try:
            await connection.add_listener(CHANNEL, self._notified)
        except DRIVER_ERRORS as error:
            if not cannot_listen(error):
                raise
            logger.log(
                logging.DEBUG if self._has_refused else logging.INFO,
                "the server tells nobody of commits, and is asked for them: %s",
                error,
                extra={"event": "notify_refused"},
            )
            self._has_refused = True
            return False
        return True

    def _connected(self, connecting: asyncio.Task[Connected]) -> None:
        error = _error_of(connecting)
        if connecting is not self._connecting:
            if error is None:
                connecting.result().connection.terminate()
            return
        self._connecting = None
        if error is not None:
            self._fail(error)
            return
        self._connection, self._is_listening, self._state = connecting.result()
        if self._connection.is_closed():
            self._lose("it was closed at once")
            return
        self._connection.add_termination_listener(self._ended)
        if self._failures:
            logger.info("commits of others are told again", extra={"event": "notify_recovered"})
        self._failures = 0
        self._look_in(self._pause(is_changed=True))
        self._tell()

    def _ended(self, connection: Any) -> None:
        # A look that is under way fails now, and says why.
        if connection is self._connection and self._looking is None:
            self._lose("the connection has ended")

    def _lose(self, reason: object) -> None:
        connection = self._forget()
        if connection is not None:
            connection.terminate()
        self._look_in(LOOK_SECONDS)
        self._fail(reason)

    def _forget(self) -> Any:
        connection, self._connection = self._connection, None
        self._looking = None
        return connection

    def _fail(self, reason: object) -> None:
        """Connect again after a pause."""
        pause = min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(self._failures, 10))
        pause *= random.uniform(0.5, 1)  # noqa: S311 -- retries are spread, no secret is made
        logger.log(
            logging.DEBUG if self._failures else logging.WARNING,
            "commits of others are looked for every %g s until the server can tell of them: %s",
            LOOK_SECONDS,
            reason,
            extra={"event": "notify_failed"},
        )
        self._failures += 1
        self._retry = self._loop.call_later(pause, self._begin_to_connect, context=Context())

    # What the server says.

    def _notified(self, *_what: object) -> None:
        self._tell()

    def _look_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._look, context=Context())

    def _look(self) -> None:
        if self._connection is None:
            self._look_in(LOOK_SECONDS)
            self._tell()
            return
        self._looking = looking = self._loop.create_task(
            self._ask(self._connection), name="cw_store looks for commits", context=Context()
        )
        self._keep(looking)
        looking.add_done_callback(self._looked, context=Context())

    async def _ask(self, connection: Any) -> object:
        """Ask for the state, with a limit that cuts the connection: the driver's would ask more."""
        limit = self._loop.call_later(ANSWER_SECONDS, connection.terminate)
        try:
            return await connection.fetchval(STATE)
        finally:
            limit.cancel()

    def _looked(self, looking: asyncio.Task[object]) -> None:
        error = _error_of(looking)
        if looking is not self._looking:
            return
        self._looking = None
        if error is not None or self._connection.is_closed():
            self._lose(error or "the connection has ended")
            self._tell()
            return
        state = looking.result()
        is_changed, self._state = state != self._state, state
        self._look_in(self._pause(is_changed=is_changed))
        if is_changed:
            self._tell()

    def _pause(self, *, is_changed: bool) -> float:
        return LOOK_SECONDS if self._is_listening else self._pace.next(is_changed=is_changed)

    def _tell(self) -> None:
        if self._told is not None:
            self._told()

    def _keep(self, task: asyncio.Task[Any]) -> None:
        """Have `close` wait for a task."""
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard, context=Context())


def _error_of(task: asyncio.Task[Any]) -> BaseException | None:
    return asyncio.CancelledError() if task.cancelled() else task.exception()


async def _close(connection: Any) -> None:
    """Say goodbye; a server that does not answer is left."""
    try:
        await connection.close(timeout=GOODBYE_SECONDS)
    except (*DRIVER_ERRORS, AssertionError):
        connection.terminate()
