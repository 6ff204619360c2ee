"""The executor of a call on the store: each call is a transaction of its own."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from cw_store.backends.port import Backend
from cw_store.errors import StoreClosedError
from cw_store.observing import Observers
from cw_store.owner import Owner, running_loop
from cw_store.self_deadlock import WritingTasks
from cw_store.statements.compiled import CompiledStatement, Parameters
from cw_store.statements.database import Executor, Operation
from cw_store.statements.query import Query
from cw_store.unit_counts import UnitCounts

T = TypeVar("T")

A_WRITE = "a call on the store that writes"


NO_LOOP = object()
"""Stands for the event loop of a store that is not open."""


class StoreCalls:
    """The executor of the store's own repositories, on the backend that is open."""

    __slots__ = ("backend", "calls", "counts", "loop", "observers", "owner", "writing_tasks")

    backend: Backend
    """The open database; for whoever has seen that it is open and here."""

    def __init__(self, slow_unit: float | None = None) -> None:
        self.writing_tasks = WritingTasks()
        self.calls = 0
        """How many statements were run, each in a transaction of its own."""
        self.counts = UnitCounts(slow_unit)
        self.observers: Observers | None = None
        """Who is told of every call and unit of work; None where there is nobody."""
        self.owner: Owner | None = None
        """Who opened the store, or tried to."""
        self.loop: object = NO_LOOP
        """The only event loop in which the database may be used; none where it is not open."""

    def open(self, backend: Backend, loop: AbstractEventLoop) -> None:
        """Use this backend from now on."""
        self.backend = backend
        self.loop = loop

    def close(self) -> Backend | None:
        """Use none any more; return the one that was used until now."""
        if not self.is_open:
            return None
        self.loop = NO_LOOP
        return self.backend

    @property
    def is_open(self) -> bool:
        """Whether there is a backend, for whoever may use it."""
        return self.loop is not NO_LOOP

    def check_here(self) -> None:
        """Raise StoreClosedError when there is no open database to use from here.

        That is so unless the running loop is `loop`, which is quicker to ask.
        """
        if running_loop() is self.loop:
            return
        if self.owner is None:
            raise StoreClosedError(
                "the store is not open; open it with async with, or await Store.open(...)"
            )
        if not self.is_open:
            raise StoreClosedError("the store is closed")
        self.owner.check("the store")

    @property
    def no_statements(self) -> dict[Query[Any], Any]:
        """What says of every query that the store is not open, or closed."""
        return defaultdict(self.check_here)

    @property
    def connections_in_use(self) -> int:
        """How many connections are held by units of work or calls at this moment."""
        return self.backend.connections_in_use if self.is_open else 0

    def run(
        self, operation: Operation[T], statement: CompiledStatement[Any], parameters: Parameters
    ) -> Awaitable[T]:
        """Run one statement by itself; every call passes here, so the store's owner is checked."""
        if running_loop() is not self.loop:
            self.check_here()
        writing = self.writing_tasks
        if statement.writes and writing.tasks and writing.includes_this_one:
            return writing.refuse(A_WRITE)
        self.calls += 1
        return self.backend.run(operation, statement, parameters)

    def check(self, query: Query[Any]) -> None:
        """Raise StoreClosedError when the store is closed or belongs elsewhere."""
        self.check_here()

    def lock(self, name: str) -> Awaitable[None]:
        """Take turns, which a call by itself does not need to."""
        self.check_here()
        return self.backend.lock(name)

    def atomic(self) -> AbstractAsyncContextManager[Executor]:
        """Give a transaction of its own."""
        self.check_here()
        if self.writing_tasks.includes_this_one:
            return self._refused()
        self.calls += 1
        return self.backend.atomic()

    @asynccontextmanager
    async def _refused(self) -> AsyncGenerator[Executor]:
        await self.writing_tasks.refuse(A_WRITE)
        yield self
