"""The one place that every statement of every repository passes.

A `Query` is written once, when its module is imported. For each database it is compiled once, into
a `CompiledStatement`. After that a call looks that up, binds values, and has the executor run it,
in one job, and give back records.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, Protocol, TypeVar

from cw_store.statements.capabilities import NO_CAPABILITIES, Capabilities
from cw_store.statements.compiled import CompiledInsert, CompiledStatement, Parameters
from cw_store.statements.procedure import Attempt, Begin, NotAtOnceError
from cw_store.statements.query import Query

R = TypeVar("R")
T = TypeVar("T")
Outcome = TypeVar("Outcome", covariant=True)


class Operation(Generic[Outcome]):
    """What an executor does with a statement, and so what comes back.

    A backend has one function for each of these.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


RECORDS = Operation[list[Any]]("RECORDS")
"""Run the statement and return records of its rows, in its order.

Raises UnreadableError for a row that cannot be read, of a statement that was done all the same.
"""

COUNT = Operation[int]("COUNT")
"""Run the statement and return how many rows it changed."""

MANY = Operation[None]("MANY")
"""Run the statement once for each entry of a list of parameters, all or nothing."""

STEPS = Operation[Any]("STEPS")
"""Run a procedure, all or nothing, and return what it returns.

The statement stands for all of its steps: it says what they write. The parameters are the
statements to look its queries up in, and what begins it.
"""


ATTEMPT = Operation[list[Any]]("ATTEMPT")
"""Run a chain that is whole as a transaction by itself; see `Database.attempt`.

Raises NotAtOnceError where nothing is done. The statement stands for all of its queries. The
parameters are the statements to look those up in, and the attempt.
"""


class Executor(Protocol):
    """What stands behind a database: a unit of work, or a store for one call at a time."""

    def run(
        self, operation: Operation[T], statement: CompiledStatement[Any], parameters: Parameters
    ) -> Awaitable[T]:
        """Run a statement in one job, and return what the operation says.

        `parameters` are those of one run, for MANY a list of such, for STEPS a procedure. Raises
        what stands in the way before anything is run: that the store is closed or belongs
        elsewhere, that the unit is spent or only reads.
        """
        ...

    def lock(self, name: str) -> Awaitable[None]:
        """Take turns with every other transaction that names `name`, until the end of this one.

        Nothing where nobody else writes anyway, or where no transaction goes on after the call.
        """
        ...

    def atomic(self) -> AbstractAsyncContextManager[Executor]:
        """Give an executor whose statements form one transaction that nobody interrupts."""
        ...


def _accept(_query: Query[Any]) -> None:
    """Check nothing: a transaction itself runs whatever is compiled for it."""


