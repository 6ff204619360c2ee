"""Several statements of a unit of work in a row, with none of another task's between them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from cw_store.backends.port import Transaction
from cw_store.statements.compiled import CompiledStatement, Parameters
from cw_store.statements.database import Executor, Operation
from cw_store.statements.query import Query

T = TypeVar("T")


class Host(Protocol):
    """What it needs of the unit of work, whose lock somebody holds for it."""

    @property
    def transaction(self) -> Transaction:
        """The transaction that the unit is in."""
        ...

    def check(self, query: Query[Any]) -> None:
        """Raise what stands in the way of a query."""
        ...

    def refuse_to_write(self) -> None:
        """Raise ReadOnlyError where the unit only reads."""
        ...

    async def attempt(self, work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """Run what reaches the database, for who holds the lock."""
        ...


class Uninterrupted:
    """The unit's executor for one that has the unit's lock: several statements in a row."""

    __slots__ = ("_unit",)

    def __init__(self, unit: Host) -> None:
        self._unit = unit

    async def run(
        self, operation: Operation[T], statement: CompiledStatement[Any], parameters: Parameters
    ) -> T:
        """Run a statement in the unit's transaction."""
        unit = self._unit
        unit.check(statement.query)
        return await unit.attempt(unit.transaction.run, operation, statement, parameters)

    async def lock(self, name: str) -> None:
        """Take turns under a name, until the end of the unit's transaction."""
        self._unit.refuse_to_write()
        await self._unit.attempt(self._unit.transaction.lock, name)

    @asynccontextmanager
    async def atomic(self) -> AsyncGenerator[Executor]:
        """Give this."""
        yield self
