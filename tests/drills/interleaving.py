"""Two transactions on PostgreSQL, statement by statement, in every order that matters.

What a repository does is done on a connection of its own, and before each of its statements, the
COMMIT included, it waits until it is let. So who schedules two of them chooses the order of their
statements. One that waits for the other's lock, as the server says, is left waiting.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

from drill import driver

from cw_store import StoreError
from cw_store.backends.postgres.backend import PostgresBackend
from cw_store.backends.postgres.statements import OPERATIONS, TAKE_TURNS, sql_of
from cw_store.errors import UnreadableError
from cw_store.statements.compiled import CompiledStatement, Parameters
from cw_store.statements.database import (
    ATTEMPT,
    MANY,
    RECORDS,
    STEPS,
    Database,
    Executor,
    Operation,
)
from cw_store.statements.procedure import (
    Attempt,
    Begin,
    InsertAll,
    Lock,
    Mark,
    NotAtOnceError,
    Run,
    Undo,
    advance,
)
from cw_store.statements.query import Query
from cw_store.uow import Repositories

T = TypeVar("T")

Work = Callable[[Repositories, Database], Awaitable[Any]]
"""What one of the two does in its transaction, and returns."""

SOON = 0.004
"""Seconds after which the server is asked whether a statement waits for the other transaction."""

LONGEST = 20.0


class Actor(Executor):
    """One transaction: does its work one statement at a time, when it is let."""

    def __init__(
        self,
        name: str,
        backend: PostgresBackend,
        connection: Any,
        *,
        waits: bool = True,
        at_once: bool = False,
    ) -> None:
        self.name = name
        self.done = 0
        """How many statements it has done."""
        self.result: Any = None
        self.error: Exception | None = None
        self.has_ended = False
        self.connection = connection
        self.pid: int = connection.get_server_pid()
        self._statements = backend.statements
        self._database = Database(
            self, backend.statements, backend.capabilities, is_transaction=not at_once
        )
        self._waits = waits
        self._at_once = at_once
        self._may_go_on = asyncio.Event()
        self.is_at_rest = asyncio.Event()

    def let_go_on(self) -> None:
        """Let it do its next statement."""
        self.is_at_rest.clear()
        self._may_go_on.set()

    async def work(self, work: Work) -> None:
        """Do it, and commit; what goes wrong undoes it."""
        try:
            await self.connection.execute("BEGIN")
            self.result = await work(Repositories(self._database), self._database)
            await self._in_turn(lambda: self.connection.execute("COMMIT"))
        except (StoreError, driver.PostgresError) as error:
            self.error = error
            await self.connection.execute("ROLLBACK")
        finally:
            self.has_ended = True
            self.is_at_rest.set()

    async def _in_turn(self, statement: Callable[[], Awaitable[T]]) -> T:
        if self._waits:
            self.is_at_rest.set()
            await self._may_go_on.wait()
            self._may_go_on.clear()
        result = await statement()
        self.done += 1
        return result

    # The executor.

    async def run(
        self, operation: Operation[T], statement: CompiledStatement[Any], parameters: Parameters
    ) -> T:
        """Run a statement, or a procedure step by step."""
        if operation is ATTEMPT:
            return await self._attempt_alone(parameters[1])
        if operation is not STEPS:
            work = OPERATIONS[operation]
            return await self._in_turn(lambda: work(self.connection, statement, parameters))
        try:
            return await self._perform(parameters[1], at_once=self._at_once and not self.done)
        except NotAtOnceError:
            await self._in_turn(lambda: self.connection.execute("ROLLBACK; BEGIN"))
            return await self._perform(parameters[1], at_once=False)

    async def _perform(self, begin: Begin[Any], *, at_once: bool) -> Any:
        procedure, answer = begin(), None
        try:
            while True:
                step = advance(procedure, answer)
                if isinstance(step, Attempt):
                    answer = await self._attempt(step) if at_once else None
                else:
                    answer = await self._take_step(step)
        except StopIteration as end:
            return end.value

    async def _attempt_alone(self, attempt: Attempt) -> Any:
        """Do what is a transaction by itself; what came to nothing of it is undone."""
        try:
            records = await self._attempt(attempt)
        except NotAtOnceError:
            await self._in_turn(lambda: self.connection.execute("ROLLBACK; BEGIN"))
            raise
        if records is None:
            raise NotAtOnceError
        return records

    async def _attempt(self, attempt: Attempt) -> list[Any] | None:
        """Do what a function does with a chain, but a query at a time."""
        if attempt.turn is not None:
            await self.lock(attempt.turn)
        records: list[Any] = []
        for link in attempt.chain.links:
            statement: CompiledStatement[Any] = self._statements[link.query]
            driver = statement.driver
            found = {name: getattr(records[n], field) for name, (n, field) in link.found.items()}
            fixed = {**driver.constants, **dict.fromkeys(driver.times), **found}
            bound = statement.checks.binder(driver.names, fixed)(attempt.values)
            rows = await self.run(RECORDS, statement, bound)
            if rows:
                records.append(rows[0])
            elif records:
                raise NotAtOnceError
            else:
                return None
        return records

    async def _take_step(self, step: Run | InsertAll | Lock | Mark | Undo) -> Any:
        if isinstance(step, Run):
            statement: CompiledStatement[Any] = self._statements[step.query]
            values = statement.bind(step.values)
            try:
                return await self.run(RECORDS, statement, values)
            except UnreadableError as error:
                return error
        if isinstance(step, InsertAll):
            insert: CompiledStatement[Any] = self._statements[step.query]
            batch: Any = insert.bind_all(step.batch)
            await self.run(MANY, insert, batch)
            return insert.records(batch)
        return await self._in_turn(lambda: self.connection.execute(sql_of(step)))

    def check(self, query: Query[Any]) -> None:
        """Refuse nothing."""

    async def lock(self, name: str) -> None:
        """Take turns as a transaction does."""
        await self._in_turn(lambda: self.connection.execute(TAKE_TURNS, name))

    def atomic(self) -> AbstractAsyncContextManager[Executor]:
        """Give this transaction."""
        return nullcontext(self)


@dataclass(frozen=True)
class Schedule:
    """Who begins, after how many statements the other goes on, and for how many."""

    begins: int
    before: int
    between: int


@dataclass
class Outcome:
    """What came of it, in the order of the two."""

    schedule: Schedule
    actors: list[Actor]
    ends: list[int] = field(default_factory=list[int])
    """Who ended first, and who then."""

    def results(self) -> list[Any]:
        return [actor.result if actor.error is None else actor.error for actor in self.actors]

    def committed_before(self, one: int, other: int) -> bool:
        return self.ends.index(one) < self.ends.index(other)


class Scheduler:
    """Runs two works under schedules, on connections of a backend's.

    What the store does at once, each in a function on the server, is done so, or step by step.
    """

    def __init__(self, backend: PostgresBackend, *, at_once: bool) -> None:
        self._backend = backend
        self._at_once = at_once
        self._connections: list[Any] = []

    async def open(self) -> None:
        """Connect: two who work, and one who looks on."""
        for _ in range(3):
            connection = await self._backend.pool.acquire()
            await connection.execute("SET deadlock_timeout = '50ms'")
            self._connections.append(connection)

    @property
    def onlooker(self) -> Any:
        """The connection of nobody who works."""
        return self._connections[2]

    async def close(self) -> None:
        """Give the connections back."""
        for connection in self._connections:
            await self._backend.pool.give_back(connection)

    async def alone(self, work: Work) -> Any:
        """Do something by itself, and return what it returns."""
        actor = Actor("alone", self._backend, self._connections[0], waits=False)
        await actor.work(work)
        if actor.error is not None:
            raise actor.error
        return actor.result

    async def run(self, schedule: Schedule, works: list[Work]) -> Outcome:
        """Do both, under the schedule; both have ended then."""
        actors = [
            Actor(name, self._backend, connection, at_once=self._at_once)
            for name, connection in zip("AB", self._connections, strict=False)
        ]
        outcome = Outcome(schedule, actors)
        tasks = [
            asyncio.create_task(actor.work(work)) for actor, work in zip(actors, works, strict=True)
        ]
        first, second = actors[schedule.begins], actors[1 - schedule.begins]
        try:
            async with asyncio.timeout(LONGEST):
                for actor in actors:
                    await actor.is_at_rest.wait()
                await self._advance(first, schedule.before, outcome)
                await self._advance(second, schedule.between, outcome)
                while not (first.has_ended and second.has_ended):
                    await self._advance(first, LAST, outcome)
                    await self._advance(second, LAST, outcome)
        except TimeoutError:
            raise AssertionError(f"still waiting: {self._told(outcome)}") from None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for actor in actors:
            if isinstance(actor.error, driver.PostgresError):
                raise AssertionError(f"{actor.error!r}: {self._told(outcome)}") from actor.error
        return outcome

    async def _advance(self, actor: Actor, most: int, outcome: Outcome) -> None:
        """Let it do so many statements, as long as it does not wait for the other."""
        for _ in range(most):
            if actor.has_ended:
                break
            if actor.is_at_rest.is_set():
                actor.let_go_on()
            if not await self._comes_to_rest(actor):
                break
        number = outcome.actors.index(actor)
        for place in (number, 1 - number):
            if outcome.actors[place].has_ended and place not in outcome.ends:
                outcome.ends.append(place)

    async def _comes_to_rest(self, actor: Actor) -> bool:
        while True:
            try:
                async with asyncio.timeout(SOON):
                    await actor.is_at_rest.wait()
                return True
            except TimeoutError:
                blocked = await self.onlooker.fetchval(
                    "SELECT cardinality(pg_blocking_pids($1)) > 0", actor.pid
                )
                if blocked and not actor.is_at_rest.is_set():
                    return False

    def _told(self, outcome: Outcome) -> str:
        states = [
            f"{actor.name} after {actor.done} statements: {actor.error or actor.result!r}"
            for actor in outcome.actors
        ]
        return f"{outcome.schedule}, {'; '.join(states)}"


LAST = 10_000


def schedules(statements: list[int]) -> Iterator[Schedule]:
    """Give all schedules with at most two preemptions of two that have so many statements."""
    for begins in (0, 1):
        for before in range(statements[begins]):
            for between in (*range(1, statements[1 - begins]), LAST):
                yield Schedule(begins, before, between)
