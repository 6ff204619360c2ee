"""Tells when another store, process or program may have committed to a SQLite file.

SQLite tells nobody. But `PRAGMA data_version` on a connection of its own, which is in no
transaction, gives another number once any other connection has committed ("PRAGMA Statements",
on data_version), and does so without reading the database. So it is asked for again and again:
soon after a change, since one seldom comes alone, and more slowly while it is quiet.

Guarantees
    From the first call of `told` on none is missing: it is called after each commit that another
    connection makes, within `LONGEST_PAUSE` and the way to the thread and back. One call may stand
    for many commits, and the store's own are told as well. Where nobody can know whether there was
    a commit, since the file cannot be asked, it is called every `RETRY_SECONDS`.
    What fails is logged, once until it works again, tried again, and reaches nobody.
    After `stop` nothing is called, and thread, connection and timer are gone in a moment; `close`
    waits for that.

Runs on
    The event loop, by timers, and no task that somebody could cancel but for the opening, which is
    tried again then. `version_of` runs in the connection's thread.

Order
    The number is read before `told` is called, and whoever is told looks at the data after that. A
    commit that comes between makes another number, and is told at the next look. The other way
    round it would be missed.
    The next look is set before `told` is called, as that may stop all of it.

Measured, on two cores that others keep busy: a store at rest takes 0.003 % of a core, and 0.7 while
it is watched, for 25 looks a second of 0.28 ms, nearly all of it two threads that are woken from
sleep. From the commit of another process to `told` it takes 21 ms in the median, and 45 in the 99th
percentile.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from cw_store.backends.sqlite.connection import Connection, Job
from cw_store.backends.sqlite.file_watch import FileWatch
from cw_store.backends.sqlite.opening import open_with
from cw_store.backends.sqlite.unlocked import UnlockedConnection
from cw_store.backends.thread.worker import LoopCallbacks
from cw_store.backends.watching import Pace

logger = logging.getLogger(__name__)

SHORTEST_PAUSE = 0.005
"""Seconds until the next look after a change."""

LONGEST_PAUSE = 0.04
"""Seconds between two looks when there has been no change for a while."""

RETRY_SECONDS = 1.0
"""Seconds until the file is opened again when it could not be asked."""

BUSY_SECONDS = 1.0
"""Seconds for which a look waits for a program that recovers or closes the file."""

NAME = "commit watch"
"""What its connection is called."""

Open: TypeAlias = Callable[[threading.Event], Coroutine[Any, Any, Connection]]
"""Opens a connection for reading, unless the event is set meanwhile."""


class CommitWatch:
    """Asks a file whether somebody has committed, for one who is told, while there is one."""

    def __init__(self, open_connection: Open, file: FileWatch, name: str) -> None:
        self._open_connection = open_connection
        self._file = file
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._told: Callable[[], None] | None = None
        self._pace = Pace(SHORTEST_PAUSE, LONGEST_PAUSE)
        self._timer: asyncio.TimerHandle | None = None
        self._given_up = threading.Event()
        self._openings: set[asyncio.Task[Connection]] = set()
        self._opening: asyncio.Task[Connection] | None = None  # the one that is wanted
        self._connection: Connection | None = None
        self._look: Job[int | None] | None = None
        self._version: int | None = None
        self._leaving: list[Job[None]] = []
        self._has_failed = False

    def __repr__(self) -> str:
        """Say for what file, and what it is doing."""
        if self._told is None:
            state = "nobody is told"
        elif self._connection is None:
            state = "opening" if self._opening is not None else "tries again soon"
        else:
            state = f"at version {self._version}"
        return f"<CommitWatch of {self._name}: {state}>"

    def start(self, told: Callable[[], None]) -> None:
        """Call `told`, which must not raise, from now on."""
        self.stop()
        self._told = told
        self._given_up = threading.Event()
        self._open()

    def stop(self) -> None:
        """Call it no more."""
        self._has_failed = False
        self._tell_no_more()
        self._let_go()

    async def close(self) -> None:
        """Stop, and wait until all is closed."""
        self.stop()
        if self._openings:
            await asyncio.wait(self._openings)
        while self._leaving:
            await self._leaving.pop().finished()

    def terminate(self) -> None:
        """Let go without an event loop."""
        self._tell_no_more()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    def _tell_no_more(self) -> None:
        self._told = None
        self._given_up.set()
        self._opening = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # The connection.

    def _open(self) -> None:
        self._timer = None
        self._opening = opening = self._loop.create_task(
            self._open_connection(self._given_up),
            name=f"cw_store opens the {NAME} of {self._name}",
            context=Context(),
        )
        self._openings.add(opening)
        opening.add_done_callback(self._opened, context=Context())

    def _opened(self, opening: asyncio.Task[Connection]) -> None:
        self._openings.discard(opening)
        error = asyncio.CancelledError() if opening.cancelled() else opening.exception()
        is_wanted = opening is self._opening
        if is_wanted:
            self._opening = None
        if error is not None:
            if is_wanted:
                self._fail(error)
        elif is_wanted:
            self._connection = opening.result()
            self._version = None
            self._ask()
        else:
            self._leave(opening.result())

    def _leave(self, connection: Connection) -> None:
        connection.give_up_soon()
        self._leaving = [end for end in self._leaving if not end.is_done]
        self._leaving.append(connection.leave())

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._leave(connection)

    def _fail(self, error: BaseException) -> None:
        """Tell, since there may be something to see, and begin again in a while."""
        logger.log(
            logging.DEBUG if self._has_failed else logging.WARNING,
            "%s cannot be asked whether somebody has committed; this is tried every %g s: %s",
            self._name,
            RETRY_SECONDS,
            error,
            exc_info=error,
            extra={"event": "commit_watch_failed"},
        )
        self._has_failed = True
        self._let_go()
        self._timer = self._loop.call_later(RETRY_SECONDS, self._open, context=Context())
        self._tell()

    # The looks.

    def _ask(self) -> None:
        self._timer = None
        connection = self._connection
        assert connection is not None
        gone = self._file.refusal(self._loop.time())
        if gone is not None:
            self._fail(gone)
            return
        self._look = connection.run(version_of, connection, then=partial(self._asked, connection))

    def _asked(self, connection: Connection) -> None:
        if connection is not self._connection:
            return
        look, self._look = self._look, None
        assert look is not None
        if look.error is not None:
            self._fail(look.error)
        elif look.value is None:  # the file is used in another way than when it was opened
            self._let_go()
            self._open()
        else:
            self._compare(look.value)

    def _compare(self, version: int) -> None:
        is_changed, self._version = version != self._version, version
        if self._has_failed:
            self._has_failed = False
            logger.info(
                "%s can be asked again whether somebody has committed",
                self._name,
                extra={"event": "commit_watch_recovered"},
            )
        pause = self._pace.next(is_changed=is_changed)
        self._timer = self._loop.call_later(pause, self._ask, context=Context())
        if is_changed:
            self._tell()

    def _tell(self) -> None:
        if self._told is not None:
            self._told()


def watching(
    path: Path,
    connect: Callable[..., sqlite3.Connection],
    callbacks: LoopCallbacks,
    *,
    pin_threads: bool,
) -> Open:
    """Return what opens the connection of a watch, by `connect(given_up=…)` in its thread."""

    def open_connection(given_up: threading.Event) -> Coroutine[Any, Any, Connection]:
        return open_with(
            connect,
            path,
            loop_callbacks=callbacks,
            name=NAME,
            busy_timeout=BUSY_SECONDS,
            pin_threads=pin_threads,
            closing=given_up,
        )

    return open_connection


def version_of(connection: Connection) -> int | None:
    """Return what is another number once somebody else has committed; in the thread.

    None when the connection sees nothing of it, since the file was used by nobody as it was opened.
    """
    raw = connection.raw
    if isinstance(raw, UnlockedConnection):
        return 0 if raw.file.is_current() else None
    ((version,),) = connection.cursor_of_jobs.execute("PRAGMA data_version").fetchall()
    return version
