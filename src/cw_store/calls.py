"""The executor of a call on the store: each call is a transaction of its own."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from cw_store.backends.port import Backend
from cw_store.errors import StoreClosedError
from cw_store.owner import Owner, running_loop
from cw_store.self_deadlock import WritingTasks
from cw_store.statements.database import Executor, Prepared, Query, Row

R = TypeVar("R")

A_WRITE = "a call on the store that writes"


class StoreCalls:
    """The executor of the store's own repositories, on the backend that is open."""

    __slots__ = ("_backend", "_compiled", "_loop", "_writing_tasks", "owner")

    def __init__(self, writing_tasks: WritingTasks) -> None:
        self._writing_tasks = writing_tasks
        self.owner: Owner | None = None
        """Who opened the store, or tried to."""
        self._loop: AbstractEventLoop | None = None  # while a backend is open
        self._backend: Backend
        self._compiled: dict[Query[Any], Prepared[Any]]

    def open(self, backend: Backend, loop: AbstractEventLoop) -> None:
        """Use this backend from now on."""
        self._backend = backend
        self._compiled = backend.compiled
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
        if self.owner is None:
            raise StoreClosedError(
                "the store is not open; open it with async with, or await Store.open(...)"
            )
        if self._loop is None:
            raise StoreClosedError("the store is closed")
        self.owner.check("the store")
        return self._backend

    @property
    def connections_in_use(self) -> int:
        """How many connections are held by units of work or calls at this moment."""
        return 0 if self._loop is None else self._backend.connections_in_use

    def prepare(self, query: Query[R]) -> Prepared[R]:
        """Every call begins here, so this is where the store's owner is checked."""
        if running_loop() is self._loop is not None:
            prepared = self._compiled.get(query)
            if prepared is not None:
                return prepared
        return self.backend.prepare(query)

    def rows(self, prepared: Prepared[Any], parameters: Row) -> Awaitable[Sequence[Row]]:
        """Run one statement by itself and return its rows."""
        if self._writing_tasks and prepared.query.writes and self._writing_tasks.includes_this_one:
            return self._writing_tasks.refuse(A_WRITE)
        return self._backend.rows(prepared, parameters)

    def count(self, prepared: Prepared[Any], parameters: Row) -> Awaitable[int]:
        """Run one statement by itself and return how many rows it changed."""
        if self._writing_tasks and prepared.query.writes and self._writing_tasks.includes_this_one:
            return self._writing_tasks.refuse(A_WRITE)
        return self._backend.count(prepared, parameters)

    def many(self, prepared: Prepared[Any], batch: Sequence[Row]) -> Awaitable[None]:
        """Run one statement for each entry, in a transaction of its own."""
        if self._writing_tasks.includes_this_one:
            return self._writing_tasks.refuse(A_WRITE)
        return self._backend.many(prepared, batch)

    takes_turns = False

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
