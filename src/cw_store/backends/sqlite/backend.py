"""SQLite: one writing connection whose turns are handed out in order, and a few that read."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Dialect

from cw_store.backends.session import Sessions
from cw_store.backends.sqlite.checkpoints import Maintenance
from cw_store.backends.sqlite.connection import Connection, open_connection
from cw_store.backends.sqlite.erasure import erase_deleted
from cw_store.backends.sqlite.group_commit import Call
from cw_store.backends.sqlite.lock_wait import note_closed, note_opened
from cw_store.backends.sqlite.process_queue import ProcessQueue
from cw_store.backends.sqlite.readers import ReaderPool
from cw_store.backends.sqlite.statements import OPERATIONS
from cw_store.backends.sqlite.transactions import ReadTransaction, WriteTransaction
from cw_store.backends.sqlite.write_queue import Turn, WriteQueue
from cw_store.backends.thread.worker import LoopCallbacks
from cw_store.errors import StoreError
from cw_store.statements.capabilities import Capabilities
from cw_store.statements.compiled import CompiledStatement, Parameters, Statements
from cw_store.statements.database import MANY, Executor, Operation
from cw_store.statements.query import Query
from cw_store.types import ValueRules, use_rules

T = TypeVar("T")

logger = logging.getLogger(__name__)

CAPABILITIES = Capabilities(
    has_concurrent_writers=False, has_advisory_locks=False, has_insert_or_ignore=True
)


def _as_before_the_opening() -> bool:
    return True


def _identity(path: Path) -> tuple[int, int]:
    try:
        there = os.stat(path)
    except OSError as error:
        raise StoreError(f"{path.name} is gone: {error.strerror}") from error
    return there.st_dev, there.st_ino


class SqliteBackend:
    """One SQLite file, open in one process on one event loop."""

    def __init__(
        self,
        path: Path,
        *,
        synchronous: str,
        readers: int,
        busy_timeout: float,
        rules: ValueRules,
        pin_threads: bool = True,
    ) -> None:
        # SQLite follows a link too, and keeps its log beside the file itself.
        self.path = path = path.resolve()
        self.loop = asyncio.get_running_loop()
        self.timeout = busy_timeout
        self.sessions = Sessions("sqlite+aiosqlite")
        self.dialect: Dialect = self.sessions.dialect
        use_rules(self.dialect, rules)
        self.capabilities = CAPABILITIES
        self.statements = Statements(self.dialect)
        self.loop_callbacks = LoopCallbacks(self.loop)
        self._closing = threading.Event()
        self._open = partial(
            open_connection,
            path,
            loop_callbacks=self.loop_callbacks,
            synchronous=synchronous,
            timeout=busy_timeout,
            pin_threads=pin_threads,
            closing=self._closing,
        )
        self.write_queue = WriteQueue(self.loop, busy_timeout)
        self.readers = ReaderPool(
            partial(self._open, read_only=True), self.loop_callbacks, readers, busy_timeout
        )
        self.maintenance = Maintenance(
            path, self.write_queue, partial(self._open, read_only=False), busy_timeout
        )
        self.process_queue: ProcessQueue | None = None
        self.nobody_waits: Callable[[], bool] = _as_before_the_opening
        """Whether no other process waits for its turn to write; from any thread."""
        self.file: tuple[int, int]
        """What the operating system knows the file by, whatever path leads there."""
        self.writer: Connection
        """The one connection that writes."""
        self._writer: Connection | None = None
        self._eraser: Connection | None = None

    async def open(self) -> None:
        """Open the writing connection."""
        self.writer = self._writer = await self._open(read_only=False)
        await self.maintenance.start(self.writer)
        self.process_queue = ProcessQueue(self.path.with_name(self.path.name + "-turns"), self.path)
        self.nobody_waits = self.process_queue.nobody_waits
        self.file = _identity(self.path)
        note_opened(self)
        self.write_queue.watch.begin(self.path, self.loop.time())
        self.readers.watch = self.write_queue.watch

    @property
    def is_in_transaction(self) -> bool:
        """Whether the writing connection has begun one; from any thread."""
        try:
            return self.writer.raw.in_transaction
        except sqlite3.Error:
            return False  # it was closed

    async def close(self) -> None:
        """Close every connection; what has not committed is rolled back.

        What runs may come to its end in a moment, and is then interrupted; a COMMIT is waited for.
        """
        note_closed(self)
        self._closing.set()
        self.maintenance.stop()
        self.write_queue.close()
        if self._writer is not None:
            self._writer.give_up_soon()
        if self._eraser is not None:
            self._eraser.give_up_soon()
        async with AsyncExitStack() as closing:  # the last first
            closing.callback(self._leave_process_queue)
            if self._writer is not None:
                closing.push_async_callback(self._writer.closed)
            closing.push_async_callback(self.maintenance.close)
            await self.readers.close()

    def _leave_process_queue(self) -> None:
        if self.process_queue is not None:
            self.process_queue.close()
            self.process_queue = None

    def terminate(self) -> None:
        """Let go of everything without an event loop, because the store's own is gone."""
        note_closed(self)
        self.readers.terminate()
        self.maintenance.terminate()
        if self._writer is not None:
            if self.process_queue is not None:
                # In the thread, which may be looking into the file right now.
                self._writer.run(self.process_queue.close)
            self._writer.terminate()

    def transaction(
        self, *, read_only: bool, label: str | None, block: object = None
    ) -> ReadTransaction | WriteTransaction:
        """Return a transaction that has not begun."""
        if read_only:
            return ReadTransaction(self)
        return WriteTransaction(self, label, block)

    async def erase_deleted(self) -> None:
        """Leave nothing in the file and its log of what was deleted or changed."""
        self._eraser = await self._open(read_only=False)
        try:
            await erase_deleted(self, self._eraser)
        finally:
            self._eraser = None

    def pass_turn_on(self, turn: Turn) -> None:
        """Give the turn to the one who has waited longest."""
        self.write_queue.release(turn)
        try:
            self.maintenance.note_write()
        except Exception:
            logger.exception("the write-ahead log of %s is not looked at", self.path.name)

    @property
    def connections_in_use(self) -> int:
        """How many connections somebody holds or is using."""
        is_written = not self.write_queue.is_free and not self.maintenance.has_the_turn
        return self.readers.in_use + is_written

    # One call, one transaction: the executor of the store's own repositories.

    def run(
        self, operation: Operation[T], statement: CompiledStatement[Any], parameters: Parameters
    ) -> Awaitable[T]:
        """Run one statement by itself, or one for each entry, in a transaction of its own."""
        if not statement.writes:
            return self.readers.read(OPERATIONS[operation], statement, parameters)
        call = Call(self, OPERATIONS[operation], (statement, parameters), operation is MANY)
        self.write_queue.ask(call)
        return call

    def check(self, query: Query[Any]) -> None:
        """Do nothing: whatever is asked for may be run here."""

    async def lock(self, name: str) -> None:
        """Do nothing: a call by itself holds no turn."""

    def atomic(self) -> AbstractAsyncContextManager[Executor]:
        """Give a transaction of its own."""
        return self._atomic()

    @asynccontextmanager
    async def _atomic(self) -> AsyncGenerator[Executor]:
        transaction = WriteTransaction(self, None)
        try:
            yield transaction
        except BaseException:
            await transaction.rollback()
            raise
        await transaction.commit()
