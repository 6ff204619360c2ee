"""A SQLite file that is only read: no writing connection, no maintenance, and no file of ours.

While nobody else uses the file it is read without locks (`sqlite_file`), and as soon as somebody
does, connections are opened anew that see what is committed, as those of any reader do.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Dialect

from cw_store.backends.session import Sessions
from cw_store.backends.sqlite.backend import CAPABILITIES
from cw_store.backends.sqlite.commit_watch import CommitWatch, watching
from cw_store.backends.sqlite.connection import Connection
from cw_store.backends.sqlite.errors import shown
from cw_store.backends.sqlite.opening import open_with
from cw_store.backends.sqlite.readers import ReaderPool
from cw_store.backends.sqlite.statements import OPERATIONS
from cw_store.backends.sqlite.transactions import ReadTransaction
from cw_store.backends.sqlite.unlocked import connect_to_read_with_retry, unused
from cw_store.backends.thread.worker import LoopCallbacks
from cw_store.backends.watching import never_raising
from cw_store.errors import ReadOnlyError, StoreBusyError
from cw_store.self_deadlock import Block
from cw_store.statements.compiled import CompiledStatement, Parameters, Statements
from cw_store.statements.database import Executor, Operation
from cw_store.stats import DatabaseStats
from cw_store.types import ValueRules, use_rules

T = TypeVar("T")

ATTEMPTS = 5
"""How often a call reads anew because somebody began to write to the file meanwhile."""


class ReadOnlySqliteBackend:
    """One SQLite file, open to be read in one process on one event loop."""

    def __init__(
        self,
        path: Path,
        *,
        readers: int,
        busy_timeout: float,
        rules: ValueRules,
        pin_threads: bool,
        reason: str,
    ) -> None:
        self.path = path = path.resolve()
        self.timeout = busy_timeout
        self.sessions = Sessions("sqlite+aiosqlite")
        self.dialect: Dialect = self.sessions.dialect
        use_rules(self.dialect, rules)
        self.capabilities = CAPABILITIES
        self._refusal = f"the store on {shown(path)} is open for reading only, as {reason}"
        self.statements = Statements(self.dialect, self._refusal)
        self._callbacks = LoopCallbacks(asyncio.get_running_loop())
        self._pin_threads = pin_threads
        self._closing = threading.Event()
        self._readers = ReaderPool(self._open, self._callbacks, readers, busy_timeout)
        self._unused = unused(path)
        self._connect = partial(connect_to_read_with_retry, path, busy_timeout)
        self._watch = CommitWatch(
            watching(path, self._connect, self._callbacks, pin_threads=pin_threads),
            self._readers.watch,
            path.name,
        )

    async def _open(self) -> Connection:
        return await open_with(
            self._connect,
            self.path,
            loop_callbacks=self._callbacks,
            name="reader",
            busy_timeout=self.timeout,
            pin_threads=self._pin_threads,
            closing=self._closing,
        )

    async def open(self) -> None:
        """Open the first connection."""
        self._readers.give(await self._readers.take())
        # Its log comes and goes with those who write.
        self._readers.watch.begin(self.path, self._callbacks.loop.time(), ("",))

    async def close(self) -> None:
        """Close every connection."""
        self._closing.set()
        await self._watch.close()
        await self._readers.close()

    def terminate(self) -> None:
        """Let go of everything without an event loop, because the store's own is gone."""
        self._watch.terminate()
        self._readers.terminate()

    def start_watching(self, told: Callable[[], None]) -> None:
        """Call `told` whenever something may have been committed, which only others can do."""
        self._watch.start(never_raising(told))

    def stop_watching(self) -> None:
        """Call nobody any more."""
        self._watch.stop()

    @property
    def readers(self) -> ReaderPool:
        """The connections, which are new ones once the file is used in another way than before."""
        if self._is_used_otherwise():
            self._unused = unused(self.path)
            self._readers.renew()
        return self._readers

    def _is_used_otherwise(self) -> bool:
        """Whether the connections may have been opened while the file was used in another way.

        Somebody who used it may have gone again before they were.
        """
        if self._unused is None:
            return unused(self.path) is not None
        return not self._unused.is_current()

    async def erase_deleted(self) -> None:
        """Refuse."""
        raise ReadOnlyError(f"what was deleted cannot be written: {self._refusal}")

    async def give_back_room(self) -> None:
        """Refuse."""
        raise ReadOnlyError(f"no room can be given back: {self._refusal}")

    def reading(self) -> ReadTransaction:
        """Return a transaction that only reads and has not begun."""
        return ReadTransaction(self)

    def writing(self, label: str | None, block: Block | None) -> ReadTransaction:
        """Return what `reading` does: in any case it only reads."""
        return self.reading()

    @property
    def connections_in_use(self) -> int:
        """How many connections somebody holds or is using."""
        return self._readers.in_use

    def stats(self) -> DatabaseStats:
        """Return what was counted, which is little where nobody writes."""
        readers = self._readers
        return DatabaseStats(
            connections=readers.open,
            connections_in_use=readers.in_use,
            connections_limit=readers.limit,
        )

    # One call, one transaction: the executor of the store's own repositories.

    async def run(
        self,
        operation: Operation[T],
        statement: CompiledStatement[Any],
        parameters: Parameters,
    ) -> T:
        """Run one statement by itself, which reads, as no other is compiled here."""
        work = OPERATIONS[operation]
        for _ in range(ATTEMPTS - 1):
            try:
                return await self.readers.read(work, statement, parameters)
            except StoreBusyError:
                if not self._is_used_otherwise():
                    raise
        return await self.readers.read(work, statement, parameters)

    async def lock(self, name: str) -> None:
        """Do nothing: nobody can write here."""

    def atomic(self) -> AbstractAsyncContextManager[Executor]:
        """Give a transaction of its own."""
        return self._atomic()

    @asynccontextmanager
    async def _atomic(self) -> AsyncGenerator[Executor]:
        transaction = self.reading()
        try:
            yield transaction
        finally:
            await transaction.rollback()
