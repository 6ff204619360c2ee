"""Who waits for what in one store, and who is woken when it may have come.

One look at the feed of changes for each commit, or for a few that come together, whoever made them
and however many wait: it says which rows were changed, and with that who is to be woken. Whoever is
woken asks its own question again, which alone decides.

**Guarantees.** A waiter that was entered before it asked its question is woken after every commit
that came after the question and is among what it waits for. It may be woken in vain. A look that
fails is logged and made again, from where the last one was; whoever waits goes on waiting. A feed
that cannot be followed (a database that was restored) wakes everybody. Closing ends every waiter
with StoreClosedError. While nobody waits nothing runs.

**Runs on.** The event loop of the store. There is one task while anybody waits, and for a moment
after, with none of the context of whoever came first.

**Order.** A waiter is entered first, then it asks, then it sleeps; what comes between entering and
sleeping is remembered. The backend's watch begins before the feed's position is looked up, and all
who were there until then are woken: what was committed in between is behind nobody's question.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import Context
from typing import Protocol

from cw_store.errors import StaleCursorError, StoreClosedError
from cw_store.repos.sql.feed import position_of, read_feed
from cw_store.repos.sql.feed_by_snapshots import NoFeedError
from cw_store.repos.sql.feed_rows import Cursor, Told
from cw_store.repos.sql.log_chunks import newest_of_logs
from cw_store.self_deadlock import WritingTasks
from cw_store.statements.database import Database
from cw_store.waiter import (
    ANYTHING,
    ASKING,
    LOG,
    Key,
    Waiter,
    addressed_to,
    of_log,
    of_row,
    of_table,
)

logger = logging.getLogger(__name__)

SHORTEST_PAUSE = 0.002
"""Seconds between the beginnings of two looks, however many commit."""

LOG_PAUSE = 0.05
"""Seconds between two looks at logs whose appending nobody tells of."""

ANYTHING_PAUSE = 0.5
"""Seconds between two looks whether anything was committed of which nobody tells."""

LINGER = 1.0
"""Seconds that are watched on when nobody waits any more, since somebody may in a moment."""

FIRST_RETRY, LAST_RETRY = 0.1, 5.0
"""Seconds until a look that failed is made again: the first time, and at most."""

CHANGES_AT_A_TIME = 10_000

NOT_LOOKED_AT = ""
"""In place of the last chunk of a log that nobody has looked at yet."""


def _keys_of(told: Told) -> Iterable[Key]:
    yield of_table(told.entity)
    yield of_row(told.entity, told.entity_id)
    if told.addressee_id is not None:
        yield addressed_to(told.entity, told.addressee_id)


class CommitWatch(Protocol):
    """What the watch needs of a backend."""

    def start_watching(self, told: Callable[[], None]) -> None:
        """Call `told` whenever something may have been committed, by whomever."""
        ...

    def stop_watching(self) -> None:
        """Call nobody any more."""
        ...


class Watch:
    """All who wait in one store.

    `tells_of_all` says that every commit is told, also one that only appends to a log, or writes to
    a table of the application's.
    """

    def __init__(self, database: Database, writing_tasks: WritingTasks) -> None:
        self._database = database
        self._writing_tasks = writing_tasks
        self._commits: CommitWatch | None = None
        self._tells_of_all = True
        self._seen = ""
        self._waiters: defaultdict[Key, set[Waiter]] = defaultdict(set)
        self._logs: dict[str, str | None] = {}
        """The logs that are followed, and the last chunk of each when it was last looked at."""
        self._told = asyncio.Event()
        self._cursor: Cursor | None = None
        self._task: asyncio.Task[None] | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._again: asyncio.TimerHandle | None = None
        self._failures = 0
        self.wakeups = 0
        """How often somebody was woken to ask again."""

    def __repr__(self) -> str:
        """Say how many wait, and whether the last look failed."""
        waiting = len({waiter for waiters in self._waiters.values() for waiter in waiters})
        failed = f", {self._failures} looks failed" if self._failures else ""
        return f"<Watch for {waiting} waiters{failed}>"

    def open(self, commits: CommitWatch, *, tells_of_all: bool) -> None:
        """Use this from now on."""
        self._commits = commits
        self._tells_of_all = tells_of_all

    def close(self) -> None:
        """End every waiter, since the store is being closed."""
        self._stop()
        self._commits = None
        for waiter in {waiter for waiters in self._waiters.values() for waiter in waiters}:
            waiter.end(StoreClosedError("the store was closed while somebody waited"))

    def waiter(self, *keys: Key) -> Waiter:
        """Return one who is to be entered, and waits for these."""
        return Waiter(self, keys)

    # Who waits.

    def enter(self, waiter: Waiter, keys: frozenset[Key]) -> None:
        """Wake this waiter for these keys from now on."""
        if self._commits is None:
            raise StoreClosedError(
                "the store is not open; open it with async with, or await Store.open(...)"
            )
        for key in keys:
            self._waiters[key].add(waiter)
            if key[0] == LOG:
                self._logs.setdefault(key[1], NOT_LOOKED_AT)
                self._told.set()  # whoever watches may be waiting without a limit
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        if self._task is None:
            self._start(self._commits)

    def leave(self, waiter: Waiter, keys: frozenset[Key]) -> None:
        """Wake it for these no more."""
        for key in keys:
            waiters = self._waiters[key]
            waiters.discard(waiter)
            if not waiters:
                del self._waiters[key]
                if key[0] == LOG:
                    del self._logs[key[1]]
        if not self._waiters and self._task is not None and self._linger is None:
            loop = asyncio.get_running_loop()
            self._linger = loop.call_later(LINGER, self._stop, context=Context())

    def _start(self, commits: CommitWatch) -> None:
        commits.start_watching(self._told.set)
        self._begin_to_look()

    def _begin_to_look(self) -> None:
        self._told.set()
        self._again = None
        self._task = asyncio.get_running_loop().create_task(
            self._look_on(), name="cw_store wakes who waits", context=Context()
        )
        self._task.add_done_callback(self._ended, context=Context())

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Begin again when somebody else has ended it, who may be ending all tasks just now."""
        if task is self._task and task.cancelled():
            loop = task.get_loop()
            self._again = loop.call_later(FIRST_RETRY, self._begin_to_look, context=Context())

    def _stop(self) -> None:
        for timer in (self._linger, self._again):
            if timer is not None:
                timer.cancel()
        self._linger = self._again = None
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._commits is not None:
            self._commits.stop_watching()
        self._cursor = None
        self._failures = 0

    async def refuse_inside_of_unit(self) -> None:
        """Raise UnitOfWorkError for a task that is inside of a unit of work that writes."""
        if self._writing_tasks.includes_this_one:
            await self._writing_tasks.refuse(
                "a wait", "wait before the unit or after it, or uow.commit() before"
            )

    # The looks.

    async def _look_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            is_told = await self._until_told()
            began = loop.time()
            pause = SHORTEST_PAUSE
            try:
                if is_told:
                    self._told.clear()
                    await self._look()
                elif ANYTHING in self._waiters:
                    await self._look_for_anything()
                await self._look_at_logs()
                self._note_success()
            except StoreClosedError:
                return
            except StaleCursorError as error:
                logger.debug("whoever waits looks again: %s", error, extra={"event": "feed_stale"})
                self._told.set()
                pause = FIRST_RETRY
            except Exception as error:
                pause = self._note_failure(error)
            await asyncio.sleep(max(0.0, began + pause - loop.time()))

    async def _until_told(self) -> bool:
        """Return whether a commit was told, or in time to look for what is not told of."""
        pause = self._pause()
        if pause is None:
            return await self._told.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                return await self._told.wait()
        return False

    def _pause(self) -> float | None:
        """Return the seconds until a look is due although nothing is told."""
        if self._tells_of_all:
            return None
        if self._logs:
            return LOG_PAUSE
        return ANYTHING_PAUSE if ANYTHING in self._waiters else None

    def _note_success(self) -> None:
        if self._failures:
            self._failures = 0
            logger.info(
                "the changes that somebody waits for can be read again",
                extra={"event": "feed_readable"},
            )

    def _note_failure(self, error: Exception) -> float:
        """Return the seconds until the look is made again."""
        pause = min(LAST_RETRY, FIRST_RETRY * 2**self._failures)
        logger.log(
            logging.DEBUG if self._failures else logging.WARNING,
            "the changes that somebody waits for cannot be read, and are looked for again: %s",
            error,
            extra={"event": "feed_unreadable"},
        )
        self._failures = min(self._failures + 1, 10)
        self._told.set()
        return pause

    async def _look(self) -> None:
        try:
            if self._cursor is None:
                self._cursor = await position_of(self._database)
                self._wake_all()
                return
            is_all = False
            while not is_all:
                part = await read_feed(self._database, self._cursor, CHANGES_AT_A_TIME)
                self._cursor, is_all = part.cursor, part.is_all
                self._wake(part.told)
        except StaleCursorError:
            self._cursor = None
            raise
        except NoFeedError:
            self._wake_all()

    async def _look_for_anything(self) -> None:
        """Wake who waits for anything when something was committed since the last look."""
        try:
            seen = (await position_of(self._database)).seen
        except NoFeedError:  # of a standby, which is asked, every commit is told
            return
        if seen != self._seen:
            self._seen = seen
            self._wake(())

    async def _look_at_logs(self) -> None:
        """Wake who follows a log whose last chunk is another than at the last look."""
        if not self._logs:
            return
        newest = await newest_of_logs(self._database, list(self._logs))
        for agent_id, last in self._logs.items():
            if last != newest.get(agent_id):
                self._logs[agent_id] = newest.get(agent_id)
                self._wake_each(self._waiters.get(of_log(agent_id), ()))

    def _wake(self, told: Iterable[Told]) -> None:
        """Wake who waits for something of this now, whatever it waited for when the look began."""
        tables, keys = {ANYTHING}, {ANYTHING}
        for one in told:
            tables.add(of_table(one.entity))
            keys.update(_keys_of(one))
        for waiter in self._waiters.get(ASKING, ()):
            waiter.remember(tables)
        self._wake_each({waiter for key in keys for waiter in self._waiters.get(key, ())})

    def _wake_all(self) -> None:
        self._wake_each({waiter for waiters in self._waiters.values() for waiter in waiters})

    def _wake_each(self, waiters: Iterable[Waiter]) -> None:
        for waiter in waiters:
            waiter.wake()
            self.wakeups += 1
