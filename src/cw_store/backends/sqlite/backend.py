"""SQLite: one writing connection whose turns are handed out in order, and a few that read."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Dialect

from cw_store.backends.session import Sessions
from cw_store.backends.sqlite.checkpoints import Maintenance
from cw_store.backends.sqlite.commit_watch import CommitWatch, watching
from cw_store.backends.sqlite.connection import Connection
from cw_store.backends.sqlite.erasure import erase_deleted, give_back_free_pages
from cw_store.backends.sqlite.group_commit import Calls
from cw_store.backends.sqlite.opening import open_connection
from cw_store.backends.sqlite.raw_connection import connect_with_retry
from cw_store.backends.sqlite.readers import ReaderPool
from cw_store.backends.sqlite.transactions import ReadTransaction, WriteTransaction
from cw_store.backends.sqlite.write_queue import WriteQueue
from cw_store.backends.sqlite.writer import Writer
from cw_store.backends.thread.worker import LoopCallbacks
from cw_store.backends.watching import never_raising
from cw_store.statements.capabilities import Capabilities
from cw_store.statements.compiled import Statements
from cw_store.statements.database import Executor
from cw_store.stats import DatabaseStats
from cw_store.types import ValueRules, use_rules

CAPABILITIES = Capabilities(
    has_concurrent_writers=False, has_advisory_locks=False, has_insert_or_ignore=True
)


class SqliteBackend:
    """One SQLite file, open in one process on one event loop.

    `is_private` says that nobody else has the file, or ever will while it is open.
    """

    def __init__(
        self,
        path: Path,
        *,
        synchronous: str,
        readers: int,
        busy_timeout: float,
        rules: ValueRules,
        pin_threads: bool = True,
        is_private: bool = False,
    ) -> None:
        # SQLite follows a link too, and keeps its log beside the file itself.
        self.path = path = path.resolve()
        loop = asyncio.get_running_loop()
        self.timeout = busy_timeout
        self.sessions = Sessions("sqlite+aiosqlite")
        self.dialect: Dialect = self.sessions.dialect
        use_rules(self.dialect, rules)
        self.capabilities = CAPABILITIES
        self.statements = Statements(self.dialect)
        callbacks = LoopCallbacks(loop)
        self._closing = threading.Event()
        self._open = partial(
            open_connection,
            path,
            loop_callbacks=callbacks,
            synchronous=synchronous,
            timeout=busy_timeout,
            pin_threads=pin_threads,
            closing=self._closing,
        )
        queue = WriteQueue(loop, busy_timeout)
        self.readers = ReaderPool(
            partial(self._open, read_only=True), callbacks, readers, busy_timeout
        )
        open_writing = partial(self._open, read_only=False)
        self.writer = Writer(path, queue, callbacks, open_writing)
        self.run = Calls(self.writer, self.readers).run
        self.maintenance = Maintenance(self.writer, open_writing)
        self.reading = partial(ReadTransaction, self)
        self.writing = partial(WriteTransaction, self)
        self._eraser: Connection | None = None
        self._is_private = is_private
        connect_to_watch = partial(
            connect_with_retry,
            path,
            read_only=True,
            synchronous=synchronous,
            timeout=busy_timeout,
        )
        self._watch = CommitWatch(
            watching(path, connect_to_watch, callbacks, pin_threads=pin_threads),
            queue.watch,
            path.name,
        )

    async def open(self) -> None:
        """Open the writing connection."""
        await self.writer.open()
        await self.maintenance.start()
        self.readers.watch = self.writer.queue.watch

    async def close(self) -> None:
        """Close every connection; what has not committed is rolled back.

        What runs may come to its end in a moment, and is then interrupted; a COMMIT is waited for.
        """
        self._closing.set()
        self.stop_watching()
        self.maintenance.stop()
        self.writer.stop()
        if self._eraser is not None:
            self._eraser.give_up_soon()
        async with AsyncExitStack() as closing:  # the last first
            closing.push_async_callback(self.writer.close)
            closing.push_async_callback(self.maintenance.close)
            closing.push_async_callback(self._watch.close)
            await self.readers.close()

    def terminate(self) -> None:
        """Let go of everything without an event loop, because the store's own is gone."""
        self._watch.terminate()
        self.readers.terminate()
        self.maintenance.terminate()
        self.writer.terminate()

    def start_watching(self, told: Callable[[], None]) -> None:
        """Call `told` whenever something may have been committed, by whomever."""
        tell = never_raising(told)
        self.writer.on_commit = tell
        if self._is_private:
            self.writer.loop.call_soon(tell)
        else:
            self._watch.start(tell)

    def stop_watching(self) -> None:
        """Call nobody any more."""
        self.writer.on_commit = None
        self._watch.stop()

    async def erase_deleted(self) -> None:
        """Leave nothing in the file and its log of what was deleted or changed."""
        await self._on_own_connection(erase_deleted)

    async def give_back_room(self) -> None:
        """Write the file anew if a large part of it is free."""
        await self._on_own_connection(give_back_free_pages)

    async def _on_own_connection(
        self, work: Callable[[Writer, Connection], Coroutine[Any, Any, None]]
    ) -> None:
        self._eraser = await self._open(read_only=False)
        try:
            await work(self.writer, self._eraser)
        finally:
            self._eraser = None

    @property
    def connections_in_use(self) -> int:
        """How many connections somebody holds or is using."""
        is_written = not self.writer.queue.is_free and not self.maintenance.has_the_turn
        return self.readers.in_use + is_written

    def stats(self) -> DatabaseStats:
        """Return what was counted since this was opened."""
        writer, queue, maintenance = self.writer, self.writer.queue, self.maintenance
        return DatabaseStats(
            turns=queue.turns,
            waits=queue.waits,
            waited=queue.waited,
            held=queue.held,
            commits=writer.commits,
            groups=writer.groups,
            grouped_calls=writer.grouped_calls,
            largest_group=writer.largest_group,
            busy_retries=writer.busy_retries,
            checkpoints=maintenance.checkpoints,
            maintenance_held=maintenance.seconds_held,
            log_bytes=maintenance.log_bytes,
            connections=self.readers.open,
            connections_in_use=self.readers.in_use,
            connections_limit=self.readers.limit,
        )

    # One call, one transaction: the executor of the store's own repositories, whose `run` is that
    # of `Calls`.

    async def lock(self, name: str) -> None:
        """Do nothing: a call by itself holds no turn."""

    def atomic(self) -> AbstractAsyncContextManager[Executor]:
        """Give a transaction of its own."""
        return self._atomic()

    @asynccontextmanager
    async def _atomic(self) -> AsyncGenerator[Executor]:
        transaction = self.writing(None)
        try:
            yield transaction
        except BaseException:
            await transaction.rollback()
            raise
        await transaction.commit()
