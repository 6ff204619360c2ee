"""The executor of a call on the store: each call is a transaction of its own."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from cw_store.backends.port import Backend
from cw_store.errors import StoreClosedError
from cw_store.owner import Owner, running_loop
from cw_store.self_deadlock import WritingTasks
from cw_store.statements.compiled import CompiledStatement, Parameters
from cw_store.statements.database import Executor, Operation
from cw_store.statements.query import Query

T = TypeVar("T")

A_WRITE = "a call on the store that writes"


class StoreCalls:
    """The executor of the store's own repositories, on the backend that is open."""

    __slots__ = ("_backend", "_loop", "_writing_tasks", "owner")

    def __init__(self, writing_tasks: WritingTasks) -> None:
        self._writing_tasks = writing_tasks
        self.owner: Owner | None = None
        """Who opened the store, or tried to."""
        self._loop: AbstractEventLoop | None = None  # while a backend is open
        self._backend: Backend

    def open(self, backend: Backend, loop: AbstractEventLoop) -> None:
        """Use this backend from now on."""
        self._backend = backend
        self._loop = loop

    def close(self) -> Backend | None:
        """Use none any more; return the one that was used until now."""
        if self._loop is None:
            return None
        self._loop = None
        return self._backend

    @property
    def is_open(self) -> bool:
        """Whether there is a backend, for whoever may use it."""
        return self._loop is not None

    @property
    def backend(self) -> Backend:
        """The open database; raises StoreClosedError when there is none to use from here."""
        if running_loop() is self._loop is not None:
            return self._backend
        if self.owner is None:
            raise StoreClosedError(
                "the store is not open; open it with async with, or await Store.open(...)"
            )
        if self._loop is None:
            raise StoreClosedError("the store is closed")
        self.owner.check("the store")
        return self._backend

    @property
    def no_statements(self) -> dict[Query[Any], Any]:
        """What says of every query that the store is not open, or closed."""
        return defaultdict(lambda: self.backend)

    @property
    def connections_in_use(self) -> int:
        """How many connections are held by units of work or calls at this moment."""
        return 0 if self._loop is None else self._backend.connections_in_use

    def run(
        self, operation: Operation[T], statement: CompiledStatement[Any], parameters: Parameters
    ) -> Awaitable[T]:
        """Run one statement by itself; every call passes here, so the store's owner is checked."""
        if running_loop() is not self._loop:
            self.check(statement.query)
        writing = self._writing_tasks
        if statement.writes and writing.tasks and writing.includes_this_one:
            return writing.refuse(A_WRITE)
        return self._backend.run(operation, statement, parameters)

    def check(self, query: Query[Any]) -> None:
        """Raise StoreClosedError when the store is closed or belongs elsewhere."""
        _backend = self.backend

    def lock(self, name: str) -> Awaitable[None]:
        """Take turns, which a call by itself does not need to."""
        return self.backend.lock(name)

    def atomic(self) -> AbstractAsyncContextManager[Executor]:
        """Give a transaction of its own."""
        if self._writing_tasks.includes_this_one:
            return self._refused()
        return self.backend.atomic()

    @asynccontextmanager
    async def _refused(self) -> AsyncGenerator[Executor]:
        await self._writing_tasks.refuse(A_WRITE)
        yield self