class Database:
    """Runs queries for the repositories.

    `statements` are those of the database behind it, and `capabilities` what that can do; before it
    is open, they raise what stands in the way. `check` raises what the executor would raise of a
    query before anything is run. `is_transaction` says that what one call writes is not committed
    yet when the next is made.
    """

    __slots__ = ("_check", "_executor", "capabilities", "is_transaction", "statements")

    def __init__(
        self,
        executor: Executor,
        statements: dict[Query[Any], Any],
        capabilities: Capabilities = NO_CAPABILITIES,
        *,
        check: Callable[[Query[Any]], None] = _accept,
        is_transaction: bool,
    ) -> None:
        self._executor = executor
        self._check = check
        self.statements = statements
        self.capabilities = capabilities
        self.is_transaction = is_transaction

    def use(
        self, statements: dict[Query[Any], Any], capabilities: Capabilities = NO_CAPABILITIES
    ) -> None:
        """Look queries up in these from now on, which may refuse them all."""
        self.statements = statements
        self.capabilities = capabilities

    async def all(self, query: Query[R], **values: Any) -> list[R]:
        """Return every row as a record, in the statement's order."""
        statement: CompiledStatement[R] = self.statements[query]
        return await self._executor.run(RECORDS, statement, statement.bind(values))

    async def first(self, query: Query[R], **values: Any) -> R | None:
        """Return the first row as a record, or None when there is none."""
        statement: CompiledStatement[R] = self.statements[query]
        found = await self._executor.run(RECORDS, statement, statement.bind(values))
        return found[0] if found else None

    async def count(self, query: Query[Any], **values: Any) -> int:
        """Return how many rows the statement changed."""
        statement: CompiledStatement[Any] = self.statements[query]
        return await self._executor.run(COUNT, statement, statement.bind(values))

    async def many(self, query: Query[Any], batch: Iterable[Mapping[str, Any]]) -> None:
        """Run the statement once for each entry, all or nothing, in one job."""
        statement: CompiledStatement[Any] = self.statements[query]
        bound = statement.bind_all(batch)
        if bound:
            await self._executor.run(MANY, statement, bound)
        else:
            self._check(query)

    async def insert(self, query: Query[R], row: Mapping[str, Any]) -> R | None:
        """Insert one row; return it as it is stored, or None if a condition kept it out.

        The statement's parameters are all columns of the row. Asking the database for what it
        was just given costs more than making the record from that.
        """
        statement: CompiledInsert[R] = self.statements[query]
        whole = statement.row(row)
        parameters = statement.arrange(whole)
        if await self._executor.run(COUNT, statement, parameters) == 0:
            return None
        return statement.records((statement.with_times(whole, parameters),))[0]

    async def insert_all(self, query: Query[R], batch: Iterable[Mapping[str, Any]]) -> list[R]:
        """Insert rows, all or none, in one job; return them as they are stored.

        The statement is an INSERT of every column, so its parameters are the stored row.
        """
        statement: CompiledInsert[R] = self.statements[query]
        bound = statement.bind_all(batch)
        if bound:
            await self._executor.run(MANY, statement, bound)
        else:
            self._check(query)
        return statement.records(bound)

    async def perform(self, query: Query[Any], begin: Begin[T]) -> T:
        """Run a procedure in one transaction, or in this one, and return what it returns.

        `query` is the one of its steps that says what it writes.
        """
        statement: CompiledStatement[Any] = self.statements[query]
        return await self._executor.run(STEPS, statement, [self.statements, begin])

    async def attempt(self, query: Query[Any], attempt: Attempt) -> list[Any] | None:
        """Run a chain that is whole, where a call is a transaction and others write side by side.

        Returns the record of each of its queries; None, and nothing is done, where one of them
        found nothing, or nothing is saved by it. `query` is the one that says what it writes.
        Raises UnreadableError for a row that cannot be read, when all is done.
        """
        if self.is_transaction or not self.capabilities.has_concurrent_writers:
            return None
        statement: CompiledStatement[Any] = self.statements[query]
        try:
            return await self._executor.run(ATTEMPT, statement, [self.statements, attempt])
        except NotAtOnceError:
            return None

    def check(self, query: Query[Any], batch: Iterable[Mapping[str, Any]]) -> None:
        """Raise InvalidValueError for what `insert_all` would refuse, and write nothing."""
        statement: CompiledStatement[Any] = self.statements[query]
        self._check(query)
        statement.bind_all(batch)

    async def lock(self, name: str) -> None:
        """Let only one transaction at a time past this point for `name`, until it ends."""
        await self._executor.lock(name)

    def atomic(self) -> _AtomicDatabase:
        """Give a database whose statements belong together; used with `async with`."""
        scope = self._executor.atomic()
        return _AtomicDatabase(scope, self.statements, self.capabilities, self._check)


class _AtomicDatabase:
    __slots__ = ("_capabilities", "_check", "_scope", "_statements")

    def __init__(
        self,
        scope: AbstractAsyncContextManager[Executor],
        statements: dict[Query[Any], Any],
        capabilities: Capabilities,
        check: Callable[[Query[Any]], None],
    ) -> None:
        self._scope = scope
        self._check = check
        self._statements = statements
        self._capabilities = capabilities

    async def __aenter__(self) -> Database:
        executor = await self._scope.__aenter__()
        return Database(
            executor,
            self._statements,
            self._capabilities,
            check=self._check,
            is_transaction=True,
        )

    async def __aexit__(self, *exc_info: Any) -> None:
        await self._scope.__aexit__(*exc_info)
